"""What a connection costs in memory, and what it leaves behind."""

from harness import check, row
from harness.limits import want_one_worker
from harness.pressure import growth, growth_by_round, mib

KIB, MIB = 1024, 1024 * 1024
BATCH = 300  # idle clients; thrice that many must be allowed to open a file
USED = 30_000  # bytes of a message that each of them has sent
IDLE_COST, OWN_IDLE_COST = 16 * KIB, 4 * KIB  # bytes


@row(21)
def test_memory_of_idle_clients(target, start, connect):
    """An idle client costs little memory: its buffers are given back once they are empty."""
    server = start()
    with connect(server) as client:
        client.ask(target.message())
        want_one_worker(server, "may hold a stack for each client")
    cost = idle_cost(target, server, connect)
    limit = OWN_IDLE_COST if target.own else IDLE_COST
    check(
        cost < limit,
        f"{cost / KIB:.1f} KiB of memory for each idle client",
        f"less than {limit // KIB} KiB",
        "allocate buffers when bytes arrive, give them back when the last byte has left; emptied "
        "is not always given back: a string in C++ keeps its memory until shrink_to_fit()",
    )


def idle_cost(target, server, connect):
    """Bytes of memory for each client that has been served and now is silent."""
    size = min(USED, target.max_payload)

    def come():
        clients = [connect(server) for _ in range(BATCH)]
        for client in clients:
            client.ask(target.sized(size))
        return clients

    def come_and_leave():
        for client in come():
            client.close()

    # What grows here is no client's: garbage that waits to be collected, compiled code.
    growth_by_round(server, come_and_leave, MIB)
    come()
    return min(growth(server, come) for _ in range(2)) / BATCH


@row(21)
def test_memory_comes_back(target, start, connect):
    """Memory for many clients with large messages is used again for the next ones."""
    server, message = start(), target.sized(target.max_payload)

    def crowd_with_large_messages():
        clients = [connect(server) for _ in range(20)]
        for client in clients:
            client.ask(message)
        for client in clients:
            client.close()

    grown = growth_by_round(server, crowd_with_large_messages, 5 * MIB)
    check(
        grown[-1] < 5 * MIB,
        f"memory grew in {len(grown)} equal rounds, in the last by {mib(grown[-1])}",
        "the first rounds' memory to be used again",
        "let go of the buffers of connections that are closed",
    )

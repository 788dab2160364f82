"""What milestones 1 to 3 promise not to do yet: the limits that milestone 4 sets."""

from harness import Server, check, row

CROWD = 20
FEW_DESCRIPTORS = 10


@row(17, "no")
def test_no_idle_timeout(target):
    """There is no --idle-timeout yet: a silent client stays for as long as it likes."""
    command = [*target.command, "--idle-timeout", "1"]
    with Server(target._replace(command=command), wait=False) as server:
        status = server.wait_end(20)
        check(
            status == 2 and "--idle-timeout" in server.stderr(),
            f"exit status {status}, {server.stderr()!r}",
            "status 2: an unknown option",
        )


@row(11, "no")
@row(18, "no")
def test_a_crowd_waits_for_the_first(target, start, connect):
    """One that serves its clients in turn needs few descriptors: all clients but one wait."""
    server = start(descriptors=FEW_DESCRIPTORS)
    first, *others = [connect(server) for _ in range(CROWD)]
    first.ask(target.message())
    waiting = [target.message() for _ in others]
    for client, message in zip(others, waiting):
        client.send_requests([message])
    others[0].expect_nothing(0.2)
    for client in others:
        client.expect_nothing(0.01)


@row(11, "no")
@row(21, "no")
def test_an_idle_client_costs_the_whole_server(target, connect):
    """One that serves its clients in turn is held up by an idle one until that leaves."""
    idle, other = connect(), connect()
    message = target.message()
    idle.ask(target.message())
    other.send_requests([message])
    other.expect_nothing()
    idle.close()
    other.expect_replies([message])

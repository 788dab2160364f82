"""What the kernel says of the server's own sockets, where behaviour hardly shows it."""

from harness import check, proc, row
from harness.limits import want_one_worker


@row(22)
def test_sockets_are_non_blocking(target, start, connect):
    """Listening and client sockets are non-blocking, as the kernel reports them."""
    # A blocking one hangs the server only when its buffer is full at the wrong moment.
    server = start()
    client = connect(server)
    client.ask(target.message())
    want_one_worker(server, "may block in each of them")
    blocking = sorted(proc.blocking_sockets(server.session, server.port))
    check(
        not blocking,
        f"O_NONBLOCK is not set on the {' and the '.join(blocking)} socket",
        "O_NONBLOCK on both, in /proc/PID/fdinfo",
        "set O_NONBLOCK with fcntl() on the listener, and on each socket that accept() returns",
        client,
    )

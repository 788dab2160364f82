"""What the kernel says of the server's own sockets, where behaviour hardly shows it."""

import pytest
from harness import check, proc, row


@row(22)
def test_sockets_are_non_blocking(target, start, connect):
    """Listening and client sockets are non-blocking, as the kernel reports them."""
    # A blocking one hangs the server only when its buffer is full at the wrong moment.
    if not proc.USABLE:
        pytest.skip("not checked here: needs Linux, /proc tells how a socket is set")
    server = start()
    client = connect(server)
    client.ask(target.message())
    if proc.workers(server.session) > 1:
        pytest.skip("a server with several threads or processes may block in each of them")
    blocking = sorted(proc.blocking_sockets(server.session, server.port))
    check(
        not blocking,
        f"O_NONBLOCK is not set on the {' and the '.join(blocking)} socket",
        "O_NONBLOCK on both, in /proc/PID/fdinfo",
        "set O_NONBLOCK with fcntl() on the listener, and on each socket that accept() returns",
        client,
    )

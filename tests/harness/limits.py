"""What a test needs of the system and of a server's design, or else is skipped."""

import resource
import socket

import pytest

from harness import proc

MOST = 2048  # files that a test wants to have open


def raise_descriptors():
    """Allow this process, and the servers it starts, MOST open files, or as many as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(MOST, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def check_loopback():
    """pytest.UsageError if nobody can be reached at 127.0.0.1: that is no server's fault."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            socket.create_connection(listener.getsockname(), 5).close()
    except OSError as error:
        reason = f"127.0.0.1 can't be reached ({error.strerror})"
        raise pytest.UsageError(f"{reason}; try: ip link set lo up") from None


def want_descriptors(count):
    """A skip where not that many files may be open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        pytest.skip(f"needs {count} open files, and {soft} are allowed: see ulimit -Hn")


def want_one_worker(server, why):
    """A skip, which says why, for a server with several threads or processes."""
    if not proc.USABLE:
        pytest.skip("not checked here: needs Linux, to see what a server does inside")
    if proc.workers(server.session) > 1:
        pytest.skip(f"a server with several threads or processes {why}")

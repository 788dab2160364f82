"""What a test needs of the system and of a server's design, or else is skipped."""

import resource

import pytest

from harness import proc


def want_descriptors(count):
    """Raise the limit to `count` if need be; a skip if that is not allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        if hard != resource.RLIM_INFINITY and hard < count:
            pytest.skip(f"needs {count} open files; this system allows {hard} (ulimit -Hn)")
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def want_one_worker(server, why):
    """A skip, which says why, for a server with several threads or processes."""
    if not proc.USABLE:
        pytest.skip("not checked here: needs Linux, to see what a server does inside")
    if proc.workers(server.session) > 1:
        pytest.skip(f"a server with several threads or processes {why}")

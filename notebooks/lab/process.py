"""Memory and descriptors of a process."""

import re
import resource
import subprocess
import sys
from pathlib import Path

CLIENTS = 1200  # descriptors for a thousand clients, and for all else that is open


def memory_used(pid):
    """Resident memory in KiB."""
    status = Path(f"/proc/{pid}/status")
    if status.exists():
        return int(re.search(r"VmRSS:\s*(\d+)", status.read_text()).group(1))
    return int(subprocess.check_output(["ps", "-o", "rss=", "-p", str(pid)]))  # macOS


def open_files_allowed(wanted=CLIENTS):
    """Ask for room for that many open files here and in the servers, which inherit it.

    Returns how many the system allows, if that is less, and `wanted` otherwise.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed


def allow_clients(wanted=CLIENTS):
    """Room for that many open files; else the program ends with a line that says so."""
    allowed = open_files_allowed(wanted)
    if allowed < wanted:
        sys.exit(
            f"{wanted} open files are needed, {allowed} allowed; raise it: ulimit -Hn {wanted}"
        )

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


def allow_clients(wanted=CLIENTS):
    """Room for that many open files here and in the servers, which inherit it.

    Where the system does not allow so many, the program ends with a line that says so.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        sys.exit(f"{wanted} open files are needed, {hard} allowed; raise it: ulimit -Hn {wanted}")
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

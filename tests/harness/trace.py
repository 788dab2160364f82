"""Count a server's system calls with strace, where it is there and allowed."""

import re
import shutil
import signal
import subprocess
import time

from harness import proc

USABLE = proc.USABLE and shutil.which("strace") is not None
WAITS = "poll,ppoll,epoll_wait,epoll_pwait,epoll_pwait2,select,pselect6"
ATTACH_SECONDS = 5


def count_waits(server, act):
    """How often the server waits in poll() or the like during act(); None if nobody may look."""
    pids = [word for pid in proc.processes(server.session) for word in ("-p", str(pid))]
    # ?: a system call that this processor does not have is no error.
    names = ",".join(f"?{name}" for name in WAITS.split(","))
    words = ["strace", "-f", "-c", "-U", "name,calls", "-e", f"trace={names}", *pids]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as strace:
        if not attached(server, strace):
            strace.kill()
            return None
        act()
        strace.send_signal(signal.SIGINT)  # it lets go, and prints its table
        table = strace.stderr.read()
    return sum(map(int, re.findall(r"^\w*(?:poll|wait|select)\w* +(\d+)", table, re.MULTILINE)))


def attached(server, strace):
    """Wait until the server's processes are traced; False if strace ends or takes too long."""
    deadline = time.monotonic() + ATTACH_SECONDS
    while strace.poll() is None and time.monotonic() < deadline:
        states = [
            (proc.PROC / str(pid) / "status").read_text() for pid in proc.processes(server.session)
        ]
        if not any("TracerPid:\t0\n" in state for state in states):
            return True
        time.sleep(0.01)
    return False

"""Start servers as processes of their own, and stop them."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STAGES = {
    1: ROOT / "milestone1_sockets",
    2: ROOT / "milestone2_framing",
    3: ROOT / "milestone3_eventloop",
    4: ROOT / "milestone4_pipelining",
}
READY_SECONDS = 20  # a loaded machine starts an interpreter slowly
STOP_SECONDS = 5


class StartError(Exception):
    """The server did not come up; the text says how it ended and its last lines."""


class ServerProcess:
    """One running server that prints our ready line.  Use it in a `with`.

    argv: the command, as a list; keywords go to subprocess.Popen.
    Attributes: process, pid, host, port.  Raises StartError if no ready line
    comes within READY_SECONDS.
    """

    def __init__(self, argv, **popen):
        # Standard error goes to a file: a pipe that nobody reads would fill up
        # and block the server.
        self._stderr = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            start_new_session=True,  # Ctrl-C in our terminal is ours alone
            **popen,
        )
        self.pid = self.process.pid
        try:
            self.host, self.port = self._wait_ready()
        except BaseException:
            self.stop()
            raise

    def _wait_ready(self):
        killer = threading.Timer(READY_SECONDS, self.process.kill)
        killer.start()
        try:
            line = self.process.stdout.readline().decode(errors="replace").strip()
        finally:
            killer.cancel()
        place = line.rpartition(" ")[2]
        host, colon, port = place.rpartition(":")
        if not line.startswith("listening on ") or not port.isdigit():
            status = self.stop()
            raise StartError(
                f"no ready line (got {line!r}), exit status {status}: {self.stderr().strip()}"
            )
        return host, int(port)

    def stderr(self):
        """All that the server has written to standard error so far, as text."""
        return os.pread(self._stderr.fileno(), 1 << 20, 0).decode(errors="replace")

    def stop(self):
        """End the server with SIGTERM, or SIGKILL if it ignores that.

        Returns the exit status as subprocess has it: negative for a signal.
        """
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self.process.stdout.close()
        return status

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.stop()
        self._stderr.close()


def start_server(stage, *options, port=0, python=sys.executable, **popen):
    """Start the server of milestone `stage` (1-4) on a free port of 127.0.0.1."""
    script = STAGES[stage] / "server.py"
    argv = [python, str(script), "--port", str(port), *map(str, options)]
    return ServerProcess(argv, **popen)

"""Start the server under test, find out when it is ready, and always end it."""

import contextlib
import errno
import itertools
import os
import random
import re
import resource
import shlex
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from harness import proc
from harness.failure import Failure, StartError

BUSY_START_SECONDS = 60  # for a program that works, as a compiler does
START_SECONDS = 10  # for one that does nothing, and does not listen
NOTICE_SECONDS = 3
STOP_SECONDS = 3
SETTLE_SECONDS = 0.3
DEFAULT_IDLE_TIMEOUT = 300
REPEATED = 1000  # lines
TRIES = 3  # to start: somebody else may take a port that was free
WHOLE_HEAP = "java -Xms64m -Xmx64m -XX:+AlwaysPreTouch"
NOT_FOUND = re.compile(r"No such file|not found|Cannot find (?!module '\.)")  # not in a program
# Where a socket can be that is reached at 127.0.0.1, and of these those that anybody reaches.
REACHED = {"127.0.0.1", "::ffff:127.0.0.1", "0.0.0.0", "::"}
EVERYWHERE = {"0.0.0.0", "::"}

_running = []  # whatever happens, these are ended at the end
_ports = None


def _port_range():
    """Ports that the kernel does not hand out to clients by itself."""
    table = Path("/proc/sys/net/ipv4/ip_local_port_range")
    low = int(table.read_text().split()[0]) if table.exists() else 32768
    return (low - 12000, low) if low > 14000 else (20000, 32000)


def _port_numbers():
    # Suites that run at the same time take others, as each goes through them in its own order.
    begin, end = _port_range()
    return itertools.cycle(random.Random().sample(range(begin, end), end - begin))


def pick_port():
    """A free port of 127.0.0.1 that this session has not used for long."""
    global _ports
    _ports = _ports or _port_numbers()
    for port in _ports:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                if error.errno in (errno.EADDRINUSE, errno.EACCES):
                    continue
                raise
            return port


@contextlib.contextmanager
def while_stopped(server):
    """What is done meanwhile the server finds all at once, in one turn of its loop."""
    server.signal(signal.SIGSTOP)
    deadline = time.monotonic() + STOP_SECONDS
    # On a busy machine it goes on for a while; a SIGCONT before it has stopped undoes both.
    while proc.USABLE and not server.in_state("T") and time.monotonic() < deadline:
        time.sleep(0.001)
    try:
        yield
    finally:
        server.signal(signal.SIGCONT)


class Server:
    """One running server; use `stop()` or a `with` block.

    target: what to start (harness.target.Target).
    port: None picks a free one.  descriptors: how many files it may open.
    idle_timeout: seconds, for a command with `{idle_timeout}` in it.
    wait: False returns before the server listens.
    notice: called with a line of text when the start takes long.

    Raises StartError if it does not come to listen.
    """

    def __init__(
        self, target, port=None, descriptors=None, idle_timeout=None, wait=True, notice=None
    ):
        self.target = target
        for tries_left in reversed(range(1 if port else TRIES)):
            self.port = port or pick_port()
            self.command = self._fill_in(target.command, idle_timeout)
            self._out, self._err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
            self.process = self._spawn(descriptors)
            self.session = self.process.pid
            self._seen = 0  # characters on standard error before the current test
            _running.append(self)
            try:
                if wait:
                    _Start(self, notice).wait()
                return
            except BaseException as error:
                self.stop()
                if not (tries_left and isinstance(error, StartError) and self.port_is_taken()):
                    raise

    def port_is_taken(self):
        """Does it say so?"""
        return "ddress already in use" in self.stderr()

    def _fill_in(self, words, idle_timeout):
        seconds = DEFAULT_IDLE_TIMEOUT if idle_timeout is None else idle_timeout
        values = {"{port}": str(self.port), "{idle_timeout}": f"{seconds:g}"}
        filled = []
        for word in words:
            for name, value in values.items():
                word = word.replace(name, value)
            filled.append(word)
        return filled

    def _spawn(self, descriptors):
        def limit_descriptors():
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

        try:
            return subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=self._out,
                stderr=self._err,  # files: a pipe that nobody reads would fill up
                env={**os.environ, "PORT": str(self.port)},
                start_new_session=True,  # all that it starts can be ended with it
                preexec_fn=limit_descriptors if descriptors else None,
            )
        except OSError as error:
            raise StartError(*_why_not(self.command[0], error)) from None

    # What it does

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process.poll() is None

    def stdout(self):
        """All that it has written to standard output so far, as text."""
        return _read(self._out)

    def stderr(self):
        """All that it has written to standard error so far, as text."""
        return _read(self._err)

    def news(self):
        """What it has written to standard error since forget_news(), as text."""
        return self.stderr()[self._seen :]

    def forget_news(self):
        self._seen = len(self.stderr())

    def ending(self):
        """How it ended, or that it still runs, as text."""
        status = self.process.poll()
        if status is None:
            return "still running"
        if status < 0:
            return f"ended by {signal_name(-status)}"
        # A shell around the server reports a signal as 128 + its number.
        extra = f" (a shell's word for {signal_name(status - 128)})" if 128 < status < 160 else ""
        return f"exited with status {status}{extra}"

    def settle(self):
        """Give a dying program a moment to end, so that its end can be told."""
        try:
            self.process.wait(SETTLE_SECONDS)
        except subprocess.TimeoutExpired:
            pass  # it lives

    def wait_end(self, seconds=STOP_SECONDS):
        """The exit status as subprocess has it; Failure if it goes on running."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"still running after {seconds} s", "the program to end") from None

    def in_state(self, letter):
        """Are all its threads in this state of proc(5): R runs, S sleeps, T is stopped?"""
        return proc.states(self.session) == {letter}

    def remark(self):
        """What may be meant otherwise, but is no mistake, as text; or None."""
        hosts = {host for host, _ in proc.places(self.session)} if proc.USABLE else set()
        if hosts & EVERYWHERE:
            return "the server listens on all addresses: who shares a network with it can use it"
        return None

    # What it costs

    def cpu_seconds(self):
        """CPU time used so far; a skip where there is no /proc."""
        return proc.cpu_seconds(self._observed())

    def memory(self):
        """Resident memory in bytes; a skip where there is no /proc, or where it tells nothing."""
        if proc.sanitized(self._observed()):
            pytest.skip("built with a sanitizer, which keeps what was freed: no memory is measured")
        if proc.lazy_heap(self.session):
            pytest.skip(f"a JVM's memory is measured with all of its heap in use: {WHOLE_HEAP}")
        return proc.memory(self.session)

    def open_sockets(self):
        """Open sockets; a skip where there is no /proc."""
        return proc.open_sockets(self._observed())

    def _observed(self):
        if not proc.USABLE:
            pytest.skip("needs Linux: /proc tells what a process uses")
        return self.session

    # Its end

    def signal(self, number):
        """Send a signal to all its processes."""
        try:
            os.killpg(self.session, number)
        except (ProcessLookupError, PermissionError):  # macOS: EPERM for a zombie
            pass

    def stop(self):
        """End it: SIGTERM, and SIGKILL for what is left.  Returns the exit status."""
        self.signal(signal.SIGTERM)
        try:
            status = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            status = None
        self.signal(signal.SIGKILL)
        if self in _running:
            _running.remove(self)
        return self.process.wait() if status is None else status

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.stop()


def stop_all():
    """End every server that this session started."""
    for server in list(_running):
        server.stop()


class _Start:
    """The wait for a server to listen."""

    def __init__(self, server, notice):
        self.server = server
        self.notice = notice
        self.began = self.busy_at = self.looked_at = time.monotonic()
        self.cpu = 0.0
        self.turn = 0

    def wait(self):
        while not self.ready():
            if not self.server.alive():
                raise self.error(f"the program {self.server.ending()} without listening")
            self.check_patience()
            time.sleep(0.005)

    def ready(self):
        if not proc.USABLE:
            return self.announced() or _accepts(self.server.port)
        # The kernel's table may be long: it is not read each time.
        self.turn += 1
        if self.turn % 8 and not self.announced():
            return False
        port = self.server.port
        hosts = [host for host, its_port in proc.places(self.server.session) if its_port == port]
        if hosts and not REACHED.intersection(hosts):
            raise self.error(
                f"the program listens on {hosts[0]}, where the suite does not look for it",
                "bind to 127.0.0.1",
            )
        # Something else may listen in its stead, as a container's proxy does.
        in_its_stead = port in (place[1] for place in proc.listening().values())
        return bool(hosts) or in_its_stead and time.monotonic() - self.busy_at > 1

    def age(self):
        return time.monotonic() - self.began

    def announced(self):
        return f":{self.server.port}\n" in self.server.stdout()

    def check_patience(self):
        """Give up on a program that does nothing, or takes very long."""
        if proc.USABLE and time.monotonic() - self.looked_at > 0.25:
            self.look()
        port = self.server.port
        if self.notice and self.age() > NOTICE_SECONDS:
            self.notice(f"The server runs, but does not listen on port {port} yet; waiting ...")
            self.notice = None
        idle = time.monotonic() - self.busy_at
        if idle > START_SECONDS or self.age() > BUSY_START_SECONDS or self.repeats_itself():
            raise self.error(
                f"the program runs, but does not listen on port {port} after {self.age():.0f} s",
                "call bind() and listen() before anything that waits, as accept() does",
            )

    def repeats_itself(self):
        """Does it write the same line for ever?"""
        lines = self.server.stderr().splitlines()[-REPEATED - 1 : -1]
        return len(lines) == REPEATED and len(set(lines)) == 1

    def look(self):
        """Is it busy starting?  Does it listen on another port?"""
        self.looked_at = time.monotonic()
        cpu = proc.cpu_seconds(self.server.session)
        if cpu > self.cpu:
            self.cpu, self.busy_at = cpu, self.looked_at
        elsewhere = self.other_ports()
        if self.age() > 1 and elsewhere:
            swapped = socket.htons(self.server.port)
            raise self.error(
                f"the program listens on port {min(elsewhere)}, not on {self.server.port}",
                "that is the port with its two bytes exchanged: htons()"
                if swapped in elsewhere
                else "take the port from {port} in the command, or from PORT in the environment",
            )

    def other_ports(self):
        places = proc.places(self.server.session)
        return [port for _, port in places if port != self.server.port]

    def error(self, came, hint=None):
        takes_port = any("{port}" in word or "PORT" in word for word in self.server.target.command)
        if not hint and NOT_FOUND.search(self.server.stderr()):
            hint = f"paths are looked up in {os.getcwd()}: give the full path"
        elif not hint and not takes_port:
            hint = "put {port} into the command, or take the port from PORT in the environment"
        elif "annot assign requested address" in self.server.stderr():
            hint = "no interface has this address: 127.0.0.1 is INADDR_LOOPBACK, through htonl()"
        elif re.search(r"BAD_PORT|NaN", self.server.stderr()):
            hint = "the port did not arrive: which argument is it (in Node process.argv[2])?"
        elif self.server.port_is_taken():
            hint = "set SO_REUSEADDR on the listening socket before bind()"
        return StartError(came, hint, self.server)


def _accepts(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _why_not(program, error):
    """(what came, hint) for a command that could not be run."""
    if not Path(program).exists() and isinstance(error, FileNotFoundError):
        place = f" in {os.getcwd()}" if "/" in program else " on PATH"
        return f"there is no program {program!r}{'' if os.path.isabs(program) else place}", None
    if isinstance(error, PermissionError):
        return f"{program!r} may not be run", f"make it executable: chmod +x {shlex.quote(program)}"
    if error.errno == errno.ENOEXEC:
        return f"{program!r} can't be run as it is", "a script needs a first line such as #!/bin/sh"
    if isinstance(error, FileNotFoundError):
        return f"{program!r} is there, but what runs it is not", "look at its first line, #!..."
    return f"{program!r} can't be run: {error.strerror}", None


def _read(file):
    return os.pread(file.fileno(), 1 << 24, 0).decode(errors="replace")


def signal_name(number):
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
    return f"{name} (signal {number})"

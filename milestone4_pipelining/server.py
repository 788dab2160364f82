"""A key-value server in one thread: poll() says which of many clients is ready.

A request is the payload of one frame, and so is its reply.
"""

import argparse
import errno
import logging
import os
import select
import signal
import socket
import sys
import time

# Where the other modules are: `python -P` does not look there by itself.
sys.path.insert(0, os.path.dirname(__file__))

from conn import Conn, drop, handle_read, handle_write

DEFAULT_PORT = 6404
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
if not hasattr(select, "poll"):
    sys.exit("server.py: no poll() on this system; on Windows, run it under WSL")
# poll() adds POLLERR and POLLHUP unasked: recv() or send() then tells what is wrong.
READ_EVENTS = select.POLLIN | select.POLLERR | select.POLLHUP
WRITE_EVENTS = select.POLLOUT | select.POLLERR | select.POLLHUP
NEWCOMERS = 64  # clients accepted in one turn of the loop
OUT_OF_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)  # or of memory


def make_listener(host, port):
    """Open a listening socket.

    host: an IPv4 address, or a name that has one; port: 0 takes a free port.
    Raises OSError (port in use, unknown host, ...), OverflowError (port out of
    range), TypeError or UnicodeError (no host can be called that).
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # Without this a restarted server would be refused its own port for a
    # minute, while connections of its predecessor are in TIME_WAIT.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # A reply is written in one piece, so holding back a small one until the last
    # is acknowledged (Nagle's algorithm) gains nothing.  Accepted sockets inherit
    # this.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.bind((host, port))
    listener.listen(socket.SOMAXCONN)
    return listener


class Server:
    """The listener, the connections accepted from it, and the loop over both."""

    def __init__(self, listener, idle_timeout):
        listener.setblocking(False)
        self.listener = listener
        self.fd2conn = {}  # open connections by file descriptor
        self.accept_failing = False
        self.poller = select.poll()
        self.poller.register(listener, select.POLLIN)
        self.idle_timeout = idle_timeout  # seconds, 0: none
        self.tick = min(1.0, idle_timeout / 4) if idle_timeout else 1.0
        self.next_tick = time.monotonic() + self.tick

    def serve_forever(self):
        try:
            while True:
                self.run_once()
        finally:
            for conn in self.fd2conn.values():
                conn.sock.close()

    def run_once(self):
        """One turn of the loop, in four steps."""
        # 1. Set up: poll() still knows what each connection wants.

        # 2. Wait: the only place where the server sleeps.
        ready = self.poller.poll(self.tick * 1000)

        # 3. Handle what is ready.
        for fd, events in ready:
            if fd == self.listener.fileno():
                self.handle_accept()
            else:
                handle_events(self.fd2conn[fd], events)

        # 4. Clean up.  Connections are closed here and nowhere else: no handler has to
        # reckon with one that is gone, or whose number a newcomer has got.
        for fd, _ in ready:
            conn = self.fd2conn.get(fd)
            if conn and wanted_events(conn) != conn.registered:
                self.update(fd, conn)
        if time.monotonic() >= self.next_tick:
            self.handle_tick()

    def update(self, fd, conn):
        """Close a connection that is done; tell poll() what another wants now."""
        if conn.is_done():
            self.poller.unregister(fd)
            del self.fd2conn[fd]
            conn.sock.close()
            return
        conn.registered = wanted_events(conn)
        self.poller.modify(fd, conn.registered)

    def handle_tick(self):
        """Every `tick` seconds: close idle connections, try to accept again."""
        now = time.monotonic()
        self.next_tick = now + self.tick
        if self.accept_failing:
            self.poller.modify(self.listener, select.POLLIN)
        if not self.idle_timeout:
            return
        for fd, conn in list(self.fd2conn.items()):
            if now - conn.last_active < self.idle_timeout:
                continue
            # Bytes may have come while we were busy; poll() does not report a little room.
            handle_events(conn, select.POLLIN)
            handle_events(conn, select.POLLOUT)
            if now - conn.last_active >= self.idle_timeout and not conn.is_done():
                drop(conn, f"idle for {self.idle_timeout:g} s")
            self.update(fd, conn)

    def handle_accept(self):
        """Let in the clients that wait, but not so many that others wait for long."""
        for _ in range(NEWCOMERS):
            if not self.accept_one():
                return

    def accept_one(self):
        """Accept one client.  Returns whether another one may be waiting."""
        try:
            sock, address = self.listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return False  # that was the last, or it has given up in the meantime
        except OSError as error:
            if not self.accept_failing:
                logging.warning("cannot accept: %s", error)
            if error.errno not in OUT_OF_FILES:
                return True  # the fault of this one caller
            self.accept_failing = True
            # The listener stays readable: leave it alone until the next tick.
            self.poller.modify(self.listener, 0)
            return False
        self.accept_failing = False
        sock.setblocking(False)
        conn = Conn(sock, address)
        conn.registered = wanted_events(conn)
        self.poller.register(sock, conn.registered)
        self.fd2conn[sock.fileno()] = conn
        return True


def wanted_events(conn):
    """The flags of a connection as a bit mask for poll()."""
    events = 0
    if conn.want_read:
        events |= select.POLLIN
    if conn.want_write:
        events |= select.POLLOUT
    return events


def handle_events(conn, events):
    """Call the handlers that `events` asks for; a fault ends this connection only."""
    try:
        if conn.want_read and events & READ_EVENTS:
            handle_read(conn)
        # The flag is looked at again: the first handler may have changed it.
        if conn.want_write and events & WRITE_EVENTS:
            handle_write(conn)
    except BlockingIOError:
        pass  # not ready after all; poll() will tell
    except OSError as error:
        drop(conn, error)
    except MemoryError:
        drop(conn, "no memory for its request")


def stop(signum, frame):
    """Leave wherever the server is; sockets are closed on the way out."""
    # A second signal must not interrupt the closing: one that still comes is
    # blocked, and for one that Python has already noted there is nothing to do.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    for number in STOP_SIGNALS:
        signal.signal(number, do_nothing)
    signal.setitimer(signal.ITIMER_REAL, 0)
    sys.exit(0)


def do_nothing(signum, frame):
    pass


def wake_up_regularly():
    """Interrupt whatever the server waits in, twice a second, to see whether to stop."""
    # A signal that comes just before a call begins to wait is only noted by Python;
    # `stop` runs when that call returns.  The next signal makes it return.
    signal.signal(signal.SIGALRM, do_nothing)
    signal.setitimer(signal.ITIMER_REAL, 0.5, 0.5)


def announce(listener):
    """Say on standard output that the server listens, and where."""
    host, port = listener.getsockname()
    try:
        # Not print(): what that can't write, Python tries to write again at exit.
        os.write(1, f"listening on {host}:{port}\n".encode())
    except OSError as error:
        sys.exit(f"server.py: cannot write to standard output ({error})")


def seconds(text):
    """The value of --idle-timeout; ValueError (a usage error) if it is no time."""
    value = float(text)
    if not value >= 0:
        raise ValueError(text)
    return value


def main():
    for number in STOP_SIGNALS:
        signal.signal(number, stop)
    logging.basicConfig(format="%(message)s")
    parser = argparse.ArgumentParser(description="Serve a dictionary over TCP.")
    parser.add_argument("--host", default="127.0.0.1", help="IPv4 address (%(default)s)")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0: any free (%(default)s)")
    parser.add_argument("--idle-timeout", type=seconds, default=300, help="0: none (%(default)s s)")
    args = parser.parse_args()
    try:
        listener = make_listener(args.host, args.port)
    except (OSError, OverflowError, TypeError, UnicodeError) as error:
        sys.exit(
            f"server.py: cannot listen on {args.host}:{args.port} ({error}); "
            "choose another --host or --port (--port 0 takes a free one)"
        )
    with listener:
        announce(listener)
        wake_up_regularly()
        Server(listener, args.idle_timeout).serve_forever()


if __name__ == "__main__":
    main()

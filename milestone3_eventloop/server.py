"""A key-value server in one thread: poll() says which of many clients is ready.

A request is the payload of one frame, and so is its reply.
"""

import argparse
import logging
import os
import select
import signal
import socket
import sys

# Where the other modules are: `python -P` does not look there by itself.
sys.path.insert(0, os.path.dirname(__file__))

from conn import Conn, drop, handle_read, handle_write

DEFAULT_PORT = 6403
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
if not hasattr(select, "poll"):
    sys.exit("server.py: no poll() on this system; on Windows, run it under WSL")
# poll() adds POLLERR and POLLHUP unasked: recv() or send() then tells what is wrong.
READ_EVENTS = select.POLLIN | select.POLLERR | select.POLLHUP
WRITE_EVENTS = select.POLLOUT | select.POLLERR | select.POLLHUP


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

    def __init__(self, listener):
        listener.setblocking(False)
        self.listener = listener
        self.fd2conn = {}  # open connections by file descriptor
        self.accept_failing = False

    def serve_forever(self):
        try:
            while True:
                self.run_once()
        finally:
            for conn in self.fd2conn.values():
                conn.sock.close()

    def run_once(self):
        """One turn of the loop, in four steps."""
        # 1. Set up: tell poll() what each connection wants.
        poller = select.poll()
        poller.register(self.listener, select.POLLIN)
        for fd, conn in self.fd2conn.items():
            poller.register(fd, wanted_events(conn))

        # 2. Wait: the only place where the server sleeps.
        ready = poller.poll()

        # 3. Handle what is ready.
        for fd, events in ready:
            if fd == self.listener.fileno():
                self.handle_accept()
            else:
                handle_events(self.fd2conn[fd], events)

        # 4. Clean up.  Connections are closed here and nowhere else: no handler has to
        # reckon with one that is gone, or whose number a newcomer has got.
        for fd, conn in list(self.fd2conn.items()):
            if conn.is_done():
                del self.fd2conn[fd]
                conn.sock.close()

    def handle_accept(self):
        """Accept one client, if one is still there."""
        try:
            sock, address = self.listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # it has given up in the meantime
        except OSError as error:  # no file descriptor is left, most likely
            if not self.accept_failing:
                logging.warning("cannot accept: %s", error)
            self.accept_failing = True
            return
        self.accept_failing = False
        sock.setblocking(False)
        self.fd2conn[sock.fileno()] = Conn(sock, address)


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


def main():
    for number in STOP_SIGNALS:
        signal.signal(number, stop)
    logging.basicConfig(format="%(message)s")
    parser = argparse.ArgumentParser(description="Serve a dictionary over TCP.")
    parser.add_argument("--host", default="127.0.0.1", help="IPv4 address (%(default)s)")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0: any free (%(default)s)")
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
        Server(listener).serve_forever()


if __name__ == "__main__":
    main()

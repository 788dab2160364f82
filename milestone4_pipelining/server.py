"""A key-value server in one thread: poll() says which of many clients is ready.

A request is the payload of one frame, and so is its reply.
"""

import argparse
import logging
import select
import signal
import socket
import sys
import time

from conn import Conn, drop, handle_read, handle_write

DEFAULT_PORT = 6404


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
        # select.epoll() has the same methods and bits, but counts in seconds:
        # "select.epoll(), 1" is all there is to change.
        self.poller, second = select.poll(), 1000
        self.poller.register(listener, select.POLLIN)
        self.idle_timeout = idle_timeout
        self.tick = min(1.0, idle_timeout / 4) if idle_timeout else 1.0
        self.poll_timeout = self.tick * second
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
        ready = self.poller.poll(self.poll_timeout)
        now = time.monotonic()

        # 3. Handle what is ready.
        changed = []
        for fd, events in ready:
            conn = self.fd2conn.get(fd)
            if conn is None:
                self.handle_accept()
            else:
                handle_events(conn, events, now)
                if conn.changed:
                    changed.append((fd, conn))

        # 4. Clean up.  Connections are closed here and nowhere else: a closed one's
        # descriptor could be given to a new client while `ready` speaks of the old.
        for fd, conn in changed:
            self.update(fd, conn)
        if now >= self.next_tick:
            self.handle_tick(now)

    def update(self, fd, conn):
        """Act on the flags that the handlers have set."""
        if conn.want_close and not conn.outgoing:
            self.poller.unregister(fd)
            del self.fd2conn[fd]
            conn.sock.close()
            return
        events = wanted_events(conn)
        if events != conn.registered:
            self.poller.modify(fd, events)
            conn.registered = events
        conn.changed = False

    def handle_tick(self, now):
        """Every `tick` seconds: close idle connections, try to accept again."""
        self.next_tick = now + self.tick
        if self.accept_failing:
            self.poller.modify(self.listener, select.POLLIN)
        if not self.idle_timeout:
            return
        for fd, conn in list(self.fd2conn.items()):
            if now - conn.last_active < self.idle_timeout:
                continue
            # Bytes may have come since poll(), if something held us up; and poll()
            # speaks of room when much of it is free, but a little may be.
            handle_events(conn, select.POLLIN, now)
            handle_events(conn, select.POLLOUT, now)
            ended = conn.want_close and not conn.outgoing
            if now - conn.last_active >= self.idle_timeout and not ended:
                drop(conn, f"idle for {self.idle_timeout:g} s")
            self.update(fd, conn)

    def handle_accept(self):
        """Accept one client, if one is still there."""
        try:
            sock, address = self.listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # it has given up in the meantime
        except OSError as error:  # out of descriptors, most likely
            if not self.accept_failing:
                logging.warning("cannot accept: %s", error)
            self.accept_failing = True
            # The listener stays readable: leave it alone until the next tick.
            self.poller.modify(self.listener, 0)
            return
        self.accept_failing = False
        sock.setblocking(False)
        conn = Conn(sock, address)
        conn.registered = wanted_events(conn)
        self.poller.register(sock, conn.registered)
        self.fd2conn[sock.fileno()] = conn


def wanted_events(conn):
    """The flags of a connection as a bit mask for poll()."""
    events = 0
    if conn.want_read:
        events |= select.POLLIN
    if conn.want_write:
        events |= select.POLLOUT
    return events


def handle_events(conn, events, now):
    """Call the handlers that `events` asks for; a fault ends this connection only.

    poll() adds POLLERR and POLLHUP unasked.  Whichever handler is wanted is
    called for them too, and recv() or send() tells what is the matter.
    """
    try:
        # & ~POLLOUT: is there any other bit, POLLIN, POLLERR or POLLHUP?
        if conn.want_read and events & ~select.POLLOUT:
            handle_read(conn, now)
        # The flag is looked at again: the first handler may have changed it.
        if conn.want_write and events & ~select.POLLIN:
            handle_write(conn, now)
    except BlockingIOError:
        pass  # not ready after all; poll() will tell
    except OSError as error:
        drop(conn, error)


def stop(signum, frame):
    """Leave wherever the server is; sockets are closed on the way out."""
    # A second Ctrl-C must not interrupt the closing.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(0)


def seconds(text):
    """The value of --idle-timeout; ValueError (a usage error) if it is no time."""
    value = float(text)
    if not value >= 0:
        raise ValueError(text)
    return value


def main():
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    logging.basicConfig(format="%(message)s")
    if not hasattr(select, "poll"):
        sys.exit("server.py: no poll() on this system; on Windows, run it under WSL")
    parser = argparse.ArgumentParser(description="Serve a dictionary over TCP.")
    parser.add_argument("--host", default="127.0.0.1", help="IPv4 address (%(default)s)")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0: any free (%(default)s)")
    parser.add_argument(
        "--idle-timeout", type=seconds, default=300, help="in seconds, 0: none (%(default)s)"
    )
    args = parser.parse_args()
    try:
        listener = make_listener(args.host, args.port)
    except (OSError, OverflowError, TypeError, UnicodeError) as error:
        sys.exit(
            f"server.py: cannot listen on {args.host}:{args.port} ({error}); "
            "choose another --host or --port (--port 0 takes a free one)"
        )
    with listener:
        host, port = listener.getsockname()
        print(f"listening on {host}:{port}", flush=True)
        Server(listener, args.idle_timeout).serve_forever()


if __name__ == "__main__":
    main()

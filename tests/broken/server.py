"""A small correct server, and with `--mistake NAME` a wrong one.

    python3 server.py --stage 3 --port 7001 --mistake eof-retried

Stage 2 serves one client at a time with blocking calls; stages 3 and 4 run an
event loop.  Each mistake is a line or two of this file, as people really write
them: mistakes_stage2.py and so on have the right and the wrong lines below each other.
"""

import argparse
import re
import select
import signal
import socket
import sys
import time
from pathlib import Path

from mistake import with_mistake
from mistakes import MISTAKES

HEADER_SIZE = 4
MAX_PAYLOAD = 1 << 20
HIGH_WATER = 1 << 20  # bytes of unsent replies above which no request is run
READ_SIZE = 1 << 16
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

store = {}


class Fault(Exception):
    """The client broke the protocol, and its connection ends."""


class TooLong(Fault):
    """It announced more than MAX_PAYLOAD: it is told so first."""


def log(peer, reason):
    print(f"{peer[0]}:{peer[1]}: {reason}", file=sys.stderr)


# ---- frames and commands


def frame(payload):
    return len(payload).to_bytes(HEADER_SIZE, "little") + payload


def payload_length(header):
    length = int.from_bytes(header, "little")
    if length > MAX_PAYLOAD:
        raise TooLong(f"payload of {length} bytes exceeds {MAX_PAYLOAD}")
    return length


def respond(request):
    name, space, rest = request.partition(b" ")
    name_upper = name.upper()
    if not request:
        return b"-ERR empty command"
    if name_upper not in COMMANDS:
        return unknown_command(name)
    function, counts = COMMANDS[name_upper]
    arguments = split_arguments(name_upper, rest) if space else []
    if len(arguments) not in counts:
        return b"-ERR wrong number of arguments for '%s'" % name.lower()
    return function(*arguments)


def split_arguments(name, rest):
    if name in (b"PING", b"ECHO"):
        return [rest]
    return rest.split(b" ", 1 if name == b"SET" else -1)


def unknown_command(name):
    shown = "".join(chr(b) if 0x20 <= b <= 0x7E else f"\\x{b:02x}" for b in name[:64])
    return f"-ERR unknown command '{shown}'".encode()


def ping(message=None):
    return b"+PONG" if message is None else b"$" + message


def echo(message):
    return b"$" + message


def set_(key, value):
    store[key] = value
    return b"+OK"


def get(key):
    return b"$" + store[key] if key in store else b"_"


def del_(key):
    return b":1" if store.pop(key, None) is not None else b":0"


def incr(key):
    text = store.get(key, b"0")
    number = int(text) if is_integer(text) else INT64_MAX
    if number >= INT64_MAX:
        return b"-ERR value is not an integer or out of range"
    store[key] = b"%d" % (number + 1)
    return b":" + store[key]


def is_integer(text):
    canonical = re.fullmatch(rb"0|-?[1-9][0-9]{0,18}", text)
    return canonical is not None and INT64_MIN <= int(text) <= INT64_MAX


COMMANDS = {
    b"PING": (ping, (0, 1)),
    b"ECHO": (echo, (1,)),
    b"SET": (set_, (2,)),
    b"GET": (get, (1,)),
    b"DEL": (del_, (1,)),
    b"INCR": (incr, (1,)),
}

# ---- stage 2: blocking, one client after the other


def read_full(sock, count):
    """`count` bytes, or None if the stream ends before the first."""
    data = b""
    while len(data) < count:
        piece = sock.recv(count - len(data))
        if not piece:
            if data:
                raise Fault("closed inside a frame")
            return None
        data += piece
    return data


def read_request(sock):
    header = read_full(sock, HEADER_SIZE)
    if header is None:
        return None
    payload = read_full(sock, payload_length(header))
    if payload is None:
        raise Fault("closed inside a frame")
    return payload


def serve_client(sock):
    while True:
        try:
            request = read_request(sock)
        except TooLong as error:
            sock.sendall(frame(f"-ERR {error}".encode()))
            raise
        if request is None:
            return
        sock.sendall(frame(respond(request)))


def serve_blocking(listener):
    while True:
        sock, peer = listener.accept()
        with sock:
            try:
                serve_client(sock)
            except (Fault, OSError) as error:
                log(peer, error)


# ---- stages 3 and 4: an event loop


class Conn:
    def __init__(self, sock, peer, now):
        self.sock = sock
        self.peer = peer
        self.incoming = bytearray()  # received, not yet answered
        self.outgoing = bytearray()  # answered, not yet sent
        self.ended = False  # no more requests; close once all is sent
        self.last_active = now
        self.events = 0  # what poll() was told


def wanted_events(conn):
    events = 0
    if not conn.ended and len(conn.outgoing) < HIGH_WATER:
        events |= select.POLLIN
    if conn.outgoing:
        events |= select.POLLOUT
    return events


def handle_read(conn):
    data = conn.sock.recv(READ_SIZE)
    if not data:
        conn.ended = True
        if conn.incoming:
            log(conn.peer, "closed inside a frame")
        return
    conn.last_active = time.monotonic()
    conn.incoming += data
    answer(conn)


def handle_write(conn):
    try:
        sent = conn.sock.send(conn.outgoing)
    except BlockingIOError:
        return
    conn.last_active = time.monotonic()
    del conn.outgoing[:sent]
    # Requests may have waited for this room.
    answer(conn)


def answer(conn):
    """Answer the complete requests, until too many replies are unsent."""
    while len(conn.outgoing) < HIGH_WATER and len(conn.incoming) >= HEADER_SIZE:
        try:
            end = HEADER_SIZE + payload_length(conn.incoming[:HEADER_SIZE])
        except TooLong as error:
            log(conn.peer, error)
            conn.outgoing += frame(f"-ERR {error}".encode())
            conn.incoming.clear()
            conn.ended = True
            return
        if len(conn.incoming) < end:
            return
        request = bytes(conn.incoming[HEADER_SIZE:end])
        del conn.incoming[:end]
        conn.outgoing += frame(respond(request))


class Loop:
    def __init__(self, listener, idle_timeout):
        listener.setblocking(False)
        self.listener = listener
        self.idle_timeout = idle_timeout
        self.period = min(1.0, idle_timeout / 4) if idle_timeout else 1.0
        self.next_tick = time.monotonic() + self.period
        self.fd2conn = {}
        self.accept_failing = False
        self.poller = select.poll()
        self.poller.register(listener, select.POLLIN)

    def run_once(self):
        ready = self.poller.poll(self.period * 1000)
        for fd, events in ready:
            if fd == self.listener.fileno():
                while self.handle_accept():
                    pass
            else:
                self.serve(self.fd2conn[fd], events)
        now = time.monotonic()
        if now >= self.next_tick:
            self.next_tick = now + self.period
            self.tick(now)

    def serve(self, conn, events):
        try:
            if events & ~select.POLLOUT and wanted_events(conn) & select.POLLIN:
                handle_read(conn)
            if conn.outgoing:
                handle_write(conn)
        except OSError as error:
            self.close(conn, error)
            return
        self.update(conn)

    def update(self, conn):
        if conn.ended and not conn.outgoing:
            self.close(conn)
            return
        if conn.events != wanted_events(conn):
            conn.events = wanted_events(conn)
            self.poller.modify(conn.sock, conn.events)

    def close(self, conn, reason=None):
        if reason:
            log(conn.peer, reason)
        self.poller.unregister(conn.sock)
        del self.fd2conn[conn.sock.fileno()]
        conn.sock.close()

    def handle_accept(self):
        """Let one client in; False if there is none, or no room for it."""
        try:
            sock, peer = self.listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return False
        except OSError as error:  # out of descriptors
            if not self.accept_failing:
                print(f"cannot accept: {error}", file=sys.stderr)
            self.accept_failing = True
            self.poller.modify(self.listener, 0)
            return False
        self.accept_failing = False
        sock.setblocking(False)
        conn = Conn(sock, peer, time.monotonic())
        self.fd2conn[sock.fileno()] = conn
        conn.events = wanted_events(conn)
        self.poller.register(sock, conn.events)
        return True

    def tick(self, now):
        if self.accept_failing:
            self.poller.modify(self.listener, select.POLLIN)
        if not self.idle_timeout:
            return
        for conn in list(self.fd2conn.values()):
            if now - conn.last_active >= self.idle_timeout:
                self.close(conn, f"idle for {self.idle_timeout:g} s")


def serve_loop(listener, idle_timeout):
    loop = Loop(listener, idle_timeout)
    while True:
        loop.run_once()


# ---- start


def make_listener(port):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(1024)
    return listener


def stop(signum, stack):
    sys.exit(0)


def serve(stage, port, idle_timeout):
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    try:
        listener = make_listener(port)
    except (OSError, OverflowError) as error:
        sys.exit(f"cannot listen on port {port}: {error}")
    print(f"listening on 127.0.0.1:{listener.getsockname()[1]}", flush=True)
    if stage == 2:
        serve_blocking(listener)
    else:
        serve_loop(listener, idle_timeout)


def main():
    parser = argparse.ArgumentParser(
        description="A small correct server, and with `--mistake NAME` a wrong one."
    )
    parser.add_argument("--stage", type=int, choices=(2, 3, 4), default=4)
    parser.add_argument("--port", type=int, default=6404)
    parser.add_argument("--idle-timeout", type=float, default=300)
    parser.add_argument("--mistake")
    args = parser.parse_args()
    if args.mistake is None:
        serve(args.stage, args.port, args.idle_timeout)
        return
    path = Path(__file__)
    source = with_mistake(path.read_text(), MISTAKES[args.mistake].change)
    module = {"__name__": "wrong_server"}
    exec(compile(source, f"{path.name} ({args.mistake})", "exec"), module)
    module["serve"](args.stage, args.port, args.idle_timeout)


if __name__ == "__main__":
    main()

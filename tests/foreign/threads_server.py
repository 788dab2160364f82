"""A correct server in another style: one thread for each client, blocking calls.

Graded at stage 3.  Stage 4 asks for more than threads give: an idle client
costs this server a thread's stack, not 2 KiB.

It starts slowly on purpose: whoever grades it has to wait for the port.
"""

import argparse
import signal
import socket
import struct
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "milestone1_sockets"))
from app import respond  # noqa: E402 (the path comes first)

HEADER = struct.Struct("<I")
MAX_PAYLOAD = 1 << 20
START_SECONDS = 1.5  # what a large runtime may take to load
STACK_BYTES = 256 * 1024

commands = threading.Lock()  # INCR reads and writes the store


def read_request(stream):
    """The next payload, or None at the end; ValueError where there can be none."""
    header = stream.read(HEADER.size)
    if not header:
        return None
    if len(header) < HEADER.size:
        raise ValueError("closed inside a header")
    (length,) = HEADER.unpack(header)
    if length > MAX_PAYLOAD:
        raise OverflowError(f"payload of {length} bytes exceeds {MAX_PAYLOAD}")
    payload = stream.read(length)
    if len(payload) < length:
        raise ValueError("closed inside a payload")
    return payload


def send_reply(sock, reply):
    sock.sendall(HEADER.pack(len(reply)) + reply)


def converse(sock):
    with sock.makefile("rb") as stream:
        while True:
            try:
                request = read_request(stream)
            except OverflowError as error:
                send_reply(sock, f"-ERR {error}".encode())
                raise
            if request is None:
                return
            with commands:
                reply = respond(request)
            send_reply(sock, reply)


def serve_client(sock, peer):
    with sock:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            converse(sock)
        except (OSError, OverflowError, ValueError) as error:
            print(f"{peer[0]}:{peer[1]}: {error}", file=sys.stderr)


def serve_forever(listener):
    while True:
        try:
            sock, peer = listener.accept()
            threading.Thread(target=serve_client, args=(sock, peer), daemon=True).start()
        except (OSError, RuntimeError) as error:  # no descriptor or no thread left
            print(f"cannot accept: {error}", file=sys.stderr)
            time.sleep(0.2)


def make_listener(host, port):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(1024)
    return listener


def main():
    for number in signal.SIGINT, signal.SIGTERM:
        signal.signal(number, lambda *_: sys.exit(0))
    parser = argparse.ArgumentParser(
        description="A correct server in another style: one thread for each client, blocking calls."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=6403)
    args = parser.parse_args()
    threading.stack_size(STACK_BYTES)
    time.sleep(START_SECONDS)
    try:
        listener = make_listener(args.host, args.port)
    except (OSError, OverflowError) as error:
        sys.exit(f"cannot listen on {args.host}:{args.port}: {error}")
    with listener:
        host, port = listener.getsockname()
        print(f"listening on {host}:{port}", flush=True)
        serve_forever(listener)


if __name__ == "__main__":
    main()

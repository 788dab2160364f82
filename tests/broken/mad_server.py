"""A server that answers rightly for a while, and then closes, resets, floods or says no more.

    python3 mad_server.py SEED PORT

What it does, and at which byte, differs from connection to connection.  The suite has to
say in its own words what came of it, whatever its client was at.
"""

import random
import socket
import struct
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "milestone4_pipelining"))
from app import respond  # noqa: E402 (the path comes first)

RIGHT_AT_FIRST = 15  # connections: with the first rules that fail all others are not asked
ENDS = ["close"] * 4 + ["reset"] * 4 + ["flood"] * 2 + ["stall"]  # waiting takes long
EARLIEST, LATEST = -50, 200  # bytes


def serve(sock, end, at):
    """Answer; after `at` bytes of replies, or -at of a request, do what `end` says."""
    with sock, sock.makefile("rb") as stream:
        while len(header := stream.read(4)) == 4:
            length = int.from_bytes(header, "little")
            if at < 0 and end:
                stream.read(min(length, -at))
                break
            reply = respond(stream.read(min(length, 1 << 20)))
            data = len(reply).to_bytes(4, "little") + reply
            sock.sendall(data[:at] if end else data)
            at -= len(data)
            if end and at <= 0:
                break
        if end == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if end == "flood":
            sock.sendall(b"flood " * 100_000)
        if end == "stall":
            time.sleep(600)


def serve_or_lose(*arguments):
    try:
        serve(*arguments)
    except OSError:
        pass  # the client has left


def main():
    chance = random.Random(sys.argv[1])
    listener = socket.create_server(("127.0.0.1", int(sys.argv[2])), backlog=1024)
    count = 0
    while True:
        sock, _ = listener.accept()
        count += 1
        end = chance.choice(ENDS) if count > RIGHT_AT_FIRST else None
        arguments = (sock, end, chance.randrange(EARLIEST, LATEST))
        threading.Thread(target=serve_or_lose, args=arguments, daemon=True).start()


if __name__ == "__main__":
    main()

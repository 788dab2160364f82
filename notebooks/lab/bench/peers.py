"""What people would use instead of milestone 4: the same app.py behind other servers.

    python peers.py streams|protocol|uvloop|threads
    python peers.py nothing REQUEST:REPLY ...

The first four are written as somebody who knows the library would: the same frames,
the same limits, back-pressure, and no more work for a message than it needs.  The
last one only counts bytes: it shows how fast the load generator is.
"""

import argparse
import asyncio
import itertools
import logging
import select
import signal
import socket
import socketserver
import sys
from pathlib import Path

# The last milestone's directory is where app.py and framing.py come from.
sys.path.append(str(Path(__file__).resolve().parents[3] / "milestone4_pipelining"))

from app import respond  # noqa: E402
from framing import (  # noqa: E402
    HEADER,
    HEADER_SIZE,
    MAX_PAYLOAD,
    FrameError,
    decode_length,
    encode_frame,
    read_frame,
    write_frame,
)

HOST = "127.0.0.1"
BACKLOG = 4096  # clients that may come at once; most defaults are lower
HIGH_WATER = 1024 * 1024  # bytes of unsent replies, as in milestone 4


async def serve_stream(reader, writer):
    """asyncio streams: one coroutine for each client, one frame after another."""
    writer.transport.set_write_buffer_limits(HIGH_WATER)
    try:
        while True:
            length = decode_length(await reader.readexactly(HEADER_SIZE))
            request = await reader.readexactly(length)
            writer.write(encode_frame(respond(request)))
            await writer.drain()  # waits while too many replies are unread
    except FrameError as error:
        writer.write(encode_frame(f"-ERR {error}".encode()))
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        logging.info("client left: %s", error)
    writer.close()


class FrameProtocol(asyncio.Protocol):
    """asyncio without streams: the loop hands over what came, as it came."""

    __slots__ = ("transport", "pieces", "size", "needed", "paused")

    def connection_made(self, transport):
        transport.set_write_buffer_limits(HIGH_WATER)
        self.transport = transport
        self.pieces = []  # received, not yet answered
        self.size = 0  # bytes in pieces
        self.needed = HEADER_SIZE  # bytes without which the next request is not complete
        self.paused = False  # too many replies are unread

    def data_received(self, data):
        self.pieces.append(data)
        self.size += len(data)
        # A long request is joined once, not once for each piece of it.
        if self.size >= self.needed and not self.paused:
            self.answer()

    def answer(self):
        """Answer what is complete, up to HIGH_WATER bytes of replies."""
        data = self.pieces[0] if len(self.pieces) == 1 else b"".join(self.pieces)
        replies, waiting, begin, end = [], 0, 0, len(data)
        self.needed = HEADER_SIZE
        while waiting < HIGH_WATER and end - begin >= HEADER_SIZE:
            (length,) = HEADER.unpack_from(data, begin)
            if length > MAX_PAYLOAD:
                self.refuse(replies, length)
                return
            stop = begin + HEADER_SIZE + length
            if stop > end:
                self.needed = stop - begin
                break
            reply = respond(data[begin + HEADER_SIZE : stop])
            frame = HEADER.pack(len(reply)) + reply
            replies.append(frame)
            waiting += len(frame)
            begin = stop
        self.pieces = [data[begin:]] if begin < end else []
        self.size = end - begin
        if replies:
            self.transport.write(b"".join(replies))
        if waiting >= HIGH_WATER and not self.paused:
            # Complete requests may be left, but others get their turn first.
            self.pause_writing()
            asyncio.get_running_loop().call_soon(self.resume_writing)

    def refuse(self, replies, length):
        error = f"-ERR payload of {length} bytes exceeds {MAX_PAYLOAD}"
        self.transport.write(b"".join(replies) + encode_frame(error.encode()))
        self.transport.close()  # once everything is written

    def pause_writing(self):
        self.paused = True
        self.transport.pause_reading()

    def resume_writing(self):
        self.paused = False
        if self.size >= self.needed:
            self.answer()
        if not self.paused and not self.transport.is_closing():
            self.transport.resume_reading()


async def serve_asyncio(kind, port):
    if kind == "streams":
        server = await asyncio.start_server(serve_stream, HOST, port, backlog=BACKLOG)
    else:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(FrameProtocol, HOST, port, backlog=BACKLOG)
    announce(server.sockets[0])
    await server.serve_forever()


class ThreadHandler(socketserver.BaseRequestHandler):
    """socketserver: a thread for each client, blocking like milestone 2."""

    def handle(self):
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while (request := read_frame(self.request)) is not None:
                write_frame(self.request, respond(request))
        except FrameError as error:
            write_frame(self.request, f"-ERR {error}".encode())
        except ConnectionError as error:
            logging.info("client left: %s", error)


class ThreadServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = BACKLOG


def announce(sock):
    host, port = sock.getsockname()
    print(f"listening on {host}:{port}", flush=True)


def serve_nothing(listener, sizes):
    """Read requests of the given sizes in turn; answer zeros, of the reply's size."""
    poller = getattr(select, "epoll", select.poll)()
    poller.register(listener, select.POLLIN)
    clients = {}  # by descriptor: the socket, its turns, bytes missing, bytes to reply
    while True:
        for fd, _ in poller.poll():
            if fd == listener.fileno():
                sock, _ = listener.accept()
                poller.register(sock, select.POLLIN)
                turns = itertools.cycle(sizes)
                clients[sock.fileno()] = [sock, turns, *next(turns)]
                continue
            client = clients[fd]
            sock, turns, missing, reply = client
            data = sock.recv(missing)
            if not data:
                poller.unregister(fd)
                clients.pop(fd)[0].close()
            elif len(data) < missing:
                client[2] = missing - len(data)
            else:
                client[2:] = next(turns)
                sock.sendall(reply)


def main():
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parser = argparse.ArgumentParser(
        description="What people would use instead of milestone 4, behind the same app.py."
    )
    parser.add_argument("kind", choices=["streams", "protocol", "uvloop", "threads", "nothing"])
    parser.add_argument("--port", type=int, default=0, help="0: any free (%(default)s)")
    parser.add_argument("sizes", nargs="*", metavar="REQUEST:REPLY", help="in bytes")
    args = parser.parse_args()
    if args.kind == "threads":
        with ThreadServer((HOST, args.port), ThreadHandler) as server:
            announce(server.socket)
            server.serve_forever()
    if args.kind == "nothing":
        pairs = (size.split(":") for size in args.sizes)
        sizes = [(int(request), bytes(int(reply))) for request, reply in pairs]
        with socket.create_server((HOST, args.port), backlog=BACKLOG) as listener:
            announce(listener)
            serve_nothing(listener, sizes)
    if args.kind == "uvloop":
        import uvloop

        uvloop.install()
    asyncio.run(serve_asyncio(args.kind, args.port))


if __name__ == "__main__":
    main()

"""A correct server in another style: asyncio, with a Protocol for each client.

Graded at stage 4.  The commands are those of milestone 1; everything that moves
bytes is asyncio's, its reaction to a lack of descriptors included.
"""

import argparse
import asyncio
import signal
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "milestone1_sockets"))
from app import respond  # noqa: E402 (the path comes first)

HEADER = struct.Struct("<I")
MAX_PAYLOAD = 1 << 20
HIGH_WATER = 1 << 20  # bytes of unsent replies above which no request is run

clients = set()


class Client(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
        self.received = b""
        self.paused = False  # the client leaves its replies unread
        self.ended = False  # the client sends no more
        self.written = 0
        self.touch()
        self.sent_before = 0
        transport.set_write_buffer_limits(high=HIGH_WATER)
        clients.add(self)

    def touch(self):
        self.last_active = asyncio.get_running_loop().time()

    def data_received(self, data):
        self.touch()
        self.received += data
        self.answer()

    def answer(self):
        """Answer what is complete, until the client has too much to read."""
        begin = 0
        while not self.paused and len(self.received) - begin >= HEADER.size:
            (length,) = HEADER.unpack_from(self.received, begin)
            if length > MAX_PAYLOAD:
                self.refuse(length)
                return
            end = begin + HEADER.size + length
            if end > len(self.received):
                break
            self.send(respond(self.received[begin + HEADER.size : end]))
            begin = end
        self.received = self.received[begin:]
        if self.ended and not self.paused:
            self.finish()

    def send(self, reply):
        self.written += HEADER.size + len(reply)
        self.transport.write(HEADER.pack(len(reply)) + reply)

    def refuse(self, length):
        reason = f"payload of {length} bytes exceeds {MAX_PAYLOAD}"
        self.log(reason)
        self.received = b""
        self.send(f"-ERR {reason}".encode())
        self.transport.close()  # once everything is sent

    def finish(self):
        if self.received:
            self.log("closed inside a frame")
        self.transport.close()

    def eof_received(self):
        self.ended = True
        self.answer()
        return True  # keep the way back open

    def pause_writing(self):
        self.paused = True
        self.transport.pause_reading()

    def resume_writing(self):
        self.paused = False
        self.transport.resume_reading()
        self.answer()

    def connection_lost(self, error):
        clients.discard(self)
        if error:
            self.log(error)

    def log(self, reason):
        host, port = self.transport.get_extra_info("peername")
        print(f"{host}:{port}: {reason}", file=sys.stderr)

    def close_if_idle(self, now, seconds):
        sent = self.written - self.transport.get_write_buffer_size()
        if sent != self.sent_before:
            self.sent_before, self.last_active = sent, now
        if now - self.last_active >= seconds:
            self.log(f"idle for {seconds:g} s")
            self.transport.abort()


async def close_idle_clients(seconds):
    while True:
        await asyncio.sleep(seconds / 8)
        now = asyncio.get_running_loop().time()
        for client in list(clients):
            client.close_if_idle(now, seconds)


async def serve(host, port, idle_timeout):
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in signal.SIGINT, signal.SIGTERM:
        loop.add_signal_handler(number, stopped.set)
    server = await loop.create_server(Client, host, port, backlog=1024)
    host, port = server.sockets[0].getsockname()
    print(f"listening on {host}:{port}", flush=True)
    if idle_timeout:
        watch = loop.create_task(close_idle_clients(idle_timeout))
    await stopped.wait()
    if idle_timeout:
        watch.cancel()


def main():
    parser = argparse.ArgumentParser(
        description="A correct server in another style: asyncio, with a Protocol for each client."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=6404)
    parser.add_argument("--idle-timeout", type=float, default=300)
    args = parser.parse_args()
    try:
        asyncio.run(serve(args.host, args.port, args.idle_timeout))
    except (OSError, OverflowError) as error:
        sys.exit(f"cannot listen on {args.host}:{args.port}: {error}")


if __name__ == "__main__":
    main()

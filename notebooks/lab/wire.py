"""The wire as a client sees it: frames on a blocking socket with a time limit."""

import socket
import struct

HEADER = struct.Struct("<I")
SECONDS = 10  # no reply takes longer; past that recv() raises socket.timeout


class UnreachableError(Exception):
    """This machine does not reach itself; the text says what to do."""


def check_loopback():
    """UnreachableError if nobody can be reached at 127.0.0.1: that is not the servers' fault."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            socket.create_connection(listener.getsockname(), SECONDS).close()
    except OSError as error:
        raise UnreachableError(
            f"127.0.0.1 can't be reached ({error.strerror}); try: ip link set lo up"
        ) from None


def frame(payload):
    """The payload (bytes) with its 4-byte little-endian length in front."""
    return HEADER.pack(len(payload)) + payload


def connect(port, seconds=SECONDS):
    """A blocking socket to 127.0.0.1:`port`."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=seconds)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def receive_exactly(sock, count):
    """`count` bytes; ConnectionError with what came, if the stream ends before."""
    data = bytearray()
    while len(data) < count:
        piece = sock.recv(min(count - len(data), 1 << 20))
        if not piece:
            raise ConnectionError(
                f"stream ended after {len(data)} of {count} bytes: {bytes(data)!r}"
            )
        data += piece
    return bytes(data)


def receive_frame(sock):
    """The payload of the next frame."""
    (length,) = HEADER.unpack(receive_exactly(sock, HEADER.size))
    return receive_exactly(sock, length)


def ask(sock, request):
    """Send one request, return the payload of its reply."""
    sock.sendall(frame(request))
    return receive_frame(sock)

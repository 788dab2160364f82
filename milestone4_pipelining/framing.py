"""Frames on a blocking socket: a length, then that many bytes.

TCP carries a stream of bytes and keeps no message boundaries: recv() may
return half a message or two and a half.  A frame says where a message ends:

    4 bytes: length, unsigned, little-endian | length bytes: payload
"""

import struct
from socket import socket
from typing import Optional

HEADER = struct.Struct("<I")
HEADER_SIZE = HEADER.size
MAX_PAYLOAD = 1024 * 1024  # bytes; a peer may not make us hold more


class FrameError(Exception):
    """The peer broke the protocol: nothing after this can be made sense of."""


def decode_length(data: bytes, offset: int = 0) -> int:
    """The payload's length from the four bytes of a header, at `offset` in `data`.

    Raises FrameError for a length over MAX_PAYLOAD.
    """
    (length,) = HEADER.unpack_from(data, offset)
    if length > MAX_PAYLOAD:
        raise FrameError(f"payload of {length} bytes exceeds {MAX_PAYLOAD}")
    return length


def encode_frame(payload: bytes) -> bytes:
    """The payload with its header in front; ValueError if it is too long."""
    if len(payload) > MAX_PAYLOAD:
        raise ValueError(f"payload of {len(payload)} bytes exceeds {MAX_PAYLOAD}")
    return HEADER.pack(len(payload)) + payload


def read_full(sock: socket, count: int) -> Optional[bytes]:
    """Read exactly `count` bytes, however many recv() calls that takes.

    Returns the bytes, or None if the stream ends before the first of them: a
    clean end.  Raises ConnectionError if it ends later, OSError as recv() does.
    """
    received = bytearray()
    while len(received) < count:
        data = sock.recv(count - len(received))
        if not data:
            if not received:
                return None
            raise ConnectionError(f"closed inside a frame, after {len(received)} of {count} bytes")
        received += data
    return bytes(received)


def write_all(sock: socket, data: bytes) -> None:
    """Write all of `data`, however many send() calls that takes.

    Raises OSError as send() does; nobody knows then how much has arrived.
    """
    rest = memoryview(data)  # slicing a view copies nothing
    while rest:
        rest = rest[sock.send(rest) :]


def read_frame(sock: socket) -> Optional[bytes]:
    """Read one frame.

    Returns its payload (b"" is one), or None if the stream ends between
    frames.  Raises FrameError for a length over MAX_PAYLOAD, ConnectionError
    if the stream ends inside the frame.
    """
    header = read_full(sock, HEADER_SIZE)
    if header is None:
        return None
    payload = read_full(sock, decode_length(header))
    if payload is None:
        raise ConnectionError("closed inside a frame, after its header")
    return payload


def write_frame(sock: socket, payload: bytes) -> None:
    """Write one frame in one piece: two writes could become two segments."""
    write_all(sock, encode_frame(payload))

"""framing.py against a scripted socket and against a real one.

Milestones 2 to 4 have the same file (tests/project says so), so one is enough.
"""

import errno
import socket
import threading

import pytest
from loading import load_milestone

framing = load_milestone(2, "framing").framing

PAYLOADS = [b"", b"x", b"hello", bytes(range(256)) * 3]


class ScriptedSocket:
    """Plays back what recv() and send() do, call by call.

    arriving: for each recv(), the bytes that are there (b"" is the end of the
    stream) or an exception.  accepting: for each send(), how many bytes it takes,
    or an exception.  Calls beyond the script are a failure of the test.
    """

    def __init__(self, arriving=(), accepting=()):
        self.arriving = list(arriving)
        self.accepting = list(accepting)
        self.sent = bytearray()

    def recv(self, count):
        assert count > 0, "recv(0) cannot be told from the end of the stream"
        assert self.arriving, "one recv() too many"
        data = self.arriving.pop(0)
        if isinstance(data, Exception):
            raise data
        if len(data) > count:
            self.arriving.insert(0, data[count:])
        return data[:count]

    def send(self, data):
        assert len(data), "send() of nothing"
        assert self.accepting, "one send() too many"
        count = self.accepting.pop(0)
        if isinstance(count, Exception):
            raise count
        count = min(count, len(data))
        self.sent += data[:count]
        return count


def pieces(data, size):
    return [data[start : start + size] for start in range(0, len(data), size)]


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 4096])
def test_a_frame_is_read_from_pieces_of_any_size(payload, size):
    sock = ScriptedSocket(pieces(framing.encode_frame(payload), size))
    assert framing.read_frame(sock) == payload
    assert not sock.arriving


def test_every_pair_of_cuts_gives_the_same_two_frames():
    stream = framing.encode_frame(b"one") + framing.encode_frame(b"two!")
    for first in range(1, len(stream)):
        for second in range(first, len(stream)):
            cuts = stream[:first], stream[first:second], stream[second:]
            sock = ScriptedSocket([data for data in cuts if data] + [b""])
            replies = [framing.read_frame(sock) for _ in range(3)]
            assert replies == [b"one", b"two!", None], f"cut at {first} and {second}"


def test_reading_takes_no_byte_of_the_next_frame():
    sock = ScriptedSocket([framing.encode_frame(b"a") + b"rest"])
    framing.read_frame(sock)
    assert sock.arriving == [b"rest"]


def test_the_end_of_the_stream_at_every_position():
    stream = framing.encode_frame(b"hello")
    for position in range(len(stream)):
        sock = ScriptedSocket([stream[:position], b""] if position else [b""])
        if position == 0:
            assert framing.read_frame(sock) is None
            continue
        with pytest.raises(ConnectionError, match="inside a frame"):
            framing.read_frame(sock)


def test_the_end_in_the_middle_says_how_much_came():
    with pytest.raises(ConnectionError, match="after 2 of 4 bytes"):
        framing.read_full(ScriptedSocket([b"ab", b""]), 4)


@pytest.mark.parametrize("number", [errno.ECONNRESET, errno.ETIMEDOUT, errno.EAGAIN])
def test_an_error_at_every_call_of_recv_is_passed_on(number):
    stream = pieces(framing.encode_frame(b"hello"), 1)
    for call in range(len(stream)):
        sock = ScriptedSocket(stream[:call] + [OSError(number, "scripted")])
        with pytest.raises(OSError) as raised:
            framing.read_frame(sock)
        assert raised.value.errno == number


def test_read_full_of_nothing_reads_nothing():
    assert framing.read_full(ScriptedSocket(), 0) == b""


def test_the_header_is_little_endian_and_unsigned():
    assert framing.encode_frame(b"x" * 258)[:4] == b"\x02\x01\x00\x00"
    assert framing.decode_length(b"\x02\x01\x00\x00") == 258


@pytest.mark.parametrize("length", [0, 1, 255, 256, 65536, framing.MAX_PAYLOAD])
def test_lengths_up_to_the_limit_are_taken(length):
    assert framing.decode_length(length.to_bytes(4, "little") + b"more") == length
    assert framing.encode_frame(bytes(length))[:4] == length.to_bytes(4, "little")


@pytest.mark.parametrize("length", [framing.MAX_PAYLOAD + 1, 2**31, 2**32 - 1])
def test_a_length_over_the_limit_is_the_peers_fault(length):
    with pytest.raises(framing.FrameError, match=f"payload of {length} bytes exceeds 1048576"):
        framing.decode_length(length.to_bytes(4, "little"))


def test_after_a_length_over_the_limit_nothing_more_is_read():
    sock = ScriptedSocket([b"\xff\xff\xff\xff", b"payload"])
    with pytest.raises(framing.FrameError):
        framing.read_frame(sock)
    assert sock.arriving == [b"payload"]


def test_a_frame_error_is_not_a_connection_error():
    # The callers tell by the type whose fault it was.
    assert not issubclass(framing.FrameError, OSError)


def test_encoding_too_much_is_our_own_fault():
    with pytest.raises(ValueError, match="payload of 1048577 bytes exceeds 1048576"):
        framing.encode_frame(bytes(framing.MAX_PAYLOAD + 1))


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("size", [1, 2, 3, 5, 4096])
def test_a_frame_is_written_in_pieces_of_any_size(payload, size):
    frame = framing.encode_frame(payload)
    sock = ScriptedSocket(accepting=[size] * -(-len(frame) // size))
    framing.write_frame(sock, payload)
    assert bytes(sock.sent) == frame
    assert not sock.accepting


def test_a_frame_is_one_send_if_the_kernel_takes_it():
    # Two would go out as two packets, as TCP_NODELAY is set.
    sock = ScriptedSocket(accepting=[1 << 30])
    framing.write_frame(sock, b"hello")
    assert bytes(sock.sent) == b"\x05\x00\x00\x00hello"


@pytest.mark.parametrize("number", [errno.EPIPE, errno.ECONNRESET, errno.EAGAIN])
def test_an_error_at_every_call_of_send_is_passed_on(number):
    frame = framing.encode_frame(b"hello")
    for call in range(len(frame)):
        sock = ScriptedSocket(accepting=[1] * call + [OSError(number, "scripted")])
        with pytest.raises(OSError) as raised:
            framing.write_frame(sock, b"hello")
        assert raised.value.errno == number
        assert bytes(sock.sent) == frame[:call]


def test_writing_nothing_sends_nothing():
    sock = ScriptedSocket()
    framing.write_all(sock, b"")
    assert sock.sent == b""


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(10)
        theirs.settimeout(10)
        yield ours, theirs


def test_frames_through_a_real_socket(pair):
    ours, theirs = pair
    # More than the kernel takes at once, so that write_all() has to go on.
    payloads = [b"", b"first", bytes(range(256)) * 4096, b"last"]
    writer = threading.Thread(
        target=lambda: [framing.write_frame(ours, payload) for payload in payloads]
    )
    writer.start()
    received = [framing.read_frame(theirs) for _ in payloads]
    writer.join(10)
    assert received == payloads


def test_a_real_half_close_is_a_clean_end(pair):
    ours, theirs = pair
    framing.write_frame(ours, b"bye")
    ours.shutdown(socket.SHUT_WR)
    assert framing.read_frame(theirs) == b"bye"
    assert framing.read_frame(theirs) is None


def test_a_real_peer_that_leaves_is_an_error_for_the_writer(pair):
    ours, theirs = pair
    theirs.close()
    with pytest.raises(ConnectionError):
        framing.write_frame(ours, b"x")

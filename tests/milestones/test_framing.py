"""What the conformance tests do not see of framing.py.

Milestones 2 to 4 have the same file (tests/project says so), so one is enough.
"""

from unittest.mock import Mock

import pytest
from loading import load_milestone

framing = load_milestone(2, "framing").framing


def test_the_end_in_the_middle_says_how_much_came():
    with pytest.raises(ConnectionError, match="after 2 of 4 bytes"):
        framing.read_full(Mock(recv=Mock(side_effect=[b"ab", b""])), 4)


def test_a_frame_error_is_not_a_connection_error():
    # The callers tell by the type whose fault it was.
    assert not issubclass(framing.FrameError, OSError)


def test_encoding_too_much_is_our_own_fault():
    with pytest.raises(ValueError, match="payload of 1048577 bytes exceeds 1048576"):
        framing.encode_frame(bytes(framing.MAX_PAYLOAD + 1))


def test_a_frame_is_one_send_if_the_kernel_takes_it():
    # Two would go out as two packets, as TCP_NODELAY is set.
    send = Mock(side_effect=len)
    framing.write_frame(Mock(send=send), b"hello")
    send.assert_called_once_with(b"\x05\x00\x00\x00hello")


@pytest.mark.parametrize("error", [BrokenPipeError, ConnectionResetError, BlockingIOError])
def test_an_error_of_send_is_passed_on(error):
    with pytest.raises(error):
        framing.write_frame(Mock(send=Mock(side_effect=[4, error])), b"hello")


def test_writing_nothing_sends_nothing():
    sock = Mock()
    framing.write_all(sock, b"")
    assert not sock.send.called

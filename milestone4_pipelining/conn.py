"""One connection of the event loop: its flags, its bytes, its handlers.

A handler never waits and never closes.  It moves bytes, answers, and says in
three flags what the connection wants next; the loop in server.py acts on them.
"""

import logging
import time

from app import respond
from buffer import Buffer
from framing import HEADER_SIZE, FrameError, decode_length, encode_frame

READ_SIZE = 16 * 1024  # bytes taken from the kernel at a time
HIGH_WATER = 1024 * 1024  # bytes of unsent replies; no request is answered above it


class Conn:
    """The state of one connection, between the loop's visits.

    want_read   call handle_read when the socket is readable
    want_write  call handle_write when the socket is writable
    want_close  close the connection once `outgoing` has been sent

    The loop's fd2conn holds the only lasting reference to a Conn, and the Conn
    the only ones to its buffers.  So when the loop forgets a connection, however
    it ended, the memory goes with it: at once in CPython, at the next collection
    in PyPy.
    """

    def __init__(self, sock, address):
        self.sock = sock
        host, port = address or ("?", 0)  # macOS forgets who has given up
        self.peer = f"{host}:{port}"
        self.want_read = True
        self.want_write = False
        self.want_close = False
        self.faulty = False  # its fault has been logged
        self.incoming = Buffer()  # received, not yet answered
        self.replies = []  # of this visit, not yet in `outgoing`
        self.outgoing = Buffer()  # answered, not yet sent
        self.registered = 0  # the events that poll() has been told of
        self.last_active = time.monotonic()  # when a byte last moved, in seconds

    def is_done(self):
        """Is nothing left to do but to close the connection?"""
        return self.want_close and not self.outgoing


def handle_read(conn):
    """Take in what has arrived and answer all requests that are complete.

    Raises OSError if the peer vanished, BlockingIOError if nothing had come.
    """
    data = conn.sock.recv(READ_SIZE)
    if not data:  # end of file: the peer sends no more
        if conn.incoming:
            log_fault(conn, "closed inside a frame")
        conn.want_close = True
    else:
        conn.last_active = time.monotonic()
    conn.incoming.append(data)
    answer(conn)
    if conn.want_write:
        # Optimistic: the kernel nearly always has room.  If it has none, that
        # raises BlockingIOError, and the loop waits for POLLOUT as ever.
        handle_write(conn)


def handle_write(conn):
    """Send what the kernel takes, then answer what had to wait until now.

    Raises OSError if the peer vanished, BlockingIOError if there was no room.
    """
    sent = conn.sock.send(conn.outgoing.view())
    conn.last_active = time.monotonic()
    conn.outgoing.consume(sent)
    # More requests may have come along with the last one.  The kernel does not
    # hold them any more, so poll() would never tell us about them.
    answer(conn)


def answer(conn):
    """Answer every complete request, up to the high-water mark, and set the flags.

    After this something waits in `outgoing`, or no complete request waits in
    `incoming`.  So there is always an event that goes on with the connection.
    """
    conn.room = HIGH_WATER - len(conn.outgoing)
    try:
        while conn.room > 0 and try_one_request(conn):
            pass
    except FrameError as error:
        refuse(conn, error)
    if conn.replies:
        conn.outgoing.append(b"".join(conn.replies))
        conn.replies.clear()
    unsent = len(conn.outgoing)
    conn.want_write = unsent > 0
    # Reading stops at the high-water mark: a client that never reads its replies
    # must not make us collect its requests.
    conn.want_read = unsent < HIGH_WATER and not conn.want_close


def try_one_request(conn):
    """Answer the first request in `incoming`, if all of it is there.

    Returns True if a request was answered, False if bytes are missing: that
    is no error, more will come.  Raises FrameError for a length over the limit.
    """
    incoming = conn.incoming
    available = len(incoming)
    if available < HEADER_SIZE:
        return False
    end = HEADER_SIZE + decode_length(incoming.memory, incoming.data_begin)
    if available < end:
        return False
    begin = incoming.data_begin
    reply = encode_frame(respond(bytes(incoming.memory[begin + HEADER_SIZE : begin + end])))
    conn.replies.append(reply)
    conn.room -= len(reply)
    # A pointer is moved; what is behind the request stays where it is.
    incoming.consume(end)
    return True


def refuse(conn, error):
    """The peer broke the protocol: say so, and close once that is sent."""
    log_fault(conn, error)
    conn.incoming.clear()  # nothing in it can be made sense of
    conn.replies.append(encode_frame(f"-ERR {error}".encode()))
    conn.want_close = True


def drop(conn, reason):
    """The peer is gone, or as good as gone: close without sending the rest."""
    log_fault(conn, reason)
    conn.outgoing.clear()
    conn.want_read = conn.want_write = False
    conn.want_close = True


def log_fault(conn, reason):
    """One line for a connection's fault; what follows from it adds none."""
    if not conn.faulty:
        logging.warning("%s: %s", conn.peer, reason)
    conn.faulty = True

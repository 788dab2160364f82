"""One connection of the event loop: its flags, its bytes, its handlers.

A handler never waits and never closes.  It moves bytes, answers, and says in
three flags what the connection wants next; the loop in server.py acts on them.
"""

import logging

from app import respond
from framing import HEADER_SIZE, FrameError, decode_length, encode_frame

READ_SIZE = 16 * 1024  # bytes taken from the kernel at a time


class Conn:
    """The state of one connection, between the loop's visits.

    want_read   call handle_read when the socket is readable
    want_write  call handle_write when the socket is writable
    want_close  close the connection once `outgoing` has been sent
    """

    def __init__(self, sock, address):
        self.sock = sock
        host, port = address or ("?", 0)  # macOS forgets who has given up
        self.peer = f"{host}:{port}"
        self.want_read = True
        self.want_write = False
        self.want_close = False
        self.faulty = False  # its fault has been logged
        self.incoming = b""  # received, not yet answered
        self.outgoing = b""  # answered, not yet sent

    def is_done(self):
        """Is nothing left to do but to close the connection?"""
        return self.want_close and not self.outgoing


def handle_read(conn):
    """Take in what has arrived and answer one request if it is complete.

    Raises OSError if the peer vanished, BlockingIOError if nothing had come.
    """
    data = conn.sock.recv(READ_SIZE)
    if not data:  # end of file: the peer sends no more
        if conn.incoming:
            log_fault(conn, "closed inside a frame")
        conn.want_close = True
    conn.incoming += data
    answer(conn)


def handle_write(conn):
    """Send what the kernel takes, then answer what had to wait until now.

    Raises OSError if the peer vanished, BlockingIOError if there was no room.
    """
    sent = conn.sock.send(conn.outgoing)
    conn.outgoing = conn.outgoing[sent:]
    # More requests may have come along with the last one.  The kernel does not
    # hold them any more, so poll() would never tell us about them.
    answer(conn)


def answer(conn):
    """Answer one request, unless a reply still waits, and set the flags.

    After this something waits in `outgoing`, or no complete request waits in
    `incoming`.  So there is always an event that goes on with the connection.
    """
    try:
        if not conn.outgoing:
            try_one_request(conn)
    except FrameError as error:
        refuse(conn, error)
    unsent = len(conn.outgoing)
    conn.want_write = unsent > 0
    # Reading stops while a reply waits: a client that never reads its replies
    # must not make us collect its requests.
    conn.want_read = not conn.want_write and not conn.want_close


def try_one_request(conn):
    """Answer the first request in `incoming`, if all of it is there.

    Returns True if a request was answered, False if bytes are missing: that
    is no error, more will come.  Raises FrameError for a length over the limit.
    """
    if len(conn.incoming) < HEADER_SIZE:
        return False
    end = HEADER_SIZE + decode_length(conn.incoming)
    if len(conn.incoming) < end:
        return False
    conn.outgoing += encode_frame(respond(conn.incoming[HEADER_SIZE:end]))
    # Everything behind the request is copied to the front of a new object.
    conn.incoming = conn.incoming[end:]
    return True


def refuse(conn, error):
    """The peer broke the protocol: say so, and close once that is sent."""
    log_fault(conn, error)
    conn.incoming = b""  # nothing in it can be made sense of
    conn.outgoing += encode_frame(f"-ERR {error}".encode())
    conn.want_close = True


def drop(conn, reason):
    """The peer is gone, or as good as gone: close without sending the rest."""
    log_fault(conn, reason)
    conn.outgoing = b""
    conn.want_read = conn.want_write = False
    conn.want_close = True


def log_fault(conn, reason):
    """One line for a connection's fault; what follows from it adds none."""
    if not conn.faulty:
        logging.warning("%s: %s", conn.peer, reason)
    conn.faulty = True

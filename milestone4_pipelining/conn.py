"""One connection of the event loop: its flags, its bytes, its handlers.

A handler never waits and never closes.  It moves bytes, answers, and says in
three flags what the connection wants next; the loop in server.py acts on them.
"""

import logging
import time

from app import respond
from buffer import Buffer
from framing import HEADER, HEADER_SIZE, MAX_PAYLOAD, encode_frame

# A value of 64 KiB fits.  From 128 KiB on, malloc() asks the kernel at each recv().
READ_SIZE = 96 * 1024  # bytes taken from the kernel at a time
HIGH_WATER = 1024 * 1024  # bytes of unsent replies; no request is run above it


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

    # No __dict__: that halves what an idle connection costs.
    __slots__ = (
        "sock",
        "peer",
        "want_read",
        "want_write",
        "want_close",
        "faulty",
        "incoming",
        "outgoing",
        "needed",
        "changed",
        "registered",
        "last_active",
    )

    def __init__(self, sock, address):
        self.sock = sock
        host, port = address or ("?", 0)  # macOS forgets who has given up
        self.peer = f"{host}:{port}"
        self.want_read = True
        self.want_write = False
        self.want_close = False
        self.faulty = False  # its line is in the log
        self.incoming = Buffer()  # received, not yet answered
        self.outgoing = Buffer()  # answered, not yet sent
        self.needed = HEADER_SIZE  # bytes without which no request is complete
        self.changed = False  # flags were set that the loop has not seen
        self.registered = 0  # the events that poll() was told of
        self.last_active = time.monotonic()  # when a byte last moved, in seconds


def handle_read(conn, now):
    """Take in what has arrived and answer all requests that are complete.

    now: the time of this turn of the loop, in seconds.
    Raises OSError if the peer vanished, BlockingIOError if nothing had come.
    """
    data = conn.sock.recv(READ_SIZE)
    if not data:  # end of file: the peer sends no more
        if conn.incoming:
            log_fault(conn, "closed inside a frame")
        conn.want_close = True
        set_flags(conn)
        return
    conn.last_active = now
    conn.incoming.append(data)
    try_all_requests(conn)


def handle_write(conn, now):
    """Send what the kernel takes, then answer requests that had to wait.

    now: the time of this turn of the loop, in seconds.
    Raises OSError if the peer vanished, BlockingIOError if there was no room.
    """
    sent = conn.sock.send(conn.outgoing.view())
    conn.last_active = now
    conn.outgoing.consume(sent)
    set_flags(conn)
    # Requests above the high-water mark were left in `incoming`.  The kernel
    # does not hold them any more, so poll() would never tell us about them.
    try_all_requests(conn)


def try_all_requests(conn):
    """Answer every complete request in `incoming`, up to the high-water mark.

    One visit reads at most READ_SIZE and makes at most HIGH_WATER of replies
    and one more, so no connection keeps the others waiting for long.
    """
    incoming, outgoing, replies = conn.incoming, conn.outgoing, []
    # These are their lengths.  The calls of len() would cost 2 % of a message.
    waiting = outgoing.data_end - outgoing.data_begin
    if waiting >= HIGH_WATER or incoming.data_end - incoming.data_begin < conn.needed:
        return
    conn.needed = HEADER_SIZE
    memory = incoming.freeze()  # slices of it are bytes, as respond() takes them
    begin, data_end = incoming.data_begin, incoming.data_end
    while waiting < HIGH_WATER and data_end - begin >= HEADER_SIZE:
        (length,) = HEADER.unpack_from(memory, begin)
        if length > MAX_PAYLOAD:
            replies.append(refuse(conn, length))
            begin = data_end  # nothing behind it can be made sense of
            break
        end = begin + HEADER_SIZE + length
        if end > data_end:
            conn.needed = end - begin
            break
        reply = respond(memory[begin + HEADER_SIZE : end])
        replies.append(HEADER.pack(len(reply)) + reply)
        waiting += HEADER_SIZE + len(reply)
        begin = end
    incoming.consume(begin - incoming.data_begin)
    send_replies(conn, b"".join(replies))


def send_replies(conn, replies):
    """Send what the kernel takes; `outgoing` keeps the rest for handle_write.

    All replies at once: calls for each of them would cost as much as it does.
    Optimistic: the kernel nearly always has room, and asking poll() first would
    cost a turn of the loop.
    """
    sent = 0
    # Not ahead of older replies; and above the high-water mark more requests may
    # wait to be answered, which are for handle_write, when others had their turn.
    if not conn.want_write and 0 < len(replies) < HIGH_WATER:
        try:
            sent = conn.sock.send(replies)
        except BlockingIOError:
            sent = 0
    if sent < len(replies):
        conn.outgoing.append(replies[sent:])
        set_flags(conn)


def refuse(conn, length):
    """The peer broke the protocol: return the last reply, after which to close."""
    reason = f"payload of {length} bytes exceeds {MAX_PAYLOAD}"
    log_fault(conn, reason)
    conn.want_close = True
    set_flags(conn)
    return encode_frame(f"-ERR {reason}".encode())


def set_flags(conn):
    """Write what is left; read on unless the peer leaves too many replies unread."""
    conn.want_write = len(conn.outgoing) > 0
    conn.want_read = len(conn.outgoing) < HIGH_WATER and not conn.want_close
    conn.changed = True


def drop(conn, reason):
    """The peer is gone, or as good as gone: close without sending the rest."""
    log_fault(conn, reason)
    conn.outgoing.release()
    conn.want_close = True
    set_flags(conn)


def log_fault(conn, reason):
    """One line for a connection's fault; what follows from it adds none."""
    if not conn.faulty:
        logging.warning("%s: %s", conn.peer, reason)
    conn.faulty = True

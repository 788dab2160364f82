"""A key-value server on blocking sockets: one client at a time, frames on the wire.

A request is the payload of one frame, and so is its reply.
"""

import argparse
import logging
import signal
import socket
import sys

from app import respond
from framing import FrameError, read_frame, write_frame

DEFAULT_PORT = 6402


def make_listener(host, port):
    """Open a listening socket.

    host: an IPv4 address, or a name that has one; port: 0 takes a free port.
    Raises OSError (port in use, unknown host, ...), OverflowError (port out of
    range), TypeError or UnicodeError (no host can be called that).
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # Without this a restarted server would be refused its own port for a
    # minute, while connections of its predecessor are in TIME_WAIT.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # A reply is written in one piece, so holding back a small one until the last
    # is acknowledged (Nagle's algorithm) gains nothing.  Accepted sockets inherit
    # this.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.bind((host, port))
    listener.listen(socket.SOMAXCONN)
    return listener


def serve_client(sock):
    """Answer one client until it closes.

    Raises OSError if it vanishes, FrameError if it breaks the protocol; it has
    been told then.
    """
    while True:
        try:
            request = read_frame(sock)
        except FrameError as error:
            write_frame(sock, f"-ERR {error}".encode())
            raise
        if request is None:  # end of file between frames: the client has closed
            return
        write_frame(sock, respond(request))


def serve_forever(listener):
    """Serve the clients one after the other; the next one waits in the kernel."""
    while True:
        try:
            sock, address = listener.accept()
        except ConnectionAbortedError:
            continue  # it has given up in the meantime
        host, port = address or ("?", 0)  # macOS forgets who has given up
        # The socket is closed however serve_client() ends, and the fault of
        # one client must not end the server.
        with sock:
            try:
                serve_client(sock)
            except (FrameError, OSError) as error:
                logging.warning("%s:%d: %s", host, port, error)


def stop(signum, frame):
    """Leave wherever the server is; sockets are closed on the way out."""
    # A second Ctrl-C must not interrupt the closing.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(0)


def main():
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    logging.basicConfig(format="%(message)s")
    parser = argparse.ArgumentParser(description="Serve a dictionary over TCP.")
    parser.add_argument("--host", default="127.0.0.1", help="IPv4 address (%(default)s)")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0: any free (%(default)s)")
    args = parser.parse_args()
    try:
        listener = make_listener(args.host, args.port)
    except (OSError, OverflowError, TypeError, UnicodeError) as error:
        sys.exit(
            f"server.py: cannot listen on {args.host}:{args.port} ({error}); "
            "choose another --host or --port (--port 0 takes a free one)"
        )
    with listener:
        host, port = listener.getsockname()
        print(f"listening on {host}:{port}", flush=True)
        serve_forever(listener)


if __name__ == "__main__":
    main()

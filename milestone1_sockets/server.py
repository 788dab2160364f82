"""A key-value server on blocking sockets: one client at a time, no framing.

Whatever one recv() returns is taken for one request, and the reply is sent as
it is.
"""

import argparse
import logging
import signal
import socket
import sys

from app import respond

DEFAULT_PORT = 6401
READ_SIZE = 4096


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
    listener.bind((host, port))
    listener.listen(socket.SOMAXCONN)
    return listener


def serve_client(sock):
    """Answer one client until it closes.  Raises OSError if it vanishes."""
    while True:
        request = sock.recv(READ_SIZE)
        if not request:  # end of file: the client has closed
            return
        sock.sendall(respond(request))


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
            except OSError as error:
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

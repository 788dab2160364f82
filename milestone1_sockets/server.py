"""A key-value server on blocking sockets: one client at a time, no framing.

Whatever one recv() returns is treated as a complete request, and the reply is
sent as it is.
"""

import argparse
import logging
import os
import signal
import socket
import sys

# Where the other modules are: `python -P` does not look there by itself.
sys.path.insert(0, os.path.dirname(__file__))

from app import respond

DEFAULT_PORT = 6401
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
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
    accept_failing = False
    while True:
        try:
            sock, address = listener.accept()
        except OSError as error:  # this caller has given up, or no file descriptor is left
            if not accept_failing:
                logging.warning("cannot accept: %s", error)
            accept_failing = True
            continue
        accept_failing = False
        host, port = address or ("?", 0)  # macOS forgets who has given up
        # The socket is closed however serve_client() ends, and the fault of
        # one client must not end the server.
        with sock:
            try:
                serve_client(sock)
            except OSError as error:
                logging.warning("%s:%d: %s", host, port, error)
            except MemoryError:
                logging.warning("%s:%d: no memory for its request", host, port)


def stop(signum, frame):
    """Leave wherever the server is; sockets are closed on the way out."""
    # A second signal must not interrupt the closing: one that still comes is
    # blocked, and for one that Python has already noted there is nothing to do.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    for number in STOP_SIGNALS:
        signal.signal(number, do_nothing)
    signal.setitimer(signal.ITIMER_REAL, 0)
    sys.exit(0)


def do_nothing(signum, frame):
    pass


def wake_up_regularly():
    """Interrupt whatever the server waits in, twice a second, to see whether to stop."""
    # A signal that comes just before a call begins to wait is only noted by Python;
    # `stop` runs when that call returns.  The next signal makes it return.
    signal.signal(signal.SIGALRM, do_nothing)
    signal.setitimer(signal.ITIMER_REAL, 0.5, 0.5)


def announce(listener):
    """Say on standard output that the server listens, and where."""
    host, port = listener.getsockname()
    try:
        # Not print(): what that can't write, Python tries to write again at exit.
        os.write(1, f"listening on {host}:{port}\n".encode())
    except OSError as error:
        sys.exit(f"server.py: cannot write to standard output ({error})")


def main():
    for number in STOP_SIGNALS:
        signal.signal(number, stop)
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
        announce(listener)
        wake_up_regularly()
        serve_forever(listener)


if __name__ == "__main__":
    main()

"""A client for the key-value server: PING, ECHO, SET, GET, DEL and INCR.

client.py PING                sends one command and prints the reply
client.py                     asks for commands at a prompt
client.py < commands.txt      sends one command a line
client.py --pipeline < commands.txt      the same, without waiting for each reply
"""

import os
import signal
import sys

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C: no traceback, from the start
    sys.path.insert(0, os.path.dirname(__file__))  # where framing.py is, for `python -P` too

import argparse
import queue
import socket
import threading

from framing import MAX_PAYLOAD, FrameError, encode_frame, read_frame, write_all, write_frame

try:
    import readline  # noqa: F401  gives input() editing and history
except ImportError:
    pass  # not every Python has it; the prompt works without

DEFAULT_PORT = 6404
READ_SIZE = 64 * 1024  # bytes of input that are taken at a time
WINDOW = 16  # batches of READ_SIZE that may wait for their replies
ESCAPES = {ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t"}


def send_request(sock, request):
    """Send one request, as bytes; ValueError if it can't be sent."""
    write_frame(sock, request)


def receive_reply(sock):
    """Wait for one reply, as bytes; ConnectionError if the server closes first.

    Raises FrameError for a reply that is too long.
    """
    reply = read_frame(sock)
    if reply is None:
        raise ConnectionError("the server closed the connection")
    return reply


def escape(data):
    """Bytes as printable ASCII, the others as in a Python or C literal."""
    characters = []
    for byte in data:
        shown = chr(byte) if 0x20 <= byte <= 0x7E else f"\\x{byte:02x}"
        characters.append(ESCAPES.get(byte, shown))
    return "".join(characters)


def quote(data):
    escaped = escape(data.replace(b"\\", b"\\\\").replace(b'"', b'\\"'))
    return f'"{escaped}"'


def format_reply(reply):
    """A reply as redis-cli would print it, as a string."""
    kind, text = reply[:1], reply[1:]
    if kind == b"$":
        return quote(text)
    if kind == b":":
        return f"(integer) {escape(text)}"
    if kind == b"_":
        return "(nil)"
    if kind == b"-":
        return f"(error) {escape(text)}"
    if kind == b"+":
        return escape(text)
    return f"(not a reply) {quote(reply)}"


def show(text):
    """Print one line at once; the program ends, status 1, if it can't be written."""
    line = text.encode() + b"\n"
    try:
        while line:
            line = line[os.write(sys.stdout.fileno(), line) :]
    except BrokenPipeError:
        sys.exit(1)  # whoever read it has gone, as in `client.py < file | head -1`
    except OSError as error:
        sys.exit(f"client.py: cannot write to standard output: {error}")


def typed_commands(prompt):
    """Ask for commands until the user ends it with Ctrl-D, exit or quit."""
    # Ctrl-C leaves by an exception here, so that readline gives the terminal back.
    signal.signal(signal.SIGINT, lambda signum, frame: sys.exit(130))
    sys.stdin.reconfigure(errors="surrogateescape")  # any byte passes, as in fsencode()
    while True:
        try:
            line = input(prompt if sys.stdout.isatty() else "")
        except EOFError:
            show("")
            return
        except OSError as error:
            raise ValueError(f"cannot read standard input: {error}") from error
        if line.strip() in ("exit", "quit"):
            return
        if line:
            yield os.fsencode(line)


def read_input():
    """What standard input has at the moment; b"" at its end, ValueError if it can't be read."""
    try:
        # Not through sys.stdin, which takes "nothing there yet" for the end.
        return os.read(sys.stdin.fileno(), READ_SIZE)
    except OSError as error:
        raise ValueError(f"cannot read standard input: {error}") from error


def piped_batches():
    """Read a command a line: yields lists of those that have come, without empty ones."""
    rest = b""
    while chunk := read_input():
        *lines, rest = (rest + chunk).split(b"\n")
        yield [line for line in lines if line]
        if len(rest) > MAX_PAYLOAD:
            raise ValueError(f"a line of over {MAX_PAYLOAD} bytes")
    if rest:
        yield [rest]


def run(sock, command, prompt):
    """Send the command, or without one all that standard input has."""
    if command:
        requests = [os.fsencode(" ".join(command))]
    elif sys.stdin.isatty():
        requests = typed_commands(prompt)
    else:
        requests = (request for batch in piped_batches() for request in batch)
    for request in requests:
        send_request(sock, request)
        show(format_reply(receive_reply(sock)))


def run_pipeline(sock):
    """Send all of standard input; print the replies, in order, as they come.

    A thread of its own sends, so that replies are read even while the server
    takes no more requests: neither side can wait for the other for ever.
    """
    # The number of requests in each batch, or what ended the sending.  It holds
    # WINDOW of them, so the sender never runs far ahead of the reader.
    due = queue.Queue(WINDOW)
    threading.Thread(target=send_batches, args=(sock, due), daemon=True).start()
    for item in iter(due.get, None):  # until None comes
        if isinstance(item, Exception):
            raise item
        for _ in range(item):
            show(format_reply(receive_reply(sock)))


def send_batches(sock, due):
    """Send standard input, a frame a line; what goes wrong is put into `due`."""
    try:
        for batch in piped_batches():
            frames = b"".join(map(encode_frame, batch))
            due.put(len(batch))
            write_all(sock, frames)
        due.put(None)
    except (OSError, ValueError) as error:
        due.put(error)


def parse_options():
    """What the command line says; a mistake in it ends the program, status 2."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--host", default="127.0.0.1", help="the server's address (%(default)s)")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="its port (%(default)s)")
    parser.add_argument(
        "--pipeline", action="store_true", help="send all input without waiting for each reply"
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, help="after all options")
    options = parser.parse_args()
    if options.command[:1] == ["--"]:
        del options.command[0]  # it ends the options, and is no part of the command
    if not 0 < options.port < 65536:
        parser.error("--port takes 1 to 65535")
    if sys.stdout is None:
        sys.exit("client.py: standard output is closed")
    if not options.command and sys.stdin is None:
        sys.exit("client.py: there is no command, and standard input is closed")
    if options.pipeline and options.command:
        parser.error("--pipeline reads its commands from standard input")
    return options


def main():
    options = parse_options()
    server = f"{options.host}:{options.port}"
    try:
        sock = socket.create_connection((options.host, options.port))
    except (OSError, OverflowError, UnicodeError) as error:
        sys.exit(f"client.py: cannot connect to {server} ({error}); is the server running?")
    try:
        with sock:
            if options.pipeline:
                run_pipeline(sock)
            else:
                run(sock, options.command, prompt=f"{server}> ")
    except FrameError as error:
        sys.exit(f"client.py: {server} does not seem to speak frames: {error}")
    except OSError as error:
        sys.exit(f"client.py: lost {server}: {error}")
    except ValueError as error:
        sys.exit(f"client.py: not sent: {error}")


if __name__ == "__main__":
    main()

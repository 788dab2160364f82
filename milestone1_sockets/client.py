"""A client for the key-value server: PING, ECHO, SET, GET, DEL and INCR.

client.py PING                sends one command and prints the reply
client.py                     asks for commands at a prompt
client.py < commands.txt      sends one command a line
"""

import argparse
import os
import signal
import socket
import sys

try:
    import readline  # noqa: F401  gives input() editing and history
except ImportError:
    pass  # not every Python has it; the prompt works without

DEFAULT_PORT = 6401
READ_SIZE = 4096
ESCAPES = {ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t"}


def send_request(sock, request):
    """Send one request, as bytes; ValueError if it can't be sent."""
    # Without framing the server knows a request by one recv(): it never sees
    # an empty one, and takes a long one for two.
    if not 0 < len(request) <= READ_SIZE:
        raise ValueError(f"a request has 1 to {READ_SIZE} bytes, this one {len(request)}")
    sock.sendall(request)


def receive_reply(sock):
    """Wait for one reply, as bytes; ConnectionError if the server closes first."""
    reply = sock.recv(READ_SIZE)
    if not reply:
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
    """Print one line at once, even into a pipe."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # Whoever read our output has gone, as in `client.py < file | head -1`.
        # Python would try to flush again at exit: give it a place to write to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def typed_commands(prompt):
    """Ask for commands until the user ends it with Ctrl-D, exit or quit."""
    while True:
        try:
            line = input(prompt)
        except EOFError:
            print()
            return
        if line.strip() in ("exit", "quit"):
            return
        if line:
            yield os.fsencode(line)


def piped_commands():
    """Read a command a line from standard input; empty lines are skipped."""
    for line in sys.stdin.buffer:
        request = line[:-1] if line.endswith(b"\n") else line
        if request:
            yield request


def run(sock, command, prompt):
    """Send the command, or without one all that standard input has."""
    if command:
        requests = [os.fsencode(" ".join(command))]
    elif sys.stdin.isatty():
        requests = typed_commands(prompt)
    else:
        requests = piped_commands()
    for request in requests:
        send_request(sock, request)
        show(format_reply(receive_reply(sock)))


def parse_options():
    """What the command line says; a mistake in it ends the program, status 2."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--host", default="127.0.0.1", help="the server's address (%(default)s)")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="its port (%(default)s)")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="after all options")
    options = parser.parse_args()
    if not 0 < options.port < 65536:
        parser.error("--port takes 1 to 65535")
    if not options.command and sys.stdin is None:
        parser.error("there is no command, and standard input is closed")
    return options


def stop(signum, frame):
    """Ctrl-C: leave by an exception, so that readline gives the terminal back."""
    sys.exit(130)


def main():
    signal.signal(signal.SIGINT, stop)
    options = parse_options()
    server = f"{options.host}:{options.port}"
    try:
        sock = socket.create_connection((options.host, options.port))
    except (OSError, OverflowError, UnicodeError) as error:
        sys.exit(f"client.py: cannot connect to {server} ({error}); is the server running?")
    try:
        with sock:
            run(sock, options.command, prompt=f"{server}> ")
    except OSError as error:
        sys.exit(f"client.py: lost {server}: {error}")
    except ValueError as error:
        sys.exit(f"client.py: not sent: {error}")


if __name__ == "__main__":
    main()

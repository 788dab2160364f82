"""A small correct client, and with `--mistake NAME` a wrong one.

    python3 client.py --port 6404 [--pipeline] [--mistake NAME] < commands

As server.py beside it: client_mistakes.py has the right and the wrong lines.
"""

import argparse
import socket
import sys
import threading
from pathlib import Path

from client_mistakes import MISTAKES
from mistake import with_mistake

MAX_PAYLOAD = 1 << 20
SHOWN = {b"+": "%s", b":": "(integer) %s", b"-": "(error) %s", b"_": "(nil)%s", b"$": '"%s"'}


def read_full(sock, count):
    data = b""
    while len(data) < count:
        piece = sock.recv(count - len(data))
        if not piece:
            raise ConnectionError("the server has gone")
        data += piece
    return data


def read_reply(sock):
    length = int.from_bytes(read_full(sock, 4), "little")
    if length > MAX_PAYLOAD:
        raise ConnectionError("the server speaks something else")
    return read_full(sock, length)


def show(reply):
    kind, text = reply[:1], reply[1:]
    if kind == b"$":
        text = text.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    print(SHOWN[kind] % "".join(map(escape, text)), flush=True)


def escape(byte):
    if byte == ord("\n"):
        return "\\n"
    return chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}"


def send(sock, request):
    sock.sendall(len(request).to_bytes(4, "little") + request)


def run(sock, lines, pipeline):
    if pipeline:
        threading.Thread(target=send_all, args=(sock, lines), daemon=True).start()
    for line in lines:
        if not pipeline:
            send(sock, line)
        show(read_reply(sock))


def send_all(sock, lines):
    for line in lines:
        send(sock, line)


def talk(port, pipeline):
    lines = [line for line in sys.stdin.buffer.read().split(b"\n") if line]
    try:
        with socket.create_connection(("127.0.0.1", port)) as sock:
            run(sock, lines, pipeline)
    except OSError as error:
        sys.exit(f"lost the server: {error}")


def main():
    parser = argparse.ArgumentParser(description="A small client, right or wrong.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pipeline", action="store_true")
    parser.add_argument("--mistake")
    args = parser.parse_args()
    if args.mistake is None:
        talk(args.port, args.pipeline)
        return
    path = Path(__file__)
    source = with_mistake(path.read_text(), MISTAKES[args.mistake].change)
    module = {"__name__": "wrong_client"}
    exec(compile(source, f"{path.name} ({args.mistake})", "exec"), module)
    module["talk"](args.port, args.pipeline)


if __name__ == "__main__":
    main()

"""The four servers side by side: `make demo` tries them, `make servers` waits.

python -m lab.demo              one table, a row a thing to try, a column a milestone
python -m lab.demo --servers    the four on ports 6401-6404, until Ctrl-C
"""

import argparse
import contextlib
import select
import shutil
import signal
import socket
import sys
import textwrap
import time

from lab.observe.trace import start_traced_server
from lab.process import allow_clients, memory_used
from lab.servers import STAGES, StartError, start_server
from lab.wire import ask, connect, frame, receive_frame

GIVE_UP = 1.0  # seconds without a byte, after which a row says that it hangs
CLIENTS = 1000
PIPELINED = 10_000
BIG_VALUE = 100_000  # bytes
MEMORY_LIMIT = 64 * 1024  # KiB; a client that never reads is due 200 MB (PyPy collects late)

OK, NO, WRONG, NONE = "ok", "no", "!!", "- "
COLORS = {OK: "\x1b[32m", NO: "\x1b[33m", WRONG: "\x1b[1;31m", NONE: "\x1b[2m"}


class NotHere(Exception):
    """The row has no meaning for this milestone; the text says why."""


def encode(stage, request):
    return request if stage == 1 else frame(request)


def receive_reply(stage, sock):
    return sock.recv(4096) if stage == 1 else receive_frame(sock)


def milliseconds(start):
    elapsed = (time.perf_counter() - start) * 1000
    return f"{elapsed:.2f} ms" if elapsed < 10 else f"{elapsed:.0f} ms"


# Each of these plays one row.  It takes the stage and its running server.  It returns whether the
# milestone can do it, and what happened in a few words.


def two_in_one_packet(stage, server):
    with connect(server.port, GIVE_UP) as sock:
        sock.sendall(encode(stage, b"PING one") + encode(stage, b"PING two"))
        first = receive_reply(stage, sock)
        if first == b"$onePING two":
            return False, "1 merged reply"
        return [first, receive_reply(stage, sock)] == [b"$one", b"$two"], "2 replies"


def single_bytes(stage, server):
    replies = 0
    with connect(server.port, GIVE_UP) as sock:
        for byte in encode(stage, b"PING"):
            sock.sendall(bytes([byte]))
            # Long enough for a server that takes this byte for a request.
            if select.select([sock], [], [], 0.02)[0]:
                reply = receive_reply(stage, sock)
                replies += 1
    if replies == 1:
        return reply == b"+PONG", "1 reply"
    return False, f"{replies} replies, a byte each"


def silent_neighbour(stage, server):
    with connect(server.port, GIVE_UP) as silent, connect(server.port, GIVE_UP) as other:
        if stage > 1:
            silent.sendall(frame(b"PING")[:5])  # half a frame, then nothing
        start = time.perf_counter()
        other.sendall(encode(stage, b"PING"))
        try:
            receive_reply(stage, other)
            return True, f"answered in {milliseconds(start)}"
        except socket.timeout:
            silent.close()
            receive_reply(stage, other)
            return False, "waited until the other left"


def thousand_clients(stage, server):
    served = 0
    start = time.perf_counter()
    with contextlib.ExitStack() as stack:
        try:
            socks = []
            for _ in range(CLIENTS):
                socks.append(stack.enter_context(connect(server.port, GIVE_UP)))
                socks[-1].sendall(encode(stage, b"PING"))
            for sock in socks:
                receive_reply(stage, sock)
                served += 1
        except socket.timeout:
            return False, f"{served} served, then silence: gave up"
    return True, f"all served in {milliseconds(start)}"


def pipelined(stage, server):
    with connect(server.port, GIVE_UP) as sock:
        start = time.perf_counter()
        sock.sendall(encode(stage, b"PING") * PIPELINED)
        expected = PIPELINED * len(encode(stage, b"+PONG"))
        received = replies = 0
        try:
            while received < expected:
                received += len(sock.recv(1 << 16))
                replies += 1
        except socket.timeout:
            return False, f"{replies} or so for all of them"
        return True, f"{PIPELINED:,} replies in {milliseconds(start)}"


def never_reads(stage, server):
    if stage == 1:
        raise NotHere("no framing")
    with connect(server.port, GIVE_UP) as greedy, connect(server.port, GIVE_UP) as other:
        ask(greedy, b"SET big " + bytes(BIG_VALUE))
        before = memory_used(server.pid)
        greedy.sendall(frame(b"GET big") * 2000)  # 200 MB of replies are due
        try:
            for _ in range(100):
                ask(other, b"PING")
        except socket.timeout:
            return False, "nobody else was served"
        grown = max(0, memory_used(server.pid) - before)
        size = f"{grown / 1024:.0f} MiB" if grown > 1024 else "less than 1 MiB"
        return grown < MEMORY_LIMIT, f"others served, it cost {size}"


def count_polls(stage, talk):
    """How often a traced server calls poll() while `talk(sock)` goes on."""
    if stage < 3:
        raise NotHere("no poll()")
    with start_traced_server(stage) as server:
        with connect(server.port, GIVE_UP) as sock:
            ask(sock, b"PING")  # the connection is set up
            before = polls_in(server)
            talk(sock)
            ask(sock, b"PING")  # what went before has been recorded
            return polls_in(server) - before


def polls_in(server):
    return sum(record["call"] == "poll" for record in server.records())


def polls_in_turn(stage, server):
    requests = 100
    polls = count_polls(stage, lambda sock: [ask(sock, b"PING") for _ in range(requests)])
    each = polls / requests
    return round(each) == (2 if stage == 3 else 1), f"{each:.1f}"


def polls_together(stage, server):
    requests = 1000

    def talk(sock):
        sock.sendall(frame(b"PING") * requests)
        for _ in range(requests):
            receive_frame(sock)

    polls = count_polls(stage, talk)
    return polls < 50, f"{polls:,} for 1,000 requests"


# What each milestone promises: y it can, n it can't, - has no meaning there.
ROWS = (
    ("two requests in one packet", "nyyy", two_in_one_packet),
    ("a request in single bytes", "nyyy", single_bytes),
    ("a silent client, and another that asks", "nnyy", silent_neighbour),
    (f"{CLIENTS:,} clients at once", "nnyy", thousand_clients),
    (f"{PIPELINED:,} pipelined requests", "nyyy", pipelined),
    ("a client that never reads its replies", "-nyy", never_reads),
    ("poll() calls per request, one at a time (promised: 2, then 1)", "--yy", polls_in_turn),
    ("poll() calls for requests that arrive together", "--ny", polls_together),
)


def play(row, promise, stage, server):
    """Play one row against one server: the mark and what happened."""
    try:
        works, text = row(stage, server)
    except NotHere as reason:
        return (NONE if promise == "-" else WRONG), str(reason)
    except socket.timeout:
        return WRONG, "hung: gave up"
    except (OSError, StartError) as error:
        return WRONG, f"{type(error).__name__}: {error}"
    if works != (promise == "y"):
        return WRONG, text
    return (OK if works else NO), text


def table_row(cells, widths):
    """Cells of (mark, text) as lines of a table, each cell wrapped in its column."""
    columns = []
    for (mark, text), width in zip(cells, widths):
        lines = textwrap.wrap(text, width - 4) or [""]
        columns.append([mark.ljust(3) + lines[0], *("   " + line for line in lines[1:])])
    height = max(map(len, columns))
    rows = []
    for i in range(height):
        parts = []
        for (mark, _), column, width in zip(cells, columns, widths):
            text = (column[i] if i < len(column) else "").ljust(width)
            colored = sys.stdout.isatty() and mark in COLORS
            parts.append(f"{COLORS[mark]}{text}\x1b[0m" if colored else text)
        rows.append("".join(parts).rstrip())
    return "\n".join(rows)


def run_demo():
    """Play every row against every server; returns how many cells are wrong."""
    columns = min(max(shutil.get_terminal_size((120, 24)).columns, 80), 130)
    widths = [columns // 5 + 1] + [columns // 5] * 4
    wrong = 0
    with contextlib.ExitStack() as stack:
        servers = {stage: stack.enter_context(start_server(stage)) for stage in STAGES}
        print("Four servers, tried the same way.  ok: it can, as promised.  no: it can't, and a")
        print("later milestone solves it.  !!: not what was promised.  - : does not apply.\n")
        titles = ("1 sockets", "2 framing", "3 event loop", "4 pipelining")
        print(table_row([("", "what is tried"), *(("", title) for title in titles)], widths))
        for name, promises, row in ROWS:
            cells = [("", name)]
            for (stage, server), promise in zip(servers.items(), promises):
                show_progress(f"milestone {stage}: {name} ...")
                cells.append(play(row, promise, stage, server))
            show_progress("")
            print(table_row(cells, widths), flush=True)
            wrong += sum(mark == WRONG for mark, _ in cells)
    print()
    print("Every cell is as promised." if not wrong else f"{wrong} cell(s) marked !! are wrong.")
    return wrong


def show_progress(text):
    if sys.stdout.isatty():
        print("\r\x1b[K" + text, end="", flush=True)


def run_servers():
    """Start the four on their own ports and wait for Ctrl-C."""
    with contextlib.ExitStack() as stack:
        for stage, directory in STAGES.items():
            stack.enter_context(start_server(stage, port=6400 + stage))
            print(f"127.0.0.1:{6400 + stage}  {directory.name}", flush=True)
        print("Now try, in another terminal: python3 milestone4_pipelining/client.py PING")
        print("Ctrl-C ends all four.", flush=True)
        signal.pause()


def stop(signum, frame):
    """Ctrl-C or kill: leave; every `with` on the way out ends its server."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.exit(130)


def main():
    parser = argparse.ArgumentParser(prog="demo", description=__doc__.splitlines()[0])
    parser.add_argument("--servers", action="store_true", help="only start them, and wait")
    args = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        if args.servers:
            run_servers()
        allow_clients()
        sys.exit(1 if run_demo() else 0)
    except StartError as error:
        sys.exit(f"demo: a server did not start: {error}")


if __name__ == "__main__":
    main()

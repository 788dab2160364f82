"""The servers side by side: `make demo` tries them, `make servers` waits.

python3 -m lab.demo                    one table, a row a thing to try, a column a milestone
python3 -m lab.demo --steps 3.8 4.1    the same for steps, such as "3.8 4.1 4.2 4.3"
python3 -m lab.demo --servers          the four on ports 6401-6404, until Ctrl-C
"""

import argparse
import contextlib
import os
import select
import shutil
import signal
import socket
import sys
import textwrap
import time

from lab import history
from lab.contenders import milestones, steps
from lab.observe.trace import bytes_moved, count
from lab.process import memory_used, open_files_allowed
from lab.servers import STAGES, StartError, start_server
from lab.wire import UnreachableError, ask, check_loopback, connect, frame, receive_frame

GIVE_UP = 1.0  # seconds without a byte, after which a row says that it hangs
CLIENTS = 1000
PIPELINED = 10_000
BIG_VALUE = 100_000  # bytes
MEMORY_LIMIT = 64 * 1024  # KiB; a client that never reads is due 200 MB (PyPy collects late)

OK, NO, WRONG, NONE = "yes:", "no:", "!!", "-"
NOT_TRIED = "not tried:"
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
COLORS = {OK: "\x1b[32m", NO: "\x1b[33m", WRONG: "\x1b[1;31m", NONE: "\x1b[2m"}


class NotHere(Exception):
    """The row has no meaning for this milestone; the text says why."""


class NotTried(Exception):
    """This machine does not allow to try the row; the text says why."""


def milliseconds(start):
    elapsed = (time.perf_counter() - start) * 1000
    return f"{elapsed:.2f} ms" if elapsed < 10 else f"{elapsed:.0f} ms"


# Each of these plays one row.  It takes the stage and its running server.  It returns whether the
# milestone can do it, and what happened in a few words.


def two_in_one_packet(contender, server):
    with connect(server.port, GIVE_UP) as sock:
        sock.sendall(contender.encode(b"PING one") + contender.encode(b"PING two"))
        first = contender.receive(sock)
        if first == b"$onePING two":
            return False, "both got one merged reply"
        return [first, contender.receive(sock)] == [b"$one", b"$two"], "2 replies"


def single_bytes(contender, server):
    replies = 0
    with connect(server.port, GIVE_UP) as sock:
        for byte in contender.encode(b"PING"):
            sock.sendall(bytes([byte]))
            # Long enough for a server that takes this byte for a request.
            if select.select([sock], [], [], 0.02)[0]:
                reply = contender.receive(sock)
                replies += 1
    if replies == 1:
        return reply == b"+PONG", "1 reply"
    return False, f"{replies} replies, a byte each"


def silent_neighbour(contender, server):
    with connect(server.port, GIVE_UP) as silent, connect(server.port, GIVE_UP) as other:
        if contender.framed:
            silent.sendall(frame(b"PING")[:5])  # half a frame, then nothing
        start = time.perf_counter()
        other.sendall(contender.encode(b"PING"))
        try:
            contender.receive(other)
            return True, f"answered in {milliseconds(start)}"
        except socket.timeout:
            silent.close()
            contender.receive(other)
            return False, "waited until the other left"


def thousand_clients(contender, server):
    served = 0
    needed = CLIENTS + 200
    if open_files_allowed(needed) < needed:
        raise NotTried(f"needs {needed} open files (ulimit -Hn)")
    start = time.perf_counter()
    with contextlib.ExitStack() as stack:
        try:
            socks = []
            for _ in range(CLIENTS):
                socks.append(stack.enter_context(connect(server.port, GIVE_UP)))
                socks[-1].sendall(contender.encode(b"PING"))
            for sock in socks:
                contender.receive(sock)
                served += 1
        except socket.timeout:
            return False, f"{served} served, then silence: gave up"
    return True, f"all served in {milliseconds(start)}"


def pipelined(contender, server):
    with connect(server.port, GIVE_UP) as sock:
        start = time.perf_counter()
        sock.sendall(contender.encode(b"PING") * PIPELINED)
        expected = PIPELINED * len(contender.encode(b"+PONG"))
        received = replies = 0
        try:
            while received < expected:
                received += len(sock.recv(1 << 16))
                replies += 1
        except socket.timeout:
            return False, f"about {replies} in all"
        return True, f"{PIPELINED:,} replies in {milliseconds(start)}"


def never_reads(contender, server):
    if not contender.framed:
        raise NotHere("no framing")
    with connect(server.port, GIVE_UP) as greedy, connect(server.port, GIVE_UP) as other:
        ask(greedy, b"SET big " + bytes(BIG_VALUE))
        before = memory_used(server.pid)
        greedy.sendall(frame(b"GET big") * 2000)  # 200 MB of replies are due
        try:
            for _ in range(100):
                ask(other, b"PING")
        except socket.timeout:
            return False, "nobody else was served within a second"
        grown = max(0, memory_used(server.pid) - before)
        size = f"{grown / 1024:.0f} MiB" if grown > 1024 else "less than 1 MiB"
        return grown < MEMORY_LIMIT, f"others served, it cost {size}"


def traced(contender, talk):
    """What a traced server records while `talk(sock)` goes on."""
    if not contender.polls:
        raise NotHere("no poll()")
    with contender.start_traced() as server:
        with connect(server.port, GIVE_UP) as sock:
            ask(sock, b"PING")  # the connection is set up
            before = len(server.records())
            talk(sock)
            ask(sock, b"PING")  # what went before has been recorded
            return server.records()[before:]


def in_turn(sock):
    for _ in range(100):
        ask(sock, b"PING")


def together(sock):
    sock.sendall(frame(b"PING") * 1000)
    for _ in range(1000):
        receive_frame(sock)


def polls_in_turn(contender, server):
    each = count(traced(contender, in_turn), "poll") / 100
    return round(each) == 1, f"{each:.1f}"


def polls_together(contender, server):
    polls = count(traced(contender, together), "poll")
    return polls < 50, f"{polls:,} for 1,000 requests"


def moved_together(contender, server):
    moved = bytes_moved(traced(contender, together))
    return moved == 0, f"{moved:,} bytes"


# What each milestone promises: y it can, n it can't, - has no meaning there.
ROWS = (
    ("two requests in one packet", "nyyy", two_in_one_packet),
    ("a request in single bytes", "nyyy", single_bytes),
    ("a silent client, and another that asks", "nnyy", silent_neighbour),
    (f"{CLIENTS:,} clients at once", "nnyy", thousand_clients),
    (f"{PIPELINED:,} pipelined requests", "nyyy", pipelined),
    ("a client that never reads its replies", "-nyy", never_reads),
    ("one poll() call for each request, one at a time", "--ny", polls_in_turn),
    ("a few poll() calls for requests that arrive together", "--ny", polls_together),
    ("no byte moved to take them from the front", "--ny", moved_together),
)


def try_row(row, promise, contender, server):
    """Try one row with one server: the mark and what happened.

    promise: y, n or -; None where nothing is promised, as for steps.
    """
    try:
        works, text = row(contender, server)
    except NotHere as reason:
        return (NONE if promise in ("-", None) else WRONG), str(reason)
    except NotTried as reason:
        return NONE, f"{NOT_TRIED} {reason}"
    except socket.timeout:
        return (NO if promise is None else WRONG), "hung: gave up"
    except (OSError, StartError) as error:
        return (NO if promise is None else WRONG), f"{type(error).__name__}: {error}"
    if promise is not None and works != (promise == "y"):
        return WRONG, text
    return (OK if works else NO), text


def table_row(cells, widths):
    """Cells of (mark, text) as lines of a table, each cell wrapped in its column."""
    columns = []
    for (mark, text), width in zip(cells, widths):
        words = f"{mark} {text}".strip()
        columns.append(textwrap.wrap(words, width - 1, subsequent_indent="   "))
    height = max(map(len, columns))
    rows = []
    for i in range(height):
        parts = []
        for (mark, _), column, width in zip(cells, columns, widths):
            text = (column[i] if i < len(column) else "").ljust(width)
            colored = colors_wanted() and mark in COLORS
            parts.append(f"{COLORS[mark]}{text}\x1b[0m" if colored else text)
        rows.append("".join(parts).rstrip())
    return "\n".join(rows)


def run_demo(contenders, promised):
    """Try every row with every contender; returns how many cells are wrong.

    promised: whether these are the milestones, whose cells ROWS promises.
    """
    columns = min(max(shutil.get_terminal_size((120, 24)).columns, 80), 130)
    width = columns // (len(contenders) + 1)
    widths = [width] * (len(contenders) + 1)
    wrong, skipped = 0, 0
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(contender.start()) for contender in contenders]
        if promised:
            print(
                "Four servers, tried the same way.  yes: it can, as promised.  no: it can't, and a"
            )
            print("later milestone solves it.  !!: not what was promised.  -: does not apply.\n")
        titles = [("", contender.title) for contender in contenders]
        print(table_row([("", "what is tried"), *titles], widths))
        for name, promises, row in ROWS:
            cells = [("", name)]
            promise = promises if promised else [None] * len(contenders)
            for contender, server, its_promise in zip(contenders, servers, promise):
                show_progress(f"{contender.title}: {name} ...")
                cells.append(try_row(row, its_promise, contender, server))
            show_progress("")
            print(table_row(cells, widths), flush=True)
            wrong += sum(mark == WRONG for mark, _ in cells)
            skipped += sum(text.startswith(NOT_TRIED) for _, text in cells)
    if promised:
        print()
        if wrong:
            print(f"{wrong} cell(s) marked !! are wrong.")
        else:
            print(f"Every cell {'that could be tried ' if skipped else ''}is as promised.")
    return wrong


def colors_wanted():
    """Is standard output a terminal that shows colours, and does nobody mind?"""
    asked = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return sys.stdout.isatty() and not asked


def show_progress(text):
    if sys.stdout.isatty():
        print("\r\x1b[K" + text, end="", flush=True)


def run_servers():
    """Start the four on their own ports and wait for Ctrl-C."""
    with contextlib.ExitStack() as stack:
        for stage, directory in STAGES.items():
            port = 6400 + stage
            try:
                stack.enter_context(start_server(stage, port=port))
            except StartError as error:
                name = directory.name
                sys.exit(f"servers: {name} does not start; is port {port} taken?  {error}")
            print(f"127.0.0.1:{port}  {directory.name}", flush=True)
        print("Now try, in another terminal: python3 milestone4_pipelining/client.py PING")
        print("Ctrl-C ends all four.", flush=True)
        signal.pause()


def stop(signum, frame):
    """Ctrl-C or kill: leave; every `with` on the way out ends its server."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    for number in STOP_SIGNALS:
        signal.signal(number, lambda signum, frame: None)
    sys.exit(130)


def main():
    parser = argparse.ArgumentParser(prog="demo", description="The servers side by side.")
    parser.add_argument("--servers", action="store_true", help="only start them, and wait")
    parser.add_argument("--steps", nargs="+", metavar="N.K", help="try these steps instead")
    args = parser.parse_args()
    for number in STOP_SIGNALS:
        signal.signal(number, stop)
    try:
        if args.servers:
            run_servers()
        open_files_allowed()
        check_loopback()
        contenders = steps(args.steps) if args.steps else milestones()
        sys.exit(1 if run_demo(contenders, promised=not args.steps) else 0)
    except (history.HistoryError, UnreachableError) as error:
        sys.exit(f"demo: {error}")
    except StartError as error:
        sys.exit(f"demo: a server did not start: {error}")
    except BrokenPipeError:  # as in `make demo | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()

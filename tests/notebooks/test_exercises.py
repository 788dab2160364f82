"""The exercises of notebooks 03 and 04: unsolved, solved, and wrong in ways that are tempting."""

import ast
import json
import subprocess
import sys

import pytest
from lab.servers import ROOT

SECONDS = 60

FLAGS = """
my_flags = dict(zip(my_flags, [{"want_write"}, {"want_write"}, {"want_read"}, ANSWER]))
"""

HANDLE_WRITE = """
def handle_write(conn):
    sent = conn.sock.send(conn.outgoing)
    conn.outgoing = conn.outgoing[sent:]
    answer(conn)
"""

HANDLE_ACCEPT = """
def handle_accept(self):
    from framing import encode_frame

    try:
        sock, address = self.listener.accept()
    except (BlockingIOError, ConnectionAbortedError):
        return
    sock.setblocking(False)
    conn = Conn(sock, address)
    if len(self.fd2conn) >= 3:
        conn.outgoing = encode_frame(b"-ERR too many clients")
        conn.want_read = False
        conn.want_write = True
        conn.want_close = True
    self.fd2conn[sock.fileno()] = conn
"""

HANDLE_ACCEPT_AT_ONCE = """
def handle_accept(self):
    from framing import encode_frame

    sock, address = self.listener.accept()
    if len(self.fd2conn) >= 3:
        sock.send(encode_frame(b"-ERR too many clients"))
        sock.close()
        return
    sock.setblocking(False)
    self.fd2conn[sock.fileno()] = Conn(sock, address)
"""

POINTERS = """
my_pointers = dict(zip(my_pointers, [(0, 300, 512), (200, 300, 512), (0, 400, 800), ANSWER]))
"""

RING = """
class Ring:
    def __init__(self, capacity):
        self.memory = bytearray(capacity)
        self.begin = 0
        self.size = 0

    def __len__(self):
        return self.size

    def append(self, data):
        if self.size + len(data) > len(self.memory):
            raise ValueError("full")
        for byte in data:
            self.memory[(self.begin + self.size) % len(self.memory)] = byte
            self.size += 1

    def first(self, count):
        end = self.begin + count
        return bytes(self.memory[self.begin : end] + self.memory[: max(0, end - len(self.memory))])

    def consume(self, count):
        self.begin = (self.begin + count) % len(self.memory)
        self.size -= count
"""

HELPINGS = """
def answer(conn):
    from framing import MAX_PAYLOAD

    conn.room = HIGH_WATER - len(conn.outgoing)
    answered = 0
    try:
        while answered < 16 and conn.room > 0 and try_one_request(conn):
            answered += 1
    except FrameError as error:
        refuse(conn, error)
    if conn.replies:
        conn.outgoing.append(b"".join(conn.replies))
        conn.replies.clear()
    unsent = len(conn.outgoing)
    conn.want_write = unsent > 0
    room = unsent < HIGH_WATER and len(conn.incoming) < HEADER_SIZE + MAX_PAYLOAD
    conn.want_read = room and not conn.want_close
"""

MENDED = "len(conn.incoming) < HEADER_SIZE + MAX_PAYLOAD"

# The notebook, the exercise, what the student writes (None: nothing), the check's answer.
CASES = [
    ("03_eventloop", 1, None, "not yet: no answer yet to: two whole requests"),
    (
        "03_eventloop",
        1,
        FLAGS.replace("ANSWER", '{"want_close"}'),
        "not yet: look again at: a header",
    ),
    ("03_eventloop", 1, FLAGS.replace("ANSWER", '{"want_write", "want_close"}'), "yes"),
    ("03_eventloop", 2, None, "not yet: 1 of 5 replies came"),
    (
        "03_eventloop",
        2,
        HANDLE_WRITE.replace("answer(conn)", "conn.want_write = bool(conn.outgoing)"),
        "not yet: 1 of 5 replies",
    ),
    ("03_eventloop", 2, HANDLE_WRITE, "yes"),
    ("03_eventloop", 3, None, "not yet: the fourth client is not told"),
    ("03_eventloop", 3, HANDLE_ACCEPT.replace(">= 3", ">= 2"), "not yet: "),
    ("03_eventloop", 3, HANDLE_ACCEPT.replace("conn.want_close = True", "pass"), "not yet: "),
    ("03_eventloop", 3, HANDLE_ACCEPT_AT_ONCE, "not yet: handle_accept sends or closes by itself"),
    ("03_eventloop", 3, HANDLE_ACCEPT, "yes"),
    ("04_pipelining", 1, None, "not yet: look again at: append 300"),
    (
        "04_pipelining",
        1,
        POINTERS.replace("ANSWER", "(400, 400, 800)"),
        "not yet: look again at: consume 400",
    ),
    ("04_pipelining", 1, POINTERS.replace("ANSWER", "(0, 0, 512)"), "yes"),
    ("04_pipelining", 2, None, "not yet: Ring.append is not written"),
    (
        "04_pipelining",
        2,
        RING.replace("+ self.memory[: max(0, end - len(self.memory))]", ""),
        "not yet: step",
    ),
    ("04_pipelining", 2, RING.replace("self.size -= count", "pass"), "not yet: "),
    ("04_pipelining", 2, RING, "yes"),
    ("04_pipelining", 3, None, "not yet: 1,000 requests took 1 turns"),
    (
        "04_pipelining",
        3,
        HELPINGS.replace("unsent > 0", "unsent > 0 and answered < 16"),
        "not yet: the batch stalls",
    ),
    (
        "04_pipelining",
        3,
        HELPINGS.replace(MENDED, "True"),
        "not yet: of a client that never reads",
    ),
    ("04_pipelining", 3, HELPINGS.replace(MENDED, "len(conn.incoming) < 1000"), "not yet: "),
    ("04_pipelining", 3, HELPINGS, "yes"),
]


def cells_of(notebook):
    """The sources of a notebook's code cells, by the ends of their ids."""
    cells = json.loads((ROOT / "notebooks" / f"{notebook}.ipynb").read_text("utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    return {cell["id"].partition("-")[2]: "".join(cell["source"]) for cell in code}


def definitions(source):
    """The functions and classes that a cell defines, without running the rest."""
    nodes = ast.parse(source).body
    kept = [node for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    return "\n\n".join(ast.unparse(node) for node in kept)


@pytest.mark.parametrize("notebook, number, answer, verdict", CASES)
def test_the_check_tells_whether_the_exercise_is_solved(
    notebook, number, answer, verdict, tmp_path
):
    cells = cells_of(notebook)
    exercise = f"exercise-{number}"
    others = [definitions(text) for name, text in cells.items() if "exercise" not in name]
    parts = [cells["setup"], *others, cells[exercise], answer or "", cells[f"{exercise}-check"]]
    script = tmp_path / "cells.py"
    script.write_text("\n\n".join(parts), "utf-8")
    done = subprocess.run(
        [sys.executable, str(script)], cwd=ROOT, capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(verdict) and done.stdout.count("\n") == 1


def bare(source, name):
    """A function's syntax tree without its docstring, as text."""
    (function,) = (
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef) and node.name == name
    )
    if ast.get_docstring(function):
        function.body.pop(0)
    return ast.dump(function)


def test_the_last_exercise_starts_from_milestone_4_as_it_is():
    milestone = (ROOT / "milestone4_pipelining" / "conn.py").read_text("utf-8")
    assert bare(cells_of("04_pipelining")["exercise-3"], "answer") == bare(milestone, "answer")

"""Exercises: a copy of a milestone with a function or two replaced, and a judge of the result."""

import ast
import inspect
import shutil
import subprocess
import tempfile
import textwrap
from contextlib import contextmanager
from pathlib import Path

from lab.observe.trace import start_traced_server
from lab.servers import STAGES

DYING_SECONDS = 1  # from the end of its connections to the end of a server


def find_function(source, symbol):
    """The syntax tree of `name` or `Class.name` in a source; KeyError if it has none."""
    found = ast.parse(source)
    for name in symbol.split("."):
        found = {getattr(node, "name", None): node for node in found.body}[name]
    return found


def replace_function(source, symbol, function):
    """The source with the function `symbol` replaced by the text of `function`.

    The replacement is indented as the original is, and may have another name.
    """
    old = find_function(source, symbol)
    new = textwrap.dedent(inspect.getsource(function))
    new = new.replace(f"def {function.__name__}(", f"def {old.name}(", 1)
    lines = source.splitlines(keepends=True)
    lines[old.lineno - 1 : old.end_lineno] = textwrap.indent(new, " " * old.col_offset)
    return "".join(lines)


def changed_copy(stage, changes, folder):
    """Copy milestone `stage` to `folder` and replace functions there.

    changes: {"conn.py::handle_write": a function, ...}
    """
    shutil.copytree(STAGES[stage], folder, ignore=shutil.ignore_patterns("__pycache__"))
    for place, function in changes.items():
        file, _, symbol = place.partition("::")
        path = Path(folder, file)
        path.write_text(replace_function(path.read_text("utf-8"), symbol, function), "utf-8")


@contextmanager
def changed_server(stage, changes, *options, **tracing):
    """Run the server of milestone `stage` with functions replaced and calls traced.

    changes: see changed_copy(); the rest: see lab.observe.trace.start_traced_server().
    Where a connection is lost because the server has ended, ConnectionError has its last line.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, STAGES[stage].name)
        changed_copy(stage, changes, copy)
        with start_traced_server(copy / "server.py", *options, **tracing) as server:
            try:
                yield server
            except ConnectionError as error:
                try:
                    server.process.wait(DYING_SECONDS)
                except subprocess.TimeoutExpired:
                    raise error from None  # only the connection has ended
                *_, last = ["without a word", *server.stderr().splitlines()]
                raise ConnectionError(f"the server has ended: {last}") from None


def require(condition, message):
    """AssertionError with the message unless the condition holds, under `python -O` too."""
    if not condition:
        raise AssertionError(message)


def judge(check, praise="solved"):
    """Run the check of an exercise and print whether the exercise is solved, in one line.

    check: a function that raises an exception, of whatever kind, if it is not;
    praise: what to print if it is.
    """
    try:
        check()
    except Exception as problem:
        print(f"not yet: {str(problem) or type(problem).__name__}")
    else:
        print(f"yes: {praise}")

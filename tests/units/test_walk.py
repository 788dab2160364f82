"""The check of the notebooks' walks, on two small made-up milestones."""

import json

import pytest
from lab.lessons import walk

OLD_SERVER = '''"""Serve."""

import socket

PORT = 1
SIZE = 10


# What a client gets.
def serve(sock):
    data = sock.recv(SIZE)
    sock.sendall(data)


def stop():
    raise SystemExit


def main():
    stop()
'''
NEW_SERVER = '''"""Serve."""

import socket

from conn import Conn

PORT = 2


def stop():
    raise SystemExit


def main():
    stop()


# What a client gets.
def serve(sock):
    data = sock.recv(SIZE)
    sock.sendall(data)
'''
NEW_CONN = '''class Conn:
    """One connection."""

    @property
    def fd(self):
        return self.sock.fileno()

    # Not at once.
    def close(self):
        self.want_close = True
'''
APP = "def respond(request):\n    return request\n"
NEEDED = [
    "conn.py::Conn",
    "conn.py::Conn.fd",
    "conn.py::Conn.close",
    "server.py::imports",
    "server.py::PORT",
    "server.py::serve",
    "server.py::SIZE",
]


@pytest.fixture
def stages(tmp_path):
    """Two folders, the milestone before and the one after."""
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    after.mkdir()
    (before / "server.py").write_text(OLD_SERVER)
    (after / "server.py").write_text(NEW_SERVER)
    (after / "conn.py").write_text(NEW_CONN)
    for folder in (before, after):
        (folder / "app.py").write_text(APP)
    return before, after


@pytest.fixture
def claims(stages):
    """A correct walk from the first folder to the second."""
    needed = walk.changes(*map(walk.read_stage, stages))
    return [
        walk.Claim(name, walk.make_pin(change), number, prose_for(name))
        for number, (name, change) in enumerate(needed.items(), 1)
    ]


def prose_for(name):
    word = {"imports": "import"}.get(name.partition("::")[2], name)
    return f"## Why\nThis text about {word} says in more than twelve words why the line is needed."


def test_a_correct_walk_has_no_problem(stages, claims):
    assert walk.check_notebook(claims, *stages) == []


def test_every_changed_added_removed_and_moved_symbol_is_needed_and_no_other(stages):
    needed = walk.changes(*map(walk.read_stage, stages))
    assert sorted(needed) == sorted(NEEDED)
    assert {name: walk.describe(change) for name, change in needed.items()} == {
        "conn.py::Conn": "new",
        "conn.py::Conn.fd": "new",
        "conn.py::Conn.close": "new",
        "server.py::imports": "changed",
        "server.py::PORT": "changed",
        "server.py::serve": "moved",
        "server.py::SIZE": "removed",
    }


@pytest.mark.parametrize("dropped", NEEDED)
def test_a_dropped_claim_is_missing(stages, claims, dropped):
    kept = [claim for claim in claims if claim.name != dropped]
    (pin,) = (claim.pin for claim in claims if claim.name == dropped)
    first, *others = walk.check_notebook(kept, *stages)
    assert first.startswith(f'walk("{dropped}", "{pin}")  # missing: ')
    file = dropped.partition("::")[0]
    assert others == [f"# replay: the claimed changes do not give after/{file} byte for byte"]


def test_a_doubled_claim_is_told_for_both_cells(stages, claims):
    problems = walk.check_notebook([*claims, claims[2]._replace(cell=9)], *stages)
    assert [line.partition("# ")[2] for line in problems] == [
        "doubled: cell [3] is one of 2 that walk it",
        "doubled: cell [9] is one of 2 that walk it",
    ]


@pytest.mark.parametrize("name", ["server.py::stop", "app.py::respond", "server.py::nothing"])
def test_an_invented_claim_is_told(stages, claims, name):
    problems = walk.check_notebook([*claims, walk.Claim(name, "000000", 9, "")], *stages)
    assert problems == [f'walk("{name}")  # invented: cell [9] walks what does not change']


@pytest.mark.parametrize(
    "prose",
    [
        "",
        "Now `PORT`.",
        "## PORT and many more words, all of them in the heading and none of them below it",
        "Twelve words or more about a SUPPORT of which the constant's name is but a small part.",
        "Twelve words or more that talk about everything but the one constant that matters here.",
    ],
)
def test_a_claim_without_prose_is_told(stages, claims, prose):
    claims = [c._replace(prose=prose) if c.name == "server.py::PORT" else c for c in claims]
    (problem,) = walk.check_notebook(claims, *stages)
    assert problem.startswith('walk("server.py::PORT", ') and "# proseless: " in problem


def test_a_missing_or_wrong_pin_is_stale_and_the_line_to_paste_mends_it(stages, claims):
    right = claims[4]
    for wrong in (None, "abcdef"):
        claims[4] = right._replace(pin=wrong)
        (problem,) = walk.check_notebook(claims, *stages)
        line, _, reason = problem.partition("  # ")
        assert line == f'walk("{right.name}", "{right.pin}")'
        assert reason.startswith(f"stale: cell [5] has {wrong}")


@pytest.mark.parametrize(
    "side, file",
    [(0, "server.py"), (0, "app.py"), (1, "server.py"), (1, "app.py"), (1, "conn.py")],
)
def test_a_changed_line_is_noticed_wherever_it_is(stages, claims, side, file):
    path = stages[side] / file
    lines = path.read_text().split("\n")
    for index, line in enumerate(lines[:-1]):
        path.write_text("\n".join([*lines[:index], line + "  # mutated", *lines[index + 1 :]]))
        assert walk.check_notebook(claims, *stages), f"line {index + 1} of {file}: {line}"


def test_the_chunks_of_a_file_joined_are_the_file_byte_for_byte():
    source = "#!/usr/bin/env python3\n'''Doc.'''\n\n\nx = 1  # one\n\n# The end, no newline"
    assert "".join(walk.cut(source).values()) == source
    assert list(walk.cut(source)) == ["__doc__", "x"]
    assert "".join(walk.cut(NEW_CONN).values()) == NEW_CONN


def test_comments_decorators_and_blank_lines_belong_to_what_follows():
    chunks = walk.cut(NEW_CONN)
    assert list(chunks) == ["Conn", "Conn.fd", "Conn.close"]
    assert chunks["Conn.fd"].startswith("\n    @property\n")
    assert chunks["Conn.close"].startswith("\n    # Not at once.\n")


@pytest.mark.parametrize(
    "source, reason",
    [
        ("def f():\n    pass\n\n\nx = 1\n\n\ndef f():\n    pass\n", "f stands in two places"),
        ("print('hello')\n", "line 1 has no name"),
    ],
)
def test_code_that_cannot_be_named_is_refused_with_its_file(tmp_path, source, reason):
    folder = tmp_path / "stage"
    folder.mkdir()
    (folder / "odd.py").write_text(source)
    with pytest.raises(ValueError, match=f"stage/odd.py: {reason}"):
        walk.read_stage(folder)


def test_replay_checks_the_files_themselves(stages, claims, monkeypatch):
    # A cut() that loses a line would fool the comparison of chunks: not the replay.
    cut = walk.cut
    monkeypatch.setattr(walk, "cut", lambda source: cut(source.replace("# Not at once.", "")))
    before, after = map(walk.read_stage, stages)
    needed = walk.changes(before, after)
    claims = [claim._replace(pin=walk.make_pin(needed[claim.name])) for claim in claims]
    assert walk.check_notebook(claims, *stages) == [
        "# replay: the claimed changes do not give after/conn.py byte for byte"
    ]


def test_claims_are_read_from_a_notebook_with_the_prose_above_them(tmp_path):
    notebook = tmp_path / "n.ipynb"
    cells = [
        ("code", "%magic that is no Python", None),
        ("code", "walk = Walk(3)", None),
        ("code", "for folder in os.walk(top): print(folder)", None),
        ("markdown", "About `a` and `b`.", None),
        ("markdown", "Speaker notes.", "notes"),
        ("code", 'walk("x.py::a", "111111")\nwalk("x.py::b")', None),
        ("code", 'walk("x.py::c", "333333")', None),
    ]
    notebook.write_text(
        json.dumps(
            {
                "cells": [
                    {
                        "cell_type": kind,
                        "source": source.splitlines(keepends=True),
                        "metadata": {"slideshow": {"slide_type": slide}} if slide else {},
                    }
                    for kind, source, slide in cells
                ]
            }
        )
    )
    assert walk.read_notebook(notebook) == (
        3,
        [
            walk.Claim("x.py::a", "111111", 4, "About `a` and `b`."),
            walk.Claim("x.py::b", None, 4, "About `a` and `b`."),
            walk.Claim("x.py::c", "333333", 5, ""),
        ],
    )


def test_a_drawing_shows_every_line_with_its_sign_in_text_and_html():
    change = walk.Change(
        "s.py::f", "\n\ndef f():\n    a <= 1\n", "\n\ndef f():\n    b <= 1\n", False
    )
    drawing = walk.Drawing(change, "")
    assert repr(drawing) == "s.py::f  (changed)\n  def f():\n-     a <= 1\n+     b <= 1"
    assert drawing._repr_html_() == (
        '<pre style="font-family:monospace;line-height:1.4;overflow-x:auto">'
        "<b>s.py::f  (changed)</b>\n"
        "  def f():\n"
        '<span style="color:#8a3b00;background:#fbe9d9">-     a &lt;= 1</span>\n'
        '<span style="color:#0b5394;background:#dceaf9">+     b &lt;= 1</span></pre>'
    )


def test_a_walk_draws_from_the_milestones_and_says_when_the_pin_is_stale():
    told = walk.Walk(1)
    drawing = told.draw("server.py::serve_client", "000000")
    assert "edited since" in drawing.title
    assert all(sign == "+" for sign, _ in drawing.lines)
    needed = walk.changes({}, walk.read_stage(walk.STAGES[1]))
    pin = walk.make_pin(needed["server.py::serve_client"])
    assert "edited since" not in told.draw("server.py::serve_client", pin).title
    with pytest.raises(ValueError, match="milestone 1 does not change server.py::nothing"):
        told.draw("server.py::nothing")

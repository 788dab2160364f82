"""The walk: what a cell shows of a step, and what the check of the notebooks finds."""

import json

import pytest
from lab import history
from lab.lessons import walk

LONG = "This step changes how the server reads, because one read is not one message, as we saw."


def notebook(tmp_path, name, *cells):
    """A notebook in which each cell is (markdown, code)."""
    made = []
    for text, code in cells:
        made.append({"cell_type": "markdown", "metadata": {}, "source": [text]})
        made.append({"cell_type": "code", "metadata": {}, "source": [code]})
    path = tmp_path / f"{name}.ipynb"
    path.write_text(json.dumps({"cells": made}), "utf-8")
    return path


def call(number, *names):
    words = [number, history.find(number).pin, *names]
    return f"walk({', '.join(map(repr, words))})"


def whole(tmp_path, *changed):
    """Lesson 04 as it should be, with cells replaced: (place, text, code)."""
    cells = [(LONG, call(f"4.{place}")) for place in range(1, 5)]
    for place, text, code in changed:
        cells[place] = (text, code)
    return notebook(tmp_path, "04_pipelining", *cells)


def test_a_lesson_that_walks_each_step_once_is_fine(tmp_path):
    assert walk.check([whole(tmp_path)]) == []


def test_a_step_may_be_walked_in_parts(tmp_path):
    path = whole(tmp_path, (1, LONG, call("4.2", "conn.py") + "\n" + call("4.2", "buffer.py")))
    assert walk.check([path]) == []
    symbols = [name for name in walk.parts(history.find("4.2")) if "::" in name]
    assert "buffer.py::Buffer.consume" in symbols
    path = whole(tmp_path, (1, LONG, call("4.2", "conn.py", *symbols)))
    assert walk.check([path]) == []


@pytest.mark.parametrize(
    ("place", "text", "code", "found"),
    [
        (2, LONG, "pass", "step 4.3: conn.py is walked never"),
        (2, LONG, call("4.3") + "\n" + call("4.3"), "step 4.3: conn.py is walked 2 times"),
        (1, LONG, call("4.2", "conn.py"), "step 4.2: buffer.py::Buffer.append is walked never"),
        (2, LONG, 'walk("4.3", "000000")', "step 4.3 was edited; read the text again"),
        (2, LONG, call("4.3", "app.py"), "step 4.3 does not change app.py; it changes conn.py"),
        (2, LONG, 'walk("4.9", "000000")', "there is no step 4.9"),
        (2, "# A title that is long enough\nShort.", call("4.3"), "has to explain it"),
        (2, LONG, call("4.5"), "step 4.5 belongs into notebook 05"),
    ],
)
def test_what_is_wrong_with_a_lesson_is_told(tmp_path, place, text, code, found):
    problems = walk.check([whole(tmp_path, (place, text, code))])
    assert any(found in problem for problem in problems), problems


def test_steps_are_walked_in_order(tmp_path):
    path = whole(tmp_path, (1, LONG, call("4.3")), (2, LONG, call("4.2")))
    assert walk.check([path]) == ["the steps are walked in the order 4.1, 4.3, 4.2, 4.4"]


def test_a_drawing_has_signs_and_colours_and_says_when_the_pin_is_stale():
    step = history.find("4.1")
    drawn = walk.draw("4.1", step.pin, "conn.py")
    text = "\n".join(map(repr, drawn))
    page = "\n".join(drawing._repr_html_() for drawing in drawn)
    assert "+         while try_one_request(conn):" in text
    assert "-             try_one_request(conn)" in text
    assert "edited" not in text
    assert "edited since the text above was written" in repr(walk.draw("4.1", "000000")[0])
    assert '<span style="color:#0b5394;background:#dceaf9">+' in page
    assert page.count("\n") == text.count("\n")


def test_a_long_step_is_shown_in_pages():
    for step in history.steps():
        drawn = walk.draw(step.number, step.pin)
        assert all(len(drawing.page) <= walk.PAGE_ROWS for drawing in drawn)
        rows = [row for drawing in drawn for row in drawing.page if row[0]]
        parts = [row for lines in walk.parts(step).values() for row in lines]
        assert [row for row in rows if row[1]] == [row for row in parts if row[1]]


def test_a_new_file_is_cut_into_its_symbols_in_its_order():
    assert {"Buffer", "Buffer.append"} <= set(walk.cut(history.files_at("4.2")["buffer.py"]))
    source = history.files_at("1.4")["app.py"]  # a table stands behind its functions
    lines = [line for piece in walk.cut(source).values() for line in piece]
    assert lines == source.splitlines()


def test_every_line_of_a_patch_is_shown_but_those_of_a_file_that_goes():
    for step in history.steps():
        parts, after = walk.parts(step), history.files_at(step.number)
        gone = [name for name in history.file_diffs(step) if name not in after]
        assert all(parts.pop(name) == [("-", "(all of it)")] for name in gone)
        shown = [row for lines in parts.values() for row in lines]
        for sign in "+-":
            in_patch = [
                line[1:]
                for name, hunks in history.file_diffs(step).items()
                if name not in gone
                for _, lines in hunks
                for line in lines
                if line[0] == sign
            ]
            assert sorted(line for s, line in shown if s == sign) == sorted(in_patch), step.number

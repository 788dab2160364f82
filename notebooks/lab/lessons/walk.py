"""The walk: the notebooks explain every step of the history, each once and in order.

A cell shows what a step changes, under the prose that explains it:

    walk("4.3", "a41f9c")                             all of it
    walk("4.2", "b7e01d", "conn.py")                  what it changes in one file
    walk("4.2", "b7e01d", "buffer.py::Buffer.append") a part of a file that is new

The second argument is the pin, a hash of the step's patch: when the step is edited
the pin no longer fits, and somebody has to read the text again.

    python3 -m lab.lessons.walk             check all notebooks
    python3 -m lab.lessons.walk --pins 4.2  print what a notebook has to say for a step
"""

import ast
import collections
import html
import itertools
import json
import re
import sys

from lab import history
from lab.servers import ROOT

MIN_WORDS = 12  # shorter than that explains nothing
FRAME_STYLE = "font-family:monospace;line-height:1.4;overflow-x:auto"
STYLES = {"+": "color:#0b5394;background:#dceaf9", "-": "color:#8a3b00;background:#fbe9d9"}
PAGE_ROWS = 24  # what a slide shows of code, in a size that one can read
BETWEEN = "@"  # the sign of a line that stands for code that is not shown
ASIDE = re.compile(r"import |from |DEFAULT_PORT = |$")  # a change of such lines alone has no idea

# One call of walk() in a notebook.  names: the parts, () for all; cell: the number that
# Jupyter shows; prose: the markdown cells in front of it.
Claim = collections.namedtuple("Claim", "notebook number pin names cell prose")


# What a step consists of


def cut(source):
    """The pieces of a file in its order, {symbol: lines}: functions, methods, classes, the rest.

    A piece begins where the one before it ends, so blank lines, comments and
    decorators belong to what follows.
    """
    pieces, lines, begin = {}, source.splitlines(), 0
    for symbol, run in itertools.groupby(symbols(ast.parse(source)), key=lambda found: found[0]):
        *_, (_, end) = run
        if symbol in pieces:  # what stands between functions comes in several places
            symbol = f"{symbol} {len(pieces)}"
        pieces[symbol] = lines[begin:end]
        begin = end
    return pieces


def symbols(tree):
    """Yield (symbol, number of its last line) for each statement of a module."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            for child in node.body:
                method = isinstance(child, ast.FunctionDef)
                yield f"{node.name}.{child.name}" if method else node.name, child.end_lineno
        elif isinstance(node, ast.FunctionDef):
            yield node.name, node.end_lineno
        else:
            yield "rest", node.end_lineno


def parts(step):
    """What can be walked of a step: {name: [(sign, line), ...]}.

    A file that changes is one part.  A file that is new has a part for each symbol.
    """
    before, after, found = history.files_before(step.number), history.files_at(step.number), {}
    for name, hunks in history.file_diffs(step).items():
        if name not in after:
            found[name] = [("-", "(all of it)")]
        elif name in before:
            found[name] = list(hunk_lines(before[name], hunks))
        else:
            for symbol, lines in cut(after[name]).items():
                found[f"{name}::{symbol}"] = [("+", line) for line in lines]
    return found


def hunk_lines(old, hunks):
    """Yield (sign, line); a line before each hunk says in which function it begins."""
    old = old.splitlines()
    for first, lines in hunks:
        above = [re.match(r"\s*(?:def|class) (\w+)", line) for line in old[: first + 2]]
        names = [match[1] for match in above if match]
        yield BETWEEN, f"... {names[-1]}" if names else "..."
        yield from ((line[0], line[1:]) for line in lines)


def chosen(step, names):
    """The parts called `names`, all of them for (); a file's name stands for its parts."""
    every = parts(step)
    if not names:
        return every
    found = {}
    for name in names:
        these = {
            part: lines for part, lines in every.items() if name in (part, part.split("::")[0])
        }
        if not these:
            known = ", ".join(every)
            raise ValueError(f"step {step.number} does not change {name}; it changes {known}")
        found.update(these)
    return found


# Drawing


def pages(step, names):
    """The rows of parts of a step, (sign, line), in pages of PAGE_ROWS at most.

    Each page begins with the name of its file, the sign of which is "".
    """
    found = []
    for name, lines in chosen(step, names).items():
        file, _, symbol = name.partition("::")
        heading = ("", file + ("  (new)" if symbol else ""))
        # Blank lines only keep a piece apart from the one above.
        while lines[0] == ("+", ""):
            lines = lines[1:]
        for piece in pieces(lines):
            fits = found and found[-1][0] == heading and len(found[-1]) + len(piece) <= PAGE_ROWS
            if not fits:
                found.append([heading])
            found[-1] += piece
    return found


def pieces(lines):
    """Lines in pieces that go on one page: hunks, or as much of a long one as fits."""
    found = []
    for row in lines:
        if not found or row[0] == BETWEEN or len(found[-1]) == PAGE_ROWS - 1:
            found.append([])
        found[-1].append(row)
    return found


class Drawing:
    """A page of a step as a notebook shows it: coloured where HTML is shown, else plain."""

    def __init__(self, title, page):
        self.title, self.page = title, page

    def is_aside(self):
        """Does it change nothing but imports and the port?  Slides leave it out."""
        changed = [line for sign, line in self.page if sign in STYLES]
        return all(ASIDE.match(line) for line in changed)

    def __repr__(self):
        rows = (
            f"{sign} {line}".strip() if not sign else f"{sign} {line}" for sign, line in self.page
        )
        return "\n".join([self.title, *(row.rstrip() for row in rows)])

    def _repr_html_(self):
        rows = [f"<b>{html.escape(self.title)}</b>"]
        for sign, line in self.page:
            text = html.escape(f"{sign} {line}".rstrip() if sign else line, quote=False)
            style = STYLES.get(sign)
            rows.append(
                f'<span style="{style}">{text}</span>'
                if style
                else f"<i>{text}</i>"
                if sign in ("", BETWEEN)
                else text
            )
        kind = ' class="aside"' if self.is_aside() else ""
        return f'<pre{kind} style="{FRAME_STYLE}">' + "\n".join(rows) + "</pre>"


def draw(number, pin, *names):
    """A step or parts of it, a list of Drawings; ValueError if it has no such part."""
    step = history.find(number)
    note = "" if pin == step.pin else "  - edited since the text above was written"
    title = f"{step.number}  {step.title}{note}"
    return [Drawing(title, page) for page in pages(step, names)]


def walk(number, pin, *names):
    """In a notebook: show a step, or parts of it."""
    from IPython.display import display  # nothing else here needs Jupyter

    display(*draw(number, pin, *names))


# Checking the notebooks


def cell_text(cell):
    return "".join(cell["source"])


def is_notes(cell):
    return cell["metadata"].get("slideshow", {}).get("slide_type") == "notes"


def read_claims(path):
    """The calls of walk() in a notebook, in order, as Claims."""
    claims, number, prose = [], 0, ""
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        if cell["cell_type"] == "markdown":
            prose += "" if is_notes(cell) else cell_text(cell) + "\n\n"
            continue
        number += 1
        if "walk(" in cell_text(cell):  # other cells may hold what is no plain Python
            for node in ast.walk(ast.parse(cell_text(cell))):
                if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "walk":
                    step, pin, *names = (ast.literal_eval(argument) for argument in node.args)
                    claims.append(Claim(path.name, step, pin, tuple(names), number, prose))
        prose = ""
    return claims


def check(paths):
    """What is wrong with the walks of the notebooks, as lines; none if all is well."""
    claims = [claim for path in paths for claim in read_claims(path)]
    problems = [problem for claim in claims for problem in check_claim(claim)]
    order = list(dict.fromkeys(claim.number for claim in claims))
    wanted = [step.number for step in history.steps() if step.number in order]
    if order != wanted:
        problems.append(f"the steps are walked in the order {', '.join(order)}")
    told = {path.name[:2] for path in paths}
    for step in history.steps():
        if lesson(step.number) in told:
            problems += check_step(step, [claim for claim in claims if claim.number == step.number])
    return problems


def lesson(number):
    """The number of the notebook that tells a step, as its name begins."""
    milestone, place = map(int, number.split("."))
    if milestone < 4:
        return f"0{milestone}"
    return {4: "04" if place <= 4 else "05"}.get(milestone, "06")


def check_claim(claim):
    """Yield what is wrong with one call of walk()."""
    where = f"{claim.notebook} [{claim.cell}]"
    try:
        step = history.find(claim.number)
        chosen(step, claim.names)
    except (history.HistoryError, ValueError) as error:
        yield f"{where}: {error}"
        return
    if claim.pin != step.pin:
        yield f"{where}: step {claim.number} was edited; read the text again, its pin is {step.pin}"
    text = re.sub(r"^#+ .*$", "", claim.prose, flags=re.MULTILINE)
    if len(re.findall(r"\w+", text)) < MIN_WORDS:
        yield f"{where}: the text above has to explain it, in {MIN_WORDS} words or more"
    if claim.notebook[:2] != lesson(claim.number):
        yield f"{where}: step {claim.number} belongs into notebook {lesson(claim.number)}"


def check_step(step, claims):
    """Yield what of a step is walked never, or twice."""
    shown = collections.Counter()
    for claim in claims:
        try:
            shown.update(chosen(step, claim.names).keys())
        except ValueError:
            continue  # check_claim() tells
    for name in parts(step):
        if shown[name] != 1:
            times = "never" if not shown[name] else f"{shown[name]} times"
            yield f"step {step.number}: {name} is walked {times}"


def main(words):
    if words[:1] == ["--pins"] and len(words) == 2:
        step = history.find(words[1])
        print(f'walk("{step.number}", "{step.pin}")', *parts(step), sep="\n    ")
        return
    if words:
        sys.exit("usage: python3 -m lab.lessons.walk [--pins STEP]")
    problems = check(sorted((ROOT / "notebooks").glob("*.ipynb")))
    print("\n".join(problems) or "every step is walked once, in order")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main(sys.argv[1:])

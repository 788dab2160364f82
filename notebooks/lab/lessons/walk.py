"""The walk: notebook N explains every line that differs between two milestones.

A milestone's Python files are cut into chunks, each with a name `file::symbol`.
In notebook N a cell draws what happened to one chunk on the way from milestone
N-1 (nothing at all, for notebook 1) to milestone N:

    walk("conn.py::try_one_request", "a41f9c")

The second argument is the pin, a hash of the old and the new chunk: when the
code is edited the pin no longer fits, and somebody has to read the text again.

    python -m lab.lessons.walk             check all notebooks
    python -m lab.lessons.walk --pins 3    print every claim that notebook 3 has to make
"""

import ast
import collections
import difflib
import hashlib
import html
import itertools
import json
import re
import sys

from lab.servers import ROOT, STAGES

MIN_WORDS = 12  # shorter than that explains nothing
# How prose calls the chunks that have no name in the code.
SPOKEN = {"__doc__": {"docstring"}, "imports": {"import", "imports"}}
FRAME_STYLE = "font-family:monospace;line-height:1.4;overflow-x:auto"
STYLES = {"+": "color:#0b5394;background:#dceaf9", "-": "color:#8a3b00;background:#fbe9d9"}

# old, new: the chunk's text, None where it does not exist; moved: it stands in
# another place among the chunks that stay.
Change = collections.namedtuple("Change", "name old new moved")
# cell: the number that Jupyter shows; prose: the markdown cell in front of it.
Claim = collections.namedtuple("Claim", "name pin cell prose")


# Cutting a file into chunks.


def cut(source):
    """The chunks of a file, as {symbol: text} in their order in the file.

    A chunk begins where the one before it ends, so blank lines, comments and
    decorators belong to what follows, and the texts joined are the file.
    Raises ValueError for code that has no name or is scattered.
    """
    lines = re.findall(r"[^\n]*\n|[^\n]+", source)
    chunks, begin = {}, 0
    for symbol, ends in itertools.groupby(symbols(source), lambda pair: pair[0]):
        if symbol in chunks:
            raise ValueError(f"{symbol} stands in two places")
        end = max(end for _, end in ends)
        chunks[symbol] = "".join(lines[begin:end])
        begin = end
    if begin < len(lines):  # comments at the very end
        last = list(chunks)[-1] if chunks else "__doc__"
        chunks[last] = chunks.get(last, "") + "".join(lines[begin:])
    return chunks


def symbols(source):
    """Yield (symbol, number of its last line) for each statement of a file."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            yield node.name, node.lineno
            for child in node.body:
                is_method = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef))
                yield (f"{node.name}.{child.name}" if is_method else node.name), child.end_lineno
        else:
            yield statement_name(node), node.end_lineno


def statement_name(node):
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return node.name
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return "__doc__"
    if is_import(node):
        return "imports"
    if isinstance(node, ast.Assign):
        return ast.unparse(node.targets[0])
    if isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
        return "__main__"
    raise ValueError(f"line {node.lineno} has no name that a walk could use")


def is_import(node):
    if isinstance(node, ast.Try):
        return all(is_import(child) for child in node.body)
    return isinstance(node, (ast.Import, ast.ImportFrom))


# Comparing two milestones.


def read_stage(folder):
    """The chunks of all Python files in a folder, as {"file::symbol": text}.

    None stands for the empty folder that milestone 1 starts from.
    """
    chunks = {}
    for path in sorted(folder.glob("*.py")) if folder else ():
        try:
            parts = cut(path.read_bytes().decode())
        except (SyntaxError, ValueError) as error:
            raise ValueError(f"{path.parent.name}/{path.name}: {error}") from error
        chunks.update({f"{path.name}::{symbol}": text for symbol, text in parts.items()})
    return chunks


def changes(before, after):
    """What a notebook has to walk, as {name: Change}; arguments as read_stage() returns."""
    stay_before = [name for name in before if name in after]
    stay_after = [name for name in after if name in before]
    matcher = difflib.SequenceMatcher(None, stay_before, stay_after, autojunk=False)
    in_place = set()
    for block in matcher.get_matching_blocks():
        in_place.update(stay_before[block.a : block.a + block.size])
    found = {}
    for name in [*after, *(name for name in before if name not in after)]:
        moved = name in before and name in after and name not in in_place
        change = Change(name, before.get(name), after.get(name), moved)
        if moved or change.old != change.new:
            found[name] = change
    return found


def replay(before, after, names):
    """Apply the changes called `names` to `before`; returns {file: text}.

    Each chunk is put behind the one that it follows in `after`.
    """
    order = [name for name in before if name not in names]
    position = 0
    for name in after:
        if name in names:
            order.insert(position, name)
        if name in order:
            position = order.index(name) + 1
    files = collections.defaultdict(str)
    for name in order:
        files[name.partition("::")[0]] += after[name] if name in names else before[name]
    return dict(files)


def make_pin(change):
    both = json.dumps([change.old, change.new])
    return hashlib.sha256(both.encode()).hexdigest()[:6]


def describe(change):
    """What happened to a chunk, in a word."""
    if change.old is None:
        return "new"
    if change.new is None:
        return "removed"
    return "changed" if change.old != change.new else "moved"


def claim_line(change):
    """The line for a cell, ready to paste."""
    return f'walk("{change.name}", "{make_pin(change)}")'


# Drawing.


def diff_lines(old, new):
    """Yield (sign, line) for a diff that shows all lines; sign is " ", "+" or "-"."""
    a, b = old.splitlines(), new.splitlines()
    for tag, a0, a1, b0, b1 in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if tag == "equal":
            yield from ((" ", line) for line in a[a0:a1])
        else:
            yield from (("-", line) for line in a[a0:a1])
            yield from (("+", line) for line in b[b0:b1])


class Drawing:
    """One change as a notebook shows it: coloured where HTML is shown, else plain."""

    def __init__(self, change, note):
        self.title = f"{change.name}  ({describe(change)}){note}"
        # Blank lines only keep a chunk apart from the one above.
        old, new = ((text or "").lstrip("\n") for text in (change.old, change.new))
        self.lines = list(diff_lines(old, new))

    def __repr__(self):
        return "\n".join([self.title, *(f"{sign} {line}".rstrip() for sign, line in self.lines)])

    def _repr_html_(self):
        rows = [f"<b>{html.escape(self.title)}</b>"]
        for sign, line in self.lines:
            text = html.escape(f"{sign} {line}".rstrip(), quote=False)
            style = STYLES.get(sign)
            rows.append(f'<span style="{style}">{text}</span>' if style else text)
        return f'<pre style="{FRAME_STYLE}">' + "\n".join(rows) + "</pre>"


class Walk:
    """In a notebook: `walk = Walk(3)`, then walk(name, pin) once for each change."""

    def __init__(self, stage):
        self.stage = stage

    def draw(self, name, pin=None):
        """The Drawing of one change; ValueError if this stage does not change `name`."""
        before, after = read_stage(STAGES.get(self.stage - 1)), read_stage(STAGES[self.stage])
        change = changes(before, after).get(name)
        if change is None:
            raise ValueError(f"milestone {self.stage} does not change {name}")
        fits = pin == make_pin(change)
        return Drawing(change, "" if fits else "  - edited since the text above was written")

    def __call__(self, name, pin=None):
        from IPython.display import display  # nothing else here needs Jupyter

        display(self.draw(name, pin))


# Checking the notebooks.


def is_notes(cell):
    return cell["metadata"].get("slideshow", {}).get("slide_type") == "notes"


def cell_text(cell):
    return "".join(cell["source"])


def calls(cell, name):
    """Yield the arguments of each call of `name` in a cell; None for one that is no literal."""
    if f"{name}(" not in cell_text(cell):
        return  # other cells may hold what is no plain Python, such as %magic
    for node in ast.walk(ast.parse(cell_text(cell))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == name:
            yield [getattr(argument, "value", None) for argument in node.args]


def code_cells(cells):
    """Yield (number, cell, prose) for code cells; prose: the markdown cell just above."""
    number, prose = 0, ""
    for cell in cells:
        if cell["cell_type"] == "code":
            number += 1
            yield number, cell, prose
            prose = ""
        elif not is_notes(cell):
            prose = cell_text(cell)


def read_notebook(path):
    """The stage that a notebook tells (None if it holds no Walk) and its claims."""
    stage, claims = None, []
    for number, cell, prose in code_cells(json.loads(path.read_text("utf-8"))["cells"]):
        for arguments in calls(cell, "Walk"):
            stage = arguments[0]
        for arguments in calls(cell, "walk"):
            name, pin = (*arguments, None, None)[:2]
            claims.append(Claim(name, pin, number, prose))
    return stage, claims


def explains(prose, name):
    """Does this markdown say something, outside its headings, and name the symbol?"""
    text = re.sub(r"^#+ .*$", "", prose, flags=re.MULTILINE)
    symbol = name.rpartition("::")[2].rpartition(".")[2]
    words = re.findall(r"\w+", text)
    return len(words) >= MIN_WORDS and not SPOKEN.get(symbol, {symbol}).isdisjoint(words)


def check_claims(before, after, claims):
    """What is wrong with a notebook's claims, as lines ready to paste with the reason."""
    needed = changes(before, after)
    claimed = collections.Counter(claim.name for claim in claims)
    problems = [
        f"{claim_line(change)}  # missing: {describe(change)}, and no cell walks it"
        for name, change in needed.items()
        if not claimed[name]
    ]
    for claim in claims:
        problems += check_claim(claim, needed.get(claim.name), claimed[claim.name])
    return problems


def check_claim(claim, change, count):
    """Yield what is wrong with one claim.

    change: what it claims, None if there is no such change; count: how many
    claims there are of it.
    """
    where = f"cell [{claim.cell}]"
    if change is None:
        yield f'walk("{claim.name}")  # invented: {where} walks what does not change'
        return
    line = claim_line(change)
    if count > 1:
        yield f"{line}  # doubled: {where} is one of {count} that walk it"
    if claim.pin != make_pin(change):
        yield f"{line}  # stale: {where} has {claim.pin}; read the text above it again"
    if not explains(claim.prose, claim.name):
        yield (
            f"{line}  # proseless: the markdown cell above {where} has to name it "
            f"and to explain it in {MIN_WORDS} words or more"
        )


def check_replay(before, after, claims, folder):
    """Do the claimed changes turn the old files into those in `folder`, to the byte?"""
    names = {claim.name for claim in claims}
    replayed = replay(before, after, names & {*before, *after})
    actual = {path.name: path.read_bytes() for path in folder.glob("*.py")}
    return [
        f"# replay: the claimed changes do not give {folder.name}/{name} byte for byte"
        for name in sorted({*replayed, *actual})
        if replayed.get(name, "").encode() != actual.get(name, b"")
    ]


def check_notebook(claims, folder_before, folder_after):
    """Everything that is wrong with one notebook's claims, as a list of lines."""
    before, after = read_stage(folder_before), read_stage(folder_after)
    problems = check_claims(before, after, claims)
    return problems + check_replay(before, after, claims, folder_after)


def check_stage(stage):
    """Check the notebook that tells one stage; returns lines, none if all is well."""
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    found = [(path, *read_notebook(path)) for path in notebooks]
    telling = [(path, claims) for path, told, claims in found if told == stage]
    if len(telling) != 1:
        return [f"# milestone {stage}: {len(telling)} notebooks hold Walk({stage}), not one"]
    ((path, claims),) = telling
    problems = check_notebook(claims, STAGES.get(stage - 1), STAGES[stage])
    return [f"# {path.name}", *problems] if problems else []


def main(arguments):
    if arguments[:1] == ["--pins"] and arguments[1:] in [[str(stage)] for stage in STAGES]:
        stage = int(arguments[1])
        needed = changes(read_stage(STAGES.get(stage - 1)), read_stage(STAGES[stage]))
        problems = []
        print("\n".join(claim_line(change) for change in needed.values()))
    elif arguments:
        sys.exit("usage: python -m lab.lessons.walk [--pins STAGE]")
    else:
        problems = [line for stage in STAGES for line in check_stage(stage)]
        print("\n".join(problems) or "every changed line is walked exactly once")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main(sys.argv[1:])

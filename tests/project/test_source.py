"""What the repository promises about its own files."""

import ast
import re
import shutil
import statistics
import subprocess
import sys
from difflib import SequenceMatcher, unified_diff
from functools import cache
from itertools import combinations

import pytest
from lab.servers import ROOT, STAGES

LONGEST_FUNCTION = 30  # lines
LARGEST_CHANGE = 30  # lines removed and added, in one function
MEDIAN_FUNCTION = 10
SAME_FILES = {"app.py": (1, 2, 3, 4), "framing.py": (2, 3, 4)}


@cache
def functions(path):
    """The functions of a file as {qualified name: list of lines}."""
    text = path.read_text(encoding="utf-8")
    lines, found = text.splitlines(), {}

    def cut(node, prefix):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef):
                found[prefix + child.name] = lines[child.lineno - 1 : child.end_lineno]
            if isinstance(child, (ast.FunctionDef, ast.ClassDef)):
                cut(child, prefix + child.name + ".")

    cut(ast.parse(text), "")
    return found


@cache
def project_files():
    """Everything that is part of the project, as git knows it."""
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("not a git checkout")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    paths = [ROOT / name for name in listing.split("\0") if name]
    return [path for path in paths if path.is_file()]


def text_of(path):
    """A file as text; None if it is none."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [(name, *pair) for name, stages in SAME_FILES.items() for pair in combinations(stages, 2)],
)
def test_files_that_do_not_change_are_equal_byte_for_byte(name, first, second):
    assert (STAGES[first] / name).read_bytes() == (STAGES[second] / name).read_bytes()


def test_the_clients_of_2_and_3_differ_in_their_port_only():
    texts = [(STAGES[stage] / "client.py").read_text().splitlines() for stage in (2, 3)]
    changed = [line for line in unified_diff(*texts, n=0, lineterm="")][2:]
    assert [line for line in changed if not line.startswith("@@")] == [
        "-DEFAULT_PORT = 6402",
        "+DEFAULT_PORT = 6403",
    ]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("program", ["server.py", "client.py"])
def test_each_milestone_has_its_own_port(stage, program):
    text = (STAGES[stage] / program).read_text()
    assert re.findall(r"^DEFAULT_PORT = (\d+)$", text, re.MULTILINE) == [str(6400 + stage)]


@pytest.mark.parametrize("stage", STAGES)
def test_functions_are_short(stage):
    lengths = {}
    for path in STAGES[stage].glob("*.py"):
        for name, lines in functions(path).items():
            lengths[f"{path.name}::{name}"] = len(lines)
    assert len(lengths) > 20
    assert {name: n for name, n in lengths.items() if n > LONGEST_FUNCTION} == {}
    assert statistics.median(lengths.values()) <= MEDIAN_FUNCTION


@pytest.mark.parametrize(("old", "new"), [(1, 2), (2, 3), (3, 4)])
def test_a_change_to_one_function_is_small(old, new):
    sizes = {}
    for path in STAGES[new].glob("*.py"):
        before = STAGES[old] / path.name
        if before.exists():
            for name, lines in functions(path).items():
                sizes[f"{path.name}::{name}"] = changed(functions(before).get(name, lines), lines)
    assert any(sizes.values()), "nothing changed: is something else compared?"
    assert {name: n for name, n in sizes.items() if n > LARGEST_CHANGE} == {}


def changed(old, new):
    """How many lines were removed and added."""
    codes = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return sum(i2 - i1 + j2 - j1 for tag, i1, i2, j1, j2 in codes if tag != "equal")


@pytest.mark.skipif(sys.version_info < (3, 10), reason="sys.stdlib_module_names is missing")
@pytest.mark.parametrize("stage", STAGES)
def test_milestones_import_the_standard_library_and_their_siblings_only(stage):
    files = sorted(STAGES[stage].glob("*.py"))
    allowed = sys.stdlib_module_names | {path.stem for path in files}
    assert {name for path in files for name in imports(path)} - allowed == set()


def imports(path):
    """The top-level modules that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import does not run as a script"
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("stage", STAGES)
def test_a_milestones_readme_says_what_the_folder_is(stage):
    text = (STAGES[stage] / "README.md").read_text(encoding="utf-8")
    assert f"This folder is the end of milestone {stage}" in " ".join(text.split("\n")[:5])
    assert text.count("\n") <= 80, "one screen, or nobody reads it"


def test_no_file_names_a_place_on_somebodys_machine():
    # Put together here, so that this file does not name them either.
    homes = "|".join(["work", "root", "home", "Users", "tmp"])
    place = re.compile(rf"(?<![\w.~$:/-])/(?:{homes})/\w|\.\./shared|file:///\w")
    found = []
    for path in project_files():
        for number, line in enumerate((text_of(path) or "").splitlines(), 1):
            if place.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    assert found == []


def test_links_between_files_lead_somewhere():
    dead = []
    for path in project_files():
        if path.suffix == ".md":
            for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text(encoding="utf-8")):
                inside = (path.parent / target).resolve()
                if "://" not in target and not (inside.exists() and ROOT in inside.parents):
                    dead.append(f"{path.relative_to(ROOT)}: {target}")
    assert dead == []


@pytest.mark.parametrize("arguments", [["check"], ["format", "--check"]], ids=["lint", "format"])
def test_ruff_has_nothing_to_say(arguments):
    ruff = [sys.executable, "-m", "ruff"]
    if subprocess.run([*ruff, "--version"], capture_output=True).returncode:
        if not shutil.which("ruff"):
            pytest.skip("ruff is not installed")
        ruff = ["ruff"]
    result = subprocess.run([*ruff, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, (result.stdout + result.stderr)[:3000]

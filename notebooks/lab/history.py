"""The course as one history: every step is a program that runs, and a patch with its reason.

    python3 -m lab.history build             history/, a git repository of all steps
    python3 -m lab.history save              write the patches and the four milestones from it
    python3 -m lab.history run 4.2 [PORT]    run the server of a step

A step N.K is `notebooks/steps/N/K-title.patch`, as `git format-patch` writes it: a subject,
a few lines, and the diff of one program whose files lie at the root.  The last step of
milestone N gives the files of its directory, byte for byte.  Only build and save need git.
"""

import contextlib
import functools
import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lab.servers import ROOT, STAGES

STEPS = ROOT / "notebooks" / "steps"
REPOSITORY = ROOT / "history"
AUTHOR = "redis-clone authors <redis-clone@example.org>"
DATE = "Thu, 1 Jan 2026 00:00:00 +0000"
SUBJECT = re.compile(r"(\d+)\.(\d+): (.+)")
HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
PIN = 6  # hex digits of a patch's hash that a notebook repeats


class HistoryError(Exception):
    """Something about the steps that the user has to mend; the text says what."""


@dataclass(frozen=True)
class Step:
    """One step.  number: "4.2"; text: why, in a few lines; diff: the rest of the patch."""

    number: str
    title: str
    text: str
    diff: str

    @property
    def milestone(self):
        return int(self.number.partition(".")[0])

    @property
    def pin(self):
        """A hash of what the step says and changes: whoever explains it finds out when it changes.

        The lines around them are not in it: an earlier step may change those.
        """
        changed = [line for line in self.diff.splitlines() if line.startswith(("+", "-"))]
        whole = "\n".join((self.number, self.title, self.text, *changed))
        return hashlib.sha256(whole.encode()).hexdigest()[:PIN]


def read_step(path):
    """The Step in a patch; HistoryError if its name and its subject do not agree."""
    head, _, rest = path.read_text(encoding="utf-8").partition("\n\n")
    # A long subject is folded: its second line begins with a space.
    subject = re.search(r"^Subject: (.*(?:\n .*)*)", head, re.MULTILINE)
    match = subject and SUBJECT.fullmatch(subject[1].replace("\n", ""))
    if not match or path != patch_path(path.parent.parent, *match.groups()):
        raise HistoryError(f"{path}: its subject is not that of step {path.parent.name}.K")
    text, mark, diff = rest.partition("diff --git ")
    return Step(f"{match[1]}.{match[2]}", match[3], text.strip(), mark + diff)


def patch_path(folder, milestone, place, title):
    words = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    return folder / milestone / f"{place}-{words}.patch"


@functools.cache
def steps(folder=STEPS):
    """All steps in order, a tuple of Step."""
    paths = folder.glob("[0-9]*/[0-9]*-*.patch")
    order = sorted(paths, key=lambda path: (int(path.parent.name), int(path.name.split("-")[0])))
    return tuple(map(read_step, order))


def find(number, folder=STEPS):
    """The Step with that number; HistoryError if there is none."""
    for step in steps(folder):
        if step.number == str(number):
            return step
    known = {step.number[0]: step.number for step in steps(folder)}  # the last of each milestone
    ends = ", ".join(f"{milestone}.1 to {last}" for milestone, last in known.items())
    raise HistoryError(f"there is no step {number}; the steps are {ends}")


@functools.cache
def states(folder=STEPS):
    """The program at each step: {number: {file name: text}}."""
    found, files = {}, {}
    for step in steps(folder):
        files = apply(files, step)
        found[step.number] = files
    return found


def files_at(number, folder=STEPS):
    """The program at a step: {file name: text}."""
    return states(folder)[find(number, folder).number]


def files_before(number, folder=STEPS):
    """The program before a step: {file name: text}, empty before the first."""
    place = steps(folder).index(find(number, folder))
    return states(folder)[steps(folder)[place - 1].number] if place else {}


def file_diffs(step):
    """The step's diff by file: {file name: [hunk, ...]}.

    A hunk is (first old line, counted from 1, [line with its sign, ...]).
    """
    found = {}
    for part in re.split(r"^diff --git ", step.diff, flags=re.MULTILINE)[1:]:
        name = re.match(r"a/(\S+) ", part)[1]
        hunks = found[name] = []
        left = right = 0  # lines that this hunk still has, of the old and of the new file
        for line in part.splitlines():
            if left or right:
                hunks[-1][1].append(line)
                left -= line[:1] in " -"
                right -= line[:1] in " +"
            elif match := HUNK.match(line):
                hunks.append((int(match[1]), []))
                left, right = (int(match[n] or 1) for n in (2, 4))
    return found


def apply(files, step):
    """The program after a step.  files: {name: text} before it.

    As strict as can be: every line of the diff must stand where the diff says;
    HistoryError if one does not.
    """
    files = dict(files)
    for name, hunks in file_diffs(step).items():
        old, new, done = files.pop(name, "").splitlines(keepends=True), [], 0
        for first, lines in hunks:
            begin = max(first - 1, 0)
            before = [line[1:] + "\n" for line in lines if line[0] in " -"]
            if old[begin : begin + len(before)] != before:
                raise HistoryError(f"step {step.number} does not fit {name} at line {first}")
            new += old[done:begin]
            new += [line[1:] + "\n" for line in lines if line[0] in " +"]
            done = begin + len(before)
        if new + old[done:]:
            files[name] = "".join(new + old[done:])
    return files


def write(files, folder):
    """Write a program's files into a folder."""
    for name, text in files.items():
        (Path(folder) / name).write_text(text, encoding="utf-8", newline="\n")


@contextlib.contextmanager
def folder_of(number):
    """A temporary folder that holds the program of a step, for a `with`."""
    with tempfile.TemporaryDirectory() as folder:
        write(files_at(number), folder)
        yield Path(folder)


# The repository, for reading and for changing steps


def git(*words, cwd=REPOSITORY, **options):
    """Run git and return what it prints; HistoryError with its last line if it fails."""
    if not shutil.which("git"):
        raise HistoryError("git is not installed; on Debian or Ubuntu type: sudo apt install git")
    # The user's own configuration must not change what comes out.
    name, _, address = AUTHOR[:-1].partition(" <")
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    env.update(GIT_COMMITTER_NAME=name, GIT_COMMITTER_EMAIL=address)
    env.update(GIT_AUTHOR_NAME=name, GIT_AUTHOR_EMAIL=address)
    result = subprocess.run(
        ["git", *words], cwd=cwd, env=env, capture_output=True, text=True, **options
    )
    if result.returncode:
        lines = (result.stderr or result.stdout).strip().splitlines()
        raise HistoryError(f"git {words[0]}: {lines[-1] if lines else 'failed'}")
    return result.stdout


def build(folder=STEPS, repository=REPOSITORY):
    """Make the git repository: a commit for each step, a tag for each milestone; say so."""
    if repository.exists():
        raise HistoryError(f"{repository} exists already; remove it, or work in it")
    git("init", "--quiet", "--initial-branch=main", str(repository), cwd=ROOT)
    try:
        # For those who have not told git who they are, and want to rebase.
        name, _, address = AUTHOR[:-1].partition(" <")
        git("config", "user.name", name, cwd=repository)
        git("config", "user.email", address, cwd=repository)
        commit_steps(folder, repository)
    except BaseException:  # Ctrl-C, too: half a history would be in the way of the next one
        shutil.rmtree(repository)
        raise
    name = repository.name
    print(f"{name}/: {len(steps(folder))} commits, one for each step; to see one of them:")
    print(f"git -C {name} show ':/^4.1:'")


def commit_steps(folder, repository):
    all_steps = steps(folder)
    for step, after in zip(all_steps, [*all_steps[1:], None]):
        path = patch_path(folder, *step.number.split("."), step.title)
        git("am", "--quiet", "--committer-date-is-author-date", str(path), cwd=repository)
        if step.milestone in STAGES and (after is None or after.milestone != step.milestone):
            git("tag", f"milestone{step.milestone}", cwd=repository)


def save(folder=STEPS, repository=REPOSITORY, milestones=None):
    """Write the patches and the milestones' directories from the repository's commits."""
    if not repository.exists():
        raise HistoryError(f"there is no {repository.name}/ yet; type: make history")
    if any((repository / ".git" / name).exists() for name in ("rebase-merge", "rebase-apply")):
        raise HistoryError("a rebase is not finished; in history/ type: git rebase --continue")
    if git("rev-parse", "--abbrev-ref", "HEAD", cwd=repository).strip() != "main":
        # Whatever comes after an old commit would be lost.
        raise HistoryError("history/ is not at its end; in history/ type: git checkout main")
    if git("status", "--porcelain", cwd=repository):
        raise HistoryError("history/ has changes that are in no commit; commit or drop them")
    patches = {}
    for commit in git("rev-list", "--reverse", "HEAD", cwd=repository).split():
        subject = git("log", "-1", "--format=%s", commit, cwd=repository).strip()
        match = SUBJECT.fullmatch(subject)
        if not match:
            raise HistoryError(f"a commit is called {subject!r}; call it like '4.2: Buffer'")
        patches[patch_path(folder, *match.groups())] = format_patch(commit, repository)
    for old in set(folder.glob("*/*.patch")) - set(patches):
        old.unlink()
    for path, text in patches.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    steps.cache_clear()
    states.cache_clear()
    for stage, directory in (milestones or STAGES).items():
        save_milestone([s for s in steps(folder) if s.milestone == stage], directory, folder)
    print(f"{len(patches)} patches are written, and the files of the milestones")


def format_patch(commit, repository):
    """A commit as a patch that is the same whoever saves it, and whenever."""
    options = "--stdout -1 -k --root --no-stat --no-signature --zero-commit --full-index"
    options += " --no-renames --diff-algorithm=histogram"
    text = git("format-patch", *options.split(), commit, cwd=repository)
    # A long name is folded: its second line begins with a space.
    author = r"^From: .*(?:\n .*)*"
    text = re.sub(author, f"From: {AUTHOR}", text, count=1, flags=re.MULTILINE)
    return re.sub(r"^Date: .*", f"Date: {DATE}", text, count=1, flags=re.MULTILINE)


def save_milestone(its_steps, directory, folder):
    """Write the program of a milestone's last step into its directory."""
    if not its_steps:
        return
    files = files_at(its_steps[-1].number, folder)
    for path in directory.glob("*.py"):
        if path.name not in files:
            path.unlink()
    write(files, directory)


# What the command line offers


def run(number, port=None):
    """Run the server of a step until it ends or Ctrl-C; return its exit status."""
    default = re.search(r"^DEFAULT_PORT = (\d+)", files_at(number)["server.py"], re.MULTILINE)[1]
    check_port(port or default)  # before step 1.5 the server itself would show a traceback
    with folder_of(number) as folder:
        words = [sys.executable, str(folder / "server.py"), *(["--port", port] if port else [])]
        # Ctrl-C reaches both: the server ends, and only then do we.
        signal.signal(signal.SIGINT, lambda signum, frame: None)
        process = subprocess.Popen(words)
        signal.signal(signal.SIGTERM, lambda signum, frame: process.terminate())
        status = process.wait()
    return 0 if status in (-signal.SIGINT, -signal.SIGTERM) else status


def check_port(port):
    """HistoryError if no server can listen there."""
    if not (port.isdecimal() and int(port) < 65536):
        raise HistoryError(f"{port!r} is no port; choose a PORT from 1024 to 65535")
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", int(port)))
        except OSError as error:
            reason = error.strerror.lower()
            raise HistoryError(
                f"cannot listen on port {port}: {reason}; choose another PORT"
            ) from None


def main(words):
    # Each with the number of words that it takes.
    actions = {"build": (build, 0, 0), "save": (save, 0, 0), "run": (run, 1, 2)}
    action, least, most = actions.get(words[0] if words else None, (None, 0, 0))
    if action is None or not least <= len(words) - 1 <= most:
        print("usage: python3 -m lab.history build | save | run N.K [PORT]")
        sys.exit(2)
    try:
        sys.exit(action(*words[1:]))
    except (HistoryError, OSError) as error:
        sys.exit(f"{error}")


if __name__ == "__main__":
    main(sys.argv[1:])

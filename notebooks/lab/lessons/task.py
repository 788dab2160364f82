"""The place to start from: the program before a step, and what its lesson says of the step.

    python3 -m lab.lessons.task 3.4 DIR

TASK.md has the prose of the notebook's section and its question, without the answers.
"""

import re
import shlex
import sys
from pathlib import Path

from lab import history
from lab.lessons import walk
from lab.servers import ROOT

JUDGED_FROM = "1.3"  # before that a server does not outlive its first reply
TIMED_FROM = "4.6"  # from there on it knows --idle-timeout
# What is for those who have the step before them.
LOOK_AT = re.compile(r"^\*\*Look at\*\* .*", re.MULTILINE)


def parts_of(step, directory):
    """The paragraphs of TASK.md: what its lesson says of a step, the judge, the solution."""
    (path,) = (ROOT / "notebooks").glob(f"{walk.lesson(step.number)}_*.ipynb")
    claims = [claim for claim in walk.read_claims(path) if claim.number == step.number]
    prose = "".join(claim.prose for claim in claims)
    # In front of the first walk there may be the end of the section before.
    _, heading, prose = prose.partition(f"## {step.number} ")
    prose = re.sub(r"<details>.*?</details>\s*", "", heading + prose, flags=re.DOTALL)
    yield from re.sub(r"^## \S+", f"# Step {step.number}:", LOOK_AT.sub("", prose)).split("\n\n")
    yield judged_by(step, directory)
    patch = history.patch_path(history.STEPS, *step.number.split("."), step.title)
    yield f"Then compare with `{patch.relative_to(ROOT)}`."
    yield from LOOK_AT.findall(prose)


def judged_by(step, directory):
    """How to ask the suite about a program with this step, as Markdown; "" if it can't tell."""
    if set(history.file_diffs(step)) == {"client.py"}:
        if step.milestone == 1:
            return ""
        asked, program, options = f"STAGE={step.milestone} CLIENT", "client.py", ""
    elif JUDGED_FROM <= step.number < "5":
        asked, program = f"STEP={step.number} SERVER", "server.py"
        options = " --idle-timeout {idle_timeout}" * (step.number >= TIMED_FROM)
    else:
        return ""
    path = shlex.quote(str(directory / program))
    line = f'make check {asked}="python3 {path} --port {{port}}{options}"'
    return f"When it runs, ask the suite:\n\n```console\n$ {line}\n```"


def start(number, directory):
    """Write the program before a step into a folder, and TASK.md; HistoryError if it can't."""
    step, directory = history.find(number), Path(directory).expanduser()  # not every shell does it
    if directory.is_dir() and any(directory.iterdir()):
        raise history.HistoryError(f"{directory} is not empty; choose another DIR")
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror.lower()
        raise history.HistoryError(
            f"cannot make {directory}: {reason}; choose another DIR"
        ) from None
    history.write(history.files_before(number), directory)
    parts = (part.strip() for part in parts_of(step, directory))
    text = "\n\n".join(part for part in parts if part)
    (directory / "TASK.md").write_text(text + "\n", encoding="utf-8")
    print(f"{directory}: the program before step {step.number}, and TASK.md")


def main(words):
    if len(words) != 2:
        print("usage: python3 -m lab.lessons.task N.K DIR")
        sys.exit(2)
    try:
        start(*words)
    except (history.HistoryError, OSError) as error:
        sys.exit(f"{error}")


if __name__ == "__main__":
    main(sys.argv[1:])

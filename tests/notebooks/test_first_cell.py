"""The first cell of a notebook finds the project wherever the kernel starts."""

import json
import os
import subprocess
import sys

import pytest
from lab.servers import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
JUPYTER = "JPY_SESSION_NAME"  # where Jupyter tells the kernel its notebook's path


def first_code(path):
    """What the first code cell does before it imports from `lab`."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    source = next("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    return source.partition("\nfrom lab")[0]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
@pytest.mark.parametrize("start", ["root", "notebooks", "deeper", "jupyter", "vscode"])
def test_the_project_is_found(path, start, tmp_path):
    folders = {"root": ROOT, "notebooks": ROOT / "notebooks", "deeper": ROOT / "notebooks" / "lab"}
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment.pop(JUPYTER, None)
    code = first_code(path) + "\nimport lab\nprint('found', lab.__file__)"
    if start == "jupyter":
        environment[JUPYTER] = str(path)
    if start == "vscode":
        code = f"__vsc_ipynb_file__ = {str(path)!r}\n" + code
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folders.get(start, tmp_path),
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stdout == f"found {ROOT / 'notebooks' / 'lab' / '__init__.py'}\n", done.stderr

"""The outputs in the notebooks are those that their code gives today."""

import json
from os.path import commonprefix

import pytest
from lab.servers import ROOT

nbformat = pytest.importorskip("nbformat", reason="needs jupyter: make test-notebooks")
execute = pytest.importorskip("lab.publish.execute", reason="needs jupyter: make test-notebooks")

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_new_execution_gives_the_same_file(path):
    committed = nbformat.read(path, as_version=4)
    fresh = execute.execute(committed)
    old, new = execute.code_cells(committed), execute.code_cells(fresh)
    for number, (old_cell, new_cell) in enumerate(zip(old, new), 1):
        compare(f"{path.name} [{number}]", shown(old_cell), shown(new_cell))
    # Cells may show the same and still differ, in a number or in metadata.
    compare(path.name, path.read_text("utf-8"), nbformat.writes(fresh) + "\n")


def shown(cell):
    return json.dumps(cell.outputs, indent=1, sort_keys=True, ensure_ascii=False)


def compare(where, old, new):
    """Fail if the texts differ, and show where they begin to."""
    if old != new:
        begin = max(0, len(commonprefix([old, new])) - 60)
        told = [
            f"stale: run make notebooks ({where})",
            f"  in the file  {old[begin : begin + 160]!r}",
            f"  now          {new[begin : begin + 160]!r}",
        ]
        pytest.fail("\n".join(told), pytrace=False)

"""Executing a notebook: what is kept, what is made anew, what is left out."""

import copy
import json
import signal
import subprocess
import sys
import time

import pytest
from lab.servers import ROOT

nbformat = pytest.importorskip("nbformat", reason="needs jupyter: make test-notebooks")
execute = pytest.importorskip("lab.publish.execute", reason="needs jupyter: make test-notebooks")

OLD = "measured long ago\n"
SOURCE = "import os\nprint(os.urandom(8).hex())"


def notebook(source, **metadata):
    """A notebook of one cell with an old output, which a run would not give again."""
    output = nbformat.v4.new_output("stream", name="stdout", text=OLD)
    cell = nbformat.v4.new_code_cell(source, id="a", outputs=[output], metadata=metadata)
    return nbformat.v4.new_notebook(cells=[cell])


def texts(notebook):
    return [output.text for output in notebook.cells[0].outputs]


def test_a_measured_cell_keeps_its_outputs_until_asked_or_edited():
    fresh = execute.execute(notebook(SOURCE, tags=["measured"]))
    assert texts(fresh) != [OLD], "nothing says that this source gave the old output"
    again = execute.execute(fresh)
    assert nbformat.writes(again) == nbformat.writes(fresh)
    assert texts(execute.execute(fresh, measure=True)) != texts(fresh)
    edited = copy.deepcopy(fresh)
    edited.cells[0].source = "print('edited')"
    assert texts(execute.execute(edited)) == ["edited\n"]


def test_other_cells_are_made_anew():
    assert texts(execute.execute(notebook("print('now')"))) == ["now\n"]


def test_what_differs_between_runs_is_left_out():
    source = "import sys\nfor n in range(99):\n    print(n, flush=True)\n40 + 2"
    fresh = execute.execute(notebook(source, execution={"iopub.execute_input": "2026"}))
    (cell,) = fresh.cells
    assert [output.output_type for output in cell.outputs] == ["stream", "execute_result"]
    assert cell.execution_count == cell.outputs[1].execution_count == 1
    assert cell.metadata == {}
    assert fresh.metadata == execute.METADATA


def test_a_cell_that_fails_is_an_error():
    with pytest.raises(execute.CellExecutionError, match="ZeroDivisionError"):
        execute.execute(notebook("1 / 0"))


@pytest.fixture
def start(tmp_path):
    """Start the program on a notebook of one cell, in tmp_path; ended with the test."""
    started = []

    def start(source):
        path = tmp_path / "one.ipynb"
        nbformat.write(notebook(source), path)
        command = [sys.executable, "-m", "lab.publish.execute", str(path)]
        pipe = subprocess.PIPE
        program = subprocess.Popen(
            command, cwd=ROOT / "notebooks", stdout=pipe, stderr=pipe, text=True
        )
        started.append(program)
        return path, program

    yield start
    for program in started:
        program.kill()
        program.communicate()


def test_ctrl_c_ends_it_without_a_traceback_and_leaves_the_notebook(start, tmp_path):
    marker = tmp_path / "running"
    path, program = start(f"import time\nopen({str(marker)!r}, 'w')\ntime.sleep(100)")
    before = path.read_bytes()
    while not marker.exists():
        assert program.poll() is None, program.communicate()
        time.sleep(0.05)
    program.send_signal(signal.SIGINT)
    assert program.communicate(timeout=60) == (f"{path}\n", "")
    assert program.returncode != 0
    assert path.read_bytes() == before


def test_a_kernel_that_dies_is_one_line(start):
    path, program = start("import os\nos._exit(3)")
    assert program.communicate(timeout=60) == (f"{path}\n", f"{path}: Kernel died\n")
    assert program.returncode == 1


def test_a_dead_kernel_of_the_same_name_is_not_taken(tmp_path, monkeypatch):
    spec = {"argv": ["/no/python"], "display_name": "gone", "language": "python"}
    folder = tmp_path / "kernels" / "python3"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    fresh = execute.execute(notebook("import sys\nprint(sys.executable)"))
    assert texts(fresh) == [f"{sys.executable}\n"]

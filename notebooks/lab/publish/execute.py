"""Run the notebooks from top to bottom and write them in place.

    python -m lab.publish.execute [--measure] [NOTEBOOK ...]

What is written depends only on the code: no time stamps, no versions, cells
numbered from 1.  Measured values differ from run to run, so a cell with the tag
`measured` is run but keeps the outputs that it has, until its source changes or
--measure asks for new ones.
"""

import argparse
import asyncio
import copy
import hashlib
import sys

import nbformat
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from lab.servers import ROOT
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

FOLDER = ROOT / "notebooks"
SECONDS = 120  # a cell that takes longer hangs
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"},
}


def execute(notebook, measure=False):
    """An executed and normalised copy of a notebook; CellExecutionError if a cell fails.

    measure: make new outputs for the cells with the tag `measured`.
    """
    fresh = copy.deepcopy(notebook)
    # Without folders of kernels the one left is that of this very Python, whatever lies about.
    this_python = KernelSpecManager(kernel_dirs=[])
    client = NotebookClient(
        fresh,
        km=AsyncKernelManager(kernel_spec_manager=this_python),
        timeout=SECONDS,
        resources={"metadata": {"path": str(FOLDER)}},
        record_timing=False,
        extra_arguments=["--log-level=CRITICAL"],  # nothing about the kernel's own sockets
    )
    try:
        client.execute(cleanup_kc=True)
    except (AssertionError, asyncio.CancelledError):
        # What comes of Ctrl-C: nbclient ends its kernel, and then finds none to wait for or to end.
        raise KeyboardInterrupt from None
    for cell, old in zip(code_cells(fresh), code_cells(notebook)):
        if is_measured(cell):
            keep_or_sign(cell, old, measure)
    return normalise(fresh)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def is_measured(cell):
    return "measured" in cell.metadata.get("tags", [])


def keep_or_sign(cell, old, measure):
    """Keep the old outputs of a measured cell if they were made by this source."""
    digest = hashlib.sha256(cell.source.encode()).hexdigest()[:6]
    if old.metadata.get("measured") == digest and not measure:
        cell.outputs = old.outputs
    cell.metadata["measured"] = digest


def normalise(notebook):
    """Take out, in place, what differs between two runs of the same cells."""
    notebook.metadata = nbformat.from_dict(METADATA)
    for number, cell in enumerate(code_cells(notebook), 1):
        cell.execution_count = number
        cell.metadata.pop("execution", None)
        cell.outputs = merge_streams(cell.outputs)
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = number
    return notebook


def merge_streams(outputs):
    """Join what was printed: how the kernel cuts it up depends on the time it takes."""
    merged = []
    for output in outputs:
        last = merged[-1] if merged else None
        if last and output.output_type == last.output_type == "stream" and output.name == last.name:
            last.text += output.text
        else:
            merged.append(output)
    return merged


def main():
    parser = argparse.ArgumentParser(description="Execute notebooks in place.")
    parser.add_argument("--measure", action="store_true", help="measure again, too")
    parser.add_argument("notebooks", nargs="*", help="(all)", metavar="NOTEBOOK")
    args = parser.parse_args()
    for path in args.notebooks or sorted(FOLDER.glob("*.ipynb")):
        print(path, flush=True)
        try:
            notebook = execute(nbformat.read(path, as_version=4), args.measure)
        except (CellExecutionError, DeadKernelError) as error:
            sys.exit(f"{path}: {error}")
        nbformat.write(notebook, path)


if __name__ == "__main__":
    main()

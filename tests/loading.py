"""Import a milestone's modules into a test, although all milestones use the same names."""

import importlib
import sys
from types import SimpleNamespace

from lab.servers import STAGES


def load_milestone(stage, *names):
    """As load_folder(), of one milestone."""
    return load_folder(STAGES[stage], *names)


def load_folder(folder, *names, fakes=None):
    """Fresh copies of the modules `names` in a folder, as attributes of an object.

    fakes: modules, by name, that the folder's modules get when they import
    that name, in place of the standard library's.
    """
    fakes = fakes or {}
    if fakes:
        # Whatever else the modules import must not be given the fakes.
        load_folder(folder, *names)
    passing = {path.stem for path in folder.glob("*.py")} | set(fakes)
    saved = {name: sys.modules.pop(name) for name in passing if name in sys.modules}
    sys.modules.update(fakes)
    saved_path = list(sys.path)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        return SimpleNamespace(**{name: importlib.import_module(name) for name in names})
    finally:
        sys.path[:] = saved_path
        for name in passing:
            sys.modules.pop(name, None)
        sys.modules.update(saved)

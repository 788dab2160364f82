"""What the notebooks, the tests and the demo share.  The milestones never import it.

Each program in it (python3 -m lab.demo, ...) ends on Ctrl-C without a traceback.
"""

import sys


def print_unless_interrupted(kind, error, trace):
    """What Python calls with an exception that nobody has caught."""
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)


sys.excepthook = print_unless_interrupted

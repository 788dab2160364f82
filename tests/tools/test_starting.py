"""How the suite starts a server under test."""

import sys

import pytest
from harness import Server, StartError
from harness.target import Target

LATE = """
import pathlib, socket, sys
taken = pathlib.Path(sys.argv[2])
left = int(taken.read_text())
taken.write_text(str(left - 1))
if left:
    sys.exit("bind: Address already in use")
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    listener.accept()
"""


@pytest.mark.parametrize(("times", "starts"), [(0, True), (2, True), (3, False)])
def test_a_port_that_somebody_else_has_taken_is_not_the_servers_fault(tmp_path, times, starts):
    (tmp_path / "taken").write_text(str(times))
    target = Target([sys.executable, "-c", LATE, "{port}", str(tmp_path / "taken")], stage=2)
    if starts:
        with Server(target) as server:
            assert server.alive()
    else:
        with pytest.raises(StartError):
            Server(target)

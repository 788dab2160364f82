"""What each milestone can do, and what it visibly cannot, row by row.

`yes` is asked of every server from that stage on.  `no` is asserted of our own
servers, because it is the problem that the next milestone solves; somebody
else's may be better.  `-` means that the row makes no sense at that stage.
`counted` rows are asserted from the calls a tracer counts, on our own servers.
"""

from typing import NamedTuple


class Row(NamedTuple):
    text: str
    cells: tuple  # for milestones 1 to 4


def _row(text, cells):
    return Row(text, tuple(cells.split()))


TABLE = {
    1: _row("one request, one reply; several in turn on one connection", "yes yes yes yes"),
    2: _row("a restarted server takes the same port at once", "yes yes yes yes"),
    3: _row("what one client SETs the next client GETs", "yes yes yes yes"),
    4: _row("a client that resets or leaves does not disturb the next one", "yes yes yes yes"),
    5: _row("two requests in one segment get two replies", "no yes yes yes"),
    6: _row("a request that arrives byte by byte gets its one reply", "no yes yes yes"),
    7: _row("empty, binary and largest payloads", "- yes yes yes"),
    8: _row("a length over the limit is refused, then the connection closed", "- yes yes yes"),
    9: _row("a frame that is cut off by the end is not answered", "- yes yes yes"),
    10: _row("a client that half-closes still gets every reply", "- yes yes yes"),
    11: _row("a second client is served while the first is silent", "no no yes yes"),
    12: _row("1,000 clients at once, each served", "no no yes yes"),
    13: _row("poll() calls to answer N requests that arrive together", "- - counted counted"),
    14: _row("poll() calls per request in ping-pong", "- - counted counted"),
    15: _row("bytes moved to consume one message behind a backlog", "- - counted counted"),
    16: _row("a client that never reads its replies disturbs nobody", "- no yes yes"),
    17: _row("idle connections are closed", "no no no yes"),
    18: _row("more clients than file descriptors", "no no no yes"),
    19: _row("one client's flood does not starve another", "- no yes yes"),
    20: _row("small replies are never held back by the kernel", "- yes yes yes"),
    21: _row("an idle connection costs about 2 KiB of memory", "no no yes yes"),
    22: _row("listening and client sockets are non-blocking", "- - yes yes"),
    23: _row("a connection's memory and descriptor are freed however it ends", "- - yes yes"),
    24: _row("turns of the loop to let in N newcomers at once", "- - counted counted"),
}
STAGES = (1, 2, 3, 4)


def cell(number, stage):
    """`yes`, `no`, `-` or `counted` for a row and a stage."""
    return TABLE[number].cells[stage - 1]

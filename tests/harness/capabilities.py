"""What each milestone can do, and what it visibly cannot, row by row.

`yes` is asked of every server from that stage on.  `no` is asserted of our own
servers, because it is the problem that the next milestone solves; somebody
else's may be better.  `-` means that the row makes no sense at that stage.
`counted` rows are about what happens inside, which a tracer counts in our own servers.

The course goes from stage to stage in steps, N.K, each told in a section of a notebook.
For each stage a row says from which step of it the promise holds: a step may break for
a while what an earlier stage could do.
"""

from typing import NamedTuple


class Row(NamedTuple):
    text: str
    cells: tuple  # for milestones 1 to 4
    since: tuple  # likewise


def _row(text, cells, since):
    return Row(text, tuple(cells.split()), tuple(since.split()))


TABLE = {
    1: _row(
        "one request, one reply; several in turn on one connection",
        "yes yes yes yes",
        "1.3 2.2 3.1 4.1",
    ),
    2: _row("a restarted server takes the same port at once", "yes yes yes yes", "1.3 2.2 3.1 4.1"),
    3: _row("what one client SETs the next client GETs", "yes yes yes yes", "1.4 2.2 3.1 4.1"),
    4: _row(
        "a client that resets or leaves does not disturb the next one",
        "yes yes yes yes",
        "1.3 2.2 3.5 4.1",
    ),
    5: _row("two requests in one segment get two replies", "no yes yes yes", "- 2.2 3.5 4.1"),
    6: _row(
        "a request that arrives byte by byte gets its one reply", "no yes yes yes", "- 2.2 3.5 4.1"
    ),
    7: _row("empty, binary and largest payloads", "- yes yes yes", "- 2.3 3.5 4.1"),
    8: _row(
        "a length over the limit is refused, then the connection closed",
        "- yes yes yes",
        "- 2.3 3.8 4.1",
    ),
    9: _row("a frame that is cut off by the end is not answered", "- yes yes yes", "- 2.3 3.4 4.1"),
    10: _row("a client that half-closes still gets every reply", "- yes yes yes", "- 2.3 3.5 4.1"),
    11: _row("a second client is served while the first is silent", "no no yes yes", "- - 3.4 4.1"),
    12: _row("1,000 clients at once, each served", "no no yes yes", "- - 3.5 4.1"),
    13: _row(
        "poll() calls to answer N requests that arrive together",
        "- - counted counted",
        "- - 3.5 4.1",
    ),
    14: _row("poll() calls per request in ping-pong", "- - counted counted", "- - 3.5 4.3"),
    15: _row(
        "bytes moved to consume one message behind a backlog", "- - counted counted", "- - 3.5 4.2"
    ),
    16: _row(
        "a client that never reads its replies disturbs nobody", "- no yes yes", "- - 3.5 4.4"
    ),
    17: _row("idle connections are closed", "no no no yes", "- - - 4.6"),
    18: _row("more clients than file descriptors", "no no no yes", "- - - 4.7"),
    19: _row("one client's flood does not starve another", "- no yes yes", "- - 3.5 4.1"),
    20: _row("small replies are never held back by the kernel", "- yes yes yes", "- 2.4 3.5 4.1"),
    21: _row("an idle connection costs about 2 KiB of memory", "no no yes yes", "- - 3.4 4.4"),
    22: _row("listening and client sockets are non-blocking", "- - yes yes", "- - 3.4 4.1"),
    23: _row(
        "a connection's memory and descriptor are freed however it ends",
        "- - yes yes",
        "- - 3.5 4.1",
    ),
    24: _row("turns of the loop to let in N newcomers at once", "- - counted counted", "- - - 4.7"),
}
STAGES = (1, 2, 3, 4)
LAST = {1: 8, 2: 4, 3: 8, 4: 8}  # the last step of each stage
STEPS = [f"{stage}.{place}" for stage in STAGES for place in range(1, LAST[stage] + 1)]
ECHOES = "1.3"  # at this step a server knows no commands yet
NOTHING_NEW = ("3.1", "3.2")  # steps without a visible effect, before a stage breaks and mends
START_AND_STOP = "1.5"  # the step of what is no row: the command line, signals
SILENT = "3.3"  # at which a silent client, a part of row 11, harms nobody
# Steps at which a server is asked for something new.
ASKED = {START_AND_STOP, SILENT, *(step for row in TABLE.values() for step in row.since)}


def cell(number, stage):
    """`yes`, `no`, `-` or `counted` for a row and a stage."""
    return TABLE[number].cells[stage - 1]


def read_in(rows, stage):
    """The step that tells how to keep these rows."""
    if set(rows) == {2}:
        return "1.1"
    if set(rows) == {4} and stage == 2:
        return "1.3"
    return told_in(rows, stage)


def told_in(rows, stage):
    """The step from which all these rows hold at a stage; START_AND_STOP for none.

    A row that a stage has not, or can't do yet, belongs to its last step.
    """
    steps = [TABLE[number].since[stage - 1] for number in rows]
    return max(
        (f"{stage}.{LAST[stage]}" if step == "-" else step for step in steps),
        default=START_AND_STOP,
    )

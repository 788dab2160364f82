"""app.respond(): any request at all against the model of tests/simulation.

The rules one by one are in tests/conformance/test_stage1_commands.py.
"""

from hypothesis import given, settings
from hypothesis import strategies as st
from loading import load_milestone
from simulation.model import Model

app = load_milestone(1, "app").app

INT64 = (-(2**63), -(2**63) + 1, -1, 0, 1, 2**63 - 2, 2**63 - 1)
ALMOST_INTEGERS = [
    b"", b" 1", b"1 ", b"+1", b"-0", b"00", b"01", b"-01", b"1_0", b"1.0", b"1e3", b"0x1",
    b"-", b"--1", b"\xd9\xa1", "١".encode("utf-16-le"), b"1\n", b"1\0", b"nan",
    b"9223372036854775808", b"-9223372036854775809", b"9" * 5000,
]  # fmt: skip

names = st.sampled_from([b"PING", b"ECHO", b"SET", b"GET", b"DEL", b"INCR", b"NONE"])
cases = st.tuples(names, st.integers(0, 63)).map(
    lambda pair: bytes(
        byte ^ 0x20 if pair[1] >> index & 1 else byte for index, byte in enumerate(pair[0])
    )
)
words = st.one_of(
    st.sampled_from([b"", b"a", b"b", b"\0", b"\n", b"x\xff"]),
    st.sampled_from([b"%d" % number for number in INT64] + ALMOST_INTEGERS),
    st.binary(max_size=20),
)
requests = st.one_of(
    st.binary(max_size=80),
    st.tuples(cases, st.lists(words, max_size=3)).map(lambda pair: b" ".join([pair[0], *pair[1]])),
)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.lists(requests, max_size=30))
def test_any_requests_get_the_replies_of_the_model(batch):
    app.store.clear()
    model = Model()
    for request in batch:
        assert app.respond(request) == model.reply(request), request
    assert app.store == model.store


def test_incr_of_a_huge_text_is_refused_without_reading_it_as_a_number(monkeypatch):
    # int() of a million digits takes seconds where Python does not limit it.
    monkeypatch.setattr(app, "int", None, raising=False)
    app.respond(b"SET n " + b"9" * 1_000_000)
    assert app.respond(b"INCR n") == b"-ERR value is not an integer or out of range"

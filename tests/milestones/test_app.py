"""app.respond(): any request at all against the model of tests/simulation."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loading import load_milestone
from simulation.model import Model

app = load_milestone(1, "app").app

MIB = 1024 * 1024
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
quick = settings(max_examples=300, deadline=None, derandomize=True, database=None)


@pytest.fixture(autouse=True)
def empty_store():
    app.store.clear()


@quick
@given(st.lists(requests, max_size=30))
def test_any_requests_get_the_replies_of_the_model(batch):
    app.store.clear()
    model = Model()
    for request in batch:
        assert app.respond(request) == model.reply(request), request
    assert app.store == model.store


@quick
@given(st.binary(max_size=200))
def test_no_request_raises_and_every_reply_has_a_type(request):
    assert app.respond(request)[:1] in (b"+", b"$", b":", b"_", b"-")


@pytest.mark.parametrize(
    "start", [b"", b"PING ", b"ECHO ", b"SET k ", b"SET ", b"GET ", b"DEL ", b"INCR ", b"\xff"]
)
@pytest.mark.parametrize("filler", [b"x", b"\0", b" ", b"9"])
def test_a_reply_fits_into_a_frame_if_the_request_did(start, filler):
    request = start + filler * (MIB - len(start))
    assert len(app.respond(request)) <= MIB
    assert len(app.respond(b"GET k")) <= MIB


@pytest.mark.parametrize("number", INT64)
def test_incr_up_to_the_limits_of_64_bits(number):
    app.respond(b"SET n %d" % number)
    if number == 2**63 - 1:
        assert app.respond(b"INCR n") == b"-ERR value is not an integer or out of range"
        assert app.respond(b"GET n") == b"$%d" % number
    else:
        assert app.respond(b"INCR n") == b":%d" % (number + 1)
        assert app.respond(b"GET n") == b"$%d" % (number + 1)


@pytest.mark.parametrize("value", ALMOST_INTEGERS)
def test_a_refused_incr_changes_nothing(value):
    app.respond(b"SET n " + value)
    assert app.respond(b"INCR n") == b"-ERR value is not an integer or out of range"
    assert app.respond(b"GET n") == b"$" + value


def test_incr_of_a_huge_text_is_refused_without_reading_it_as_a_number(monkeypatch):
    # int() of a million digits takes seconds where Python does not limit it.
    monkeypatch.setattr(app, "int", None, raising=False)
    app.respond(b"SET n " + b"9" * 1_000_000)
    assert app.respond(b"INCR n") == b"-ERR value is not an integer or out of range"


def test_incr_counts_from_zero():
    assert [app.respond(b"INCR new") for _ in range(3)] == [b":1", b":2", b":3"]


@pytest.mark.parametrize(
    ("request_", "reply"),
    [
        (b"", b"-ERR empty command"),
        (b" PING", b"-ERR unknown command ''"),
        (b"\xffA\n", b"-ERR unknown command '\\xffA\\x0a'"),
        (b"N" * 65 + b" x", b"-ERR unknown command '" + b"N" * 64 + b"'"),
        (b"ping", b"+PONG"),
        (b"PING ", b"$"),
        (b"PING  a ", b"$ a "),
        (b"ECHO", b"-ERR wrong number of arguments for 'echo'"),
        (b"ECHO ", b"$"),
        (b"SET k", b"-ERR wrong number of arguments for 'set'"),
        (b"SET k ", b"+OK"),
        (b"SET  v", b"+OK"),
        (b"GET k v", b"-ERR wrong number of arguments for 'get'"),
        (b"GET k ", b"-ERR wrong number of arguments for 'get'"),
        (b"DEL", b"-ERR wrong number of arguments for 'del'"),
        (b"INCR a b", b"-ERR wrong number of arguments for 'incr'"),
        (b"GET none", b"_"),
        (b"DEL none", b":0"),
    ],
)
def test_requests_at_the_edges(request_, reply):
    assert app.respond(request_) == reply


def test_empty_keys_and_values_are_legal():
    assert app.respond(b"SET  v") == b"+OK"
    assert app.respond(b"GET ") == b"$v"
    assert app.respond(b"SET e ") == b"+OK"
    assert app.respond(b"GET e") == b"$"
    assert app.respond(b"DEL e") == b":1"
    assert app.respond(b"GET e") == b"_"

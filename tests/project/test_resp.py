"""Step 5.3 speaks RESP: whatever comes and however it is cut, the replies are those of a
model, and for requests that are right those of Redis itself."""

import random
import shutil
import socket
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lab import history, wire
from lab.bench.rows import RedisServer
from lab.process import memory_used
from lab.servers import ServerProcess
from loading import load_folder
from pieces import Pieces

STEP = "5.3"
KIB, MIB = 1024, 1024 * 1024
ENOUGH = 100  # bytes of a protocol error at most
WORDS = st.lists(st.binary(max_size=30), min_size=1, max_size=5)


@pytest.fixture(scope="module")
def folder():
    with history.folder_of(STEP) as path:
        yield path


@pytest.fixture(scope="module")
def modules(folder):
    return load_folder(folder, "app", "conn", "resp")


@pytest.fixture
def server(folder):
    with ServerProcess([sys.executable, str(folder / "server.py"), "--port", "0"]) as server:
        yield server


def array(*words):
    """A request as programs send it."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in words)


def served(modules, data, size):
    """What a new connection sends back when `data` arrives in pieces of `size` bytes,
    and the connection itself."""
    modules.app.store.clear()
    sock = Pieces(data, size)
    conn = modules.conn.Conn(sock, ("127.0.0.1", 1))
    while sock.arriving and conn.want_read:
        modules.conn.handle_read(conn)
        while conn.want_write:
            modules.conn.handle_write(conn)
    return bytes(sock.sent), conn


EVERY_COMMAND = [
    (array(b"PING"), b"+PONG\r\n"),
    (b"PING\r\n", b"+PONG\r\n"),
    (b"ping hello\n", b"$5\r\nhello\r\n"),
    (b"\r\n*0\r\n", b""),
    (array(b"ECHO", b"\r\n\0\xff"), b"$4\r\n\r\n\0\xff\r\n"),
    (array(b"SET", b"", b""), b"+OK\r\n"),
    (array(b"GET", b""), b"$0\r\n\r\n"),
    (b"SET 'two words' \"x y\"\r\n", b"+OK\r\n"),
    (array(b"get", b"two words"), b"$3\r\nx y\r\n"),
    (array(b"GET", b"nothing"), b"$-1\r\n"),
    (array(b"DEL", b"", b"two words", b"nothing"), b":2\r\n"),
    (array(b"INCR", b"n"), b":1\r\n"),
    (array(b"INCRBY", b"n", b"-3"), b":-2\r\n"),
    (array(b"INCRBY", b"n", b"x"), b"-ERR value is not an integer or out of range\r\n"),
    (array(b"SET", b"n", b"%d" % (2**63 - 1)), b"+OK\r\n"),
    (array(b"INCR", b"n"), b"-ERR value is not an integer or out of range\r\n"),
    (array(b"SET", b"k"), b"-ERR wrong number of arguments for 'set'\r\n"),
    (array(b"NO\xff", b"k"), b"-ERR unknown command 'NO\\xff'\r\n"),
    (array(b"HELLO", b"3"), b"-ERR unknown command 'HELLO'\r\n"),
    (array(b"CLIENT", b"SETINFO", b"LIB-NAME", b"x"), b"+OK\r\n"),
    (array(b"CONFIG", b"GET", b"save"), b"*2\r\n$4\r\nsave\r\n$0\r\n\r\n"),
    (array(b"COMMAND", b"DOCS"), b"*0\r\n"),
    (array(b"SELECT", b"0"), b"+OK\r\n"),
    (array(b"SELECT", b"1"), b"-ERR DB index is out of range\r\n"),
    (array(b"QUIT") + array(b"PING"), b"+OK\r\n"),
]


@pytest.mark.parametrize("size", [*range(1, 40), 100, 1000, 16 * KIB])
def test_every_command_whatever_the_pieces(modules, size):
    sent, conn = served(modules, b"".join(request for request, _ in EVERY_COMMAND), size)
    assert sent == b"".join(reply for _, reply in EVERY_COMMAND)
    assert conn.is_done()


PROTOCOL_ERRORS = [
    (b"*1025\r\n", "invalid multibulk length"),
    (b"*99999999999999999999\r\n", "invalid multibulk length"),
    (b"*-1\r\n", "invalid multibulk length"),
    (b"*+1\r\n", "invalid multibulk length"),
    (b"*1\r\n$-1\r\n", "invalid bulk length"),
    (b"*1\r\n$1048577\r\n", "invalid bulk length"),
    (b"*2\r\n$4\r\nECHO\r\n$1048573\r\n", "invalid bulk length"),  # with ECHO over the limit
    (b"*1\r\n$x\r\n", "invalid bulk length"),
    (b"*1\r\n*1\r\n$4\r\nPING\r\n", "expected '$', got '*'"),
    (b'GET "k\r\n', "unbalanced quotes in request"),
    (b"x" * (64 * KIB + 1), "too big inline request"),
    (b"*" + b"1" * (64 * KIB), "too big inline request"),
]


@pytest.mark.parametrize("size", [1, 7, 16 * KIB])
@pytest.mark.parametrize(("data", "error"), PROTOCOL_ERRORS)
def test_a_protocol_error_is_told_behind_the_replies_that_are_due(modules, data, error, size):
    sent, conn = served(modules, array(b"PING") + data, size)
    assert sent == b"+PONG\r\n" + f"-ERR Protocol error: {error}\r\n".encode()
    assert conn.is_done()
    assert not conn.incoming


@pytest.mark.parametrize("value", [b"v" * (MIB - 4), b"v" * (MIB - 5)])
def test_the_largest_request_is_answered(modules, value):
    assert served(modules, array(b"ECHO", value), 16 * KIB)[0] == array(value)[4:]


def test_the_longest_line_is_answered(modules):
    value = b"v" * (64 * KIB - len(b"PING "))
    assert served(modules, b"PING " + value + b"\n", 16 * KIB)[0] == array(value)[4:]


def test_a_large_request_and_then_more_replies_than_may_wait(modules):
    value = b"v" * 100_000
    requests = array(b"SET", b"k", value) + array(b"GET", b"k") * 50
    assert served(modules, requests, 16 * KIB)[0] == b"+OK\r\n" + array(value)[4:] * 50


@pytest.mark.parametrize("words", [[b"SET", b"k", b"v" * 100_000], [b"SET", b"k" * 100_000, b"v"]])
def test_a_large_request_is_not_looked_at_again_for_each_piece(modules, words):
    looked = []
    parse, modules.conn.parse_request = modules.conn.parse_request, None
    modules.conn.parse_request = lambda *place: looked.append(place) or parse(*place)
    try:
        served(modules, array(*words), 100)
    finally:
        modules.conn.parse_request = parse
    assert len(looked) < 5


def test_an_unfinished_request_holds_bounded_memory(modules):
    for data in (
        b"x" * MIB,
        array(b"ECHO", b"v" * MIB),
        array(*[b"DEL"] * 5000),
        b"*1000\r\n" * MIB,
    ):
        sock = Pieces(data, 16 * KIB)
        conn, most = modules.conn.Conn(sock, ("127.0.0.1", 1)), 0
        while sock.arriving and conn.want_read:
            modules.conn.handle_read(conn)
            most = max(most, len(conn.incoming))
        assert most <= MIB + 64 * KIB


def mutated(rng, data):
    """The stream with a few bytes changed, lost, doubled or put in."""
    data = bytearray(data)
    for _ in range(rng.randrange(4)):
        place = rng.randrange(len(data))
        data[place : place + rng.randrange(3)] = rng.choice(
            [b"", b"\r\n", b"$", b"*", b"-", b"9", b"\n", rng.randbytes(2), b"*3\r\n", b'"']
        )
    return bytes(data)


def random_requests(rng, count):
    """Requests that are right, as (bytes, True if it is a line)."""
    keys = [b"a", b"b", b"c d", b"", b"\r\n"]
    made = []
    for _ in range(count):
        key, other = rng.choice(keys), rng.choice(keys)
        value = rng.choice([rng.randbytes(rng.randrange(60)), b"%d" % rng.randrange(-9, 99)])
        made.append(
            rng.choice(
                [
                    array(b"SET", key, value),
                    array(b"GET", key),
                    array(b"DEL", key, other),
                    array(b"INCR", key),
                    array(b"INCRBY", key, b"%d" % rng.randrange(-99, 99)),
                    array(b"ECHO", value),
                    array(b"PING"),
                    b"PING\r\n",
                    b"SET a 5\r\n",
                    b"get a\n",
                    b"\r\n",
                ]
            )
        )
    return made


@pytest.mark.parametrize("seed", range(100))
def test_broken_streams_get_the_same_replies_whatever_the_pieces(modules, seed):
    rng = random.Random(seed)
    data = mutated(rng, b"".join(random_requests(rng, 20)))
    whole, conn = served(modules, data, len(data))
    for size in (1, 2, 3, rng.randrange(4, 200)):
        sent, other = served(modules, data, size)
        assert sent == whole
        assert other.is_done() == conn.is_done()
        assert other.is_done() or bytes(other.incoming.view()) == bytes(conn.incoming.view())


@settings(max_examples=200, deadline=None)
@given(words=WORDS, cut=st.integers(0, 200))
def test_what_is_encoded_is_parsed_again(modules, words, cut):
    data = modules.resp.encode_request(words)
    assert data == array(*words)
    assert modules.resp.parse_request(data + b"*9", 0) == (words, len(data))
    part = data[: min(cut, len(data) - 1)]
    if part:
        nothing, needed = modules.resp.parse_request(part, 0)
        assert nothing is None
        assert len(part) < needed <= len(data)


@pytest.mark.skipif(not shutil.which("redis-server"), reason="apt-get install redis-server")
def test_right_requests_get_the_replies_of_redis(server):
    with RedisServer() as redis:
        for seed in range(40):
            rng = random.Random(seed)
            data = b"".join(
                [array(b"DEL", b"a", b"b", b"c d", b"", b"\r\n")] + random_requests(rng, 50)
            )
            # Both say the same of what is no integer; of counts they speak the same language.
            assert exchange(server.port, data) == exchange(redis.port, data)


def exchange(port, data):
    """All that a server replies to these bytes."""
    with wire.connect(port) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(MIB), b""))


def test_garbage_costs_a_running_server_nothing(server):
    """Clients that break the protocol in many ways, and one that is served all the time."""
    rng = random.Random(1)
    with wire.connect(server.port) as other:
        for number in range(300):
            if number == 50:
                before = memory_used(server.pid)
            with wire.connect(server.port) as sock:
                sock.sendall(rng.choice(PROTOCOL_ERRORS)[0] + rng.randbytes(rng.randrange(2000)))
            other.sendall(array(b"PING"))
            assert other.recv(100) == b"+PONG\r\n"
    assert memory_used(server.pid) < before + 2 * KIB
    assert server.stop() == 0
    assert "Traceback" not in server.stderr()

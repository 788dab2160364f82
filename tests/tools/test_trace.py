"""The tracer records what a server calls, and the server does not notice."""

import shutil
import socket
import struct
import time

import pytest
from lab import wire
from lab.observe import trace
from lab.servers import STAGES, StartError, start_server

KEYS = {"n", "loop", "call", "fd", "args", "result", "error", "bytes", "inside"}
STAGE_NUMBERS = sorted(STAGES)
EVENT_LOOPS = [3, 4]
LISTENER, FIRST_CLIENT = 3, 4  # the descriptors a server has when nobody watches


def ask(sock, stage, request):
    """Milestone 1 has no frames."""
    if stage > 1:
        return wire.ask(sock, request)
    sock.sendall(request)
    return sock.recv(4096)


def traced_batch(stage, requests, **options):
    """The replies to requests that arrive together, and the records."""
    with trace.start_traced_server(stage, **options) as server:
        with wire.connect(server.port) as sock:
            with server.paused():
                sock.sendall(b"".join(wire.frame(request) for request in requests))
            replies = [wire.receive_frame(sock) for _ in requests]
            # Asked once more, the server has written all records of the batch.
            wire.ask(sock, b"PING")
            return replies, server.records()


@pytest.mark.parametrize("stage", STAGE_NUMBERS)
def test_each_call_is_one_record(stage):
    with trace.start_traced_server(stage) as server, wire.connect(server.port) as sock:
        assert ask(sock, stage, b"ECHO tree") == b"$tree"
    records = server.records()
    assert [record["n"] for record in records] == list(range(len(records)))
    assert all(KEYS <= set(record) for record in records)
    loops = [record["loop"] for record in records]
    assert loops == sorted(loops) and loops[0] == 0 and loops[-1] > 0
    assert [record["call"] for record in records[:4]].count("bind") == 1


@pytest.mark.parametrize("stage", STAGE_NUMBERS)
def test_descriptors_are_those_of_a_server_that_is_not_observed(stage):
    with trace.start_traced_server(stage) as server, wire.connect(server.port) as sock:
        ask(sock, stage, b"PING")
    accepted = [record for record in server.records() if record["call"] == "accept"]
    assert accepted[0]["fd"] == LISTENER
    assert accepted[0]["result"][0] == FIRST_CLIENT


@pytest.mark.parametrize("stage", STAGE_NUMBERS)
def test_records_can_be_read_while_the_server_waits(stage):
    with trace.start_traced_server(stage) as server, wire.connect(server.port) as sock:
        before = len(server.records())
        ask(sock, stage, b"PING")
        new = server.records()[before:]
        assert trace.count(new, "recv") + trace.count(new, "recv_into") > 0


@pytest.mark.parametrize("stage", STAGE_NUMBERS)
def test_stopping_ends_it_with_status_0_and_all_sockets_closed(stage):
    with trace.start_traced_server(stage) as server, wire.connect(server.port) as sock:
        ask(sock, stage, b"PING")
        assert server.stop() == 0
        assert server.stderr() == ""
        last = server.records()[-2:]
    assert [(record["call"], record["fd"]) for record in last] == [
        ("close", FIRST_CLIENT),
        ("close", LISTENER),
    ]


@pytest.mark.parametrize("stage", EVENT_LOOPS)
def test_content_and_counts_are_those_of_the_bytes_that_moved(stage):
    requests = [b"ECHO " + letter * 50 for letter in (b"a", b"b")]
    replies, records = traced_batch(stage, requests, shown=40)
    received = [record for record in records if record["call"] in ("recv", "recv_into")]
    ping = received.pop()
    stream = b"".join(wire.frame(request) for request in requests)
    assert [(r["bytes"], r["data"]) for r in received] == [(len(stream), stream[:40])]
    sent = [r for r in records if r["call"] == "send" and r["n"] < ping["n"]]
    assert sum(record["bytes"] for record in sent) == sum(4 + len(reply) for reply in replies)
    assert sent[0]["data"] == wire.frame(replies[0])[:40]


def test_loops_are_poll_calls_and_accept_calls_where_accept_blocks():
    _, records = traced_batch(3, [b"PING"])
    assert records[-1]["loop"] == trace.count(records, "poll")
    _, records = traced_batch(2, [b"PING"])
    assert records[-1]["loop"] == trace.count(records, "accept") == 1


@pytest.mark.parametrize("stage", EVENT_LOOPS)
def test_poll_records_what_was_wanted_and_what_was_ready(stage):
    _, records = traced_batch(stage, [b"PING"])
    polls = [record for record in records if record["call"] == "poll"]
    assert polls[0]["interest"] == [[LISTENER, 1]]
    assert polls[0]["result"] == [[LISTENER, 1]]
    assert polls[1]["interest"] == [[LISTENER, 1], [FIRST_CLIENT, 1]]
    assert polls[1]["result"] == [[FIRST_CLIENT, 1]]


def test_snapshots_show_a_request_leave_incoming_and_its_reply_enter_outgoing():
    one, two = wire.frame(b"ECHO one"), wire.frame(b"ECHO two")
    _, records = traced_batch(3, [b"ECHO one", b"ECHO two"], snapshots=True)
    first = next(record for record in records if record["call"] == "try_one_request")
    assert first["before"]["incoming"]["data"] == one + two
    assert first["after"]["incoming"]["data"] == two
    assert first["after"]["outgoing"]["data"] == wire.frame(b"$one")
    assert first["bytes"] == len(two)
    assert first["inside"] == ["handle_read", "answer"]


def test_snapshots_of_a_buffer_hold_its_pointers():
    whole, half = wire.frame(b"ECHO one"), wire.frame(b"ECHO two")[:6]
    with trace.start_traced_server(4, snapshots=True) as server:
        with wire.connect(server.port) as sock:
            sock.sendall(whole + half)
            assert wire.receive_frame(sock) == b"$one"
    taken = next(r for r in server.records() if r["call"] == "try_one_request")
    incoming = taken["after"]["incoming"]
    assert incoming["data"] == half
    assert incoming["memory"].startswith(whole + half)
    pointers = [incoming[name] for name in ("data_begin", "data_end")]
    assert pointers == [len(whole), len(whole + half)]
    assert incoming["buffer_end"] >= len(whole + half)


def test_every_message_is_consumed_once_and_nothing_is_moved():
    _, records = traced_batch(4, [b"ECHO %d" % n for n in range(1000)])
    taken = [r for r in records if r["call"] == "consume" and r["args"][0] == "incoming"]
    assert len(taken) == 1000 + 1  # traced_batch() ends with a request of its own
    assert trace.bytes_moved(records) == 0


def moves_in_place(server):
    moves = [r for r in server.records() if r["call"] == "make_room" and r["bytes"]]
    return [r for r in moves if r["in_place"] and r["args"][0] == "outgoing"]


def test_a_slow_reader_makes_room_in_place():
    with trace.start_traced_server(4, shown=0) as server, socket.socket() as sock:
        # A small window: else the kernel takes all that waits in `outgoing` at once.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        sock.settimeout(wire.SECONDS)
        sock.connect(("127.0.0.1", server.port))
        sock.sendall(wire.frame(b"SET k " + b"v" * 50_000))
        assert wire.receive_frame(sock) == b"+OK"
        sock.sendall(wire.frame(b"GET k") * 1000)  # 50 MB: far more than any kernel holds
        while not moves_in_place(server):  # if it never happens, recv() times out in the end
            for _ in range(32):
                assert sock.recv(16 * 1024)
                time.sleep(0.002)  # so slowly that `outgoing` is never empty


@pytest.mark.parametrize("stage", EVENT_LOOPS)
def test_snapshots_forget_a_connection_that_was_closed(stage):
    with trace.start_traced_server(stage, snapshots=True) as server:
        with wire.connect(server.port) as sock:
            wire.ask(sock, b"PING")
        with wire.connect(server.port) as sock:  # served after the other's end
            wire.ask(sock, b"PING")
    states = [set(record["conns"]) for record in server.records() if record["call"] == "poll"]
    assert states[0] == set()
    assert {FIRST_CLIENT} in states
    assert sum(r["call"] == "accept" and not r["error"] for r in server.records()) == 2
    assert states[-1] != {FIRST_CLIENT, FIRST_CLIENT + 1}


def test_a_call_that_fails_is_recorded_with_its_error():
    with trace.start_traced_server(4) as server:
        sock = wire.connect(server.port)
        wire.ask(sock, b"PING")
        # Lingering for 0 seconds: close() resets the connection.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
        with wire.connect(server.port) as later:  # served after the other's end
            wire.ask(later, b"PING")
        failed = [record for record in server.records() if record["error"]]
    # accept() is called until nobody waits any more.
    assert {record["error"] for record in failed if record["call"] != "accept"} == {
        "ConnectionResetError"
    }
    calls = [record for record in failed if record["call"] == "recv"]
    assert calls and all(record["result"] is None for record in calls)


@pytest.mark.parametrize("stage", STAGE_NUMBERS)
def test_a_copy_of_a_server_can_be_traced(stage, tmp_path):
    copy = shutil.copytree(STAGES[stage], tmp_path / "mine")
    with trace.start_traced_server(copy / "server.py") as server:
        with wire.connect(server.port) as sock:
            assert ask(sock, stage, b"PING") == b"+PONG"
    assert trace.count(server.records(), "accept") > 0


def test_a_server_that_does_not_come_up_says_why_in_one_line():
    with start_server(1) as other, pytest.raises(StartError) as caught:
        trace.start_traced_server(1, port=other.port)
    assert "cannot listen on" in str(caught.value)
    assert "Traceback" not in str(caught.value)


@pytest.mark.skipif(not shutil.which("pypy3"), reason="no pypy3 on this machine")
@pytest.mark.parametrize("stage", STAGE_NUMBERS)
def test_pypy_can_be_traced(stage):
    with trace.start_traced_server(stage, python="pypy3") as server:
        with wire.connect(server.port) as sock:
            assert ask(sock, stage, b"PING") == b"+PONG"
        assert server.stop() == 0
    assert trace.count(server.records(), "accept") > 0


def test_events_have_names():
    assert trace.event_names(5) == "IN|OUT"
    assert trace.event_names(0x11) == "IN|HUP"
    assert trace.event_names(0) == "-"

"""The bench measures what it says, and its peers are servers that one may compare with."""

import argparse
import os
import select
import shutil
import socket
import struct
import time
import xml.etree.ElementTree as ElementTree
from contextlib import ExitStack

import pytest
from lab import wire
from lab.bench import __main__ as bench
from lab.bench import draw, load, measure, microseconds, report, rows
from lab.process import memory_used
from lab.servers import start_server

SHORT = 0.02  # seconds of load
KINDS = ["streams", "protocol", "threads"]
MAX_PAYLOAD = 1024 * 1024


def clients_of(server, column, wire_name="frames", change=list):
    exchanges = (
        change(load.make_exchanges(wire_name, number, column.batch, column.value_size))
        for number in range(column.clients)
    )
    return [load.Client(server.port, exchange) for exchange in exchanges]


def close(clients):
    for client in clients:
        client.sock.close()


@pytest.fixture
def affinity():
    """Puts back the cores of this process, which a Bench takes away."""
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    yield
    if before:
        os.sched_setaffinity(0, before)


# The load.


def test_a_batch_is_sets_and_gets_with_replies_that_are_known():
    (exchange,) = load.make_exchanges("frames", 7, 4, 16)
    keys = [b"key:0007:0", b"key:0007:1"]
    values = [b"7-0-".ljust(16, b"v"), b"7-2-".ljust(16, b"v")]
    requests, replies = [], []
    for key, value in zip(keys, values):
        requests += [b"SET " + key + b" " + value, b"GET " + key]
        replies += [b"+OK", b"$" + value]
    assert exchange.request == b"".join(wire.frame(request) for request in requests)
    assert exchange.reply == b"".join(wire.frame(reply) for reply in replies)


def test_single_requests_take_turns():
    first, second = load.make_exchanges("frames", 0, 1, 16)
    assert first.request[4:7] == b"SET" and first.reply == wire.frame(b"+OK")
    assert second.request[4:7] == b"GET" and second.reply[4:9] == b"$0-0-"


def test_redis_is_asked_in_its_own_protocol():
    first, second = load.make_exchanges("resp", 0, 1, 5)
    assert first == (
        b"*3\r\n$3\r\nSET\r\n$10\r\nkey:0000:0\r\n$5\r\n0-0-v\r\n",
        b"+OK\r\n",
    )
    assert second == (b"*2\r\n$3\r\nGET\r\n$10\r\nkey:0000:0\r\n", b"$5\r\n0-0-v\r\n")


def test_no_two_clients_have_a_value_or_a_key_in_common():
    requests = [load.make_exchanges("raw", client, 1, 16)[0].request for client in range(100)]
    for words in zip(*(request.split() for request in requests)):
        assert len(set(words)) == (1 if words[0] == b"SET" else 100)
    assert len({len(request) for request in requests}) == 1, "sizes must not differ"


@pytest.mark.parametrize("spin", [False, True])
@pytest.mark.parametrize("column", measure.COLUMNS, ids=lambda column: column.name)
def test_every_column_can_be_driven(column, spin):
    with start_server(4) as server:
        clients = clients_of(server, column)
        times = load.drive(clients, SHORT, spin)
        assert len(times) >= column.clients, "each client finishes at least one batch"
        assert all(time > 0 for time in times)
        close(clients)


def test_a_batch_that_no_socket_buffer_holds_is_sent_in_parts():
    column = measure.Column("long", 1, 200_000, 16, 0)
    with start_server(4) as server:
        clients = clients_of(server, column)
        assert len(load.drive(clients, SHORT)) >= 1
        close(clients)


def test_a_wrong_reply_is_noticed():
    column = measure.Column("", 1, 16, 16, 0)
    exchanges = load.make_exchanges("frames", 0, 16, 16)
    with rows.start_nothing(exchanges) as server:  # its replies are zeros
        clients = clients_of(server, column)
        with pytest.raises(load.LoadError, match="wrong reply"):
            load.drive(clients, SHORT)
        close(clients)


def test_a_server_that_closes_is_noticed():
    column = measure.Column("", 1, 1, 16, 0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        exchanges = load.make_exchanges("frames", 0, column.batch, column.value_size)
        client = load.Client(listener.getsockname()[1], exchanges)
        sock, _ = listener.accept()
        sock.shutdown(socket.SHUT_WR)
        with pytest.raises(load.LoadError, match="closed"):
            load.drive([client], SHORT)
        close([client])
        sock.close()


def test_a_server_that_does_not_answer_is_noticed(monkeypatch):
    monkeypatch.setattr(load, "SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = load.Client(listener.getsockname()[1], load.make_exchanges("frames", 0, 1, 16))
        with pytest.raises(load.LoadError, match="1 batches not answered"):
            load.drive([client], 0)
        close([client])


@pytest.mark.parametrize("column", measure.COLUMNS, ids=lambda column: column.name)
def test_the_server_that_does_nothing_keeps_up_with_every_column(column):
    exchanges = load.make_exchanges("frames", 0, column.batch, column.value_size)
    with rows.start_nothing(exchanges) as server:
        clients = clients_of(server, column, change=load.hollow)
        assert len(load.drive(clients, SHORT)) >= column.clients
        close(clients)


def test_the_server_that_does_nothing_waits_for_whole_requests():
    with rows.start_peer("nothing", "10:3", "4:5") as server, wire.connect(server.port) as sock:
        sock.sendall(bytes(4))
        sock.settimeout(0.1)
        with pytest.raises(socket.timeout):
            sock.recv(1)
        sock.settimeout(wire.SECONDS)
        for _ in range(2):
            sock.sendall(bytes(6))
            assert wire.receive_exactly(sock, 3) == bytes(3)
            sock.sendall(bytes(4))
            assert wire.receive_exactly(sock, 5) == bytes(5)
            sock.sendall(bytes(4))


# The peers.


@pytest.fixture(params=KINDS)
def peer(request):
    with rows.start_peer(request.param) as server:
        yield server


def test_a_peer_answers_like_milestone_4(peer):
    requests = [b"SET k v\0\n w", b"GET k", b"get k", b"INCR n", b"NONE", b"", b"ECHO ", b"DEL k"]
    with start_server(4) as server, wire.connect(server.port) as ours:
        expected = [wire.ask(ours, request) for request in requests]
    with wire.connect(peer.port) as sock:
        sock.sendall(b"".join(wire.frame(request) for request in requests))
        assert [wire.receive_frame(sock) for _ in requests] == expected


def test_a_peer_takes_a_request_byte_by_byte(peer):
    with wire.connect(peer.port) as sock:
        for byte in wire.frame(b"ECHO slow"):
            sock.sendall(bytes([byte]))
        assert wire.receive_frame(sock) == b"$slow"


def test_a_peer_takes_the_largest_payload_and_refuses_a_larger_one(peer):
    largest = b"ECHO " + bytes(MAX_PAYLOAD - 5)
    with wire.connect(peer.port) as sock:
        assert wire.ask(sock, largest) == b"$" + bytes(MAX_PAYLOAD - 5)
        sock.sendall(wire.frame(b"PING") + struct.pack("<I", MAX_PAYLOAD + 1))
        assert wire.receive_frame(sock) == b"+PONG"
        assert wire.receive_frame(sock) == b"-ERR payload of 1048577 bytes exceeds 1048576"
        assert sock.recv(1) == b""


def test_a_peer_answers_a_batch_whose_sender_has_stopped_sending(peer):
    with wire.connect(peer.port) as sock:
        sock.sendall(b"".join(wire.frame(b"ECHO %d" % number) for number in range(1000)))
        sock.shutdown(socket.SHUT_WR)
        assert [wire.receive_frame(sock) for _ in range(1000)] == [
            b"$%d" % number for number in range(1000)
        ]
        assert sock.recv(1) == b""


def test_a_peer_holds_a_bounded_amount_for_a_client_that_never_reads(peer):
    with wire.connect(peer.port) as sock, wire.connect(peer.port) as other:
        wire.ask(sock, b"SET large " + bytes(500_000))
        before = memory_used(peer.pid)
        # 1,000 requests of a few bytes, whose replies are half a gigabyte.
        sock.sendall(wire.frame(b"GET large") * 1000)
        assert wire.ask(other, b"PING") == b"+PONG"
        assert memory_used(peer.pid) - before < 32 * 1024, "KiB"
        # And all replies are there for a client that reads late.
        for _ in range(1000):
            assert len(wire.receive_frame(sock)) == 500_001


# Rows and columns.


def test_missing_peers_are_named_with_the_line_that_brings_them(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(rows.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(select, "epoll", "as on Linux", raising=False)
    missing = {row.name: row.install for row in rows.all_rows(tmp_path) if row.install}
    assert missing == {
        "milestone 4 on PyPy": "apt-get install pypy3",
        "5.1 on PyPy": "apt-get install pypy3",
        "5.3 on PyPy": "apt-get install pypy3",
        "the same on uvloop": "pip install uvloop",
        "redis-server": "apt-get install redis-server",
    }


@pytest.mark.parametrize("name", [rows.FAST, rows.EPOLL, rows.RESP])
def test_a_step_is_a_row(name, tmp_path):
    row = next(r for r in rows.all_rows(tmp_path) if r.name == name)
    if row.install:
        pytest.skip(row.install)
    with row.start() as server:
        clients = clients_of(server, measure.COLUMNS[2], row.wire)
        assert len(load.drive(clients, SHORT)) >= len(clients)
        close(clients)


@pytest.mark.parametrize("row", ["milestone 1", "milestone 2", "milestone 3"])
def test_a_row_is_asked_for_what_it_can_do(row, tmp_path):
    found = next(r for r in rows.all_rows(tmp_path) if r.name == row)
    able = [column.name for column in measure.COLUMNS if measure.can_do(found, column)]
    assert (
        able
        == {
            "milestone 1": ["1 client"],
            "milestone 2": ["1 client", "1 × 1,000"],
            "milestone 3": [column.name for column in measure.COLUMNS],
        }[row]
    )


def test_idle_clients_are_connected_and_served_once():
    with start_server(4) as server, ExitStack() as stack:
        socks = rows.connect_idle(server.port, "frames", 30)
        for sock in socks:
            stack.enter_context(sock)
        assert len({sock.getsockname() for sock in socks}) == 30
        assert wire.ask(socks[-1], b"PING") == b"+PONG", "nothing was left unread"


def test_processor_time_is_the_servers_and_grows_with_its_work():
    if measure.cpu_seconds(os.getpid()) is None:
        pytest.skip("the system does not tell")
    column = measure.COLUMNS[3]
    with start_server(4) as server:
        clients = clients_of(server, column)
        small = measure.take_sample(server.pid, clients, column.batch, SHORT, False)
        assert 0 < small["busy"] < 1.5
        before = measure.cpu_seconds(server.pid)
        load.drive(clients, SHORT)
        worked = measure.cpu_seconds(server.pid) - before
        assert worked > 0
        # Now it is our own processor time that grows.
        until = time.process_time() + 3 * worked
        while time.process_time() < until:
            pass
        assert measure.cpu_seconds(server.pid) - before < 2 * worked
        close(clients)


def test_a_run_fills_every_cell_that_can_be_filled(affinity, tmp_path, monkeypatch):
    names = ["milestone 1", "milestone 2", "milestone 4", "asyncio.Protocol"]
    ready = [row for row in rows.all_rows(tmp_path) if row.name in names]
    plan = measure.Plan(2, SHORT, 1, (0, 20), (16, 1000), 1, 100)
    idle = measure.Column("50 beside 20", 5, 1, 16, 20)
    monkeypatch.setattr(measure, "IDLE_COLUMNS", [idle])
    lines = []
    run = measure.Bench(plan, ready, lines.append)
    run.measure_columns()
    run.measure_idle()
    for row in ready:
        for column in measure.COLUMNS:
            samples = run.results[row.name].get(column.name, [])
            assert len(samples) == (2 if measure.can_do(row, column) else 0)
    assert len(run.results["do nothing"]) == len(measure.COLUMNS)
    assert len(run.results["milestone 4"]["50 beside 20"]) == 1
    assert "memory" not in run.results["milestone 2"]
    assert any("round 2 of 2" in line for line in lines)
    growth = run.measure_growth()
    assert [batch for batch, _ in growth["milestone 4"]] == [16, 1000]
    assert [idle for idle, _ in run.measure_loops()["milestone 4"]] == [0, 20]


# The report.


def samples(*rates, **others):
    return [{"rate": rate, "cpu": 1e6 / rate, "p50": 1.0, "p99": 2.0, **others} for rate in rates]


@pytest.fixture
def data():
    results = {
        "milestone 3": {"1 client": samples(50, 100, 150), "50 × 16": samples(20, 10)},
        "milestone 4": {"1 client": samples(100, 100, 200), "50 × 16": samples(100, 100)},
        "milestone 1": {"1 client": samples(10, 10, 10)},
    }
    results["milestone 4"]["memory"] = [{"KiB": 0.6, "connections": 5000}]
    return {
        "machine": {"date": "2001-02-03", "python": "CPython 3"},
        "results": results,
        "growth": {"milestone 4": [(16, 2.0), (1000, 1.0)]},
        "loops": {"milestone 4": [(0, 8.0), (1000, 200.0)]},
        "redis-benchmark": {},
        "missing": {"redis-server": "apt-get install redis-server"},
    }


def test_a_ratio_compares_what_was_measured_in_the_same_round(data):
    # 50/100, 100/100, 150/200: the median is 0.75, that of the medians would be 1.
    assert report.ratio(data["results"], "milestone 3", "1 client") == 0.75
    assert report.ratio(data["results"], "milestone 1", "50 × 16") is None


def test_the_spread_is_half_of_the_middle_half():
    assert report.spread([100]) == 0
    assert report.spread([90, 95, 100, 105, 110]) == pytest.approx(0.05)
    assert report.spread([100, 100, 100, 100, 900]) == 0, "one bad round does not count"


def test_the_report_tells_figures_ratios_and_what_is_missing(data):
    text = report.write_report(data)
    assert "date 2001-02-03" in text
    cells = [[cell.strip() for cell in line.split("|")] for line in text.splitlines()]
    assert ["", "milestone 4", "100 ±25%", "100 ±0%", ""] in cells
    assert ["", "milestone 3", "0.75", "0.15", ""] in cells
    assert ["", "milestone 1", "0.10", "-", ""] in cells
    assert "Missing: redis-server. To measure it, too: `apt-get install redis-server`" in text
    assert any(line[1:3] == ["milestone 4", "8.00"] for line in cells if len(line) > 3)


def test_aims_are_judged_by_the_processor_time_of_a_request(data):
    line = report.target_lines(data["results"])[0]
    assert line == ["milestone 4 / milestone 3", "1 client", "0.95", "1.33", "met"]
    data["results"]["milestone 3"]["1 client"] = samples(200, 100, 300)
    line = report.target_lines(data["results"])[0]
    assert line == ["milestone 4 / milestone 3", "1 client", "0.95", "0.67", "missed"]


def test_what_redis_benchmark_counts_stands_beside_redis(data):
    columns = {"SET -P 1": [50.0, 60.0, 70.0], "GET -P 1": [10.0, 10.0, 10.0]}
    data["redis-benchmark"] = {rows.RESP: columns}
    assert "60 ±8%" in report.write_report(data)
    data["redis-benchmark"]["redis-server"] = {"SET -P 1": [120.0], "GET -P 1": [10.0]}
    ratios = report.redis_benchmark_tables(data["redis-benchmark"])[1]
    assert "| 5.3: RESP    |     0.50 |     1.00 |" in ratios
    assert "counted by redis-benchmark" in draw.draw(data)


@pytest.mark.skipif(not shutil.which("redis-benchmark"), reason="apt-get install redis-tools")
def test_redis_benchmark_is_run_against_what_speaks_its_protocol(affinity, tmp_path):
    ready = [r for r in rows.all_rows(tmp_path) if r.name in ("milestone 4", rows.RESP)]
    plan = measure.QUICK._replace(redis_rounds=2, requests=100)
    measured = measure.Bench(plan, ready, lambda line: None).measure_by_redis_benchmark()
    assert set(measured) == {rows.RESP}
    assert len(measured[rows.RESP]) == 2 * len(measure.DEPTHS)
    assert all(len(rates) == 2 and min(rates) > 0 for rates in measured[rows.RESP].values())


def test_bounds_are_judged_by_measurement(data):
    growth, memory = report.bound_lines(data)
    assert growth[1:] == ["1.1", "0.50", "met"]
    assert memory[1:] == ["2.2", "0.60", "met"]
    data["growth"]["milestone 4"].append((100_000, 3.0))
    data["results"]["milestone 4"]["memory"] = [{"KiB": 2.3, "connections": 5000}]
    assert [line[-1] for line in report.bound_lines(data)] == ["missed", "missed"]


def test_the_picture_is_xml_and_names_rows_and_figures(data):
    root = ElementTree.fromstring(draw.draw(data))
    words = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"milestone 3", "milestone 4", "0.75", "1.00", "50 × 16"} <= set(words)
    assert any("messages in a batch" in word for word in words if word)


def test_fewer_descriptors_mean_fewer_idle_clients(monkeypatch, capsys):
    limits = argparse.Namespace(
        RLIMIT_NOFILE=7,
        RLIM_INFINITY=-1,
        getrlimit=lambda which: (256, 2048),
        setrlimit=lambda which, limit: None,
    )
    monkeypatch.setattr(bench, "resource", limits)
    assert bench.allow_descriptors(measure.FULL).idle == (0, 100, 1000)
    assert "2048" in capsys.readouterr().err


# Where the microseconds go.


def test_lines_are_told_apart_by_what_they_call(tmp_path):
    file = tmp_path / "server.py"
    file.write_text("a.poll()\nx = sock.recv(1)\np = select.poll()\nfor x in y:\n")
    parts = [microseconds.part_of(str(file), line) for line in (1, 2, 3, 4)]
    assert parts == ["poll()", "recv()", "registering for poll()", "the loop: server.py"]
    assert microseconds.part_of(str(tmp_path / "other.py"), 1) is None


def test_the_tracer_counts_two_turns_a_request_and_one():
    alone, batch = microseconds.COLUMNS
    assert microseconds.calls_per_request(3, alone)["poll"] == 2
    assert microseconds.calls_per_request(4, alone)["poll"] == 1
    assert microseconds.calls_per_request(4, batch)["send"] < 0.01


def test_the_profiler_finds_the_work_on_messages_in_batches(affinity, tmp_path):
    run = measure.Bench(measure.FULL._replace(seconds=3), [], print)  # some 200 samples
    shares = microseconds.profile(run, 4, microseconds.COLUMNS[1], tmp_path)
    assert sum(shares.values()) == pytest.approx(1)
    per_message = [part for part in shares if part.startswith(("commands", "handlers"))]
    assert sum(shares[part] for part in per_message) > 0.7

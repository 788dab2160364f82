"""Who is measured: one row of the table each, and how to start it."""

import importlib.util
import os
import select
import shutil
import socket
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

from lab import history
from lab.servers import STAGES, ServerProcess, StartError, start_server

from . import load

PEERS = Path(__file__).with_name("peers.py")
START_SECONDS = 10
MILESTONE_4 = "milestone 4"
FAST, EPOLL, RESP = "5.1: fewer calls", "5.2: epoll()", "5.3: RESP"
FAST_ON_PYPY, RESP_ON_PYPY = "5.1 on PyPy", "5.3 on PyPy"
REDIS = "redis-server"

# name:    as in the table
# wire:    a key of load.WIRES
# start:   start(**popen) gives a running server with pid and port, for a `with`
# serves:  what it can do: "one request", "one client" or "all"
# install: the line that brings what is missing, None if nothing is
Row = namedtuple("Row", "name wire start serves install")


class RedisServer:
    """A redis-server that keeps nothing on disk, on a free port."""

    def __init__(self, **popen):
        with socket.create_server(("127.0.0.1", 0)) as unused:
            self.port = unused.getsockname()[1]
        argv = ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port)]
        argv += ["--save", "", "--appendonly", "no", "--maxclients", "10000"]
        self.process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, **popen)
        self.pid = self.process.pid
        give_up_at = time.monotonic() + START_SECONDS
        while not self.is_listening():
            if self.process.poll() is not None or time.monotonic() > give_up_at:
                self.stop()
                raise StartError(f"redis-server does not listen on port {self.port}")
            time.sleep(0.02)

    def is_listening(self):
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.stop()


def start_peer(*arguments, **popen):
    return ServerProcess([sys.executable, str(PEERS), *arguments], **popen)


def start_nothing(exchanges, **popen):
    """The server that answers batches of these sizes without looking at them."""
    sizes = [f"{len(request)}:{len(reply)}" for request, reply in exchanges]
    return start_peer("nothing", *sizes, **popen)


def milestone(stage, python=sys.executable, name="", install=None):
    serves = {1: "one request", 2: "one client"}.get(stage, "all")
    wire = "raw" if stage == 1 else "frames"

    def start(**popen):
        return start_server(stage, python=python, **popen)

    return Row(name or f"milestone {stage}", wire, start, serves, install)


def peer(name, kind, install=None):
    return Row(name, "frames", lambda **popen: start_peer(kind, **popen), "all", install)


def step(name, folder, python=sys.executable, wire="frames", install=None):
    """A step of the history, whose number begins the name, in a folder of its own."""
    number = name[:3]
    place = Path(folder) / number
    place.mkdir(exist_ok=True)
    history.write(history.files_at(number), place)
    argv = [python, str(place / "server.py"), "--port", "0"]
    return Row(name, wire, lambda **popen: ServerProcess(argv, **popen), "all", install)


def unless(found, line):
    return None if found else line


def all_rows(folder):
    """Every row, those that can't be measured here included; folder: an empty one."""
    pypy = shutil.which("pypy3")
    no_pypy = unless(pypy, "apt-get install pypy3")
    no_epoll = unless(hasattr(select, "epoll"), "only Linux has epoll()")
    no_redis = unless(shutil.which("redis-server"), "apt-get install redis-server")
    no_uvloop = unless(importlib.util.find_spec("uvloop"), "pip install uvloop")
    return [
        *(milestone(stage) for stage in STAGES),
        step(FAST, folder),
        step(EPOLL, folder, install=no_epoll),
        milestone(4, pypy, "milestone 4 on PyPy", no_pypy),
        step(FAST_ON_PYPY, folder, pypy, install=no_pypy),
        peer("asyncio streams", "streams"),
        peer("asyncio.Protocol", "protocol"),
        peer("the same on uvloop", "uvloop", no_uvloop),
        peer("socketserver threads", "threads"),
        step(RESP, folder, wire="resp", install=no_epoll),
        step(RESP_ON_PYPY, folder, pypy, "resp", no_epoll or no_pypy),
        Row(REDIS, "resp", RedisServer, "all", no_redis),
    ]


def cores():
    """Two cores that we may use: for the generator and for the server; None if not known."""
    if not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2:
        return None
    return sorted(os.sched_getaffinity(0))[:2]


def connect_idle(port, wire, count):
    """`count` connections that have been served one request each, and ask no more."""
    exchange = load.make_exchanges(wire, 0, 1, 16)[0]
    socks = []
    for _ in range(count):
        sock = socket.create_connection(("127.0.0.1", port), timeout=load.SECONDS)
        socks.append(sock)
        sock.sendall(exchange.request)
        if sock.recv(len(exchange.reply)) != exchange.reply:
            raise load.LoadError("wrong reply to an idle client")
    return socks

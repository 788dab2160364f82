"""Real Redis clients against step 5.3: what a user of them sees."""

import fcntl
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import termios

import pytest
import redis
from lab import history
from lab.servers import ROOT, ServerProcess

STEP = "5.3"
SECONDS = 30
IOREDIS = ROOT / ".venv" / "node" / "node_modules" / "ioredis"


def needs(program):
    return pytest.mark.skipif(not shutil.which(program), reason="apt-get install redis-tools")


@pytest.fixture(scope="module")
def folder():
    with history.folder_of(STEP) as path:
        yield path


def start(folder, port=0):
    return ServerProcess([sys.executable, str(folder / "server.py"), "--port", str(port)])


@pytest.fixture
def server(folder):
    with start(folder) as server:
        yield server
        assert server.stop() == 0
        assert server.stderr() == ""


def run(*words, **options):
    """What a program prints; it has to end with status 0."""
    options = {"capture_output": True, "text": True, "timeout": SECONDS, **options}
    done = subprocess.run([str(word) for word in words], **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


# redis-py


@pytest.fixture
def client(server):
    # A Redis before version 6 does not know HELLO, with which RESP3 begins.
    with redis.Redis(port=server.port, protocol=2, socket_timeout=SECONDS) as client:
        yield client


def test_redis_py_calls(client):
    assert client.ping() is True
    assert client.echo("hello") == b"hello"
    assert client.set("k", "v") is True
    assert client.get("k") == b"v"
    assert client.get("nothing") is None
    assert client.delete("k", "nothing") == 1
    assert client.incr("n") == 1
    assert client.incr("n", 41) == 42


def test_redis_py_binary_values_up_to_the_limit(client):
    for value in (b"", b"\r\n", bytes(range(256)), b"v" * (1024 * 1024 - 4)):
        client.set(b"k", value)
        assert client.get(b"k") == value


def test_redis_py_errors_are_errors_and_the_connection_lives(client):
    client.set("text", "abc")
    with pytest.raises(redis.ResponseError, match="not an integer"):
        client.incr("text")
    with pytest.raises(redis.ResponseError, match="unknown command 'LPUSH'"):
        client.lpush("list", 1)
    assert client.ping()


def test_redis_py_pipeline(client):
    pipeline = client.pipeline(transaction=False)
    for number in range(10_000):
        pipeline.set(f"k{number}", number)
        pipeline.get(f"k{number}")
    assert pipeline.execute() == [r for n in range(10_000) for r in (True, b"%d" % n)]


def test_redis_py_reconnects(folder):
    with start(folder) as first:
        client = redis.Redis(port=first.port, protocol=2, socket_timeout=SECONDS)
        assert client.ping()
    with start(folder, first.port):
        assert client.ping()
        client.close()


# redis-cli and redis-benchmark


@needs("redis-cli")
def test_redis_cli_one_command(server):
    assert run("redis-cli", "-p", server.port, "INCR", "visits") == "1\n"
    assert run("redis-cli", "-p", server.port, "INCR", "visits") == "2\n"


@needs("redis-cli")
def test_redis_cli_commands_from_a_pipe(server):
    commands = 'SET k "two words"\nGET k\nDEL k k\nGET k\nNONSENSE\n'
    replies = run("redis-cli", "-p", server.port, input=commands).splitlines()
    assert replies == ["OK", "two words", "1", "", "ERR unknown command 'NONSENSE'", ""]


@needs("redis-cli")
def test_redis_cli_mass_insertion(server):
    """--pipe sends all at once, reads meanwhile, and finds the end by an ECHO."""
    requests = b"".join(b"*3\r\n$3\r\nSET\r\n$6\r\n%06d\r\n$1\r\nv\r\n" % n for n in range(20_000))
    said = run("redis-cli", "-p", server.port, "--pipe", input=requests, text=False)
    assert b"errors: 0, replies: 20000" in said


def wait_for(terminal, pattern):
    """Read what a program writes to its terminal until that matches."""
    seen = b""
    while not re.search(pattern, seen, re.DOTALL):
        ready, _, _ = select.select([terminal], [], [], SECONDS)
        assert ready, f"{pattern!r} does not come after {seen!r}"
        seen += os.read(terminal, 4096)


@needs("redis-cli")
def test_redis_cli_prompt(server):
    terminal, its_side = pty.openpty()
    fcntl.ioctl(its_side, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))  # else it asks
    prompt = b"127.0.0.1:%d> " % server.port
    words = ["redis-cli", "-p", str(server.port)]
    process = subprocess.Popen(words, stdin=its_side, stdout=its_side, stderr=its_side)
    os.close(its_side)
    try:
        wait_for(terminal, prompt)
        for command, reply in ((b"SET k v", b"OK"), (b"GET k", b'"v"'), (b"DEL x", b"integer. 0")):
            os.write(terminal, command + b"\r")
            wait_for(terminal, b"\n.*" + reply + b".*" + prompt)
        os.write(terminal, b"quit\r")
        assert process.wait(SECONDS) == 0
    finally:
        process.kill()
        process.wait()
    os.close(terminal)


@needs("redis-benchmark")
@pytest.mark.parametrize("depth", [1, 16, 100])
def test_redis_benchmark(server, depth):
    tests = ["ping_inline", "ping_mbulk", "set", "get", "incr"]
    words = ["-p", server.port, "-n", 5000, "-c", 50, "-q", "--csv", "-P", depth]
    lines = run("redis-benchmark", "-t", ",".join(tests), *words).splitlines()
    names = [line.split(",")[0].strip('"') for line in lines[-len(tests) :]]
    assert names == ["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR"]
    # It waits for every reply; and it sends a whole number of batches.
    assert int(run("redis-cli", "-p", server.port, "GET", "counter:__rand_int__")) >= 5000


# A client in another language

PROGRAM = """
const Redis = require("ioredis");
const client = new Redis({ port: Number(process.argv[1]) });
(async () => {
  const made = [await client.set("k", Buffer.from([0, 255, 13, 10])), await client.incr("n")];
  made.push((await client.getBuffer("k")).toString("hex"), await client.get("nothing"));
  const pipeline = client.pipeline();
  for (let n = 0; n < 1000; n++) pipeline.incr("n");
  const replies = await pipeline.exec();
  made.push(replies[999][1], await client.del("k", "n", "x"), await client.quit());
  console.log(JSON.stringify(made));
})();
"""


@pytest.mark.skipif(not IOREDIS.exists(), reason="npm install --prefix .venv/node ioredis")
def test_ioredis(server):
    environment = {**os.environ, "NODE_PATH": str(IOREDIS.parent)}
    said = run("node", "-e", PROGRAM, server.port, env=environment)
    assert said == '["OK",1,"00ff0d0a",null,1001,2,"OK"]\n'

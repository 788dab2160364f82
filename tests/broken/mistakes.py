"""The mistakes: stage, name, the mistake in words, the test that must catch it, and the
lines of server.py that are right with the wrong ones in their place.
"""

from typing import NamedTuple


class Mistake(NamedTuple):
    name: str
    stage: int
    words: str
    caught_by: str  # a test function of tests/conformance
    changes: list  # of (right text, wrong text)


MISTAKES = {}


def mistake(stage, name, words, caught_by, *changes):
    MISTAKES[name] = Mistake(name, stage, words, caught_by, changes)


# ---- stage 2, the header

mistake(
    2, "header-in-one-recv", "the header is read with a single recv()",
    "?",
    ("header = read_full(sock, HEADER_SIZE)", "header = sock.recv(HEADER_SIZE) or None"),
)
mistake(
    2, "header-big-endian", "the length is read and written most significant byte first",
    "?",
    ('len(payload).to_bytes(HEADER_SIZE, "little")', 'len(payload).to_bytes(HEADER_SIZE, "big")'),
    ('int.from_bytes(header, "little")', 'int.from_bytes(header, "big")'),
)
mistake(
    2, "reply-big-endian", "requests are read right, but replies go out in network byte order",
    "?",
    ('len(payload).to_bytes(HEADER_SIZE, "little")', 'len(payload).to_bytes(HEADER_SIZE, "big")'),
)
mistake(
    2, "length-counts-header", "the length is taken to include its own four bytes",
    "?",
    ('len(payload).to_bytes(', '(len(payload) + 4).to_bytes('),
    ('int.from_bytes(header, "little")', 'int.from_bytes(header, "little") - 4'),
)
mistake(
    2, "length-16-bits", "only the lower half of the length is looked at",
    "?",
    ('int.from_bytes(header, "little")', 'int.from_bytes(header[:2], "little")'),
)
mistake(
    2, "length-signed", "the length is read as a signed number, so the largest are negative",
    "?",
    ('int.from_bytes(header, "little")', 'int.from_bytes(header, "little", signed=True)'),
)
mistake(
    2, "reply-without-header", "the reply goes out as bare payload",
    "?",
    ("sock.sendall(frame(respond(request)))", "sock.sendall(respond(request))"),
)

# ---- stage 2, the payload

mistake(
    2, "payload-in-one-recv", "the payload is read with a single recv(); less is an error",
    "?",
    (
        "payload = read_full(sock, payload_length(header))\n    if payload is None:",
        "length = payload_length(header)\n"
        "    payload = sock.recv(length) if length else b''\n"
        "    if len(payload) < length:",
    ),
)
mistake(
    2, "payload-takes-too-much", "recv() is given the buffer's size, not what is missing",
    "?",
    (
        "payload = read_full(sock, payload_length(header))",
        "length = payload_length(header)\n"
        "    payload = b''\n"
        "    while len(payload) < length:\n"
        "        payload += sock.recv(4096)\n"
        "    payload = payload[:length]",
    ),
)
mistake(
    2, "empty-is-error", "an empty payload is taken for the end of the stream",
    "?",
    ("    if payload is None:\n", "    if not payload:\n"),
)
mistake(
    2, "payload-decoded", "the payload is decoded as UTF-8, and other bytes are a fault",
    "?",
    (
        "        if request is None:\n            return\n        sock",
        "        if request is None:\n            return\n"
        "        try:\n"
        "            request.decode()\n"
        "        except UnicodeDecodeError as error:\n"
        "            raise Fault(str(error))\n"
        "        sock",
    ),
)
mistake(
    2, "payload-ends-at-nul", "the payload is treated as a C string",
    "?",
    ("sock.sendall(frame(respond(request)))", "sock.sendall(frame(respond(request.split(b'\\0')[0])))"),
)
mistake(
    2, "payload-stripped", "white space around the payload is removed",
    "?",
    ("sock.sendall(frame(respond(request)))", "sock.sendall(frame(respond(request.strip())))"),
)
mistake(
    2, "no-upper-bound", "any announced length is believed",
    "?",
    ("    if length > MAX_PAYLOAD:\n", "    if False:\n"),
)
mistake(
    2, "bound-off-by-one", "a payload of exactly the limit is refused",
    "?",
    ("    if length > MAX_PAYLOAD:\n", "    if length >= MAX_PAYLOAD:\n"),
)
mistake(
    2, "oversize-untold", "a length over the limit closes the connection without a word",
    "?",
    ('            sock.sendall(frame(f"-ERR {error}".encode()))\n            raise\n', "            raise\n"),
)
mistake(
    2, "oversize-goes-on", "after the error the connection stays open",
    "?",
    (
        '            sock.sendall(frame(f"-ERR {error}".encode()))\n            raise\n',
        '            sock.sendall(frame(f"-ERR {error}".encode()))\n            continue\n',
    ),
)

# ---- stage 2, ends and errors

mistake(
    2, "eof-retried", 'zero bytes from recv() mean "try again"',
    "?",
    ("        if not piece:\n", "        if piece is None:\n"),
)
mistake(
    2, "eof-completes-frame", "at the end of the stream what has come is taken for the whole",
    "?",
    (
        '            if data:\n                raise Fault("closed inside a frame")\n            return None\n',
        "            return data or None\n",
    ),
)
mistake(
    2, "one-request-a-connection", "the connection is closed after the first reply",
    "?",
    ("        sock.sendall(frame(respond(request)))\n", "        sock.sendall(frame(respond(request)))\n        return\n"),
)
mistake(
    2, "reset-ends-server", "ConnectionResetError is caught nowhere",
    "?",
    ("except (Fault, OSError) as error:\n                log", "except Fault as error:\n                log"),
)
mistake(
    2, "fault-ends-server", "a client that breaks the protocol raises up to main()",
    "?",
    ("except (Fault, OSError) as error:\n                log", "except OSError as error:\n                log"),
)
mistake(
    2, "header-and-payload-apart", "a reply is two writes, and Nagle's algorithm is on",
    "?",
    (
        "        sock.sendall(frame(respond(request)))\n",
        "        reply = frame(respond(request))\n"
        "        sock.sendall(reply[:HEADER_SIZE])\n"
        "        sock.sendall(reply[HEADER_SIZE:])\n",
    ),
    ("    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)\n", ""),
)
mistake(
    2, "connection-not-closed", "the client is forgotten, its socket stays open",
    "?",
    ("        with sock:\n            try:", "        store[sock] = sock\n        if True:\n            try:"),
)

# ---- stage 2, commands and process

mistake(
    2, "store-per-connection", "each client gets a dictionary of its own",
    "?",
    ("        with sock:\n", "        store.clear()\n        with sock:\n"),
)
mistake(
    2, "command-case-matters", "only capitals are understood",
    "?",
    ("name_upper = name.upper()", "name_upper = name"),
)
mistake(
    2, "value-cut-at-space", "a value ends at its first space",
    "?",
    ("rest.split(b\" \", 1 if name == b\"SET\" else -1)", "rest.split(b\" \")[:2]"),
)
mistake(
    2, "missing-key-is-empty", "GET of a missing key gives the empty value",
    "?",
    ('if key in store else b"_"', 'if key in store else b"$"'),
)
mistake(
    2, "incr-unbounded", "INCR counts beyond 64 bits",
    "?",
    ("    if number >= INT64_MAX:", "    if not is_integer(text):"),
)
mistake(
    2, "incr-too-kind", "INCR takes everything that int() takes",
    "?",
    (
        "    canonical = re.fullmatch(rb\"0|-?[1-9][0-9]{0,18}\", text)\n"
        "    return canonical is not None and INT64_MIN <= int(text) <= INT64_MAX\n",
        "    try:\n"
        "        return INT64_MIN <= int(text) <= INT64_MAX\n"
        "    except ValueError:\n"
        "        return False\n",
    ),
)
mistake(
    2, "error-name-raw", "an unknown command's name goes into the error as it came",
    "?",
    ("    return f\"-ERR unknown command '{shown}'\".encode()", "    return b\"-ERR unknown command '%s'\" % name"),
)
mistake(
    2, "no-reuseaddr", "SO_REUSEADDR is not set",
    "?",
    ("    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n", ""),
)
mistake(
    2, "bind-failure-printed", "a failed bind() is reported, and the server goes on",
    "?",
    (
        '    listener.bind(("127.0.0.1", port))\n',
        '    try:\n'
        '        listener.bind(("127.0.0.1", port))\n'
        '    except OSError as error:\n'
        '        print(error, file=sys.stderr)\n',
    ),
)
mistake(
    2, "sigterm-ignored", "SIGTERM is caught, and nothing comes of it",
    "?",
    ("    sys.exit(0)\n\n\ndef serve(", "    pass\n\n\ndef serve("),
)

# ---- stage 3, several clients

mistake(
    3, "socket-blocking", "the accepted socket never becomes non-blocking",
    "?",
    ("        sock.setblocking(False)\n        conn", "        sock.setblocking(True)\n        conn"),
)
mistake(
    3, "served-on-accept-only", "clients are looked at only when another one connects",
    "?",
    (
        "            else:\n                self.serve(self.fd2conn[fd], events)\n",
        "            elif any(fd == self.listener.fileno() for fd, _ in ready):\n"
        "                self.serve(self.fd2conn[fd], events)\n",
    ),
)
mistake(
    3, "blocks-inside-frame", "a frame once begun is waited for",
    "?",
    (
        "    conn.incoming += data\n    answer(conn)\n",
        "    conn.incoming += data\n"
        "    conn.sock.setblocking(True)\n"
        "    while data and len(conn.incoming) < HEADER_SIZE + payload_length(conn.incoming[:4]):\n"
        "        data = conn.sock.recv(READ_SIZE)\n"
        "        conn.incoming += data\n"
        "    conn.sock.setblocking(False)\n"
        "    answer(conn)\n",
    ),
)
mistake(
    3, "dict-changed-while-walked", "connections are closed while the dictionary is walked",
    "?",
    (
        "        now = time.monotonic()\n        if now >= self.next_tick:",
        "        for conn in self.fd2conn.values():\n"
        "            if conn.ended and not conn.outgoing:\n"
        "                self.close(conn)\n"
        "        now = time.monotonic()\n        if now >= self.next_tick:",
    ),
    (
        "        if conn.ended and not conn.outgoing:\n            self.close(conn)\n            return\n",
        "",
    ),
)
mistake(
    3, "one-buffer-for-all", "all connections share one input buffer",
    "?",
    ("class Conn:\n", "class Conn:\n    everything = bytearray()\n\n"),
    ("self.incoming = bytearray()  # received", "self.incoming = Conn.everything  # received"),
)
mistake(
    3, "replies-to-last-client", "replies go into the buffer of whoever connected last",
    "?",
    ("class Conn:\n", "class Conn:\n    newest = None\n\n"),
    ("        self.last_active = now\n", "        self.last_active = now\n        Conn.newest = self\n"),
    ("        conn.outgoing += frame(respond(request))", "        Conn.newest.outgoing += frame(respond(request))"),
)
mistake(
    3, "partial-frame-dropped", "an incomplete frame is forgotten when recv() returns",
    "?",
    ("        if len(conn.incoming) < end:\n            return\n", "        if len(conn.incoming) < end:\n            conn.incoming.clear()\n            return\n"),
)
mistake(
    3, "descriptor-table-of-512", "a table indexed by descriptor ends at 512",
    "?",
    ("        conn = Conn(sock, peer, time", "        if sock.fileno() >= 512:\n            sock.close()\n            return\n        conn = Conn(sock, peer, time"),
)

# ---- stage 3, the write path

mistake(
    3, "eagain-on-write-fatal", "EAGAIN from send() closes the connection",
    "?",
    ("    except BlockingIOError:\n        return\n    conn.last", "    except ZeroDivisionError:\n        return\n    conn.last"),
)
mistake(
    3, "send-result-ignored", "what send() did not take is lost",
    "?",
    ("    del conn.outgoing[:sent]", "    conn.outgoing.clear()"),
)
mistake(
    3, "sendall-on-nonblocking", "sendall() on a non-blocking socket, repeated from the start",
    "?",
    ("        sent = conn.sock.send(conn.outgoing)\n", "        conn.sock.sendall(conn.outgoing)\n        sent = len(conn.outgoing)\n"),
)
mistake(
    3, "one-reply-a-batch", "after a reply, bytes already read wait for poll() to name them",
    "?",
    ("    while len(conn.outgoing) < HIGH_WATER and len", "    if len(conn.outgoing) < HIGH_WATER and len"),
    ("    # Requests may have waited for this room.\n    answer(conn)\n", ""),
)
mistake(
    3, "no-back-pressure", "requests are read and answered however many replies are unread",
    "?",
    ("    if not conn.ended and len(conn.outgoing) < HIGH_WATER:\n", "    if not conn.ended:\n"),
    ("    while len(conn.outgoing) < HIGH_WATER and len", "    while len"),
)
mistake(
    3, "reads-while-replies-wait", "answering stops while replies wait, reading does not",
    "?",
    ("    if not conn.ended and len(conn.outgoing) < HIGH_WATER:\n", "    if not conn.ended:\n"),
)
mistake(
    3, "replies-lost-at-eof", "the end of the input closes the connection, replies due or not",
    "?",
    ("        if conn.ended and not conn.outgoing:\n", "        if conn.ended:\n"),
)
mistake(
    3, "oversize-drops-replies", "a length over the limit throws the earlier replies away",
    "?",
    ('            conn.outgoing += frame(f"-ERR {error}".encode())\n', '            conn.outgoing = bytearray(frame(f"-ERR {error}".encode()))\n'),
)

# ---- stage 3, ends, errors and the processor

mistake(
    3, "eof-keeps-spinning", "the end of the stream is read again and again",
    "?",
    ("    if not data:\n        conn.ended = True\n", "    if not data:\n        return\n        conn.ended = True\n"),
)
mistake(
    3, "reset-ends-loop", "ConnectionResetError leaves the loop",
    "?",
    ("        except OSError as error:\n            self.close(conn, error)\n            return\n", "        except BlockingIOError:\n            return\n"),
)
mistake(
    3, "broken-pipe-ends-loop", "BrokenPipeError is not caught, only a reset is",
    "?",
    ("        except OSError as error:\n            self.close(conn, error)", "        except ConnectionResetError as error:\n            self.close(conn, error)"),
)
mistake(
    3, "write-error-ignored", "a failed send() is tried again for ever",
    "?",
    ("    except BlockingIOError:\n        return\n    conn.last", "    except OSError:\n        return\n    conn.last"),
)
mistake(
    3, "pollerr-is-pollout", "4, another constant's value, is asked for as the error bit",
    "?",
    ("def wanted_events(conn):\n    events = 0\n", "def wanted_events(conn):\n    events = 4\n"),
)
mistake(
    3, "descriptor-leaked", "the connection is forgotten, its descriptor never closed",
    "?",
    ("        del self.fd2conn[conn.sock.fileno()]\n        conn.sock.close()\n", "        del self.fd2conn[conn.sock.fileno()]\n        conn.sock.detach()\n"),
)
mistake(
    3, "one-client-drains-the-loop", "a client is read until it has nothing more to say",
    "?",
    (
        "                handle_read(conn)\n",
        "                while True:\n"
        "                    handle_read(conn)\n"
        "                    handle_write(conn)\n",
    ),
    ("        except OSError as error:\n            self.close", "        except BlockingIOError:\n            pass\n        except OSError as error:\n            self.close"),
)

# ---- stage 4, all pending messages

mistake(
    4, "one-request-an-event", "one request is answered for each readable event",
    "?",
    ("    while len(conn.outgoing) < HIGH_WATER and len", "    if len(conn.outgoing) < HIGH_WATER and len"),
)
mistake(
    4, "leftovers-after-blocked-write", "requests that waited for room are looked at when more arrive",
    "?",
    ("    # Requests may have waited for this room.\n    answer(conn)\n", ""),
)
mistake(
    4, "view-after-consume", "the request is looked at after the buffer has moved on",
    "?",
    (
        "        request = bytes(conn.incoming[HEADER_SIZE:end])\n        del conn.incoming[:end]\n",
        "        before = bytes(conn.incoming)\n        del conn.incoming[:end]\n"
        "        request = bytes((conn.incoming + before)[HEADER_SIZE:end])\n",
    ),
)
mistake(
    4, "capacity-asserted", "an assertion compares the size with half the capacity",
    "?",
    ("    conn.incoming += data\n", "    assert len(data) <= 4096 - len(data)\n    conn.incoming += data\n"),
)
mistake(
    4, "buffer-of-64-kib", "input that does not fit the first buffer is dropped",
    "?",
    ("    conn.incoming += data\n", "    conn.incoming += data\n    del conn.incoming[READ_SIZE:]\n"),
)
mistake(
    4, "rest-dropped-at-eof", "at the end of the input, requests not yet answered are dropped",
    "?",
    ("    while len(conn.outgoing) < HIGH_WATER and len", "    while len(conn.outgoing) < 4096 and len"),
    (
        "        if conn.incoming:\n            log(conn.peer, \"closed inside a frame\")\n",
        "        conn.incoming.clear()\n",
    ),
)
mistake(
    4, "limit-counts-replies", "back-pressure counts replies, not their bytes",
    "?",
    ("    while len(conn.outgoing) < HIGH_WATER and len", "    while conn.outgoing.count(b'$') < 1000000 and len"),
)

# ---- stage 4, time-outs

mistake(
    4, "idle-never-closed", "--idle-timeout is read and forgotten",
    "?",
    ("        if not self.idle_timeout:\n            return\n", "        return\n"),
)
mistake(
    4, "idle-mid-frame-kept", "a client inside a frame is never idle",
    "?",
    ("            if now - conn.last_active >= self.idle_timeout:\n", "            if now - conn.last_active >= self.idle_timeout and not conn.incoming:\n"),
)
mistake(
    4, "idle-counts-from-connect", "the time runs from the connect, whatever happens",
    "?",
    ("    conn.last_active = time.monotonic()\n    conn.incoming", "    conn.incoming"),
    ("    conn.last_active = time.monotonic()\n    del", "    del"),
)
mistake(
    4, "idle-ignores-partial-requests", "only a complete request counts as activity",
    "?",
    ("    conn.last_active = time.monotonic()\n    conn.incoming", "    conn.incoming"),
    ("        conn.outgoing += frame(respond(request))\n", "        conn.outgoing += frame(respond(request))\n        conn.last_active = time.monotonic()\n"),
)
mistake(
    4, "idle-ignores-sending", "only bytes received count as activity",
    "?",
    ("    conn.last_active = time.monotonic()\n    del", "    del"),
)
mistake(
    4, "idle-spares-non-readers", "a client that reads nothing for that long is kept",
    "?",
    ("            if now - conn.last_active >= self.idle_timeout:\n", "            if now - conn.last_active >= self.idle_timeout and not conn.outgoing:\n"),
)
mistake(
    4, "idle-zero-is-at-once", "an --idle-timeout of 0 closes everybody",
    "?",
    ("        if not self.idle_timeout:\n            return\n", ""),
)

# ---- stage 4, descriptors and memory

mistake(
    4, "emfile-busy-loop", "the listener stays readable when accept() fails",
    "?",
    ("            self.accept_failing = True\n            self.poller.modify(self.listener, 0)\n", "            self.accept_failing = True\n"),
)
mistake(
    4, "emfile-floods-log", "each failed accept() is logged",
    "?",
    (
        "            if not self.accept_failing:\n                print(",
        "            if True:\n                print(",
    ),
    ("            self.accept_failing = True\n            self.poller.modify(self.listener, 0)\n", "            self.accept_failing = True\n"),
)
mistake(
    4, "emfile-ends-server", "a failed accept() leaves the loop",
    "?",
    ("        except OSError as error:  # out of descriptors\n", "        except TimeoutError as error:  # out of descriptors\n"),
)
mistake(
    4, "emfile-for-ever", "accepting is given up and never resumed",
    "?",
    ("        if self.accept_failing:\n            self.poller.modify(self.listener, select.POLLIN)\n", ""),
)
mistake(
    4, "buffer-per-connection", "each connection holds a 64 KiB buffer from the start",
    "?",
    ("        self.events = 0  # what poll() was told\n", "        self.events = 0  # what poll() was told\n        self.buffer = bytearray(b'.' * READ_SIZE)\n"),
)
mistake(
    4, "closed-connections-kept", "closed connections stay in a list",
    "?",
    ("        conn.sock.close()\n\n    def handle_accept", "        conn.sock.close()\n        store[conn] = bytes(READ_SIZE)\n\n    def handle_accept"),
)

"""The mistakes: stage, name, the mistake in words, the test that must catch it, and the
change to server.py: `-` and `+` before the right and the wrong lines, a space before
lines that stay and say where.
"""

from typing import NamedTuple


class Mistake(NamedTuple):
    name: str
    stage: int
    words: str
    caught_by: str  # a test function of tests/conformance
    change: str


MISTAKES = {}


def mistake(stage, name, words, caught_by, change):
    MISTAKES[name] = Mistake(name, stage, words, caught_by, change)


def with_mistake(source, change):
    """The text of server.py with the lines of one change replaced."""
    for part in change.strip("\n").split("\n\n"):
        lines = part.splitlines()
        right = "".join(line[1:] + "\n" for line in lines if line[:1] != "+")
        wrong = "".join(line[1:] + "\n" for line in lines if line[:1] != "-")
        if source.count(right) != 1:
            raise ValueError(f"not once in server.py:\n{right}")
        source = source.replace(right, wrong)
    return source


# ---- stage 2, the header

mistake(
    2,
    "header-in-one-recv",
    "the header is read with a single recv()",
    "test_header_in_pieces",
    """
-    header = read_full(sock, HEADER_SIZE)
+    header = sock.recv(HEADER_SIZE) or None
""",
)
mistake(
    2,
    "header-big-endian",
    "the length is read and written most significant byte first",
    "test_one_request_gets_one_reply",
    """
-    return len(payload).to_bytes(HEADER_SIZE, "little") + payload
+    return len(payload).to_bytes(HEADER_SIZE, "big") + payload

-    length = int.from_bytes(header, "little")
+    length = int.from_bytes(header, "big")
""",
)
mistake(
    2,
    "reply-big-endian",
    "requests are read right, but replies go out in network byte order",
    "test_one_request_gets_one_reply",
    """
-    return len(payload).to_bytes(HEADER_SIZE, "little") + payload
+    return len(payload).to_bytes(HEADER_SIZE, "big") + payload
""",
)
mistake(
    2,
    "length-counts-header",
    "the length is taken to include its own four bytes",
    "test_one_request_gets_one_reply",
    """
-    return len(payload).to_bytes(HEADER_SIZE, "little") + payload
+    return (len(payload) + 4).to_bytes(HEADER_SIZE, "little") + payload

-    length = int.from_bytes(header, "little")
+    length = int.from_bytes(header, "little") - 4
""",
)
mistake(
    2,
    "length-16-bits",
    "only the lower half of the length is looked at",
    "test_sizes_around_powers_of_two",
    """
-    length = int.from_bytes(header, "little")
+    length = int.from_bytes(header[:2], "little")
""",
)
mistake(
    2,
    "length-signed",
    "the length is read as a signed number, so the largest are negative",
    "test_oversize_length",
    """
-    length = int.from_bytes(header, "little")
+    length = int.from_bytes(header, "little", signed=True)
""",
)
mistake(
    2,
    "reply-without-header",
    "the reply goes out as bare payload",
    "test_one_request_gets_one_reply",
    """
-        sock.sendall(frame(respond(request)))
+        sock.sendall(respond(request))
""",
)

# ---- stage 2, the payload

mistake(
    2,
    "payload-in-one-recv",
    "the payload is read with a single recv(); less is an error",
    "test_two_requests_cut_at_every_place",
    """
-    payload = read_full(sock, payload_length(header))
-    if payload is None:
+    length = payload_length(header)
+    payload = sock.recv(length) if length else b''
+    if len(payload) < length:
""",
)
mistake(
    2,
    "payload-takes-too-much",
    "recv() is given the buffer's size, not what is missing",
    "test_two_requests_in_one_segment",
    """
-    payload = read_full(sock, payload_length(header))
+    length = payload_length(header)
+    payload = b''
+    while len(payload) < length:
+        payload += sock.recv(4096)
+    payload = payload[:length]
""",
)
mistake(
    2,
    "empty-is-error",
    "an empty payload is taken for the end of the stream",
    "test_empty_payload",
    """
-    if payload is None:
+    if not payload:
""",
)
mistake(
    2,
    "payload-decoded",
    "the payload is decoded as UTF-8, and other bytes are a fault",
    "test_binary_payload",
    """
         if request is None:
             return
+        try:
+            request.decode()
+        except UnicodeDecodeError as error:
+            raise Fault(str(error))
""",
)
mistake(
    2,
    "payload-ends-at-nul",
    "the payload is treated as a C string",
    "test_binary_payload",
    r"""
-        sock.sendall(frame(respond(request)))
+        sock.sendall(frame(respond(request.split(b'\0')[0])))
""",
)
mistake(
    2,
    "payload-stripped",
    "white space around the payload is removed",
    "test_line_ends_are_bytes_like_others",
    """
-        sock.sendall(frame(respond(request)))
+        sock.sendall(frame(respond(request.strip())))
""",
)
mistake(
    2,
    "no-upper-bound",
    "any announced length is believed",
    "test_oversize_length",
    """
-    if length > MAX_PAYLOAD:
+    if False:
""",
)
mistake(
    2,
    "bound-off-by-one",
    "a payload of exactly the limit is refused",
    "test_largest_payload",
    """
-    if length > MAX_PAYLOAD:
+    if length >= MAX_PAYLOAD:
""",
)
mistake(
    2,
    "oversize-untold",
    "a length over the limit closes the connection without a word",
    "test_oversize_length",
    """
-            sock.sendall(frame(f"-ERR {error}".encode()))
""",
)
mistake(
    2,
    "oversize-goes-on",
    "after the error the connection stays open",
    "test_oversize_length",
    """
-            raise
+            continue
""",
)

# ---- stage 2, ends and errors

mistake(
    2,
    "eof-retried",
    'zero bytes from recv() mean "try again"',
    "test_several_clients_in_turn",
    """
-        if not piece:
+        if piece is None:
""",
)
mistake(
    2,
    "eof-not-acted-on",
    "the end of the stream is noticed, and then decoded as a header",
    "test_half_close_behind_a_batch",
    """
     if header is None:
-        return None
+        header = b""
""",
)
mistake(
    2,
    "eof-completes-frame",
    "at the end of the stream what has come is taken for the whole",
    "test_end_inside_the_first_frame",
    """
-            if data:
-                raise Fault("closed inside a frame")
-            return None
+            return data or None
""",
)
mistake(
    2,
    "one-request-a-connection",
    "the connection is closed after the first reply",
    "test_several_requests_in_turn",
    """
         sock.sendall(frame(respond(request)))
+        return
""",
)
mistake(
    2,
    "reset-ends-server",
    "ConnectionResetError is caught nowhere",
    "test_reset_inside_a_frame",
    """
-            except (Fault, OSError) as error:
+            except Fault as error:
""",
)
mistake(
    2,
    "fault-ends-server",
    "a client that breaks the protocol raises up to main()",
    "test_leaving_inside_a_frame",
    """
-            except (Fault, OSError) as error:
+            except OSError as error:
""",
)
mistake(
    2,
    "header-and-payload-apart",
    "a reply is two writes, and Nagle's algorithm is on",
    "test_no_reply_waits_for_an_acknowledgement",
    """
-        sock.sendall(frame(respond(request)))
+        reply = frame(respond(request))
+        sock.sendall(reply[:HEADER_SIZE])
+        sock.sendall(reply[HEADER_SIZE:])

-    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
""",
)
mistake(
    2,
    "connection-not-closed",
    "the client is forgotten, its socket stays open",
    "test_server_closes_when_the_client_has",
    """
-        with sock:
+        store[sock] = sock
+        if True:
""",
)

# ---- stage 2, commands and process

mistake(
    2,
    "store-per-connection",
    "each client gets a dictionary of its own",
    "test_next_client_gets_what_one_set",
    """
         sock, peer = listener.accept()
+        store.clear()
""",
)
mistake(
    2,
    "command-case-matters",
    "only capitals are understood",
    "test_commands_in_any_case",
    """
-    name_upper = name.upper()
+    name_upper = name
""",
)
mistake(
    2,
    "value-cut-at-space",
    "a value ends at its first space",
    "test_value_takes_the_rest",
    """
-    return rest.split(b" ", 1 if name == b"SET" else -1)
+    return rest.split(b" ")[:2]
""",
)
mistake(
    2,
    "missing-key-is-empty",
    "GET of a missing key gives the empty value",
    "test_get_of_a_missing_key",
    """
-    return b"$" + store[key] if key in store else b"_"
+    return b"$" + store[key] if key in store else b"$"
""",
)
mistake(
    2,
    "incr-unbounded",
    "INCR counts beyond 64 bits",
    "test_incr_up_to_the_limit",
    """
-    if number >= INT64_MAX:
+    if not is_integer(text):
""",
)
mistake(
    2,
    "incr-too-kind",
    "INCR takes everything that int() takes",
    "test_incr_of_what_is_no_integer",
    """
-    canonical = re.fullmatch(rb"0|-?[1-9][0-9]{0,18}", text)
-    return canonical is not None and INT64_MIN <= int(text) <= INT64_MAX
+    try:
+        return INT64_MIN <= int(text) <= INT64_MAX
+    except ValueError:
+        return False
""",
)
mistake(
    2,
    "error-name-raw",
    "an unknown command's name goes into the error as it came",
    "test_unknown_command_with_bytes_that_do_not_print",
    """
-    return f"-ERR unknown command '{shown}'".encode()
+    return b"-ERR unknown command '%s'" % name
""",
)
mistake(
    2,
    "no-reuseaddr",
    "SO_REUSEADDR is not set",
    "test_restart_on_the_same_port",
    """
-    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
""",
)
mistake(
    2,
    "bind-failure-printed",
    "a failed bind() is reported, and the server goes on",
    "test_port_taken",
    """
-    listener.bind(("127.0.0.1", port))
+    try:
+        listener.bind(("127.0.0.1", port))
+    except OSError as error:
+        print(error, file=sys.stderr)
""",
)
mistake(
    2,
    "sigterm-ignored",
    "SIGTERM is caught, and nothing comes of it",
    "test_end_on_sigterm",
    """
-    sys.exit(0)
+    pass
""",
)

# ---- stage 3, several clients

mistake(
    3,
    "socket-blocking",
    "the accepted socket never becomes non-blocking",
    "test_others_are_served_beside_one_that_never_reads",
    """
-        sock.setblocking(False)
+        sock.setblocking(True)
""",
)
mistake(
    3,
    "served-on-accept-only",
    "clients are looked at only when another one connects",
    "test_several_requests_in_turn",
    """
-            else:
+            elif any(fd == self.listener.fileno() for fd, _ in ready):
""",
)
mistake(
    3,
    "blocks-inside-frame",
    "a frame once begun is waited for",
    "test_client_is_served_while_another_has_sent_half_a_frame",
    """
     conn.incoming += data
+    conn.sock.setblocking(True)
+    while data and len(conn.incoming) < HEADER_SIZE + payload_length(conn.incoming[:4]):
+        data = conn.sock.recv(READ_SIZE)
+        conn.incoming += data
+    conn.sock.setblocking(False)
""",
)
mistake(
    3,
    "dict-changed-while-walked",
    "connections are closed while the dictionary is walked",
    "test_many_clients_leave_at_once",
    """
                 self.serve(self.fd2conn[fd], events)
+        for conn in self.fd2conn.values():
+            if conn.ended and not conn.outgoing:
+                self.close(conn)

-        if conn.ended and not conn.outgoing:
-            self.close(conn)
-            return
""",
)
mistake(
    3,
    "one-buffer-for-all",
    "all connections share one input buffer",
    "test_frames_of_many_clients_interleaved",
    """
 class Conn:
+    everything = bytearray()
+

-        self.incoming = bytearray()  # received, not yet answered
+        self.incoming = Conn.everything  # received, not yet answered
""",
)
mistake(
    3,
    "replies-to-last-client",
    "replies go into the buffer of whoever connected last",
    "test_second_client_is_served_while_the_first_is_silent",
    """
 class Conn:
+    newest = None
+

         self.last_active = now
+        Conn.newest = self

-        conn.outgoing += frame(respond(request))
+        Conn.newest.outgoing += frame(respond(request))
""",
)
mistake(
    3,
    "partial-frame-dropped",
    "an incomplete frame is forgotten when recv() returns",
    "test_byte_by_byte",
    """
         if len(conn.incoming) < end:
+            conn.incoming.clear()
""",
)
mistake(
    3,
    "descriptor-table-of-512",
    "a table indexed by descriptor ends at 512",
    "test_thousand_clients",
    """
         sock.setblocking(False)
+        if sock.fileno() >= 512:
+            sock.close()
+            return
""",
)

# ---- stage 3, the write path

mistake(
    3,
    "eagain-on-write-fatal",
    "EAGAIN from send() closes the connection",
    "test_late_reader",
    """
-    except BlockingIOError:
+    except ZeroDivisionError:
""",
)
mistake(
    3,
    "send-result-ignored",
    "what send() did not take is lost",
    "test_late_reader_of_the_largest_reply",
    """
-    del conn.outgoing[:sent]
+    conn.outgoing.clear()
""",
)
mistake(
    3,
    "sendall-on-nonblocking",
    "sendall() on a non-blocking socket, repeated from the start",
    "test_late_reader_of_the_largest_reply",
    """
-        sent = conn.sock.send(conn.outgoing)
+        conn.sock.sendall(conn.outgoing)
+        sent = len(conn.outgoing)
""",
)
mistake(
    3,
    "one-reply-a-batch",
    "after a reply, bytes already read wait for poll() to name them",
    "test_two_requests_in_one_segment",
    """
-    # Requests may have waited for this room.
-    answer(conn)

-    while len(conn.outgoing) < HIGH_WATER and len(conn.incoming) >= HEADER_SIZE:
+    if len(conn.outgoing) < HIGH_WATER and len(conn.incoming) >= HEADER_SIZE:
""",
)
mistake(
    3,
    "rest-of-batch-dropped",
    "whatever came along with the first request is thrown away",
    "test_several_requests_in_one_segment",
    """
-        del conn.incoming[:end]
+        conn.incoming.clear()
""",
)
mistake(
    3,
    "no-back-pressure",
    "requests are read and answered however many replies are unread",
    "test_memory_beside_one_that_never_reads",
    """
-    if not conn.ended and len(conn.outgoing) < HIGH_WATER:
+    if not conn.ended:

-    while len(conn.outgoing) < HIGH_WATER and len(conn.incoming) >= HEADER_SIZE:
+    while len(conn.incoming) >= HEADER_SIZE:
""",
)
mistake(
    3,
    "reads-while-replies-wait",
    "answering stops while replies wait, reading does not",
    "test_memory_beside_one_that_never_reads",
    """
-    if not conn.ended and len(conn.outgoing) < HIGH_WATER:
+    if not conn.ended:
""",
)
mistake(
    3,
    "replies-lost-at-eof",
    "the end of the input closes the connection, replies due or not",
    "test_half_close_while_output_is_blocked",
    """
-        if conn.ended and not conn.outgoing:
+        if conn.ended:
""",
)
mistake(
    3,
    "oversize-drops-replies",
    "a length over the limit throws the earlier replies away",
    "test_oversize_length_behind_requests",
    """
-            conn.outgoing += frame(f"-ERR {error}".encode())
+            conn.outgoing = bytearray(frame(f"-ERR {error}".encode()))
""",
)

# ---- stage 3, ends, errors and the processor

mistake(
    3,
    "eof-keeps-spinning",
    "the end of the stream is read again and again",
    "test_no_spin",
    """
     if not data:
+        return
""",
)
mistake(
    3,
    "reset-ends-loop",
    "ConnectionResetError leaves the loop",
    "test_reset_between_requests",
    """
-        except OSError as error:
-            self.close(conn, error)
+        except BlockingIOError:
""",
)
mistake(
    3,
    "broken-pipe-ends-loop",
    "BrokenPipeError is not caught, only a reset is",
    "test_hang_up_with_many_replies_due",
    """
-        except OSError as error:
+        except ConnectionResetError as error:
""",
)
mistake(
    3,
    "write-error-ignored",
    "a failed send() is tried again for ever",
    "test_hang_up_while_output_is_blocked",
    """
-    except BlockingIOError:
+    except OSError:
""",
)
mistake(
    3,
    "pollerr-is-pollout",
    "4, another constant's value, is asked for as the error bit",
    "test_no_spin",
    """
-    events = 0
+    events = 4
""",
)
mistake(
    3,
    "descriptor-leaked",
    "the connection is forgotten, its descriptor never closed",
    "test_descriptors_are_closed",
    """
-        conn.sock.close()
+        conn.sock.detach()
""",
)
mistake(
    3,
    "one-client-drains-the-loop",
    "a client is read until it has nothing more to say",
    "test_fair",
    """
-                handle_read(conn)
-            if conn.outgoing:
-                handle_write(conn)
+                while True:
+                    handle_read(conn)
+                    handle_write(conn)
+        except BlockingIOError:
+            pass
""",
)

mistake(
    3,
    "sigpipe-kills",
    "SIGPIPE has its default effect, as in C, once a client has left for good",
    "test_reset_behind_an_end_of_stream_while_output_is_blocked",
    """
     signal.signal(signal.SIGTERM, stop)
+    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
""",
)
mistake(
    3,
    "second-copy-starts-too",
    "SO_REUSEPORT lets a second copy listen on the same port",
    "test_port_taken_by_a_copy",
    """
     listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
+    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
""",
)

# ---- stage 4, all pending messages

mistake(
    3,
    "client-sockets-block",
    "sockets of clients are left blocking",
    "test_sockets_are_non_blocking",
    """
-        sock.setblocking(False)
""",
)

mistake(
    4,
    "sixteen-requests-an-event",
    "of the requests that came together, the first sixteen are answered",
    "test_long_pipeline",
    """
-    while len(conn.outgoing) < HIGH_WATER and len(conn.incoming) >= HEADER_SIZE:
+    for _ in range(16):
+        if len(conn.incoming) < HEADER_SIZE:
+            return

-    # Requests may have waited for this room.
-    answer(conn)
""",
)
mistake(
    4,
    "one-request-a-turn",
    "each turn of the loop answers one of the requests that came together",
    "test_a_batch_is_answered_in_one_turn",
    """
         conn.outgoing += frame(respond(request))
+        return
""",
)
mistake(
    4,
    "write-in-the-next-turn",
    "a reply waits until poll() reports that there is room",
    "test_a_request_costs_one_turn_of_the_loop",
    """
-            if conn.outgoing:
+            if events & select.POLLOUT:
""",
)
mistake(
    4,
    "leftovers-after-blocked-write",
    "requests that waited for room are looked at when more arrive",
    "test_many_bytes_for_few",
    """
-    # Requests may have waited for this room.
-    answer(conn)
""",
)
mistake(
    4,
    "stall-behind-small-reads",
    "requests wait while a write is blocked, and are not looked at when it goes on",
    "test_write_blocked_in_mid_batch",
    """
-READ_SIZE = 1 << 16
+READ_SIZE = 4100

-    # Requests may have waited for this room.
-    answer(conn)

-    while len(conn.outgoing) < HIGH_WATER and len(conn.incoming) >= HEADER_SIZE:
+    while not conn.outgoing and len(conn.incoming) >= HEADER_SIZE:

         conn.outgoing += frame(respond(request))
+        try:
+            del conn.outgoing[: conn.sock.send(conn.outgoing)]
+        except BlockingIOError:
+            return
""",
)
mistake(
    4,
    "view-after-consume",
    "the request is looked at after the buffer has moved on",
    "test_requests_of_different_lengths_in_one_segment",
    """
-        request = bytes(conn.incoming[HEADER_SIZE:end])
+        before = bytes(conn.incoming)

         del conn.incoming[:end]
+        request = bytes((conn.incoming + before)[HEADER_SIZE:end])
""",
)
mistake(
    4,
    "capacity-asserted",
    "an assertion compares the size with half the capacity",
    "test_sizes_around_powers_of_two",
    """
         return
     conn.last_active = time.monotonic()
+    assert len(data) <= 4096 - len(data)
     conn.incoming += data
""",
)
mistake(
    4,
    "buffer-of-64-kib",
    "input that does not fit the first buffer is dropped",
    "test_largest_payload",
    """
     conn.incoming += data
+    del conn.incoming[READ_SIZE:]
""",
)
mistake(
    4,
    "rest-dropped-at-eof",
    "at the end of the input, requests not yet answered are dropped",
    "test_half_close_behind_a_long_pipeline",
    """
-        if conn.incoming:
-            log(conn.peer, "closed inside a frame")
+        conn.incoming.clear()

-    while len(conn.outgoing) < HIGH_WATER and len(conn.incoming) >= HEADER_SIZE:
+    while len(conn.outgoing) < 4096 and len(conn.incoming) >= HEADER_SIZE:
""",
)
mistake(
    4,
    "limit-counts-replies",
    "back-pressure counts replies, not their bytes",
    "test_memory_for_unread_replies",
    """
-    while len(conn.outgoing) < HIGH_WATER and len(conn.incoming) >= HEADER_SIZE:
+    while conn.outgoing.count(b'$') < 1000000 and len(conn.incoming) >= HEADER_SIZE:
""",
)

# ---- stage 4, time-outs

mistake(
    4,
    "idle-never-closed",
    "--idle-timeout is read and forgotten",
    "test_idle_client_is_closed",
    """
-        if not self.idle_timeout:
-            return
+        return
""",
)
mistake(
    4,
    "idle-mid-frame-kept",
    "a client inside a frame is never idle",
    "test_client_idle_inside_frame_is_closed",
    """
-            if now - conn.last_active >= self.idle_timeout:
+            if now - conn.last_active >= self.idle_timeout and not conn.incoming:
""",
)
mistake(
    4,
    "idle-counts-from-connect",
    "the time runs from the connect, whatever happens",
    "test_active_client_is_not_closed",
    """
             log(conn.peer, "closed inside a frame")
         return
-    conn.last_active = time.monotonic()

     except BlockingIOError:
         return
-    conn.last_active = time.monotonic()
""",
)
mistake(
    4,
    "idle-ignores-partial-requests",
    "only a complete request counts as activity",
    "test_slow_request_is_not_idle",
    """
             log(conn.peer, "closed inside a frame")
         return
-    conn.last_active = time.monotonic()

         conn.outgoing += frame(respond(request))
+        conn.last_active = time.monotonic()
""",
)
mistake(
    4,
    "idle-ignores-sending",
    "only bytes received count as activity",
    "test_slow_reader_is_not_idle",
    """
     except BlockingIOError:
         return
-    conn.last_active = time.monotonic()
""",
)
mistake(
    4,
    "idle-spares-non-readers",
    "a client that reads nothing for that long is kept",
    "test_client_that_reads_nothing_is_closed",
    """
-            if now - conn.last_active >= self.idle_timeout:
+            if now - conn.last_active >= self.idle_timeout and not conn.outgoing:
""",
)
mistake(
    4,
    "idle-zero-is-at-once",
    "an --idle-timeout of 0 closes everybody",
    "test_idle_timeout_of_zero",
    """
-        if not self.idle_timeout:
-            return
""",
)

# ---- stage 4, descriptors and memory

mistake(
    4,
    "emfile-busy-loop",
    "the listener stays readable when accept() fails",
    "test_no_spin_without_descriptors",
    """
-            self.poller.modify(self.listener, 0)
""",
)
mistake(
    4,
    "idle-clients-walked-while-closed",
    "the dictionary is changed while it is walked: two idle clients at once end the server",
    "test_several_idle_clients_are_closed_at_once",
    """
-        for conn in list(self.fd2conn.values()):
+        for conn in self.fd2conn.values():
""",
)
mistake(
    4,
    "emfile-floods-log",
    "each failed accept() is logged",
    "test_no_spin_without_descriptors",
    """
-            if not self.accept_failing:
+            if True:

-            self.poller.modify(self.listener, 0)
""",
)
mistake(
    4,
    "emfile-ends-server",
    "a failed accept() leaves the loop",
    "test_clients_inside_are_served_without_descriptors",
    """
-        except OSError as error:  # out of descriptors
+        except TimeoutError as error:  # out of descriptors
""",
)
mistake(
    4,
    "emfile-for-ever",
    "accepting is given up and never resumed",
    "test_recovers_from_lack_of_descriptors",
    """
-        if self.accept_failing:
-            self.poller.modify(self.listener, select.POLLIN)
""",
)
mistake(
    4,
    "buffer-per-connection",
    "each connection holds a 64 KiB buffer from the start",
    "test_memory_of_idle_clients",
    """
         self.events = 0  # what poll() was told
+        self.buffer = bytearray(b'.' * READ_SIZE)
""",
)
mistake(
    4,
    "closed-connections-kept",
    "closed connections stay in a list",
    "test_thousands_come_and_go",
    """
         conn.sock.close()
+        store[conn] = bytes(READ_SIZE)
""",
)

"""Mistakes of stage 2: blocking servers with frames.  mistake.py says how a change is written."""

from mistake import mistake

# ---- the end of a client

mistake(
    2,
    "end-asked-again",
    "recv() that returns nothing is asked again, as if more could come",
    "test_one_request_gets_one_reply",
    """
-        if not piece:
-            if data:
-                raise Fault("closed inside a frame")
-            return None
""",
)

# ---- the header

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

# ---- the payload

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

# ---- ends and errors

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

mistake(
    2,
    "quiet-clients-cut",
    "a time-out of 300 ms, set against clients that hang, ends those that are quiet",
    "test_a_quiet_client_keeps_its_connection",
    """
         with sock:
+            sock.settimeout(0.3)
""",
)
mistake(
    2,
    "sigpipe-kills-early",
    "SIGPIPE has its default effect, as in C, on the reply to a client that has gone",
    "test_gone_before_its_requests_are_read",
    """
     signal.signal(signal.SIGTERM, stop)
+    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
""",
)

# ---- commands and process

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
    "keys-of-31-bytes",
    "a key is kept in an array of 32 bytes, and what is longer is cut",
    "test_long_keys",
    """
-    store[key] = value
+    store[key[:31]] = value

-    return b"$" + store[key] if key in store else b"_"
+    return b"$" + store[key[:31]] if key[:31] in store else b"_"
""",
)
mistake(
    2,
    "keys-are-attributes",
    "a key is also looked for among the names that a dictionary has itself",
    "test_any_word_is_a_key",
    """
-    return b"$" + store[key] if key in store else b"_"
+    value = store.get(key) or getattr(store, key.decode(errors="replace"), None)
+    value = value if isinstance(value, bytes) else repr(value).encode() if value else b""
+    return b"$" + value if value else b"_"
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
    "name-ends-at-nul",
    "the name of a command is compared up to a NUL, as strcasecmp() does",
    "test_unknown_command_with_bytes_that_do_not_print",
    """
-    name_upper = name.upper()
+    name_upper = name.upper().partition(b"\\0")[0]
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

"""The mistakes of clients, as mistakes.py has those of servers: changes to client.py."""

from mistake import Mistake

MISTAKES = {}


def mistake(stage, name, words, caught_by, change):
    MISTAKES[name] = Mistake(name, stage, words, caught_by, change)


mistake(
    2,
    "reply-in-one-recv",
    "a reply is read with a single recv()",
    "test_a_reply_in_single_bytes",
    """
-    while len(data) < count:
+    while not data and count:
""",
)
mistake(
    2,
    "reads-too-much",
    "a whole buffer is read for each reply, and what is left over is lost",
    "test_two_replies_in_one_packet",
    """
-    length = int.from_bytes(read_full(sock, 4), "little")
-    if length > MAX_PAYLOAD:
-        raise ConnectionError("the server speaks something else")
-    return read_full(sock, length)
+    data = sock.recv(4096)
+    length = int.from_bytes(data[:4], "little")
+    if not data or length > MAX_PAYLOAD:
+        raise ConnectionError("the server has gone")
+    while len(data) < 4 + length:
+        data += sock.recv(4096)
+    return data[4 : 4 + length]
""",
)
mistake(
    2,
    "lost-server-is-no-error",
    "when the server has gone, the client ends as if all were well",
    "test_a_server_that_leaves",
    """
-        sys.exit(f"lost the server: {error}")
+        return
""",
)
mistake(
    2,
    "half-a-reply-is-shown",
    "the end of the stream ends a reply",
    "test_a_server_that_leaves_inside_a_reply",
    """
-            raise ConnectionError("the server has gone")
+            if data[:1] == b"$":
+                show(data)
+            raise ConnectionError("the server has gone")
""",
)
mistake(
    2,
    "no-limit",
    "whatever length is announced is waited for",
    "test_a_server_of_another_kind",
    """
-    if length > MAX_PAYLOAD:
-        raise ConnectionError("the server speaks something else")
""",
)
mistake(
    2,
    "signed-header",
    "each byte of a length is a signed char",
    "test_replies_of_many_lengths",
    """
-    length = int.from_bytes(read_full(sock, 4), "little")
+    parts = [byte - 256 if byte >= 128 else byte for byte in read_full(sock, 4)]
+    length = parts[0] | parts[1] << 8 | parts[2] << 16 | parts[3] << 24
""",
)
mistake(
    2,
    "big-endian-requests",
    "the length goes out most significant byte first",
    "test_each_kind_of_reply",
    """
-    sock.sendall(len(request).to_bytes(4, "little") + request)
+    sock.sendall(len(request).to_bytes(4, "big") + request)
""",
)
mistake(
    4,
    "pipelines-one-by-one",
    "--pipeline is taken, and each request still waits for the reply before",
    "test_requests_do_not_wait_for_replies",
    """
-    if pipeline:
+    if False:

-        if not pipeline:
+        if True:
""",
)
mistake(
    4,
    "sends-all-before-it-reads",
    "no reply is read before the last request has been sent: a deadlock",
    "test_replies_are_read_while_requests_are_sent",
    """
-        threading.Thread(target=send_all, args=(sock, lines), daemon=True).start()
+        send_all(sock, lines)
""",
)

"""Mistakes of stage 4: pipelining and limits.  mistake.py says how a change is written."""

from mistake import mistake

# ---- all pending messages

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

# ---- time-outs

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
    "idle-waits-for-its-output",
    "an idle client is closed once its replies have left, which they never do",
    "test_client_that_reads_nothing_is_closed",
    """
-                self.close(conn, f"idle for {self.idle_timeout:g} s")
+                conn.ended = True
+                self.update(conn)
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

# ---- descriptors and memory

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
    "one-accept-a-turn",
    "each turn of the loop lets one newcomer in, and walks through all the others",
    "test_newcomers_cost_the_same_beside_many_clients",
    """
-                while self.handle_accept():
-                    pass
+                self.handle_accept()
""",
)
mistake(
    4,
    "idle-looked-for-in-silence",
    "idle clients are looked for when poll() has waited in vain, which it never does",
    "test_idle_client_beside_busy_ones_is_closed",
    """
-        now = time.monotonic()
-        if now >= self.next_tick:
+        now = time.monotonic()
+        if not ready:
""",
)
mistake(
    4,
    "idle-first-alone",
    "of the list of clients the first is looked at, and when that is active no other",
    "test_idle_client_beside_busy_ones_is_closed",
    """
-        for conn in list(self.fd2conn.values()):
+        for conn in list(self.fd2conn.values())[:1]:
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
    "refused-connections-kept",
    "what a client that was refused has sent is kept for ever",
    "test_thousands_are_refused",
    """
-            conn.incoming.clear()
+            store[conn] = bytes(READ_SIZE)
+            conn.incoming.clear()
""",
)
mistake(
    4,
    "idle-connections-kept",
    "connections that were closed for being idle stay in a list",
    "test_hundreds_become_idle",
    """
                 self.close(conn, f"idle for {self.idle_timeout:g} s")
+                store[conn] = bytes(READ_SIZE)
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

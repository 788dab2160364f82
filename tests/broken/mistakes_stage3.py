"""Mistakes of stage 3: event loops.  mistake.py says how a change is written."""

from mistake import mistake

# ---- several clients

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
    "newcomers-at-the-tick",
    "whoever connects is let in at the next tick, one each time",
    "test_a_request_is_taken_when_it_comes",
    """
             if fd == self.listener.fileno():
-                while self.handle_accept():
-                    pass
+                continue

             self.next_tick = now + self.period
+            self.handle_accept()
""",
)
mistake(
    3,
    "byte-by-byte",
    "recv() is asked for one byte at a time, and each is put behind a copy of what came before",
    "test_client_is_served_while_another_sends_a_large_frame",
    """
-    data = conn.sock.recv(READ_SIZE)
+    data = conn.sock.recv(1)

-    conn.incoming += data
+    conn.incoming = conn.incoming + data
""",
)
mistake(
    3,
    "nothing-is-sent",
    "poll() is never asked for POLLOUT, and send() is called nowhere else",
    "test_one_request_gets_one_reply",
    """
-        events |= select.POLLOUT
+        pass

-            if conn.outgoing:
+            if events & select.POLLOUT:
""",
)
mistake(
    3,
    "poll-index-off-by-one",
    "each connection gets the events of the one before it",
    "test_one_request_gets_one_reply",
    """
         ready = self.poller.poll(self.period * 1000)
+        entries, conns = [self.listener.fileno(), *self.fd2conn], list(self.fd2conn.values())
+        for fd, conn in zip(entries, conns):
+            if fd in dict(ready):
+                self.serve(conn, dict(ready)[fd])

-            else:
-                self.serve(self.fd2conn[fd], events)
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

# ---- the write path

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
    "pollout-never-asked-for",
    "what send() did not take waits for the client's next request",
    "test_late_reader_of_the_largest_reply",
    """
-    if conn.outgoing:
-        events |= select.POLLOUT
     return events
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
    "send-repeated-at-once",
    "a send() that takes nothing is repeated at once, until all is sent",
    "test_others_are_served_beside_one_that_never_reads",
    """
-    try:
-        sent = conn.sock.send(conn.outgoing)
-    except BlockingIOError:
-        return
+    sent = 0
+    while sent < len(conn.outgoing):
+        try:
+            sent += conn.sock.send(conn.outgoing[sent:])
+        except BlockingIOError:
+            continue
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

# ---- ends, errors and the processor

mistake(
    3,
    "eof-keeps-spinning",
    "the end of the stream is read again and again",
    "test_ends_of_every_kind_at_once",
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
    "test_reset_behind_an_end_of_stream_while_output_is_blocked",
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
    "refusal-for-ever",
    "the refused length stays in the buffer, and is refused again when the refusal has left",
    "test_ends_of_every_kind_at_once",
    """
-            conn.incoming.clear()
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

# ---- all pending messages

mistake(
    3,
    "client-sockets-block",
    "sockets of clients are left blocking",
    "test_sockets_are_non_blocking",
    """
-        sock.setblocking(False)
""",
)

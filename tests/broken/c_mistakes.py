"""Mistakes that a server in C can make: what Python does by itself, or is too slow to show.

As in mistake.py, but the changes are those to foreign/epoll_server.c.
"""

from mistake import Mistake

MISTAKES = {}


def mistake(name, words, caught_by, change):
    MISTAKES[name] = Mistake(name, 4, words, caught_by, change)


mistake(
    "ended-by-eintr",
    "epoll_wait() that was interrupted ends the server",
    "test_a_server_that_is_stopped_goes_on",
    """
         int count = epoll_wait(epoll_fd, events, EVENTS, (int)(period * 1000) + 1);
+        if (count < 0) {
+            perror("epoll_wait");
+            exit(1);
+        }
""",
)
mistake(
    "front-erased",
    "after each request the rest is moved to the front, as vector.erase() does",
    "test_a_message_costs_the_same_however_many_wait_behind_it",
    """
-    bytes->begin += count;
+    char *rest = bytes->memory + bytes->begin;
+    memmove(rest, rest + count, length_of(bytes) - count);
+    bytes->end -= count;
     if (bytes->begin == bytes->end)
""",
)
mistake(
    "read-until-eagain",
    "a client is read from until nothing is left of what it has sent",
    "test_a_request_waits_for_a_part_of_a_flood",
    """
-    if (count > 0) {
-        conn->last_active = seconds_now();
-        append(&conn->in, data, count);
-        answer(conn);
+    while (count > 0) {
+        conn->last_active = seconds_now();
+        append(&conn->in, data, count);
+        answer(conn);
+        count = read(conn->fd, data, sizeof data);
""",
)
mistake(
    "table-of-fixed-size",
    "a thirteenth client finds no place, and no answer",
    "test_frames_of_many_clients_interleaved",
    """
     conn->next = connections;
+    static int places = 12;
+    if (!places--) {
+        places++;
+        return;
+    }
""",
)

"""Turn the records of an event loop (see script.py) into steps worth looking at.

A step is what happened at one moment, in words, and the state right after it.
Several records can make one step: a poll set that is built anew is one.
"""

import select
from dataclasses import dataclass, field, replace

from lab.observe.trace import event_names
from lab.wire import HEADER

EMPTY = {"kind": "bytes", "data_begin": 0, "data_end": 0, "buffer_end": 0, "data": b""}
FLAGS = {"want_read": True, "want_write": False, "want_close": False}
NEW = {**FLAGS, "incoming": EMPTY, "outgoing": EMPTY, "replies": 0}
SET_UP, WAIT, HANDLE, CLEAN_UP = 1, 2, 3, 4


@dataclass
class Client:
    """One client's streams; positions count from the first byte it ever sent or got."""

    name: str
    room: int = None  # what the kernel holds for it; None: it reads at once
    requests: bytes = b""  # all that it sends
    replies: bytes = b""  # all that it is sent


@dataclass(frozen=True)
class View:
    """A connection at one moment: how far the streams have come, and its Conn."""

    client: Client
    fd: int = None
    sent: int = 0  # requests: by the client
    received: int = 0  # requests: by the server
    replied: int = 0  # replies: by the server
    read: int = 0  # replies: by the client
    state: dict = field(default_factory=lambda: NEW)
    closed: bool = False

    @property
    def produced(self):
        """Replies made so far, sent or not, in bytes."""
        return self.replied + length(self.state["outgoing"]) + self.state["replies"]


@dataclass
class Step:
    """phase: 1 to 4, a step of run_once(); group: how many times the clients have
    moved; moved: bytes that were moved to take requests away, so far; interest and
    ready: {fd: events}."""

    phase: int
    call: str
    say: str
    group: int
    loop: int
    moved: int
    interest: dict
    ready: dict
    views: list
    is_poll: bool = False


def length(window):
    return window["data_end"] - window["data_begin"]


def frames(stream):
    """Where the frames in a stream begin and end: [(begin, end), ...].

    The last one may end behind the stream's end, or have no whole header.
    """
    found, begin = [], 0
    while begin < len(stream):
        header = stream[begin : begin + HEADER.size]
        size = HEADER.unpack(header)[0] if len(header) == HEADER.size else 0
        end = begin + HEADER.size + size
        found.append((begin, end))
        begin = end
    return found


def paused(before, after):
    """What to add if the server has stopped reading between two states."""
    if before["want_read"] and not after["want_read"] and not after["want_close"]:
        return " That is the high-water mark: it reads no more."
    return ""


def plural(count, noun):
    return f"{count} {noun}" + ("" if count == 1 else "s")


def payloads(stream, begin, end):
    """The payloads of the frames that lie in stream[begin:end], in words."""
    inside = [stream[b + HEADER.size : e] for b, e in frames(stream) if begin <= b and e <= end]
    return [payload.decode("latin-1") for payload in inside]


class Steps:
    """Goes through the records once; `found` is the list of steps."""

    def __init__(self, records):
        self.records = records
        self.found = []
        self.views = {}  # by the client's name
        self.names = {}  # open connections: the client's name by descriptor
        self.listener = None
        self.anew = False  # whether each loop builds a poll set
        self.interest = {}
        self.ready = {}
        self.group = self.loop = self.moved = 0
        self.room = ""  # what make_room() did, for the step that comes
        for position, record in enumerate(records):
            if record["error"] == "SystemExit":
                break
            react = getattr(self, "on_" + record["call"], None)
            if react:
                react(record, position)
        for view in self.views.values():  # replies that were never sent
            sent = view.client.replies[: view.replied]
            view.client.replies = sent + view.state["outgoing"]["data"]

    def step(self, phase, call, say, **more):
        self.found.append(
            Step(
                phase,
                call,
                say,
                self.group,
                self.loop,
                self.moved,
                dict(self.interest),
                dict(self.ready),
                list(self.views.values()),
                **more,
            )
        )

    def view(self, fd):
        return self.views[self.names[fd]]

    def change(self, at, **values):
        """Replace the view of the connection with descriptor `at`."""
        view = self.view(at)
        self.views[view.client.name] = replace(view, **values)

    def state_after(self, position, fd):
        """The state of a connection once the server has acted on what a call gave."""
        for record in self.records[position + 1 :]:
            if fd in record.get("conns", ()):
                return record["conns"][fd]
            # What this one does is a step of its own, after the one that asks.
            if record["fd"] == fd and "after" in record:
                looks_on = record["call"] == "try_one_request"
                return record["before"] if looks_on else record["after"]
        return self.view(fd).state

    # What the clients do.

    def on_client(self, record, position):
        together = position > 0 and self.records[position - 1]["call"] == "client"
        if not together:
            self.ready = {}
            self.step(WAIT, "poll()", "Nothing is ready: the server sleeps.")
        name, move, *argument = record["args"]
        getattr(self, "client_" + move)(name, *argument)
        text = {
            "connect": f"Client {name} connects.",
            "send": f"Client {name} sends {plural(len(record.get('data', b'')), 'byte')}.",
            "read": f"Client {name} reads {plural(argument[0], 'byte') if argument else ''}.",
            "close": f"Client {name} closes.",
        }[move]
        if together:
            last = self.found[-1]  # they move at the same time
            last.say += " " + text
            last.views = list(self.views.values())
            return
        self.group += 1
        self.step(WAIT, "poll()", text)

    def client_connect(self, name, room):
        self.views[name] = View(Client(name, room))

    def client_send(self, name, text):
        view = self.views[name]
        view.client.requests += text.encode("latin-1")
        self.views[name] = replace(view, sent=len(view.client.requests))

    def client_read(self, name, count):
        self.views[name] = replace(self.views[name], read=self.views[name].read + count)

    def client_close(self, name):
        """It shows when the server reads."""

    # 1. Set up and 2. wait.

    def on_register(self, record, position):
        fd, (events,) = record["fd"], record["args"]
        if self.listener is None:
            self.listener = fd
            again = [r for r in self.records if r["call"] == "register" and r["fd"] == fd]
            self.anew = len(again) > 1
        if fd == self.listener:  # it comes first: a new poll set
            self.interest = {fd: events}
            self.ready = {}
            self.step(SET_UP, f"register({fd}, {event_names(events)})", "")
        self.interest[fd] = events
        last = self.found[-1]
        last.interest[fd] = events
        if last.phase == SET_UP:
            count = plural(len(self.interest), "descriptor")
            made = f"A poll set is built from the flags: {count}."
            last.say = made if self.anew else "The poll set is made once, before the first turn."
            if fd != self.listener:
                last.call += f", ({fd}, {event_names(events)})"
        else:
            last.say += f" poll() is told of descriptor {fd} once."

    def on_poll(self, record, position):
        self.loop = record["loop"]
        self.interest = dict(map(tuple, record["interest"]))
        self.ready = dict(map(tuple, record["result"]))
        for fd, state in record.get("conns", {}).items():
            self.change(fd, state=state)
        ready = self.ready.items()
        answer = ", ".join(f"{fd}: {event_names(events)}" for fd, events in ready) or "nothing"
        reasons = ", and ".join(self.reason(fd, events) for fd, events in ready)
        say = reasons or "time is up, and nobody has come"
        self.step(WAIT, f"poll() → {answer}", f"Turn {self.loop}: {say}.", is_poll=True)

    def reason(self, fd, events):
        """Why poll() returned this descriptor, in words."""
        if fd not in self.names:
            return "someone wants to connect"
        doing = ["has something to read"] if events & select.POLLIN else []
        doing += ["can be sent more"] if events & select.POLLOUT else []
        return f"client {self.names[fd]} {' and '.join(doing)}"

    # 3. Handle.

    def on_accept(self, record, position):
        if record["error"]:
            self.step(HANDLE, f"accept() → {record['error']}", "No one is there any more.")
            return
        fd = record["result"][0]
        name = next(view.client.name for view in self.views.values() if view.fd is None)
        self.names[fd] = name
        self.change(fd, fd=fd, state=self.state_after(position, fd))
        self.step(HANDLE, f"accept() → {fd}", f"Client {name} gets a Conn that wants to read.")

    def on_recv(self, record, position):
        fd, name, count = record["fd"], self.names[record["fd"]], record["bytes"]
        call = f"{record['call']}({record['args'][0]})"
        view = self.view(fd)
        received, waited = view.received + count, length(view.state["incoming"])
        state = self.state_after(position, fd)
        self.change(fd, received=received, state=state)
        say = f"{plural(count, 'byte')} of client {name} leave the kernel for incoming."
        if count == 0:
            say = f"End of file: client {name} sends no more."
        elif waited and state["incoming"]["kind"] == "bytes":  # += makes a new object
            say += f" The {plural(waited, 'byte')} there: copied again."
        self.step(HANDLE, f"{call} → {count}", say)

    on_recv_into = on_recv

    def on_make_room(self, record, position):
        which, count = record["args"]
        moved = plural(record["bytes"], "byte")
        self.room = f" {which} makes room for {count}: {moved} moved to the front."
        if which == "incoming":  # the step of its recv() is there already
            self.found[-1].say += self.room
            self.room = ""

    def on_try_one_request(self, record, position):
        fd, before, after = record["fd"], record["before"], record["after"]
        window = before["incoming"]["kind"] == "Buffer"
        missing = length(before["incoming"])
        # Its caller sets the flags; where one visit answers all, that comes later.
        self.change(fd, state=after if window else self.state_after(position, fd))
        if record["result"]:
            self.moved += record["bytes"] or 0
            behind = f" The {plural(record['bytes'], 'byte')} behind it: moved to a new object."
            if window:
                taken = missing - length(after["incoming"])
                behind = f" Only data_begin moves, by {taken}."
                if taken == missing:
                    behind = " Nothing is left: both pointers go back to the front."
            say = self.answers(fd, before, after) + (behind if window or record["bytes"] else "")
        elif missing:
            say = f"{plural(missing, 'byte')} are no whole request. No error: more will come."
        elif window:
            return  # on_answer tells what comes of this visit
        else:
            say = "Nothing is left in incoming: the flags turn to reading."
        self.step(HANDLE, f"try_one_request() → {record['result']}", say)

    def on_answer(self, record, position):
        """The end of a visit: in milestone 4 the replies go to outgoing together."""
        fd, before, after = record["fd"], self.view(record["fd"]).state, record["after"]
        self.change(fd, state=after)
        if before["replies"]:
            say = f"The replies of this visit, {plural(before['replies'], 'byte')}, are joined."
            say += self.room + paused(before, after)
            self.room = ""
            self.step(HANDLE, "outgoing.append()", say)

    def answers(self, fd, before, after):
        """Which requests were answered between two states, in words."""
        view = self.view(fd)
        first = view.received - length(before["incoming"])
        last = view.received - length(after["incoming"])
        (request,) = payloads(view.client.requests, first, last)
        return f"“{request}” is answered."

    def on_send(self, record, position):
        fd, name, size = record["fd"], self.names[record["fd"]], record["args"][0]
        optimistic = "handle_read" in record["inside"]
        view, count = self.view(fd), record["bytes"] or 0
        before = view.state
        view.client.replies += record.get("data", b"")
        replied = view.replied + count
        read = replied if view.client.room is None else view.read
        state = before if record["error"] else self.state_after(position, fd)
        self.change(fd, replied=replied, read=read, state=state)
        if record["error"]:
            say = f"The kernel holds all it can for client {name}: poll() will tell."
        elif count < size:
            say = f"The kernel takes {count} of {size} bytes."
        else:
            say = f"The kernel takes all of it for client {name}."
        say += " Optimistic: poll() was not asked first." if optimistic else ""
        say += paused(before, state)
        self.step(HANDLE, f"send({size} bytes) → {record['error'] or count}", say)

    # 4. Clean up.

    def on_modify(self, record, position):
        fd, (events,) = record["fd"], record["args"]
        self.interest[fd] = events
        call = f"modify({fd}, {event_names(events)})"
        self.step(CLEAN_UP, call, "The flags have changed: poll() is told, once.")

    def on_unregister(self, record, position):
        del self.interest[record["fd"]]

    def on_close(self, record, position):
        fd = record["fd"]
        if fd not in self.names:
            return
        self.change(fd, closed=True)
        self.interest.pop(fd, None)
        say = f"Client {self.names.pop(fd)}: want_close is set and outgoing is empty."
        self.step(CLEAN_UP, f"close({fd})", say)


def steps(records):
    """The steps of a trace with snapshots, milestone 3 or 4: a list of Step."""
    return Steps(records).found

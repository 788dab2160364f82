"""Draw one step of an event loop as SVG; theatre.py puts the pictures on a page.

A picture is made of parts that stand at fixed places, each a string.  From one
step to the next most parts stay the same, so a page needs each only once.
"""

import textwrap
from html import escape

from lab.observe.trace import event_names
from lab.theatre.steps import frames, length
from lab.wire import HEADER

WIDTH = 640
CHAR = 10.8  # the width of one byte of a payload, set in 17 px monospace
HEAD = 8.5  # the width of one byte of a header
SMALL = 8  # about the width of a character of the small text
LEFT, SPACE = 104, 524  # where bytes are drawn, and how much room they have
CONN_HEIGHT = 194
PHASES = ("1 set up", "2 wait", "3 handle", "4 clean up")

STYLE = """
.panel text { font: 16px system-ui, "DejaVu Sans", "Segoe UI", sans-serif; fill: #1a1a1a }
.panel .mono { font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: 17px }
.panel .title { font-size: 21px; font-weight: bold }
.panel .call { font-size: 20px; font-weight: bold }
.panel .number { font-size: 25px; font-weight: bold }
.panel .bold { font-weight: bold }
.panel .small { font-size: 14px }
.panel .soft { fill: #555 }
.panel .end { text-anchor: end }
.panel .middle { text-anchor: middle }
.panel .frame { fill: #fff; stroke: #999 }
.panel .line { stroke: #999; fill: none }
.panel .now { fill: #1a1a1a }
.panel text.on { fill: #fff; font-weight: bold }
.panel .in { fill: #dceaf9; stroke: #0b5394; stroke-width: 1.5 }
.panel .out { fill: #fbe9d9; stroke: #8a3b00; stroke-width: 1.5 }
.panel .inhead { fill: #0b5394 }
.panel .outhead { fill: #8a3b00 }
.panel text.inverse { fill: #fff; font-size: 13px; font-weight: bold; text-anchor: middle }
.panel .kernel { stroke-dasharray: 5 3 }
.panel .gone { fill: url(#hatch); stroke: #999 }
.panel .room { fill: #fff; stroke: #777; stroke-dasharray: 2 3 }
.panel .tick { fill: none; stroke: #1a1a1a; stroke-width: 2.5 }
"""
HATCH = (
    '<pattern id="hatch" width="7" height="7" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)"><rect width="7" height="7" fill="#f3f3f3"/>'
    '<path d="M0 0V7" stroke="#bbb" stroke-width="2"/></pattern>'
)


def text(x, y, content, kind=""):
    return f'<text x="{x:g}" y="{y:g}" class="{kind}">{escape(str(content))}</text>'


def box(x, y, width, height, kind):
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" class="{kind}"/>'


def at(y, *parts):
    return f'<g transform="translate(0 {y:g})">{"".join(parts)}</g>'


# Bytes.


def places(stream):
    """How far from the stream's first byte each byte is drawn, and where it ends."""
    found = [0.0]
    for begin, end in frames(stream):
        head_end = min(begin + HEADER.size, len(stream))
        for position in range(begin, min(end, len(stream))):
            found.append(found[-1] + (HEAD if position < head_end else CHAR))
    return found


def run(stream, begin, end, side):
    """The bytes stream[begin:end], frame by frame, from x = 0; and their width.

    side: "in" or "out".  A header is a dark box that shows the length once all
    its four bytes are there.
    """
    x = places(stream)
    parts = []
    for first, last in frames(stream):
        b, e = max(first, begin), min(last, end)
        if b < e:
            parts.append(box(x[b] - x[begin], 0, x[e] - x[b], 24, side))
            parts.append(one_frame(stream, first, b, e, [p - x[begin] for p in x], side))
    return "".join(parts), x[end] - x[begin]


def one_frame(stream, first, begin, end, x, side):
    """Header and payload of the frame at `first`, as far as they are in begin:end."""
    split = min(max(first + HEADER.size, begin), end)
    parts = []
    if begin < split:
        parts.append(box(x[begin], 0, x[split] - x[begin], 24, side + "head"))
        whole = split - begin == HEADER.size
        size = HEADER.unpack_from(stream, first)[0] if whole else f"{split - begin}B"
        if split - begin > 1:  # one byte alone is too narrow for a label
            parts.append(text((x[begin] + x[split]) / 2, 17, size, "inverse"))
    if split < end:
        # A space at an end would not be drawn, so it becomes one that is.
        shown = "".join(
            chr(c) if 0x20 < c < 0x7F else "\xa0·"[c != 0x20] for c in stream[split:end]
        )
        width = (end - split) * CHAR - 1
        parts.append(
            f'<text x="{x[split] + 0.5:g}" y="18" class="mono" textLength="{width:g}">'
            f"{escape(shown)}</text>"
        )
    return "".join(parts)


def fitted(drawing, width, space=SPACE):
    """A drawing from x = 0, made smaller if it is wider than the space; and its scale."""
    scale = min(1, space / width) if width else 1
    drawing = (
        f'<g transform="translate({LEFT} {12 - 12 * scale:g}) scale({scale:.4g})">{drawing}</g>'
    )
    return drawing, scale


def stream_row(label, stream, solid, end, side, note):
    """A client's stream up to `end`; what is behind `solid` is in the kernel."""
    done, width = run(stream, 0, solid, side)
    more, more_width = run(stream, solid, end, side)
    if more:
        more = f'<g class="kernel" transform="translate({width + 4:g} 0)">{more}</g>'
        more_width += 4
        more += box(width + 2, -3, more_width, 30, "line kernel")
    if not end:
        return text(LEFT - 8, 18, label, "end") + text(LEFT, 18, "nothing yet", "soft small")
    shown, scale = fitted(done + more, width + more_width, SPACE - (140 if note else 0))
    used = LEFT + (width + more_width) * scale
    return text(LEFT - 8, 18, label, "end") + shown + text(used + 8, 17, note, "small")


def window_row(label, stream, base, window, side):
    """The memory of a buffer; stream[base] is at its data_begin."""
    begin, end, size = (window[k] for k in ("data_begin", "data_end", "buffer_end"))
    name = text(LEFT - 8, 18, label, "end bold")
    if not size:
        return name + box(LEFT, 0, 20, 24, "room") + text(LEFT + 28, 17, "empty", "small soft")
    gone_from = max(base - begin, 0)
    _, gone_width = run(stream, gone_from, base, side)
    data, data_width = run(stream, base, base + end - begin, side)
    room_width = (size - end) * CHAR
    drawing = labelled(0, gone_width, "gone", "consumed")
    drawing += f'<g transform="translate({gone_width:g} 0)">{data}</g>'
    drawing += labelled(gone_width + data_width, room_width, "room", "room")
    total = gone_width + data_width + room_width
    shown, scale = fitted(drawing, total)
    if window["kind"] == "bytes":
        return name + shown + text(LEFT, 40, f"bytes, {end} of them", "small soft")
    marks = [gone_width, gone_width + data_width, total]
    return name + shown + pointers([LEFT + m * scale for m in marks], (begin, end, size))


def joined_row(stream, begin, end):
    """The replies of a visit, on their way to `outgoing`."""
    shown, _ = fitted(*run(stream, begin, end, "out"))
    note = text(LEFT, 40, "replies of this visit, not yet in outgoing", "small soft")
    return text(LEFT - 8, 18, "replies", "end bold") + shown + note


def labelled(x, width, kind, label):
    """A part of a buffer that holds no data; named where there is room for that."""
    if not width:
        return ""
    name = text(x + width / 2, 17, label, "small middle soft") if width > 75 else ""
    return box(x, 0, width, 24, kind) + name


def pointers(xs, values):
    """Marks below a buffer, and their names with their values."""
    labels = {}  # by place: pointers at the same place share a label
    for x, value, name in zip(xs, values, ("data_begin", "data_end", "buffer_end")):
        labels[x] = f"{labels[x].split()[0]} = {name} {value}" if x in labels else f"{name} {value}"
    # Labels that would lie upon each other stand side by side instead: from the right
    # end of the picture on, and then from the left, where the first would be cut off.
    middles, edge = {}, WIDTH - 6
    for x, label in reversed(list(labels.items())):
        half = len(label) * SMALL / 2
        middles[x] = min(x, edge - half)
        edge = middles[x] - half - 8
    texts, edge = [], 6
    for x, label in labels.items():
        half = len(label) * SMALL / 2
        middle = max(middles[x], edge + half)
        texts.append(text(middle, 48, label, "small middle"))
        edge = middle + half + 8
    marks = [f'<path d="M{x:.4g} 26l-5 8h10z" class="now"/>' for x in labels]
    return "".join(marks + texts)


# The parts of a panel.


def head(title, idea, step, requests, answered):
    cells = (
        (8, 146, "poll() calls", step.loop),
        (162, 192, "answered", f"{answered} of {requests}"),
        (362, 270, "moved to consume", f"{step.moved} B"),
    )
    parts = [text(10, 24, title, "title"), text(WIDTH - 8, 23, idea, "end soft")]
    for x, width, label, value in cells:
        parts += [box(x, 34, width, 34, "frame"), text(x + 8, 57, label, "soft")]
        parts.append(text(x + width - 8, 60, value, "number end"))
    return at(0, *parts)


def phases(phase):
    parts = []
    for number, name in enumerate(PHASES, 1):
        x = 8 + (number - 1) * 158
        current = number == phase
        parts.append(box(x, 0, 150, 28, "now" if current else "frame"))
        parts.append(text(x + 75, 20, ("▶ " if current else "") + name, "middle" + " on" * current))
    return at(78, *parts)


def call(step):
    lines = textwrap.wrap(step.say, 74)
    parts = [text(10, 18, step.call, "mono call")]
    parts += [text(10, 41 + 20 * n, line) for n, line in enumerate(lines)]
    return at(116, *parts)


def poll_set(step):
    """One line a descriptor: what is asked about it, and what poll() said."""
    owners = {view.fd: f"client {view.client.name}" for view in step.views if not view.closed}
    parts = [text(10, 16, "the poll set", "bold"), text(230, 16, "asked for", "soft")]
    parts += [text(400, 16, "ready", "soft"), '<path d="M8 22H632" class="line"/>']
    for number, (fd, events) in enumerate(sorted(step.interest.items())):
        y = 40 + 22 * number
        parts.append(text(10, y, f"fd {fd}", "mono"))
        parts.append(text(90, y, owners.get(fd, "listener")))
        parts.append(text(230, y, event_names(events), "mono"))
        if fd in step.ready:
            parts.append(box(396, y - 16, 110, 21, "now"))
            parts.append(text(404, y, "● " + event_names(step.ready[fd]), "on"))
    return at(206, *parts)


def checkbox(x, label, on):
    tick = f'<path d="M{x + 3} 15l4 4l7 -10" class="tick"/>' if on else ""
    kind = "small bold" if on else "small soft"
    return box(x, 5, 16, 16, "frame") + tick + text(x + 21, 18, label, kind)


def conn(view, y):
    """A connection and its client: a list of parts, since most of its rows stay."""
    client = view.client
    waiting, unread = view.sent - view.received, view.replied - view.read
    notes = [f"◀ {n} in the kernel" if n else "" for n in (waiting, unread)]
    if client.room is not None:
        notes[1] = f"◀ {unread} of {client.room} in the kernel"
    rows = [(0, conn_head(view))]
    if view.fd is not None and not view.closed:
        incoming, outgoing = view.state["incoming"], view.state["outgoing"]
        done = view.received - length(incoming)
        rows.append((58, window_row("incoming", client.requests, done, incoming, "in")))
        if view.state["replies"] and not length(outgoing):
            rows.append((110, joined_row(client.replies, view.replied, view.produced)))
        else:
            rows.append(
                (110, window_row("outgoing", client.replies, view.replied, outgoing, "out"))
            )
    sent = stream_row("client sent", client.requests, view.received, view.sent, "in", notes[0])
    got = stream_row("client got", client.replies, view.read, view.replied, "out", notes[1])
    return [at(y + row_y, row) for row_y, row in [*rows, (28, sent), (166, got)]]


def absent(name):
    line = '<path d="M8 0H632" class="line"/>' + text(10, 19, f"client {name}", "bold")
    return line + text(LEFT, 19, "has not come yet", "soft")


def conn_head(view):
    line = '<path d="M8 0H632" class="line"/>'
    line += text(10, 19, f"client {view.client.name}", "bold")
    if view.fd is None:
        return line + text(LEFT, 19, "not accepted yet", "soft")
    if view.closed:
        return line + text(LEFT, 19, "closed; its Conn is gone", "soft")
    line += text(LEFT, 19, f"fd {view.fd}", "mono")
    for number, flag in enumerate(("want_read", "want_write", "want_close")):
        line += checkbox(250 + number * 128, flag, view.state[flag])
    return line


def conns_top(connections):
    """Where the first connection is drawn: under the poll set, the listener included."""
    return 206 + 36 + 22 * (connections + 1)


def height(connections):
    return conns_top(connections) + connections * CONN_HEIGHT


def panel(step, title, idea, names):
    """The parts of one step's picture, in a fixed order.

    names: of all clients that the scene will have, so that all its pictures have
    the same height.
    """
    answered = sum(
        sum(end <= view.produced for _, end in frames(view.client.replies)) for view in step.views
    )
    requests = sum(
        sum(end <= view.sent for _, end in frames(view.client.requests)) for view in step.views
    )
    parts = [head(title, idea, step, requests, answered), phases(step.phase), call(step)]
    parts.append(poll_set(step))
    views = {view.client.name: view for view in step.views}
    for number, name in enumerate(names):
        y = conns_top(len(names)) + number * CONN_HEIGHT
        parts.extend(conn(views[name], y) if name in views else [at(y, absent(name))])
    return parts


def svg(panels, size, label):
    """One or more panels beside each other as one SVG document; label is for who can't see it."""
    width = len(panels) * (WIDTH + 16) - 16
    groups = [
        f'<g class="panel" transform="translate({number * (WIDTH + 16)} 0)">{"".join(parts)}</g>'
        for number, parts in enumerate(panels)
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {size}" '
        f'width="{width}" height="{size}" role="img" aria-label="{label}" '
        f'style="max-width: 100%; height: auto">'
        f"<style>{STYLE}</style><defs>{HATCH}</defs>"
        f'<rect width="{width}" height="{size}" fill="#fff"/>{"".join(groups)}</svg>'
    )

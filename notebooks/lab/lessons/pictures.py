"""Pictures for the notebooks: inline SVG, drawn from the values that they show.

Nothing is loaded from outside and no style sheet is needed, so a picture looks
the same on GitHub, in JupyterLab and in an exported page.  Colour is never the
only sign: what is blue has a solid edge, what is orange a dashed one.
"""

import math
from html import escape

BLUE, PALE_BLUE = "#0b5394", "#dceaf9"
ORANGE, PALE_ORANGE = "#8a3b00", "#fbe9d9"
INK, GREY, WHITE = "#1a1a1a", "#595959", "#ffffff"
WIDTH = 860
SIZE = 14  # of text, in pixels
CHARACTER = 8.5  # widest guess of a character's width at SIZE, in pixels


class Picture:
    """An SVG drawing with a text that says the same to those who can't see it."""

    def __init__(self, svg, alt):
        self.svg = svg
        self.alt = alt

    def _repr_mimebundle_(self, include=None, exclude=None):
        """What a notebook shows: the drawing, or the text where it can't."""
        return {"image/svg+xml": self.svg, "text/plain": self.alt}


class Canvas:
    """Shapes put on a white sheet; units are pixels, y grows downwards."""

    def __init__(self):
        self.shapes = []

    def text(self, x, y, words, color=INK, anchor="start", mono=False, bold=False):
        family = "monospace" if mono else "sans-serif"
        weight = "bold" if bold else "normal"
        self.shapes.append(
            f'<text x="{x:g}" y="{y:g}" font-family="{family}" font-size="{SIZE}" '
            f'font-weight="{weight}" text-anchor="{anchor}" fill="{color}">{escape(words)}</text>'
        )

    def box(self, x, y, width, height, color=GREY, fill=WHITE):
        dash = ' stroke-dasharray="5 3"' if color == ORANGE else ""
        self.shapes.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="3" '
            f'fill="{fill}" stroke="{color}" stroke-width="1.5"{dash}/>'
        )

    def line(self, points, color=GREY, width=1.5, dash=""):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.shapes.append(
            f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="{width:g}" '
            f'stroke-dasharray="{dash or "none"}"/>'
        )

    def arrow(self, x1, y1, x2, y2, color=INK):
        """A line with its head at (x2, y2)."""
        length = math.hypot(x2 - x1, y2 - y1)
        dx, dy = (x2 - x1) / length, (y2 - y1) / length
        left = (x2 - 9 * dx - 4 * dy, y2 - 9 * dy + 4 * dx)
        right = (x2 - 9 * dx + 4 * dy, y2 - 9 * dy - 4 * dx)
        self.line([(x1, y1), (x2 - 8 * dx, y2 - 8 * dy)], color)
        head = " ".join(f"{x:.1f},{y:.1f}" for x, y in ((x2, y2), left, right))
        self.shapes.append(f'<polygon points="{head}" fill="{color}"/>')

    def picture(self, height, alt):
        label = escape(alt, quote=True)
        return Picture(
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" '
            f'width="{WIDTH}" role="img" aria-label="{label}" style="max-width:100%;height:auto">'
            f'<title>{label}</title><rect width="{WIDTH}" height="{height:g}" fill="{WHITE}"/>'
            + "".join(self.shapes)
            + "</svg>",
            alt,
        )


def wrap(words, width):
    """Break a text into lines of at most `width` pixels."""
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and len(longer) * CHARACTER > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def show_byte(byte):
    """One byte as a cell shows it: the character, or two hex digits."""
    return chr(byte) if 0x21 <= byte <= 0x7E else "\u2423" if byte == 0x20 else f"{byte:02x}"


def byte_stream(rows):
    """The same bytes cut in different places, one row a way to cut them.

    rows: a list of (caption, pieces), pieces being a list of bytes.  A cell is a
    byte; what stands together is one piece, numbered where there are several.
    """
    canvas, y = Canvas(), 8
    longest = max(sum(map(len, pieces)) for _, pieces in rows)
    cell = min(28, (WIDTH - 20) / (longest + 0.5 * max(len(pieces) for _, pieces in rows)))
    for caption, pieces in rows:
        canvas.text(10, y + 14, caption, bold=True)
        x = 10
        for number, piece in enumerate(pieces):
            blue = number % 2 == 0
            color, fill = (BLUE, PALE_BLUE) if blue else (ORANGE, PALE_ORANGE)
            canvas.box(x, y + 24, cell * len(piece), 28, color, fill)
            for index, byte in enumerate(piece):
                middle = x + cell * (index + 0.5)
                canvas.text(middle, y + 43, show_byte(byte), color, "middle", mono=True)
            x += cell * (len(piece) + 0.5)
        y += 66
    said = "; ".join(f"{caption}: " + " | ".join(map(repr, pieces)) for caption, pieces in rows)
    return canvas.picture(y, f"A stream of bytes. {said}")


FLAGS = ("want_read", "want_write", "want_close")


def flag_lanes(moments):
    """The three flags of a connection as lanes, time going from left to right.

    moments: a list of (what happened, the flags that are set afterwards).
    """
    canvas, left = Canvas(), 110
    column = (WIDTH - left - 10) / len(moments)
    labels = [wrap(happened, column - 8) for happened, _ in moments]
    top = 12 + 18 * max(map(len, labels))
    for number, (_, flags) in enumerate(moments):
        x = left + column * number
        for line, words in enumerate(labels[number]):
            canvas.text(x + column / 2, 18 + 18 * line, words, anchor="middle")
        for lane, flag in enumerate(FLAGS):
            on = flag in flags
            color, fill = (BLUE, PALE_BLUE) if on else (GREY, WHITE)
            canvas.box(x + 3, top + 36 * lane, column - 6, 28, color, fill)
            word = "True" if on else "\u2013"
            canvas.text(x + column / 2, top + 19 + 36 * lane, word, color, "middle", bold=on)
    for lane, flag in enumerate(FLAGS):
        canvas.text(10, top + 19 + 36 * lane, flag, mono=True)
    said = "; ".join(f"{words}: {', '.join(sorted(flags)) or 'none'}" for words, flags in moments)
    return canvas.picture(top + 36 * len(FLAGS), f"The flags that are set, in turn. {said}.")


def sequence(actors, steps):
    """Who says what to whom, time going downwards.

    actors: their names, from left to right.  steps: (actor, words) is a box on
    that actor's line, (actor, other, words) an arrow from one to the other.
    """
    canvas = Canvas()
    column = WIDTH / len(actors)
    middle = {actor: column * (index + 0.5) for index, actor in enumerate(actors)}
    boxes, y = Canvas(), 52
    for *between, words in steps:
        if len(between) == 2:
            draw_message(boxes, middle[between[0]], middle[between[1]], y, words)
            y += 40
        else:
            lines = wrap(words, column - 30)
            draw_note(boxes, middle[between[0]], y, column - 12, lines)
            y += 24 + 18 * len(lines)
    for actor, x in middle.items():
        canvas.text(x, 22, actor, anchor="middle", bold=True)
        canvas.line([(x, 32), (x, y)], GREY, 1, "2 4")
    canvas.shapes += boxes.shapes
    said = "; ".join(" \u2192 ".join(step[:-1]) + f": {step[-1]}" for step in steps)
    return canvas.picture(y + 6, f"In time order. {said}.")


def draw_message(canvas, x1, x2, y, words):
    color = BLUE if x1 < x2 else ORANGE
    canvas.arrow(x1, y + 18, x2, y + 18, color)
    canvas.text((x1 + x2) / 2, y + 12, words, color, "middle")


def draw_note(canvas, x, y, width, lines):
    canvas.box(x - width / 2, y, width, 12 + 18 * len(lines))
    for number, words in enumerate(lines):
        canvas.text(x, y + 20 + 18 * number, words, anchor="middle")


def buffer_states(states):
    """The four pointers of a `Buffer`, one bar a state.

    states: a list of (caption, capacity, data_begin, data_end), in bytes.
    """
    canvas, y = Canvas(), 6
    scale = (WIDTH - 80) / max(max(capacity for _, capacity, _, _ in states), 1)
    for caption, capacity, begin, end in states:
        canvas.text(10, y + 16, caption, bold=True)
        draw_buffer(canvas, 30, y + 28, scale, capacity, begin, end)
        y += 116
    said = "; ".join(
        f"{caption}: buffer_begin 0, data_begin {begin}, data_end {end}, buffer_end {capacity}"
        for caption, capacity, begin, end in states
    )
    return canvas.picture(y, f"A buffer's four pointers. {said}.")


def draw_buffer(canvas, left, y, scale, capacity, begin, end):
    """One bar: consumed (white), data (blue), room (dashed), the pointers below."""
    parts = (
        (0, begin, "consumed", GREY, WHITE),
        (end, capacity, "room", ORANGE, WHITE),
        (begin, end, "data", BLUE, PALE_BLUE),
    )
    for start, stop, name, color, fill in parts:
        width = scale * (stop - start)
        if width:
            canvas.box(left + scale * start, y, width, 30, color, fill)
        if width >= CHARACTER * len(name):
            canvas.text(left + scale * (start + stop) / 2, y + 20, name, color, "middle")
    pointers = {}
    places = {"buffer_begin": 0, "data_begin": begin, "data_end": end, "buffer_end": capacity}
    for name, place in places.items():
        pointers.setdefault(place, []).append(name)
    if not capacity:
        canvas.text(left, y + 20, "no memory", GREY)
    # Two rows, so that neighbouring names don't run into each other.
    for number, (place, names) in enumerate(pointers.items()):
        x, row, words = left + scale * place, number % 2, " = ".join(names)
        half = len(words) * CHARACTER / 2
        canvas.line([(x, y + 30), (x, y + 36 + 18 * row)], INK)
        words_x = min(max(x, half + 4), WIDTH - half - 4)
        canvas.text(words_x, y + 48 + 18 * row, words, INK, "middle", mono=True)


def water_mark(moments, high_water):
    """Unsent replies as water in a tank, a tank a moment.

    moments: a list of (caption, bytes of unsent replies, is want_read set);
    high_water: the mark, in the same bytes.
    """
    canvas, column, full, floor = Canvas(), WIDTH / len(moments), 1.4 * high_water, 170
    for number, (caption, unsent, reads) in enumerate(moments):
        x, width = column * number + 20, column - 40
        level = 120 * min(unsent / full, 1)
        mark = floor - 120 * high_water / full
        canvas.box(x, floor - 120, width, 120)
        canvas.box(x, floor - level, width, level, BLUE, PALE_BLUE)
        canvas.line([(x - 8, mark), (x + width + 8, mark)], ORANGE, 2, "6 4")
        # What comes in is drawn above the tank: an arrow, or a closed valve.
        pipe = x + 30
        if reads:
            canvas.arrow(pipe, 8, pipe, 44, BLUE)
        else:
            canvas.line([(pipe - 18, 30), (pipe + 18, 30)], ORANGE, 5)
        words = "want_read" if reads else "not want_read"
        canvas.text(pipe + 26, 34, words, BLUE if reads else ORANGE)
        for line, words in enumerate(wrap(caption, column - 16)):
            canvas.text(x + width / 2, floor + 22 + 18 * line, words, anchor="middle")
    canvas.text(24, floor - 120 * high_water / full - 6, "high-water mark", ORANGE)
    said = "; ".join(
        f"{caption}: {unsent / high_water:.0%} of the mark, {'reading' if reads else 'not reading'}"
        for caption, unsent, reads in moments
    )
    return canvas.picture(floor + 84, f"Unsent replies against the high-water mark. {said}.")


PLOT = (90, 28, 580, 300)  # left, top, width, height of a chart's frame
DASHES = ("", "8 4", "2 4", "12 3 2 3")


def decades(values):
    """The powers of ten that enclose the values, as exponents: lowest, highest."""
    low = math.floor(math.log10(min(values)))
    return low, max(math.ceil(math.log10(max(values))), low + 1)


def chart(lines, x_label, y_label):
    """Curves on logarithmic axes.

    lines: {name: [(x, y), ...]}, all numbers over 0.  The name stands at the
    line's right end, and each line has its own dashes.
    """
    canvas, (left, top, width, height) = Canvas(), PLOT
    xs = sorted({x for line in lines.values() for x, _ in line})
    low, high = decades([y for line in lines.values() for _, y in line])

    def place(x, y):
        across = math.log(x / xs[0]) / math.log(xs[-1] / xs[0])
        up = (math.log10(y) - low) / (high - low)
        return left + width * across, top + height * (1 - up)

    draw_axes(canvas, place, xs, [10.0**exponent for exponent in range(low, high + 1)])
    draw_curves(canvas, {name: [place(x, y) for x, y in line] for name, line in lines.items()})
    canvas.text(left + width / 2, top + height + 44, x_label, anchor="middle", bold=True)
    canvas.text(left, top - 6, y_label, bold=True)
    said = "; ".join(
        f"{name}: " + ", ".join(f"{tidy(y)} at {x:,}" for x, y in line)
        for name, line in lines.items()
    )
    return canvas.picture(top + height + 56, f"{y_label} against {x_label}. {said}.")


def tidy(number):
    """A number with three digits that mean something."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def draw_axes(canvas, place, xs, ys):
    """The frame with a line and a number for each of xs and ys; place: point to pixels."""
    left, top, width, height = PLOT
    decimals = max(0, -math.floor(math.log10(ys[0])))
    canvas.box(left, top, width, height)
    for value in xs:
        x, _ = place(value, ys[0])
        canvas.line([(x, top), (x, top + height)], "#d0d0d0", 1)
        canvas.text(x, top + height + 20, f"{value:,}", anchor="middle")
    for value in ys:
        _, y = place(xs[0], value)
        canvas.line([(left, y), (left + width, y)], "#d0d0d0", 1)
        canvas.text(left - 8, y + 5, f"{value:,.{decimals}f}", anchor="end")


def draw_curves(canvas, curves):
    """Each curve with its name at the right; names that would touch move apart."""
    taken = -math.inf
    looks = zip((BLUE, ORANGE, INK, GREY), DASHES)
    styled = [(*look, name, line) for look, (name, line) in zip(looks, curves.items())]
    for color, dash, name, line in sorted(styled, key=lambda item: item[-1][-1][1]):
        canvas.line(line, color, 2.5, dash)
        x, y = line[-1]
        taken = max(y + 5, taken + 18)
        canvas.text(x + 10, taken, name, color, bold=True)

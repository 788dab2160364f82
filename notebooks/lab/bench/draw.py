"""The picture of a run: ratios as bars, and the two curves below them."""

import re

from lab.lessons.pictures import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    PALE_BLUE,
    PALE_ORANGE,
    WIDTH,
    Canvas,
    chart,
)

from .report import BASE, ratio

BARS = ["1 client", "50 clients", "50 × 16", "10 × 1,000", "64 KiB"]
LEFT, TOP, ROW, BAR = 190, 60, 24, 120  # pixels; BAR: of a ratio of 1
LONGEST = 1.15  # a longer bar is cut here; a gap in it and its number say so


def draw_bars(results):
    """A panel for each column, a bar for each row: rates as ratios to milestone 4."""
    names = [name for name in results if name != "do nothing"]
    canvas, step = Canvas(), (WIDTH - LEFT) / len(BARS)
    title = "Requests a second, as a ratio to milestone 4 (a bar with a gap is cut)"
    canvas.text(8, 20, title, bold=True)
    unit = (step - 42) / LONGEST
    for number, name in enumerate(names):
        y = TOP + ROW * number
        canvas.text(LEFT - 10, y + 15, name, anchor="end", bold=name == BASE)
    for panel, column in enumerate(BARS):
        x = LEFT + panel * step
        canvas.text(x, TOP - 10, column, bold=True)
        edge = x + unit
        canvas.line([(edge, TOP), (edge, TOP + ROW * len(names))], GREY, 1, "3 3")
        for number, name in enumerate(names):
            draw_bar(canvas, x, TOP + ROW * number, unit, ratio(results, name, column))
    return canvas.picture(TOP + ROW * len(names) + 16, say(results, names))


def draw_bar(canvas, x, y, unit, found):
    if found is None:
        canvas.text(x, y + 15, "can't", GREY)
        return
    color, fill = (BLUE, PALE_BLUE) if found >= 1 else (ORANGE, PALE_ORANGE)
    width = unit * min(found, LONGEST)
    canvas.box(x, y + 2, width, ROW - 6, color, fill)
    if found > LONGEST:
        canvas.box(x + width - 12, y + 1, 4, ROW - 4, "#ffffff", "#ffffff")
    canvas.text(x + width + 3, y + 15, f"{found:.2f}" if found < 10 else f"{found:.0f}", INK)


def say(results, names):
    told = []
    for column in BARS:
        found = [(name, ratio(results, name, column)) for name in names]
        told.append(
            f"{column}: " + ", ".join(f"{name} {r:.2f}" for name, r in found if r is not None)
        )
    return "Requests a second as a ratio to milestone 4. " + "; ".join(told) + "."


def stack_pictures(pictures):
    """One SVG file with the pictures below one another."""
    parts, y = [], 0
    for picture in pictures:
        height = float(re.search(r'viewBox="0 0 \S+ (\S+)"', picture.svg).group(1))
        # A drawing inside another has no page that it could take its height from.
        whole = picture.svg.replace(' style="max-width:100%;height:auto"', "")
        parts.append(whole.replace("<svg ", f'<svg y="{y:g}" height="{height:g}" ', 1))
        y += height + 24
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y:g}" '
        f'width="{WIDTH}">' + "".join(parts) + "</svg>\n"
    )


def positive(lines):
    """The curves with 0 idle clients drawn at 1: the axis is logarithmic."""
    return {name: [(max(x, 1), y) for x, y in points] for name, points in lines.items()}


def draw(data):
    """The picture of a whole run, as the text of an SVG file."""
    return stack_pictures(
        [
            draw_bars(data["results"]),
            chart(data["growth"], "messages in a batch", "microseconds a message"),
            chart(positive(data["loops"]), "idle clients (1: none)", "microseconds a turn"),
        ]
    )

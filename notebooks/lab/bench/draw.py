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

from .report import BASE, REDIS, medians_of, ratio

BARS = ["1 client", "50 clients", "50 × 16", "10 × 1,000", "64 KiB"]
LEFT, TOP, ROW = 190, 60, 24  # pixels
LONGEST = 1.15  # a longer bar is cut here; a gap in it and its number say so


def draw_bars(results):
    """Rates as ratios to milestone 4: a panel for each column, a bar for each row."""
    names = [name for name in results if name != "do nothing"]
    ratios = {name: {column: ratio(results, name, column) for column in BARS} for name in names}
    return draw_panels(ratios, BARS, BASE)


def draw_redis_benchmark(measured):
    """What redis-benchmark counted, likewise, as ratios to redis-server."""
    columns = list(measured[REDIS])
    rates = medians_of(measured)
    base = rates[REDIS]
    ratios = {name: {c: found[c] / base[c] for c in columns} for name, found in rates.items()}
    return draw_panels(ratios, columns, REDIS, by=", counted by redis-benchmark")


def draw_panels(ratios, columns, base, by=""):
    """ratios: {row: {column: ratio to the row `base`, or None}}."""
    canvas, step = Canvas(), (WIDTH - LEFT) / len(columns)
    title = f"Requests a second{by}, as a ratio to {base}"
    canvas.text(8, 20, f"{title} (a bar with a gap is cut)", bold=True)
    unit = (step - 42) / LONGEST
    for number, name in enumerate(ratios):
        y = TOP + ROW * number
        canvas.text(LEFT - 10, y + 15, name, anchor="end", bold=name == base)
    for panel, column in enumerate(columns):
        x = LEFT + panel * step
        canvas.text(x, TOP - 10, column, bold=True)
        edge = x + unit
        canvas.line([(edge, TOP), (edge, TOP + ROW * len(ratios))], GREY, 1, "3 3")
        for number, found in enumerate(ratios.values()):
            draw_bar(canvas, x, TOP + ROW * number, unit, found[column])
    return canvas.picture(TOP + ROW * len(ratios) + 16, say(title, ratios, columns))


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


def say(title, ratios, columns):
    told = []
    for column in columns:
        found = [(name, its[column]) for name, its in ratios.items()]
        told.append(
            f"{column}: " + ", ".join(f"{name} {r:.2f}" for name, r in found if r is not None)
        )
    return f"{title}. " + "; ".join(told) + "."


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
    pictures = [
        draw_bars(data["results"]),
        chart(data["growth"], "messages in a batch", "microseconds a message"),
        chart(positive(data["loops"]), "idle clients (1: none)", "microseconds a turn"),
    ]
    if REDIS in data["redis-benchmark"]:
        pictures.insert(1, draw_redis_benchmark(data["redis-benchmark"]))
    return stack_pictures(pictures)

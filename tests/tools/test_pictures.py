"""The pictures: well-formed, self-contained, inside their frame, and showing the values."""

import math
import xml.etree.ElementTree as ElementTree

import pytest
from lab.lessons import pictures

SVG = "{http://www.w3.org/2000/svg}"
PICTURES = {
    "byte_stream": pictures.byte_stream(
        [
            ("sent", [b"\x04\0\0\0PING", b"\x07\0\0\0GET <&>"]),
            ("received", [b"\x04\0", b"\0\0PING\x07\0\0\0GET <&>"]),
        ]
    ),
    "flag_lanes": pictures.flag_lanes(
        [
            ("accepted", {"want_read"}),
            ("both, with a caption that is longer than its column", {"want_read", "want_write"}),
            ("end", set()),
        ]
    ),
    "sequence": pictures.sequence(
        ["client", "loop", "kernel"],
        [
            ("client", "loop", "PING"),
            ("loop", "poll() & a note " + "that has to be broken into lines to fit " * 5),
            ("kernel", "client", "across"),
        ],
    ),
    "buffer_states": pictures.buffer_states(
        [("four", 64, 8, 40), ("full", 64, 0, 64), ("crowded", 64, 63, 64), ("empty", 0, 0, 0)]
    ),
    "water_mark": pictures.water_mark(
        [("empty", 0, True), ("half", 50, True), ("over", 101, False), ("far over", 900, False)],
        100,
    ),
    "chart": pictures.chart(
        {"steep": [(1, 2), (10, 30), (1000, 7000)], "flat": [(1, 0.5), (1000, 0.6)]},
        "messages",
        "microseconds",
    ),
}


def drawing(picture):
    return ElementTree.fromstring(picture.svg)


def words(picture):
    return [text.text for text in drawing(picture).iter(f"{SVG}text")]


def corners(shape):
    """The points that bound a shape; a text's width is a cautious guess."""
    numbers = {key: float(shape.get(key, 0)) for key in ("x", "y", "width", "height")}
    x, y = numbers["x"], numbers["y"]
    if shape.tag == f"{SVG}rect":
        return [(x, y), (x + numbers["width"], y + numbers["height"])]
    if shape.tag == f"{SVG}text":
        width = 7 * len(shape.text)
        left = x - {"start": 0, "middle": width / 2, "end": width}[shape.get("text-anchor")]
        return [(left, y - 10), (left + width, y + 3)]
    return [tuple(map(float, point.split(","))) for point in shape.get("points", "").split()]


@pytest.fixture(params=PICTURES)
def picture(request):
    return PICTURES[request.param]


def test_stays_inside_its_frame(picture):
    _, _, width, height = map(float, drawing(picture).get("viewBox").split())
    for shape in drawing(picture).iter():
        for x, y in corners(shape):
            assert -1 <= x <= width + 1 and -1 <= y <= height + 1, ElementTree.tostring(shape)


def test_loads_nothing_and_leaks_no_style(picture):
    assert "http" not in picture.svg.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not any(word in picture.svg for word in ("<style", "<script", "<image", "id=", "url("))


def test_text_is_large_enough_for_a_projector(picture):
    sizes = [float(text.get("font-size")) for text in drawing(picture).iter(f"{SVG}text")]
    assert sizes and min(sizes) >= 13


def test_says_the_same_in_words(picture):
    shown = picture._repr_mimebundle_()
    assert shown == {"image/svg+xml": picture.svg, "text/plain": picture.alt}
    assert drawing(picture).get("aria-label") == picture.alt
    assert drawing(picture).find(f"{SVG}title").text == picture.alt


def test_colour_is_never_the_only_sign(picture):
    for box in drawing(picture).iter(f"{SVG}rect"):
        dashed = box.get("stroke-dasharray") is not None
        assert dashed == (box.get("stroke") == pictures.ORANGE)


def test_every_byte_has_its_cell():
    assert words(PICTURES["byte_stream"]) == [
        *("sent", *"04 00 00 00 P I N G 07 00 00 00 G E T \u2423 < & >".split()),
        *("received", *"04 00 00 00 P I N G 07 00 00 00 G E T \u2423 < & >".split()),
    ]


def test_a_flag_is_true_where_it_is_set():
    columns = {}
    for text in drawing(PICTURES["flag_lanes"]).iter(f"{SVG}text"):
        if text.text in ("True", "\u2013"):
            columns.setdefault(text.get("x"), []).append(text.text == "True")
    assert list(columns.values()) == [[True, False, False], [True, True, False], [False] * 3]


def test_arrows_point_from_the_first_actor_to_the_second():
    heads = [
        tuple(map(float, head.get("points").split()[0].split(",")))
        for head in drawing(PICTURES["sequence"]).iter(f"{SVG}polygon")
    ]
    middles = [
        float(text.get("x"))
        for text in drawing(PICTURES["sequence"]).iter(f"{SVG}text")
        if text.text in ("client", "loop", "kernel")
    ]
    assert [x for x, _ in heads] == pytest.approx([middles[1], middles[0]], abs=0.1)
    assert heads[0][1] < heads[1][1]


def test_bars_are_as_wide_as_what_they_show():
    picture = pictures.buffer_states([("one", 80, 20, 60)])
    boxes = [box for box in drawing(picture).iter(f"{SVG}rect") if box.get("stroke")]
    consumed, room, data = (float(box.get("width")) for box in boxes)
    assert consumed == room == data / 2
    assert [float(box.get("x")) for box in boxes] == pytest.approx([30, 30 + 3 * room, 30 + room])
    assert {"buffer_begin", "data_begin", "data_end", "buffer_end"} <= set(words(picture))


def test_pointers_at_one_place_share_a_label():
    assert "data_end = buffer_end" in words(pictures.buffer_states([("full", 8, 2, 8)]))
    empty = words(pictures.buffer_states([("empty", 0, 0, 0), ("not", 8, 0, 8)]))
    assert "buffer_begin = data_begin = data_end = buffer_end" in empty


def test_the_tank_overflows_at_the_mark_only():
    picture = PICTURES["water_mark"]
    levels = [float(box.get("height")) for box in drawing(picture).iter(f"{SVG}rect")][2::2]
    assert levels[0] == 0 and levels[1] * 2.02 == pytest.approx(levels[2]) and levels[3] == 120
    assert words(picture).count("want_read") == 2 and words(picture).count("not want_read") == 2


def test_a_chart_is_logarithmic():
    picture = pictures.chart({"line": [(1, 1), (10, 10), (100, 100)]}, "x", "y")
    (curve,) = (
        line
        for line in drawing(picture).iter(f"{SVG}polyline")
        if line.get("stroke") == pictures.BLUE
    )
    (x1, y1), (x2, y2), (x3, y3) = corners(curve)
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2) and y1 - y2 == pytest.approx(y2 - y3, abs=0.2)
    assert x1 < x2 and y1 > y2
    assert {"1", "10", "100", "line", "x", "y"} <= set(words(picture))


def test_the_names_of_two_curves_keep_apart():
    lines = {f"curve {number}": [(1, 1), (10, 5 + number / 100)] for number in range(4)}
    picture = pictures.chart(lines, "x", "y")
    rows = sorted(
        float(text.get("y"))
        for text in drawing(picture).iter(f"{SVG}text")
        if text.text.startswith("curve")
    )
    assert min(b - a for a, b in zip(rows, rows[1:])) >= 18
    dashes = {line.get("stroke-dasharray") for line in drawing(picture).iter(f"{SVG}polyline")}
    assert len(dashes) >= 4


@pytest.mark.parametrize(
    "values, expected", [([1, 1000], (0, 3)), ([0.04, 7], (-2, 1)), ([5], (0, 1)), ([1], (0, 1))]
)
def test_decades_enclose_the_values(values, expected):
    low, high = pictures.decades(values)
    assert (low, high) == expected
    assert all(low <= math.log10(value) <= high for value in values)

"""The README's picture of the theatre is the one that the theatre draws now."""

from pathlib import Path

from lab.theatre import page as theatre

PICTURE = Path(__file__).resolve().parents[2] / "notebooks" / "pictures" / "theatre.svg"
REDRAW = (
    "stale; redraw it: PYTHONPATH=notebooks python3 -c 'from lab.theatre import page as theatre; "
    'open("notebooks/pictures/theatre.svg", "w").write(theatre.still("batch"))\''
)


def test_the_picture_is_what_the_theatre_draws():
    assert PICTURE.read_text() == theatre.still("batch"), REDRAW

"""The site works from the file system, loads nothing from outside, and fits its screens.

Pages are looked at in headless Chromium, with a script added to a copy of each page
that presses its keys and writes down what it sees.
"""

import json
import os
import re
import shutil
import subprocess
from html import unescape
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest
from lab.servers import ROOT
from lab.theatre import page as theatre

nbformat = pytest.importorskip("nbformat", reason="needs jupyter: make test-notebooks")
site = pytest.importorskip("lab.publish.site", reason="needs jupyter: make test-notebooks")

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = [path.stem for path in NOTEBOOKS]
PAGES = [
    "index.html",
    "theatre.html",
    *(f"{n}{end}" for n in NAMES for end in (".html", ".slides.html")),
]
MOST_STEPS = 60  # of a deck: it has to fit into 50 minutes
SECONDS = 90  # a browser starts slowly on a loaded machine
DESKTOP, PHONE = (1280, 800), (390, 844)
OUTPUT = (828, 800)  # what JupyterLab has for an output where the window is DESKTOP
BROWSERS = "chromium chromium-browser google-chrome chrome".split()
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
needs_browser = pytest.mark.skipif(
    not BROWSER, reason="needs Chromium (Debian: apt install chromium)"
)
# What makes a browser load something: (tag, attribute), where only <a> may lead outside.
LOADING = {"src", "srcset", "data", "poster", "background", "action", "formaction", "manifest"}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    site.build(folder, NOTEBOOKS)
    return folder


# Nothing from outside.


class Page(HTMLParser):
    """What a page loads and where it leads."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.links, self.ids, self.styles, self.scripts = [], [], set(), [], []
        self.inside = None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.inside = tag
        for name, value in attributes:
            if name == "srcdoc":
                inner = Page(value)
                self.loads += inner.loads
                self.styles += inner.styles
                self.scripts += inner.scripts
            elif name == "style":
                self.styles.append(value)
            elif name in LOADING or (name.endswith("href") and tag != "a"):
                self.loads.append((tag, value))
            elif name == "href":
                self.links.append(value)
            elif name == "id":
                self.ids.add(value)

    def handle_data(self, data):
        if self.inside == "style":
            self.styles.append(data)
        elif self.inside == "script":
            self.scripts.append(data)

    def handle_endtag(self, tag):
        self.inside = None


def outside(page):
    """What a page would load that is not in it."""
    found = [load for load in page.loads if not load[1].startswith(("data:", "#"))]
    for style in page.styles:
        found += re.findall(r"@import[^;]*", style)
        found += [url for url in re.findall(r"url\(([^)]*)\)", style) if url[:1] != "#"]
    for script in page.scripts:
        script = script.replace("http://www.w3.org/", "")  # the name of a language, no address
        found += re.findall(r"https?://[^\"' ]*|\bimport\s*\(|\bfetch\s*\(|XMLHttpRequest", script)
        found += re.findall(r"WebSocket|EventSource|sendBeacon|importScripts", script)
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_notes_for_the_instructor_stand_before_the_code_that_they_prepare(path):
    cells = nbformat.read(path, as_version=4).cells
    for above, cell, below in zip(cells, cells[1:], cells[2:]):
        if site.slide_type(cell) == "notes":
            assert "code" not in (above.cell_type, below.cell_type) or below.cell_type == "code"


@pytest.mark.parametrize("name", PAGES)
def test_a_page_loads_nothing(built, name):
    assert outside(Page((built / name).read_text("utf-8"))) == []


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://x/y.js"></script>',
        '<script src="y.js"></script>',
        '<link rel="stylesheet" href="//x/y.css">',
        '<img src="http://x/y.png">',
        "<style>@import 'y.css';</style>",
        '<p style="background: url(y.png)">',
        "<script>fetch('y')</script>",
        "<script>new Image().src = 'https://x/y.png'</script>",
        '<iframe srcdoc="&lt;script src=y.js>&lt;/script>"></iframe>',
        '<svg><image xlink:href="y.png"/></svg>',
    ],
)
def test_what_a_page_would_load_is_found(text):
    assert outside(Page(text))


def test_links_lead_to_pages_and_places_that_are_there(built):
    pages = {path.name: Page(path.read_text("utf-8")) for path in built.iterdir()}
    assert sorted(pages) == sorted(PAGES)
    for name, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = pages.get(parts.path or name)
            assert target, f"{name} has a dead link: {link}"
            place = unquote(parts.fragment)
            assert "=" in place or not place or place in target.ids, f"{name}: no place {link}"


# From notebooks to slides.


def cell(kind, text, slide=None):
    make = nbformat.v4.new_code_cell if kind == "code" else nbformat.v4.new_markdown_cell
    return make(text, metadata={"slideshow": {"slide_type": slide}} if slide else {})


FOLDED = "<details><summary>Answers</summary>\n\nForty-two.\n\n</details>"


@pytest.fixture
def small(tmp_path):
    """A site of one small notebook with a cell of each kind."""
    notebook = nbformat.v4.new_notebook(
        cells=[
            cell(
                "markdown", f"# First: a title\n\nWhat it is *about*.\n\nMore.\n\n{FOLDED}", "slide"
            ),
            cell("markdown", "for the speaker", "notes"),
            cell("code", "skipped = 1", "skip"),
            cell("markdown", "## Second\n\n[the first](first.ipynb#First)", "subslide"),
            cell("code", "shown = 2"),
            cell("markdown", "a fragment", "fragment"),
            cell("code", 'walk("a::b", "c")', "fragment"),
            cell("markdown", "\n\n".join(f"long {n}" for n in range(60)), "fragment"),
        ]
    )
    notebook.cells[4].outputs = [nbformat.v4.new_output("stream", text="wide " * 100)]
    path = tmp_path / "first.ipynb"
    nbformat.write(notebook, path)
    site.build(tmp_path / "site", [path])
    return tmp_path / "site"


def test_the_index_tells_what_each_notebook_is_about(small):
    text = (small / "index.html").read_text("utf-8")
    assert "First: a title" in text and "What it is about." in text and "More." not in text


def test_a_page_has_all_cells_and_a_deck_leaves_out_those_to_skip(small):
    page = (small / "first.html").read_text("utf-8")
    deck = (small / "first.slides.html").read_text("utf-8")
    assert "skipped" in page and "skipped" not in deck
    assert "shown" in page and "shown" in deck
    assert "::b" in page and "::b" not in deck  # on a slide the diff is enough
    assert deck.count('<article class="slide">') == deck.count("</article>") == 2


@pytest.mark.parametrize("name", ["first.html", "first.slides.html"])
def test_what_is_folded_stays_folded(small, name):
    text = (small / name).read_text("utf-8")
    assert "Forty-two." in text.partition("<details>")[2].partition("</details>")[0]


def test_links_between_notebooks_lead_to_their_pages(small):
    assert 'href="first.html#First"' in (small / "first.html").read_text("utf-8")


def test_a_notebook_without_outputs_makes_no_slides(tmp_path):
    cleared = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x")])
    nbformat.write(cleared, tmp_path / "cleared.ipynb")
    with pytest.raises(SystemExit, match="cleared.ipynb has no outputs"):
        site.build(tmp_path / "site", [tmp_path / "cleared.ipynb"])
    assert not (tmp_path / "site").exists()


def test_building_twice_gives_the_same(small, tmp_path):
    before = {path.name: path.read_bytes() for path in small.iterdir()}
    site.build(small, [tmp_path / "first.ipynb"])
    assert {path.name: path.read_bytes() for path in small.iterdir()} == before


# In a browser.


def browse(path, size, script, tmp_path):
    """Run a script at the end of a page; what it left in `seen`, and the console's lines."""
    text = path.read_text("utf-8")
    end = text.rindex("</body>")
    report = "top.document.documentElement.setAttribute('data-seen', JSON.stringify(seen));"
    added = f"<script>addEventListener('load', () => {{ let seen; {script}; {report} }});</script>"
    copy = path.with_name(f"copy-{path.name}")
    frame = path.with_name("frame.html")
    copy.write_text(text[:end] + added + text[end:], "utf-8")
    # Chromium makes no window as narrow as a phone, but a frame can be.
    width, height = size
    frame.write_text(
        f'<iframe src="{copy.name}" width="{width}" height="{height}" style="border: 0">'
    )
    try:
        done = run_browser(frame if size == PHONE else copy, size, tmp_path / "profile")
    finally:
        copy.unlink()
        frame.unlink()
    console = [line for line in done.stderr.decode().splitlines() if "CONSOLE" in line]
    seen = re.search(r'<html[^>]* data-seen="([^"]*)"', done.stdout.decode())
    assert seen, f"the page's script did not get to its end: {console or done.stderr[-2000:]}"
    return json.loads(unescape(seen.group(1))), console


def run_browser(page, size, profile, job="--dump-dom"):
    command = [
        BROWSER,
        "--headless",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--allow-file-access-from-files",  # a frame tells the page around it what it has seen
        "--enable-logging=stderr",
        f"--user-data-dir={profile}",
        f"--window-size={size[0]},{size[1]}",
        job,
        page.as_uri(),
    ]
    if os.geteuid() == 0:
        command.insert(1, "--no-sandbox")
    return subprocess.run(command, capture_output=True, timeout=SECONDS)


@needs_browser
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_no_console_message_and_is_not_wider_than_the_screen(
    built, name, size, tmp_path
):
    script = "seen = [document.documentElement.scrollWidth, innerWidth]"
    (width, screen), console = browse(built / name, size, script, tmp_path)
    assert console == []
    assert screen == size[0]
    assert width <= screen


@needs_browser
def test_a_console_message_is_noticed(small, tmp_path):
    _, console = browse(small / "index.html", DESKTOP, "seen = 0; console.error('oh')", tmp_path)
    assert len(console) == 1


# A browser takes offence at a page that changes its address a thousand times a second.
PRESS = """
history.replaceState = () => {};
const press = (key) =>
  document.body.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
const shown = ".slide.shown .piece:not(.away):not(.later)";
"""
# Go through all steps of all scenes in all views; look for what is missing or cut off.
THROUGH = (
    PRESS
    + """
seen = {scenes: [], cut: [], over: [], empty: 0};
const overlap = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2 &&
  Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 6;
for (const one of scenes) for (const kind of views) {
  setScene(one.name); setView(kind); press("Home");
  let steps = 1;
  for (;; steps++) {
    for (const svg of document.querySelectorAll("main svg:not([hidden])")) {
      if (!svg.querySelector(".panel").childElementCount) seen.empty++;
      if (!document.getElementById("hatch").closest("svg").checkVisibility()) seen.empty++;
      const all = svg.getBoundingClientRect(), boxes = [];
      for (const text of svg.querySelectorAll(".panel text")) {
        const box = text.getBoundingClientRect();
        if (box.left < all.left - 1 || box.right > all.right + 1 || box.bottom > all.bottom + 1)
          seen.cut.push(one.name + " " + step + " " + text.textContent);
        if (boxes.some((other) => overlap(other, box)))
          seen.over.push(one.name + " " + step + " " + text.textContent);
        boxes.push(box);
      }
    }
    const before = step;
    press("ArrowRight");
    if (step === before) break;
  }
  seen.scenes.push([one.name, kind, steps, document.getElementById("count").textContent]);
}
"""
)


@needs_browser
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_theatre_goes_to_the_end_of_each_scene_and_no_text_is_cut_off_or_covered(
    built, size, tmp_path
):
    seen, console = browse(built / "theatre.html", size, THROUGH, tmp_path)
    assert console == []
    assert seen["cut"] == []
    assert seen["over"] == []
    assert seen["empty"] == 0
    steps = {(name, kind): count for name, kind, count, _ in seen["scenes"]}
    for name in theatre.SCENES:
        played = theatre.scene(name)
        assert steps[name, "both"] == len(played.pairs)
        assert steps[name, "3"] == len(played.found[3])
        assert steps[name, "4"] == len(played.found[4])
    assert all(told == f"step {count} of {count}" for _, _, count, told in seen["scenes"])


@needs_browser
def test_in_a_notebook_the_milestones_stand_beside_each_other(built, tmp_path):
    script = "seen = [panel3, panel4].map((panel) => panel.getBoundingClientRect().top)"
    (left, right), _ = browse(built / "theatre.html", OUTPUT, script, tmp_path)
    assert left == right


@needs_browser
def test_the_keys_and_buttons_of_the_theatre(built, tmp_path):
    script = (
        PRESS
        + """
seen = [];
const at = () => seen.push([scene.name, view, step + 1]);
const click = (which) => document.querySelector(which).click();
press("ArrowRight"); at(); press("ArrowLeft"); at(); press("ArrowLeft"); at();
press("PageDown"); at(); press("PageDown"); at(); press("PageUp"); at();
press("End"); at(); press("v"); at(); press("2"); at();
click('[data-go="next"]'); at(); click('[data-view="4"]'); at(); click('[data-scene="slow"]'); at();
location.hash = "#scene=batch&view=both&step=17"; follow(); at();
"""
    )
    seen, console = browse(built / "theatre.html", DESKTOP, script, tmp_path)
    played = theatre.scene("batch")
    polls = [n for n, (i, j) in enumerate(played.pairs, 1) if played.found[3][i].is_poll]
    assert console == []
    assert seen == [
        ["batch", "both", 2],
        ["batch", "both", 1],
        ["batch", "both", 1],
        ["batch", "both", polls[0]],
        ["batch", "both", polls[1]],
        ["batch", "both", polls[0]],
        ["batch", "both", len(played.pairs)],
        ["batch", "3", len(played.found[3])],
        ["pieces", "3", 1],
        ["pieces", "3", 2],
        ["pieces", "4", 2],
        ["slow", "4", 1],
        ["batch", "both", 17],
    ]


# Go through a deck; every piece must be seen in a step, and inside the screen.
DECK = (
    PRESS
    + """
seen = {steps: steps.length, missing: [], over: [], scrolls: [], wide: [], at: []};
const found = new Set();
press("Home");
for (let n = 0; n < steps.length; n++) {
  const floor = document.querySelector("main").getBoundingClientRect().bottom;
  for (const piece of document.querySelectorAll(shown)) {
    found.add(piece);
    const told = [n + 1, piece.textContent.slice(0, 60)];
    if (piece.getBoundingClientRect().bottom > floor + 1) seen.over.push(told);
    const picture = piece.querySelector(".picture");
    if (piece.classList.contains("high") && !picture) seen.scrolls.push(told);
    for (const text of piece.querySelectorAll("pre"))
      if (text.scrollWidth > text.clientWidth + 1 && text.clientWidth) seen.wide.push(told);
  }
  seen.at.push(now + 1);
  press("ArrowRight");
}
for (const slide of slides) for (const piece of piecesOf(slide))
  if (!found.has(piece)) seen.missing.push(piece.textContent.slice(0, 60));
"""
)


@needs_browser
@pytest.mark.parametrize("name", NAMES)
def test_a_deck_shows_everything_inside_the_screen_and_no_text_scrolls(built, name, tmp_path):
    seen, console = browse(built / f"{name}.slides.html", DESKTOP, DECK, tmp_path)
    assert console == []
    assert seen["missing"] == []
    assert seen["over"] == []
    assert seen["scrolls"] == []
    assert seen["wide"] == []
    assert seen["at"] == list(range(1, seen["steps"] + 1))
    assert seen["steps"] <= MOST_STEPS


# A window that a test opens: the browser's own is not opened without a user's click.
SPEAKER = """
const frame = document.body.appendChild(document.createElement("iframe"));
window.open = () => frame.contentWindow;
const told = () => ["here", "notes", "next", "clock"].map(
  (id) => frame.contentDocument.getElementById(id).textContent.trim());
"""


@needs_browser
def test_fragments_come_one_by_one(small, tmp_path):
    script = (
        PRESS
        + """
seen = [];
const look = () => seen.push(document.querySelectorAll(shown).length);
look(); press("ArrowRight"); look(); press("ArrowRight"); look(); press("ArrowLeft"); look();
"""
    )
    seen, console = browse(small / "first.slides.html", DESKTOP, script, tmp_path)
    assert console == []
    assert seen == [1, 3, 4, 3]  # a cell's code and its output come together


@needs_browser
def test_s_opens_a_window_for_the_speaker_with_notes_next_slide_and_clock(small, tmp_path):
    script = (
        PRESS
        + SPEAKER
        + """
press("s"); seen = [told()];
press("ArrowRight"); seen.push(told());
press("End"); seen.push(told());
seen.push(document.body.innerText.includes("for the speaker"));
"""
    )
    seen, console = browse(small / "first.slides.html", DESKTOP, script, tmp_path)
    assert console == []
    first, second, last, projected = seen
    assert first[1] == "for the speaker" and first[3] == "0:00"
    assert second[1] == "no notes for this slide"
    assert last[2] == "the end"
    assert not projected


# Messages come at once here, because the test can't wait for them.
THEATRE = (
    PRESS
    + """
window.postMessage = (data) => dispatchEvent(new MessageEvent("message", {data}));
const at = steps.findIndex((step) => step.screen[step.shown - 1].querySelector("iframe"));
show(at);
const theatre = document.querySelector(".slide.shown iframe").contentWindow;
const pressThere = (key) =>
  theatre.document.body.dispatchEvent(new theatre.KeyboardEvent("keydown", {key, bubbles: true}));
seen = [document.activeElement.tagName];
for (const key of ["ArrowRight", "End", "ArrowRight"]) { pressThere(key); seen.push(now - at); }
"""
)


@needs_browser
def test_keys_go_to_a_theatre_and_at_its_end_to_the_slides_again(built, tmp_path):
    seen, console = browse(built / "04_pipelining.slides.html", DESKTOP, THEATRE, tmp_path)
    assert console == []
    assert seen == ["IFRAME", 0, 0, 1]


@needs_browser
def test_a_key_unfolds_the_answers_on_the_screen(small, tmp_path):
    script = (
        PRESS
        + """
const folded = document.querySelector("details");
show(steps.findIndex((step) => step.screen.slice(0, step.shown).some((p) => p.contains(folded))));
seen = [folded.open];
for (const _ of [1, 2]) { press("a"); seen.push(folded.open); }
"""
    )
    seen, console = browse(small / "first.slides.html", DESKTOP, script, tmp_path)
    assert console == []
    assert seen == [False, True, False]


CODE = """
const heights = [...document.querySelectorAll(".code pre")].map(
  (pre) => parseFloat(getComputedStyle(pre).fontSize) * (pre.closest(".piece").style.zoom || 1));
seen = {smallest: Math.min(...heights), high: innerHeight};
"""


@needs_browser
@pytest.mark.parametrize("name", NAMES)
def test_code_is_large_enough_for_the_last_row(built, name, tmp_path):
    seen, console = browse(built / f"{name}.slides.html", DESKTOP, CODE, tmp_path)
    assert console == []
    assert seen["smallest"] >= 18 * seen["high"] / 720


@needs_browser
def test_a_slide_is_laid_out_anew_when_an_answer_is_unfolded(small, tmp_path):
    script = """
const scrolls = () => slides[0].querySelector(".high") !== null;
seen = [scrolls()];
const details = document.querySelector("details");
details.lastElementChild.style.height = "600px";
details.open = true;
details.dispatchEvent(new Event("toggle"));  // the browser's own comes too late for this test
seen.push(scrolls());
"""
    seen, console = browse(small / "first.slides.html", DESKTOP, script, tmp_path)
    assert console == []
    assert seen == [False, True]


@needs_browser
def test_a_deck_prints_all_its_slides(small, tmp_path):
    pdf = tmp_path / "deck.pdf"
    page = small / "first.slides.html"
    run_browser(page, DESKTOP, tmp_path / "profile", f"--print-to-pdf={pdf}")
    pages = re.findall(rb"/Type /Page\b", pdf.read_bytes())
    assert len(pages) > 2  # two slides, of which one is longer than a page


# What a small screen makes too small to read scrolls instead.
SIZES = """
const widths = (what) => [...document.querySelectorAll(what)].map((e) => e.clientWidth);
seen = {pictures: widths(".picture svg").filter((w) => w), theatres: widths("iframe")};
"""


@needs_browser
def test_pictures_and_theatres_are_large_enough_to_read(built, tmp_path):
    page = built / "03_eventloop.html"
    phone, _ = browse(page, PHONE, SIZES, tmp_path)
    desktop, _ = browse(page, DESKTOP, SIZES, tmp_path)
    assert min(phone["pictures"]) > 600
    assert min(desktop["theatres"]) > 1200


@needs_browser
def test_on_a_phone_the_slides_stand_one_below_the_other(small, tmp_path):
    script = """
const tops = [...document.querySelectorAll(".slide")].map((s) => s.getBoundingClientRect().top);
seen = [tops[1] > tops[0], getComputedStyle(document.querySelector(".slide + .slide")).visibility];
"""
    assert browse(small / "first.slides.html", PHONE, script, tmp_path)[0] == [True, "visible"]


def test_the_theatre_is_shown_in_a_notebook_as_a_picture_and_as_a_page(monkeypatch):
    outputs = []
    display = pytest.importorskip("IPython.display")
    monkeypatch.setattr(display, "display", lambda data, raw: outputs.append(data))
    theatre.show("batch")
    still, live = outputs
    assert "Milestone 4" in still["image/svg+xml"]
    assert "srcdoc" in live["text/html"]
    assert outside(Page(live["text/html"])) == []
    assert all("text/plain" in data for data in outputs)

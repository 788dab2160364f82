"""Build the site: the notebooks as pages and as slides, and the theatre.

    python -m lab.publish.site [FOLDER]        (site)

The pages load nothing from outside and work from the file system.
"""

import argparse
import re
import sys
from pathlib import Path

import nbformat
from jinja2 import Environment, FileSystemLoader
from lab.servers import ROOT
from lab.theatre import page as theatre
from nbconvert import HTMLExporter
from pygments.formatters import HtmlFormatter

TEMPLATES = Path(__file__).with_name("templates")
NEW_SLIDE = ("slide", "subslide")
# Cells of which the audience wants to see what they show, not how they are asked.
SHOWN_ALONE = re.compile(r"(walk|theatre\.show)\(")


def title_of(notebook):
    """The first heading."""
    heading = re.search(r"^# +(.+)$", first_text(notebook), re.MULTILINE)
    return heading.group(1).strip() if heading else "Untitled"


def short(title):
    """A title without what follows the colon."""
    return title.partition(":")[0]


def summary_of(notebook):
    """The first paragraph under the first heading, as plain text."""
    paragraphs = re.split(r"\n\s*\n", first_text(notebook))
    texts = [" ".join(text.split()) for text in paragraphs if not text.startswith("#")]
    return re.sub(r"[*`]", "", texts[0]) if texts else ""


def first_text(notebook):
    return next((cell.source for cell in notebook.cells if cell.cell_type == "markdown"), "")


def slide_type(cell):
    """As Jupyter stores it; cells without one are like those with "-"."""
    return cell.metadata.get("slideshow", {}).get("slide_type", "-")


def as_deck(notebook):
    """A copy with the cells of the deck only, each of which knows its place.

    The template reads cell.metadata.deck: starts, ends (a slide), fragment.
    """
    deck = nbformat.from_dict(notebook)
    deck.cells = [cell for cell in deck.cells if slide_type(cell) != "skip"]
    for number, cell in enumerate(deck.cells):
        last = number + 1 == len(deck.cells)
        cell.metadata.deck = nbformat.from_dict(
            {
                "starts": number == 0 or slide_type(cell) in NEW_SLIDE,
                "ends": last or slide_type(deck.cells[number + 1]) in NEW_SLIDE,
                "fragment": slide_type(cell) == "fragment",
            }
        )
        if all(SHOWN_ALONE.match(line) for line in cell.source.splitlines()):
            cell.metadata.jupyter = nbformat.from_dict({"source_hidden": True})
    return deck


def exporter(template):
    """An nbconvert exporter with one of our two templates."""
    return HTMLExporter(
        template_name=template,
        extra_template_basedirs=[str(TEMPLATES)],  # where the template is found
        extra_template_paths=[str(TEMPLATES)],  # and what it includes
        exclude_output_prompt=True,
        exclude_input_prompt=True,
    )


def convert(template, notebook, facts, folder):
    """A notebook as HTML; facts: what the template calls resources.site."""
    resources = {"site": facts, "metadata": {"path": str(folder), "name": facts["name"]}}
    html, _ = exporter(template).from_notebook_node(notebook, resources)
    # Links between notebooks lead to their pages.
    return re.sub(r'(href="[\w.-]+)\.ipynb(["#])', r"\1.html\2", html)


def build(target, sources):
    """Write the site into the folder `target`, from notebooks in this order.

    Ends the program if one has no outputs, from which pages and slides are made.
    """
    notebooks = [nbformat.read(path, as_version=4) for path in sources]
    for path, notebook in zip(sources, notebooks):
        if not any(cell.get("outputs") for cell in notebook.cells):
            sys.exit(f"{path.name} has no outputs; type: git checkout notebooks, or make notebooks")
    names = [path.stem for path in sources]
    titles = [title_of(notebook) for notebook in notebooks]
    target.mkdir(parents=True, exist_ok=True)
    for n, (path, notebook) in enumerate(zip(sources, notebooks)):
        facts = {
            "name": names[n],
            "title": titles[n],
            "previous": names[n - 1] if n else "",
            "previous_title": short(titles[n - 1]) if n else "",
            "next": names[n + 1] if n + 1 < len(names) else "",
            "next_title": short(titles[n + 1]) if n + 1 < len(names) else "",
            "pygments": HtmlFormatter(style="default").get_style_defs(".highlight"),
        }
        write(target / f"{names[n]}.html", convert("page", notebook, facts, path.parent))
        deck = convert("slides", as_deck(notebook), facts, path.parent)
        write(target / f"{names[n]}.slides.html", deck)
    write(target / "theatre.html", theatre.page())
    write(target / "index.html", index(names, titles, map(summary_of, notebooks)))


def index(names, titles, summaries):
    rows = zip(names, titles, summaries)
    template = Environment(loader=FileSystemLoader(TEMPLATES)).get_template("index.html.j2")
    return template.render(
        notebooks=[{"name": n, "title": t, "summary": s} for n, t, s in rows],
        scenes=theatre.SCENES,
        still=theatre.still("batch"),
    )


def write(path, text):
    path.write_text(text, encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description="Build pages, slides and the theatre.")
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "site", help="(site)")
    folder = parser.parse_args().folder
    sources = sorted((ROOT / "notebooks").glob("*.ipynb"))
    if not sources:
        sys.exit(f"site.py: no notebooks in {ROOT / 'notebooks'}")
    build(folder, sources)
    print(folder / "index.html")


if __name__ == "__main__":
    main()

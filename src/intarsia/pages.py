"""Pages for the browser: each one self-contained HTML file, made of small functions that return markup.

`Markup` is HTML that is ready; every other text is escaped where it enters. A page loads nothing and runs nothing:
its style stands in it, its pictures are data URIs, and its content security policy forbids the rest.
"""

import base64
import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from intarsia._version import __version__

GENERATOR = '<meta name="generator" content="intarsia'
"""By this text, near its beginning, a page of ours is known."""

_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_CODE = re.compile("`([^`]+)`")
_WITHOUT_END = frozenset({"br", "img", "link", "meta"})
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_QUALITIES = (80, 60, 35)  # of JPEG, until it is small enough
_MOST_BYTES = 48_000  # of one picture


class Markup(str):
    """HTML that is ready. What is only a `str` is text, and is escaped where it enters."""

    __slots__ = ()


@dataclass(frozen=True)
class Section:
    """A part of a page, with its entry in the table of contents.

    Attributes:
        anchor: its id in the page.
        title: its heading.
        body: what stands below it.
    """

    anchor: str
    title: str
    body: Markup


def element(name: str, /, *content: str, **attributes: str | float | None) -> Markup:
    """An element: `element("p", "a < b", class_="soft")` is `<p class="soft">a &lt; b</p>`.

    Args:
        name: of the element.
        content: what stands in it: markup as it is, everything else as text.
        attributes: `_` is written as `-`, at the end of a name it falls away; those that are None are left out.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_escaped(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _WITHOUT_END:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(*content)}</{name}>")


def join(*content: str) -> Markup:
    """One after the other: markup as it is, everything else as text."""
    return Markup("".join(part if isinstance(part, Markup) else _escaped(part) for part in content))


def visible(text: str) -> str:
    r"""A text in which line breaks, control and direction characters and lone surrogates show, as \n or \u202e."""
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def prose(text: str) -> Markup:
    """A message: its lines stay lines, and what stands in `backticks` becomes code."""
    lines = []
    for line in text.splitlines():
        parts = _CODE.split(line)  # every second one stood in backticks
        lines.append(join(*(element("code", part) if place % 2 else part for place, part in enumerate(parts))))
    return Markup("<br>".join(lines))


def code_block(text: str, label: str | None = None) -> Markup:
    """Lines to be copied: one click selects all of them, but not the label that says what they are."""
    lines = Markup("\n".join(join(line) for line in text.split("\n")))
    return element("pre", element("code", lines), tabindex=0, data_label=label)


def picture(pixels: NDArray[np.uint8], alt: str, *, photo: bool = True) -> Markup:
    """A picture that stands in the page itself.

    Args:
        pixels: [H, W, 3] RGB.
        alt: what it shows, for those who cannot see it.
        photo: as JPEG; otherwise as PNG, which keeps the colours of masks exact, unless that is too large.
    """
    height, width = pixels.shape[:2]
    kind, content = "png", b"" if photo else _png(pixels)
    if photo or len(content) > _MOST_BYTES:
        kind, content = "jpeg", _jpeg(pixels)
    source = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
    small = "tiny" if max(height, width) <= 96 else None
    return element("img", src=source, alt=alt, width=width, height=height, class_=small, decoding="async")


def figure(pictures: Sequence[tuple[Markup, str]], *caption: str, stacked: bool = False) -> Markup:
    """Pictures side by side, or one below the other, each with what it shows, and the caption of all.

    Args:
        pictures: each with what stands below it, which may be empty.
        caption: what stands below all.
        stacked: for pictures that are much wider than high.
    """
    shown = [element("div", each, element("span", what, class_="what") if what else "") for each, what in pictures]
    row = element("div", *shown, class_="row stacked" if stacked else "row")
    return element("figure", row, element("figcaption", *caption))


def swatch(color: tuple[int, int, int]) -> Markup:
    """A small field of a class's colour."""
    field = element("rect", width="100%", height="100%", rx=2, fill=hexadecimal(color))
    return element("svg", field, class_="swatch", aria_hidden="true")


def hexadecimal(color: tuple[int, int, int]) -> str:
    """A colour as #rrggbb."""
    return f"#{bytes(color).hex()}"


def legend(entries: Iterable[tuple[str, tuple[int, int, int]]], *more: str) -> Markup:
    """Names beside their colours."""
    items = [element("li", swatch(color), element("bdi", name)) for name, color in entries]
    return element("ul", *items, *(element("li", text) for text in more), class_="legend")


def table(head: Sequence[str], rows: Iterable[Sequence[str]], about: str, *, texts: int = 1) -> Markup:
    """A table that scrolls in a frame of its own where it is too wide or too long.

    Args:
        head: of the columns.
        rows: with as many cells; the first one names its row.
        about: what the table is, for those who cannot see it.
        texts: how many columns hold texts; those after them hold numbers.
    """

    def cells(kind: str, row: Sequence[str], scope: str | None = None) -> list[Markup]:
        return [
            element(kind, cell, scope=scope, class_="number" if place >= texts else None)
            for place, cell in enumerate(row)
        ]

    header = element("thead", element("tr", *cells("th", head, "col")))
    body = [element("tr", *cells("th", row[:1], "row"), *cells("td", row)[1:]) for row in rows]
    return scroll(element("table", header, element("tbody", *body)), about)


def scroll(content: Markup, about: str, kind: str = "") -> Markup:
    """A frame of some kind in which what is too large scrolls, with the keyboard too."""
    return element("div", content, class_=f"scroll {kind}".strip(), role="region", aria_label=about, tabindex=0)


def page(
    kind: str, title: str, facts: Iterable[tuple[str, str]], lead: Markup, sections: Sequence[Section]
) -> bytes:
    """A whole page.

    Args:
        kind: what page it is: "dataset check".
        title: what it is about, as its heading.
        facts: what is known of it, by name, below the heading.
        lead: what must be seen first.
        sections: all else, with a table of contents before it.
    """
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="generator", content=f"intarsia {__version__}"),
        element("meta", name="color-scheme", content="light dark"),
        element("link", rel="icon", href="data:,"),
        element("title", f"{title}: {kind}"),
        element("style", _style()),
    )
    known = [element("div", element("dt", name), element("dd", element("bdi", fact))) for name, fact in facts]
    masthead = element(
        "header",
        element("p", _mark(), element("b", "Intarsia"), element("span", kind), class_="masthead"),
        element("h1", element("bdi", title)),
        lead,
        element("dl", *known, class_="facts"),
    )
    entries = [element("a", section.title, href=f"#{section.anchor}") for section in sections]
    contents = element("nav", *entries, aria_label="Contents")
    parts = [
        element("section", element("h2", section.title), section.body, id=section.anchor) for section in sections
    ]
    body = element("body", masthead, contents, element("main", *parts))
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n".encode()


def _mark() -> Markup:
    """Four pieces of wood, fitted."""
    pieces = ("M0 0H13L8 11 0 8Z", "M13 0H24V14L8 11Z", "M0 8 8 11 5 24H0Z", "M8 11 24 14V24H5Z")
    paths = [element("path", d=piece, class_=f"piece-{place}") for place, piece in enumerate(pieces)]
    return element("svg", *paths, viewBox="0 0 24 24", class_="mark", aria_hidden="true")


@cache
def _style() -> Markup:
    return Markup(files("intarsia").joinpath("pages.css").read_text(encoding="utf-8"))


def _escaped(text: str) -> str:
    return html.escape(visible(text))


def _png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _jpeg(pixels: NDArray[np.uint8]) -> bytes:
    content = b""
    for quality in _QUALITIES:
        buffer = BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=0 if quality > 60 else 2)
        content = buffer.getvalue()
        if len(content) <= _MOST_BYTES:
            break
    return content

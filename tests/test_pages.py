"""Pages: nothing unescaped, nothing from elsewhere, colours that can be read, pictures of bounded size."""

import base64
import io
import re
from html.parser import HTMLParser
from importlib.resources import files

import numpy as np
import pytest
from PIL import Image

from intarsia.pages import (
    GENERATOR,
    Markup,
    Section,
    code_block,
    element,
    figure,
    join,
    legend,
    page,
    picture,
    prose,
    table,
    visible,
)
from tests.small import noise

STYLE = files("intarsia").joinpath("pages.css").read_text(encoding="utf-8")
WITHOUT_END = {"br", "img", "link", "meta"}


class Outline(HTMLParser):
    """Elements and attributes of a page; fails where elements do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in WITHOUT_END:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def test_texts_are_escaped_and_markup_is_not() -> None:
    inner = element("b", "1 < 2")
    assert element("p", "a & b", inner, class_="x", data_label='"quoted"') == (
        '<p class="x" data-label="&quot;quoted&quot;">a &amp; b<b>1 &lt; 2</b></p>'
    )
    assert element("img", alt="", width=None) == '<img alt="">'
    assert join("<", Markup("<br>")) == "&lt;<br>"
    assert "&lt;" in element("p", inner + "added to a text")  # a sum is text again, and safe


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("line\nbreak", r"line\nbreak"),
        ("lone \udcff", r"lone \udcff"),
        ("rtl \u202egnp.exe", r"rtl \u202egnp.exe"),
        ("bell \x07 delete \x7f", r"bell \x07 delete \x7f"),
        ("naïve 名前 join\u200cer 🙂", "naïve 名前 join\u200cer 🙂"),
    ],
)
def test_what_cannot_be_seen_is_shown(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert element("p", text) == f"<p>{shown}</p>"


def test_prose_keeps_lines_and_marks_code() -> None:
    assert prose("use `a < b`\nor <not>") == "use <code>a &lt; b</code><br>or &lt;not&gt;"
    assert prose("one ` alone") == "one ` alone"


def test_code_keeps_its_lines_and_can_be_selected() -> None:
    block = code_block('a = "<b>"\nc', "dataset file")
    assert "<code>a = &quot;&lt;b&gt;&quot;\nc</code>" in block
    assert 'data-label="dataset file"' in block
    assert "user-select: all" in STYLE


def decoded(markup: str) -> tuple[str, bytes]:
    found = re.search(r'src="data:image/(\w+);base64,([^"]+)"', markup)
    assert found
    return found[1], base64.b64decode(found[2])


def test_masks_stay_exact_and_photos_become_jpeg() -> None:
    pixels = noise(40, 60, 3) // 64 * 64
    kind, content = decoded(picture(pixels, "a mask", photo=False))
    assert kind == "png"
    assert (np.asarray(Image.open(io.BytesIO(content))) == pixels).all()
    kind, content = decoded(picture(pixels, "a photo"))
    assert (kind, Image.open(io.BytesIO(content)).size) == ("jpeg", (60, 40))


@pytest.mark.parametrize("photo", [True, False])
def test_no_picture_is_large(photo: bool) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (280, 280, 3), dtype=np.uint8)
    _, content = decoded(picture(pixels, "noise", photo=photo))
    assert len(content) < 64_000


def test_a_page_is_well_formed_and_whole() -> None:
    body = join(
        figure([(picture(noise(8, 8, 3), "x"), "what"), (picture(noise(8, 8, 3), "y"), "")], "both"),
        table(["class", "pixels"], [["a", "1"], ["<b>", "2"]], "Classes"),
        legend([("road", (1, 2, 3))], "and 4 more"),
    )
    text = page(
        "check", "a <title>", [("Format", "x & y")], element("p", "lead"), [Section("s", "S", body)]
    ).decode()
    outline = Outline(text)
    assert GENERATOR in text[:2000]
    assert [link["href"] for link in outline.all("a")] == ["#s"]
    assert {section["id"] for section in outline.all("section")} == {"s"}
    assert "a &lt;title&gt;: check" in text
    assert outline.all("script") == []
    assert all(image["alt"] is not None for image in outline.all("img"))


def test_a_page_may_load_nothing() -> None:
    text = page("check", "x", [], Markup(), []).decode()
    policy = next(
        meta["content"] for meta in Outline(text).all("meta") if meta.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert re.findall(r"https?:|file:|//\w|@import|url\(", text) == []


def palettes() -> dict[str, dict[str, str]]:
    """Named colours on light paper, on dark paper and in print."""
    light, dark, paper = re.findall(r":root \{(.*?)\}", STYLE, flags=re.DOTALL)
    named = {name: dict(re.findall(r"--([\w-]+): (#\w{6})", part)) for name, part in
             (("light", light), ("dark", dark), ("print", paper))}  # fmt: skip
    assert all(set(part) == set(named["light"]) for part in named.values())
    return named


def luminance(color: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    parts = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("paper", ["light", "dark", "print"])
def test_every_text_has_the_contrast_that_wcag_asks_for(paper: str) -> None:
    colors = palettes()[paper]
    on = {
        "ink": ["paper", "card", "code", "good-tint", "warning-tint", "error-tint", "note-tint"],
        "soft": ["paper", "card", "code"],
        "accent": ["paper", "card", "good-tint", "warning-tint", "error-tint"],
        "good": ["card"],
        "error": ["error-tint"],
        "warning": ["warning-tint", "card"],
        "note": ["note-tint"],
    }
    for text, grounds in on.items():
        for ground in grounds:
            one, other = sorted((luminance(colors[text]), luminance(colors[ground])), reverse=True)
            assert (one + 0.05) / (other + 0.05) >= 4.5, (text, ground)

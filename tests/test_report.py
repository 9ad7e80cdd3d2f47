"""The page of `check --report`: whole, escaped, of bounded size, and readable in a browser, for any dataset."""

import os
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from intarsia.checking import check
from intarsia.data.check.inspection import Inspection, inspect
from intarsia.data.index import find_dataset
from intarsia.errors import MachineError, SettingsError
from intarsia.report import write_report
from intarsia.synthetic.scenes import write_scenes
from tests.conftest import write_pair
from tests.small import noise
from tests.test_pages import Outline

NASTY = '"><img src=x onerror=alert(1)>'
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def change(path: Path, to: Any) -> None:
    Image.fromarray(np.ascontiguousarray(to(np.array(Image.open(path))))).save(path)


def spoil(root: Path) -> None:
    """Plants what the page has a picture or an escape for."""

    def files(number: int, split: str = "train") -> list[Path]:
        return [root / kind / split / f"scene_{number:04}.png" for kind in ("images", "masks")]

    def copy(number: int, to: int, split: str) -> None:
        for source, target in zip(files(number), files(to, split), strict=True):
            shutil.copy(source, target)

    copy(1, 1, "val")
    copy(2, 3, "train")
    change(files(4)[1], lambda mask: mask[:40])
    change(
        files(5)[1], lambda mask: np.where(np.add.outer(range(96), range(128)) == 100, 77, mask).astype(np.uint8)
    )
    files(6)[0].write_bytes(b"")
    for number, name in ((7, NASTY), (8, "line\nbreak"), (9, os.fsdecode(b"lone\xff"))):
        for path in files(number):
            path.rename(path.with_name(f"{name}.png"))


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> Inspection:
    root = write_scenes(tmp_path_factory.mktemp("report") / "a <b> & co", {"train": 14, "val": 4}, (96, 128))
    spoil(root)
    return inspect(find_dataset(root))


def written(inspection: Inspection, folder: Path) -> str:
    path = folder / "check.html"
    write_report(inspection, path)
    assert path.stat().st_size < 4_000_000
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def text(spoiled: Inspection, tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(spoiled, tmp_path_factory.mktemp("page"))


def sections(text: str) -> list[str | None]:
    return [section["id"] for section in Outline(text).all("section")]


def plain(text: str) -> str:
    """What can be read, without elements."""
    return unescape(re.sub(r"<style>.*?</style>|<[^>]*>", "", text, flags=re.DOTALL))


def test_the_page_says_everything_in_its_order(text: str) -> None:
    assert sections(text) == [
        *("findings", "classes", "samples", "images", "duplicates", "alignment", "masks", "next"),
    ]
    assert [link["href"] for link in Outline(text).all("a")] == ["#next", *(f"#{part}" for part in sections(text))]
    assert "Not ready to train" in text
    assert "14 train + 4 val, of which 16 can be used" in text
    assert re.search(r"\d{4}-\d\d-\d\d, with intarsia \d", text)


def test_every_finding_is_there_with_its_mend(text: str, spoiled: Inspection) -> None:
    said = plain(text)
    ids = {finding.id for finding in spoiled.findings}
    assert {"leak", "duplicates", "size-differs", "unknown-values", "empty-file"} <= ids
    for finding in spoiled.findings:
        assert f'<article class="finding {finding.severity}">' in text
        assert f"<code>{finding.id}</code>" in text
    assert 'exclude = ["train/scene_0004"]' in said
    assert "masks/train/scene_0004.png: mask of 40x128 (height x width), image of 96x128" in said
    assert str(spoiled.dataset.root / "masks") not in said, "paths are told as seen from the dataset"


def test_names_are_escaped(text: str) -> None:
    outline = Outline(text)
    assert all("onerror" not in attributes for _, attributes in outline.elements)
    assert outline.all("script") == []
    assert NASTY in plain(text)
    assert r"train/line\nbreak" in plain(text)
    assert "<h1><bdi>a &lt;b&gt; &amp; co</bdi></h1>" in text


def test_nothing_is_loaded_from_elsewhere(text: str) -> None:
    outline = Outline(text)
    assert {str(image["src"]).split(",")[0] for image in outline.all("img")} <= {
        "data:image/jpeg;base64",
        "data:image/png;base64",
    }
    assert [link["href"] for link in outline.all("link")] == ["data:,"]
    for _, attributes in outline.elements:
        assert not {"srcset", "style", "background", "action", "onclick"} & set(attributes)
    assert re.findall(r"https?:|file:|@import|url\(", text) == []


def test_every_class_has_its_numbers(text: str, spoiled: Inspection) -> None:
    table = text.partition('id="classes"')[2].partition("</table>")[0]
    assert spoiled.labels is not None
    total = sum(int(count.sum()) for count in spoiled.counts.values())
    for index, name in enumerate(spoiled.labels.names):
        row = plain(table[table.index(f"<bdi>{name}</bdi>") :].partition("</tr>")[0].replace("</td>", "|"))
        value, pixels, share, train, _, weight = row.removeprefix(name).strip("|").split("|")
        counts = {split: int(count[index]) for split, count in spoiled.counts.items()}
        assert (value, pixels) == (str(index), f"{sum(counts.values()):,}")
        assert share == f"{sum(counts.values()) / total:.2%}"
        assert train == f"{counts['train'] / spoiled.counts['train'].sum():.2%}"
        assert weight == f"{spoiled.weights[index]:.2f}"


def test_twins_and_troubled_masks_stand_side_by_side(text: str) -> None:
    twins = text.partition('id="duplicates"')[2].partition("</section>")[0]
    assert twins.count("<img") == 2 * twins.count("<figure>") >= 4
    assert "val/scene_0001" in twins.partition("</figure>")[0]
    assert "train/scene_0001" in twins.partition("</figure>")[0]
    troubled = text.partition('id="masks"')[2].partition("</section>")[0]
    assert "mask, 40 \N{MULTIPLICATION SIGN} 128" in troubled
    assert "values without a meaning, enlarged" in troubled


def test_the_commands_at_the_end_are_quoted_for_a_shell(text: str, spoiled: Inspection) -> None:
    commands = plain(text.partition('id="next"')[2].partition("</section>")[0])
    assert f"intarsia check {shlex.quote(str(spoiled.dataset.root))} --fix mended.toml" in commands
    assert "intarsia train mended.toml" in commands


def test_what_cannot_be_opened_any_more_is_left_out_with_a_word(tmp_path: Path) -> None:
    root = write_scenes(tmp_path / "scenes", {"train": 10, "val": 3}, (48, 64))
    spoiled = inspect(find_dataset(root))
    assert len(spoiled.looks) == 13, "they are looked at before the files change"
    (root / "images" / "train" / "scene_0003.png").write_bytes(b"gone")
    (root / "masks" / "val" / "scene_0002.png").unlink()
    text = written(spoiled, tmp_path)
    assert text.count("Left out here:") >= 2
    assert "scene_0003.png: is not a picture" in text
    assert "scene_0002.png: does not exist" in text


def pair_of_noise(root: Path, name: str, mask: np.ndarray, split: str, seed: int = 0) -> None:
    write_pair(root, name, noise(*mask.shape[:2], 3, seed=seed), mask, split)


def test_without_classes_masks_are_shown_as_they_are(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for number in range(6):
        mask = generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        pair_of_noise(tmp_path / "d", f"{number}", mask, "val" if number > 3 else "train", number)
    inspection = inspect(find_dataset(tmp_path / "d"))
    assert inspection.labels is None
    text = written(inspection, tmp_path)
    assert "as they are stored" in text
    assert "classes" not in sections(text)
    assert "Mend by hand" in text
    assert "intarsia train" not in text


def test_without_a_usable_pair_the_page_still_says_why(tmp_path: Path) -> None:
    for kind in ("images", "masks"):
        (tmp_path / "d" / kind).mkdir(parents=True)
        for number in range(3):
            (tmp_path / "d" / kind / f"{number}.png").write_bytes(b"<html>")
    text = written(inspect(find_dataset(tmp_path / "d")), tmp_path)
    assert "Not one pair can be used." in text
    assert sections(text) == ["findings", "next"]
    assert "no-picture" in text.partition('id="next"')[2]


def test_a_clean_dataset_is_ready(scenes: Path, tmp_path: Path) -> None:
    inspection = inspect(find_dataset(scenes))
    text = written(inspection, tmp_path)
    assert f"intarsia train {scenes}" in plain(text)
    assert ("Ready to train." in text) == inspection.ok is True


def test_one_class_only(tmp_path: Path) -> None:
    for split in ("train", "val"):
        pair_of_noise(tmp_path / "d", "a", np.zeros((16, 16), np.uint8), split)
    assert "one-class" in written(inspect(find_dataset(tmp_path / "d")), tmp_path)


def test_150_classes_and_images_of_five_16_bit_bands(tmp_path: Path) -> None:
    for number in range(6):
        mask = np.roll(np.arange(150, dtype=np.uint8).reshape(10, 15), number).repeat(8, 0).repeat(8, 1)
        split = "val" if number > 3 else "train"
        pair_of_noise(tmp_path / "d", f"{number}", mask, split, number)
        image = tmp_path / "d" / "images" / split / f"{number}.png"
        image.unlink()
        bands = noise(80, 120, 5, seed=number).astype(np.uint16) * 250
        tifffile.imwrite(image.with_suffix(".tif"), bands, photometric="minisblack", planarconfig="contig")
    text = written(inspect(find_dataset(tmp_path / "d")), tmp_path)
    assert text.partition('id="classes"')[2].partition("</table>")[0].count("<tr>") == 151
    assert 'class="scroll chart"' in text
    assert "more</li>" in text.partition('id="samples"')[2].partition("</figure>")[0], "a legend of its own, cut"
    assert text.partition('id="images"')[2].partition("</table>")[0].count("<tr>") == 6


def test_images_of_many_sizes_are_scattered_those_of_one_are_told(tmp_path: Path, scenes: Path) -> None:
    for number in range(8):
        mask = np.zeros((20 + number, 50 - 2 * number), np.uint8)
        mask[:9] = 1
        pair_of_noise(tmp_path / "d", f"{number}", mask, "val" if number > 5 else "train", number)
    text = written(inspect(find_dataset(tmp_path / "d")), tmp_path)
    assert len(re.findall(r'class="mark mark-[01]"', text.partition('class="scatter"')[2])) == 8
    assert "8 images of 8 sizes" in text
    text = written(inspect(find_dataset(scenes)), tmp_path)
    assert "10 images of 48 \N{MULTIPLICATION SIGN} 64 pixels" in text
    assert 'class="scatter"' not in text


def test_of_many_duplicates_a_few_are_shown(tmp_path: Path) -> None:
    mask = np.zeros((16, 16), np.uint8)
    mask[8:] = 1
    for number in range(6):
        pair_of_noise(tmp_path / "d", f"{number}", mask, "val" if number > 4 else "train")
    text = written(inspect(find_dataset(tmp_path / "d")), tmp_path)
    duplicates = text.partition('id="duplicates"')[2].partition("</section>")[0]
    assert "6 of 15" in duplicates
    assert duplicates.count("<figure>") == 6


def test_a_page_of_noise_stays_small(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for number in range(14):
        image = generator.integers(0, 256, (400, 400, 3), dtype=np.uint8)
        mask = generator.integers(0, 2, (400, 400), dtype=np.uint8) * 255
        write_pair(tmp_path / "d", f"{number}", image, mask, "val" if number > 9 else "train")
    written(inspect(find_dataset(tmp_path / "d")), tmp_path)


def test_a_page_of_somebody_else_is_not_overwritten(spoiled: Inspection, tmp_path: Path) -> None:
    own = tmp_path / "own.html"
    own.write_text("<!doctype html><title>mine</title>")
    with pytest.raises(SettingsError, match=r"own\.html: exists, and is not of `check`'s making"):
        write_report(spoiled, own)
    assert "mine" in own.read_text()
    with pytest.raises(SettingsError, match=r"named something\.html"):
        write_report(spoiled, tmp_path / "check.toml")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(SettingsError, match=r"folder\.html: exists"):
        write_report(spoiled, tmp_path / "folder.html")


def test_a_page_is_written_anew_and_its_folder_made(scenes: Path, tmp_path: Path) -> None:
    path = tmp_path / "new" / "check.html"
    for _ in range(2):
        check(scenes, report=path)
    assert "dataset check" in path.read_text()
    assert list(path.parent.iterdir()) == [path]
    (tmp_path / "file").touch()
    with pytest.raises(MachineError, match="file"):
        check(scenes, report=tmp_path / "file" / "check.html")


def test_there_is_no_section_without_anything_in_it(spoiled: Inspection, tmp_path: Path) -> None:
    text = written(replace(spoiled, findings=()), tmp_path)
    assert sections(text) == ["findings", "classes", "samples", "images", "alignment", "next"]
    assert "Nothing was found" in text


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("needs Chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
def test_in_a_browser(browser: Any, spoiled: Inspection, tmp_path: Path, width: int, scheme: str) -> None:
    write_report(spoiled, tmp_path / "check.html")
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.on("request", lambda request: asked.append(request.url))
    page.goto((tmp_path / "check.html").as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    wide, shown = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    broken = page.evaluate("[...document.images].filter(each => !each.naturalWidth).length")
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    context.close()
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [(tmp_path / "check.html").as_uri()]
    assert wide <= shown, "nothing scrolls sideways"
    assert broken == 0
    assert paper == {"light": "rgb(251, 249, 245)", "dark": "rgb(25, 23, 20)"}[scheme]

"""Every finding is planted once in a clean set, found with its mend, and mended by --fix where that is promised."""

import json
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from intarsia.checking import check
from intarsia.data.check.findings import KINDS
from intarsia.data.index import find_dataset
from intarsia.data.pairs import read_pair
from intarsia.data.palettes import PALETTES
from intarsia.data.read import read_image, read_mask
from intarsia.synthetic.scenes import write_scenes

SIZE = (96, 128)
PAIRS = {"train": 20, "val": 6}


@pytest.fixture(scope="session")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_scenes(tmp_path_factory.mktemp("clean") / "scenes", PAIRS, SIZE)
    (root / "dataset.toml").unlink()
    return root


@pytest.fixture
def root(clean: Path, tmp_path: Path) -> Path:
    """A copy that the test may spoil."""
    return shutil.copytree(clean, tmp_path / "scenes")


def image(root: Path, number: int = 1, split: str = "train") -> Path:
    return root / "images" / split / f"scene_{number:04d}.png"


def mask(root: Path, number: int = 1, split: str = "train") -> Path:
    return root / "masks" / split / f"scene_{number:04d}.png"


def save(array: np.ndarray, path: Path, **options: object) -> None:
    Image.fromarray(array).save(path, **options)


def change(path: Path, function: Callable[[np.ndarray], np.ndarray], **options: object) -> None:
    save(np.ascontiguousarray(function(np.array(Image.open(path)))), path, **options)


def every_mask(root: Path, function: Callable[[np.ndarray], np.ndarray]) -> None:
    for path in (root / "masks").rglob("*.png"):
        change(path, function)


def copied(root: Path, name: str, split: str, number: int = 1) -> Path:
    """Another pair with the picture and the mask of one."""
    shutil.copy(image(root, number), image(root, number).parents[1] / split / name)
    shutil.copy(mask(root, number), mask(root, number).parents[1] / split / name)
    return root / "masks" / split / name


def as_tiff(path: Path, array: np.ndarray) -> None:
    path.unlink()
    tifffile.imwrite(path.with_suffix(".tif"), array, photometric="minisblack", planarconfig="contig")


def huge_png(path: Path) -> None:
    """A header of 100,000 x 100,000 pixels and hardly any data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(bytes(1000))), chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def exif_turned(root: Path) -> None:
    """The picture lies on its side and says so; its mask was drawn as it lies."""
    turned = Image.open(image(root)).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    image(root).unlink()
    turned.save(image(root).with_suffix(".jpg"), exif=exif, quality=95)
    change(mask(root), np.rot90)


def coco(root: Path, entry: dict[str, object]) -> None:
    """Replaces the masks by a COCO file with one good and one questionable annotation."""
    pictures = sorted((root / "images" / "train").iterdir())
    images = [
        {"id": number, "file_name": path.name, "height": SIZE[0], "width": SIZE[1]}
        for number, path in enumerate(pictures)
    ]
    square = [[10, 10, 90, 10, 90, 70, 10, 70]]
    good = [
        {"id": number, "image_id": number, "category_id": 1, "segmentation": square, "area": 4800, "iscrowd": 0}
        for number in range(len(images))
    ]
    content = {"images": images, "annotations": good, "categories": [{"id": 1, "name": "thing"}]}
    for key, value in entry.items():
        content[key] = [*content[key], value]
    for path in pictures:
        path.rename(root / "images" / path.name)
    shutil.rmtree(root / "masks")
    for folder in ("train", "val", "test"):
        shutil.rmtree(root / "images" / folder, ignore_errors=True)
    (root / "annotations.json").write_text(json.dumps(content))


def first_pixels(value: int, number: int) -> Callable[[np.ndarray], np.ndarray]:
    """Gives a value to the first few pixels."""

    def give(old: np.ndarray) -> np.ndarray:
        new = old.copy()
        new.flat[:number] = value
        return new

    return give


def brighter(old: np.ndarray) -> np.ndarray:
    return np.minimum(old, 250) + np.uint8(3)


def nearly_the_same(root: Path, split: str) -> None:
    copied(root, "again.png", split)
    change(root / "images" / split / "again.png", brighter)


def one_of_five_bands(root: Path) -> None:
    as_tiff(mask(root), np.zeros((*SIZE, 5), np.uint8))


def mostly_empty(old: np.ndarray) -> np.ndarray:
    rows = np.arange(len(old))[:, None, None]
    return np.where(rows < 0.6 * len(old), np.nan, old).astype(np.float32)


def noise(old: np.ndarray) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, old.shape, np.uint8)


def two_masks_differ(root: Path) -> None:
    change(copied(root, "again.png", "train"), lambda old: np.where(old == 0, 1, old).astype(np.uint8))


def blocks(root: Path, values: list[int]) -> None:
    """All masks hold areas of the same values."""
    stripes = np.repeat(np.array(values, np.uint8), -(-SIZE[1] // len(values)))[: SIZE[1]]
    every_mask(root, lambda old: np.tile(stripes, (SIZE[0], 1)))


def number_objects(root: Path) -> None:
    for count, path in enumerate(sorted((root / "masks").rglob("*.png")), start=3):
        numbers = np.zeros(SIZE, np.uint8)
        for number in range(count):
            row, column = divmod(number, 8)
            numbers[row * 12 + 2 : row * 12 + 10, column * 14 + 2 : column * 14 + 10] = number + 1
        save(numbers, path)


def void_borders(root: Path) -> None:
    """A fifth value between all classes, as annotators leave it."""

    def outline(old: np.ndarray) -> np.ndarray:
        areas = [np.uint8(old == value) for value in range(5)]
        grown = sum(cv2.dilate(area, np.ones((3, 3), np.uint8)) for area in areas)
        return np.where(grown > 1, 5, old).astype(np.uint8)

    for number, path in enumerate(sorted((root / "masks").rglob("*.png"))):
        rng = np.random.default_rng(number)
        save(outline(cv2.resize(rng.integers(0, 5, (6, 8)).astype(np.uint8), SIZE[::-1], interpolation=0)), path)


def in_known_colors(root: Path) -> None:
    colors = np.array(list(PALETTES["camvid"].colors.values())[:4], np.uint8)
    every_mask(root, lambda old: colors[old])


def names_without_colors(root: Path) -> None:
    every_mask(root, lambda old: np.array([(0, 0, 0), (9, 200, 9), (200, 9, 9), (9, 9, 200)], np.uint8)[old])
    (root / "classes.txt").write_text("background\nroad\nvehicle\npedestrian")


def speckled(old: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.where(rng.random(old.shape) < 0.03, (old + 1) % 4, old).astype(np.uint8)


def one_small_spot(root: Path) -> None:
    def spot(old: np.ndarray) -> np.ndarray:
        new = np.where(old == 3, 0, old)
        new[5:7, 5:7] = 3
        return new.astype(np.uint8)

    change(mask(root), spot)


def without(split: str, value: int) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        for path in (root / "masks" / split).iterdir():
            change(path, lambda old: np.where(old == value, 0, old).astype(np.uint8))

    return spoil


def one_rare_class(root: Path) -> None:
    every_mask(root, lambda old: np.where(old == 3, 2, old).astype(np.uint8))
    for split in PAIRS:
        change(
            mask(root, split=split),
            lambda old: np.where(np.arange(old.size).reshape(old.shape) < 30, 3, old).astype(np.uint8),
        )


def single(split: str) -> Callable[[Path], None]:
    """Leaves one pair in all."""

    def spoil(root: Path) -> None:
        for kind in ("images", "masks"):
            shutil.rmtree(root / kind / "val")
            for path in sorted((root / kind / "train").iterdir())[1:]:
                path.unlink()

    return spoil


PLANTED: dict[str, Callable[[Path], object]] = {
    "unpaired": lambda root: mask(root).unlink(),
    "ambiguous": lambda root: Image.open(image(root)).save(image(root).with_suffix(".bmp")),
    "missing-image": lambda root: coco(
        root, {"images": {"id": 99, "file_name": "gone.png", "height": 9, "width": 9}}
    ),
    "bad-shape": lambda root: coco(
        root,
        {
            "annotations": {
                "id": 99,
                "image_id": 1,
                "category_id": 1,
                "segmentation": [[1, 2]],
                "area": 0,
                "iscrowd": 0,
            }
        },
    ),
    "unreadable": lambda root: image(root).chmod(0),
    "empty-file": lambda root: image(root).write_bytes(b""),
    "no-picture": lambda root: image(root).write_text("<!doctype html><html></html>"),
    "truncated": lambda root: image(root).write_bytes(image(root).read_bytes()[:9000]),
    "damaged": lambda root: image(root).write_bytes(image(root).read_bytes()[:60] + bytes(900)),
    "too-large": lambda root: huge_png(image(root)),
    "undecodable": lambda root: Image.open(image(root)).save(
        image(root), "TIFF", save_all=True, append_images=[Image.new("RGB", (9, 9))]
    ),
    "no-such-pair": lambda root: (root / "dataset.toml").write_text('exclude = ["train/gone"]'),
    "mistyped": lambda root: Image.open(image(root)).save(image(root), "BMP"),
    "junk": lambda root: (image(root).parent / ".DS_Store").write_bytes(b"x"),
    "broken-link": lambda root: (image(root).parent / "gone.png").symlink_to("/nowhere/gone.png"),
    "link-circle": lambda root: (image(root).parent / "again").symlink_to(root),
    "not-a-file": lambda root: os.mkfifo(mask(root).parent / "pipe.png"),
    "size-exif": exif_turned,
    "size-turned": lambda root: change(mask(root), np.rot90),
    "size-scaled": lambda root: change(mask(root), lambda old: old[::2, ::2]),
    "size-near": lambda root: change(mask(root), lambda old: old[:-3]),
    "size-differs": lambda root: change(mask(root), lambda old: old[:50]),
    "bands": lambda root: as_tiff(image(root), np.zeros((*SIZE, 5), np.uint8)),
    "bit-depth": lambda root: as_tiff(image(root), np.uint16(read_image(image(root))) * 257),
    "not-finite": lambda root: as_tiff(image(root), np.full((*SIZE, 3), np.inf, np.float32)),
    "no-data": lambda root: as_tiff(image(root), mostly_empty(np.array(Image.open(image(root))))),
    "constant-image": lambda root: change(image(root), lambda old: np.full_like(old, 90)),
    "encoding": lambda root: every_mask(root, lambda old: (old > 0).astype(np.uint8) * 255),
    "palette": in_known_colors,
    "names-without-colors": names_without_colors,
    "value-gaps": lambda root: blocks(root, [0, 2, 7]),
    "void": void_borders,
    "unknown-values": lambda root: change(mask(root), first_pixels(77, 12)),
    "mixed-encodings": one_of_five_bands,
    "noise": lambda root: every_mask(
        root, lambda old: cv2.GaussianBlur((old > 0).astype(np.uint8) * 255, (3, 3), 0)
    ),
    "too-noisy": lambda root: every_mask(root, noise),
    "objects": number_objects,
    "one-class": lambda root: every_mask(root, np.zeros_like),
    "no-training": single("train"),
    "class-missing": without("val", 1),
    "imbalance": one_rare_class,
    "empty-masks": lambda root: change(mask(root), np.zeros_like),
    "ignored-masks": lambda root: change(mask(root), lambda old: np.full_like(old, 255)),
    "ignored-split": lambda root: [
        change(path, lambda old: np.full_like(old, 255)) for path in (root / "masks" / "val").iterdir()
    ],
    "small-objects": one_small_spot,
    "speckle": lambda root: change(mask(root), speckled),
    "duplicates": lambda root: copied(root, "again.png", "train"),
    "contradiction": two_masks_differ,
    "near-duplicates": lambda root: nearly_the_same(root, "train"),
    "leak": lambda root: copied(root, "again.png", "val"),
    "near-leak": lambda root: nearly_the_same(root, "val"),
    "misaligned": lambda root: change(mask(root, 3), lambda old: np.roll(old, (12, 16), (0, 1))),
}
NOT_MENDED = {"too-noisy", "one-class", "no-training", "ignored-split"}  # errors that no dataset file can mend


def test_a_clean_set_has_no_finding_above_a_note(clean):
    inspection = check(clean)
    assert [finding.id for finding in inspection.findings] == ["encoding"]
    assert inspection.ok


def test_every_kind_of_finding_is_planted():
    assert {*PLANTED, "missing-file"} == set(KINDS)  # that one has a test of its own


@pytest.mark.parametrize("planted", PLANTED)
def test_it_is_found_with_its_mend_and_fix_leaves_no_error(root, tmp_path, planted):
    PLANTED[planted](root)
    if planted == "unreadable" and os.access(image(root), os.R_OK):
        pytest.skip("this user may read everything")
    inspection = check(root)
    found = {finding.id: finding for finding in inspection.findings}
    assert planted in found, found
    finding = found[planted].to_dict()
    assert finding["severity"] == KINDS[planted].severity
    assert finding["mend"]
    assert finding["message"]
    assert finding["count"] >= 1
    assert inspection.ok == (not any(one.severity == "error" for one in inspection.findings))
    if planted not in NOT_MENDED:
        fixed = check(root, fix=tmp_path / "fixed.toml")
        assert fixed.ok, fixed.findings


def test_a_file_that_is_gone_when_it_is_to_be_read(root, tmp_path):
    dataset = find_dataset(root)
    image(root).unlink()
    found = [finding.id for finding in check(dataset).findings]
    assert found == ["missing-file", "encoding"]
    assert check(dataset, fix=tmp_path / "fixed.toml").ok


def test_nothing_else_is_said_of_a_set_with_one_fault(root):
    image(root).write_bytes(b"")
    assert [finding.id for finding in check(root).findings] == ["empty-file", "encoding"]


def test_the_mask_is_right_after_the_mends(root, tmp_path, clean):
    exif_turned(root)
    change(mask(root, 2), lambda old: np.repeat(np.repeat(old, 2, axis=0), 2, axis=1))
    fixed = check(root, fix=tmp_path / "fixed.toml")
    pairs = {pair.name: pair for pair in fixed.dataset.split("train")}
    for number in (1, 2):
        _, indices = read_pair(pairs[f"scene_{number:04d}"], fixed.labels)
        assert np.array_equal(indices, read_mask(mask(clean, number)))

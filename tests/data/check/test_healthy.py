"""Healthy sets, drawn at random: no error, whatever their size, number of classes, layout and encoding."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from intarsia.checking import check

ENCODINGS = ("indices", "16 bits", "from one", "ramp", "colours", "palette", "bands", "two values", "with void")


def draw_set(root: Path, seed: int) -> str:
    """Writes a set of blobs on textured pictures, a colour for each class; returns the encoding of the masks."""
    rng = np.random.default_rng(seed)
    encoding = ENCODINGS[seed % len(ENCODINGS)]
    classes = 2 if encoding == "two values" else int(rng.integers(2, 13))
    tints = rng.integers(0, 256, (256, 3))
    with_splits = bool(rng.integers(2))
    for number in range(int(rng.integers(6, 40))):
        height, width = (int(side) for side in rng.integers(40, 200, 2))
        areas = cv2.resize(rng.integers(0, classes, (7, 9)).astype(np.uint8), (width, height), interpolation=0)
        picture = tints[areas] * 0.7 + rng.normal(0, 12, (height, width, 3)) + rng.integers(0, 60)
        split = ("train", "train", "train", "val")[number % 4] if with_splits else ""
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True, exist_ok=True)
        tinted = np.clip(picture, 0, 255).astype(np.uint8)
        Image.fromarray(tinted).save(root / "images" / split / f"{number:03d}.jpg", quality=90)
        path = root / "masks" / split / f"{number:03d}.png"
        if encoding == "bands":
            bands = np.stack([(areas == index).astype(np.uint8) for index in range(max(classes, 4))], axis=2)
            tifffile.imwrite(path.with_suffix(".tif"), bands, photometric="minisblack", planarconfig="contig")
        else:
            encoded(areas, encoding, classes, tints).save(path)
    return encoding


def encoded(areas: np.ndarray, encoding: str, classes: int, tints: np.ndarray) -> Image.Image:
    if encoding == "16 bits":
        return Image.fromarray(areas.astype(np.uint16))
    if encoding == "from one":
        return Image.fromarray(areas + np.uint8(1))
    if encoding in ("ramp", "two values"):
        return Image.fromarray(np.round(areas * (255 / (classes - 1))).astype(np.uint8))
    if encoding == "colours":
        return Image.fromarray(tints.astype(np.uint8)[areas])
    if encoding == "with void":
        areas = areas.copy()
        areas[:2] = 255
    picture = Image.fromarray(areas)
    if encoding == "palette":
        picture = picture.convert("P")
        picture.putpalette(tints.astype(np.uint8).ravel().tolist())
    return picture


@pytest.mark.parametrize("seed", range(18))
def test_no_false_error(tmp_path, seed):
    encoding = draw_set(tmp_path, seed)
    inspection = check(tmp_path)
    assert inspection.ok, (encoding, inspection.of_severity("error"))
    assert not {"noise", "void", "misaligned", "objects"} & {finding.id for finding in inspection.findings}

"""Training starts from every layout that docs/data.md lists."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import SMALL


def _by_split(photos: Path, out: Path) -> Path:
    for split in ("train", "val"):
        for kind in ("images", "masks"):
            shutil.copytree(photos / kind / split, out / split / kind)
    return out


def _without_splits(photos: Path, out: Path) -> Path:
    for kind in ("images", "masks"):
        shutil.copytree(photos / kind / "train", out / kind)
    return out


def _annot(photos: Path, out: Path) -> Path:
    for split in ("train", "val"):
        shutil.copytree(photos / "images" / split, out / split)
        shutil.copytree(photos / "masks" / split, out / f"{split}annot")
    return out


def _side_by_side(photos: Path, out: Path) -> Path:
    out.mkdir()
    for path in (photos / "images" / "train").iterdir():
        shutil.copy(path, out)
        shutil.copy(photos / "masks" / "train" / path.name, out / f"{path.stem}_gt.png")
    return out


def _dataset_file(photos: Path, out: Path) -> Path:
    out.mkdir()
    shutil.copytree(photos / "images", out / "day1")
    shutil.copytree(photos / "masks", out / "drawn")
    splits = [f'[splits.{split}]\nimages = "day1/{split}"\nmasks = "drawn/{split}"\n' for split in ("train", "val")]
    file = out / "streets.toml"
    file.write_text('classes = ["background", "road", "vehicle", "pedestrian"]\n' + "\n".join(splits))
    return file


LAYOUTS: dict[str, Callable[[Path, Path], Path]] = {
    "images and masks, then splits": lambda photos, out: photos,
    "splits, then images and masks": _by_split,
    "no splits": _without_splits,
    "annot": _annot,
    "side by side": _side_by_side,
    "dataset file": _dataset_file,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_train_starts_from(intarsia, photos, tmp_path, layout):
    data = LAYOUTS[layout](photos, tmp_path / "data")
    code, out, err = intarsia("train", data, "--out", tmp_path / "run", "--steps", "1", *SMALL)
    assert code == 0, err
    assert "mIoU" in out
    code, out, err = intarsia("evaluate", tmp_path / "run", data)
    assert code == 0, err

"""The scene parsing benchmark of ADE20K (ADEChallengeData2016): 150 classes.

    images/{training,validation}/ADE_train_00000001.jpg
    annotations/{training,validation}/ADE_train_00000001.png     1 to 150 are classes, 0 is ignored

The folder may lie in another. The full ADE20K, whose masks end in _seg, is another dataset.
"""

import re
from dataclasses import replace
from pathlib import Path

from intarsia.data.formats.folders import open_folders
from intarsia.data.pairing import files_in, folders_in
from intarsia.data.pairs import Dataset
from intarsia.data.palettes import ADE20K_NAMES
from intarsia.data.read import IMAGE_SUFFIXES
from intarsia.errors import DataError
from intarsia.labels import Labels

_NAME = re.compile(r"ADE_(train|val)_\d{8}")
_INSIDE = "ADEChallengeData2016"


def recognise(path: Path) -> bool:
    """`images` and `annotations` of the two splits, in which all pictures have ADE20K's names."""
    root = _root(path)
    images = root / "images"
    if not all({"training", "validation"} <= set(folders_in(folder)) for folder in (images, root / "annotations")):
        return False
    names = [
        Path(name).stem for split in ("training", "validation") for name in files_in(images / split, IMAGE_SUFFIXES)
    ]
    return bool(names) and all(_NAME.fullmatch(name) for name in names)


def open_ade20k(path: Path) -> Dataset:
    """Plain folders, with the benchmark's classes.

    Raises:
        DataError: no such folders, or no pairs.
    """
    root = _root(path)
    if "annotations" not in folders_in(root):
        raise DataError(f"{path}: expected images/ and annotations/, each with training/ and validation/.")
    labels = Labels.of_values(range(1, len(ADE20K_NAMES) + 1), ignore=(0,), names=ADE20K_NAMES)
    return replace(open_folders(root), root=path, labels=labels, names=(), known_colors={})


def _root(path: Path) -> Path:
    return path / _INSIDE if _INSIDE in folders_in(path) else path

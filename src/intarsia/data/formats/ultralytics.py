"""Datasets of Ultralytics YOLO: a YAML file that names splits and classes.

    path: fields                # the folder that splits are relative to; left out: the YAML file's own
    train: images/train         # a folder, several folders, or a .txt that lists pictures
    val: images/val
    names: {0: crop, 1: weed}
    masks_dir: masks            # the folder that stands for `images` in the path of a mask
    label_mapping: {7: 0, 255: ignore_label}    # stored value: class

Without `masks_dir`, a text file of polygons belongs to each picture (`labels` for `images` in its path), with a line
`class x1 y1 x2 y2 ...` for each, in shares of width and height. Smaller polygons lie on top. What lies in none is the
class `background`, which is put before the others unless the names hold it. A text file without lines says that
there is nothing; a picture without a text file has not been looked at, and is left out.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intarsia.data.foreign import MOST_YAML_BYTES, read_text, read_yaml
from intarsia.data.pairing import Pairing, by_name, files_in, list_files, match, short_names
from intarsia.data.pairs import SPLITS, Dataset, Pair, Stray
from intarsia.data.read import IMAGE_SUFFIXES, MASK_SUFFIXES
from intarsia.data.shapes import Polygon
from intarsia.data.sources import Shapes
from intarsia.errors import DataError, listing
from intarsia.labels import IGNORE, Labels, distinct_colors

_SUFFIXES = frozenset({".yaml", ".yml"})
_NAMES_KEY = re.compile(r"^names\s*:", re.MULTILINE)
_SPLIT_KEY = re.compile(r"^(train|val)\s*:", re.MULTILINE)
_IGNORED = ("ignore_label", -1, IGNORE, None)  # classes in `label_mapping` that count for nothing
_BACKGROUND = "background"
_BOX = 5  # numbers in a line that is a bounding box
_NO_LABELS = frozenset({"classes.txt", "notes.txt"})  # what annotation tools leave beside label files


def recognise(path: Path) -> bool:
    """A YAML file, or a folder with one that has names and splits."""
    if path.suffix.lower() in _SUFFIXES:
        return path.is_file()
    return len(_dataset_files(path)) == 1


def open_ultralytics(path: Path) -> Dataset:
    """Pairs what a dataset YAML names.

    Raises:
        DataError: it is no such file, names what does not exist, or holds bounding boxes.
    """
    file = path if path.suffix.lower() in _SUFFIXES else _dataset_files(path)[0]
    settings = read_yaml(file)
    names = _class_names(file, settings)
    masks_dir = settings.get("masks_dir")
    labels = _mask_labels(file, settings, names) if masks_dir else _polygon_labels(names)
    splits: dict[str, tuple[Pair, ...]] = {}
    strays: list[Stray] = []
    for split in SPLITS:
        found = Pairing()
        folders = _folders(file, settings, split)
        for images, partners in folders:
            _pair(...)
    return Dataset(path, splits, labels, strays=tuple(strays))

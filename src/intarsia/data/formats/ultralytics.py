"""Datasets of Ultralytics YOLO: a YAML file that names splits and classes.

    path: fields                # the folder that splits are relative to; left out: the YAML file's own
    train: images/train         # a folder, several folders, or a .txt that lists pictures
    val: images/val
    names: {0: crop, 1: weed}
    masks_dir: masks            # stands for `images` in the path of a mask
    label_mapping: {7: 0, 8: 1, 0: ignore_label}    # stored value: class

Without `masks_dir`, a text file of polygons belongs to each picture, with `labels` for `images` in its path: a line
`class x1 y1 x2 y2 ...` for each, in shares of width and height. Smaller polygons lie on top. What lies in none is
the class `background`, which comes first. A text file without lines says that there is
nothing to see; a picture without a text file has no partner.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intarsia.data.annotations import class_table
from intarsia.data.foreign import MOST_YAML_BYTES, read_text, read_yaml
from intarsia.data.pairing import Pairing, by_name, files_in, list_files, match, short_names
from intarsia.data.pairs import SPLITS, Dataset, Pair
from intarsia.data.read import IMAGE_SUFFIXES, MASK_SUFFIXES
from intarsia.data.shapes import Polygon, area, ring
from intarsia.data.sources import Shapes, path_of
from intarsia.errors import DataError, listing
from intarsia.labels import IGNORE, Labels, distinct_colors

_SUFFIXES = frozenset({".yaml", ".yml"})
_NAMES_KEY = re.compile(r"^names\s*:", re.MULTILINE)
_SPLIT_KEY = re.compile(r"^(train|val)\s*:", re.MULTILINE)
_IGNORED = ("ignore_label", -1, IGNORE, None)  # classes in `label_mapping` that count for nothing
_BOX = 5  # numbers in the line of a bounding box
_FEWEST_NUMBERS = 7  # in the line of a polygon: a class and three points
_OUTSIDE = 0.01  # how far beyond the picture's edge rounding may put a point
_LEFT_BY_TOOLS = frozenset({"classes.txt", "notes.txt"})  # beside label files


def recognise(path: Path) -> bool:
    """A YAML file, or a folder with exactly one that has names and splits."""
    if path.suffix.lower() in _SUFFIXES:
        return path.is_file()
    return len(_dataset_files(path)) == 1


def _dataset_files(folder: Path) -> list[Path]:
    return [folder / name for name in files_in(folder, _SUFFIXES) if _names_a_dataset(folder / name)]


def _only_dataset_file(folder: Path) -> Path:
    files = _dataset_files(folder)
    if len(files) != 1:
        number = len(files) or "no"
        raise DataError(
            f"{folder}: holds {number} YAML files with `names` and `train` or `val`: give the one to open."
        )
    return files[0]


def _names_a_dataset(file: Path) -> bool:
    try:
        text = read_text(file, MOST_YAML_BYTES)
    except DataError:
        return False
    return bool(_NAMES_KEY.search(text) and _SPLIT_KEY.search(text))


def open_ultralytics(path: Path) -> Dataset:
    """Pairs what a dataset YAML names.

    Raises:
        DataError: it is no such file, names what does not exist, or its labels are bounding boxes.
    """
    file = path if path.suffix.lower() in _SUFFIXES else _only_dataset_file(path)
    settings = read_yaml(file)
    names = _class_names(file, settings)
    masks_dir = str(settings.get("masks_dir") or "")
    partner = _Partner(masks_dir, MASK_SUFFIXES) if masks_dir else _Partner("labels", frozenset({".txt"}))
    result = Pairing()
    images = {split: _images(file, settings, split, result) for split in SPLITS}
    splits = {split: pairs for split, of in images.items() if (pairs := _paired(of, partner, result))}
    result.stray("unpaired", partner.without_picture(chain.from_iterable(images.values())))
    if not splits:
        raise DataError(f"{file}: no picture of train, val or test has a partner in a folder {partner.word!r}.")
    if masks_dir:
        try:
            labels = _mask_labels(settings, names)
        except DataError as error:
            raise DataError(f"{file}: {error}") from None
    else:
        _refuse_boxes(chain.from_iterable(splits.values()))
        labels, value_of = class_table(names.values())
        values = {key: value_of[name] for key, name in names.items()}
        splits = {split: tuple(_with_polygons(pair, values) for pair in pairs) for split, pairs in splits.items()}
    return Dataset(path, splits, labels, strays=tuple(result.strays))


def _class_names(file: Path, settings: Mapping[Any, Any]) -> dict[int, str]:
    """{class: its name}, in ascending order."""
    told = settings.get("names")
    names = dict(enumerate(told)) if isinstance(told, list) else told
    if not isinstance(names, dict) or not names:
        raise DataError(f"{file}: names = {told!r}: expected the class names, as a list or as `0: name` lines.")
    if wrong := [key for key in names if not _is_class(key)]:
        raise DataError(f"{file}: names has the class {wrong[0]!r}: expected whole numbers from 0 on.")
    number = settings.get("nc", len(names))
    if number != len(names):
        raise DataError(f"{file}: nc = {number}, but {len(names)} classes have names.")
    return {key: str(names[key]) for key in sorted(names)}


def _is_class(key: object) -> bool:
    return isinstance(key, int) and key >= 0


# --- pictures ----------------------------------------------------------------------------------------------------


def _images(file: Path, settings: Mapping[Any, Any], split: str, result: Pairing) -> list[Path]:
    """The pictures of a split; what lies beside them becomes strays of `result`."""
    told = settings.get(split)
    images: list[Path] = []
    for entry in told if isinstance(told, list) else [told] if told else []:
        path = _existing(file, settings, split, str(entry))
        if path.is_dir():
            below = list_files(path, IMAGE_SUFFIXES)
            result.strays += below.strays
            images += [path / name for name in below.files]
        else:
            images += _listed(path, result)
    return list(dict.fromkeys(images))


def _existing(file: Path, settings: Mapping[Any, Any], split: str, entry: str) -> Path:
    """The folder or list that an entry of the file means."""
    bases = [file.parent]
    if told := str(settings.get("path") or ""):
        bases = [Path(told)] if Path(told).is_absolute() else [file.parent / told, file.parent]
    written = [entry, entry.removeprefix("../")]  # Roboflow writes ../train/images for train/images
    candidates = [Path(os.path.normpath(base / text)) for text in dict.fromkeys(written) for base in bases]
    if found := next((path for path in candidates if path.exists()), None):
        return found
    raise DataError(
        f"{file}: {split} = {entry}: does not exist. Looked for {listing(candidates)}. Correct it, or `path`."
    )


def _listed(path: Path, result: Pairing) -> Iterator[Path]:
    """The pictures that a text file lists, relative to its own folder."""
    if path.suffix.lower() != ".txt":
        raise DataError(f"{path}: expected a folder of pictures, or a .txt file that lists them.")
    lines = [line.strip() for line in read_text(path).splitlines()]
    images = [Path(os.path.normpath(path.parent / line)) for line in lines if line]
    if absent := [image for image in images if not image.is_file()]:
        result.stray("missing-image", [path], f"names in a list without a picture ({listing(absent)})")
    yield from (image for image in images if image.is_file())


# --- their partners ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Partner:
    """What belongs to each picture: a file of its name in the folder with another word for `images` in its path.

    Attributes:
        word: instead of `images`.
        suffixes: of such files.
    """

    word: str
    suffixes: frozenset[str]

    def folder_of(self, images: Path) -> Path:
        """`a/images/train` -> `a/masks/train`; label files may lie beside the pictures."""
        parts = list(images.parts)
        places = [place for place, part in enumerate(parts) if part == "images"]
        if places:
            return Path(*parts[: places[-1]], self.word, *parts[places[-1] + 1 :])
        if self.suffixes is MASK_SUFFIXES:
            raise DataError(f"{images}: has no part `images` that masks_dir = {self.word} could stand for.")
        return images

    def files_in(self, folder: Path) -> list[str]:
        """Names of the files in a folder that may be partners."""
        return [name for name in files_in(folder, self.suffixes) if name not in _LEFT_BY_TOOLS]

    def without_picture(self, images: Iterable[Path]) -> Iterator[Path]:
        """Files in the folders of the partners that belong to none of the pictures."""
        wanted: dict[Path, set[str]] = {}
        for image in images:
            wanted.setdefault(self.folder_of(image.parent), set()).add(image.stem)
        for folder, names in wanted.items():
            yield from (folder / name for name in self.files_in(folder) if Path(name).stem not in names)


def _paired(images: Sequence[Path], partner: _Partner, result: Pairing) -> tuple[Pair, ...]:
    """Pairs the pictures of a split; those that have no partner, or two, become strays of `result`."""
    found = Pairing()
    for folder in dict.fromkeys(image.parent for image in images):
        beside = partner.folder_of(folder)
        image_of = by_name(image.name for image in images if image.parent == folder)
        file_of = by_name(partner.files_in(beside))
        match(folder, image_of, beside, {name: file_of.get(name, []) for name in image_of}, found)
    result.strays += found.strays
    names = short_names([pair.image for pair in found.pairs])
    pairs = [replace(pair, name=name) for pair, name in zip(found.pairs, names, strict=True)]
    return tuple(sorted(pairs, key=lambda pair: pair.name))


# --- what masks and polygons mean --------------------------------------------------------------------------------


def _mask_labels(settings: Mapping[Any, Any], names: Mapping[int, str]) -> Labels:
    """Masks hold the class, or what `label_mapping` says of it."""
    mapping = settings.get("label_mapping") or {key: key for key in names}
    if not isinstance(mapping, dict) or not all(isinstance(stored, int) for stored in mapping):
        raise DataError("label_mapping: expected `stored value: class` lines.")
    if wrong := [target for target in mapping.values() if target not in names and target not in _IGNORED]:
        raise DataError(
            f"label_mapping: {wrong[0]!r} is no class of names; what counts for nothing is ignore_label."
        )
    in_masks = {stored: target for stored, target in mapping.items() if stored >= 0}
    values = [tuple(stored for stored, target in in_masks.items() if target == key) for key in names]
    if empty := [name for name, own in zip(names.values(), values, strict=True) if not own]:
        raise DataError(f"label_mapping: no stored value means {empty[0]!r}.")
    ignored = [stored for stored, target in in_masks.items() if target not in names]
    if IGNORE not in in_masks:
        ignored.append(IGNORE)
    return Labels(tuple(names.values()), distinct_colors(len(names)), tuple(values), tuple(ignored))


@dataclass(frozen=True, slots=True)
class LabelFile:
    """The polygons of a label file, read when they are drawn: the largest first.

    Attributes:
        path: the file.
        values: {class: the stored value to be drawn}.
    """

    path: Path
    values: Mapping[int, int]

    def __call__(self, canvas: NDArray[np.uint16]) -> None:
        """Draws them.

        Raises:
            DataError: a line is no polygon, or of an unknown class.
        """
        size = np.array(canvas.shape[::-1], dtype=np.float64)
        for key, points in sorted(_polygons(self.path), key=lambda polygon: -area(polygon[1])):
            if key not in self.values:
                raise DataError(f"class {key}: the names end at {max(self.values)}.")
            Polygon(self.values[key], (points * size,))(canvas)


def _polygons(path: Path) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """(class, [N, 2] points in shares of width and height) of each line."""
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        cells = line.split()
        if not cells:
            continue
        place = f"line {number}"
        if len(cells) == _BOX:
            raise DataError(f"{place}: a bounding box: that is detection. Segmentation needs polygons or masks.")
        if len(cells) < _FEWEST_NUMBERS or len(cells) % 2 == 0 or not cells[0].isdecimal():
            raise DataError(f"{place}: {line[:60]!r}: expected a class and three or more points x y.")
        try:
            points = ring([float(cell) for cell in cells[1:]])
        except (DataError, ValueError):
            raise DataError(f"{place}: {line[:60]!r}: expected numbers.") from None
        if points.min() < -_OUTSIDE or points.max() > 1 + _OUTSIDE:
            raise DataError(
                f"{place}: coordinates {points.min():g}..{points.max():g}: expected shares from 0 to 1."
            )
        yield int(cells[0]), points


def _with_polygons(pair: Pair, values: Mapping[int, int]) -> Pair:
    path = path_of(pair.mask)
    return replace(pair, mask=Shapes(path, (LabelFile(path, values),)))


def _refuse_boxes(pairs: Iterable[Pair]) -> None:
    """Looks at the first label file that holds something: the others are read when they are drawn."""
    for pair in pairs:
        path = path_of(pair.mask)
        try:
            if any(True for _ in _polygons(path)):
                return
        except DataError as error:
            raise DataError(f"{path}: {error}") from None

"""labelme: a JSON file of shapes for each image, beside it or in a folder of its own.

    a.jpg + a.json
    images/a.jpg + labels/a.json      (any other name for `labels`)
    train/, val/, test/               above or below these folders

Shapes are drawn in their order, later ones on top: polygons, rectangles, circles and masks. Lines and points
enclose nothing and are left out. The classes are those of labels.txt, or else all labels, sorted; what lies in no
shape is the class `background` (labelme's `_background_`). What is labelled `__ignore__` counts for nothing.
"""

import base64
import posixpath
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from intarsia.data.annotations import Entry, Name, bad_shapes, checked, class_table, start_of
from intarsia.data.classlists import ClassList, find_class_list
from intarsia.data.foreign import read_json
from intarsia.data.formats.folders import IMAGE_FOLDERS, split_of
from intarsia.data.pairing import Pairing, by_name, files_in, folders_in, list_files
from intarsia.data.pairs import Dataset, Pair
from intarsia.data.read import IMAGE_SUFFIXES
from intarsia.data.shapes import Bitmap, Polygon, ellipse, rectangle, ring
from intarsia.data.sources import Draw, Shapes
from intarsia.errors import DataError, did_you_mean

_PARTS = re.compile(r'"(shapes"\s*:\s*\[|imagePath"\s*:|imageData"\s*:)')
_MOST_FOLDERS = 30  # that are looked into to recognise the format
_MOST_FILES = 3
_IGNORED = "__ignore__"  # the label of what counts for nothing


class _Shape(Entry):
    label: Name
    points: Any = None
    shape_type: str | None = None
    mask: Any = None


class _File(Entry):
    shapes: list[_Shape]
    imagePath: str | None = None
    imageHeight: Any = None
    imageWidth: Any = None

    @property
    def size(self) -> tuple[int, int] | None:
        size = (self.imageHeight, self.imageWidth)
        return size if all(type(side) is int and side > 0 for side in size) else None


def recognise(path: Path) -> bool:
    """A folder with such a JSON file in it, or in one of the first few folders below."""
    return any(
        _PARTS.search(start_of(folder / name))
        for folder in _folders(path)
        for name in files_in(folder, {".json"})[:_MOST_FILES]
    )


def _folders(root: Path) -> Iterator[Path]:
    """The folder and those below it, the nearest first."""
    waiting = deque([root])
    for _ in range(_MOST_FOLDERS):
        if waiting:
            folder = waiting.popleft()
            yield folder
            waiting.extend(folder / name for name in folders_in(folder))


def open_labelme(path: Path) -> Dataset:
    """Pairs images with the shapes in their JSON files.

    Raises:
        DataError: a file is not of this format, has a label that labels.txt has not, or no picture is there.
    """
    result = Pairing()
    files = _read(path, result)
    if not files:
        raise DataError(f"{path}: holds no JSON file of labelme, with `shapes`.")
    class_list = find_class_list(path)
    labels, values = class_table(_class_names(path, files, class_list), class_list.colors if class_list else {})
    image_of = _images(path, files, result)
    unusable: list[tuple[Path, str]] = []
    splits: dict[str, list[Pair]] = {}
    for file, (split, name) in _names(image_of).items():
        draws = tuple(_draws(path / file, files[file].shapes, values, unusable))
        mask = Shapes(path / file, draws, files[file].size)
        splits.setdefault(split, []).append(Pair(name, path / image_of[file], mask))
    bad_shapes(unusable, result)
    in_order = {split: tuple(sorted(pairs, key=lambda pair: pair.name)) for split, pairs in splits.items()}
    return Dataset(path, in_order, labels, strays=tuple(result.strays))


def _read(root: Path, result: Pairing) -> dict[str, _File]:
    """{path below `root`: what it holds} of all JSON files with shapes."""
    files: dict[str, _File] = {}
    others: list[Path] = []
    for file in list_files(root, {".json"}).files:
        content = read_json(root / file)
        if isinstance(content, dict) and "shapes" in content:
            files[file] = checked(_File, content, root / file)
        else:
            others.append(root / file)
    result.stray("unpaired", others, "JSON files without shapes")
    return files


def _class_names(root: Path, files: Mapping[str, _File], class_list: ClassList | None) -> list[str]:
    used = {shape.label: file for file, content in files.items() for shape in content.shapes}
    if class_list is None:
        return sorted(used)
    unknown = sorted(used.keys() - {*class_list.names, _IGNORED})
    if unknown:
        raise DataError(
            f"{root / used[unknown[0]]}: label {unknown[0]!r} is not in {class_list.path.name}. "
            f"{did_you_mean(unknown[0], class_list.names)} Rename it, or add it there."
        )
    return [*class_list.names, _IGNORED]


# --- images ------------------------------------------------------------------------------------------------------


def _images(root: Path, files: Mapping[str, _File], result: Pairing) -> dict[str, str]:
    """{JSON file: its image}, paths below `root`; what has no partner, or too many, becomes strays of `result`."""
    images = list_files(root, IMAGE_SUFFIXES)
    result.strays += images.strays
    known, same_name = set(images.files), by_name(images.files)
    missing: list[str] = []
    ambiguous: set[str] = set()
    files_of: dict[str, list[str]] = {}
    for file, content in files.items():
        told = next((image for image in _told(file, content.imagePath) if image in known), "")
        candidates = [told] if told else next((same_name[name] for name in _same(file) if name in same_name), [])
        if len(candidates) > 1:
            ambiguous.update(candidates)
            result.stray("ambiguous", [root / image for image in candidates], "two images of one name")
        elif candidates:
            files_of.setdefault(candidates[0], []).append(file)
        else:
            missing.append(file)
    if missing and not files_of:
        told = files[missing[0]].imagePath or ""
        raise DataError(
            f"{root / missing[0]}: its picture {told!r} is not there, nor is that of any other JSON file."
        )
    result.stray("missing-image", [root / file for file in missing], "annotation files whose picture is not there")
    for image, twice in files_of.items():
        if len(twice) > 1:
            result.stray("ambiguous", [root / file for file in twice], f"two annotation files of {root / image}")
    alone = sorted(known - files_of.keys() - ambiguous)
    result.stray("unpaired", [root / image for image in alone], "pictures without an annotation file")
    return {file: image for image, (file, *more) in files_of.items() if not more}


def _told(file: str, image: str | None) -> Iterator[str]:
    """Where the image of a JSON file should be, as the file says it; of a foreign path only the name counts."""
    folder, told = posixpath.dirname(file), (image or "").replace("\\", "/")
    yield posixpath.normpath(posixpath.join(folder, told))
    yield posixpath.join(folder, posixpath.basename(told))


def _same(file: str) -> Iterator[str]:
    """The names without suffix that its image may have: beside it, or in a folder of images in place of another."""
    path = PurePosixPath(file).with_suffix("")
    yield str(path)
    for place in range(len(path.parts) - 1):
        for name in IMAGE_FOLDERS:
            yield str(PurePosixPath(*path.parts[:place], name, *path.parts[place + 1 :]))


def _names(image_of: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """{JSON file: (its split, its name)}: the folders that it shares with its image, below that of the split."""
    found: dict[str, tuple[str, str]] = {}
    for file, image in image_of.items():
        *folders, stem = PurePosixPath(file).with_suffix("").parts
        image_folders = PurePosixPath(image).parts[:-1]
        split_folder = next((name for name in (*folders, *image_folders) if split_of(name)), "")
        shared = [name for name in folders if name in image_folders]
        below = shared[shared.index(split_folder) + 1 :] if split_folder in shared else shared
        found[file] = (split_of(split_folder) or "train", "/".join([*below, stem]))
    if len(set(found.values())) < len(found):
        return {file: (split, file[: -len(".json")]) for file, (split, _) in found.items()}
    return found


# --- shapes ------------------------------------------------------------------------------------------------------


def _draws(
    file: Path, shapes: Sequence[_Shape], values: Mapping[str, int], unusable: list[tuple[Path, str]]
) -> Iterator[Draw]:
    for number, shape in enumerate(shapes):
        try:
            yield _draw(shape, values[shape.label])
        except DataError:
            unusable.append((file, f"shapes.{number} of {file.name} ({shape.shape_type or 'polygon'})"))


def _draw(shape: _Shape, value: int) -> Draw:
    points = ring(shape.points)
    match shape.shape_type, len(points):
        case "mask", 1 | 2:
            left, top = points[0].round().astype(int).tolist()
            return Bitmap(value, _decoded(shape.mask), (top, left))
        case "rectangle", 2:
            return Polygon(value, (rectangle(points),))
        case "circle", 2:
            radius = np.hypot(*(points[1] - points[0]))
            return Polygon(value, (ellipse(points[0], np.array([radius, radius])),))
        case None | "polygon" | "rectangle" | "oriented_rectangle" | "rotation", number if number >= 3:
            return Polygon(value, (points,))
    raise DataError("a shape that encloses nothing.")


def _decoded(png: Any) -> bytes:  # noqa: ANN401 - from JSON
    try:
        return base64.b64decode(png, validate=True)
    except (TypeError, ValueError):
        raise DataError("a mask that is no base64.") from None

"""Supervisely: meta.json with the classes, and folders of datasets, each with images and a JSON file for each.

    meta.json
    DATASET/img/NAME.jpg + DATASET/ann/NAME.jpg.json        (datasets may lie in one another)

Datasets called train, val and test are splits, and then others are left out; without any, all are `train`. Objects
are drawn in their order, later ones on top: polygons, rectangles and bitmaps. Lines, points and graphs enclose
nothing and are left out. Coordinates are those of pixels: what lies on the border of a shape belongs to it.
"""

import base64
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from intarsia.data.annotations import (
    AnnotatedImage,
    Entry,
    Name,
    bad_shapes,
    checked,
    class_table,
    color_of,
    pair_splits,
    start_of,
)
from intarsia.data.foreign import read_json
from intarsia.data.formats.folders import split_of
from intarsia.data.pairing import Pairing, files_in, folders_in, list_files
from intarsia.data.pairs import Dataset
from intarsia.data.read import IMAGE_SUFFIXES
from intarsia.data.shapes import Bitmap, paste, rectangle, ring
from intarsia.data.sources import Draw, Shapes
from intarsia.errors import DataError, did_you_mean

_META = "meta.json"
_IMAGES, _ANNOTATIONS = "img", "ann"
_CLASSES = re.compile(r'"classes"\s*:\s*\[')
_MOST_BYTES = 1 << 28  # of an unpacked bitmap


class _Class(Entry):
    title: Name
    color: Any = None


class _Meta(Entry):
    classes: list[_Class]


class _Size(Entry):
    height: PositiveInt
    width: PositiveInt


class _Object(Entry):
    classTitle: Name
    geometryType: str = ""
    points: Any = None
    bitmap: Any = None


class _File(Entry):
    size: _Size
    objects: list[_Object]


def recognise(path: Path) -> bool:
    """A folder with a meta.json of classes, and with folders of annotations."""
    if not _CLASSES.search(start_of(path / _META)):
        return False
    return any(_ANNOTATIONS in folders_in(path / name) for name in ("", *folders_in(path)))


def open_supervisely(path: Path) -> Dataset:
    """Pairs the images of a project with their objects.

    Raises:
        DataError: a file is not of this format, or has an object of a class that meta.json has not; no image is
            there.
    """
    meta = checked(_Meta, read_json(path / _META), path / _META)
    colors = {one.title: color for one in meta.classes if (color := color_of(one.color))}
    labels, values = class_table([one.title for one in meta.classes], colors)
    result = Pairing()
    unusable: list[tuple[Path, str]] = []
    images: dict[str, list[AnnotatedImage]] = {}
    for file in _annotation_files(path):
        content = checked(_File, read_json(path / file), path / file)
        _refuse_unknown(path / file, content, values)
        draws = tuple(_draws(path / file, content.objects, values, unusable))
        mask = Shapes(path / file, draws, (content.size.height, content.size.width))
        split, name = _split_and_name(file)
        images.setdefault(split, []).append(AnnotatedImage(name, path / _image(path, file), mask))
    bad_shapes(unusable, result)
    splits = pair_splits(path, images, result)
    return Dataset(path, splits, labels, strays=tuple(result.strays))


def _annotation_files(root: Path) -> list[PurePosixPath]:
    files = map(PurePosixPath, list_files(root, {".json"}).files)
    return [file for file in files if file.parent.name == _ANNOTATIONS]


def _split_and_name(file: PurePosixPath) -> tuple[str, str]:
    """The split of an annotation file's dataset, and the name of its image, with the datasets below the split."""
    datasets = [name for name in file.parts[:-2] if name != "datasets"]
    place = next((place for place, name in enumerate(datasets) if split_of(name)), -1)
    split = split_of(datasets[place]) if place >= 0 else ""
    return split, "/".join([*datasets[place + 1 :], file.stem])


def _image(root: Path, file: PurePosixPath) -> PurePosixPath:
    """The image of ann/a.jpg.json is img/a.jpg; that of ann/a.json has any suffix."""
    folder = file.parent.parent / _IMAGES
    if PurePosixPath(file.stem).suffix.lower() in IMAGE_SUFFIXES:
        return folder / file.stem
    same = (name for name in files_in(root / folder, IMAGE_SUFFIXES) if PurePosixPath(name).stem == file.stem)
    return folder / next(same, file.stem)


def _refuse_unknown(file: Path, content: _File, values: Mapping[str, int]) -> None:
    for title in (one.classTitle for one in content.objects):
        if title not in values:
            raise DataError(
                f"{file}: has an object of class {title!r}, which meta.json does not have. "
                f"{did_you_mean(title, values)}"
            )


# --- shapes ------------------------------------------------------------------------------------------------------


def _draws(
    file: Path, objects: Sequence[_Object], values: Mapping[str, int], unusable: list[tuple[Path, str]]
) -> Iterator[Draw]:
    for number, one in enumerate(objects):
        kind = one.geometryType or ("bitmap" if one.bitmap else "polygon")
        try:
            yield _draw(kind, one, values[one.classTitle])
        except DataError:
            unusable.append((file, f"objects.{number} of {file.name} ({kind})"))


def _draw(kind: str, one: _Object, value: int) -> Draw:
    if kind == "bitmap" and isinstance(one.bitmap, dict):
        origin = _pixels(one.bitmap.get("origin"))
        if len(origin) == 1:
            left, top = origin[0].tolist()
            return Bitmap(value, _unpacked(one.bitmap.get("data")), (top, left))
    if isinstance(one.points, dict):
        exterior = _pixels(one.points.get("exterior"))
        if kind == "rectangle" and len(exterior) == 2:
            return PixelPolygon(value, rectangle(exterior.astype(np.float64)).astype(np.int32))
        if kind == "polygon" and len(exterior) >= 3:
            interior = one.points.get("interior")
            holes = map(_pixels, interior if isinstance(interior, list) else [])
            return PixelPolygon(value, exterior, tuple(hole for hole in holes if len(hole)))
    raise DataError(f"a {kind} that encloses nothing.")


def _pixels(points: Any) -> NDArray[np.int32]:  # noqa: ANN401 - from JSON
    """[N, 2] the pixels (x, y) in which points lie."""
    return np.floor(ring(points)).astype(np.int32)


def _unpacked(data: Any) -> bytes:  # noqa: ANN401 - from JSON
    try:
        packed = base64.b64decode(data, validate=True)
        return zlib.decompressobj().decompress(packed, _MOST_BYTES)
    except (TypeError, ValueError, zlib.error):
        raise DataError("a bitmap that cannot be unpacked.") from None


@dataclass(frozen=True, slots=True, eq=False)
class PixelPolygon:
    """A polygon whose corners are pixels, which belong to it, as do those on the lines between them.

    Attributes:
        value: the stored value to be drawn.
        exterior: [N, 2] (x, y).
        interior: holes; their borders belong to them.
    """

    value: int
    exterior: NDArray[np.int32]
    interior: tuple[NDArray[np.int32], ...] = ()

    def __call__(self, canvas: NDArray[np.uint16]) -> None:
        """Draws it."""
        height, width = canvas.shape
        points = np.concatenate([self.exterior, *self.interior])
        corner = np.maximum(points.min(axis=0), 0)
        size = np.minimum(points.max(axis=0) + 1, (width, height)) - corner
        if (size <= 0).any():
            return
        inside = np.zeros((size[1], size[0]), dtype=np.uint8)
        cv2.fillPoly(inside, [self.exterior - corner], 1)
        if self.interior:
            cv2.fillPoly(inside, [hole - corner for hole in self.interior], 0)
        paste(canvas, inside == 1, (int(corner[1]), int(corner[0])), self.value)

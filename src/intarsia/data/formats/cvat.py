"""CVAT for images 1.1: one XML file, and the images that it names.

    annotations.xml + images/               (or images beside the file)
    images/train/ + images/val/             where the images have subsets

Polygons, boxes, ellipses and masks are drawn by their `z_order`, then as they stand in the file, later ones on top.
Lines, points, cuboids and skeletons are left out. The classes are the labels that the file declares, in its order
and with its colours; what lies in no shape is the class `background`. Subsets called train, val and test are
splits, and then other subsets are left out; without any, all images are `train`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np

from intarsia.data.annotations import (
    AnnotatedImage,
    bad_shapes,
    below,
    class_table,
    color_of,
    is_file,
    pair_splits,
    start_of,
)
from intarsia.data.foreign import read_text
from intarsia.data.formats.folders import split_of
from intarsia.data.pairing import Pairing
from intarsia.data.pairs import Dataset
from intarsia.data.shapes import Polygon, RunLengths, ellipse, rectangle, ring, run_lengths
from intarsia.data.sources import Draw, Shapes
from intarsia.errors import DataError, did_you_mean
from intarsia.labels import Color

_FILE = "annotations.xml"
_ROOT = re.compile(r"<annotations\s*>")
_AREAS = ("polygon", "box", "ellipse", "mask")
_NO_SHAPES = ("tag", "attribute")
_NO_AREAS = ("tag", "points", "polyline", "cuboid", "skeleton")  # types of labels that cannot fill pixels
_MOST = 1e9  # what any number in a shape may be
_SIDE = re.compile("[1-9][0-9]{0,8}")


def recognise(path: Path) -> bool:
    """Such an XML file, or a folder with its annotations.xml."""
    file = path if path.suffix.lower() == ".xml" else path / _FILE
    return bool(_ROOT.search(start_of(file)))


def open_cvat(path: Path) -> Dataset:
    """Pairs the images of an annotations.xml with their shapes.

    Raises:
        DataError: the file is damaged, of a video, or names labels that it does not declare; no image is there.
    """
    file = path / _FILE if path.is_dir() else path
    root = _parse(file)
    images = root.findall("image")
    if not images and root.find("track") is not None:
        raise DataError(f"{file}: is of a video. Export it as `CVAT for images 1.1`.")
    if not images:
        raise DataError(f"{file}: lists no images.")
    labels, values = class_table(_class_names(file, root, images), _colors(root))
    result = Pairing()
    splits = pair_splits(path, _images(file, images, values, result), result)
    return Dataset(path, splits, labels, strays=tuple(result.strays))


def _parse(file: Path) -> ET.Element:
    """The root of an XML file without a document type: those can define entities that grow without end."""
    text = read_text(file)
    if "<!DOCTYPE" in text:
        raise DataError(f"{file}: has a document type (<!DOCTYPE), which CVAT does not write. Remove it.")
    try:
        root = ET.fromstring(text)
    except ET.ParseError as error:
        line, column = error.position
        reason = str(error).split(":")[0]
        raise DataError(f"{file}: is not valid XML: {reason} (line {line}, column {column + 1}).") from None
    if root.tag != "annotations":
        raise DataError(f"{file}: starts with <{root.tag}>: expected the <annotations> of CVAT for images 1.1.")
    return root


# --- labels ------------------------------------------------------------------------------------------------------


def _class_names(file: Path, root: ET.Element, images: Iterable[ET.Element]) -> list[str]:
    """The declared labels that can fill pixels; where none are declared, those that do, sorted."""
    declared = {label.findtext("name", ""): label.findtext("type", "") for label in _declared(root)}
    used: dict[str, str] = {}
    for image in images:
        for shape in image:
            if shape.tag in _AREAS:
                used.setdefault(shape.get("label", ""), image.get("name", ""))
    if "" in used:
        raise DataError(f"{file}: image {used['']!r}: has a shape without a label.")
    for label in used.keys() - declared.keys() if declared else ():
        raise DataError(
            f"{file}: image {used[label]!r}: has a shape of label {label!r}, which the file does not declare. "
            f"{did_you_mean(label, declared)}"
        )
    return [name for name in declared if name in used or declared[name] not in _NO_AREAS] or sorted(used)


def _colors(root: ET.Element) -> dict[str, Color]:
    written = {label.findtext("name", ""): color_of(label.findtext("color")) for label in _declared(root)}
    return {name: color for name, color in written.items() if color}


def _declared(root: ET.Element) -> Iterator[ET.Element]:
    """The labels of the task or project, without the parts of skeletons."""
    for meta in root.findall("meta"):
        yield from (
            label for label in meta.iter("label") if label.findtext("name") and not label.findtext("parent")
        )


# --- images and shapes -------------------------------------------------------------------------------------------


def _images(
    file: Path, images: Iterable[ET.Element], values: Mapping[str, int], result: Pairing
) -> dict[str, list[AnnotatedImage]]:
    """{split: its images}; the split is empty where the subset is none."""
    found: dict[str, list[AnnotatedImage]] = {}
    unusable: list[tuple[Path, str]] = []
    for image in images:
        mask = Shapes(file, _draws(file, image, values, unusable), _size(file, image))
        split = split_of(image.get("subset", ""))
        found.setdefault(split, []).append(AnnotatedImage(*_picture(file, image), mask))
    bad_shapes(unusable, result)
    return found


def _picture(file: Path, image: ET.Element) -> tuple[str, Path]:
    """Name and file of an image: in a folder of its subset or not, in images/ or beside the XML file."""
    name, subset = image.get("name", ""), image.get("subset", "")
    for folder in (file.parent / "images", file.parent):
        if subset and is_file(path := below(folder, f"{subset}/{name}", file)):
            return (name if split_of(subset) else f"{subset}/{name}"), path
        if is_file(path := below(folder, name, file)):
            return name, path
    return name, below(file.parent / "images", name, file)


def _size(file: Path, image: ET.Element) -> tuple[int, int]:
    written = image.get("height", ""), image.get("width", "")
    if not all(_SIDE.fullmatch(side) for side in written):
        height, width = (side[:20] for side in written)
        raise DataError(
            f"{file}: image {image.get('name')!r}: height={height!r}, width={width!r}: expected whole numbers."
        )
    return int(written[0]), int(written[1])


def _draws(
    file: Path, image: ET.Element, values: Mapping[str, int], unusable: list[tuple[Path, str]]
) -> tuple[Draw, ...]:
    """Its shapes in the order of drawing; those that fill no pixels are noted."""
    found: list[tuple[float, Draw]] = []
    for shape in image:
        if shape.tag in _NO_SHAPES:
            continue
        try:
            found.append((_number(shape, "z_order", "0"), _draw(shape, values)))
        except DataError:
            unusable.append((file, f"a {shape.tag} of {image.get('name')}"))
    return tuple(draw for _, draw in sorted(found, key=lambda each: each[0]))


def _draw(shape: ET.Element, values: Mapping[str, int]) -> Draw:
    """Raises `DataError` where it fills no pixels."""
    value = values.get(shape.get("label", ""), 0)
    if shape.tag == "polygon":
        points = ring([pair.split(",") for pair in shape.get("points", "").split(";")])
        if len(points) >= 3:
            return Polygon(value, (points,))
    if shape.tag == "box":
        corners = ring([_number(shape, key) for key in ("xtl", "ytl", "xbr", "ybr")])
        return Polygon(value, (rectangle(corners, _number(shape, "rotation", "0")),))
    if shape.tag == "ellipse":
        centre, radii = ring([_number(shape, key) for key in ("cx", "cy", "rx", "ry")])
        return Polygon(value, (ellipse(centre, radii, _number(shape, "rotation", "0")),))
    if shape.tag == "mask":
        left, top, width, height = (int(_number(shape, key)) for key in ("left", "top", "width", "height"))
        counts = run_lengths(_whole_numbers(shape.get("rle", "")), (height, width))
        return RunLengths(value, counts, (height, width), (top, left))
    raise DataError(f"a {shape.tag} that fills no pixels.")


def _number(shape: ET.Element, key: str, default: str = "") -> float:
    written = shape.get(key, default)
    try:
        number = float(written)
    except ValueError:
        number = np.nan
    if not abs(number) < _MOST:
        raise DataError(f"{key}={written!r}: expected a number.")
    return number


def _whole_numbers(written: str) -> list[int]:
    try:
        return [int(part) for part in written.split(",")]
    except ValueError:
        raise DataError(f"{written[:40]!r}: expected whole numbers.") from None

"""COCO: a JSON file of images, annotations and categories for each split.

    annotations/instances_train2017.json + train2017/       (val and test likewise)
    train/_annotations.coco.json, beside its images         (Roboflow: train, valid, test)
    annotations.json + images/
    the JSON file itself

The split is the word in the file's name, or its folder's; a lone file without one is `train`. Polygons and run
lengths become pixels as pycocotools makes them, crowds too. Smaller objects lie on top of larger ones. What lies in
none is the class `background`; images without annotations are all background. Every category that the files declare
is a class, in the files' order; a category that only heads others (Roboflow's first) is none.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as cocomask
from pydantic import PositiveInt

from intarsia.data.annotations import (
    AnnotatedImage,
    Entry,
    Id,
    Name,
    bad_shapes,
    below,
    checked,
    class_table,
    is_file,
    pair_splits,
    start_of,
)
from intarsia.data.foreign import read_json
from intarsia.data.formats.folders import IMAGE_FOLDERS, SPLIT_FOLDERS, split_of, split_of_file
from intarsia.data.pairing import Pairing, files_in, folders_in
from intarsia.data.pairs import Dataset
from intarsia.data.shapes import RunLengths, area, ring, run_lengths
from intarsia.data.sources import Draw, Shapes
from intarsia.errors import DataError, listing

_ANNOTATION_FOLDERS = ("annotations", "annotation")
_OTHER_TASKS = ("captions_", "image_info_", "panoptic_", "person_keypoints_")
_PARTS = re.compile(r'"(images|annotations|categories)"\s*:\s*\[')
_MOST_FILES = 20  # JSON files in a folder; where there are more, each belongs to one image
_LOOKED_UP = 100  # images that tell which folder holds them
_LONGEST_BORDER = 1e7  # pixels around a polygon; pycocotools takes memory by it


class _Image(Entry):
    id: Id
    file_name: Name
    height: PositiveInt
    width: PositiveInt


class _Annotation(Entry):
    id: Any = None
    image_id: Id
    category_id: Id
    segmentation: Any = None


class _Category(Entry):
    id: Id
    name: Name
    supercategory: Any = None


class _File(Entry):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


def recognise(path: Path) -> bool:
    """A JSON file of images, annotations or categories, or a folder that has one where it is looked for."""
    return _is_coco(path) if path.suffix.lower() == ".json" else bool(_find_files(path))


def _is_coco(file: Path) -> bool:
    return bool(_PARTS.search(start_of(file)))


def _find_files(root: Path) -> list[Path]:
    """The JSON files of the first place that has any.

    With those that are named as the file of a split which has no other: what is wrong with them is said as they are
    read.
    """
    splits = [root / name for name in folders_in(root) if split_of(name)]
    for folders in ([root / name for name in _ANNOTATION_FOLDERS], splits, [root]):
        files = [file for folder in folders for file in _json_files(folder)]
        if found := [file for file in files if _is_coco(file)]:
            there = {split_of_file(file, root) for file in found}
            return found + [
                file for file in files if _is_named_as_coco(file) and split_of_file(file, root) not in there
            ]
    return []


def _json_files(folder: Path) -> list[Path]:
    """Those that may be of this format by their names."""
    names = [name for name in files_in(folder, {".json"}) if not name.startswith(_OTHER_TASKS)]
    instances = [name for name in names if name.startswith("instances")]
    return [folder / name for name in instances or names] if len(instances or names) <= _MOST_FILES else []


def _is_named_as_coco(file: Path) -> bool:
    by_split = bool(split_of_file(file, file.parent))
    return by_split or file.name.startswith("instances") or file.name == "_annotations.coco.json"


def open_coco(path: Path) -> Dataset:
    """Pairs the images of COCO files with their annotations.

    Raises:
        DataError: a file is not of this format, or contradicts itself; two files for one split; no image is there,
            or no annotation has a segmentation.
    """
    files, others = _by_split(path)
    contents = {split: checked(_File, read_json(file), file) for split, file in files.items()}
    labels, values = class_table(_class_names(list(contents.values())))
    result = Pairing()
    images = {split: _images(files[split], split, content, values, result) for split, content in contents.items()}
    annotations = sum(len(content.annotations) for content in contents.values())
    if annotations and not any(image.mask.shapes for own in images.values() for image in own):
        raise DataError(
            f"{path}: none of its {annotations} annotations has a usable segmentation. Bounding boxes alone do not "
            "say which pixels belong to an object: export the dataset with polygons or masks."
        )
    result.stray("unpaired", others, "annotation files of no split, beside those of splits")
    splits = pair_splits(path, images, result)
    return Dataset(path, splits, labels, strays=tuple(result.strays))


def _by_split(path: Path) -> tuple[dict[str, Path], list[Path]]:
    """{split: its file}, and files beside them that name no split."""
    files = [path] if path.is_file() else _find_files(path)
    if not files:
        raise DataError(f"{path}: holds no JSON file of images, annotations and categories.")
    by_split: dict[str, list[Path]] = {}
    for file in files:
        by_split.setdefault(split_of_file(file, path), []).append(file)
    others = by_split.pop("", []) if len(by_split) > 1 else []
    for split, (file, *more) in by_split.items():
        if more:
            raise DataError(
                f"{path}: has two annotation files for {split or 'no split'}: {file} and {more[0]}. Remove one, or "
                "name each after its split (train, val, test)."
            )
    return {split or "train": file for split, (file, *_) in by_split.items()}, others


def _class_names(contents: Sequence[_File]) -> list[str]:
    """The categories of all files, without those that only head others."""
    used = {
        category.name
        for content in contents
        for used_ids in [{annotation.category_id for annotation in content.annotations}]
        for category in content.categories
        if category.id in used_ids
    }
    categories = [category for content in contents for category in content.categories]
    heads = [category.supercategory for category in categories if category.supercategory != category.name]
    return [category.name for category in categories if category.name in used or category.name not in heads]


def _images(
    file: Path, split: str, content: _File, values: Mapping[str, int], result: Pairing
) -> list[AnnotatedImage]:
    """The images of a file; what is wrong with its annotations becomes strays of `result`."""
    folder = _image_folder(file, split, content.images)
    draws = _draws(file, content, values, result)
    images = []
    for image in content.images:
        path = below(folder, image.file_name, file)
        mask = Shapes(file, draws.get(image.id, ()), (image.height, image.width))
        images.append(AnnotatedImage(path.relative_to(folder).as_posix(), path, mask))
    return images


def _image_folder(file: Path, split: str, images: Sequence[_Image]) -> Path:
    """The folder in which most of the images are."""
    folders = [folder for folder in dict.fromkeys(_places(file, split)) if folder.is_dir()]
    for looked_up in (images[:: len(images) // _LOOKED_UP + 1], images):
        found = {
            folder: sum(is_file(below(folder, image.file_name, file)) for image in looked_up) for folder in folders
        }
        best = max(folders, key=lambda folder: found[folder])
        if found[best]:
            return best
    if not images:
        raise DataError(f"{file}: lists no images.")
    raise DataError(
        f"{file}: none of its {len(images)} images is there, for example {images[0].file_name!r}. Looked in "
        f"{listing(folders)}."
    )


def _places(file: Path, split: str) -> Iterator[Path]:
    """Folders that may hold the images, the likeliest first."""
    bases = [file.parent, *([file.parent.parent] if file.parent.name.lower() in _ANNOTATION_FOLDERS else [])]
    own = [word for word in re.split("[^A-Za-z0-9]+", file.stem) if word]
    for base in bases:
        for folder in (base, *(base / name for name in IMAGE_FOLDERS)):
            yield from (folder / word for word in (*own, *SPLIT_FOLDERS[split]))
    for base in bases:
        yield from (base / name for name in IMAGE_FOLDERS)
        yield base


# --- shapes ------------------------------------------------------------------------------------------------------


def _draws(file: Path, content: _File, values: Mapping[str, int], result: Pairing) -> dict[Id, tuple[Draw, ...]]:
    """{image: its shapes, the largest first}; annotations without any become strays of `result`."""
    sizes = {image.id: (image.height, image.width) for image in content.images}
    value_of = {category.id: values.get(category.name, 0) for category in content.categories}  # 0: heads, unused
    for kind, ids, entries in (("image", sizes, content.images), ("category", value_of, content.categories)):
        if len(ids) < len(entries):
            raise DataError(f"{file}: two of its {kind} entries have one id.")
    found: dict[Id, list[tuple[float, Draw]]] = {}
    unusable: list[tuple[Path, str]] = []
    of_no_image: list[Id] = []
    for annotation in content.annotations:
        if annotation.category_id not in value_of:
            raise DataError(
                f"{file}: annotation {annotation.id}: category_id is {annotation.category_id!r}, the id of no "
                "category. Add the category, or remove its annotations."
            )
        if annotation.image_id not in sizes:
            of_no_image.append(annotation.image_id)
            continue
        try:
            shape = _shape(annotation.segmentation, value_of[annotation.category_id], sizes[annotation.image_id])
        except DataError:
            unusable.append((file, f"id {annotation.id}"))
        else:
            found.setdefault(annotation.image_id, []).append(shape)
    bad_shapes(unusable, result)
    if of_no_image:
        about = f"{len(of_no_image)} annotations of images that the file does not list, for example"
        result.stray("missing-image", [file], f"{about} {of_no_image[0]!r}")
    return {
        image: tuple(draw for _, draw in sorted(shapes, key=lambda shape: -shape[0]))
        for image, shapes in found.items()
    }


def _shape(segmentation: Any, value: int, size: tuple[int, int]) -> tuple[float, Draw]:  # noqa: ANN401 - from JSON
    """(area, shape) of a segmentation.

    Raises:
        DataError: it has no usable shape.
    """
    if isinstance(segmentation, list):
        rings = [points for points in map(ring, segmentation) if len(points) >= 3]
        borders = [float(np.abs(points[1:] - points[:-1]).sum()) for points in rings]
        if not rings or sum(borders) > _LONGEST_BORDER:
            raise DataError("no polygon of three points and of a size that pictures have.")
        return sum(map(area, rings)), CocoPolygons(value, tuple(rings))
    if isinstance(segmentation, dict) and segmentation.get("size") == list(size):
        counts = segmentation.get("counts")
        runs = run_lengths(_uncompressed(counts) if isinstance(counts, str) else counts, size)
        return float(runs[1::2].sum()), RunLengths(value, runs, size, columns_first=True)
    raise DataError("neither polygons nor run lengths of the image's size.")


@dataclass(frozen=True, slots=True, eq=False)
class CocoPolygons:
    """Polygons as COCO draws them: together, without holes.

    Attributes:
        value: the stored value to be drawn.
        rings: each [N, 2] (x, y) of three or more points.
    """

    value: int
    rings: tuple[NDArray[np.float64], ...]

    def __call__(self, canvas: NDArray[np.uint16]) -> None:
        """Draws them."""
        size = (canvas.shape[0], canvas.shape[1])
        encoded = cocomask.merge(cocomask.frPyObjects([points.ravel() for points in self.rings], *size))
        counts = run_lengths(_uncompressed(encoded["counts"].decode()), size)
        RunLengths(self.value, counts, size, columns_first=True)(canvas)


def _uncompressed(text: str) -> NDArray[np.int64]:
    """[N] run lengths from COCO's text: 5 bits a letter, lowest first; from the fourth on, less the last but one.

    Raises:
        DataError: it has letters that mean nothing, or ends too early.
    """
    letters = np.frombuffer(text.encode(errors="surrogatepass"), dtype=np.uint8).astype(np.int64) - ord("0")
    if not len(letters) or letters.min() < 0 or letters.max() > 63 or letters[-1] & 32:
        raise DataError("compressed run lengths that cannot be read.")
    is_last = letters & 32 == 0
    starts = np.flatnonzero(np.concatenate([[True], is_last[:-1]]))
    place = np.arange(len(letters)) - np.repeat(starts, np.diff(np.append(starts, len(letters))))
    counts = np.add.reduceat((letters & 31) << (5 * place), starts)
    counts -= np.where(letters[is_last] & 16, 1 << (5 * (place[is_last] + 1)), 0)  # the highest bit is the sign
    counts[1::2] = np.cumsum(counts[1::2])
    counts[2::2] = np.cumsum(counts[2::2])
    return counts

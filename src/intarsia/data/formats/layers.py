"""One two-valued mask for each class: in a folder for each class, or in files that end in the class.

    images/NAME.jpg + masks/CLASS/NAME.png       class folders
    images/NAME.jpg + masks/NAME_CLASS.png       class files; NAME-CLASS too

Both with splits as in plain folders. A picture without a mask for a class does not hold it. What is in none is the
class `background`, which may have masks of its own. The other classes follow in the order of a class list, or of
the alphabet; where two overlap, the later one counts.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from intarsia.data.classlists import find_class_list
from intarsia.data.formats.folders import SPLIT_FOLDERS, find_layout
from intarsia.data.pairing import MASK_ENDINGS, Pairing, by_name, files_in, folders_in, list_files, without_suffix
from intarsia.data.pairs import Dataset, Pair
from intarsia.data.read import IMAGE_SUFFIXES, MASK_SUFFIXES, decode_mask
from intarsia.data.sources import Layers
from intarsia.errors import DataError
from intarsia.labels import Labels, count_values

_SEPARATORS = "_-"
_MOST_CLASSES = 64  # more endings than that are numbers of some kind
_BACKGROUND = "background"

Place = Callable[[str, Collection[str]], tuple[str, str]]
"""(path of a mask without suffix, names of images) -> (name of its image, its class, empty where it has none)"""


def recognise_class_folders(path: Path) -> bool:
    """Two or more folders of masks with the names of images, and no such folders of images."""
    images, masks = _first_folders(path)
    classes = folders_in(masks)
    others = {*folders_in(images), *(name for names in SPLIT_FOLDERS.values() for name in names)}
    if len(classes) < 2 or files_in(masks, MASK_SUFFIXES) or not others.isdisjoint(classes):
        return False
    names = _names(images, IMAGE_SUFFIXES)
    return not any(names.isdisjoint(_names(masks / name, MASK_SUFFIXES)) for name in classes)


def recognise_class_files(path: Path) -> bool:
    """Masks that are named as an image and one of a few endings; none as an image alone."""
    images, masks = _first_folders(path)
    names, mask_names = _names(images, IMAGE_SUFFIXES), _names(masks, MASK_SUFFIXES)
    endings = Counter(ending for name in mask_names if (ending := _by_ending(name, names)[1]))
    return (
        names.isdisjoint(mask_names)
        and 2 <= len(endings) <= _MOST_CLASSES
        and len(mask_names) <= 2 * endings.total()
        and len(endings) * 2 <= endings.total()
        and not any(ending.isdecimal() for ending in endings)
        and not all(f"_{ending.lower()}" in MASK_ENDINGS for ending in endings)
    )


def _first_folders(path: Path) -> tuple[Path, Path]:
    """The folders of images and masks of the first split; `path` for both where there are none."""
    try:
        return next(iter(find_layout(path).values()), (path, path))
    except (DataError, OSError):
        return path, path


def _names(folder: Path, suffixes: Collection[str]) -> set[str]:
    return {without_suffix(name) for name in files_in(folder, suffixes)}


def open_class_folders(path: Path) -> Dataset:
    """Pairs each picture with the masks of its name in the folders of classes.

    Raises:
        DataError: no such folders, no pairs, or masks that are not two-valued.
    """
    return _open(path, _by_folder, "masks/CLASS/NAME.png")


def open_class_files(path: Path) -> Dataset:
    """Pairs each picture with the masks that are called by its name and a class.

    Raises:
        DataError: no such files, no pairs, or masks that are not two-valued.
    """
    return _open(path, _by_ending, "masks/NAME_CLASS.png")


def _by_folder(mask: str, _: Collection[str]) -> tuple[str, str]:
    folder, slash, name = mask.partition("/")
    return (name, folder) if slash else (mask, "")


def _by_ending(mask: str, names: Collection[str]) -> tuple[str, str]:
    """Of two images that fit, `a` and `a_b`, the one with the longer name."""
    ends = [end for end in range(len(mask) - 1, 0, -1) if mask[end] in _SEPARATORS and mask[:end] in names]
    return (mask[: ends[0]], mask[ends[0] + 1 :]) if ends else (mask, "")


def _open(path: Path, place: Place, expected: str) -> Dataset:
    result = Pairing()
    placed: dict[str, list[tuple[str, str, Path]]] = {}
    image_of: dict[str, dict[str, list[Path]]] = {}
    for split, folders in find_layout(path).items():
        images, masks = list_files(folders[0], IMAGE_SUFFIXES), list_files(folders[1], MASK_SUFFIXES)
        result.strays += (*images.strays, *masks.strays)
        image_of[split] = {
            name: [folders[0] / file for file in files] for name, files in by_name(images.files).items()
        }
        placed[split] = [(*place(without_suffix(file), image_of[split]), folders[1] / file) for file in masks.files]
    own = (name for masks in placed.values() for _, name, _ in masks)
    listed = find_class_list(path)
    order = {name: place for place, name in enumerate(listed.names if listed else ())}
    found = {name for name in own if name and name.lower() != _BACKGROUND}
    classes = sorted(found, key=lambda name: (order.get(name, len(order)), name))
    values = {name: value for value, name in enumerate(classes, start=1)}
    splits = {split: _pairs(image_of[split], placed[split], values, result) for split in placed}
    splits = {split: pairs for split, pairs in splits.items() if pairs}
    if not splits:
        raise DataError(
            f"{path}: no image has a mask of its name and a class. Expected images/NAME.jpg and {expected}."
        )
    _refuse_many_values((name, file) for masks in placed.values() for _, name, file in masks if name)
    labels = Labels.of_values([0, *values.values()], names=[_BACKGROUND, *values])
    return Dataset(path, splits, labels, strays=tuple(result.strays))


def _pairs(
    image_of: dict[str, list[Path]],
    placed: Iterable[tuple[str, str, Path]],
    values: dict[str, int],
    result: Pairing,
) -> tuple[Pair, ...]:
    """The pairs of a split; what belongs to none becomes strays of `result`."""
    layers: dict[str, dict[str, list[Path]]] = {}
    alone: list[Path] = []
    for name, class_name, file in placed:
        if class_name and name in image_of:
            layers.setdefault(name, {}).setdefault(class_name, []).append(file)
        else:
            alone.append(file)
    pairs: list[Pair] = []
    for name, images in sorted(image_of.items()):
        own = layers.get(name, {})
        twice = [images, *own.values()]
        if not own:
            alone += images
        elif any(len(files) > 1 for files in twice):
            for files in (files for files in twice if len(files) > 1):
                result.stray("ambiguous", files, f"two {'images' if files is images else 'masks'} of one name")
        else:
            parts = sorted((values.get(class_name, 0), files[0]) for class_name, files in own.items())
            pairs.append(Pair(name, images[0], Layers(tuple((file, value) for value, file in parts))))
    result.stray("unpaired", alone)
    return tuple(pairs)


def _refuse_many_values(masks: Iterable[tuple[str, Path]]) -> None:
    """Looks at the first mask of each class: folders may hold other things than classes."""
    for path in dict(reversed(list(masks))).values():
        try:
            pixels = decode_mask(path)
        except DataError:  # the doctor says it of each file
            continue
        values, _ = count_values(pixels.array if pixels.array.ndim == 2 else pixels.colors())
        if len(values) > 2:
            raise DataError(
                f"{path}: holds {len(values)} values, but a mask of one class holds two. If these are masks of all "
                "classes, name their folder in a dataset.toml ([splits.train] images = ..., masks = ...)."
            )

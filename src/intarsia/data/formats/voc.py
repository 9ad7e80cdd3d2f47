"""Pascal VOC's layout, also as CVAT and labelme export it.

    JPEGImages/NAME.jpg
    SegmentationClass/NAME.png           or SegmentationClassPNG
    ImageSets/Segmentation/SPLIT.txt     a name on each line; without lists, every mask is train
    labelmap.txt                         or another class list

The folder may lie in another, as VOCdevkit/VOC2012. A class list says what the masks hold: its colours where they
have colours, its order where they have values. Without one, the classes are VOC's where the pictures' names are.
"""

import re
from pathlib import Path

from intarsia.data.classlists import find_class_list, kind_of
from intarsia.data.formats.folders import SPLIT_FOLDERS
from intarsia.data.pairing import files_in, folders_in, pair_folders
from intarsia.data.pairs import Dataset, Pair, Stray
from intarsia.data.palettes import PALETTES
from intarsia.data.sources import path_of
from intarsia.data.splitlists import pair_listed
from intarsia.errors import DataError, listing
from intarsia.labels import Labels

IMAGES = "JPEGImages"
MASKS = ("SegmentationClassPNG", "SegmentationClass")  # older labelme keeps arrays in the second
LISTS = "ImageSets/Segmentation"
_TRAIN = ("default", "trainval")  # of CVAT, and for want of a list of its own
_VOC_NAME = re.compile(r"20(0[7-9]|1[0-2])_\d{6}")


def recognise(path: Path) -> bool:
    """A folder with `JPEGImages` and `SegmentationClass`, or one that holds such a folder."""
    return len(_candidates(path)) == 1


def open_voc(path: Path) -> Dataset:
    """Pairs the files of the lists, or all.

    Raises:
        DataError: no such folder or more than one, no list of a known split, no pairs, or a damaged class list.
    """
    found = _candidates(path)
    if len(found) != 1:
        raise DataError(
            f"{path}: holds {len(found) or 'no'} folders with {IMAGES}/ and {MASKS[1]}/: give the one to open."
        )
    (root,) = found
    images, masks = root / IMAGES, root / next(name for name in MASKS if name in folders_in(root))
    lists = _lists(root / LISTS)
    splits, strays = pair_listed(images, masks, lists) if lists else _all(images, masks)
    if not splits:
        raise DataError(f"{root}: no picture in {IMAGES}/ that counts has a mask of its name in {masks.name}/.")
    first = path_of(next(iter(splits.values()))[0].mask)
    listed = find_class_list(root)
    if listed is None:
        names = [pair.name for pairs in splits.values() for pair in pairs]
        is_voc = all(_VOC_NAME.fullmatch(name) for name in names)
        return Dataset(path, splits, _voc_labels(first) if is_voc else None, strays=strays)
    return Dataset(path, splits, listed.labels(first), listed.names, listed.colors, strays=strays)


def _candidates(path: Path) -> list[Path]:
    """`path`, or the folders in it, or in its VOCdevkit, that have VOC's layout."""
    near = [path, *(path / name for name in folders_in(path))]
    near += [path / "VOCdevkit" / name for name in folders_in(path / "VOCdevkit")]
    return [folder for folder in near if _is_voc(folder)]


def _is_voc(folder: Path) -> bool:
    names = folders_in(folder)
    return IMAGES in names and any(masks in names for masks in MASKS)


def _lists(folder: Path) -> dict[str, Path]:
    """{split: its list}.

    Raises:
        DataError: there are lists, but of no known split.
    """
    files = {Path(name).stem.lower(): folder / name for name in files_in(folder, {".txt"})}
    found = {split: files[name] for split, names in SPLIT_FOLDERS.items() for name in names if name in files}
    if "train" not in found and (name := next((name for name in _TRAIN if name in files), None)):
        found = {"train": files[name], **found}
    if files and not found:
        known = ", ".join(f"{name}.txt" for name in (*SPLIT_FOLDERS, *_TRAIN))
        raise DataError(f"{folder}: has the lists {listing(sorted(files))}: known are {known}.")
    return found


def _all(images: Path, masks: Path) -> tuple[dict[str, tuple[Pair, ...]], tuple[Stray, ...]]:
    pairing = pair_folders(images, masks)
    return {"train": tuple(pairing.pairs)} if pairing.pairs else {}, tuple(pairing.strays)


def _voc_labels(mask: Path) -> Labels | None:
    voc = PALETTES["voc"]
    kind = kind_of(mask)
    if kind != "indices":
        return voc.labels() if kind == "colors" else None
    values = tuple((index,) for index in range(len(voc.colors)))
    return Labels(tuple(voc.colors), tuple(voc.colors.values()), values)

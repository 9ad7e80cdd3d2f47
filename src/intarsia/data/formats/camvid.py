"""CamVid, in the three forms in which it goes about.

    701_StillsRaw_full/NAME.png + LabeledApproved_full/NAME_L.png     the original: colours of 32 classes
    {train,val,test}/NAME.png + {train,val,test}_labels/NAME_L.png    Kaggle's; class_dict.csv gives the colours
    plain folders in which all pictures have CamVid's names           SegNet's: values of 11 classes, and void

The second is opened whatever the pictures: other sets on Kaggle have it too.
"""

import re
from dataclasses import replace
from pathlib import Path

from intarsia.data.classlists import find_class_list, kind_of
from intarsia.data.formats.folders import IMAGE_FOLDERS, MASK_FOLDERS, open_folders
from intarsia.data.pairing import files_in, folders_in, pair_folders
from intarsia.data.pairs import SPLITS, Dataset, Pair, Stray
from intarsia.data.palettes import CAMVID_NAMES, PALETTES
from intarsia.data.read import IMAGE_SUFFIXES
from intarsia.data.sources import path_of
from intarsia.errors import DataError

_ORIGINAL = ("701_StillsRaw_full", "LabeledApproved_full")
_CLASS_LISTS = frozenset({"class_dict.csv", "label_class_dict.csv"})
_NAME = re.compile(r"0001TP_\d{6}|0006R0_f\d{5}|0016E5_\d{5}|Seq05VD_f\d{5}")


def recognise(path: Path) -> bool:
    """One of the three forms."""
    return bool(_folders(path)) or _is_segnets(path)


def open_camvid(path: Path) -> Dataset:
    """Pairs the files of the form that it is.

    Raises:
        DataError: none of them, no pairs, or a damaged class list.
    """
    folders = _folders(path)
    if not folders:
        return _open_segnets(path)
    splits: dict[str, tuple[Pair, ...]] = {}
    strays: list[Stray] = []
    for split, (images, masks) in folders.items():
        pairing = pair_folders(path / images, path / masks, endings=["_L"])
        strays += pairing.strays
        if pairing.pairs:
            splits[split] = tuple(pairing.pairs)
    if not splits:
        raise DataError(f"{path}: no image has a mask of its name, or NAME_L. Looked in {', '.join(folders)}.")
    first = path_of(next(iter(splits.values()))[0].mask)
    if listed := find_class_list(path):
        return Dataset(path, splits, listed.labels(first), listed.names, listed.colors, strays=tuple(strays))
    camvid = PALETTES["camvid"]
    labels = camvid.labels() if kind_of(first) == "colors" else None
    return Dataset(path, splits, labels, known_colors=camvid.colors, strays=tuple(strays))


def _folders(path: Path) -> dict[str, tuple[str, str]]:
    """{split: (folder of images, folder of masks)} of the first two forms."""
    names = folders_in(path)
    if set(_ORIGINAL) <= set(names):
        return {"train": _ORIGINAL}
    if not _CLASS_LISTS & set(files_in(path, {".csv"})):
        return {}
    splits = {split: (split, f"{split}_labels") for split in SPLITS}
    return {split: both for split, both in splits.items() if set(both) <= set(names)}


def _is_segnets(path: Path) -> bool:
    images = _image_folder(path)
    pictures = files_in(images, IMAGE_SUFFIXES) if images else ()
    return bool(pictures) and all(_NAME.fullmatch(Path(name).stem) for name in pictures)


def _image_folder(path: Path) -> Path | None:
    """Where the training pictures of plain folders are."""
    names = folders_in(path)
    if {"train", "trainannot"} <= set(names):
        return path / "train"
    images = next((name for name in IMAGE_FOLDERS if name in names), None)
    if images is None or not set(MASK_FOLDERS) & set(names):
        return None
    return path / images / "train" if "train" in folders_in(path / images) else path / images


def _open_segnets(path: Path) -> Dataset:
    """Plain folders, to which it adds the class names, or colours."""
    dataset = open_folders(path)
    if dataset.names or not dataset.splits:
        return dataset
    first = path_of(next(iter(dataset.splits.values()))[0].mask)
    if kind_of(first) == "colors":
        return replace(dataset, known_colors=PALETTES["camvid"].colors)
    return replace(dataset, names=CAMVID_NAMES)

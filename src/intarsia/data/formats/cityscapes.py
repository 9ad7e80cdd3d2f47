"""Cityscapes, and sets that keep to its layout.

    leftImg8bit/SPLIT/CITY/NAME_leftImg8bit.png
    gtFine/SPLIT/CITY/NAME_gtFine_labelIds.png       or labelTrainIds where there are no labelIds

The 19 classes that are trained, in the order of their train ids; all other ids are ignored. Of the six cities of the
challenge's test split no masks are published, only dummies: they are left out.
"""

from pathlib import Path

from intarsia.data.formats.folders import SPLIT_FOLDERS
from intarsia.data.pairing import Pairing, folders_in, list_files, match
from intarsia.data.pairs import Dataset, Pair, Stray
from intarsia.data.palettes import CITYSCAPES_IDS, PALETTES
from intarsia.errors import DataError
from intarsia.labels import IGNORE, Labels

_IMAGES, _MASKS = "leftImg8bit", "gtFine"
_IMAGE_ENDING = "_leftImg8bit.png"
_IDS, _TRAIN_IDS = "_gtFine_labelIds.png", "_gtFine_labelTrainIds.png"
_LAST_ID = 33
_WITHOUT_MASKS = frozenset({"berlin", "bielefeld", "bonn", "leverkusen", "mainz", "munich"})


def recognise(path: Path) -> bool:
    """A folder with `leftImg8bit` and `gtFine`."""
    return {_IMAGES, _MASKS} <= set(folders_in(path))


def open_cityscapes(path: Path) -> Dataset:
    """Pairs pictures and masks of ids.

    Raises:
        DataError: no such folder, or no pairs.
    """
    if not recognise(path):
        raise DataError(f"{path}: expected the folders {_IMAGES}/ and {_MASKS}/.")
    folders = {split: name for split, names in SPLIT_FOLDERS.items() for name in names if _has(path, name)}
    ending = _IDS if any(_named(path / _MASKS / name, _IDS) for name in folders.values()) else _TRAIN_IDS
    result = Pairing()
    splits: dict[str, tuple[Pair, ...]] = {}
    for split, name in folders.items():
        images, masks = path / _IMAGES / name, path / _MASKS / name
        if set(folders_in(images)) <= _WITHOUT_MASKS and split == "test":
            result.stray("unpaired", [images], "Cityscapes publishes no masks of its test pictures")
            continue
        found = Pairing()
        match(images, _named(images, _IMAGE_ENDING, found), masks, _named(masks, ending), found)
        result.strays += found.strays
        if found.pairs:
            splits[split] = tuple(found.pairs)
    if not splits:
        raise DataError(
            f"{path}: no picture NAME{_IMAGE_ENDING} in {_IMAGES}/SPLIT/CITY/ has a mask NAME{ending} in {_MASKS}/."
        )
    return Dataset(path, splits, _labels(ending), strays=tuple(result.strays))


def _has(path: Path, split: str) -> bool:
    return all(split in folders_in(path / folder) for folder in (_IMAGES, _MASKS))


def _named(folder: Path, ending: str, result: Pairing | None = None) -> dict[str, list[str]]:
    """{CITY/NAME: the files in `folder` of that name and ending}; what lies beside them becomes strays of `result`."""
    listed = list_files(folder, {".png"})
    if result is not None:
        result.strays += listed.strays
    return {file.removesuffix(ending): [file] for file in listed.files if file.endswith(ending)}


def _labels(ending: str) -> Labels:
    colors = tuple(PALETTES["cityscapes"].colors.values())
    names = tuple(CITYSCAPES_IDS)
    if ending == _TRAIN_IDS:
        return Labels(names, colors, tuple((index,) for index in range(len(names))))
    ids = CITYSCAPES_IDS.values()
    ignored = tuple(value for value in range(_LAST_ID + 1) if value not in ids)
    return Labels(names, colors, tuple((value,) for value in ids), (*ignored, IGNORE))

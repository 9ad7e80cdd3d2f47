"""Cityscapes, and sets that keep to its layout.

    leftImg8bit/{train,val,test}/CITY/NAME_leftImg8bit.png
    gtFine/{train,val,test}/CITY/NAME_gtFine_labelIds.png      or labelTrainIds, where there are no labelIds

The 19 classes that are trained, in the order of their train ids; all other ids are ignored. Of the six cities of
the challenge's test split, dummies are published instead of masks: they are left out.
"""

from pathlib import Path

from intarsia.data.pairing import Listing, Pairing, folders_in, list_files, match
from intarsia.data.pairs import SPLITS, Dataset, Pair
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
    result = Pairing()
    listed = _listed(path, result)
    all_masks = [file for _, masks in listed.values() for file in masks.files]
    ending = _IDS if any(file.endswith(_IDS) for file in all_masks) else _TRAIN_IDS
    splits: dict[str, tuple[Pair, ...]] = {}
    for split, (images, masks) in listed.items():
        found = Pairing()
        match(images.folder, _named(images, _IMAGE_ENDING), masks.folder, _named(masks, ending), found)
        result.strays += (*images.strays, *masks.strays, *found.strays)
        if found.pairs:
            splits[split] = tuple(found.pairs)
    if not splits:
        expected = f"{_IMAGES}/SPLIT/CITY/NAME{_IMAGE_ENDING} and {_MASKS}/SPLIT/CITY/NAME{ending}"
        raise DataError(f"{path}: has no pairs of {expected}.")
    return Dataset(path, splits, _labels(ending), strays=tuple(result.strays))


def _listed(path: Path, result: Pairing) -> dict[str, tuple[Listing, Listing]]:
    """{split: its images and masks}; splits without masks become strays."""
    listed: dict[str, tuple[Listing, Listing]] = {}
    for split in SPLITS:
        folders = [path / kind / split for kind in (_IMAGES, _MASKS) if split in folders_in(path / kind)]
        if folders and split == "test" and _WITHOUT_MASKS.issuperset(folders_in(folders[0])):
            result.stray("unpaired", folders[:1], "no masks of Cityscapes' test pictures are published")
        elif len(folders) == 1:
            result.stray("unpaired", folders)
        elif folders:
            listed[split] = (list_files(folders[0], {".png"}), list_files(folders[1], {".png"}))
    return listed


def _named(listed: Listing, ending: str) -> dict[str, list[str]]:
    """{CITY/NAME: the file of that name and ending}."""
    return {file.removesuffix(ending): [file] for file in listed.files if file.endswith(ending)}


def _labels(ending: str) -> Labels:
    names, colors = tuple(CITYSCAPES_IDS), tuple(PALETTES["cityscapes"].colors.values())
    if ending == _TRAIN_IDS:
        return Labels(names, colors, tuple((index,) for index in range(len(names))))
    ids = CITYSCAPES_IDS.values()
    ignored = tuple(value for value in range(_LAST_ID + 1) if value not in ids)
    return Labels(names, colors, tuple((value,) for value in ids), (*ignored, IGNORE))

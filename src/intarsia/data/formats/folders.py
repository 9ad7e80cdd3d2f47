"""Plain folders of images and masks.

`images` and `masks` have the other names of `IMAGE_FOLDERS` and `MASK_FOLDERS` too:

    images/{train,val,test} + masks/{train,val,test}
    {train,val,test}/{images,masks}
    images + masks
    {train,val,test} + {train,val,test}annot (or _masks, _labels)
    pictures beside their masks: name.jpg + name_mask.png (_mask, _label, _gt, _seg)

Files are paired by their path below the folder without the suffix. A class list beside the folders is read; see
`data.classlists`.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from intarsia.data.classlists import with_class_list
from intarsia.data.pairing import list_files, mask_ending, pair_folders, without_suffix
from intarsia.data.pairs import SPLITS, Dataset, Pair, Stray
from intarsia.data.read import IMAGE_SUFFIXES, MASK_SUFFIXES
from intarsia.errors import DataError, listing

SPLIT_FOLDERS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
IMAGE_FOLDERS = ("images", "image", "imgs", "img")
MASK_FOLDERS = ("masks", "mask", "labels", "annotations")
_FOLDER_ENDINGS = ("annot", "_masks", "_labels")
_LAYOUTS_TEXT = (
    "Expected images/ and masks/ (each with train/, val/, test/ or without), train/images and train/masks, "
    "train/ and trainannot/, pictures beside masks named NAME_mask.png, or a dataset.toml"
)


def recognise(root: Path) -> bool:
    """Any folder may be one."""
    return root.is_dir()


def open_folders(root: Path) -> Dataset:
    """Pairs the files of a folder in one of the layouts.

    Raises:
        DataError: no layout, two at once, no pairs, or a class list that cannot be understood.
    """
    folders = find_layout(root) or _side_by_side(root)
    return with_class_list(open_named(root, folders, lone=_lone_splits(root, folders)), root)


def open_named(root: Path, folders: Mapping[str, tuple[Path, Path]], lone: Sequence[Path] = ()) -> Dataset:
    """Pairs the files of the named folders.

    Args:
        root: what was opened.
        folders: {split: (folder of images, folder of masks)}.
        lone: folders that have no partner.

    Raises:
        DataError: no pairs.
    """
    splits: dict[str, tuple[Pair, ...]] = {}
    strays: list[Stray] = []
    for split, (images, masks) in folders.items():
        pairing = pair_folders(images, masks)
        strays += pairing.strays
        if pairing.pairs:
            splits[split] = tuple(pairing.pairs)
    if lone:
        strays.append(Stray("unpaired", tuple(lone)))
    if not splits and not any(stray.finding == "ambiguous" for stray in strays):
        if closed := [path for stray in strays if stray.finding == "unreadable" for path in stray.paths]:
            raise DataError(f"{listing(closed)}: may not be read (permissions).")
        looked = listing(dict.fromkeys(folder for both in folders.values() for folder in both))
        raise DataError(f"{root}: no image has a mask of the same name. Looked in {looked}.")
    return Dataset(root, splits, strays=tuple(strays))


def _side_by_side(root: Path) -> dict[str, tuple[Path, Path]]:
    if any(mask_ending(without_suffix(file)) for file in list_files(root, MASK_SUFFIXES).files):
        by_split = {split: sub for split in SPLITS if (sub := sub_folder(root, SPLIT_FOLDERS[split]))}
        by_split = by_split if "train" in by_split else {"train": root}
        return {split: (folder, folder) for split, folder in by_split.items()}
    if not list_files(root, IMAGE_SUFFIXES).files:
        raise DataError(f"{root}: holds no pictures. {_LAYOUTS_TEXT}.")
    raise DataError(f"{root}: holds pictures, but no masks were found. {_LAYOUTS_TEXT}.")


def find_layout(root: Path) -> dict[str, tuple[Path, Path]]:
    """{split: (folder of images, folder of masks)}; empty where it is none of the layouts in folders.

    Raises:
        DataError: two layouts at once.
    """
    images, masks = sub_folder(root, IMAGE_FOLDERS), sub_folder(root, MASK_FOLDERS)
    found: dict[str, tuple[Path, Path]] = {}
    for split in SPLITS:
        names = SPLIT_FOLDERS[split]
        folder = sub_folder(root, names)
        candidates = [
            (images and sub_folder(images, names), masks and sub_folder(masks, names)),
            (folder and sub_folder(folder, IMAGE_FOLDERS), folder and sub_folder(folder, MASK_FOLDERS)),
            (folder, sub_folder(root, [name + ending for name in names for ending in _FOLDER_ENDINGS])),
        ]
        complete = [(image, mask) for image, mask in candidates if image and mask]
        if len(complete) > 1:
            raise DataError(
                f"{root}: two layouts at once for {split}: {complete[0][0]} and {complete[1][0]}. "
                "Say which one counts in a dataset.toml."
            )
        if complete:
            found[split] = complete[0]
    if images and masks:
        if found and not any(images in image.parents for image, _ in found.values()):
            (one, _), *_ = found.values()
            raise DataError(
                f"{root}: two layouts at once: {one} and {images}. Say which one counts in a dataset.toml."
            )
        found = found or {"train": (images, masks)}
    return found


def _lone_splits(root: Path, found: Mapping[str, tuple[Path, Path]]) -> list[Path]:
    """Folders of a split that has images but no masks, or masks but no images, while other splits have both."""
    parents = [sub_folder(root, IMAGE_FOLDERS), sub_folder(root, MASK_FOLDERS)]
    if found.get("train") == tuple(parents):  # without splits: every file is looked at anyway
        return []
    lone = []
    for split in (split for split in SPLITS if split not in found):
        names = SPLIT_FOLDERS[split]
        folder = sub_folder(root, names)
        lone += [sub_folder(parent, names) for parent in parents if parent]
        lone += [sub_folder(folder, both) for both in (IMAGE_FOLDERS, MASK_FOLDERS) if folder]
        lone += [folder for image, _ in list(found.values())[:1] if image.parent == root]  # as train + trainannot
    return [folder for folder in lone if folder]


def split_of(word: str) -> str:
    """The split that a folder of this name holds; an empty text where it means none."""
    return next((split for split, names in SPLIT_FOLDERS.items() if word.lower() in names), "")


def split_of_file(file: Path, root: Path) -> str:
    """The split in the words of a file's name, or else of its folder's below `root`; an empty text for none."""
    folder = "" if root in (file, file.parent) else file.parent.name
    words = (*re.split("[^a-z]+", file.stem.lower()), folder)
    return next(filter(None, map(split_of, words)), "")


def sub_folder(folder: Path, names: Sequence[str]) -> Path | None:
    """The sub-folder that has one of `names`; None where there is none.

    Raises:
        DataError: two of them.
    """
    found = [folder / name for name in names if (folder / name).is_dir()]
    if len(found) > 1:
        raise DataError(
            f"{folder}: has both {found[0].name}/ and {found[1].name}/. Say which one counts in a dataset.toml."
        )
    return found[0] if found else None

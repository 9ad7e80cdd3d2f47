"""One mask for each object, as in the Data Science Bowl of 2018: all objects are one class.

    ID/images/ID.png
    ID/masks/*.png         two-valued, one for each object

The folders may lie in one for each split: train, val, test, or stage1_train.
"""

from pathlib import Path

from intarsia.data.formats.folders import SPLIT_FOLDERS
from intarsia.data.pairing import Pairing, files_in, folders_in, without_suffix
from intarsia.data.pairs import Dataset, Pair
from intarsia.data.read import IMAGE_SUFFIXES, MASK_SUFFIXES
from intarsia.data.sources import Layers
from intarsia.errors import DataError
from intarsia.labels import Labels

_STAGE = "stage1_"  # of the Bowl; its second stage has no masks
_LOOKED_AT = 5  # folders, to recognise it


def recognise(path: Path) -> bool:
    """Whether one of the first folders holds a picture of its own name, and masks."""
    folder = next(iter(_split_folders(path).values()))
    return any(_image(folder / name) and _masks(folder / name) for name in folders_in(folder)[:_LOOKED_AT])


def open_objects(path: Path) -> Dataset:
    """Pairs each picture with the masks of its objects.

    Raises:
        DataError: no folder holds both.
    """
    result = Pairing()
    splits: dict[str, tuple[Pair, ...]] = {}
    for split, folder in _split_folders(path).items():
        pairs: list[Pair] = []
        alone: list[Path] = []
        for name in folders_in(folder):
            image, masks = _image(folder / name), _masks(folder / name)
            if image and masks:
                pairs.append(Pair(name, image, Layers(tuple((mask, 1) for mask in masks))))
            elif {"images", "masks"} & set(folders_in(folder / name)):
                alone.append(folder / name)
        if pairs:
            splits[split] = tuple(pairs)
        result.stray("unpaired", alone if pairs else [folder])
    if not splits:
        raise DataError(
            f"{path}: expected a folder ID/ for each picture, with ID/images/ID.png and ID/masks/*.png."
        )
    labels = Labels.of_values((0, 1), names=("background", "object"))
    return Dataset(path, splits, labels, strays=tuple(result.strays))


def _split_folders(path: Path) -> dict[str, Path]:
    """{split: folder that holds a folder for each picture}."""
    inside = folders_in(path)
    own = {split: (*names, *(_STAGE + name for name in names)) for split, names in SPLIT_FOLDERS.items()}
    found = {split: path / name for split, names in own.items() for name in names if name in inside}
    return found or {"train": path}


def _image(folder: Path) -> Path | None:
    """The picture of the folder's own name."""
    names = [name for name in files_in(folder / "images", IMAGE_SUFFIXES) if without_suffix(name) == folder.name]
    return folder / "images" / names[0] if len(names) == 1 else None


def _masks(folder: Path) -> list[Path]:
    return [folder / "masks" / name for name in files_in(folder / "masks", MASK_SUFFIXES)]

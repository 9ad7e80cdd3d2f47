"""nnU-Net's raw data, where the images are pictures of two dimensions.

    dataset.json
    imagesTr/CASE_0000.png + labelsTr/CASE.png
    imagesTs/CASE_0000.png + labelsTs/CASE.png      the split `test`; images without labels are not used

dataset.json names the classes and their stored values, either way round: {"road": 1} or {"1": "road"}. What is
called `ignore` counts for nothing.
"""

import re
from pathlib import Path
from typing import Any

from intarsia.data.annotations import Entry, Name, checked, is_file
from intarsia.data.classlists import is_void
from intarsia.data.foreign import read_json
from intarsia.data.pairing import Pairing, by_name, files_in, folders_in, match
from intarsia.data.pairs import Dataset, Pair
from intarsia.errors import DataError
from intarsia.labels import Labels

_FILE = "dataset.json"
_FOLDERS = {"train": ("imagesTr", "labelsTr"), "test": ("imagesTs", "labelsTs")}
_ENDINGS = (".png", ".tif", ".tiff", ".bmp")
_CHANNEL = re.compile(r"(.+)_([0-9]{4})", re.DOTALL)


class _File(Entry):
    labels: dict[Name, Any]
    file_ending: str = ""


def recognise(path: Path) -> bool:
    """A folder with dataset.json and imagesTr/."""
    return is_file(path / _FILE) and "imagesTr" in folders_in(path)


def open_nnunet(path: Path) -> Dataset:
    """Pairs the training images with their labels, and the test images where they have any.

    Raises:
        DataError: volumes, several channels in files of their own, regions for classes, or no pairs.
    """
    file = path / _FILE
    content = checked(_File, read_json(file), file)
    labels = _labels(file, content.labels)
    ending = _ending(file, content.file_ending)
    result = Pairing()
    splits: dict[str, tuple[Pair, ...]] = {}
    for split, (images, masks) in _FOLDERS.items():
        if masks in folders_in(path) and (pairs := _pair(path / images, path / masks, ending, result)):
            splits[split] = pairs
    if "train" not in splits:
        raise DataError(
            f"{path}: no image in imagesTr/ has a mask in labelsTr/. Expected imagesTr/CASE_0000{ending} and "
            f"labelsTr/CASE{ending}."
        )
    return Dataset(path, splits, labels, strays=tuple(result.strays))


def _labels(file: Path, written: dict[str, Any]) -> Labels:
    """The classes in the order of their values."""
    turned = all(key.isdecimal() for key in written)
    values = {str(name): value for value, name in written.items()} if turned else written
    if len(values) < len(written):
        raise DataError(f"{file}: labels: two values have one name.")
    found: dict[str, int] = {}
    for name, value in values.items():
        if isinstance(value, list):
            raise DataError(
                f"{file}: labels.{name} is {value}: regions of several values overlap, but a pixel has one class. "
                "Name each value instead."
            )
        if not re.fullmatch("[0-9]{1,5}", str(value)):
            raise DataError(f"{file}: labels.{name} is {value!r}: expected a stored value, 0 to 65535.")
        found[name] = int(value)
    classes = sorted((value, name) for name, value in found.items() if not is_void(name))
    ignored = [value for name, value in found.items() if is_void(name)]
    try:
        return Labels.of_values([value for value, _ in classes], ignored, [name for _, name in classes])
    except DataError as error:
        raise DataError(f"{file}: labels: {error}") from None


def _ending(file: Path, told: str) -> str:
    """The suffix of images and masks."""
    known = [told] if told else [ending for ending in _ENDINGS if files_in(file.parent / "imagesTr", {ending})]
    if not known or known[0].lower() not in _ENDINGS:
        what = f"file_ending is {told!r}" if told else "imagesTr/ holds no pictures"
        raise DataError(
            f"{file}: {what}: only pictures of two dimensions are read ({', '.join(_ENDINGS)}). Save the slices of "
            "volumes as pictures, one file each."
        )
    return known[0].lower()


def _pair(images: Path, masks: Path, ending: str, result: Pairing) -> tuple[Pair, ...]:
    image_of: dict[str, list[str]] = {}
    odd: list[Path] = []
    for file in files_in(images, {ending}):
        found = _CHANNEL.fullmatch(file[: -len(ending)])
        if found is None:
            odd.append(images / file)
        elif found[2] != "0000":
            raise DataError(
                f"{images / file}: holds channel {int(found[2])} of {found[1]!r}: channels in files of their own "
                "are not read. Save all channels of an image as one TIFF of several bands, named CASE_0000.tif."
            )
        else:
            image_of.setdefault(found[1], []).append(file)
    result.stray("unpaired", odd, "images whose name does not end with a channel, such as _0000")
    matched = Pairing()
    match(images, image_of, masks, by_name(files_in(masks, {ending})), matched)
    result.strays += matched.strays
    return tuple(matched.pairs)

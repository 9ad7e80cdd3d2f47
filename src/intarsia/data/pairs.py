"""Pairs and datasets: where images and masks are, what is known of them before any is opened, and reading one."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from intarsia.data.nodata import without_data
from intarsia.data.read import orientation, read_image, turned_upright
from intarsia.data.sources import MaskSource, files_of, path_of, read_source
from intarsia.errors import DataError
from intarsia.labels import Color, Encoding, Labels

SPLITS = ("train", "val", "test")
Mend = Literal["exif", "resize"]
"""What may be done to a mask whose size is not its image's: `exif` turns masks that were drawn before the picture
was turned upright; `resize` enlarges or shrinks masks of the same shape, by nearest neighbour."""
_QUARTER_TURNS = 5  # from this EXIF orientation on, height and width are swapped
_SAME_SHAPE = 0.02  # sides whose ratios differ by no more have one shape


@dataclass(frozen=True, slots=True)
class Pair:
    """One image and its mask.

    Attributes:
        name: the path below the split's folder, without suffix; unique in its split.
        image: the picture's file.
        mask: a mask file, or how the mask comes about from other files.
        mends: what may be done to a mask of another size than its image.
    """

    name: str
    image: Path
    mask: MaskSource
    mends: tuple[Mend, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that it is made of."""
        return (self.image, *files_of(self.mask))


@dataclass(frozen=True)
class Stray:
    """Files beside the pairs that belong to none: one thing that was found while looking for pairs.

    Attributes:
        finding: the id of the finding that it becomes; see `data.check.findings`.
        paths: the files or folders.
        about: what is the matter, where the finding's own words do not say it all.
        pair: the name that the pair would have; a dataset file may exclude it, and the matter is settled.
    """

    finding: str
    paths: tuple[Path, ...]
    about: str = ""
    pair: str = ""


@dataclass(frozen=True)
class Dataset:
    """Where the pairs are, and what their masks mean as far as somebody said so. Opens no picture.

    Attributes:
        root: the folder or file that was opened.
        splits: pairs of `train`, `val` and `test`, sorted by name; a split that does not exist is missing.
        labels: the declared classes with their stored values; None when nobody declared any (then the masks are
            asked).
        names: class names in order, where somebody told them but not which stored values they have.
        known_colors: class names by colour, where a list or a known palette gives them: used when masks turn out to
            be in colours or to have a palette.
        encoding: what the pixels of mask files are; None where the masks are asked.
        snap: how far a value may be from one that means something and still be taken for it; see `Labels`.
        ignore: stored mask values that count for nothing, where no classes are declared.
        strays: files without a partner, ambiguous ones, junk. They are left out of the splits, and said.
        drawn: whether `val` was drawn from `train` for want of a split of its own.
        format: the name in `data.formats.FORMATS` under which it was read.
    """

    root: Path
    splits: Mapping[str, tuple[Pair, ...]]
    labels: Labels | None = None
    names: tuple[str, ...] = ()
    known_colors: Mapping[str, Color] = field(default_factory=dict)
    encoding: Encoding | None = None
    snap: float = 0
    ignore: tuple[int, ...] = ()
    strays: tuple[Stray, ...] = ()
    drawn: bool = False
    format: str = "folders"

    def split(self, name: str) -> tuple[Pair, ...]:
        """The pairs of one split.

        Raises:
            DataError: there is no such split.
        """
        if name not in self.splits:
            raise DataError(f"{self.root}: has no split {name!r}; it has {', '.join(self.splits)}.")
        return self.splits[name]

    def only(self, *names: str) -> "Dataset":
        """Without all other splits."""
        return replace(self, splits={name: pairs for name, pairs in self.splits.items() if name in names})

    @property
    def unpaired(self) -> tuple[Path, ...]:
        """Files, or whole folders of a split, without a partner."""
        return tuple(path for stray in self.strays if stray.finding == "unpaired" for path in stray.paths)


def read_pair(pair: Pair, labels: Labels, bands: int | None = None) -> tuple[NDArray[Any], NDArray[Any]]:
    """Image [H, W, bands] and mask [H, W] of class indices of one pair; ignored is where the image has no data.

    Raises:
        DataError: a file cannot be decoded, a value has no meaning, or the two differ in size.
    """
    image = read_image(pair.image, bands)
    stored = read_source(pair.mask, image.shape[:2], labels.encoding, lossy=labels.snap > 0)
    stored = fit_mask(stored, image.shape[:2], pair)
    if image.shape[:2] != stored.shape:
        raise DataError(size_trouble(pair, image.shape[:2], stored.shape))
    try:
        mask = labels.encode(stored)
    except DataError as error:
        raise DataError(f"{path_of(pair.mask)}: {error}") from None
    missing = without_data(image)
    if missing is not None:
        mask[missing] = labels.ignore_index
    return image, mask


def fit_mask(stored: NDArray[Any], size: tuple[int, ...], pair: Pair) -> NDArray[Any]:
    """A mask after the mends that its pair allows; size is the image's (height, width)."""
    if "exif" in pair.mends and not (isinstance(pair.mask, Path) and orientation(pair.mask) != 1):
        turn = orientation(pair.image)
        if turn < _QUARTER_TURNS or stored.shape != size:  # a quarter turn that was made already shows in the size
            stored = turned_upright(stored, turn)
    if "resize" in pair.mends and stored.shape != size and same_shape(stored.shape, size):
        kind = stored.astype(np.float32) if stored.dtype == np.uint32 else stored  # exact up to 2**24
        resized = cv2.resize(kind, (size[1], size[0]), interpolation=cv2.INTER_NEAREST_EXACT)
        stored = resized.astype(stored.dtype)
    return stored


def same_shape(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether two sizes have one ratio of height and width."""
    return abs(one[0] * other[1] / (one[1] * other[0]) - 1) <= _SAME_SHAPE


def size_trouble(pair: Pair, image: tuple[int, ...], mask: tuple[int, ...]) -> str:
    """The message for a mask of another size than its image."""
    turned = " It is turned by a quarter: was the mask drawn before the picture was rotated?"
    return (
        f"{path_of(pair.mask)}: mask of {mask[0]}x{mask[1]} (height x width), image of {image[0]}x{image[1]}: the "
        "two must have one size." + (turned if image == mask[::-1] else "")
    )

"""Looking at one pair: both files are decoded once, and what matters of them is kept in about a kilobyte."""

import base64
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from intarsia.data.check.features import (
    Alignment,
    alignment,
    neighbours,
    small_mask,
    small_picture,
    surroundings,
    thumbnail,
)
from intarsia.data.nodata import without_data
from intarsia.data.pairs import Pair, fit_mask, same_shape
from intarsia.data.read import Undecodable, decode_mask, orientation, read_image, stored_values
from intarsia.data.signatures import named_otherwise
from intarsia.data.sources import path_of, read_source
from intarsia.errors import DataError
from intarsia.labels import Encoding, count_values

MOST_VALUES = 256  # distinct values of one mask that are kept, those with the most pixels
_SMALL_VALUES = 32  # values up to here are class indices, and no noise lies between them
_OFF_BY_A_FEW = 8  # pixels
_OPENCV_BANDS = 4


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """What is kept of an image.

    Attributes:
        size: (height, width), upright.
        dtype: of its pixels: uint8, uint16 or float32.
        moments: [3, bands] pixels of each band that are numbers, their mean and mean square, in the file's own
            units; float64.
        constant: whether all its pixels are equal, those without data aside.
        thumb: [12, 12] grey, stretched; for near duplicates.
    """

    size: tuple[int, int]
    dtype: str
    moments: bytes
    constant: bool
    thumb: bytes

    @property
    def numbers(self) -> NDArray[np.float64]:
        """[bands] pixels that are numbers, and not NaN."""
        return np.asarray(self._moments[0])

    @property
    def means(self) -> NDArray[np.float64]:
        """[2, bands] mean and mean square of each band, over those pixels."""
        return np.asarray(self._moments[1:])

    @property
    def bands(self) -> int:
        """Bands of the image."""
        return len(self._moments[0])

    @property
    def unknown(self) -> float:
        """Share of its pixels that are no number, in the band that has most of them."""
        return 1 - float(self.numbers.min()) / (self.size[0] * self.size[1])

    @property
    def _moments(self) -> NDArray[np.float64]:
        return np.frombuffer(self.moments, dtype=np.float64).reshape(3, -1)


@dataclass(frozen=True, slots=True)
class MaskRecord:
    """What is kept of a mask, before anybody says what its values mean.

    Attributes:
        kind: "values" (one band), "palette", "grey" (three equal bands), "colors", "channels", or "drawn" (layers
            and shapes, whose values are ours).
        bits: of a band in the file.
        lossy: whether it is a JPEG.
        distinct: number of different values.
        stored: the values, at most 256 of them, ascending; uint32.
        counts: pixels of each; int64.
        palette: the colour 0xRRGGBB of each value; uint32; empty without a palette.
        inside: pixels of each that equal their four neighbours, which values between two classes hardly ever do;
            int64; empty where all values are small, as class indices are.
        touching: [N, 3] positions of two values and how often they touch on a grid; uint32.
        isolated: pixels unlike all their neighbours.
        known: pixels of each where the image has data; int64; empty where it has them everywhere.
    """

    kind: str
    bits: int
    lossy: bool
    distinct: int
    stored: bytes
    counts: bytes
    inside: bytes
    palette: bytes
    touching: bytes
    isolated: int
    known: bytes = b""

    @property
    def values(self) -> NDArray[np.int64]:
        """[N] distinct stored values."""
        return np.frombuffer(self.stored, dtype=np.uint32).astype(np.int64)

    @property
    def pixels(self) -> NDArray[np.int64]:
        """[N] pixels of each value."""
        return np.frombuffer(self.counts, dtype=np.int64)

    @property
    def counted(self) -> NDArray[np.int64]:
        """[N] pixels of each value that count: where the image has data."""
        return np.frombuffer(self.known, dtype=np.int64) if self.known else self.pixels

    @property
    def inner(self) -> NDArray[np.int64]:
        """[N] pixels of each value that lie inside an area of it; where that was not counted, all of them."""
        return np.frombuffer(self.inside, dtype=np.int64) if self.inside else self.pixels

    @property
    def colors(self) -> NDArray[np.int64]:
        """[N] colour of each value; grey values as grey colours."""
        if self.palette:
            return np.frombuffer(self.palette, dtype=np.uint32).astype(np.int64)
        return self.values if self.kind == "colors" else self.values * 0x010101

    @property
    def neighbours(self) -> NDArray[np.int64]:
        """[N, 3] of `touching`."""
        return np.frombuffer(self.touching, dtype=np.uint32).reshape(-1, 3).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Record:
    """What is kept of a pair.

    Attributes:
        trouble: id of the finding that makes it unusable, or an empty text.
        about: its message.
        image: None where it could not be decoded.
        mask: None where it could not be decoded or does not fit.
        placement: its alignment, packed; empty where it cannot be told.
        mistyped: files that hold another format than their suffix says, and which.
    """

    trouble: str = ""
    about: str = ""
    image: ImageRecord | None = None
    mask: MaskRecord | None = None
    placement: bytes = b""
    mistyped: str = ""

    @property
    def alignment(self) -> Alignment | None:
        """How well the mask lies on the image; None where it cannot be told."""
        return Alignment.unpacked(self.placement) if self.placement else None

    def to_plain(self) -> list[Any]:
        """Lists, numbers and texts, for JSON."""
        parts = _plain(self.image), _plain(self.mask)
        return [self.trouble, self.about, *parts, base64.b64encode(self.placement).decode(), self.mistyped]

    @classmethod
    def from_plain(cls, plain: Any) -> "Record | None":  # noqa: ANN401 - whatever JSON can hold
        """The opposite of `to_plain`; None from anything else."""
        try:
            trouble, about, image, mask, placement, mistyped = plain
            parts = _made(ImageRecord, image), _made(MaskRecord, mask), base64.b64decode(placement)
            whole = trouble or all(parts[:2])
            return cls(trouble, about, *parts, mistyped) if whole else None
        except (TypeError, ValueError, LookupError, AttributeError):
            return None


def look_at(pair: Pair, encoding: Encoding | None = None) -> Record:
    """Decodes both files of a pair.

    Args:
        pair: image and mask.
        encoding: what the pixels of the mask file are, where somebody said it.
    """
    try:
        image = read_image(pair.image)
        if image.dtype == np.float32 and np.isinf(image).any():
            return Record("not-finite", f"{pair.image}: holds infinite pixels.")
        about_image, picture = _about_image(image)
        kind, stored, palette, bits, lossy = _stored(pair, image.shape[:2], encoding)
    except Undecodable as error:
        return Record(error.finding, str(error))
    except DataError as error:
        return Record("undecodable", str(error))
    stored = fit_mask(stored, image.shape[:2], pair)
    if stored.shape != image.shape[:2]:
        finding, about = _size_trouble(pair, image.shape[:2], stored.shape)
        return Record(finding, about, about_image)
    values, pixels = count_values(stored)
    small = small_mask(stored, picture.shape)
    distinct = len(values)
    if distinct > MOST_VALUES:
        most = np.sort(np.argsort(pixels)[-MOST_VALUES:])
        values, pixels = values[most], pixels[most]
    speckle, inner = surroundings(stored)
    missing = without_data(image)
    about_mask = MaskRecord(
        kind,
        bits,
        lossy,
        distinct,
        values.astype(np.uint32).tobytes(),
        pixels.tobytes(),
        _pixels_of(values, stored[1:-1, 1:-1][inner]).tobytes() if values[-1] > _SMALL_VALUES else b"",
        b"" if palette is None else palette[np.minimum(values, len(palette) - 1)].tobytes(),
        b"" if distinct > MOST_VALUES else neighbours(small, values).tobytes(),
        speckle,
        b"" if missing is None or not missing.any() else _pixels_of(values, stored[~missing]).tobytes(),
    )
    mistyped = "; ".join(f"{path} holds a {kind}" for path in pair.files if (kind := named_otherwise(path)))
    aligned = alignment(picture, small)
    return Record("", "", about_image, about_mask, aligned.packed() if aligned else b"", mistyped)


def _pixels_of(values: NDArray[np.int64], chosen: NDArray[Any]) -> NDArray[np.int64]:
    """[N] how often each value is among chosen pixels of a mask."""
    found, pixels = count_values(chosen)
    counts = np.zeros(len(values), dtype=np.int64)
    known = np.isin(found, values)
    counts[np.searchsorted(values, found[known])] = pixels[known]
    return counts


def _stored(
    pair: Pair, image_size: tuple[int, int], encoding: Encoding | None
) -> tuple[str, NDArray[Any], NDArray[np.uint32] | None, int, bool]:
    """Kind, stored values [H, W], packed palette, bits, and whether the file is lossy."""
    if not isinstance(pair.mask, Path):
        return "drawn", read_source(pair.mask, image_size), None, 16, False
    pixels = decode_mask(pair.mask)
    palette = None
    if pixels.array.ndim == 2:
        kind = "values" if pixels.palette is None else "palette"
        palette = None if pixels.palette is None else pixels.palette.astype(np.uint32) @ _PACKING
    elif pixels.array.shape[2] != 3:
        kind = "channels"
    else:
        kind = "grey" if (pixels.array[:, :, :1] == pixels.array).all() else "colors"
    own: dict[str, Encoding] = {"channels": "channels", "colors": "colors"}
    stored = stored_values(pixels, encoding or own.get(kind, "values"), pair.mask)
    if encoding == "colors":
        kind, palette = "colors", None
    return kind, stored, palette, pixels.bits, pixels.lossy


_PACKING = np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)


def _about_image(image: NDArray[Any]) -> tuple[ImageRecord, NDArray[np.float32]]:
    """What is kept of an image, and the small picture of it."""
    moments = _moments(image)
    size = (image.shape[0], image.shape[1])
    if moments[0].min() < size[0] * size[1]:
        image = np.where(np.isnan(image), moments[1].astype(image.dtype), image)
    picture = small_picture(image)
    constant = not picture.any() and bool((image == image[:1, :1]).all())
    thumb = thumbnail(picture).tobytes()
    return ImageRecord(size, sys.intern(image.dtype.name), moments.tobytes(), constant, thumb), picture


def _moments(image: NDArray[Any]) -> NDArray[np.float64]:
    """[3, bands] pixels that are numbers, their mean and mean square; 0 where there are none."""
    numbers = ~np.isnan(image) if image.dtype.kind == "f" else np.ones((1, 1, 1), dtype=np.bool_)
    whole = bool(numbers.all())
    together = _OPENCV_BANDS if whole else 1
    moments = np.full((3, image.shape[2]), image.shape[0] * image.shape[1], dtype=np.float64)
    for first in range(0, image.shape[2], together):
        bands = slice(first, first + together)
        mask = None if whole else np.ascontiguousarray(numbers[:, :, first], dtype=np.uint8)
        mean, std = (one.ravel() for one in cv2.meanStdDev(np.ascontiguousarray(image[:, :, bands]), mask=mask))
        moments[1:, bands] = mean, mean**2 + std**2
        if mask is not None:
            moments[0, first] = np.count_nonzero(mask)
    return moments


def _size_trouble(pair: Pair, image: tuple[int, ...], mask: tuple[int, ...]) -> tuple[str, str]:
    """The finding for a mask of another size than its image, and its message."""
    what = f"{path_of(pair.mask)}: mask of {mask[0]}x{mask[1]} (height x width), image of {image[0]}x{image[1]}"
    if image == mask[::-1]:
        if orientation(pair.image) != 1:
            return "size-exif", f"{what}: the mask was drawn before the picture was turned upright (EXIF)."
        return "size-turned", f"{what}: one of them is turned by a quarter."
    if abs(image[0] - mask[0]) <= _OFF_BY_A_FEW and abs(image[1] - mask[1]) <= _OFF_BY_A_FEW:
        return "size-near", f"{what}: off by a few pixels."
    if same_shape(image, mask):
        return "size-scaled", f"{what}: the same shape at another scale."
    return "size-differs", f"{what}: not of one picture."


def _plain(part: ImageRecord | MaskRecord | None) -> list[Any] | None:
    if part is None:
        return None
    values = (getattr(part, name) for name in _FIELDS[type(part)])
    return [base64.b64encode(value).decode() if isinstance(value, bytes) else value for value in values]


def _made(kind: Any, plain: list[Any] | None) -> Any:  # noqa: ANN401 - one of the two parts of a record
    if plain is None:
        return None
    made: list[Any] = [tuple(value) if isinstance(value, list) else value for value in plain]
    for place, decode in _DECODED[kind]:
        made[place] = decode(made[place])
    return kind(*made)


_FIELDS = {kind: [field.name for field in fields(kind)] for kind in (ImageRecord, MaskRecord)}
_DECODERS: dict[Any, Callable[[str], Any]] = {bytes: base64.b64decode, str: sys.intern}
_DECODED = {
    kind: [(place, _DECODERS[field.type]) for place, field in enumerate(fields(kind)) if field.type in _DECODERS]
    for kind in (ImageRecord, MaskRecord)
}

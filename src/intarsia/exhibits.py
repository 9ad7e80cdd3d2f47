"""What a report on a dataset shows: which pairs, and small pictures of them, opened one pair at a time."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from intarsia.data.check.classes import fits
from intarsia.data.check.features import Alignment
from intarsia.data.check.inspection import Inspection, place
from intarsia.data.check.looks import Look
from intarsia.data.check.placement import worst
from intarsia.data.pairs import Pair, fit_mask
from intarsia.data.read import decode_mask, read_image, stored_values
from intarsia.data.sources import read_source
from intarsia.draw import Picture, color_mask, marked, overlay, rgb
from intarsia.labels import Encoding, Labels

SIDE = 320  # pixels of the longer side of a small picture, at most
UNKNOWN = -1  # the class of a stored value without a meaning
_VISIBLE = 0.004  # share of a picture from which on a class can be seen in it
_GOLDEN = 0.618034  # steps of the golden ratio visit a row evenly, wherever one stops
_ENCODINGS: dict[int, Encoding] = {2: "values", 3: "colors"}  # by dimensions, where nobody said it
_TWINS = ("leak", "near-leak", "contradiction", "duplicates", "near-duplicates")  # gravest first
_PICTURED = (  # findings that a picture of the mask explains, gravest first
    "size-turned", "size-exif", "size-differs", "size-near", "size-scaled", "mixed-encodings", "unknown-values",
    "too-noisy", "noise", "speckle", "small-objects",
)  # fmt: skip


@dataclass(frozen=True)
class View:
    """A pair, small.

    Attributes:
        image: [h, w, 3] RGB.
        mask: [h, w] class indices, or `UNKNOWN`; stored values where nobody knows the classes.
        size: (height, width) of the image.
        mask_size: of the mask.
        labels: the classes; None where nobody knows them, or the mask is of another kind.
    """

    image: Picture
    mask: NDArray[Any]
    size: tuple[int, int]
    mask_size: tuple[int, int]
    labels: Labels | None

    @property
    def over_image(self) -> Picture:
        """The image tinted by class; the mask alone where its classes are unknown, or it does not fit."""
        if self.labels is None or self.image.shape[:2] != self.mask.shape:
            return self.mask_alone
        return overlay(self.image, _known(self.mask, self.labels), self.labels)

    @property
    def mask_alone(self) -> Picture:
        """The mask in its classes' colours, or as it is stored."""
        return _stored_picture(self.mask) if self.labels is None else color_mask(
            _known(self.mask, self.labels), self.labels
        )

    def classes(self) -> list[int]:
        """Indices of its classes, those with the most pixels first."""
        if self.labels is None:
            return []
        return [index for index, _ in Counter(self.mask.ravel().tolist()).most_common() if 0 <= index < len(self.labels)]


def view(pair: Pair, labels: Labels | None) -> View:
    """Opens a pair and makes it small.

    Raises:
        DataError: a file cannot be decoded.
    """
    image = read_image(pair.image)
    size = (image.shape[0], image.shape[1])
    small = rgb(_shrunk(image))
    del image  # of the two, only one is in memory at its full size
    stored = fit_mask(_stored(pair, size, labels), size, pair)
    mask_size = (stored.shape[0], stored.shape[1])
    stored = _picked(stored, small.shape[:2] if mask_size == size else _small_size(mask_size))
    return View(small, stored if labels is None else _classes(stored, labels), size, mask_size, labels)


def marked_view(pair: Pair, labels: Labels, finding: str) -> Picture:
    """The image with the pixels marked that a finding speaks of: "unknown-values", "small-objects" or "speckle".

    Raises:
        DataError: a file cannot be decoded.
    """
    image = read_image(pair.image)
    stored = fit_mask(_stored(pair, image.shape[:2], labels), image.shape[:2], pair)
    classes = _classes(stored, labels)
    ...


def samples(inspection: Inspection, most: int) -> list[Look]:
    """Usable pairs, spread over the splits, and as far as possible so that each class is seen well."""
    looks = [look for look in inspection.looks if look.usable and _readable(look, inspection.labels)]
    seen = _classes_seen(looks, inspection.labels)
    left = _quotas(Counter(look.split for look in looks), most)
    order = sorted(range(len(looks)), key=lambda number: number * _GOLDEN % 1)
    chosen: list[int] = []
    missing = set().union(*seen)
    while any(left.values()):
        candidates = [number for number in order if left[looks[number].split] and number not in chosen]
        best = max(candidates, key=lambda number: len(seen[number] & missing))
        chosen.append(best)
        missing -= seen[best]
        left[looks[best].split] -= 1
    return [looks[number] for number in sorted(chosen)]

"""What the report on a dataset shows: which pairs, and small pictures of them, opened one pair at a time."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, cycle, zip_longest
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from intarsia.data.check.classes import Table, fits
from intarsia.data.check.features import Alignment, small_mask
from intarsia.data.check.findings import Finding
from intarsia.data.check.inspection import Inspection, place
from intarsia.data.check.looks import Look
from intarsia.data.check.placement import worst
from intarsia.data.pairs import Pair, fit_mask
from intarsia.data.read import decode_mask, read_image, stored_values
from intarsia.data.sources import read_source
from intarsia.draw import Picture, color_mask, marked, overlay, rgb
from intarsia.labels import Encoding, Labels, count_values

_Item = TypeVar("_Item")

_AREA = 280 * 280  # pixels of a small picture, at most
_LONGEST = 640  # pixels of its longer side, at most
UNKNOWN = -1  # the class of a stored value without a meaning
_WIDE = 2.5  # times the height
_VISIBLE = 0.004  # share of a picture from which on a class can be seen in it
_GOLDEN = 0.618034  # steps of the golden ratio visit a row evenly, wherever one stops
_TWINS = ("leak", "contradiction", "near-leak", "duplicates", "near-duplicates")  # gravest first
_PICTURED = (  # findings that are understood best by looking at the mask, gravest first
    *("size-turned", "size-exif", "size-differs", "size-near", "size-scaled"),
    *("mixed-encodings", "unknown-values", "speckle", "small-objects"),
)
_SMALL = 10  # pixels; as the finding `small-objects` has it

SPOTS = {
    "unknown-values": "values without a meaning",
    "speckle": "single pixels",
    "small-objects": "classes of a few pixels",
}
"""The findings that speak of pixels, and what they are."""


@dataclass(frozen=True)
class View:
    """A pair, small.

    Attributes:
        image: [h, w, 3] RGB.
        mask: [h, w] class indices, or `UNKNOWN`; stored values where nobody knows the classes.
        size: (height, width) of the image.
        mask_size: of the mask.
        labels: the classes; None where nobody knows them, or the mask is of another kind.
        spots: [h, w] the pixels that a finding speaks of, if it speaks of pixels.
    """

    image: Picture
    mask: NDArray[Any]
    size: tuple[int, int]
    mask_size: tuple[int, int]
    labels: Labels | None
    spots: NDArray[np.bool_] | None

    @property
    def colored(self) -> Picture:
        """The mask in its classes' colours; as it is stored where nobody knows them."""
        if self.labels is None:
            return _as_stored(self.mask)
        return color_mask(_known(self.mask, self.labels), self.labels)

    @property
    def over_image(self) -> Picture:
        """The image tinted by class; the mask alone where nobody knows them."""
        if self.labels is None:
            return _as_stored(self.mask)
        return overlay(self.image, _known(self.mask, self.labels), self.labels)

    @property
    def explained(self) -> Picture:
        """The image with the spots marked; the mask alone where there are none."""
        return self.colored if self.spots is None else marked(self.image, self.spots)

    @property
    def classes(self) -> list[int]:
        """Indices of its classes, those with the most pixels first."""
        if self.labels is None:
            return []
        counts = Counter(self.mask.ravel().tolist()).most_common()
        return [index for index, _ in counts if 0 <= index < len(self.labels)]


def is_wide(size: tuple[int, int]) -> bool:
    """Whether a (height, width) is much wider than high."""
    return size[1] > _WIDE * size[0]


def view(look: Look, labels: Labels | None, finding: str = "") -> View:
    """Opens a pair and makes it small.

    Args:
        look: the pair.
        labels: the classes; None shows the mask as it is stored.
        finding: what was found in it; see `View.spots`.

    Raises:
        DataError: a file cannot be decoded.
    """
    pair = look.pair
    if labels is not None and look.record.mask is not None and not fits(look.record.mask, labels):
        labels = None
    image, size = small_image(pair)
    mask = fit_mask(_stored(pair, size, labels), size, pair)
    mask_size = (mask.shape[0], mask.shape[1])
    small = image.shape[:2] if mask_size == size else _small_size(mask_size)
    spots = _spots(mask, labels, finding)
    if spots is not None:
        spots = small_mask(_enlarged(spots, max(mask_size) / max(small)), small)
    mask = small_mask(mask, small)
    if labels is not None:
        mask = _classes(mask, labels)
    return View(image, mask, size, mask_size, labels, spots)


def small_image(pair: Pair) -> tuple[Picture, tuple[int, int]]:
    """The image of a pair, small and RGB, and its (height, width) in the file.

    Raises:
        DataError: it cannot be decoded.
    """
    image = read_image(pair.image)
    size = (image.shape[0], image.shape[1])
    bands = np.ascontiguousarray(image[:, :, :3] if image.shape[2] >= 3 else image[:, :, :1])  # as `rgb` shows them
    height, width = _small_size(size)
    if (height, width) != size:
        bands = cv2.resize(bands, (width, height), interpolation=cv2.INTER_AREA).reshape(height, width, -1)
    return rgb(bands), size


def moved(mask: NDArray[Any], alignment: Alignment) -> NDArray[Any]:
    """A mask [h, w] where it would lie better: mirrored, turned or shifted."""
    if alignment.flipped >= alignment.shifted:
        down = -1 if alignment.flip_name in ("top-bottom", "half a turn") else 1
        across = -1 if alignment.flip_name in ("left-right", "half a turn") else 1
        return np.ascontiguousarray(mask[::down, ::across])
    height, width = mask.shape
    down, right = (round(share * max(height, width)) for share in (alignment.down, alignment.right))
    rows = np.clip(np.arange(height) - down, 0, height - 1)
    columns = np.clip(np.arange(width) - right, 0, width - 1)
    return np.ascontiguousarray(mask[rows[:, None], columns])


def samples(inspection: Inspection, most: int) -> list[Look]:
    """Usable pairs from all splits, so chosen that as many classes as possible are seen well, rare ones first."""
    looks = [look for look in inspection.looks if _shows(look, inspection.labels)]
    seen = _seen_well(looks, inspection.labels)
    pairs_with = Counter(chain.from_iterable(seen))
    missing = set(pairs_with)
    left = _quotas(Counter(look.split for look in looks), most)
    order = sorted(range(len(looks)), key=lambda number: number * _GOLDEN % 1)
    chosen: list[int] = []
    while left.total():
        waiting = [number for number in order if left[looks[number].split]]
        best = max(waiting, key=lambda number: sum(1 / pairs_with[index] for index in seen[number] & missing))
        chosen.append(best)
        order.remove(best)
        missing -= seen[best]
        left[looks[best].split] -= 1
    return [looks[number] for number in sorted(chosen)]


def twins(inspection: Inspection) -> list[tuple[Finding, Look, Look]]:
    """Pictures that occur twice, or nearly: of each kind in turn, the gravest first."""
    by_name = _by_name(inspection)
    kinds = [
        [(finding, by_name[one], by_name[other]) for one, other in _new_ones_first(finding.pairs)]
        for finding in _ordered(inspection.findings, _TWINS)
    ]
    return list(_in_turn(kinds))


def troubled(inspection: Inspection, most: int) -> list[tuple[Finding, Look]]:
    """Pairs with a finding that a picture of the mask explains: at most so many of each, the gravest first."""
    by_name = _by_name(inspection)
    findings = _ordered(inspection.findings, _PICTURED)
    return [(finding, by_name[name]) for finding in findings for name in finding.pairs[:most]]


def doubtful(inspection: Inspection, most: int) -> list[tuple[Look, bool]]:
    """Pairs whose masks lie worst on their pictures' edges, and whether a finding says so; these come first."""
    by_name = _by_name(inspection)
    named = [by_name[name] for finding in _ordered(inspection.findings, ("misaligned",)) for name in finding.pairs]
    clean = inspection.labels is not None and not inspection.labels.snap  # noise has borders of its own
    others = [look for look in worst(inspection.looks, most + len(named)) if look not in named] if clean else []
    return [*((look, True) for look in named), *((look, False) for look in others)][:most]


def _shows(look: Look, labels: Labels | None) -> bool:
    mask = look.record.mask
    return look.usable and mask is not None and (labels is None or fits(mask, labels))


def _seen_well(looks: Sequence[Look], labels: Labels | None) -> list[set[int]]:
    """For each pair, the classes that can be seen in it, or about as well as anywhere."""
    seen: list[set[int]] = [set() for _ in looks]
    if labels is None or not looks:
        return seen
    table = Table.of(looks, labels)
    share = table.pixels / np.bincount(table.owner, weights=table.pixels)[table.owner]
    known = (table.index >= 0) & (table.index != labels.ignore_index)
    owner, index, share = table.owner[known], table.index[known], share[known]
    best = np.zeros(len(labels))
    np.maximum.at(best, index, share)
    well = share >= np.minimum(_VISIBLE, best[index] / 2)
    for number, one in zip(owner[well].tolist(), index[well].tolist(), strict=True):
        seen[number].add(one)
    return seen


def _quotas(numbers: Counter[str], most: int) -> Counter[str]:
    """How many samples each split gives: half of them from train."""
    quotas: Counter[str] = Counter()
    for split in cycle((*numbers, "train")):
        if quotas.total() >= min(most, numbers.total()):
            break
        quotas[split] += quotas[split] < numbers[split]
    return quotas


def _by_name(inspection: Inspection) -> dict[str, Look]:
    return {place(inspection.dataset, look): look for look in inspection.looks}


def _ordered(findings: Iterable[Finding], ids: Sequence[str]) -> list[Finding]:
    return sorted((one for one in findings if one.id in ids), key=lambda one: ids.index(one.id))


def _new_ones_first(names: Sequence[str]) -> list[tuple[str, str]]:
    """Names two by two; those after which neither is new come last: a series of equal pictures is seen soon."""
    seen: set[str] = set()
    known: list[tuple[bool, tuple[str, str]]] = []
    for pair in zip(names[::2], names[1::2], strict=True):
        known.append((not seen.isdisjoint(pair), pair))
        seen.update(pair)
    return [pair for _, pair in sorted(known, key=lambda one: one[0])]


def _in_turn(rows: Iterable[Iterable[_Item]]) -> Iterator[_Item]:
    """The first of each row, then the second of each."""
    return (item for item in chain.from_iterable(zip_longest(*rows)) if item is not None)


def _small_size(size: tuple[int, int]) -> tuple[int, int]:
    scale = min(1.0, math.sqrt(_AREA / (size[0] * size[1])), _LONGEST / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _stored(pair: Pair, size: tuple[int, int], labels: Labels | None) -> NDArray[Any]:
    """[H, W] stored values; without labels, of the encoding that the file itself suggests."""
    if labels is not None or not isinstance(pair.mask, Path):
        return read_source(pair.mask, size, labels.encoding if labels else "values", lossy=True)
    pixels = decode_mask(pair.mask)
    bands = 1 if pixels.array.ndim == 2 else pixels.array.shape[2]
    encodings: dict[int, Encoding] = {1: "values", 3: "colors"}
    return stored_values(pixels, encodings.get(bands, "channels"), pair.mask)


def _classes(stored: NDArray[Any], labels: Labels) -> NDArray[np.int64]:
    """Class indices of stored values [h, w]; `UNKNOWN` without a meaning."""
    values, position = np.unique(stored, return_inverse=True)
    return labels.classes_of(values)[position].reshape(stored.shape)


def _known(mask: NDArray[Any], labels: Labels) -> NDArray[Any]:
    """With what has no meaning as ignored."""
    return np.where(mask == UNKNOWN, labels.ignore_index, mask)


def _as_stored(mask: NDArray[Any]) -> Picture:
    """Stored values as a picture: colours as they are, others from black to white."""
    if mask.dtype == np.uint32:
        return np.stack([mask >> shift & 0xFF for shift in (16, 8, 0)], axis=2).astype(np.uint8)
    low, high = int(mask.min()), int(mask.max())
    grey = (mask.astype(np.float32) - low) * (255 / max(high - low, 1))
    return np.repeat(grey.astype(np.uint8)[:, :, None], 3, axis=2)


def _spots(stored: NDArray[Any], labels: Labels | None, finding: str) -> NDArray[np.bool_] | None:
    """The pixels of a mask [H, W] that a finding speaks of."""
    if labels is None or finding not in SPOTS:
        return None
    if finding == "speckle":
        return _alone(stored)
    values, pixels = count_values(stored)
    classes = labels.classes_of(values)
    chosen = classes == UNKNOWN
    if finding == "small-objects":
        known = (classes >= 0) & (classes < len(labels))
        chosen = known & (labels.count(values, pixels)[np.where(known, classes, 0)] < _SMALL)
    return np.isin(stored, values[chosen])


def _alone(stored: NDArray[Any]) -> NDArray[np.bool_]:
    """[H, W] the pixels, but for those at the rim, that differ from all of their four neighbours."""
    across = stored[:, 1:] != stored[:, :-1]
    down = stored[1:] != stored[:-1]
    return np.pad(across[1:-1, :-1] & across[1:-1, 1:] & down[:-1, 1:-1] & down[1:, 1:-1], 1)


def _enlarged(spots: NDArray[np.bool_], scale: float) -> NDArray[np.bool_]:
    """So much that no spot is lost when only every so many-th pixel is kept."""
    reach = 2 * math.ceil((scale - 1) / 2) + 1
    return cv2.dilate(spots.astype(np.uint8), np.ones((reach, reach), np.uint8)) > 0

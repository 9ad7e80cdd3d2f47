"""Pictures that occur twice, or nearly: within a split they count double, across splits they make scores lie."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from intarsia.data.check.features import THUMB, difference_hash
from intarsia.data.check.findings import Finding
from intarsia.data.check.looks import Look
from intarsia.data.read import decode_mask
from intarsia.data.sources import files_of
from intarsia.errors import counted, listing

_MOST_BITS = 8  # of 64 in which the hashes of near duplicates differ
_MOST_DIFFERENCE = 6.0  # mean difference of their thumbnails, of 255
_AT_ONCE = 1 << 20  # comparisons of two hashes that are held in memory
_MOST_NEIGHBOURS = 20  # of one picture; a series of nearly equal ones is told by its first pairs
_RANK = {"test": 0, "val": 1, "train": 2}  # of two equal pictures the one to keep comes first


def similar(looks: Sequence[Look], name: Callable[[Look], str]) -> Iterator[Finding]:
    """Equal and nearly equal pictures within and across splits."""
    looks = [look for look in looks if look.record.image is not None and not look.record.image.constant]
    grouped: dict[str, list[tuple[Look, Look]]] = {}
    for first, second in _near(looks):
        one, other = sorted((looks[first], looks[second]), key=lambda look: (_RANK[look.split], look.pair.name))
        equal = _equal(one.pair.image, other.pair.image)
        if one.split != other.split:
            kind = "leak" if equal else "near-leak"
        else:
            kind = "duplicates" if equal else "near-duplicates"
        if equal and not _same_mask(one, other):
            kind = "contradiction"
        grouped.setdefault(kind, []).append((one, other))
    for kind, pairs in grouped.items():
        yield _finding(kind, pairs, name)


def _near(looks: Sequence[Look]) -> list[tuple[int, int]]:
    """Positions of pictures whose thumbnails are nearly equal."""
    if len(looks) < 2:
        return []
    thumbs = np.stack([_thumb(look) for look in looks])
    hashes = np.array([difference_hash(thumb) for thumb in thumbs], dtype=np.uint64)
    sizes = np.array([look.record.image.size for look in looks if look.record.image])
    found: list[tuple[int, int]] = []
    neighbours = np.zeros(len(looks), dtype=np.int64)
    rows = max(1, _AT_ONCE // len(looks))
    for start in range(0, len(looks), rows):
        bits = np.bitwise_count(hashes[start : start + rows, None] ^ hashes[None, start:])
        for row, column in np.argwhere(np.triu(bits <= _MOST_BITS, 1)):
            one, other = start + int(row), start + int(column)
            if neighbours[one] >= _MOST_NEIGHBOURS or not (sizes[one] == sizes[other]).all():
                continue
            if cv2.absdiff(thumbs[one], thumbs[other]).mean() <= _MOST_DIFFERENCE:
                neighbours[one] += 1
                found.append((one, other))
    return found


def _thumb(look: Look) -> NDArray[np.uint8]:
    assert look.record.image is not None
    return np.frombuffer(look.record.image.thumb, dtype=np.uint8).reshape(THUMB, THUMB)


def _equal(one: Path, other: Path) -> bool:
    """Whether two files hold the same bytes."""
    try:
        return one.stat().st_size == other.stat().st_size and one.read_bytes() == other.read_bytes()
    except OSError:
        return False


def _same_mask(one: Look, other: Look) -> bool:
    """Whether the masks of two equal pictures hold the same; where one could not be read, nothing is said."""
    if one.record.mask is None or other.record.mask is None:
        return True
    if one.record.mask != other.record.mask:
        return False
    files = [*files_of(one.pair.mask), *files_of(other.pair.mask)]
    if len(files) != 2 or _equal(*files) or not all(isinstance(look.pair.mask, Path) for look in (one, other)):
        return True
    first, second = (decode_mask(file).array for file in files)  # the same counts, perhaps in other places
    return bool(np.array_equal(first, second))


def _finding(kind: str, pairs: Sequence[tuple[Look, Look]], name: Callable[[Look], str]) -> Finding:
    shown = listing((f"{name(one)} = {name(other)}" for one, other in pairs), 3)
    splits = listing(sorted({f"{one.split} and {other.split}" for one, other in pairs}))
    others = tuple(dict.fromkeys(name(other) for _, other in pairs))
    number = counted(len(others), "picture")
    message = {
        "leak": f"{number} in {splits}: {shown}",
        "near-leak": f"{number} nearly equal in {splits}: {shown}",
        "duplicates": f"{number} twice in a split: {shown}",
        "near-duplicates": f"{number} nearly equal to another of the same split: {shown}",
        "contradiction": f"{number} twice, with different masks: {shown}",
    }[kind]
    both = tuple(name(look) for pair in pairs for look in pair)
    exclude = {"near-duplicates": (), "contradiction": tuple(dict.fromkeys(both))}.get(kind, others)
    files = [str(look.pair.image) for pair in pairs[:5] for look in pair]
    return Finding(kind, message, count=len(others), files=tuple(files), pairs=both, exclude=exclude)

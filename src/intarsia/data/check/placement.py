"""Masks that lie beside their picture: mirrored, turned, shifted. Told by borders and edges, against the set."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from intarsia.data.check.features import FLIPS, Alignment
from intarsia.data.check.findings import Finding, first_files
from intarsia.data.check.looks import Look
from intarsia.errors import counted, listing

_FEWEST = 8  # pairs; in fewer, nothing stands out
# A pair stands out when it lies worse, and another place better, than in the rest of the set by so many standard
# deviations; by fewer, where its borders lie on no edges at all. Chosen so that 400 drawn scenes without a fault
# give no false alarm; benchmarks/misalignment.py counts what is found.
_OUTLIER = 8.0
_OUTLIER_OFF_EDGES = 5.0
_OFF_EDGES = 0.15  # mean edge under the borders
_LEAST_GAIN = 0.15  # standard deviations of the image's edges by which another place must be better
_LEAST_SIGMA = 0.1
_GAIN_OF_ALL = 0.25  # by which another place must be better for the set as a whole
_SAME_PLACE = 0.02  # shifts that differ by no more share of the side are one
_MOST_OF = 0.6  # of the masks: then the set as a whole is shifted or mirrored


def misaligned(looks: Sequence[Look], name: Callable[[Look], str]) -> Iterator[Finding]:
    """Pairs whose mask lies much better mirrored or shifted, unlike the rest of the set."""
    seen = [look for look in looks if look.usable and look.record.placement]
    if len(seen) < _FEWEST:
        return
    packed = b"".join(look.record.placement for look in seen)
    aligned = np.frombuffer(packed, dtype=np.float32).reshape(
        len(seen), -1
    )  # a column for each part of an Alignment
    as_is = aligned[:, 0]
    flipped, shifted = aligned[:, 1] - as_is, aligned[:, 3] - as_is
    if whole := _the_whole_set(aligned):
        yield Finding(
            "misaligned",
            f"Nearly all masks lie better {whole}: were images and masks exported differently?",
            count=len(seen),
            files=tuple(str(look.pair.image) for look in seen[:5]),
            pairs=tuple(map(name, seen[:5])),
        )
        return
    outlying = np.maximum(_outlying(flipped), _outlying(shifted)) - _outlying(as_is)
    needed = np.where(as_is < _OFF_EDGES, _OUTLIER_OFF_EDGES, _OUTLIER)
    odd = np.flatnonzero((outlying > needed) & (np.maximum(flipped, shifted) > _LEAST_GAIN))
    if len(odd):
        order = odd[np.argsort(-outlying[odd])].tolist()
        found = [seen[index] for index in order]
        places = (better_place(Alignment(*aligned[index].tolist())) for index in order)
        described = (f"{name(look)} ({place})" for look, place in zip(found, places, strict=True))
        verbs = "is probably not where it should be, and lies"
        if len(odd) > 1:
            verbs = "are probably not where they should be, and lie"
        yield Finding(
            "misaligned",
            f"{counted(len(odd), 'mask')} {verbs} better: {listing(described, 4)}",
            count=len(odd),
            files=first_files([look.pair.image for look in found]),
            pairs=tuple(map(name, found)),
        )


def worst(looks: Sequence[Look], most: int) -> list[Look]:
    """The pairs whose masks lie worst on their picture's edges."""
    seen = [look for look in looks if look.usable and look.record.alignment is not None]
    return sorted(seen, key=lambda look: look.record.alignment.as_is if look.record.alignment else 0.0)[:most]


def _outlying(numbers: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far each is from the median of all, in standard deviations by the median absolute deviation."""
    middle = np.median(numbers)
    sigma = max(_LEAST_SIGMA, 1.4826 * float(np.median(np.abs(numbers - middle))))
    return np.asarray((numbers - middle) / sigma)


def _the_whole_set(aligned: NDArray[np.float32]) -> str:
    """How the whole set would lie better, or an empty text."""
    as_is, flipped, flip, shifted, *shift = aligned.T
    gained = flip[flipped - as_is > _GAIN_OF_ALL]
    for index, name in enumerate(FLIPS):
        if np.count_nonzero(gained == index) >= _MOST_OF * len(aligned):
            return f"mirrored {name}" if name != "half a turn" else "turned by half a turn"
    shifts = np.stack(shift, axis=1)[shifted - as_is > _GAIN_OF_ALL]
    if len(shifts) >= _MOST_OF * len(aligned):
        middle = np.median(shifts, axis=0)
        if (np.abs(shifts - middle).max(axis=1) <= _SAME_PLACE).mean() >= _MOST_OF:
            return _shift_in_words(*middle.tolist())
    return ""


def better_place(one: Alignment) -> str:
    """Where the mask lies better, in words: "mirrored left-right", "5% lower of the longer side"."""
    if one.flipped >= one.shifted:
        return one.flip_name if one.flip_name == "half a turn" else f"mirrored {one.flip_name}"
    return _shift_in_words(one.down, one.right)


def _shift_in_words(down: float, right: float) -> str:
    vertical = f"{abs(down):.0%} {'lower' if down > 0 else 'higher'}" if abs(down) >= 0.005 else ""
    horizontal = f"{abs(right):.0%} further {'right' if right > 0 else 'left'}" if abs(right) >= 0.005 else ""
    return " and ".join(part for part in (vertical, horizontal) if part) + " of the longer side"

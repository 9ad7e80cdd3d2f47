"""Masks that lie beside their picture: mirrored, turned, shifted. Told by borders and edges, against the set."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from intarsia.data.check.features import Alignment
from intarsia.data.check.findings import Finding
from intarsia.data.check.looks import Look
from intarsia.errors import listing

_FEWEST = 8  # pairs; in fewer, nothing stands out
_LEAST_GAIN = 0.25  # standard deviations of the image's edges by which another place must be better
_SIGMAS = 4.0
_SAME_PLACE = 0.02  # shifts that differ by no more share of the side are one
_MOST_OF = 0.6  # of the masks: then the set as a whole is shifted or mirrored


def misaligned(looks: Sequence[Look], name: Callable[[Look], str]) -> Iterator[Finding]:
    """Pairs whose mask lies much better mirrored or shifted, unlike the rest of the set."""
    seen = [(look, look.record.alignment) for look in looks if look.usable and look.record.alignment is not None]
    if len(seen) < _FEWEST:
        return
    aligned = [alignment for _, alignment in seen]
    as_is = np.array([alignment.as_is for alignment in aligned])
    flipped = np.array([alignment.flipped for alignment in aligned]) - as_is
    shifted = np.array([alignment.shifted for alignment in aligned]) - as_is
    if whole := _the_whole_set(aligned, flipped, shifted):
        examples = [look.pair.image for look, _ in seen[:5]]
        yield Finding(
            "misaligned",
            f"Nearly all masks lie better {whole}: were images and masks exported differently?",
            count=len(seen),
            files=tuple(map(str, examples)),
            pairs=tuple(name(look) for look, _ in seen[:5]),
        )
        return
    gain = np.maximum(flipped / _threshold(flipped), shifted / _threshold(shifted))
    odd = [int(index) for index in np.argsort(-gain) if gain[index] > 1 and as_is[index] < np.median(as_is)]
    if odd:
        described = [f"{name(seen[index][0])} ({_how(aligned[index])})" for index in odd]
        yield Finding(
            "misaligned",
            f"{len(odd)} masks are probably not where they should be: {listing(described, 4)}",
            count=len(odd),
            files=tuple(str(seen[index][0].pair.image) for index in odd[:10]),
            pairs=tuple(name(seen[index][0]) for index in odd),
        )


def worst(looks: Sequence[Look], most: int) -> list[Look]:
    """The pairs whose masks lie worst on their picture's edges."""
    seen = [look for look in looks if look.usable and look.record.alignment is not None]
    return sorted(seen, key=lambda look: look.record.alignment.as_is if look.record.alignment else 0.0)[:most]


def _threshold(gains: NDArray[np.float64]) -> float:
    """What stands out: far beyond the middle of the set, by its median absolute deviation."""
    middle = float(np.median(gains))
    sigma = 1.4826 * float(np.median(np.abs(gains - middle)))
    return max(_LEAST_GAIN, middle + _SIGMAS * sigma)


def _the_whole_set(aligned: Sequence[Alignment], flipped: NDArray[np.float64], shifted: NDArray[np.float64]) -> str:
    """How the whole set would lie better, or an empty text."""
    flips = [one.flip for one, gain in zip(aligned, flipped, strict=True) if gain > _LEAST_GAIN]
    for flip in set(flips):
        if flips.count(flip) >= _MOST_OF * len(aligned):
            return f"mirrored {flip}" if flip != "half a turn" else "turned by half a turn"
    shifts = np.array([one.shift for one, gain in zip(aligned, shifted, strict=True) if gain > _LEAST_GAIN])
    if len(shifts) >= _MOST_OF * len(aligned):
        middle = np.median(shifts, axis=0)
        if (np.abs(shifts - middle).max(axis=1) <= _SAME_PLACE).mean() >= _MOST_OF:
            return _shift_in_words((float(middle[0]), float(middle[1])))
    return ""


def _how(one: Alignment) -> str:
    if one.flipped >= one.shifted:
        return "half a turn" if one.flip == "half a turn" else f"mirrored {one.flip}"
    return _shift_in_words(one.shift)


def _shift_in_words(shift: tuple[float, float]) -> str:
    down, right = shift
    vertical = f"{abs(down):.0%} {'lower' if down > 0 else 'higher'}" if abs(down) >= 0.005 else ""
    horizontal = f"{abs(right):.0%} further {'right' if right > 0 else 'left'}" if abs(right) >= 0.005 else ""
    return " and ".join(part for part in (vertical, horizontal) if part) + " of the longer side"

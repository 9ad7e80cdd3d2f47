"""Where the tiles of a large picture lie, and how much each of their pixels counts: pure arithmetic.

Along each axis tiles of one length overlap. In the middle of an overlap one tile fades out while the next fades in;
beside that zone, only one of them counts. So every pixel is given by one tile, or by two whose weights add up to 1,
and pixels near a tile's cut edge, where the network sees too little, count for nothing.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from intarsia.errors import SettingsError


class Window(NamedTuple):
    """A part of a picture, in pixels."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class Span:
    """One tile along one axis, in pixels of the picture.

    Attributes:
        start: first pixel that the network sees.
        stop: behind the last one.
        first: first pixel to which the tile contributes.
        last: behind the last one.
        fade_in: number of pixels from `first` on over which its weight rises to 1.
        fade_out: number of pixels before `last` over which it falls, while that of the next tile rises.
    """

    start: int
    stop: int
    first: int
    last: int
    fade_in: int
    fade_out: int


def spans(length: int, tile: int, overlap: int, step: int = 1) -> list[Span]:
    """The tiles along an axis.

    They are spread evenly, so that overlaps are `overlap` or more, and begin at multiples of `step`: a network that
    halves its input sees the same pairs of pixels as in the whole picture. The last one ends with the picture.

    Args:
        length: of the axis.
        tile: length of a tile, a multiple of `step`.
        overlap: of two tiles, a multiple of `step` below `tile`.
        step: what the network's input must be divisible by.
    """
    if length <= tile:
        return [Span(0, length, 0, length, 0, 0)]
    last = -(-(length - tile) // step) * step
    gaps = -(-last // (tile - overlap))
    starts = [last * number // gaps // step * step for number in range(gaps + 1)]
    stops = [min(start + tile, length) for start in starts]
    middles = [(start + stop) // 2 for start, stop in zip(starts[1:], stops[:-1], strict=True)]
    nearest = min((right - left for left, right in pairwise(middles)), default=tile)
    fade = min(overlap // 2, nearest)
    firsts = [0, *(middle - fade // 2 for middle in middles)]
    lasts = [*(first + fade for first in firsts[1:]), length]
    return [
        Span(start, stop, first, end, fade if number else 0, fade if number < gaps else 0)
        for number, (start, stop, first, end) in enumerate(zip(starts, stops, firsts, lasts, strict=True))
    ]


def rising(length: int) -> NDArray[np.float32]:
    """[length] float32 weights of a tile that fades in: sin² from 0 to 1. Those of the other are 1 - these."""
    return np.asarray(np.sin((np.arange(length) + 0.5) / max(length, 1) * (np.pi / 2)) ** 2, dtype=np.float32)


def fitting(tile: int, overlap: int | None, step: int, *, chosen: bool = False) -> tuple[int, int]:
    """Tile and overlap in whole steps of the network: rounded up.

    Args:
        tile: as wished.
        overlap: as wished; None for an eighth of the tile.
        step: what the network's input must be divisible by.
        chosen: whether nobody has wished for this tile; then it may be smaller than the step.

    Raises:
        SettingsError: they are not positive, the tile is smaller than the step, or not larger than the overlap.
    """
    if tile < step and not chosen:
        raise SettingsError(f"--tile {tile}: is smaller than what this network works in. The least is {step}.")
    if overlap is not None and overlap < 0:
        raise SettingsError(f"--overlap {overlap}: must be 0 or more.")
    rounded = -(-tile // step) * step
    between = -(-(rounded // 8 if overlap is None else overlap) // step) * step
    if between >= rounded:
        if overlap is None:
            return rounded, 0
        if chosen:
            raise SettingsError(
                f"--overlap {overlap}: is too much for tiles of {rounded} pixels, which are chosen where no --tile "
                f"is given. Give an overlap of at most {rounded - step}, or --tile {2 * between}."
            )
        raise SettingsError(
            f"--overlap {overlap} with --tile {tile}: the tiles would not move on (in steps of {step} pixels, as "
            f"this network works: {between} and {rounded}). Give a tile at least twice the overlap."
        )
    return rounded, between

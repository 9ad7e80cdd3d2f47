"""Shapes that annotation tools save, drawn into a mask: polygons, run lengths, pieces of bitmap.

A canvas is [H, W] uint16 of stored values. What lies outside it is cut off. Coordinates are (x, y) in pixels, with
(0, 0) at the upper left corner of the first pixel, whose centre is (0.5, 0.5).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from intarsia.data.read import MOST_PIXELS
from intarsia.errors import DataError

_FARTHEST = 1e8  # pixels; beyond any picture, and near enough for exact sums
_CORNERS_OF_ELLIPSE = 720  # less than a hundredth of a pixel off for radii up to 1000


@dataclass(frozen=True, slots=True, eq=False)
class Polygon:
    """The inside of one or more rings: a pixel belongs to it when its centre lies inside (even-odd rule).

    By that rule a second ring inside the first is a hole, a polygon along pixel borders comes back exactly, and
    polygons that share an edge neither overlap nor leave a gap.

    Attributes:
        value: the stored value to be drawn.
        rings: each [N, 2] (x, y); fewer than three points enclose nothing.
    """

    value: int
    rings: tuple[NDArray[np.float64], ...]

    def __call__(self, canvas: NDArray[np.uint16]) -> None:
        """Draws it."""
        rings = [ring for ring in self.rings if len(ring) >= 3]
        if not rings:
            return
        starts = np.concatenate(rings)
        ends = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings])
        height, width = canvas.shape
        lower, upper = np.minimum(starts[:, 1], ends[:, 1]), np.maximum(starts[:, 1], ends[:, 1])
        first, last = (np.clip(np.ceil(y - 0.5), 0, height).astype(int) for y in (lower, upper))
        edges = np.repeat(np.arange(len(starts)), last - first)  # each once for each row whose middle it crosses
        if not len(edges):
            return
        rows = np.arange(len(edges)) - np.repeat(np.cumsum(last - first) - last, last - first)
        (x1, y1), (x2, y2) = starts[edges].T, ends[edges].T
        crossings = x1 + (rows + 0.5 - y1) * (x2 - x1) / (y2 - y1)
        columns = np.clip(np.ceil(crossings - 0.5), 0, width).astype(int)
        top, left = rows.min(), columns.min()
        crossed = np.zeros((rows.max() + 1 - top, columns.max() + 1 - left), dtype=np.uint8)
        np.add.at(crossed, (rows - top, columns - left), 1)
        odd = np.cumsum(crossed, axis=1, dtype=np.uint8) % 2 == 1  # counts may wrap round: 256 is even
        paste(canvas, odd, (int(top), int(left)), self.value)


@dataclass(frozen=True, slots=True, eq=False)
class RunLengths:
    """Run lengths over a box, starting outside: so many pixels outside, so many inside, and so on.

    Attributes:
        value: the stored value to be drawn.
        counts: [N] run lengths, as `run_lengths` checks them.
        size: (height, width) of the box.
        corner: (top, left) of the box in the canvas.
        columns_first: whether the runs go down the columns (COCO) or along the rows (CVAT).
    """

    value: int
    counts: NDArray[np.int64]
    size: tuple[int, int]
    corner: tuple[int, int] = (0, 0)
    columns_first: bool = False

    def __call__(self, canvas: NDArray[np.uint16]) -> None:
        """Draws them."""
        length = self.size[0] if self.columns_first else self.size[1]
        counts = self.counts[: len(self.counts) // 2 * 2].copy()  # what comes after the last run inside is outside
        if not len(counts):
            return
        first = counts[0] // length  # lines without a run inside are left out
        counts[0] %= length
        runs = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
        lines = np.zeros((-(-len(runs) // length), length), dtype=np.bool_)
        lines.ravel()[: len(runs)] = runs
        top, left = self.corner
        if self.columns_first:
            paste(canvas, lines.T, (top, left + int(first)), self.value)
        else:
            paste(canvas, lines, (top + int(first), left), self.value)


@dataclass(frozen=True, slots=True, eq=False)
class Bitmap:
    """A piece of mask as PNG: inside where it is not 0 (where it has alpha, where that is not 0).

    Attributes:
        value: the stored value to be drawn.
        png: the file's bytes.
        corner: (top, left) of the piece in the canvas.
    """

    value: int
    png: bytes
    corner: tuple[int, int]

    def __call__(self, canvas: NDArray[np.uint16]) -> None:
        """Draws it.

        Raises:
            DataError: the bytes are no PNG, or a damaged one.
        """
        try:
            with Image.open(BytesIO(self.png), formats=["PNG"]) as file:
                if file.has_transparency_data:
                    stored = np.array(file.convert("RGBA"))[:, :, 3]
                else:
                    stored = np.array(file.convert("RGB") if file.mode == "P" else file)
        except Exception as error:  # decoders raise almost anything on damaged input
            reason = str(error) or type(error).__name__
            raise DataError(f"a piece of mask cannot be decoded as PNG: {reason.rstrip('.')}.") from None
        inside = stored != 0
        paste(canvas, inside.any(axis=2) if inside.ndim == 3 else inside, self.corner, self.value)


def paste(canvas: NDArray[np.uint16], inside: NDArray[np.bool_], corner: tuple[int, int], value: int) -> None:
    """Gives `value` to the canvas where a box [h, w] at `corner` (top, left) is inside."""
    top, left = corner
    target = canvas[max(top, 0) : max(top + inside.shape[0], 0), max(left, 0) : max(left + inside.shape[1], 0)]
    box = inside[max(-top, 0) :, max(-left, 0) :][: target.shape[0], : target.shape[1]]
    target[box] = value


def ring(points: Sequence[Any]) -> NDArray[np.float64]:
    """[N, 2] from a flat list x1, y1, x2, y2, ... or a list of pairs.

    Raises:
        DataError: an odd number of coordinates, no numbers, or far outside any picture.
    """
    try:
        array = np.asarray(points, dtype=np.float64)
        array = array.reshape(-1, 2)
    except (TypeError, ValueError, OverflowError):
        raise DataError("a polygon whose coordinates are no pairs of numbers.") from None
    if not (np.abs(array) <= _FARTHEST).all():  # NaN is not
        raise DataError("a polygon with coordinates outside of any picture.")
    return array


def area(points: NDArray[np.float64]) -> float:
    """Of a ring [N, 2], in pixels (shoelace formula)."""
    x, y = points.T
    return abs(float(x[:-1] @ y[1:] - x[1:] @ y[:-1] + x[-1] * y[0] - x[0] * y[-1])) / 2


def rectangle(corners: NDArray[np.float64], degrees: float = 0) -> NDArray[np.float64]:
    """[4, 2] from two opposite corners [2, 2], turned clockwise about its centre."""
    (x1, y1), (x2, y2) = corners
    return _turned(np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]]), corners.mean(axis=0), degrees)


def ellipse(centre: NDArray[np.float64], radii: NDArray[np.float64], degrees: float = 0) -> NDArray[np.float64]:
    """[N, 2] around a centre [2] with radii [2] in x and y, turned clockwise about its centre."""
    angles = np.linspace(0, 2 * np.pi, _CORNERS_OF_ELLIPSE, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return _turned(centre + radii * circle, centre, degrees)


def _turned(points: NDArray[np.float64], centre: NDArray[np.float64], degrees: float) -> NDArray[np.float64]:
    if not degrees:
        return points
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.asarray(centre + (points - centre) @ np.array([[cosine, sine], [-sine, cosine]]))


def run_lengths(counts: object, size: tuple[int, int]) -> NDArray[np.int64]:
    """[N] run lengths that fill a box of `size` (height, width).

    Raises:
        DataError: no whole numbers, or more or fewer pixels than the box has.
    """
    pixels = size[0] * size[1]
    try:
        array = np.asarray(counts)
        filled = array.ndim == 1 and array.dtype.kind == "i" and ((array >= 0) & (array <= pixels)).all()
    except (TypeError, ValueError, OverflowError):
        filled = False
    if not filled or array.sum() != pixels or min(size) < 1 or pixels > MOST_PIXELS:
        raise DataError(f"run lengths that do not fill a box of {size[0]}x{size[1]} pixels (height x width).")
    return array.astype(np.int64)

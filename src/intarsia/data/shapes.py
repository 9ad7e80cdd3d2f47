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

from intarsia.errors import DataError


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
    rings: tuple[NDArray[np.float32], ...]

    def __call__(self, canvas: NDArray[np.uint16]) -> None:
        """Draws it."""
        rings = [ring for ring in self.rings if len(ring) >= 3]
        if not rings:
            return
        starts = np.concatenate(rings).astype(np.float64)
        ends = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings]).astype(np.float64)
        height, width = canvas.shape
        top, bottom = (np.clip(np.ceil(y - 0.5), 0, height).astype(int) for y in _sorted(starts[:, 1], ends[:, 1]))
        edges = np.repeat(np.arange(len(starts)), bottom - top)  # each edge once for each row whose middle it crosses
        rows = np.arange(len(edges)) - np.repeat(np.cumsum(bottom - top) - bottom, bottom - top)
        (x1, y1), (x2, y2) = starts[edges].T, ends[edges].T
        crossings = x1 + (rows + 0.5 - y1) * (x2 - x1) / (y2 - y1)
        columns = np.clip(np.ceil(crossings - 0.5), 0, width).astype(int)
        if not len(rows):
            return
        upper = rows.min()
        crossed = np.zeros((rows.max() + 1 - upper, width + 1), dtype=np.uint8)
        np.add.at(crossed, (rows - upper, columns), 1)
        inside = np.cumsum(crossed, axis=1, dtype=np.int32)[:, :-1] % 2 == 1
        paste(canvas, inside, (int(upper), 0), self.value)


def _sorted(first: NDArray[np.float64], second: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any]]:
    return np.minimum(first, second), np.maximum(first, second)


@dataclass(frozen=True, slots=True, eq=False)
class RunLengths:
    """Run lengths over a box, starting outside: so many pixels outside, so many inside, and so on.

    Attributes:
        value: the stored value to be drawn.
        counts: [N] run lengths.
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
        height, width = self.size
        if self.counts.sum() != height * width:
            raise DataError(
                f"run lengths of {int(self.counts.sum())} pixels for a box of {height}x{width} (height x width)."
            )
        inside = np.repeat(np.arange(len(self.counts)) % 2 == 1, self.counts)
        box = inside.reshape((height, width), order="F" if self.columns_first else "C")
        paste(canvas, box, self.corner, self.value)


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
        """Draws it."""
        with Image.open(BytesIO(self.png), formats=["PNG"]) as file:
            has_alpha = "A" in file.getbands() or "transparency" in file.info
            band = np.array(file.convert("RGBA"))[:, :, 3] if has_alpha else np.array(file.convert("L"))
        paste(canvas, band != 0, self.corner, self.value)


def paste(canvas: NDArray[np.uint16], inside: NDArray[np.bool_], corner: tuple[int, int], value: int) -> None:
    """Gives `value` to the canvas where a box [h, w] at `corner` (top, left) is inside."""
    top, left = corner
    target = canvas[max(top, 0) : max(top + inside.shape[0], 0), max(left, 0) : max(left + inside.shape[1], 0)]
    box = inside[max(-top, 0) :, max(-left, 0) :][: target.shape[0], : target.shape[1]]
    target[box] = value


def ring(points: Sequence[Any]) -> NDArray[np.float32]:
    """[N, 2] from a flat list x1, y1, x2, y2, ... or a list of pairs.

    Raises:
        DataError: an odd number of coordinates, or no finite numbers.
    """
    try:
        array = np.asarray(points, dtype=np.float32)
        array = array.reshape(-1, 2)
    except (TypeError, ValueError):
        raise DataError(f"a polygon of {len(points)} coordinates that are no pairs of numbers.") from None
    if not np.isfinite(array).all():
        raise DataError("a polygon with coordinates that are no finite numbers.")
    return array

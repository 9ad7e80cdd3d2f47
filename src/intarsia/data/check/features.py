"""What is measured of one pair beside its values: all on a small grid, so that it costs little next to decoding.

Images are [H, W, bands] of any dtype, masks [H, W] of stored values.
"""

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

FLIPS = ("left-right", "top-bottom", "half a turn")
GRID = 128  # cells of the longer side
THUMB = 12  # side of the thumbnail
_OPENCV_BANDS = 4
_ROUNDING = 1e-6  # of means in float32
_FEWEST_BORDER_CELLS = 24  # fewer say nothing of where a mask lies
_FARTHEST = 4  # shifts up to a quarter of the grid are tried
_NEAREST = 3  # and from so many cells on
_SURROUNDINGS = 17  # cells: an edge counts by how much it stands out of so many around it
_FLAT = 0.3  # of the mean gradient: where the surroundings have less, they count as having that


class Alignment(NamedTuple):
    """How well the borders of a mask lie on the edges of its image.

    Edges are gradients relative to their surroundings, with mean 0 and standard deviation 1 over the image.

    Attributes:
        as_is: mean edge under the mask's borders.
        flipped: the same for the best of the mask mirrored left-right, top-bottom, or both.
        flip: which that was, an index of `FLIPS`.
        shifted: the same for the best shift.
        down: that shift, in shares of the longer side.
        right: the same.
    """

    as_is: float
    flipped: float
    flip: float
    shifted: float
    down: float
    right: float

    @property
    def flip_name(self) -> str:
        """The best of `FLIPS`."""
        return FLIPS[int(self.flip)]

    def packed(self) -> bytes:
        """In 24 bytes."""
        return np.array(self, dtype=np.float32).tobytes()

    @classmethod
    def unpacked(cls, packed: bytes) -> "Alignment":
        """The opposite of `packed`."""
        return cls(*np.frombuffer(packed, dtype=np.float32).tolist())


def small_picture(image: NDArray[Any]) -> NDArray[np.float32]:
    """Grey [h, w], 0..1 between the darkest and the brightest cell, at most `GRID` cells wide and high."""
    height, width = image.shape[:2]
    scale = min(1.0, GRID / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    bands = image if image.shape[2] <= _OPENCV_BANDS else np.ascontiguousarray(image[:, :, :3])
    small = cv2.resize(bands, size, interpolation=cv2.INTER_AREA).astype(np.float32).reshape(size[1], size[0], -1)
    grey = small @ np.full(small.shape[2], 1 / small.shape[2], dtype=np.float32)
    low, high = float(grey.min()), float(grey.max())
    differs = high - low > _ROUNDING * max(abs(low), abs(high))
    return (grey - low) / (high - low) if differs else np.zeros_like(grey)


def thumbnail(picture: NDArray[np.float32]) -> NDArray[np.uint8]:
    """[12, 12] of a small picture: what near duplicates have in common."""
    return np.asarray(cv2.resize(picture, (THUMB, THUMB), interpolation=cv2.INTER_AREA) * 255, dtype=np.uint8)


def difference_hash(thumb: NDArray[np.uint8]) -> int:
    """64 bits: whether each cell of a thumbnail is darker than its right neighbour (dHash, Krawetz 2013)."""
    small = cv2.resize(thumb, (9, 8), interpolation=cv2.INTER_AREA)
    return int.from_bytes(np.packbits(small[:, 1:] > small[:, :-1]).tobytes())


def small_mask(stored: NDArray[Any], size: tuple[int, ...]) -> NDArray[Any]:
    """[h, w]: every so many-th pixel of a mask, as many as the small picture has."""
    rows = (np.arange(size[0]) * 2 + 1) * stored.shape[0] // (2 * size[0])
    columns = (np.arange(size[1]) * 2 + 1) * stored.shape[1] // (2 * size[1])
    return np.ascontiguousarray(stored[rows[:, None], columns])


def surroundings(stored: NDArray[Any]) -> tuple[int, NDArray[np.bool_]]:
    """Compares every pixel but those of the outermost rows and columns with its four neighbours.

    Returns:
        How many differ from all four: speckle. [H - 2, W - 2] whether a pixel equals all four: inside an area.
    """
    across = stored[:, 1:] != stored[:, :-1]
    down = stored[1:] != stored[:-1]
    left, right, above, below = across[1:-1, :-1], across[1:-1, 1:], down[:-1, 1:-1], down[1:, 1:-1]
    return int(np.count_nonzero(left & right & above & below)), ~(left | right | above | below)


def neighbours(small: NDArray[Any], values: NDArray[np.int64]) -> NDArray[np.uint32]:
    """[N, 3] (position in `values`, position in `values`, how often they touch) of different values on the grid."""
    indices = np.searchsorted(values, small)
    counts = np.zeros(len(values) ** 2, dtype=np.int64)
    for one, other in ((indices[:, 1:], indices[:, :-1]), (indices[1:], indices[:-1])):
        differ = one != other
        low, high = np.minimum(one[differ], other[differ]), np.maximum(one[differ], other[differ])
        counts += np.bincount(low * len(values) + high, minlength=len(counts))
    touching = np.flatnonzero(counts)
    return np.stack([*np.divmod(touching, len(values)), counts[touching]], axis=1).astype(np.uint32)


def alignment(picture: NDArray[np.float32], small: NDArray[Any]) -> Alignment | None:
    """Compares a mask's borders with the image's edges, as it lies, mirrored, and shifted.

    Args:
        picture: [h, w] as `small_picture` gives it.
        small: [h, w] the mask on the same grid.

    Returns:
        None where the mask has hardly a border, or the picture no edge.
    """
    border = np.zeros(small.shape, dtype=np.float32)
    border[:, 1:] = small[:, 1:] != small[:, :-1]
    border[1:] = np.maximum(border[1:], small[1:] != small[:-1])
    cells = border.sum()
    gradient = cv2.magnitude(cv2.Sobel(picture, cv2.CV_32F, 1, 0), cv2.Sobel(picture, cv2.CV_32F, 0, 1))
    if cells < _FEWEST_BORDER_CELLS or gradient.mean() < 1e-6:
        return None
    edges = cv2.dilate(gradient, np.ones((3, 3), np.uint8))
    around = cv2.blur(edges, (_SURROUNDINGS, _SURROUNDINGS)) + _FLAT * float(edges.mean())
    relative = edges / around  # texture is no edge
    edges = np.asarray((relative - relative.mean()) / max(float(relative.std()), 1e-6), dtype=np.float32)

    def lies_on(moved: NDArray[np.float32]) -> float:
        return float((edges * moved).sum() / cells)

    flips = [lies_on(border[:, ::-1]), lies_on(border[::-1]), lies_on(border[::-1, ::-1])]  # as in FLIPS
    best = int(np.argmax(flips))
    return Alignment(lies_on(border), flips[best], best, *_best_shift(edges, border, float(cells)))


def _best_shift(edges: NDArray[Any], border: NDArray[np.float32], cells: float) -> tuple[float, float, float]:
    """The best mean edge under shifted borders, by circular correlation, and the shift in shares of the side."""
    product = cv2.mulSpectrums(cv2.dft(edges), cv2.dft(border), 0, conjB=True)
    correlation = cv2.idft(product, flags=cv2.DFT_REAL_OUTPUT | cv2.DFT_SCALE)
    height, width = correlation.shape
    down = np.minimum(np.arange(height), height - np.arange(height))[:, None]
    right = np.minimum(np.arange(width), width - np.arange(width))[None]
    far = (down > height // _FARTHEST) | (right > width // _FARTHEST)
    correlation[far | (np.maximum(down, right) < _NEAREST)] = -np.inf
    row, column = np.unravel_index(int(correlation.argmax()), correlation.shape)
    moved = (int(row) - height * (row > height // 2), int(column) - width * (column > width // 2))
    longest = max(height, width)
    return float(correlation[row, column]) / cells, moved[0] / longest, moved[1] / longest

"""Outlines of objects along pixel edges, as valid polygons with holes.

Coordinates are (x, y) in pixels, x to the right and y down, with (0, 0) at the first pixel's upper left corner.

Where two pixels of an object meet at a corner only, its outline crosses over from one to the other. As an object is
4-connected, each ring is then simple: one around the outside, the others around holes, touching at corners at most.

K corners of outlines, P pieces, N objects.
"""

from collections.abc import Iterator

import numpy as np
import shapely
from numpy.typing import NDArray

from intarsia.objects.runs import OUTSIDE, Integers, Strip

Polygons = NDArray[np.object_]
"""[N] shapely polygons; the outer ring has a positive area in (x, y), its holes a negative one."""

_CORNERS_AT_ONCE = 1 << 19
_UPPER_LEFT, _UPPER_RIGHT, _LOWER_LEFT, _LOWER_RIGHT = range(4)  # pixels around a corner
_CONCAVE = 4  # added where the two pixels beside it belong to the object too


class Corners:
    """Collects the corners of outlines from strips, and makes polygons of them.

    Memory: 13 bytes for each corner.
    """

    def __init__(self) -> None:
        self._pieces: list[NDArray[np.int32]] = []
        self._points: list[NDArray[np.int32]] = []
        self._kinds: list[NDArray[np.uint8]] = []

    def add(self, strip: Strip) -> None:
        """The next strip, of rows or the end."""
        right = np.stack([strip.pieces[strip.upper], strip.pieces[strip.lower]])
        left = np.concatenate([np.full((2, 1), OUTSIDE), right[:, :-1]], axis=1)  # each row ends outside
        around = [left[0], right[0], left[1], right[1]]
        for pixel in range(4):
            own, beside, over, across = (around[pixel ^ other] for other in range(4))
            convex = (own != beside) & (own != over)
            concave = (own == beside) & (own == over) & (own != across)
            found = np.flatnonzero((convex | concave) & (own != OUTSIDE))
            points = np.stack([strip.contact_columns[found], strip.contact_rows[found]], axis=1)
            self._pieces.append(own[found].astype(np.int32))
            self._points.append(points.astype(np.int32))
            self._kinds.append((pixel + _CONCAVE * concave[found]).astype(np.uint8))

    def polygons(self, objects: Integers, count: int) -> Polygons:
        """[N] outline of each object.

        Args:
            objects: [P] the object that each piece belongs to.
            count: of objects.
        """
        if not count:
            return np.empty(0, dtype=np.object_)
        owners = objects[np.concatenate(self._pieces)]
        points, kinds = np.concatenate(self._points), np.concatenate(self._kinds)
        order = np.argsort(owners, kind="stable")
        ends = np.cumsum(np.bincount(owners, minlength=count))
        polygons = []
        for start, end in _portions(ends):
            part = order[start:end]
            polygons.append(_polygons(owners[part] - owners[part[0]], points[part].astype(np.int64), kinds[part]))
        return np.concatenate(polygons)


def simplified(polygon: shapely.Polygon, tolerance: float) -> shapely.Polygon | shapely.MultiPolygon:
    """An outline with fewer corners, about `tolerance` away from it at most; valid, with its holes, never empty.

    After Douglas and Peucker (1973), as GEOS does it where the topology is to be kept. Near the ends of a ring it
    may go a little farther. Objects side by side are simplified each for itself: small gaps and overlaps appear.

    Args:
        polygon: an outline.
        tolerance: in the units of its coordinates; 0 takes out nothing but corners on a straight line.
    """
    simple = shapely.simplify(polygon, tolerance, preserve_topology=True)
    if not simple.is_valid:
        parts = [
            part for part in shapely.get_parts(shapely.make_valid(simple)) if part.geom_type.endswith("Polygon")
        ]
        simple = shapely.union_all(parts)
    return polygon if simple.is_empty or not simple.area else simple


def _portions(ends: Integers) -> Iterator[tuple[int, int]]:
    """From and to of whole objects' corners, about `_CORNERS_AT_ONCE` together."""
    start = 0
    while start < ends[-1]:
        end = int(ends[min(int(np.searchsorted(ends, start + _CORNERS_AT_ONCE)), len(ends) - 1)])
        yield start, end
        start = end


def _polygons(owners: Integers, points: Integers, kinds: NDArray[np.uint8]) -> Polygons:
    """The polygons of objects 0 to N - 1, from all their corners.

    Along every line, horizontal or vertical, an object's corners are the ends of edges: the first of the first and
    the second, the third and the fourth, and so on. Where two corners fall together, their order on the horizontal
    line is that which lets the outline cross over.
    """
    pixels = kinds % _CONCAVE
    x, y = points.T
    wide, high = int(x.max()) + 1, int(y.max()) + 1
    to_the_left = (pixels == _UPPER_LEFT) | (pixels == _LOWER_LEFT)
    order = np.argsort(((owners * high + y) * wide + x) * 2 + to_the_left)
    owners, x, y, kinds, pixels = owners[order], x[order], y[order], kinds[order], pixels[order]
    below = (pixels == _LOWER_LEFT) | (pixels == _LOWER_RIGHT)
    upright = np.argsort(((owners * wide + x) * high + y) * 2 + below)
    number = np.arange(len(owners))
    beneath = np.empty_like(number)
    beneath[upright] = upright[number ^ 1]
    sideways = ((pixels == _UPPER_LEFT) | (pixels == _LOWER_RIGHT)) != (kinds >= _CONCAVE)
    rings, places = _rings(np.where(sideways, number ^ 1, beneath))
    firsts = np.flatnonzero(rings == number)  # the highest, and of these the leftmost corner of each ring
    sizes = np.bincount(rings)[firsts] + 1  # the first corner closes the ring
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    coordinates = np.empty((offsets[-1], 2))
    corners = np.stack([x, y], axis=1)
    coordinates[offsets[np.searchsorted(firsts, rings)] + places] = corners
    coordinates[offsets[1:] - 1] = corners[firsts]
    rings_before = np.searchsorted(owners[firsts], np.arange(owners[-1] + 2))
    polygons: Polygons = shapely.from_ragged_array(
        shapely.GeometryType.POLYGON, coordinates, (offsets, rings_before)
    )
    return polygons


def _rings(following: Integers) -> tuple[Integers, Integers]:
    """[K] the lowest corner of the ring that each belongs to, and [K] its place in the ring, counted from that.

    Args:
        following: [K] the next corner of each. Pointers are doubled (Wyllie 1979, list ranking).
    """
    lowest, jump = np.arange(len(following)), following
    while True:
        lower = np.minimum(lowest, lowest[jump])
        if np.array_equal(lower, lowest):
            break
        lowest, jump = lower, jump[jump]
    number = np.arange(len(following))
    jump = np.where(following == lowest, number, following)
    left = (jump != number).astype(np.int64)  # steps to the last corner of the ring
    while True:
        further = jump[jump]
        if np.array_equal(further, jump):
            break
        left, jump = left + left[jump], further
    return lowest, left[lowest] - left

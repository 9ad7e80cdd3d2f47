"""Touching objects told apart, and the picture of object numbers.

The watershed of the distance to the outside (Beucher and Lantuéjoul 1979; Meyer 1994, Topographic distance and
watershed lines): each pixel belongs to the peak that the steepest way upwards leads to. A blob's bumps are peaks
too, so that two peaks are one object unless the lower one rises clearly above the pass between them: by its
dynamics (Grimaud 1992, A new measure of contrast: the dynamics).

B basins.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from intarsia.objects.regions import Areas, Objects, Regions
from intarsia.objects.runs import Integers, Pieces, connected, followed

_LEAST = 1.2  # pixels that the raster alone lifts a peak above a pass; found on lines, rings, rectangles, ellipses
_SHARE = 0.15  # of a peak's height


@dataclass(frozen=True, eq=False)
class Labelled:
    """A picture of object numbers, and what they are.

    Attributes:
        ids: [H, W] int32; 0 outside of all objects, ids from 1 in the order of first pixels.
        objects: the table; row i is that of id i + 1.
    """

    ids: NDArray[np.int32]
    objects: Objects


def label_objects(
    mask: NDArray[Any],
    classes: Iterable[int],
    touching: bool = False,
    areas: Areas | None = None,
    outlines: bool = False,
) -> Labelled:
    """Numbers the objects of a mask in memory.

    Args:
        mask: [H, W] class indices, uint8 or uint16.
        classes: class indices that are looked at; leave out the background, and what is ignored.
        touching: whether touching objects of a class are told apart (`split_touching`).
        areas: of the pixels of rows (`Scale.areas`); None where there is no scale.
        outlines: whether outlines are wanted.
    """
    ids = _split(mask, classes) if touching else _connected_ids(mask, classes)
    regions = Regions(None, areas, outlines, besides=0)  # each id is 4-connected: object i is id i + 1
    regions.add(ids)
    objects = regions.finish()
    kinds = np.zeros(len(objects) + 1, dtype=np.int64)
    kinds[ids.ravel()] = mask.ravel()
    return Labelled(ids, replace(objects, classes=kinds[1:]))


def _connected_ids(mask: NDArray[Any], classes: Iterable[int]) -> NDArray[np.int32]:
    pieces = Pieces(classes)
    rows = [
        np.repeat(strip.pieces[strip.carried :].astype(np.int32), strip.lengths[strip.carried :])
        for strip in pieces.add(mask)
    ]
    found = np.concatenate([np.empty(0, dtype=np.int32), *rows]).reshape(len(mask), -1)[:, :-1]
    owners, _ = pieces.objects()
    ids: NDArray[np.int32] = np.append(owners + 1, 0).astype(np.int32)[found]  # the last is that of OUTSIDE
    return ids


def _split(mask: NDArray[Any], classes: Iterable[int]) -> NDArray[np.int32]:
    ids = np.zeros(mask.shape, dtype=np.int32)
    count = 0
    for kind in classes:
        own = split_touching(mask == kind)
        ids += np.where(own > 0, own + count, 0).astype(np.int32)
        count += int(own.max(initial=0))
    return _numbered(ids - 1)


def split_touching(mask: NDArray[np.bool_], h: float | None = None) -> NDArray[np.int32]:
    """[H, W] objects of one class with touching ones told apart: 0 outside, ids from 1 in order of first pixels.

    Each is 4-connected, and a part of one object of the mask. Good for what is roundish: grains, cells, crowns of
    trees. The edge of the picture is no outside: a grain that it cuts is not split for that.

    Args:
        mask: [H, W] true where the class is.
        h: a peak of the distance to the outside is an object of its own when it rises more than so many pixels
            above the pass to a higher one. None: 1.2 pixels, or 15 % of the lower peak, whichever is more: two
            equal discs are told apart when their centres lie 1.3 radii apart, below 10 pixels of radius 1.8.
    """
    if not mask.any():
        return np.zeros(mask.shape, dtype=np.int32)
    inside = np.ascontiguousarray(mask).view(np.uint8)
    if mask.all():
        return np.ones(mask.shape, dtype=np.int32)
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE).astype(np.float32, copy=False)
    basins = _basins(distance)
    peaks = np.flatnonzero(mask.ravel() & (basins == np.arange(mask.size, dtype=basins.dtype)))
    number = np.zeros(mask.size, dtype=basins.dtype)
    number[peaks] = np.arange(len(peaks))
    basin = number[basins].reshape(mask.shape)  # [H, W] index of the basin, meaningless outside
    (one, other), heights, edges = _passes(basin, distance)
    owner = _merged(distance.ravel()[peaks].astype(np.float64), one, other, heights, h)
    same = edges & (owner[one] == owner[other])
    return _numbered(np.where(mask, connected(len(peaks), one[same], other[same])[basin], -1))


def _basins(distance: NDArray[np.float32]) -> Integers:
    """[H * W] the peak, as a flat index, that the steepest way upwards leads to from each pixel.

    A pixel points to the highest of itself and its four neighbours, of equal ones to the last. A plateau gives
    peaks of its own, which rise above nothing, and are merged.
    """
    height, width = distance.shape
    number = np.int32 if distance.size < 1 << 31 else np.int64
    highest, target = distance.copy(), np.arange(height * width, dtype=number).reshape(height, width)
    own = target.copy()
    for rows, columns, step in ((1, 0, width), (0, 1, 1), (0, -1, -1), (-1, 0, -width)):
        here = _inner(rows, columns)
        there = _inner(-rows, -columns)
        neighbour = distance[there]
        higher = (neighbour > highest[here]) | ((neighbour == highest[here]) & (own[here] + step > target[here]))
        highest[here] = np.where(higher, neighbour, highest[here])
        target[here] = np.where(higher, own[here] + step, target[here])
    return followed(target.ravel())


def _inner(rows: int, columns: int) -> tuple[slice, slice]:
    """The pixels of a picture that have a neighbour `rows` below and `columns` to the right."""
    return (
        slice(max(-rows, 0), -rows if rows > 0 else None),
        slice(max(-columns, 0), -columns if columns > 0 else None),
    )


def _passes(
    basin: Integers, distance: NDArray[np.float32]
) -> tuple[tuple[Integers, Integers], NDArray[np.float64], NDArray[np.bool_]]:
    """Where basins meet, from the highest pass downwards.

    Passes go across corners too where that is a way within the object, because the 4-connected way along a slanting
    ridge goes up and down. Basins that meet both ways come twice.

    Returns:
        [E] one basin and [E] the other, [E] the height of the pass, [E] whether they meet along an edge.
    """
    keys, heights = [], []
    for rows, columns in ((1, 0), (0, 1), (1, 1), (1, -1)):
        here, there = _inner(rows, columns), _inner(-rows, -columns)
        height = np.minimum(distance[here], distance[there])
        meet = (basin[here] != basin[there]) & (height > 0)
        edge = not (rows and columns)
        if not edge:
            meet &= (distance[here[0], there[1]] > 0) | (distance[there[0], here[1]] > 0)
        one, other = basin[here][meet].astype(np.int64), basin[there][meet].astype(np.int64)
        keys.append(np.minimum(one, other) << 32 | np.maximum(one, other) << 1 | edge)
        heights.append(height[meet].astype(np.float64))
    key, height = np.concatenate(keys), np.concatenate(heights)
    order = np.argsort(-height, kind="stable")
    _, first = np.unique(key[order], return_index=True)  # the highest of each
    order = order[np.sort(first)]
    key = key[order]
    return (key >> 32, (key & 0xFFFFFFFF) >> 1), height[order], (key & 1).astype(np.bool_)


def _merged(
    peaks: NDArray[np.float64], ones: Integers, others: Integers, heights: NDArray[np.float64], h: float | None
) -> Integers:
    """[B] the basin whose peak each belongs to: where two meet, the lower peak must rise above the pass by `h`."""
    parents = np.arange(len(peaks))
    parent, peak = parents.data, peaks.data

    def root(basin: int) -> int:
        while parent[basin] != basin:
            parent[basin] = basin = parent[parent[basin]]
        return basin

    for one, other, height in zip(ones.data, others.data, heights.data, strict=True):
        low, high = root(one), root(other)
        if low == high:
            continue
        if peak[low] > peak[high]:
            low, high = high, low
        if peak[low] - height <= (max(_LEAST, _SHARE * peak[low]) if h is None else h):
            parent[low] = high
    return followed(parents)


def _numbered(owner: NDArray[Any]) -> NDArray[np.int32]:
    """[H, W] ids from 1 in the order of first pixels, 0 where the owner is -1."""
    first = np.full(int(owner.max()) + 2, owner.size)  # the last entry is that of -1
    np.minimum.at(first, owner.ravel(), np.arange(owner.size))
    first[-1] = owner.size
    order = np.argsort(first, kind="stable")
    number = np.zeros(len(first), dtype=np.int32)
    number[order] = np.arange(1, len(first) + 1)
    number[-1] = 0
    ids: NDArray[np.int32] = number[owner]
    return ids

"""Rows of a mask as runs of equal pixels, joined into 4-connected pieces, strip by strip.

An object is a 4-connected set of pixels of one class. A *piece* is what is known of one so far: two pieces may turn
out to be one object further down. Memory grows with the number of pieces and with the width, not with the height.

R runs, S contacts, P pieces.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

OUTSIDE = -1  # the class and the piece of what lies outside the picture; the piece of what is not looked at

_PIXELS_AT_ONCE = 1 << 21  # bounds the memory that noise takes, where every pixel is a run
_CLASSES = 1 << 16  # masks hold 8 or 16 bits


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """Some rows of a picture as runs, with the row above them; each row ends in a run outside the picture.

    Attributes:
        carried: how many of the runs, the first ones, belong to the row above.
        rows: [R] row of each run, in the picture.
        starts: [R] its first column.
        lengths: [R] its pixels.
        classes: [R] its class.
        pieces: [R] its piece.
        upper: [S] run above each contact. Contacts are the stretches, in order, over which both the run above a
            border of two rows and the run below it stay the same.
        lower: [S] run below it.
        contact_rows: [S] row below the border.
        contact_columns: [S] its first column.
        contact_lengths: [S] its columns.
    """

    carried: int
    rows: Integers
    starts: Integers
    lengths: Integers
    classes: Integers
    pieces: Integers
    upper: Integers
    lower: Integers
    contact_rows: Integers
    contact_columns: Integers
    contact_lengths: Integers


class Pieces:
    """Finds the pieces of a mask that comes from top to bottom.

    Pieces are numbered in the order of their first pixel; where two meet, the lower number stays.

    Args:
        classes: those that are looked at; None looks at all.
        besides: where `classes` is None, one that is left out all the same.
    """

    def __init__(self, classes: Iterable[int] | None = None, besides: int = OUTSIDE) -> None:
        self._besides = besides
        self._looked_at: NDArray[np.bool_] | None = None
        if classes is not None:
            self._looked_at = np.zeros(_CLASSES + 1, dtype=np.bool_)  # the last entry is that of OUTSIDE
            self._looked_at[list(classes)] = True
        self._joined_to = np.empty(0, dtype=np.int64)
        self.count = 0
        self.height = 0
        self.width = 0
        self._last_changes = np.empty(0, dtype=np.bool_)
        self._last_classes = self._last_pieces = np.empty(0, dtype=np.int64)

    def add(self, rows: NDArray[Any]) -> Iterator[Strip]:
        """The next rows, cut so that a strip is small enough; all strips must be taken.

        Args:
            rows: [h, W] class indices, uint8 or uint16 (where all classes are looked at, any that are not
                negative); W is always the same.
        """
        if not self.height:
            self.width = rows.shape[1]
            self._last_changes = np.zeros(self.width + 1, dtype=np.bool_)
            self._last_changes[[0, self.width]] = True
            self._last_classes = self._last_pieces = np.full(2, OUTSIDE)
        assert rows.shape[1] == self.width > 0, "the rows of a picture have one width"
        most = max(1, _PIXELS_AT_ONCE // (self.width + 1))
        for start in range(0, len(rows), most):
            yield self._strip(rows[start : start + most])

    def end(self) -> Strip:
        """A row outside the picture, below the last one."""
        return self._strip(np.zeros((1, self.width), dtype=np.uint8), outside=True)

    def roots(self) -> Integers:
        """[P] the lowest number among the pieces that each is one with by now."""
        return followed(self._joined_to[: self.count])

    def objects(self) -> tuple[Integers, int]:
        """[P] the object that each piece belongs to, in the order of first pixels, and the number of objects."""
        root = self.roots()
        stays = root == np.arange(self.count)
        return (np.cumsum(stays) - 1)[root], int(stays.sum())

    def _strip(self, rows: NDArray[Any], outside: bool = False) -> Strip:
        height, across, width = len(rows), self.width + 1, self.width
        changes = np.ones((height + 1, across), dtype=np.bool_)
        changes[0] = self._last_changes
        np.not_equal(rows[:, 1:], rows[:, :-1], out=changes[1:, 1:width])
        begins = np.flatnonzero(changes)
        row, column = np.divmod(begins, across)
        carried = len(self._last_classes)
        classes = np.full(len(begins), OUTSIDE)
        classes[:carried] = self._last_classes
        if not outside:
            inside = np.flatnonzero(column < width)
            inside = inside[np.searchsorted(inside, carried) :]
            classes[inside] = rows[row[inside] - 1, column[inside]]
        touching = np.flatnonzero(changes[1:] | changes[:-1])
        upper = np.cumsum(changes[:-1].ravel()[touching]) - 1
        lower = np.cumsum(changes[1:].ravel()[touching]) - 1 + carried
        contact_rows, contact_columns = np.divmod(touching, across)
        strip = Strip(
            carried=carried,
            rows=row + (self.height - 1),
            starts=column,
            lengths=np.diff(begins, append=(height + 1) * across),
            classes=classes,
            pieces=self._joined(classes, upper, lower),
            upper=upper,
            lower=lower,
            contact_rows=contact_rows + self.height,
            contact_columns=contact_columns,
            contact_lengths=np.diff(touching, append=height * across),
        )
        last = int(np.searchsorted(row, height))
        self._last_changes, self._last_classes = changes[-1].copy(), classes[last:].copy()
        self._last_pieces = strip.pieces[last:].copy()
        self.height += 0 if outside else height
        return strip

    def _joined(self, classes: Integers, upper: Integers, lower: Integers) -> Integers:
        """[R] piece of each run; new pieces get the next numbers, and those that meet here are joined."""
        if self._looked_at is None:
            looked_at = (classes != OUTSIDE) & (classes != self._besides)
        else:
            looked_at = self._looked_at[classes]
        one = (classes[upper] == classes[lower]) & looked_at[upper]
        above = np.flatnonzero(self._last_pieces != OUTSIDE)
        before = self._last_pieces[above]
        _, first, same = np.unique(before, return_index=True, return_inverse=True)
        root = connected(
            len(classes), np.concatenate([upper[one], above]), np.concatenate([lower[one], above[first[same]]])
        )
        number = np.full(len(classes), np.iinfo(np.int64).max)
        np.minimum.at(number, root[above], before)
        new = np.flatnonzero(looked_at & (root == np.arange(len(root))) & (number == np.iinfo(np.int64).max))
        number[new] = np.arange(self.count, self.count + len(new))
        pieces = np.where(looked_at, number[root], OUTSIDE)
        self._joined_to = room(self._joined_to, self.count + len(new))
        self._joined_to[number[new]] = number[new]
        self.count += len(new)
        self._joined_to[before] = pieces[above]
        return pieces


def connected(nodes: int, first: Integers, second: Integers) -> Integers:
    """[nodes] the lowest node that each is connected with, by pairs (first, second) of nodes.

    Roots are hooked to lower roots and paths halved, in turns, after Shiloach and Vishkin (1982), An O(log n)
    parallel connectivity algorithm.
    """
    root = np.arange(nodes)
    while len(first):
        np.minimum.at(root, np.maximum(first, second), np.minimum(first, second))
        root = followed(root)
        first, second = root[first], root[second]
        apart = first != second
        first, second = first[apart], second[apart]
    return root


def room(array: NDArray[Any], size: int, fill: int = 0) -> NDArray[Any]:
    """The array itself if it has `size` entries, or one at least twice as long that begins with it, then `fill`."""
    if len(array) >= size:
        return array
    longer = np.full(max(size, 2 * len(array), 1024), fill, dtype=array.dtype)
    longer[: len(array)] = array
    return longer


def followed(root: Integers) -> Integers:
    """Each node's root, from a forest in which each points to one that is nearer to it."""
    while True:
        nearer = root[root]
        if np.array_equal(nearer, root):
            return root
        root = nearer

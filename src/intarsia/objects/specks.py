"""Specks and holes taken out of a mask: objects that are too small take the class of a neighbour.

The smallest goes first (of equal ones, that with the first pixel), to the neighbouring object with which it shares
the longest border (of equal ones, that of the lowest class, then that with the first pixel). It becomes one object
with all its neighbours of that class, and if that is still too small, it goes on. The background is a class like
any other, so that a hole is a speck too. Ignored pixels stay as they are and are nobody's neighbours.

GDAL's sieve differs: a speck goes to its largest neighbour.

P pieces, N objects, E borders.
"""

import heapq
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intarsia.labels import IGNORE
from intarsia.objects.runs import OUTSIDE, Integers, Pieces, Strip, followed, room

_BORDERS_AT_ONCE = 1 << 22  # collected before they are summed up


class Specks:
    """Takes specks out of a picture of any height, in two passes over the same strips.

    The first pass is `add`, then comes `decide`, and the second is `cleaned`. How the picture is cut makes no
    difference, as long as it is cut in the same way both times. Memory grows with the number of objects, and with
    the number of neighbours of small ones.

    Args:
        smallest: objects of fewer pixels are taken out.
        ignore_index: the class index of pixels that stay.
    """

    def __init__(self, smallest: int, ignore_index: int = IGNORE) -> None:
        self._smallest = smallest
        self._pieces = Pieces(besides=ignore_index)
        self._again = Pieces(besides=ignore_index)
        self._cuts: list[int] = []  # heights of the strips
        self._sizes = self._classes = np.empty(0, dtype=np.int64)
        self._borders: list[tuple[Integers, NDArray[np.int32]]] = []
        self._collected, self._most = 0, _BORDERS_AT_ONCE
        self._decided: NDArray[np.uint16] | None = None

    def add(self, rows: NDArray[Any]) -> None:
        """First pass: the next rows [h, W] of class indices, uint8 or uint16, of any number h."""
        self._cuts.append(len(rows))
        for strip in self._pieces.add(rows):
            own = np.flatnonzero(strip.pieces[strip.carried :] != OUTSIDE) + strip.carried
            self._sizes = room(self._sizes, self._pieces.count)
            self._classes = room(self._classes, self._pieces.count)
            np.add.at(self._sizes, strip.pieces[own], strip.lengths[own])
            self._classes[strip.pieces[own]] = strip.classes[own]
            for one, other, lengths in _borders(strip):
                small = np.minimum(self._sizes[one], self._sizes[other]) < self._smallest
                self._borders.append((pair(one[small], other[small]), lengths[small].astype(np.int32)))
                self._collected += int(small.sum())
            if self._collected > self._most:
                self._borders = [self._summed()]
                self._collected = len(self._borders[0][0])
                self._most = max(_BORDERS_AT_ONCE, 2 * self._collected)

    def decide(self) -> None:
        """Between the passes."""
        self._cuts.reverse()
        owners, count = self._pieces.objects()
        sizes = np.bincount(owners, weights=self._sizes[: len(owners)], minlength=count).astype(np.int64)
        classes = np.empty(count, dtype=np.int64)
        classes[owners] = self._classes[: len(owners)]
        pairs, lengths = self._summed()
        one, other = parted(pairs)
        pairs = pair(owners[one], owners[other])
        self._sizes = self._classes = np.empty(0, dtype=np.int64)  # memory, for the second pass
        self._decided = settled(classes, sizes, pairs, lengths, self._smallest)[owners].astype(np.uint16)

    def cleaned(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Second pass: the same rows as in the first, and [h, W] without specks, in a new array."""
        assert self._decided is not None, "decide() comes before the second pass"
        height = self._cuts.pop() if self._cuts else None
        assert height == len(rows), "both passes go over the same strips"
        parts = [rows[:0]]
        for strip in self._again.add(rows):
            new = strip.classes.copy()
            known = strip.pieces != OUTSIDE
            new[known] = self._decided[strip.pieces[known]]
            new, lengths = new[strip.carried :], strip.lengths[strip.carried :]
            lines = np.repeat(new.astype(rows.dtype), lengths).reshape(-1, rows.shape[1] + 1)
            parts.append(lines[:, :-1])
        return np.concatenate(parts)

    def _summed(self) -> tuple[Integers, NDArray[np.int32]]:
        """The borders so far: joined pieces as one, each pair once, those of two large ones left out."""
        pairs = np.concatenate([np.empty(0, dtype=np.int64), *(pairs for pairs, _ in self._borders)])
        lengths = np.concatenate([np.empty(0, dtype=np.int32), *(lengths for _, lengths in self._borders)])
        self._borders = []
        root = self._pieces.roots()
        sizes = np.bincount(root, weights=self._sizes[: len(root)], minlength=len(root))
        one, other = parted(pairs)
        pairs = pair(root[one], root[other])
        one, other = parted(pairs)
        kept = (one != other) & (np.minimum(sizes[one], sizes[other]) < self._smallest)
        return summed(pairs[kept], lengths[kept])


def without_specks(mask: NDArray[Any], smallest: int, ignore_index: int = IGNORE) -> NDArray[Any]:
    """[H, W] class indices without specks: `Specks` for a mask in memory."""
    specks = Specks(smallest, ignore_index)
    specks.add(mask)
    specks.decide()
    return specks.cleaned(mask)


def settled(
    classes: Integers, sizes: Integers, pairs: Integers, lengths: NDArray[np.int32], smallest: int
) -> Integers:
    """[N] the class of each object once there are no specks that have neighbours.

    Args:
        classes: [N] class index.
        sizes: [N] pixels.
        pairs: [E] neighbours (`pair`), each pair once. Needed are those of objects below `smallest`.
        lengths: [E] length of their border.
        smallest: objects of fewer pixels are specks.
    """
    clusters = _Clusters(classes, sizes, pairs, lengths, smallest)
    small = np.flatnonzero(sizes < smallest)
    order = small[np.argsort(sizes[small], kind="stable")]
    waiting: list[tuple[int, int]] = []  # those that have grown, and are still too small
    for speck, size in zip(order.data, sizes[order].data, strict=True):
        while waiting and waiting[0] < (size, speck):
            clusters.settle(*heapq.heappop(waiting), waiting)
        clusters.settle(size, speck, waiting)
    while waiting:
        clusters.settle(*heapq.heappop(waiting), waiting)
    return clusters.classes()


class _Clusters:
    """Objects that have become one, as a forest whose roots are the lowest of each; arguments as of `settled`.

    What is read number by number lies in memory views: they cost a tenth of the memory of lists.
    """

    def __init__(
        self, classes: Integers, sizes: Integers, pairs: Integers, lengths: NDArray[np.int32], smallest: int
    ) -> None:
        self._smallest = smallest
        self._parents = np.arange(len(sizes))
        self._kinds = classes.copy()
        self._parent, self._kind = self._parents.data, self._kinds.data
        self._next, self._size = np.arange(len(sizes)).data, sizes.copy().data  # the next of a ring of members
        one, other = parted(pairs)
        both = np.concatenate([pairs, other << 32 | one])
        of_small = np.flatnonzero(sizes[both >> 32] < smallest)
        order = of_small[np.argsort(both[of_small])]
        ends, others = parted(both[order])
        self._neighbour = others.astype(np.int32).data
        self._length = np.concatenate([lengths, lengths])[order].data
        self._offset = np.searchsorted(ends, np.arange(len(sizes) + 1)).data

    def settle(self, size: int, speck: int, waiting: list[tuple[int, int]]) -> None:
        """Joins a speck with its neighbours of the class that it takes; enters into the heap what is still small.

        Args:
            size: its pixels. Where it has grown meanwhile, or is a part of another, nothing is done.
            speck: the root of the cluster.
            waiting: (pixels, root) of clusters that are still too small.
        """
        if self._parent[speck] != speck or self._size[speck] != size:
            return
        borders = self._borders(speck)
        if not borders:
            return
        best = min(borders, key=lambda other: (-borders[other], self._kind[other], other))
        kind = self._kind[best]
        joined = [speck, *(other for other in borders if self._kind[other] == kind)]
        root, total = min(joined), sum(self._size[one] for one in joined)
        for one in joined:
            self._parent[one] = root
            if total < self._smallest and one != root:
                self._next[one], self._next[root] = self._next[root], self._next[one]
        self._size[root], self._kind[root] = total, kind
        if total < self._smallest:
            heapq.heappush(waiting, (total, root))

    def classes(self) -> Integers:
        """[N] the class of each object's cluster."""
        return self._kinds[followed(self._parents)]

    def _borders(self, speck: int) -> dict[int, int]:
        """The length of its border with each neighbouring cluster, by root."""
        borders: dict[int, int] = {}
        member = speck
        while True:
            for place in range(self._offset[member], self._offset[member + 1]):
                other = self._root(self._neighbour[place])
                if other != speck:
                    borders[other] = borders.get(other, 0) + self._length[place]
            member = self._next[member]
            if member == speck:
                return borders

    def _root(self, one: int) -> int:
        parent = self._parent
        while parent[one] != one:
            parent[one] = one = parent[parent[one]]
        return one


def pair(one: Integers, other: Integers) -> Integers:
    """Two numbers below 2^31 as one, the lower of the two first."""
    return np.minimum(one, other) << 32 | np.maximum(one, other)


def parted(pairs: Integers) -> tuple[Integers, Integers]:
    """The opposite of `pair`."""
    return pairs >> 32, pairs & 0xFFFFFFFF


def summed(pairs: Integers, lengths: NDArray[np.int32]) -> tuple[Integers, NDArray[np.int32]]:
    """Pairs and lengths, each pair once, with the sum of its lengths."""
    order = np.argsort(pairs)
    pairs = pairs[order]
    first = np.flatnonzero(np.diff(pairs, prepend=-1))
    return pairs[first], np.add.reduceat(lengths[order], first, dtype=np.int32) if len(first) else lengths


def _borders(strip: Strip) -> Iterable[tuple[Integers, Integers, Integers]]:
    """Neighbouring pieces and the length of their border, across rows and within them."""
    one, other = strip.pieces[strip.upper], strip.pieces[strip.lower]
    beside = np.flatnonzero((one != other) & (one != OUTSIDE) & (other != OUTSIDE))
    yield one[beside], other[beside], strip.contact_lengths[beside]
    own = strip.pieces[strip.carried :]
    beside = np.flatnonzero((own[1:] != OUTSIDE) & (own[:-1] != OUTSIDE))  # each row ends outside
    yield own[beside], own[beside + 1], np.ones(len(beside), dtype=np.int64)

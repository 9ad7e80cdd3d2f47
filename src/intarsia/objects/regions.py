"""The objects of a mask that comes in strips: how many there are, of which class, how large, and where.

An object is a 4-connected set of pixels of one class.

R runs, P pieces, N objects.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intarsia.objects.outlines import Corners, Polygons
from intarsia.objects.runs import OUTSIDE, Integers, Pieces, room
from intarsia.objects.units import short

Areas = Callable[[int, int], NDArray[np.float64]]
"""Area of one pixel in each of the rows from `top` to before `bottom`: `Scale.areas`."""

_FAR = np.iinfo(np.int64).max
# What an object without pixels would have; y and x are twice the sums of its pixels' coordinates, which are whole.
_EMPTY = {"class": 0, "pixels": 0, "y": 0, "x": 0, "top": _FAR, "left": _FAR, "bottom": 0, "right": 0}


@dataclass(frozen=True, eq=False)
class Objects:
    """N objects in the order of their first pixels, row by row from the upper left.

    Attributes:
        classes: [N] int64 class index.
        pixels: [N] int64.
        boxes: [N, 4] int64 top, left, bottom, right; the last two just outside.
        centroids: [N, 2] float64 (y, x) in pixels; the centre of the first pixel is (0.5, 0.5).
        areas: [N] float64 in the scale's unit²; None without a scale.
        outlines: [N] polygons (`objects.outlines`); None where they were not asked for.
    """

    classes: Integers
    pixels: Integers
    boxes: Integers
    centroids: NDArray[np.float64]
    areas: NDArray[np.float64] | None = None
    outlines: Polygons | None = None

    def __len__(self) -> int:
        return len(self.classes)

    def rows(self, names: Sequence[str], unit: str = "") -> Iterator[dict[str, Any]]:
        """A row for each object, for a table; ids count from 1.

        Args:
            names: of the classes, by class index.
            unit: of length; areas are in its square.
        """
        for index, (kind, box) in enumerate(zip(self.classes.tolist(), self.boxes.tolist(), strict=True)):
            y, x = self.centroids[index].tolist()
            yield {
                "id": index + 1,
                "class": names[kind],
                "pixels": int(self.pixels[index]),
                **({} if self.areas is None else {f"area ({unit}²)": short(self.areas[index])}),
                "x": x,
                "y": y,
                **dict(zip(("top", "left", "bottom", "right"), box, strict=True)),
                "diameter": float(self.diameters[index]),
            }

    @cached_property
    def diameters(self) -> NDArray[np.float64]:
        """[N] diameter in pixels of a disc that has as many pixels."""
        return np.sqrt(4 * self.pixels / np.pi)


class Sums:
    """What is summed up over the runs of each object, or of each piece of one.

    Args:
        areas: of the pixels of rows; None where there is no scale.
    """

    def __init__(self, areas: Areas | None = None) -> None:
        self._areas = areas
        self._areas_met: set[float] = set()  # of a pixel; no more than two are kept
        self._columns = {name: np.empty(0, dtype=np.int64) for name in _EMPTY}
        self._area = np.empty(0)

    def add(
        self, numbers: Integers, classes: Integers, rows: Integers, starts: Integers, lengths: Integers
    ) -> None:
        """More runs.

        Args:
            numbers: [R] what each belongs to.
            classes: [R] its class index.
            rows: [R] where it lies.
            starts: [R] its first column.
            lengths: [R] its pixels.
        """
        if not len(numbers):
            return
        size = int(numbers.max()) + 1
        columns = self._columns = {name: room(old, size, _EMPTY[name]) for name, old in self._columns.items()}
        columns["class"][numbers] = classes
        np.add.at(columns["pixels"], numbers, lengths)
        np.add.at(columns["y"], numbers, (2 * rows + 1) * lengths)
        np.add.at(columns["x"], numbers, (2 * starts + lengths) * lengths)
        np.minimum.at(columns["top"], numbers, rows)
        np.minimum.at(columns["left"], numbers, starts)
        np.maximum.at(columns["bottom"], numbers, rows + 1)
        np.maximum.at(columns["right"], numbers, starts + lengths)
        if self._areas is not None:
            first = int(rows.min())
            of_rows = self._areas(first, int(rows.max()) + 1)
            if len(self._areas_met) < 2:
                self._areas_met |= {float(of_rows.min()), float(of_rows.max())}
            self._area = room(self._area, size)
            np.add.at(self._area, numbers, of_rows[rows - first] * lengths)

    def objects(self, owners: Integers, count: int, outlines: Polygons | None = None) -> Objects:
        """The table of objects.

        Args:
            owners: [P] the object that each number belongs to.
            count: of objects.
            outlines: [count] to go with them.
        """
        size = len(owners)
        column = {name: np.full(count, fill) for name, fill in _EMPTY.items()}
        own = {name: room(old, size, _EMPTY[name])[:size] for name, old in self._columns.items()}
        column["class"][owners] = own["class"]
        for name in ("pixels", "y", "x"):
            np.add.at(column[name], owners, own[name])
        for name in ("top", "left"):
            np.minimum.at(column[name], owners, own[name])
        for name in ("bottom", "right"):
            np.maximum.at(column[name], owners, own[name])
        summed = np.bincount(owners, weights=room(self._area, size)[:size], minlength=count)
        areas: NDArray[np.float64] = summed.astype(np.float64)
        if len(self._areas_met) == 1:
            areas = column["pixels"] * next(iter(self._areas_met))  # equal objects have equal areas to the last bit
        return Objects(
            classes=column["class"],
            pixels=column["pixels"],
            boxes=np.stack([column[name] for name in ("top", "left", "bottom", "right")], axis=1),
            centroids=np.stack([column["y"], column["x"]], axis=1) / (2 * column["pixels"][:, None]),
            areas=None if self._areas is None else areas,
            outlines=outlines,
        )


class Regions:
    """Finds the objects of a picture of any height.

    Args:
        classes: class indices that are looked at; leave out the background, and what is ignored. None looks at all.
        areas: of the pixels of rows; None where there is no scale.
        outlines: whether outlines are wanted.
        besides: where `classes` is None, one that is left out all the same.
    """

    def __init__(
        self,
        classes: Iterable[int] | None,
        areas: Areas | None = None,
        outlines: bool = False,
        besides: int = OUTSIDE,
    ) -> None:
        self._pieces = Pieces(classes, besides)
        self._sums = Sums(areas)
        self._corners = Corners() if outlines else None

    def add(self, rows: NDArray[Any]) -> None:
        """The next rows [h, W] of class indices, uint8 or uint16, of any number h."""
        for strip in self._pieces.add(rows):
            if self._corners is not None:
                self._corners.add(strip)
            own = np.flatnonzero(strip.pieces[strip.carried :] != OUTSIDE) + strip.carried
            self._sums.add(
                strip.pieces[own], strip.classes[own], strip.rows[own], strip.starts[own], strip.lengths[own]
            )

    def finish(self) -> Objects:
        """All objects, after the last row."""
        owners, count = self._pieces.objects()
        outlines = None
        if self._corners is not None:
            if self._pieces.height:
                self._corners.add(self._pieces.end())
            outlines = self._corners.polygons(owners, count)
        return self._sums.objects(owners, count, outlines)

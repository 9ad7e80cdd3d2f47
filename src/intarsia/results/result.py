"""The answer to one picture, in Python: its mask, and what follows from it when it is asked for."""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from intarsia import draw
from intarsia.answers import confidence_of, entropy_of, probabilities_of
from intarsia.errors import MachineError
from intarsia.labels import Labels
from intarsia.objects import geojson
from intarsia.objects.areas import Measurements, Measuring
from intarsia.objects.instances import Labelled, label_objects
from intarsia.objects.regions import Objects, Regions
from intarsia.objects.units import pixel_size as scale_of
from intarsia.raster.contract import Georeference, Scale, Source
from intarsia.results.outputs import Shown, simpler
from intarsia.results.plan import Plan, Subject
from intarsia.results.writing import cleaned, masks_of
from intarsia.tiling import Block

_MOST_LOGITS = 1 << 30  # bytes that are kept of one picture


@dataclass(frozen=True, eq=False)
class Result:
    """What a model says of one picture. `np.asarray(result)` is its mask.

    Attributes:
        mask: [H, W] class indices, uint8 (uint16 above 255 classes); `labels.ignore_index` where there are no
            data: all bands are NaN, or the file says so.
        labels: names and colours of the classes.
        path: of the picture; empty for an array.
        georeference: where it lies; None for most pictures.
        scale: what its pixels measure; None where nobody says.
    """

    mask: NDArray[Any]
    labels: Labels
    path: Path
    georeference: Georeference | None
    scale: Scale | None
    _plan: Plan = field(repr=False)
    _logits: Tensor | None = field(repr=False)
    _open: Callable[[], Source] = field(repr=False)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.mask, dtype=dtype, copy=copy)

    @cached_property
    def probabilities(self) -> NDArray[np.float32]:
        """[C, H, W] float32, which add up to 1 for each pixel.

        Raises:
            MachineError: they take more than a gigabyte.
        """
        return np.asarray(probabilities_of(self._kept).cpu().numpy())

    @cached_property
    def confidence(self) -> NDArray[np.float32]:
        """[H, W] float32: the largest probability of each pixel. Errors as for `probabilities`."""
        return np.asarray(confidence_of(self._kept).cpu().numpy())

    @cached_property
    def entropy(self) -> NDArray[np.float32]:
        """[H, W] float32: Shannon's, from 0 (sure) to 1 (no idea). Errors as for `probabilities`."""
        return np.asarray(entropy_of(self._kept).cpu().numpy())

    @property
    def _kept(self) -> Tensor:
        if self._logits is None:
            where = "" if self.path == Path() else f"{self.path}: "
            raise MachineError(
                f"{where}The probabilities of {self.mask.shape[0]}x{self.mask.shape[1]} pixels and "
                f"{len(self.labels)} classes do not fit into memory. intarsia.predict(..., save=['probabilities']) "
                "writes them piece by piece."
            )
        return self._logits

    def overlay(self) -> draw.Picture:
        """[h, w, 3] uint8: the picture, tinted by class; of very large ones every 2nd, 3rd, ... row and column."""
        with closing(self._open()) as source:
            shown = Shown(Subject(source, self._plan, Path(), Path()), "overlays", draw.overlay)
            shown.add(0, self.mask)
            return shown.picture()

    def polygons(self, tolerance: float | None = None) -> dict[str, Any]:
        """A GeoJSON FeatureCollection: a polygon for each object, in the picture's own coordinates.

        Objects are 4-connected pixels of one class; those of the background are left out, unless the options name
        the classes. Coordinates are pixels, x to the right and y down, where the picture has no place on earth.

        Args:
            tolerance: pixels by which outlines may be off, so that they have fewer points; None for the options'.
        """
        allowed = self._plan.options.tolerance if tolerance is None else tolerance
        objects = simpler(self._objects(outlines=True, scale=self.scale), allowed)
        unit = self.scale.unit if self.scale else ""
        return geojson.collection(objects, self.labels.names, self.georeference, unit)

    def instances(self, *, touching: bool | None = None) -> Labelled:
        """Its objects, numbered: `.ids` [H, W] int32, 0 outside of all; `.objects` the table, row i of id i + 1.

        Args:
            touching: tell objects of a class apart that touch each other (watershed); None for the options'.
        """
        touching = self._plan.options.touching if touching is None else touching
        areas = self.scale.areas if self.scale else None
        return label_objects(self.mask, self._plan.objects, touching, areas)

    def areas(self, pixel_size: str | None = None) -> Measurements:
        """What the classes measure: pixels, shares, areas, objects and their sizes. `.rows()` gives a table.

        Volumes too, where the options have the spacing of a stack.

        Args:
            pixel_size: such as 0.5mm, or 0.5mm,0.6mm for height and width; None for the picture's own.

        Raises:
            SettingsError: no such length.
        """
        scale, depth = (scale_of(pixel_size), None) if pixel_size else (self.scale, self._plan.depth)
        measuring = Measuring(self.labels.names, scale, self.labels.ignore_index)
        measuring.add(self.mask)
        return measuring.finish(self._objects(outlines=False, scale=scale), self._plan.objects, depth)

    def _objects(self, *, outlines: bool, scale: Scale | None) -> Objects:
        regions = Regions(self._plan.objects, scale.areas if scale else None, outlines)
        regions.add(self.mask)
        return regions.finish()


def answered(source: Source, plan: Plan, blocks: Iterable[Block], reopen: Callable[[], Source]) -> Result:
    """The result for one picture.

    Args:
        source: the picture.
        plan: of the prediction.
        blocks: its logits.
        reopen: opens the picture once more, for whoever wants to see it.
    """
    height, width = source.height, source.width
    kept = _Kept(len(plan.labels), height, width)
    mask = np.empty((height, width), dtype=plan.labels.mask_dtype)
    subject = Subject(source, plan, Path(), Path(tempfile.gettempdir()))
    for top, strip in cleaned(masks_of(subject, kept.passing(blocks)), subject):
        mask[top : top + len(strip)] = strip
    scale = plan.scale_of(source)
    return Result(mask, plan.labels, source.path, source.georeference, scale, plan, kept.logits, reopen)


class _Kept:
    """The logits [C, H, W] of a picture, put together as its blocks pass; None where they are too many to keep."""

    def __init__(self, classes: int, height: int, width: int) -> None:
        self._size = height, width
        self._wanted = 4 * classes * height * width <= _MOST_LOGITS
        self.logits: Tensor | None = None

    def passing(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """The same blocks."""
        for block in blocks:
            if self._wanted:
                self._keep(block)
            yield block

    def _keep(self, block: Block) -> None:
        window, logits = block
        if (window.height, window.width) == self._size:
            self.logits = logits
            return
        if self.logits is None:
            self.logits = logits.new_empty((len(logits), *self._size))
        self.logits[:, window.top : window.top + window.height, window.left : window.left + window.width] = logits

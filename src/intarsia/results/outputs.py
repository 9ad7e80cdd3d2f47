"""What a prediction can be saved as: one entry for each kind of result, fed from top to bottom.

Maps (probabilities, confidence, entropy) are made of logits, block after block; everything else of the mask, strip
after strip. Both leave a file that appears when it is whole.

Legend: C classes; a strip is [h, width] class indices of the next rows.
"""

import csv
import io
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from intarsia import draw
from intarsia.answers import confidence_of, entropy_of, probabilities_of
from intarsia.data.read import MOST_PIXELS
from intarsia.errors import DataError
from intarsia.files import write_parts, write_whole
from intarsia.objects import coco, geojson
from intarsia.objects.areas import Measuring
from intarsia.objects.instances import label_objects
from intarsia.objects.outlines import simplified
from intarsia.objects.regions import Objects, Regions
from intarsia.raster.frames import is_frames
from intarsia.raster.writers import open_writer
from intarsia.results.plan import Subject
from intarsia.tiles import Window

_SUFFIXES = (".png", ".tif", ".geojson", ".json", ".mp4")  # no .csv: a table is there before its picture
_MOST_DRAWN = 16_000_000  # pixels of an overlay; of a larger picture every 2nd, 3rd, ... row and column is drawn


class Output(Protocol):
    """One result of one picture, made of its mask."""

    def add(self, top: int, strip: NDArray[Any]) -> None:
        """The next rows of the mask: [h, width] class indices; `top` is the first one's number."""

    def close(self) -> None:
        """Writes what is left; the file appears."""

    def discard(self) -> None:
        """Gives up and leaves nothing; without effect after `close`."""


class Strips:
    """Collects blocks into strips of full width.

    Args:
        width: of the picture.
        write: called with (first row, [h, width, ...]) for each strip, from top to bottom.
    """

    def __init__(self, width: int, write: Callable[[int, NDArray[Any]], None]) -> None:
        self._width = width
        self._write = write
        self._strip: NDArray[Any] | None = None

    def add(self, window: Window, block: NDArray[Any]) -> None:
        """The next block [height, width, ...]: from left to right, then downwards."""
        if window.width == self._width:
            self._write(window.top, block)
            return
        if self._strip is None:
            self._strip = np.empty((window.height, self._width, *block.shape[2:]), dtype=block.dtype)
        self._strip[:, window.left : window.left + window.width] = block
        if window.left + window.width == self._width:
            self._write(window.top, self._strip)
            self._strip = None


class Map:
    """A picture of numbers that logits give: [C, h, w] -> [h, w] or [h, w, C]."""

    def __init__(self, subject: Subject, name: str) -> None:
        kind = MAPS[name]
        source = subject.source
        floats = kind.by_class and subject.options.float_probabilities
        self._measure = kind.of
        self._floats = floats
        self._writer = open_writer(
            subject.path(name, ".tif" if kind.by_class else subject.raster_suffix),
            source.height,
            source.width,
            bands=len(subject.labels) if kind.by_class else None,
            dtype=np.float32 if floats else np.uint8,
            georeference=source.georeference,
        )
        self._strips = Strips(source.width, lambda top, strip: self._writer.write(strip))

    def add(self, window: Window, logits: Tensor, missing: NDArray[np.bool_] | None) -> None:
        """The next block of logits [C, h, w], and where the source has no data: there it is 0."""
        values = self._measure(logits)
        if not self._floats:
            values = values.mul(255).round_().to(torch.uint8)
        block = values.movedim(0, -1).cpu().numpy() if values.ndim == 3 else values.cpu().numpy()
        if missing is not None:
            block = block.copy()
            block[missing] = 0
        self._strips.add(window, block)

    def close(self) -> None:
        """See `Output`."""
        self._writer.close()

    def discard(self) -> None:
        """See `Output`."""
        self._writer.discard()


class Masks:
    """The mask itself: an index picture with the classes' colours, at the source's size and place."""

    def __init__(self, subject: Subject) -> None:
        source, labels = subject.source, subject.labels
        self._writer = open_writer(
            subject.path("masks", subject.raster_suffix),
            source.height,
            source.width,
            dtype=labels.mask_dtype,
            palette=draw.palette(labels) if labels.mask_dtype is np.uint8 else None,
            georeference=source.georeference,
            nodata=labels.ignore_index if source.georeference else None,
        )

    def add(self, top: int, strip: NDArray[Any]) -> None:
        """See `Output`."""
        self._writer.write(strip)

    def close(self) -> None:
        """See `Output`."""
        self._writer.close()

    def discard(self) -> None:
        """See `Output`."""
        self._writer.discard()


class Shown:
    """A picture for people: image and mask drawn together; large ones at a fraction of their size."""

    def __init__(self, subject: Subject, name: str, drawn: Callable[..., draw.Picture]) -> None:
        self._subject = subject
        self._name = name
        self._drawn = drawn
        self._step = math.ceil(math.sqrt(subject.source.height * subject.source.width / _MOST_DRAWN))
        self._image: list[NDArray[Any]] = []
        self._mask: list[NDArray[Any]] = []

    def add(self, top: int, strip: NDArray[Any]) -> None:
        """See `Output`."""
        step = self._step
        rows = self._subject.source.read(Window(top, 0, *strip.shape))
        self._image.append(rows[-top % step :: step, ::step].copy())  # else the whole strip would stay
        self._mask.append(strip[-top % step :: step, ::step].copy())

    def picture(self) -> draw.Picture:
        """[h, w, 3] uint8 of all rows."""
        mask, labels = np.concatenate(self._mask), self._subject.labels
        return self._drawn(draw.rgb(np.concatenate(self._image), mask != labels.ignore_index), mask, labels)

    def close(self) -> None:
        """See `Output`."""
        draw.write_picture(self.picture(), self._subject.path(self._name, ".png"))

    def discard(self) -> None:
        """See `Output`."""


class Outlined:
    """The outlines of objects, as a file of polygons."""

    def __init__(self, subject: Subject, write: Callable[[Subject, Objects], None]) -> None:
        self._subject = subject
        self._write = write
        areas = subject.scale.areas if subject.scale else None
        self._regions = Regions(subject.plan.objects, areas, outlines=True)

    def add(self, top: int, strip: NDArray[Any]) -> None:
        """See `Output`."""
        self._regions.add(strip)

    def close(self) -> None:
        """See `Output`."""
        self._write(self._subject, simpler(self._regions.finish(), self._subject.options.tolerance))

    def discard(self) -> None:
        """See `Output`."""


class Areas:
    """What the classes measure, and their objects."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        scale = subject.scale
        self._measuring = Measuring(subject.labels.names, scale, subject.labels.ignore_index)
        self._regions = Regions(subject.plan.objects, scale.areas if scale else None)

    def add(self, top: int, strip: NDArray[Any]) -> None:
        """See `Output`."""
        self._measuring.add(strip)
        self._regions.add(strip)

    def close(self) -> None:
        """See `Output`."""
        plan = self._subject.plan
        measured = self._measuring.finish(self._regions.finish(), plan.objects, plan.depth)
        write_whole(
            self._subject.path("areas", ".json"), json.dumps(measured.to_dict(), ensure_ascii=False).encode()
        )

    def discard(self) -> None:
        """See `Output`."""


class Instances:
    """Every object with a number of its own: a picture of numbers, and a table. The mask is held in memory."""

    def __init__(self, subject: Subject) -> None:
        source = subject.source
        if source.height * source.width > MOST_PIXELS:
            raise DataError(
                f"{source.path}: instances of {source.height}x{source.width} pixels: at most {MOST_PIXELS:,} are "
                "numbered, which is done in memory. polygons and areas know no such limit."
            )
        self._subject = subject
        self._mask: list[NDArray[Any]] = []

    def add(self, top: int, strip: NDArray[Any]) -> None:
        """See `Output`."""
        self._mask.append(strip)

    def close(self) -> None:
        """See `Output`."""
        subject, source = self._subject, self._subject.source
        areas = subject.scale.areas if subject.scale else None
        found = label_objects(np.concatenate(self._mask), subject.plan.objects, subject.options.touching, areas)
        wide = len(found.objects) > np.iinfo(np.uint16).max
        writer = open_writer(
            subject.path("instances", ".tif" if wide else subject.raster_suffix),
            source.height,
            source.width,
            dtype=np.uint32 if wide else np.uint16,
            georeference=source.georeference,
        )
        try:
            write_whole(subject.path("instances", ".csv"), table(subject, found.objects).encode())
            writer.write(found.ids)
            writer.close()
        finally:
            writer.discard()

    def discard(self) -> None:
        """See `Output`."""


def table(subject: Subject, objects: Objects) -> str:
    """The objects of one picture as CSV, a line each."""
    unit = subject.scale.unit if subject.scale else ""
    area = [] if objects.areas is None else [f"area ({unit}²)"]
    columns = ["id", "class", "pixels", *area, "x", "y", "top", "left", "bottom", "right", "diameter"]
    lines = io.StringIO()
    writer = csv.DictWriter(lines, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(objects.rows(subject.labels.names, unit))
    return lines.getvalue()


def simpler(objects: Objects, tolerance: float) -> Objects:
    """The same objects with outlines that may be off by so many pixels."""
    if not tolerance or objects.outlines is None:
        return objects
    outlines = np.array([simplified(outline, tolerance) for outline in objects.outlines], dtype=np.object_)
    return replace(objects, outlines=outlines)


def _write_geojson(subject: Subject, objects: Objects) -> None:
    unit = subject.scale.unit if subject.scale else ""
    lines = geojson.lines(objects, subject.labels.names, subject.source.georeference, unit)
    write_parts(subject.path("polygons", ".geojson"), (line.encode() for line in lines))


def _write_coco(subject: Subject, objects: Objects) -> None:
    source = subject.source
    name = f"{(subject.name or subject.relative).as_posix()}{source.path.suffix}"
    record = coco.record(objects, name, source.height, source.width)
    write_whole(subject.path("coco", ".json"), json.dumps(record, separators=(",", ":")).encode())


def _coco(subject: Subject) -> Output:
    source = subject.source
    if source.height * source.width > coco.MOST_PIXELS:
        raise DataError(
            f"{source.path}: {source.height}x{source.width} pixels are more than COCO's run lengths can count. "
            "polygons knows no such limit."
        )
    return Outlined(subject, _write_coco)


@dataclass(frozen=True)
class Measure:
    """What a map shows.

    Attributes:
        of: [C, h, w] logits -> [h, w], or [C, h, w] where it has a band for each class; 0 to 1.
        by_class: whether it has.
    """

    of: Callable[[Tensor], Tensor]
    by_class: bool = False


MAPS: dict[str, Measure] = {
    "probabilities": Measure(probabilities_of, by_class=True),
    "confidence": Measure(confidence_of),
    "entropy": Measure(entropy_of),
}

OUTPUTS: dict[str, Callable[[Subject], Output]] = {
    "masks": Masks,
    "overlays": lambda subject: Shown(subject, "overlays", draw.overlay),
    "triptychs": lambda subject: Shown(subject, "triptychs", draw.triptych),
    "polygons": lambda subject: Outlined(subject, _write_geojson),
    "instances": Instances,
    "areas": Areas,
    "coco": _coco,
}


def all_outputs() -> list[str]:
    """The names of all outputs."""
    return [*OUTPUTS, *MAPS]


def is_finished(out: Path, output: str, relative: Path, picture: Path) -> bool:
    """Whether a picture's result is there: a file of its name, whatever its suffix, or a folder of frames."""
    place = out / output / relative
    if any(place.with_name(f"{place.name}{suffix}").exists() for suffix in _SUFFIXES):
        return True
    return place.is_dir() and is_frames(picture)  # a folder of pictures may have the name of a picture beside it

"""What a prediction's options mean for a model, and for one picture."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from intarsia.answers import indices_of
from intarsia.data.read import MOST_PIXELS
from intarsia.errors import DataError, SettingsError, counted
from intarsia.files import make_folder
from intarsia.inference import chosen_tile, largest_tile, pixels_that_fit, tiling_for
from intarsia.labels import Labels
from intarsia.networks.ensemble import Averaged, Ensemble, Mixed, Model
from intarsia.networks.segmenter import Segmenter
from intarsia.objects.units import pixel_size, spacing
from intarsia.options import PredictOptions
from intarsia.raster.contract import Scale, Source
from intarsia.raster.opening import open_source, with_other_bands
from intarsia.tiles import fitting
from intarsia.tiling import Tiling

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
_BACKGROUND = frozenset({"background", "_background_", "bg", "void", "none", "other", "unlabeled", "unlabelled"})


@dataclass(frozen=True)
class Plan:
    """All of a prediction that does not depend on the picture.

    Attributes:
        model: that is asked, in eval mode.
        labels: its classes.
        options: as given.
        thresholds: by class index; see `answers.classes_of`.
        objects: class indices that are outlined and counted.
        scale: that was given; None for that of each picture.
        depth: from picture to picture of a stack, in the scale's unit; None for no stack.
        least: side of the pictures that the model has learned from.
        dtype: of the numbers that it has learned from; empty where any will do.
        fits: pixels of the largest picture or tile in one piece; None for what this machine takes.
    """

    model: Model
    labels: Labels
    options: PredictOptions
    thresholds: Mapping[int, float]
    objects: tuple[int, ...]
    scale: Scale | None
    depth: float | None
    least: int = 0
    dtype: str = ""
    fits: int | None = None

    @classmethod
    def of(
        cls, model: Segmenter | Ensemble, labels: Labels, options: PredictOptions, least: int = 0, dtype: str = ""
    ) -> "Plan":
        """The plan for a model.

        Raises:
            SettingsError: a class that it does not have, a threshold of nobody, a measure that is none, tiles that
                its network cannot work in.
        """
        stack = spacing(options.spacing) if options.spacing else None
        given = stack.scale if stack else pixel_size(options.pixel_size) if options.pixel_size else None
        asked: Model = model
        if options.precision != "fp32":
            asked = Mixed(asked, _DTYPES[options.precision]).eval()
        if options.tta:
            asked = Averaged(asked).eval()
        if options.tile is not None:
            fitting(options.tile, options.overlap, asked.step)
        elif options.overlap is not None:  # `room` looks again, at what memory allows
            fitting(largest_tile(least), options.overlap, asked.step, chosen=True)
        objects = dict.fromkeys(indices_of(options.classes, labels.names, "--classes") or foreground(labels))
        depth = stack.depth if stack else None
        thresholds = _thresholds(options.threshold, labels)
        if options.compile:
            asked.compile()
        return cls(asked, labels, options, thresholds, tuple(objects), given, depth, least, dtype)

    def open(self, path: str | Path) -> Source:
        """Opens a picture as the model wants it.

        Raises:
            DataError: no picture, damaged, or of other bands or numbers than the model was trained on.
            SettingsError: a level or microns of what is no slide.
        """
        source = open_source(path, level=self.options.level, mpp=self.options.mpp)
        try:
            return self.checked(source)
        except DataError:
            source.close()
            raise

    def checked(self, source: Source) -> Source:
        """The same picture with the model's bands.

        Raises:
            DataError: it has other bands or numbers than the model was trained on.
        """
        bands, found = self.model.bands, f"{source.path}: {counted(source.bands, 'band')} of {source.dtype}"
        trained = f"the model was trained on {counted(bands, 'band')}{self.dtype and ' of '}{self.dtype}"
        if self.dtype and source.dtype != self.dtype:
            raise DataError(f"{found}: {trained}. Convert it to the numbers of the training pictures.")
        try:
            return with_other_bands(source, bands)
        except DataError:
            raise DataError(f"{found}: {trained}. Write a file with these bands.") from None

    def tiling(self, source: Source) -> Tiling:
        """The tiles of a picture."""
        options, size = self.options, (source.height, source.width)
        return tiling_for(self.model, *size, options.tile, options.overlap, self.least, self.room)

    @cached_property
    def room(self) -> int:
        """Pixels that fit into memory in one piece; found out once, before several threads ask the model.

        Raises:
            SettingsError: the overlap is too much for the tiles that memory allows.
        """
        room, options = self.fits or pixels_that_fit(self.model), self.options
        if options.tile is None and options.overlap is not None:
            fitting(chosen_tile(self.model, self.least, room), options.overlap, self.model.step, chosen=True)
        return room

    def note_of(self, tiling: Tiling) -> str:
        """What should be known of results that tiles give; mostly empty."""
        side = max(tiling.tile)
        if side >= self.least:
            return ""
        why = "" if self.options.tile else " Memory allows no larger ones; --tile sets another size."
        return (
            f"Tiles of {side} pixels: the model has learned from pictures of {self.least} pixels, and sees less "
            f"around each.{why}"
        )

    def scale_of(self, source: Source) -> Scale | None:
        """What a picture's pixels measure; None where nobody says."""
        return self.scale or source.scale


def foreground(labels: Labels) -> list[int]:
    """The classes that are things: all but the background; all, where nothing else is left."""
    return [index for index, name in enumerate(labels.names) if name.lower() not in _BACKGROUND] or [
        *range(len(labels))
    ]


def _thresholds(given: Mapping[str, float], labels: Labels) -> dict[int, float]:
    if "" not in given:
        return dict(zip(indices_of(list(given), labels.names, "--threshold"), given.values(), strict=True))
    last, number = foreground(labels)[-1], f"{given['']:g}"
    if len(labels) != 2:
        raise SettingsError(
            f"--threshold {number}: the model has {len(labels)} class{'es' * (len(labels) != 1)}. "
            f"Say which one: "
            f"--threshold {labels.names[last]}={number}."
        )
    if others := [name for name in given if name]:
        raise SettingsError(f"--threshold {number}: stands beside that of {others[0]}. Say the class of both.")
    return {last: given[""]}


@dataclass(frozen=True)
class Subject:
    """One picture, and where its results go.

    Attributes:
        source: the picture.
        plan: of the prediction.
        relative: path of its results below each output's folder, without suffix.
        out: the folder of all results.
        name: what the picture is called in results, where its folder has another name until it is whole.
    """

    source: Source
    plan: Plan
    relative: Path
    out: Path
    name: Path | None = None

    @property
    def labels(self) -> Labels:
        """The classes."""
        return self.plan.labels

    @property
    def options(self) -> PredictOptions:
        """Of the prediction."""
        return self.plan.options

    @property
    def scale(self) -> Scale | None:
        """What the picture's pixels measure; None where nobody says."""
        return self.plan.scale_of(self.source)

    @property
    def raster_suffix(self) -> str:
        """Of masks and maps: TIFF for what has a place, and for what is too large to be opened as PNG."""
        large = self.source.height * self.source.width > MOST_PIXELS
        return ".tif" if large or self.source.georeference else ".png"

    def path(self, output: str, suffix: str) -> Path:
        """Where a result goes; its folder is made."""
        path = self.out / output / self.relative.parent / f"{self.relative.name}{suffix}"
        make_folder(path.parent)
        return path

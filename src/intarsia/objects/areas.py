"""Measurements of masks: pixels, shares and areas of classes, numbers and sizes of objects, volumes of stacks.

Of one picture, and of many: totals are made from the pictures' measurements, in which the sizes of all objects are
kept, so that percentiles are exact.

C classes, K distinct sizes.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intarsia.labels import IGNORE, count_values
from intarsia.objects.regions import Objects
from intarsia.objects.units import ratio, short
from intarsia.raster.contract import Scale

PERCENTILES = (5, 25, 50, 75, 95)


@dataclass(frozen=True, eq=False)
class Sizes:
    """How large objects are: each size that occurs, and how often.

    Attributes:
        values: [K] ascending; int64 pixels, or float64 areas.
        counts: [K] int64 objects of each.
    """

    values: NDArray[Any]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, sizes: NDArray[Any]) -> "Sizes":
        """From the size of each object."""
        values, counts = np.unique(sizes, return_counts=True)
        return cls(values, counts.astype(np.int64))

    @classmethod
    def joined(cls, parts: Sequence["Sizes"]) -> "Sizes":
        """All objects of several."""
        values, places = np.unique(np.concatenate([part.values for part in parts]), return_inverse=True)
        counts = np.zeros(len(values), dtype=np.int64)
        np.add.at(counts, places, np.concatenate([part.counts for part in parts]))
        return cls(values, counts)

    def __len__(self) -> int:
        return int(self.counts.sum())

    def times(self, factor: float) -> "Sizes":
        """In another unit."""
        return self if factor == 1 else Sizes(self.values * factor, self.counts)

    def percentile(self, percent: float) -> float:
        """The size that so many percent of the objects do not exceed; between two, linear, as NumPy has it."""
        place = (len(self) - 1) * percent / 100
        last = np.cumsum(self.counts)
        low, high = (float(self.values[np.searchsorted(last, int(n), "right")]) for n in (place, np.ceil(place)))
        return low + (high - low) * (place - int(place))

    def summary(self) -> dict[str, float | None]:
        """Least, percentiles, most and mean in twelve digits; None where there are no objects."""
        named = {f"p{percent}": percent for percent in PERCENTILES}
        if not len(self):
            return dict.fromkeys(("min", *named, "max", "mean"))
        least, most = self.values[[0, -1]].tolist()
        return {
            "min": least if isinstance(least, int) else short(least),
            **{name: short(self.percentile(percent)) for name, percent in named.items()},
            "max": most if isinstance(most, int) else short(most),
            "mean": short(float(self.values @ self.counts) / len(self)),
        }


@dataclass(frozen=True, eq=False)
class Measurements:
    """What was measured in a picture, or in several together.

    Attributes:
        names: of the classes.
        pixels: [C] int64.
        ignored_pixels: those that count for nothing.
        unit: of length; empty without a scale.
        areas: [C] float64 in unit²; None without a scale.
        volumes: [C] float64 in unit³; None where the picture is not of a stack.
        object_pixels: for each class the sizes of its objects in pixels; None where objects were not counted.
        object_areas: the same in unit²; None without a scale too.
    """

    names: tuple[str, ...]
    pixels: NDArray[np.int64]
    ignored_pixels: int
    unit: str
    areas: NDArray[np.float64] | None
    volumes: NDArray[np.float64] | None
    object_pixels: tuple[Sizes | None, ...]
    object_areas: tuple[Sizes | None, ...]

    @property
    def shares(self) -> NDArray[np.float64]:
        """[C] of the pixels that are not ignored; NaN without any."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.pixels / self.pixels.sum())

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row for each class, for a table: always the same columns, None where there is nothing to say.

        Areas and volumes have twelve digits.
        """
        for index, name in enumerate(self.names):
            objects, areas = self.object_pixels[index], self.object_areas[index]
            none = dict.fromkeys(Sizes.of(np.zeros(0)).summary())
            yield {
                "class": name,
                "pixels": int(self.pixels[index]),
                "share": None if np.isnan(self.shares[index]) else float(self.shares[index]),
                "area": None if self.areas is None else short(self.areas[index]),
                "area_unit": f"{self.unit}²" if self.areas is not None else None,
                "volume": None if self.volumes is None else short(self.volumes[index]),
                "volume_unit": f"{self.unit}³" if self.volumes is not None else None,
                "objects": None if objects is None else len(objects),
                **{
                    f"object_pixels_{key}": value for key, value in (objects.summary() if objects else none).items()
                },
                **{f"object_area_{key}": value for key, value in (areas.summary() if areas else none).items()},
            }

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, for JSON: `rows`, and what totals are made from, to the last digit."""
        return {
            "ignored_pixels": self.ignored_pixels,
            "unit": self.unit,
            "classes": list(self.rows()),
            "areas": None if self.areas is None else self.areas.tolist(),
            "volumes": None if self.volumes is None else self.volumes.tolist(),
            "object_pixels": [_plain(sizes) for sizes in self.object_pixels],
            "object_areas": [_plain(sizes) for sizes in self.object_areas],
        }

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> "Measurements":
        """The opposite of `to_dict`."""
        classes = plain["classes"]
        areas, volumes = (
            None if plain[name] is None else np.array(plain[name], dtype=np.float64)
            for name in ("areas", "volumes")
        )
        return cls(
            names=tuple(row["class"] for row in classes),
            pixels=np.array([row["pixels"] for row in classes], dtype=np.int64),
            ignored_pixels=plain["ignored_pixels"],
            unit=plain["unit"],
            areas=areas,
            volumes=volumes,
            object_pixels=tuple(_sizes(sizes, np.int64) for sizes in plain["object_pixels"]),
            object_areas=tuple(_sizes(sizes, np.float64) for sizes in plain["object_areas"]),
        )


class Measuring:
    """Counts the classes of a picture of any height.

    Args:
        names: of the classes, by class index.
        scale: of the picture; None where it is not known.
        ignore_index: the class index of pixels that count for nothing.
    """

    def __init__(self, names: Sequence[str], scale: Scale | None = None, ignore_index: int = IGNORE) -> None:
        self._names = tuple(names)
        self._scale = scale
        self._pixels = np.zeros(ignore_index + 1, dtype=np.int64)
        self._areas = np.zeros(ignore_index + 1)
        self._areas_met: set[float] = set()  # of a pixel; no more than two are kept
        self._top = 0

    def add(self, rows: NDArray[Any]) -> None:
        """The next rows [h, W] of class indices, uint8 or uint16, of any number h."""
        areas = np.ones(len(rows)) if self._scale is None else self._scale.areas(self._top, self._top + len(rows))
        self._top += len(rows)
        if not rows.size:
            return
        if len(self._areas_met) < 2:
            self._areas_met |= {float(areas.min()), float(areas.max())}
        step = len(rows) if areas.min() == areas.max() else 1
        for start in range(0, len(rows), step):
            values, counts = count_values(rows[start : start + step])
            self._pixels[values] += counts
            self._areas[values] += counts * areas[start]

    def finish(self, objects: Objects, counted: Iterable[int], depth: float | None = None) -> Measurements:
        """The measurements, after the last row.

        Args:
            objects: of the picture, with areas where it has a scale (`Regions`, `label_objects`).
            counted: indices of the classes whose objects were looked for.
            depth: from a picture to the next, in the scale's unit, where the picture is one of a stack.
        """
        assert depth is None or self._scale is not None, "a depth needs a scale"
        assert (objects.areas is None) == (self._scale is None), "objects are measured with the picture's scale"
        count, counted = len(self._names), set(counted)
        evenly = len(self._areas_met) == 1
        areas = np.asarray(self._pixels * next(iter(self._areas_met)) if evenly else self._areas, dtype=np.float64)
        per_class = [objects.classes == index if index in counted else None for index in range(count)]
        return Measurements(
            names=self._names,
            pixels=self._pixels[:count],
            ignored_pixels=int(self._pixels[count:].sum()),
            unit="" if self._scale is None else self._scale.unit,
            areas=None if self._scale is None else areas[:count],
            volumes=None if depth is None else areas[:count] * depth,
            object_pixels=tuple(None if own is None else Sizes.of(objects.pixels[own]) for own in per_class),
            object_areas=tuple(
                None if own is None or objects.areas is None else Sizes.of(objects.areas[own]) for own in per_class
            ),
        )


def totals(parts: Sequence[Measurements]) -> Measurements:
    """Of several pictures with the same classes together, in the unit of the first.

    Areas are None unless all pictures have a scale, in units that can be converted; volumes likewise. Objects of a
    class count where they were counted in all pictures.

    Args:
        parts: one at least.
    """
    assert parts, "there is no total of nothing"
    assert len({part.names for part in parts}) == 1, "all pictures have the same classes"
    factors = [None if part.areas is None else ratio(part.unit, parts[0].unit) for part in parts]
    known = [factor for factor in factors if factor is not None]
    scaled = len(known) == len(parts)
    return Measurements(
        names=parts[0].names,
        pixels=np.sum([part.pixels for part in parts], axis=0),
        ignored_pixels=sum(part.ignored_pixels for part in parts),
        unit=parts[0].unit if scaled else "",
        areas=_total([part.areas for part in parts], known, 2) if scaled else None,
        volumes=_total([part.volumes for part in parts], known, 3) if scaled else None,
        object_pixels=_of_all([part.object_pixels for part in parts], [1.0] * len(parts)),
        object_areas=_of_all([part.object_areas for part in parts], [factor**2 for factor in known])
        if scaled
        else (None,) * len(parts[0].names),
    )


def _total(
    columns: Sequence[NDArray[np.float64] | None], factors: Sequence[float], power: int
) -> NDArray[np.float64] | None:
    there = [column for column in columns if column is not None]
    if len(there) < len(columns):
        return None
    converted = [column * factor**power for column, factor in zip(there, factors, strict=True)]
    return np.asarray(np.sum(converted, axis=0), dtype=np.float64)


def _of_all(pictures: Sequence[tuple[Sizes | None, ...]], factors: Sequence[float]) -> tuple[Sizes | None, ...]:
    """For each class the sizes in all pictures."""
    joined: list[Sizes | None] = []
    for of_class in zip(*pictures, strict=True):
        there = [sizes.times(factor) for sizes, factor in zip(of_class, factors, strict=True) if sizes is not None]
        joined.append(Sizes.joined(there) if len(there) == len(pictures) else None)
    return tuple(joined)


def _plain(sizes: Sizes | None) -> dict[str, list[float]] | None:
    return None if sizes is None else {"values": sizes.values.tolist(), "counts": sizes.counts.tolist()}


def _sizes(plain: dict[str, list[float]] | None, dtype: type[np.generic]) -> Sizes | None:
    if plain is None:
        return None
    return Sizes(np.array(plain["values"], dtype=dtype), np.array(plain["counts"], dtype=np.int64))

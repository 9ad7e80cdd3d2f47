"""What the masks' values mean: told by the dataset, or concluded from all masks together, and then always said.

A conclusion is drawn only where the values themselves leave one reading: 0..K, 1..N, 0 and 255, an even grey ramp,
colours, object numbers. Everything else is an error with the mend.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from intarsia.data.check.findings import Finding
from intarsia.data.check.records import MaskRecord
from intarsia.data.pairs import Dataset
from intarsia.data.palettes import find_palette
from intarsia.errors import listing
from intarsia.labels import IGNORE, Color, Labels, packed

_MOST_CLASSES = 256  # discovered ones; more values than that are no classes
_MOST_IN_A_RAMP = 64
_STRAY = 0.02  # share of the masks; values beyond a gap that occur in fewer are strays, not classes
_PEAK = 0.001  # share of all pixels that a value needs to be a class among noise
_VALUE_SPACING = 24  # noise can be told from classes only where classes are this far apart
_COLOR_SPACING = 64
_MOST_NOISE = 0.10  # share of the pixels that may be off their class's value


@dataclass(frozen=True)
class Tally:
    """The values of many masks together.

    Attributes:
        values: [N] ascending.
        pixels: [N] pixels of each.
        masks: [N] masks that hold each.
        example: [N] index of the first of them.
        total: pixels of all masks, those of values that were not kept too.
    """

    values: NDArray[np.int64]
    pixels: NDArray[np.int64]
    masks: NDArray[np.int64]
    example: NDArray[np.int64]
    total: int

    @classmethod
    def of(cls, records: Sequence[MaskRecord], sizes: Sequence[tuple[int, int]], *, as_colors: bool) -> "Tally":
        """Adds up records; with `as_colors`, by the colours that values stand for."""
        parts = [record.colors if as_colors else record.values for record in records]
        lengths = [len(part) for part in parts]
        owner = np.repeat(np.arange(len(records)), lengths)
        values, first, position = np.unique(np.concatenate(parts), return_index=True, return_inverse=True)
        pixels = np.bincount(position, weights=np.concatenate([record.pixels for record in records]))
        total = sum(height * width for height, width in sizes)
        return cls(values, pixels.astype(np.int64), np.bincount(position), owner[first], total)

    def without(self, ignored: Sequence[int]) -> "Tally":
        """Leaves values out."""
        kept = ~np.isin(self.values, list(ignored))
        return self._only(kept)

    def _only(self, kept: NDArray[np.bool_]) -> "Tally":
        return Tally(self.values[kept], self.pixels[kept], self.masks[kept], self.example[kept], self.total)


@dataclass(frozen=True)
class Meaning:
    """What the values mean, or why nobody can tell.

    Attributes:
        labels: None where it cannot be told.
        encoding: in words.
        findings: what led to it.
    """

    labels: Labels | None
    encoding: str
    findings: tuple[Finding, ...] = ()


def conclude(dataset: Dataset, records: Sequence[MaskRecord], sizes: Sequence[tuple[int, int]]) -> Meaning:
    """Concludes what the values of masks mean.

    Args:
        dataset: what it declares counts.
        records: of all masks that could be read.
        sizes: (height, width) of each.
    """
    if dataset.labels is not None:
        return Meaning(dataset.labels, _declared_in_words(dataset.labels))
    kinds = {record.kind for record in records}
    if dataset.encoding == "colors" or (dataset.encoding is None and "colors" in kinds):
        return _colors(dataset, Tally.of(records, sizes, as_colors=True))
    tally = Tally.of(records, sizes, as_colors=False).without(dataset.ignore)
    if dataset.encoding == "objects":
        return _objects(dataset, "declared")
    if kinds == {"channels"} or dataset.encoding == "channels":
        return _channels(dataset, tally)
    if _are_object_numbers(records, dataset):
        return _objects(dataset, "found")
    if kinds == {"palette"} and dataset.known_colors:
        return _palette_of_known(dataset, records, tally)
    meaning = _values(dataset, tally)
    if kinds == {"palette"} and meaning.labels is not None:
        return _with_palette(meaning, meaning.labels, records)
    return meaning


def _declared_in_words(labels: Labels) -> str:
    return {
        "values": "values",
        "colors": "colours",
        "channels": "one band for each class",
        "objects": "object numbers",
    }[labels.encoding] + ", as declared"


# --- values ------------------------------------------------------------------------------------------------------


def _values(dataset: Dataset, tally: Tally) -> Meaning:
    """Classes from single-band values, of which the ignored ones are left out."""
    names = dataset.names
    found = [int(value) for value in tally.values]
    classes = [value for value in found if value != IGNORE]
    with_255 = IGNORE in found
    number = len(names)
    if not classes or (not classes and not with_255):
        words = ", ".join(map(str, found or dataset.ignore)) or "none"
        return _refuse("one-class", f"Masks hold no value but ignored ones ({words}).")
    if names and max(classes) < number:
        return _accept(dataset, range(number), "class indices")
    if classes == list(range(len(classes))) and not (len(classes) == 1 and with_255) and not names:
        return _accept(dataset, classes, "class indices")
    if is_ramp(found) and number in (0, len(found)):
        words = "0 and 255: two classes" if len(found) == 2 else "an even grey ramp " + ", ".join(map(str, found))
        return _accept(dataset, found, words)
    if len(found) == 2 and found[0] == 0 and number in (0, 2) and not with_255:
        return _accept(dataset, found, f"two values, 0 and {found[1]}")
    if classes == list(range(1, len(classes) + 1)) and number in (0, len(classes)):
        return _accept(dataset, classes, f"values that count from 1 to {len(classes)}")
    if names and set(classes) <= set(range(1, number + 1)):
        return _accept(dataset, range(1, number + 1), f"values that count from 1 to {number}")
    if names and len(classes) == number + 1 and classes == list(range(number + 1)):
        return _one_unnamed(dataset, classes)
    return _with_gaps(dataset, tally, classes)


def is_ramp(values: Sequence[int]) -> bool:
    """Whether values run from 0 to 255 in equal steps, give or take 1: 0, 85, 170, 255."""
    if not 2 <= len(values) <= _MOST_IN_A_RAMP or values[0] != 0 or values[-1] != IGNORE:
        return False
    steps = np.arange(len(values)) * IGNORE / (len(values) - 1)
    return bool((np.abs(np.asarray(values) - steps) <= 1).all())


def _one_unnamed(dataset: Dataset, classes: Sequence[int]) -> Meaning:
    """Names for 0..K-1 and values 0..K: the last one stays a class until somebody says that it is void."""
    last = classes[-1]
    labels = Labels.of_values(classes, dataset.ignore, [*dataset.names, f"class {last}"])
    finding = Finding(
        "void",
        f"Value {last} is probably void: the values 0 to {last - 1} have class names, and it has none.",
        f"--ignore {last}, or ignore = [{last}] in the dataset file",
        settings=(f"ignore = [{last}]",),
    )
    return Meaning(labels, "class indices", (finding,))


def _with_gaps(dataset: Dataset, tally: Tally, classes: Sequence[int]) -> Meaning:
    names = dataset.names
    if len(classes) > _MOST_CLASSES or _is_noisy(tally):
        return _noisy_values(dataset, tally)
    values = ", ".join(map(str, classes[:20])) + (", ..." if len(classes) > 20 else "")
    if names and len(names) != len(classes):
        return _refuse(
            "unknown-values",
            f"Masks hold {len(classes)} values ({values}), but {len(names)} classes have names. Leave values out with "
            "--ignore, or give each class its value in the dataset file.",
        )
    gap = next((high for low, high in pairwise([-1, *classes]) if high > low + 1), None)
    masks = dict(zip(tally.values.tolist(), tally.masks.tolist(), strict=True))
    most = max(masks.values())
    strays = [value for value in classes if gap is not None and value >= gap and masks[value] <= _STRAY * most]
    if strays and not names:
        labels = Labels.of_values([value for value in classes if value not in strays], dataset.ignore)
        return Meaning(labels, "class indices")  # the strays are then reported as unknown values, with their files
    labels = Labels.of_values(classes, dataset.ignore, names)
    finding = Finding(
        "value-gaps",
        f"Mask values {values} do not run from 0 without a gap: taken for {len(classes)} classes.",
        f"Leave values out with --ignore, as in --ignore {classes[-1]}, or name the classes in a dataset file (--fix)",
        count=len(classes),
    )
    return Meaning(labels, f"values {values}", (finding,))


def _is_noisy(tally: Tally) -> bool:
    """Whether values are many and mostly rare, as anti-aliasing and JPEG leave them."""
    return len(tally.values) > 8 and int((tally.pixels < _PEAK * tally.total).sum()) > len(tally.values) / 2


def _noisy_values(dataset: Dataset, tally: Tally) -> Meaning:
    """Classes at the peaks of the histogram, the rest snapped to them."""
    peaks = _peaks(tally, tally.values[:, None].astype(np.float64), _VALUE_SPACING)
    values = sorted(int(value) for value in tally.values[peaks])
    off = 1 - int(tally.pixels[peaks].sum()) / tally.total
    if not 2 <= len(values) <= _MOST_IN_A_RAMP or off > _MOST_NOISE:
        return _too_noisy(tally, off, "values")
    if dataset.names and len(dataset.names) != len(values):
        return _refuse(
            "unknown-values",
            f"Masks gather around {len(values)} values ({listing(values, 20)}), but {len(dataset.names)} classes have "
            "names. Give each class its value in the dataset file.",
        )
    labels = Labels.of_values(values, dataset.ignore, dataset.names)
    snap = int(max(high - low for low, high in pairwise(values)) // 2 + 1)
    return _snapped(replace(labels, snap=snap), off, f"values around {listing(values, 20)}")


# --- colours -----------------------------------------------------------------------------------------------------


def _colors(dataset: Dataset, tally: Tally) -> Meaning:
    tally = tally.without(dataset.ignore)
    colors = [_color(value) for value in tally.values.tolist()]
    if dataset.known_colors:
        labels = Labels.of_colors(
            list(dataset.known_colors.values()), [_color(v) for v in dataset.ignore], list(dataset.known_colors)
        )
        return _snap_to(labels, tally, "colours of the dataset's own list")
    points = np.array(colors, dtype=np.float64)
    noisy = len(colors) > _MOST_CLASSES or _is_noisy(tally)
    peaks = _peaks(tally, points, _COLOR_SPACING) if noisy else np.arange(len(colors))
    own = [colors[index] for index in sorted(peaks.tolist(), key=lambda index: tally.values[index])]
    if not 2 <= len(own) <= _MOST_CLASSES:
        return _too_noisy(tally, 1 - int(tally.pixels[peaks].sum()) / tally.total, "colours")
    palette = find_palette(own)
    names: list[str] = []
    findings: list[Finding] = []
    if palette is not None:
        own = [color for color in palette.colors.values() if color in own]
        names = [name for name, color in palette.colors.items() if color in own]
        findings.append(
            Finding(
                "palette",
                f"Mask colours are those of {palette.name}: classes {listing(names, 12)}.",
                count=len(names),
            )
        )
    elif dataset.names and len(dataset.names) == len(own):
        names = list(dataset.names)
    labels = Labels.of_colors(own, [_color(value) for value in dataset.ignore], names)
    words = f"{len(own)} colours" + (f" of {palette.name}" if palette else "")
    meaning = _snap_to(labels, tally, words)
    return replace(meaning, findings=(*findings, *meaning.findings))


def _snap_to(labels: Labels, tally: Tally, words: str) -> Meaning:
    """Colours that are no class's go to the nearest one, where they are noise."""
    known = labels.classes_of(tally.values) >= 0
    off = 1 - int(tally.pixels[known].sum()) / tally.total
    if off == 0:
        return Meaning(labels, words, (_encoding_note(f"Masks are {words}."),))
    if off > _MOST_NOISE:
        return _too_noisy(tally, off, "colours")
    if len(tally.values) - int(known.sum()) <= _MOST_IN_A_RAMP and not _is_noisy(tally):
        return Meaning(
            labels, words, (_encoding_note(f"Masks are {words}."),)
        )  # a few unknown ones: said with files
    return _snapped(replace(labels, snap=442), off, words)


def _color(value: int) -> Color:
    return value >> 16, value >> 8 & 255, value & 255


# --- palettes, channels, objects ---------------------------------------------------------------------------------


def _palette_of_known(dataset: Dataset, records: Sequence[MaskRecord], tally: Tally) -> Meaning:
    """Indices whose palette shows the colours of a known list: the list gives the names."""
    name_of = {packed(color): name for name, color in dataset.known_colors.items()}
    color_of = _palette(records)
    named = {value: name_of[color_of[value]] for value in tally.values.tolist() if color_of[value] in name_of}
    if len(named) < len([value for value in tally.values.tolist() if value != IGNORE]):
        return _values(replace(dataset, names=tuple(dataset.known_colors)), tally)
    value_of = {name: value for value, name in named.items()}
    names = [name for name in dataset.known_colors if name in value_of]
    labels = replace(
        Labels.of_values([value_of[name] for name in names], dataset.ignore, names),
        colors=tuple(dataset.known_colors[name] for name in names),
    )
    return Meaning(
        labels, "a palette of known colours", (_encoding_note("Masks have the palette of the dataset's own list."),)
    )


def _with_palette(meaning: Meaning, labels: Labels, records: Sequence[MaskRecord]) -> Meaning:
    """Takes the classes' colours from the masks' own palette, where that is one of colours."""
    color_of = _palette(records)
    own = [color_of.get(values[0], 0) for values in labels.values]
    grey = all(color >> 16 == color & 255 == color >> 8 & 255 for color in own)
    if grey or len(set(own)) < len(own):
        return meaning
    colors = tuple(_color(color) for color in own)
    palette = find_palette(colors)
    told = (
        ()
        if palette is None
        else (Finding("palette", f"Mask palettes show the colours of {palette.name}.", count=len(own)),)
    )
    return Meaning(
        replace(labels, colors=colors), f"{meaning.encoding}, with a palette", (*meaning.findings, *told)
    )


def _palette(records: Sequence[MaskRecord]) -> dict[int, int]:
    """{value: its colour}, of the first mask that holds it."""
    found: dict[int, int] = {}
    for record in records:
        for value, color in zip(record.values.tolist(), record.colors.tolist(), strict=True):
            found.setdefault(value, color)
    return found


def _channels(dataset: Dataset, tally: Tally) -> Meaning:
    """Classes 1..C for the bands, and 0 where no band is set."""
    values = sorted({*range(1, int(tally.values.max()) + 1), *tally.values.tolist()})
    names = dataset.names
    if names and len(names) not in (len(values), int(tally.values.max())):
        return _refuse(
            "unknown-values", f"Masks of {int(tally.values.max())} bands, but {len(names)} classes have names."
        )
    if not names:
        names = tuple("background" if value == 0 else f"class {value}" for value in values)
    elif len(names) < len(values):
        names = ("background", *names)
    labels = replace(Labels.of_values(values, dataset.ignore, names), encoding="channels")
    return Meaning(labels, "one band for each class", (_encoding_note("Masks have one band for each class."),))


def _are_object_numbers(records: Sequence[MaskRecord], dataset: Dataset) -> bool:
    """Whether each mask counts its own objects 0..n, with an n that varies widely."""
    if dataset.encoding is not None or len(dataset.names) > 2:
        return False
    highest = []
    for record in records:
        if record.distinct != len(record.values):
            highest.append(record.distinct)
            continue
        values = record.values
        if len(values) and int(values[-1]) != len(values) - 1 + int(values[0] > 0):
            return False
        highest.append(len(values))
    return len(set(highest)) >= 4 and max(highest) >= 12 and min(highest) * 2 <= max(highest)


def _objects(dataset: Dataset, how: str) -> Meaning:
    names = dataset.names if len(dataset.names) == 2 else ("background", "object")
    labels = replace(Labels.of_values((0, 1), (), names), ignore=(), encoding="objects")
    if how == "declared":
        return Meaning(labels, "object numbers, as declared")
    finding = Finding(
        "objects",
        "Each mask numbers its own objects from 1 on: all of them are taken for one class, 0 for background.",
        'encoding = "values" in the dataset file, with its classes, if the numbers are classes',
    )
    return Meaning(labels, "object numbers", (finding,))


# --- noise -------------------------------------------------------------------------------------------------------


def _peaks(tally: Tally, points: NDArray[np.float64], spacing: float) -> NDArray[np.int64]:
    """Positions of the values with the most pixels, each at least `spacing` from any with more."""
    found: list[int] = []
    for index in np.argsort(-tally.pixels):
        if tally.pixels[index] < _PEAK * tally.total or len(found) > _MOST_CLASSES:
            break
        if all(np.linalg.norm(points[index] - points[other]) >= spacing for other in found):
            found.append(int(index))
    return np.array(sorted(found), dtype=np.int64)


def _snapped(labels: Labels, off: float, words: str) -> Meaning:
    finding = Finding(
        "noise",
        f"{off:.2%} of the pixels are near a class's value but not on it (anti-aliasing or JPEG): each is taken for the "
        "nearest class. Thin lines of wrong classes are possible where more than two classes meet.",
        f"Export the masks as index PNGs; until then snap = {labels.snap:g} in the dataset file (--fix writes it)",
        settings=(f"snap = {labels.snap:g}",),
    )
    return Meaning(labels, f"{words}, with noise", (finding,))


def _too_noisy(tally: Tally, off: float, kind: str) -> Meaning:
    return _refuse(
        "too-noisy",
        f"Masks hold {len(tally.values):,} different {kind}, and {off:.0%} of the pixels are on none that is common "
        f"(at most {_MOST_NOISE:.0%} are taken for the nearest class). These look like pictures, not masks.",
    )


# --- small things ------------------------------------------------------------------------------------------------


def _accept(dataset: Dataset, values: Sequence[int], words: str) -> Meaning:
    labels = Labels.of_values(list(values), dataset.ignore, dataset.names)
    return Meaning(labels, words, (_encoding_note(f"Masks hold {words}."),))


def _encoding_note(message: str) -> Finding:
    return Finding("encoding", message)


def _refuse(finding: str, message: str) -> Meaning:
    return Meaning(None, "unknown", (Finding(finding, message),))

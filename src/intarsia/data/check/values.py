"""What single-band masks mean: 0..K, 1..N, 0 and 255, a grey ramp, object numbers, or noise around classes."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from intarsia.data.check.findings import Finding
from intarsia.data.check.meaning import MOST_NOISE, Meaning, accept, note, refuse, snapped, too_noisy
from intarsia.data.check.records import MaskRecord
from intarsia.data.check.tally import Tally
from intarsia.data.pairs import Dataset
from intarsia.errors import listing
from intarsia.labels import IGNORE, Labels

_MOST_CLASSES = 256  # discovered ones; more values than that are no classes
_MOST_IN_A_RAMP = 64
_SPACING = 24  # noise can be told from classes only where classes are this far apart
_GREY_LEVEL = 16  # from here on, values are levels of grey rather than numbers of classes
_FEWEST_BETWEEN = 3  # values that fill no area: so many levels has anti-aliasing with 2x2 samples
_MOST_THIN = 64  # classes that fill no area, such as poles; more of them are a picture and no mask
_FEWEST_OBJECTS = 12  # in the fullest mask
_FEWEST_COUNTS = 4  # different numbers of objects


def of_values(dataset: Dataset, tally: Tally) -> Meaning:
    """Concludes from the values of single-band masks, of which the ignored ones were left out."""
    found = [int(value) for value in tally.values]
    if not set(found) - {IGNORE}:
        words = ", ".join(map(str, found or dataset.ignore)) or "none"
        return refuse("one-class", f"Masks hold no value but ignored ones ({words}).")
    for reading in () if tally.noisy(_MOST_THIN) else (_two_values, _indices, _from_one, _one_unnamed):
        if meaning := reading(dataset, found):
            return meaning
    classes = [value for value in found if value != IGNORE]
    if IGNORE in found and min(value for value in classes if value) >= _GREY_LEVEL:
        classes.append(IGNORE)  # levels of grey that were chosen by hand: white is one of them
    if len(classes) > _MOST_CLASSES or tally.noisy(_FEWEST_BETWEEN):
        return _noisy(dataset, tally)
    return _ramp(dataset, found) or _with_gaps(dataset, tally, classes)


def _two_values(dataset: Dataset, found: Sequence[int]) -> Meaning | None:
    if len(found) != 2 or found[0] != 0 or found[1] == 1 or len(dataset.names) not in (0, 2):
        return None
    return accept(dataset, found, f"two values, 0 and {found[1]}")


def _indices(dataset: Dataset, found: Sequence[int]) -> Meaning | None:
    classes = [value for value in found if value != IGNORE]
    number = len(dataset.names) or len(classes)
    fits = classes[-1] < number if dataset.names else _run_from(0, classes)
    return accept(dataset, range(number), "class indices") if fits else None


def _ramp(dataset: Dataset, found: Sequence[int]) -> Meaning | None:
    if not is_ramp(found) or len(dataset.names) not in (0, len(found)):
        return None
    return accept(dataset, found, f"an even grey ramp: {listing(found, 20)}")


def _from_one(dataset: Dataset, found: Sequence[int]) -> Meaning | None:
    classes = [value for value in found if value != IGNORE]
    number = len(dataset.names) or len(classes)
    fits = set(classes) <= set(range(1, number + 1)) if dataset.names else _run_from(1, classes)
    return accept(dataset, range(1, number + 1), f"values that count from 1 to {number}") if fits else None


def _one_unnamed(dataset: Dataset, found: Sequence[int]) -> Meaning | None:
    """Names for 0..K-1 and values 0..K: the last one stays a class until somebody says that it is void."""
    last = max(value for value in found if value != IGNORE)
    if not dataset.names or last != len(dataset.names):
        return None
    labels = Labels.of_values(range(last + 1), dataset.ignore, [*dataset.names, f"class {last}"])
    finding = Finding(
        "unknown-values",
        f"The values 0 to {last - 1} have class names ({listing(dataset.names, 12)}), and {last} has none: is it "
        "void, or does 0 mean a background that the list leaves out?",
        f"--ignore {last}, or name the background first in the list of classes",
        settings=(f"ignore = [{last}]",),
    )
    return Meaning(labels, "class indices", (finding,))


def is_ramp(values: Sequence[int]) -> bool:
    """Whether values run from 0 to 255 in equal steps, give or take 1: 0, 85, 170, 255."""
    if not 2 <= len(values) <= _MOST_IN_A_RAMP or values[0] != 0 or values[-1] != IGNORE:
        return False
    steps = np.arange(len(values)) * IGNORE / (len(values) - 1)
    return bool((np.abs(np.asarray(values) - steps) <= 1).all())


def _run_from(first: int, values: Sequence[int]) -> bool:
    return list(values) == list(range(first, first + len(values)))


def _with_gaps(dataset: Dataset, tally: Tally, classes: Sequence[int]) -> Meaning:
    names = dataset.names
    values = listing(classes, 20)
    if names and len(names) != len(classes):
        return refuse(
            "unknown-values",
            f"Masks hold {len(classes)} values ({values}), but {len(names)} classes have names. Leave values out "
            "with --ignore, or give each class its value in the dataset file.",
        )
    gap = next(high for low, high in pairwise([-1, *classes]) if high > low + 1)
    strays = {int(value) for value in tally.values[tally.stray] if value >= gap}
    if strays and not names and len(strays) < len(classes):
        kept = [value for value in classes if value not in strays]
        return accept(dataset, kept, "class indices")  # the strays are reported as unknown values, with their files
    void = "" if IGNORE in classes or IGNORE not in tally.values else ", and 255 for void"
    finding = Finding(
        "value-gaps",
        f"Mask values {values} do not run from 0 without a gap: taken for {len(classes)} classes{void}.",
        f"Leave values out with --ignore, as in --ignore {classes[-1]}, or name the classes in a dataset file "
        "(--fix writes one)",
        count=len(classes),
    )
    return Meaning(Labels.of_values(classes, dataset.ignore, names), f"values {values}", (finding,))


def _noisy(dataset: Dataset, tally: Tally) -> Meaning:
    """Classes at the values that fill areas, the rest snapped to them."""
    points = tally.values[:, None].astype(np.float64)
    peaks = tally.peaks(points, _SPACING)
    values = [int(value) for value in tally.values[peaks]]
    if not 2 <= len(values) <= _MOST_IN_A_RAMP:
        return too_noisy(tally, 1.0, "values")
    nearest = min(high - low for low, high in pairwise(values))
    off = tally.share_off(points, points[peaks], nearest / 4)
    if off > MOST_NOISE:
        return too_noisy(tally, off, "values")
    if dataset.names and len(dataset.names) != len(values):
        return refuse(
            "unknown-values",
            f"Masks gather around {len(values)} values ({listing(values, 20)}), but {len(dataset.names)} classes "
            "have names. Give each class its value in the dataset file.",
        )
    widest = max(high - low for low, high in pairwise([0, *values, IGNORE]))
    labels = Labels.of_values(values, dataset.ignore, dataset.names)
    return snapped(labels, widest // 2 + 1, off, f"values around {listing(values, 20)}")


def are_object_numbers(records: Sequence[MaskRecord]) -> bool:
    """Whether each mask counts its own objects from 1 to n, with an n that varies widely."""
    highest = []
    for record in records:
        values = record.values
        complete = record.distinct == len(values)
        if complete and len(values) and int(values[-1]) != len(values) - 1 + int(values[0] > 0):
            return False
        highest.append(record.distinct)
    several = len(set(highest)) >= _FEWEST_COUNTS and max(highest) >= _FEWEST_OBJECTS
    return several and min(highest) * 2 <= max(highest)


def objects(dataset: Dataset) -> Meaning:
    """All objects are one class, and 0 is background."""
    names = dataset.names if len(dataset.names) == 2 else ("background", "object")
    labels = Labels(names, Labels.of_values((0, 1)).colors, ((0,), (1,)), (), "objects")
    if dataset.encoding == "objects":
        return Meaning(labels, "object numbers, as declared")
    finding = Finding(
        "objects",
        "Each mask numbers its own objects from 1 on: all of them are taken for one class, 0 for background.",
        'encoding = "values" in the dataset file, with its classes, if the numbers are classes',
    )
    return Meaning(labels, "object numbers", (finding,))


def channels(dataset: Dataset, tally: Tally) -> Meaning:
    """Classes 1..C for the bands, and 0 where no band is set."""
    bands = int(tally.values.max())
    values = [*([0] if 0 in tally.values else []), *range(1, bands + 1)]
    names = dataset.names
    if names and len(names) == len(values) - 1:
        names = ("background", *names)
    if names and len(names) != len(values):
        return refuse("unknown-values", f"Masks have {bands} bands, but {len(names)} classes have names.")
    names = names or tuple("background" if value == 0 else f"class {value}" for value in values)
    labels = replace(Labels.of_values(values, dataset.ignore, names), encoding="channels")
    return Meaning(labels, "one band for each class", (note("Masks have one band for each class."),))

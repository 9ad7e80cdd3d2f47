"""Void: a value that is probably a border, or "not annotated", and no class."""

import numpy as np
from numpy.typing import NDArray

from intarsia.data.check.classes import Table, values_of
from intarsia.data.check.findings import Finding
from intarsia.data.classlists import is_void
from intarsia.settings import quoted

_FEWEST_CLASSES = 4  # with fewer, every class borders on all others
_CROSS_SECTION = 0.15  # Kullback-Leibler divergence below which neighbours are a cross-section of all classes
_CLEARLY_LOWEST = 0.4  # times the next lowest divergence
_STRUCTURED = 0.05  # every other class has neighbours of its own; else all of them are alike in this
_MOST_FOR_VOID = 0.25  # share of the pixels
_NEARLY_ALL = 0.9  # of the masks hold a void value


def void(table: Table, unnamed: Finding | None, *, declared: bool) -> list[Finding]:
    """Proposes values as void: by their name, or because they border on all classes just as they come.

    Args:
        table: of all masks.
        unnamed: the finding of a value that has no name while all others have one.
        declared: whether somebody said what the values mean; then only their names are looked at.
    """
    labels = table.labels
    found = {}
    for index, (name, values) in enumerate(zip(labels.names, labels.values, strict=True)):
        written = [labels.written(value) for value in values]
        line = f"ignore = [{', '.join(quoted(value) if value.startswith('#') else value for value in written)}]"
        seen = "" if declared or index not in (0, len(labels) - 1) else _seen(table, index)
        called = f"Its name is {name!r}." if is_void(name) else ""
        if seen or called:
            what = f"Value {', '.join(written)} ({name}) is probably void."
            if unnamed is not None and line in unnamed.settings:
                what = f"Value {written[0]} is probably void: all others have class names, and it has none."
            options = " ".join(f"--ignore {value}" for value in written if not value.startswith("#"))
            mend = f"{options}{', or ' if options else ''}{line} in the dataset file"
            found[line] = Finding("void", " ".join(filter(None, (what, called, seen))), mend, settings=(line,))
    return list(found.values())


def _seen(table: Table, index: int) -> str:
    """What speaks for void; an empty text where nothing does."""
    labels = table.labels
    if labels.encoding != "values" or len(labels) < _FEWEST_CLASSES:
        return ""
    touching = _touching(table)
    divergences = [_divergence(touching, other) for other in range(len(labels))]
    others = min(divergences[:index] + divergences[index + 1 :])
    masks = len(np.unique(table.owner[table.index == index]))
    pixels = table.counts(np.ones(len(table.looks), dtype=bool))
    if (
        divergences[index] > min(_CROSS_SECTION, _CLEARLY_LOWEST * others)
        or others < _STRUCTURED
        or masks < _NEARLY_ALL * len(table.looks)
        or pixels[index] > _MOST_FOR_VOID * pixels.sum()
    ):
        return ""
    return (
        f"It is the {'highest' if index else 'lowest'} value, in {masks} of {len(table.looks)} masks, and borders "
        f"on {np.count_nonzero(touching[index])} other classes about as often as these border on each other "
        f"(divergence {divergences[index]:.2f}; the next lowest is {others:.2f})."
    )


def _touching(table: Table) -> NDArray[np.int64]:
    """[C, C] how often two classes touch."""
    classes = len(table.labels)
    touching = np.zeros((classes, classes), dtype=np.int64)
    for look in table.looks:
        record = look.record.mask
        if record is None or not record.touching:
            continue
        index = table.labels.classes_of(values_of(record, table.labels))
        one, other, often = record.neighbours.T
        one, other = index[one], index[other]
        known = (one >= 0) & (other >= 0) & (one < classes) & (other < classes)
        np.add.at(touching, (one[known], other[known]), often[known])
        np.add.at(touching, (other[known], one[known]), often[known])
    return touching


def _divergence(touching: NDArray[np.int64], index: int) -> float:
    """How far a class's neighbours are from a cross-section of all borders: Kullback-Leibler, in nats."""
    own = touching[index].astype(np.float64)
    usual = touching.sum(axis=0).astype(np.float64)
    own[index] = usual[index] = 0
    if not own.sum():
        return float("inf")
    own, usual = own / own.sum(), usual / usual.sum()
    seen = own > 0
    return float((own[seen] * np.log(own[seen] / usual[seen])).sum())

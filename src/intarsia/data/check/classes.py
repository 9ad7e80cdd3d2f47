"""Examinations of classes: unknown values, missing and rare classes, empty masks, void, specks."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from intarsia.data.check.findings import Finding, first_files
from intarsia.data.check.looks import Look
from intarsia.data.check.records import MaskRecord
from intarsia.data.sources import path_of
from intarsia.errors import counted, listing
from intarsia.labels import Labels, listing_of_counts

_RARE = 1e-3  # share of the pixels
_SMALL = 10  # pixels
_SPECKLED = 0.002  # share of a mask's pixels that are unlike all their neighbours
_FEW = 0.1  # share of the pairs that --fix may leave out for unknown values
_FEWEST_CLASSES = 4  # with fewer, every class borders on all others
_CROSS_SECTION = 0.15  # Kullback-Leibler divergence below which neighbours are a cross-section of all classes
_CLEARLY_LOWEST = 0.4  # times the next lowest divergence
_STRUCTURED = 0.05  # every other class has neighbours of its own; else all of them are alike in this
_MOST_FOR_VOID = 0.25  # share of the pixels
_NEARLY_ALL = 0.9  # of the masks hold a void value

Name = Callable[[Look], str]


@dataclass(frozen=True)
class Table:
    """Class, pixels and mask of every value of every mask, one row each.

    Attributes:
        looks: pairs whose masks could be read, L of them.
        labels: the classes.
        owner: [N] index of the mask.
        value: [N] stored value.
        pixels: [N].
        index: [N] class index; the ignore index, or -1 where the value has no meaning.
    """

    looks: Sequence[Look]
    labels: Labels
    owner: NDArray[np.int64]
    value: NDArray[np.int64]
    pixels: NDArray[np.int64]
    index: NDArray[np.int64]

    @classmethod
    def of(cls, looks: Sequence[Look], labels: Labels) -> "Table":
        """Brings the masks' values together."""
        values = [_values(look.record.mask, labels) for look in looks if look.record.mask is not None]
        pixels = [look.record.mask.pixels for look in looks if look.record.mask is not None]
        owner = np.repeat(np.arange(len(values)), [len(part) for part in values])
        value = np.concatenate(values) if values else np.zeros(0, np.int64)
        distinct, position = np.unique(value, return_inverse=True)
        index = labels.classes_of(distinct)[position]
        return cls(looks, labels, owner, value, np.concatenate(pixels) if pixels else value, index)

    def counts(self, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        """[C] pixels of each class over the chosen masks [L]."""
        rows = chosen[self.owner] & (self.index >= 0) & (self.index != self.labels.ignore_index)
        counts = np.bincount(self.index[rows], weights=self.pixels[rows], minlength=len(self.labels))
        return np.asarray(counts, dtype=np.int64)

    def of_split(self, split: str) -> NDArray[np.bool_]:
        """[L] the masks of a split."""
        return np.array([look.split == split for look in self.looks], dtype=bool)


def _values(record: MaskRecord, labels: Labels) -> NDArray[np.int64]:
    if labels.encoding == "colors":
        return record.colors
    return np.minimum(record.values, 1) if labels.encoding == "objects" else record.values


def fits(record: MaskRecord, labels: Labels) -> bool:
    """Whether a mask is of the kind that the labels speak of."""
    if labels.encoding in ("values", "objects"):
        return record.kind in ("values", "palette", "grey", "drawn")
    return (
        record.kind
        in {"colors": ("colors", "grey", "palette", "values"), "channels": ("channels",)}[labels.encoding]
    )


def mixed(looks: Sequence[Look], labels: Labels, name: Name) -> Iterator[Finding]:
    """Masks of another kind than most."""
    odd = [look for look in looks if look.record.mask is not None and not fits(look.record.mask, labels)]
    if odd:
        wanted = {"colors": "three bands of colours", "channels": "one band for each class"}.get(
            labels.encoding, "one band of values"
        )
        yield Finding(
            "mixed-encodings",
            f"{counted(len(odd), 'mask')} without {wanted}: {listing(path_of(look.pair.mask) for look in odd)}",
            count=len(odd),
            files=first_files([path_of(look.pair.mask) for look in odd]),
            pairs=tuple(map(name, odd)),
            exclude=tuple(map(name, odd)),
        )


def unknown_values(table: Table, name: Name) -> Iterator[Finding]:
    """Values that are neither a class nor ignored, with files and pixels."""
    rows = np.flatnonzero(table.index < 0)
    if not len(rows):
        return
    masks = np.unique(table.owner[rows]).tolist()
    lines = []
    for mask in masks[:10]:
        own = rows[table.owner[rows] == mask]
        counts = {table.labels.written(int(table.value[row])): int(table.pixels[row]) for row in own}
        lines.append(f"{path_of(table.looks[mask].pair.mask)}: value {listing_of_counts(counts)}")
    values = np.unique(table.value[rows])
    holds = f"{counted(len(masks), 'mask')} {'hold' if len(masks) > 1 else 'holds'}"
    more = f"\nand {len(masks) - 10} more masks" if len(masks) > 10 else ""
    few = len(masks) <= max(1, _FEW * len(table.looks))
    names = tuple(name(table.looks[mask]) for mask in masks)
    written = [table.labels.written(int(value)) for value in values]
    options = (
        "snap = 40 in the dataset file takes the nearest class's, or name them in its [classes]"
        if table.labels.encoding == "colors"
        else f"Leave them out with {' '.join(f'--ignore {value}' for value in written[:5])}, or name them in the "
        "dataset file's [classes]"
    )
    yield Finding(
        "unknown-values",
        f"{holds} values that are neither a class nor ignored:\n" + "\n".join(lines) + more,
        f"{options}." + (" --fix leaves these pairs out." if few else ""),
        count=len(masks),
        files=first_files([path_of(table.looks[mask].pair.mask) for mask in masks]),
        pairs=names,
        exclude=names if few else (),
    )


def shares(table: Table, counts: Mapping[str, NDArray[np.int64]], weights: Sequence[float]) -> Iterator[Finding]:
    """Classes that are missing in a split, or rare; a single class; a split with nothing to count."""
    labels = table.labels
    if len(labels) < 2:
        yield Finding("one-class", f"The masks hold one class only, {labels.names[0]!r}: nothing to tell apart.")
    for split, count in counts.items():
        if count.sum() == 0:
            yield Finding("ignored-split", f"Every pixel of the {split} masks is ignored: nothing would count.")
            continue
        missing = [name for name, number in zip(labels.names, count, strict=True) if number == 0]
        if missing:
            learned = ": they cannot be learned" if split == "train" else ": nothing can be said of them there"
            yield Finding(
                "class-missing", f"No pixel in {split} of {listing(missing, 20)}{learned}.", count=len(missing)
            )
    train = counts.get("train", np.zeros(len(labels)))
    share = train / max(train.sum(), 1)
    rare = np.flatnonzero((share > 0) & (share < _RARE)).tolist()
    if rare:
        described = listing(
            (
                f"{labels.names[index]} ({share[index]:.4%} of the pixels, weight {weights[index]:.2f})"
                for index in rare
            ),
            10,
        )
        yield Finding("imbalance", f"Rare in train: {described}.", count=len(rare))


def odd_masks(table: Table, name: Name) -> Iterator[Finding]:
    """Masks of one class, masks without a counted pixel, tiny objects, speckle."""
    ignored = table.labels.ignore_index
    masks = len(table.looks)
    counted = (table.index >= 0) & (table.index != ignored)
    rows = np.unique(np.stack([table.owner[counted], table.index[counted]]), axis=1)  # each class of a mask once
    classes = np.bincount(rows[0], minlength=masks)
    unread = np.bincount(table.owner[table.index < 0], minlength=masks) > 0
    empty = np.flatnonzero((classes == 1) & ~unread).tolist()
    if empty:
        yield _masks("empty-masks", "hold one class only", [table.looks[mask] for mask in empty], name)
    nothing = np.flatnonzero((classes == 0) & ~unread).tolist()
    if nothing:
        yield _masks(
            "ignored-masks",
            "are ignored in every pixel",
            [table.looks[mask] for mask in nothing],
            name,
            leave_out=True,
        )
    sums = np.zeros((masks, len(table.labels)), dtype=np.int64) if masks * len(table.labels) < 1 << 26 else None
    if sums is not None:
        np.add.at(sums, (table.owner[counted], table.index[counted]), table.pixels[counted])
        small = np.flatnonzero(((sums > 0) & (sums < _SMALL)).any(axis=1)).tolist()
        if small:
            what = f"hold a class with less than {_SMALL} pixels"
            yield _masks("small-objects", what, [table.looks[mask] for mask in small], name)
    speckled = [
        look
        for look in table.looks
        if look.record.mask and look.record.mask.isolated > _SPECKLED * look.record.mask.pixels.sum()
    ]
    if speckled and not table.labels.snap:  # noise is told of as such
        yield _masks("speckle", "are sprinkled with single pixels", speckled, name)


def void(table: Table) -> Iterator[Finding]:
    """A value that borders on all classes as they come, thin and in nearly every mask, is a border and no class."""
    labels = table.labels
    if labels.encoding != "values" or len(labels) < _FEWEST_CLASSES:
        return
    touching = _touching(table)
    pixels = table.counts(np.ones(len(table.looks), dtype=bool))
    divergences = np.array([_divergence(touching, index) for index in range(len(labels))])
    for index in {0, len(labels) - 1}:
        masks = len(np.unique(table.owner[table.index == index]))
        if (
            divergences[index] < _CROSS_SECTION
            and divergences[index] < _CLEARLY_LOWEST * (others := float(np.delete(divergences, index).min()))
            and others > _STRUCTURED
            and masks >= _NEARLY_ALL * len(table.looks)
            and pixels[index] < _MOST_FOR_VOID * pixels.sum()
        ):
            value = labels.values[index][0]
            yield Finding(
                "void",
                f"Value {value} ({labels.names[index]}) is probably void: it is the "
                f"{'highest' if index else 'lowest'} value, is in {masks} of {len(table.looks)} masks, and borders "
                f"on {np.count_nonzero(touching[index])} other classes about as often as these border on each "
                f"other (divergence {divergences[index]:.2f}; the next lowest is {others:.2f}).",
                f"--ignore {value}, or ignore = [{value}] in the dataset file",
                settings=(f"ignore = [{value}]",),
            )


def _touching(table: Table) -> NDArray[np.int64]:
    """[C, C] how often two classes touch."""
    classes = len(table.labels)
    touching = np.zeros((classes, classes), dtype=np.int64)
    for look in table.looks:
        record = look.record.mask
        if record is None or not record.touching:
            continue
        index = table.labels.classes_of(_values(record, table.labels))
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


def _masks(finding: str, what: str, looks: Sequence[Look], name: Name, *, leave_out: bool = False) -> Finding:
    names = tuple(map(name, looks))
    paths = [path_of(look.pair.mask) for look in looks]
    verb = what if len(looks) > 1 else what.replace("are ", "is ").replace("hold ", "holds ")
    return Finding(
        finding,
        f"{counted(len(looks), 'mask')} {verb}: {listing(paths, 3)}",
        count=len(looks),
        files=first_files(paths),
        pairs=names,
        exclude=names if leave_out else (),
    )

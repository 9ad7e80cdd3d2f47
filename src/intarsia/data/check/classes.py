"""Examinations of classes: unknown values, missing and rare classes, empty masks, specks."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
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

Name = Callable[[Look], str]

_KINDS = {
    "values": ("values", "palette", "grey", "drawn"),
    "objects": ("values", "palette", "grey", "drawn"),
    "colors": ("colors", "grey", "palette", "values"),
    "channels": ("channels",),
}


@dataclass(frozen=True)
class Table:
    """Class, pixels and mask of every value of every mask, one row each.

    Attributes:
        looks: pairs whose masks could be read, L of them.
        labels: the classes.
        owner: [N] index of the mask.
        value: [N] stored value.
        pixels: [N].
        counted: [N] those of them that count: where the image has data.
        index: [N] class index; the ignore index, or -1 where the value has no meaning.
    """

    looks: Sequence[Look]
    labels: Labels
    owner: NDArray[np.int64]
    value: NDArray[np.int64]
    pixels: NDArray[np.int64]
    counted: NDArray[np.int64]
    index: NDArray[np.int64]

    @classmethod
    def of(cls, looks: Sequence[Look], labels: Labels) -> "Table":
        """Brings the masks' values together."""
        masks = [look.record.mask for look in looks if look.record.mask is not None]
        owner = np.repeat(np.arange(len(masks)), [len(mask.values) for mask in masks])
        value = _joined([values_of(mask, labels) for mask in masks])
        distinct, position = np.unique(value, return_inverse=True)
        return cls(
            looks,
            labels,
            owner,
            value,
            pixels=_joined([mask.pixels for mask in masks]),
            counted=_joined([mask.counted for mask in masks]),
            index=labels.classes_of(distinct)[position],
        )

    def counts(self, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        """[C] pixels that count of each class over the chosen masks [L]."""
        rows = chosen[self.owner] & (self.index >= 0) & (self.index != self.labels.ignore_index)
        counts = np.bincount(self.index[rows], weights=self.counted[rows], minlength=len(self.labels))
        return np.asarray(counts, dtype=np.int64)

    def of_split(self, split: str) -> NDArray[np.bool_]:
        """[L] the masks of a split."""
        return np.array([look.split == split for look in self.looks], dtype=bool)


def _joined(parts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def values_of(record: MaskRecord, labels: Labels) -> NDArray[np.int64]:
    """[N] stored values of a mask as the labels' encoding sees them."""
    if labels.encoding == "colors":
        return record.colors
    return np.minimum(record.values, 1) if labels.encoding == "objects" else record.values


def fits(record: MaskRecord, labels: Labels) -> bool:
    """Whether a mask is of the kind that the labels speak of."""
    return record.kind in _KINDS[labels.encoding]


def fitting(looks: Sequence[Look], labels: Labels, odd: Collection[int]) -> list[Look]:
    """The pairs whose masks are of the kind that the labels speak of.

    Args:
        looks: pairs whose masks could be read.
        labels: the classes.
        odd: indices of masks that were found to be written in another way than most.
    """
    return [
        look
        for index, look in enumerate(looks)
        if look.record.mask is not None and fits(look.record.mask, labels) and index not in odd
    ]


def mixed(odd: Sequence[Look], labels: Labels, name: Name) -> Iterator[Finding]:
    """Masks of another kind than most."""
    if odd:
        wanted = {"colors": "three bands of colours", "channels": "one band for each class"}.get(
            labels.encoding, "one band of values"
        )
        yield Finding(
            "mixed-encodings",
            f"{counted(len(odd), 'mask')} written in another way than the others, which hold {wanted}: "
            f"{listing(path_of(look.pair.mask) for look in odd)}",
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
        if not table.of_split(split).any():
            continue  # nothing of it could be read, which is told elsewhere
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
    counted = (table.index >= 0) & (table.index != ignored) & (table.counted > 0)
    classes_of_all = len(table.labels)
    each, position = np.unique(table.owner[counted] * classes_of_all + table.index[counted], return_inverse=True)
    owner, sums = (
        each // classes_of_all,
        np.bincount(position, weights=table.counted[counted]),
    )  # each class of a mask
    classes = np.bincount(owner, minlength=masks)
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
    small = np.unique(owner[sums < _SMALL]).tolist()
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

"""What training must know of its data before it starts: every file is read once.

`survey` decodes all images and masks of the asked splits, refuses what would train wrong, and returns the
classes, the bands, the pixel counts and the image statistics.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intarsia.data.index import Dataset, Pair
from intarsia.data.read import read_image, read_mask
from intarsia.errors import DataError
from intarsia.labels import IGNORE, STORED_VALUES, Labels, listing_of_counts

_MOST_PROBLEMS = 10
_MOST_THREADS = 8  # each holds a decoded picture


@dataclass(frozen=True)
class Survey:
    """What the files of a dataset hold.

    Attributes:
        labels: the classes; declared ones, or those found in the masks.
        bands: bands of the images; 3 where some have 1 and others 3.
        mean: for each band, over all training pixels, in the files' own units.
        std: the same; never 0.
        size: median height and width of the training images.
        counts: {split: [C] pixels of each class}.
        decoded_bytes: of all images and masks together, in memory.
    """

    labels: Labels
    bands: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: tuple[int, int]
    counts: Mapping[str, NDArray[np.int64]]
    decoded_bytes: int

    @property
    def missing_in_train(self) -> tuple[str, ...]:
        """Classes without a single pixel in train: nothing can be learned of them."""
        return tuple(
            name for name, count in zip(self.labels.names, self.counts["train"], strict=True) if count == 0
        )


@dataclass(frozen=True)
class _Seen:
    """One decoded pair: image size, band sums and squares, and the histogram of its mask."""

    pair: Pair
    size: tuple[int, int]
    sums: NDArray[np.float64]  # [bands]
    squares: NDArray[np.float64]  # [bands]
    decoded_bytes: int
    values: NDArray[np.int64]  # distinct stored values
    pixels: NDArray[np.int64]  # pixels of each of them


def survey(dataset: Dataset, progress: Callable[[int, int], None] = lambda done, total: None) -> Survey:
    """Reads every pair of train and val once.

    Args:
        dataset: what `open_dataset` found; it must have a train and a val split.
        progress: called with the number of pairs done and the number of all.

    Raises:
        DataError: undecodable files, sizes that differ, values without a meaning, differing bands. All such
            files are looked for, and the first ten are named in one message.
    """
    splits = {name: dataset.split(name) for name in ("train", "val")}
    pairs = [pair for name in splits for pair in splits[name]]
    seen, problems = _look_at(pairs, progress)
    if problems:
        more = f"\nand {len(problems) - _MOST_PROBLEMS} more files" if len(problems) > _MOST_PROBLEMS else ""
        raise DataError("\n".join(problems[:_MOST_PROBLEMS]) + more)
    labels = dataset.labels or _discover_labels(seen, dataset.ignore)
    _refuse_unknown(seen, labels)
    bands = _common_bands(seen)
    train, val = seen[: len(splits["train"])], seen[len(splits["train"]) :]
    counts = {"train": labels.count(_histogram(train)), "val": labels.count(_histogram(val))}
    _refuse_nothing_to_learn(dataset, labels, counts)
    mean, std = _statistics(train, bands)
    return Survey(
        labels=labels,
        bands=bands,
        mean=mean,
        std=std,
        size=(int(np.median([one.size[0] for one in train])), int(np.median([one.size[1] for one in train]))),
        counts=counts,
        decoded_bytes=sum(one.decoded_bytes for one in seen),
    )


def read_pair(pair: Pair, bands: int | None = None) -> tuple[NDArray[Any], NDArray[Any]]:
    """Image [H, W, bands] and stored mask values [H, W] of one pair.

    Raises:
        DataError: a file cannot be decoded, or the two differ in size.
    """
    image, mask = read_image(pair.image, bands), read_mask(pair.mask)
    if image.shape[:2] != mask.shape:
        turned = " It is turned by a quarter: was the mask drawn before the picture was rotated?"
        raise DataError(
            f"{pair.mask}: mask of {mask.shape[0]}x{mask.shape[1]} (height x width), image of "
            f"{image.shape[0]}x{image.shape[1]}: the two must have one size."
            + (turned if image.shape[:2] == mask.shape[::-1] else "")
        )
    return image, mask


def _look_at(pairs: Sequence[Pair], progress: Callable[[int, int], None]) -> tuple[list[_Seen], list[str]]:
    seen: list[_Seen] = []
    problems: list[str] = []
    with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
        for done, result in enumerate(pool.map(_look_at_one, pairs), start=1):
            if isinstance(result, _Seen):
                seen.append(result)
            else:
                problems.append(result)
            progress(done, len(pairs))
    return seen, problems


def _look_at_one(pair: Pair) -> _Seen | str:
    try:
        image, mask = read_pair(pair)
        if image.dtype == np.float32 and not np.isfinite(image).all():
            raise DataError(f"{pair.image}: holds NaN or infinite pixels.")
    except DataError as error:
        return str(error)
    histogram = np.bincount(mask.ravel())
    values = np.flatnonzero(histogram)
    flat = image.reshape(-1, image.shape[2])
    sums = flat.sum(axis=0, dtype=np.float64)
    squares = np.array([np.square(band, dtype=np.float64).sum() for band in flat.T])
    return _Seen(pair, mask.shape, sums, squares, image.nbytes + mask.nbytes, values, histogram[values])


def _histogram(seen: Iterable[_Seen]) -> NDArray[np.int64]:
    histogram = np.zeros(STORED_VALUES, dtype=np.int64)
    for one in seen:
        histogram[one.values] += one.pixels
    return histogram


def _discover_labels(seen: Sequence[_Seen], ignore: tuple[int, ...]) -> Labels:
    """The classes 0..K where the masks hold exactly these; anything else needs a word from the user."""
    histogram = _histogram(seen)
    found = [int(value) for value in np.flatnonzero(histogram) if value not in ignore]
    classes = [value for value in found if value != IGNORE]
    if found == [0, IGNORE]:
        example = _first_with(seen, IGNORE)
        raise DataError(
            f"Masks hold only 0 and 255 (for example {example}): 255 means either one class of two, or ignored. "
            "Say which in a dataset.toml:\n    [classes]\n    background = 0\n    object = 255"
        )
    if not classes:
        raise DataError(f"Masks hold no value but ignored ones ({', '.join(map(str, found or ignore))}).")
    if classes == list(range(len(classes))):
        return Labels.of_values(classes, ignore)
    stray = next(value for position, value in enumerate(classes) if value != position)
    example = _first_with(seen, stray)
    values = ", ".join(map(str, classes[:20])) + (", ..." if len(classes) > 20 else "")
    block = "\n".join(f'    "class {value}" = {value}' for value in classes[:20])
    raise DataError(
        f"Mask values {values} do not run from 0 without a gap (for example {example} holds {stray} in "
        f"{int(histogram[stray]):,} pixels of all files). Leave values out with --ignore, as in "
        f"--ignore {stray}, or say in a dataset.toml that they are classes:\n    [classes]\n{block}"
    )


def _first_with(seen: Sequence[_Seen], value: int) -> str:
    return next(str(one.pair.mask) for one in seen if value in one.values)


def _refuse_unknown(seen: Sequence[_Seen], labels: Labels) -> None:
    problems = []
    for one in seen:
        histogram = np.zeros(STORED_VALUES, dtype=np.int64)
        histogram[one.values] = one.pixels
        if unknown := labels.unknown(histogram):
            problems.append((one.pair.mask, unknown))
    if problems:
        lines = [f"{path}: value {listing_of_counts(unknown)}" for path, unknown in problems[:_MOST_PROBLEMS]]
        values = sorted({value for _, unknown in problems for value in unknown})
        options = " ".join(f"--ignore {value}" for value in values[:5])
        masks = f"{len(problems)} masks hold" if len(problems) > 1 else "1 mask holds"
        raise DataError(
            f"{masks} values that are neither a class nor ignored:\n" + "\n".join(lines) + "\n"
            f"Leave them out with {options}, or name them in the dataset file's [classes]."
        )


def _refuse_nothing_to_learn(dataset: Dataset, labels: Labels, counts: Mapping[str, NDArray[np.int64]]) -> None:
    if len(labels) < 2:
        raise DataError(
            f"{dataset.root}: the masks hold one class only, {labels.names[0]!r}: nothing to tell apart. Were they "
            "saved empty? A background counts as a class."
        )
    for split, count in counts.items():
        if count.sum() == 0:
            raise DataError(f"{dataset.root}: every pixel of the {split} masks is ignored: nothing would count.")


def _common_bands(seen: Sequence[_Seen]) -> int:
    bands = {len(one.sums): one.pair.image for one in seen}
    if len(bands) > 1 and set(bands) != {1, 3}:
        examples = "; ".join(f"{number} in {path}" for number, path in sorted(bands.items()))
        raise DataError(f"Images differ in their number of bands: {examples}. All must have the same.")
    return max(bands)


def _statistics(seen: Sequence[_Seen], bands: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    pixels = sum(one.size[0] * one.size[1] for one in seen)
    mean = np.sum([np.broadcast_to(one.sums, bands) for one in seen], axis=0) / pixels
    variance = np.sum([np.broadcast_to(one.squares, bands) for one in seen], axis=0) / pixels - mean**2
    std = np.sqrt(np.maximum(variance, 0))
    std = np.where(std > 1e-6 * np.maximum(np.abs(mean), 1), std, 1.0)  # a constant band stays as it is
    return tuple(mean.tolist()), tuple(std.tolist())

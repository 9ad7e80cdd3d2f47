"""All pairs of a dataset looked at, in parallel, and remembered: a file that did not change is not decoded again.

A file counts as the same by its path, size and time of change.
"""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path

import cv2

from intarsia.data.check.memory import key_of, recall, remember, understood
from intarsia.data.check.records import Record, look_at
from intarsia.data.pairs import Dataset, Pair
from intarsia.labels import Encoding

Progress = Callable[[int, int], None]

_MOST_THREADS = 8  # each holds a decoded picture
_MOST_OUTDATED = 2  # times as many records as pairs are kept, for other splits and earlier versions of files
_AHEAD = 4  # pairs that wait for each thread


@dataclass(frozen=True, slots=True)
class Look:
    """One pair, the split it is in, and what was seen of it."""

    split: str
    pair: Pair
    record: Record

    @property
    def usable(self) -> bool:
        """Whether both files could be decoded and fit."""
        return not self.record.trouble


def look_at_all(dataset: Dataset, progress: Progress) -> list[Look]:
    """Looks at every pair of every split; what was seen before of files that did not change is recalled.

    Args:
        dataset: what `find_dataset` returned.
        progress: called with the number of pairs done and of all.
    """
    pairs = [pair for own in dataset.splits.values() for pair in own]
    splits = chain.from_iterable(repeat(split, len(own)) for split, own in dataset.splits.items())
    stamps = stamps_of(dataset)
    known = recall(dataset.root, "records")
    found = [Record.from_plain(understood(known.get(stamp))) for stamp in stamps]
    records = _in_parallel((pair for pair, one in zip(pairs, found, strict=True) if not one), _encoding(dataset))
    looks: list[Look] = []
    try:
        for split, pair, one in zip(splits, pairs, found, strict=True):
            looks.append(Look(split, pair, one or next(records)))
            progress(len(looks), len(pairs))
    finally:
        records.close()
        if not all(found):
            outdated = len(known) > _MOST_OUTDATED * len(pairs)
            current = set(stamps)
            older = ((stamp, line) for stamp, line in known.items() if not outdated and stamp not in current)
            newer = ((stamp, look.record.to_plain()) for stamp, look in zip(stamps, looks, strict=False))
            remember(dataset.root, "records", chain(older, newer))
    return looks


def stamps_of(dataset: Dataset) -> list[str]:
    """For every pair of every split a key that changes when its files do, or the way they are read."""
    read_as, drawn_as = str(_encoding(dataset)), repr(dataset.labels)
    return [
        _stamp(pair, read_as if isinstance(pair.mask, Path) else drawn_as)
        for pairs in dataset.splits.values()
        for pair in pairs
    ]


def _encoding(dataset: Dataset) -> Encoding | None:
    return dataset.labels.encoding if dataset.labels else dataset.encoding


def _in_parallel(pairs: Iterator[Pair], encoding: Encoding | None) -> Generator[Record, None, None]:
    threads = min(_MOST_THREADS, os.cpu_count() or 1)
    threads_of_opencv = cv2.getNumThreads()
    cv2.setNumThreads(1)  # ours are as many as there are cores
    waiting: deque[Future[Record]] = deque()
    try:
        with ThreadPoolExecutor(threads) as pool:
            for pair in pairs:
                waiting.append(pool.submit(look_at, pair, encoding))
                if len(waiting) > _AHEAD * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    finally:
        cv2.setNumThreads(threads_of_opencv)


def _stamp(pair: Pair, how: str) -> str:
    """What must not change for a record to hold: the files' paths, sizes and times, and how the mask is read."""
    parts = [how, *pair.mends]
    for path in pair.files:
        with suppress(OSError):
            status = os.stat(path)  # noqa: PTH116 - half the time of Path.stat, for each of very many files
            parts.append(f"{path}\0{status.st_size}\0{status.st_mtime_ns}")
    return key_of(*parts)

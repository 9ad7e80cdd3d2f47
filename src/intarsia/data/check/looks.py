"""All pairs of a dataset looked at, in parallel, and remembered: a file that did not change is not decoded again.

What was seen is kept in an index file in the cache folder, one for each dataset, by path, size and time of change.
"""

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from intarsia._version import __version__
from intarsia.data.cache import cache_folder
from intarsia.data.check.features import Alignment
from intarsia.data.check.records import ImageRecord, MaskRecord, Record, look_at
from intarsia.data.pairs import Dataset, Pair
from intarsia.errors import MachineError
from intarsia.files import make_folder, write_whole
from intarsia.labels import Encoding

Progress = Callable[[int, int], None]

_MOST_THREADS = 8  # each holds a decoded picture
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
    """Looks at every pair of every split; whatever is in the index file is taken from there.

    Args:
        dataset: what `find_dataset` returned.
        progress: called with the number of pairs done and of all.
    """
    encoding = dataset.labels.encoding if dataset.labels else dataset.encoding
    places = [(split, pair) for split, pairs in dataset.splits.items() for pair in pairs]
    index = _index_path(dataset)
    known = _read_index(index)
    stamps = [_stamp(pair, encoding) for _, pair in places]
    looks: list[Look] = []
    fresh = 0
    new = (pair for (_, pair), stamp in zip(places, stamps, strict=True) if stamp not in known)
    records = _in_parallel(new, encoding)
    try:
        for (split, pair), stamp in zip(places, stamps, strict=True):
            if stamp in known:
                record = Record.from_plain(known[stamp])
            else:
                record = next(records)
                fresh += 1
            looks.append(Look(split, pair, record))
            progress(len(looks), len(places))
    finally:
        records.close()
        if fresh or len(known) > len(looks):
            _write_index(index, stamps, looks, known)
    return looks


def _in_parallel(pairs: Iterator[Pair], encoding: Encoding | None) -> Generator[Record, None, None]:
    threads = min(_MOST_THREADS, os.cpu_count() or 1)
    waiting: deque[Future[Record]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for pair in pairs:
            waiting.append(pool.submit(look_at, pair, encoding))
            if len(waiting) > _AHEAD * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _stamp(pair: Pair, encoding: Encoding | None) -> str:
    """What must not change for a record to hold: the files' paths, sizes and times, and how the mask is read."""
    parts = [str(encoding), *pair.mends]
    for path in pair.files:
        with suppress(OSError):
            status = os.stat(path)  # noqa: PTH116 - half the time of Path.stat, for each of very many files
            parts.append(f"{path}\0{status.st_size}\0{status.st_mtime_ns}")
    return hashlib.sha1("\0\0".join(parts).encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()


def _index_path(dataset: Dataset) -> Path:
    name = hashlib.sha256(str(dataset.root.resolve()).encode("utf-8", "surrogatepass")).hexdigest()[:24]
    return cache_folder() / "checked" / f"{name}.json"


def _read_index(path: Path) -> dict[str, list[Any]]:
    """{stamp: record as lists}; empty where there is no index file, or an older one."""
    try:
        content = json.loads(path.read_bytes())
        return dict(content["records"]) if content["made_by"] == _made_by() else {}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def _write_index(path: Path, stamps: Sequence[str], looks: Sequence[Look], known: dict[str, list[Any]]) -> None:
    """Writes what was seen; where the cache folder cannot be written, the next start reads all files again."""
    seen = {stamp: known.get(stamp) or look.record.to_plain() for stamp, look in zip(stamps, looks, strict=False)}
    kept = seen if len(looks) == len(stamps) else known | seen
    content = json.dumps({"made_by": _made_by(), "records": kept}, separators=(",", ":"))
    with suppress(MachineError):
        make_folder(path.parent)
        write_whole(path, content.encode())


def _made_by() -> str:
    """What wrote an index file: another version, or another kind of record, and all files are read again."""
    parts = (Record, ImageRecord, MaskRecord, Alignment)
    return f"intarsia {__version__}: " + " ".join(field.name for part in parts for field in fields(part))

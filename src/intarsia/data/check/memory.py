"""What was seen and concluded of datasets, kept in the cache folder, so that nothing is done twice.

For each dataset one file of records and one of conclusions: a line of JSON for each, behind a key that changes
whenever a file changes.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from intarsia._version import __version__
from intarsia.data.cache import cache_folder
from intarsia.errors import MachineError
from intarsia.files import make_folder, write_parts

Kind = Literal["records", "conclusions"]


def recall(root: Path, kind: Kind) -> dict[str, bytes]:
    """{key: line} of what was kept of a dataset; empty where nothing is, or another version of Intarsia kept it."""
    kept: dict[str, bytes] = {}
    try:
        with _file(root, kind).open("rb") as file:
            if file.readline() != _head():
                return {}
            for line in file:
                key, _, content = line.partition(b" ")
                kept[key.decode()] = content
    except (OSError, UnicodeDecodeError):
        return {}
    return kept


def understood(line: bytes | None) -> Any:  # noqa: ANN401 - whatever JSON can hold
    """What a line says; None where there is none, or a damaged one."""
    try:
        return None if line is None else json.loads(line)
    except ValueError:
        return None


def remember(root: Path, kind: Kind, kept: Iterable[tuple[str, Any]]) -> None:
    """Keeps plain values, or lines as they were recalled, by key.

    Where the cache folder cannot be written, nothing is kept, and nothing said.
    """
    path = _file(root, kind)
    with suppress(MachineError):
        make_folder(path.parent)
        write_parts(path, chain((_head(),), _lines(kept)))


def _lines(kept: Iterable[tuple[str, Any]]) -> Iterator[bytes]:
    for key, value in kept:
        line = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode() + b"\n"
        yield key.encode() + b" " + line


def key_of(*texts: str) -> str:
    """A key that changes with any of the texts."""
    told = "\0\0".join(texts).encode("utf-8", "surrogatepass")
    return hashlib.sha1(told, usedforsecurity=False).hexdigest()


def _file(root: Path, kind: Kind) -> Path:
    return cache_folder() / "checked" / f"{key_of(str(root.resolve()))}-{kind}.jsonl"


@cache
def _head() -> bytes:
    """The first line: the version, and when the doctor's own modules last changed."""
    changed = max(path.stat().st_mtime_ns for path in Path(__file__).parent.glob("*.py"))
    return f"intarsia {__version__}, {changed}\n".encode()

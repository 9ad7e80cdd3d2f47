"""What was seen and concluded of datasets, kept in the cache folder, so that nothing is done twice.

For each dataset one file of records and one of conclusions, by keys that change whenever a file changes.
"""

import hashlib
import json
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Literal

from intarsia._version import __version__
from intarsia.data.cache import cache_folder
from intarsia.errors import MachineError
from intarsia.files import make_folder, write_whole

Kind = Literal["records", "conclusions"]


def recall(root: Path, kind: Kind) -> dict[str, Any]:
    """{key: what was kept} of a dataset; empty where nothing is, or another version of Intarsia kept it."""
    try:
        content = json.loads(_file(root, kind).read_bytes())
        return dict(content["kept"]) if content["made_by"] == _made_by() else {}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def remember(root: Path, kind: Kind, kept: dict[str, Any]) -> None:
    """Keeps plain values by key; where the cache folder cannot be written, nothing is kept and nothing said."""
    content = json.dumps({"made_by": _made_by(), "kept": kept}, separators=(",", ":"))
    path = _file(root, kind)
    with suppress(MachineError):
        make_folder(path.parent)
        write_whole(path, content.encode())


def key_of(*texts: str) -> str:
    """A key that changes with any of the texts."""
    told = "\0\0".join(texts).encode("utf-8", "surrogatepass")
    return hashlib.sha1(told, usedforsecurity=False).hexdigest()


def _file(root: Path, kind: Kind) -> Path:
    return cache_folder() / "checked" / f"{key_of(str(root.resolve()))}-{kind}.json"


@cache
def _made_by() -> str:
    """The version, and when the doctor's own modules last changed."""
    changed = max(path.stat().st_mtime_ns for path in Path(__file__).parent.glob("*.py"))
    return f"intarsia {__version__}, {changed}"

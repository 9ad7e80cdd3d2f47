"""Formats of datasets: one file each, and one line in `FORMATS`.

A format says whether a folder or file is its own (a look at names, a few bytes at most) and opens it: splits of
pairs, and whatever it knows of classes. The first that recognises a path opens it; plain folders come last.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from intarsia.data.formats import folders
from intarsia.data.pairs import Dataset
from intarsia.errors import DataError


@dataclass(frozen=True)
class Format:
    """How a kind of dataset is recognised and opened.

    Attributes:
        looks: what it looks like on the disk, in a line; docs/data.md shows it.
        recognise: whether a folder or file is of this kind.
        open: finds the pairs; raises `DataError` where it cannot.
    """

    looks: str
    recognise: Callable[[Path], bool]
    open: Callable[[Path], Dataset]


FORMATS = {
    "folders": Format("`images/` + `masks/`, with or without splits; see above", folders.recognise, folders.open_folders),
}


def find_format(path: Path) -> Format:
    """The first format that recognises `path`.

    Raises:
        DataError: none does.
    """
    for candidate in FORMATS.values():
        if candidate.recognise(path):
            return candidate
    raise DataError(
        f"{path}: is a file of no known format. A dataset is a folder, a dataset file (.toml), or a file of one of "
        f"these: {', '.join(FORMATS)}."
    )

"""File names that come from elsewhere (archives, annotation files): which of them may be written below a folder.

The rules are the same on every system, so that what is written on one can be copied to any other.
"""

import re
import unicodedata
from pathlib import PurePosixPath

from intarsia.errors import DataError

_LONGEST_PART = 255  # bytes in UTF-8: what file systems allow
_LONGEST_PATH = 1024
_DRIVE = re.compile("[A-Za-z]:")


def path_of_name(name: str) -> PurePosixPath:
    """A name as a path that stays below the folder that it is put into.

    Raises:
        DataError: it could lead elsewhere, or could not be written on some system.
    """
    if trouble := _trouble(name):
        raise DataError(f"name {name[:80]!r}: {trouble}.")
    return PurePosixPath(*(part for part in name.split("/") if part not in ("", ".")))


def _trouble(name: str) -> str:
    """Why a name is refused; empty where it is not."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or _DRIVE.match(name):
        return "is absolute"
    if "\\" in name:
        return "has a backslash, which some systems take for a folder"
    if ".." in parts:
        return "leads out of its folder by `..`"
    if any(unicodedata.category(letter) == "Cs" for letter in name):
        return "is not UTF-8 text"
    if any(unicodedata.category(letter) == "Cc" for letter in name):
        return "has control characters"
    if any(part.endswith((".", " ")) for part in parts):
        return "has a part that ends with a dot or a space, which some systems leave out"
    if len(name.encode()) > _LONGEST_PATH or any(len(part.encode()) > _LONGEST_PART for part in parts):
        return f"is too long: at most {_LONGEST_PART} bytes a part, {_LONGEST_PATH} in all"
    return ""


class TakenNames:
    """The files and folders below one folder; what some system would take for one and the same is refused."""

    def __init__(self) -> None:
        self._taken: dict[str, tuple[str, bool]] = {}  # by key: the name as it was given, whether it is a file

    def add(self, path: PurePosixPath, *, folder: bool = False) -> None:
        """Takes a name, and those of the folders above it.

        Raises:
            DataError: it is taken, or lies below a file.
        """
        for parent in path.parents:
            name, is_file = self._taken.setdefault(_key(parent), (str(parent), False))
            if is_file:
                raise DataError(f"name {str(path)!r}: lies below {name!r}, which is a file.")
        name, is_file = self._taken.get(_key(path), ("", False))
        if name and (is_file or not folder):
            where = "" if name == str(path) else f", as {name!r}: some systems take the two for one"
            raise DataError(f"name {str(path)!r}: is there already{where}.")
        self._taken[_key(path)] = (str(path), not folder)


def _key(path: PurePosixPath) -> str:
    return unicodedata.normalize("NFC", str(path).casefold())

"""Writing files: whole or not at all, and with errors that name the path."""

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from intarsia.errors import MachineError

_TROUBLE = {
    errno.ENOSPC: "the disk is full. Free some space, or choose another place",
    errno.EDQUOT: "the disk quota is used up. Free some space, or choose another place",
    errno.EACCES: "not allowed. Choose a place that you may write to",
    errno.EPERM: "not allowed. Choose a place that you may write to",
    errno.EROFS: "the file system is read-only. Choose another place",
    errno.ENOTDIR: "a part of this path is a file. Choose another place",
    errno.ENOENT: "its folder does not exist. Choose another place",
    errno.EEXIST: "there is a file of this name. Choose another place",
}


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns trouble with the disk into a `MachineError` that names `path`."""
    try:
        yield
    except OSError as error:
        reason = _TROUBLE.get(error.errno or 0, str(error))
        raise MachineError(f"{path}: cannot be written: {reason}.") from error


def make_folder(path: Path) -> Path:
    """Makes a folder and those above it, where they are missing.

    Raises:
        MachineError: it cannot be made.
    """
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file so that under its name there is, at any time, the old content or the new one.

    Raises:
        MachineError: disk full, not allowed; the old content is untouched.
    """
    write_parts(path, (content,))


def write_parts(path: Path, parts: Iterable[bytes]) -> None:
    """As `write_whole`, for content that is too large to hold at once.

    Raises:
        MachineError: disk full, not allowed; the old content is untouched.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with writing(path):
            with beside.open("wb") as file:
                file.writelines(parts)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
    finally:
        with suppress(OSError):  # where it could not even be made, the error above is the one to tell
            beside.unlink(missing_ok=True)

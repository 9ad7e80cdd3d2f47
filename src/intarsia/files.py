"""Writing files: whole or not at all, and with errors that name the path."""

import errno
import os
import secrets
import shutil
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

_UNFINISHED = ".tmp"


@contextmanager
def writing(path: Path, size: int | None = None) -> Iterator[None]:
    """Turns trouble with the disk into a `MachineError` that names `path`, and the bytes where they are known."""
    try:
        yield
    except OSError as error:
        reason = _TROUBLE.get(error.errno or 0, str(error))
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            needed = "" if size is None else f"; needed: {size:,} bytes"
            reason += f" (free: {_free(path):,} bytes{needed})"
        raise MachineError(f"{path}: cannot be written: {reason}.") from error


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns trouble with a file of our own into a `MachineError` that names it."""
    try:
        yield
    except OSError as error:
        raise MachineError(f"{path}: cannot be read: {error.strerror or error}.") from error


def _free(path: Path) -> int:
    """Bytes that are free on the disk of a path, or of the nearest folder above it that there is."""
    return shutil.disk_usage(next(folder for folder in path.absolute().parents if folder.exists())).free


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
    write_parts(path, (content,), len(content))


def write_parts(path: Path, parts: Iterable[bytes | memoryview], size: int | None = None) -> None:
    """As `write_whole`, for content that is too large to hold at once.

    Args:
        path: of the file.
        parts: its content.
        size: bytes in all, for the message where they do not fit.

    Raises:
        MachineError: disk full, not allowed; the old content is untouched.
    """
    unfinished = beside(path)
    try:
        with writing(path, size):
            with unfinished.open("wb") as file:
                file.writelines(parts)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
    finally:
        with suppress(OSError):  # where it could not even be made, the error above is the one to tell
            unfinished.unlink(missing_ok=True)


def write_first(path: Path, content: bytes) -> bool:
    """Writes a file that nobody else has written before: of several processes at once, one does.

    Where the file system has no hard links, the last one does.

    Returns:
        Whether it was this one.

    Raises:
        MachineError: disk full, not allowed.
    """
    unfinished = beside(path)
    write_whole(unfinished, content)
    try:
        with writing(path):
            try:
                os.link(unfinished, path)
            except FileExistsError:
                return False
            except OSError:
                unfinished.replace(path)
        return True
    finally:
        unfinished.unlink(missing_ok=True)


def settle(folder: Path) -> None:
    """Waits until the names in a folder are on the disk, where the system has a way to ask for that."""
    if hasattr(os, "O_DIRECTORY"):
        with writing(folder):
            file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(file)
            finally:
                os.close(file)


def beside(path: Path) -> Path:
    """A new name in the same folder for what is not finished; `sweep` removes it after a crash.

    Processes of several machines may have the same number.
    """
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(3)}{_UNFINISHED}")


def sweep(folder: Path) -> None:
    """Removes what a process that was killed left unfinished in a folder."""
    with writing(folder):
        for path in folder.glob(f".*{_UNFINISHED}"):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

"""Unpacking tar and zip archives of unknown origin: below one folder, within bounds, whole or not at all.

Nothing that an archive says is believed: links, devices and names that lead elsewhere are refused, and the bytes
that come out are counted.
"""

import bz2
import gzip
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BufferedIOBase, BufferedReader
from pathlib import Path, PurePosixPath
from typing import IO

from intarsia.errors import DataError, IntarsiaError
from intarsia.files import make_folder, writing
from intarsia.names import TakenNames, path_of_name

_PIECE = 1 << 20  # bytes that are read at once; no header of a tar may be longer
_SMALL = 1 << 20  # so much may come out of an archive however small
_ZIP_STARTS = (b"PK\3\4", b"PK\5\6")
_UNPACKERS: dict[bytes, Callable[[BufferedReader], BufferedIOBase]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\0": lzma.LZMAFile,
}


@dataclass(frozen=True, slots=True)
class _Member:
    """One entry of an archive.

    Attributes:
        name: as the archive has it.
        folder: whether it is a folder.
        pieces: gives its bytes.
    """

    name: str
    folder: bool
    pieces: Callable[[], Iterator[bytes]]


def extract(
    archive: str | Path,
    target: str | Path,
    *,
    most_members: int = 1_000_000,
    most_bytes: int = 1 << 38,
    most_ratio: int = 200,
) -> Path:
    """Unpacks an archive into a new folder. After any error nothing of it is left.

    Args:
        archive: a tar (plain, or packed by gzip, bzip2 or xz) or a zip, whatever its suffix.
        target: the folder; new, or empty.
        most_members: files and folders that may be in it.
        most_bytes: bytes that may come out of it.
        most_ratio: how many times its own size may come out of it.

    Returns:
        `target`.

    Raises:
        DataError: no archive, damaged, cut off, encrypted, beyond a limit; a member that is neither a file nor a
            folder, or whose name leads elsewhere or is taken. `target` is not empty.
        MachineError: `target` cannot be written.
    """
    archive, target = Path(archive), Path(target)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DataError(f"{target}: is not empty. Unpack {archive} into a new folder.")
    beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    with _reading(archive):
        file = archive.open("rb")
    try:
        with file:
            size = os.fstat(file.fileno()).st_size
            most = min(most_bytes, max(most_ratio * size, _SMALL))
            _write(_members(file, most, most_members), make_folder(beside), archive, most)
        with writing(target):
            if target.exists():
                target.rmdir()
            beside.rename(target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return target


def _write(members: Iterator[tuple[PurePosixPath, _Member]], folder: Path, archive: Path, most: int) -> None:
    left = most
    for below, member in members:
        path = folder / below
        make_folder(path if member.folder else path.parent)
        if member.folder:
            continue
        with writing(path), path.open("xb") as file:
            for piece in member.pieces():
                left -= len(piece)
                if left < 0:
                    raise _too_much(archive, most)
                file.write(piece)


def _members(file: BufferedReader, most: int, most_members: int) -> Iterator[tuple[PurePosixPath, _Member]]:
    """Safe path and member, each checked before it is given; all of a zip, which has an index, before the first."""
    archive = Path(file.name)
    with _reading(archive):
        start = file.peek(6)
        if start.startswith(_ZIP_STARTS):
            yield from list(_checked(_zip_members(file, archive), archive, most_members))
        else:
            unpackers = [unpacker for magic, unpacker in _UNPACKERS.items() if start.startswith(magic)]
            stream = _Bounded(unpackers[0](file) if unpackers else file, archive, most)
            yield from _checked(_tar_members(stream, archive), archive, most_members)


def _checked(
    members: Iterator[_Member], archive: Path, most_members: int
) -> Iterator[tuple[PurePosixPath, _Member]]:
    """Refuses names that lead elsewhere or are taken, and too many members."""
    taken = TakenNames()
    for number, member in enumerate(members, start=1):
        if number > most_members:
            raise DataError(f"{archive}: has more than {most_members:,} members. Nothing was unpacked.")
        try:
            path = path_of_name(member.name)
            if path.parts:
                taken.add(path, folder=member.folder)
            elif not member.folder:
                raise DataError(f"name {member.name!r}: is empty.")
        except DataError as error:
            raise DataError(f"{archive}: a member's {error} Nothing was unpacked.") from None
        yield path, member


def _zip_members(file: BufferedReader, archive: Path) -> Iterator[_Member]:
    archived = zipfile.ZipFile(file)
    for info in archived.infolist():
        name = info.orig_filename  # as it stands in the file; `filename` is already mended for this system
        kind = stat.S_IFMT(info.external_attr >> 16)
        if info.flag_bits & 1:
            raise _refused(archive, name, "encrypted")
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _refused(archive, name, "a link" if stat.S_ISLNK(kind) else "a device or pipe")
        yield _Member(name, name.endswith("/"), partial(_pieces, partial(archived.open, info), archive))


def _tar_members(stream: "_Bounded", archive: Path) -> Iterator[_Member]:
    with tarfile.TarFile(fileobj=stream, encoding="utf-8") as archived:
        while info := archived.next():
            if info.issym() or info.islnk():
                raise _refused(archive, info.name, f"a link to {info.linkname[:80]!r}")
            if not (info.isdir() or info.type in (tarfile.REGTYPE, tarfile.AREGTYPE)) or info.issparse():
                raise _refused(archive, info.name, "a device, a pipe or a file with holes")
            if info.size < 0:
                raise tarfile.ReadError(f"a member of {info.size} bytes")
            yield _Member(info.name, info.isdir(), partial(_pieces, partial(archived.extractfile, info), archive))
            archived.members = []  # type: ignore[attr-defined]  # of a million members, each is needed once
    if stream.last != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("it does not end as a tar does")
    while stream.read(_PIECE):  # behind the end comes the checksum of the compression
        pass


def _pieces(opened: Callable[[], IO[bytes] | None], archive: Path) -> Iterator[bytes]:
    """The bytes of one member."""
    with _reading(archive):
        content = opened()
        assert content is not None, "it is a file"
        with content:
            while piece := content.read(_PIECE):
                yield piece


class _Bounded(BufferedIOBase):
    """The bytes of a tar, in pieces of bounded size whatever its headers ask for, and not too many of them."""

    def __init__(self, file: BufferedIOBase, archive: Path, most: int) -> None:
        self._file = file
        self._archive = archive
        self._most = most
        self.last = b""  # what was read last

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(position, whence)

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= _PIECE:
            raise tarfile.ReadError(f"a header of {size} bytes")
        self.last = self._file.read(size)
        if self.tell() > self._most:
            raise _too_much(self._archive, self._most)
        return self.last


@contextmanager
def _reading(archive: Path) -> Iterator[None]:
    """Turns whatever is raised on damaged archives into a `DataError` that names the file."""
    try:
        yield
    except IntarsiaError:
        raise
    except FileNotFoundError:
        raise DataError(f"{archive}: does not exist.") from None
    except IsADirectoryError:
        raise DataError(f"{archive}: is a folder, not an archive.") from None
    except PermissionError:
        raise DataError(f"{archive}: may not be read (permissions).") from None
    except Exception as error:  # the libraries raise almost anything on damaged input
        reason = (str(error) or type(error).__name__).rstrip(".")
        raise DataError(
            f"{archive}: is no tar or zip archive, or a damaged one: {reason}. Nothing was unpacked."
        ) from None


def _too_much(archive: Path, most: int) -> DataError:
    return DataError(
        f"{archive}: unpacks to more than {most:,} bytes, its own size being {archive.stat().st_size:,}: it looks "
        "as if it were made to fill the disk. Nothing was unpacked."
    )


def _refused(archive: Path, name: str, kind: str) -> DataError:
    return DataError(f"{archive}: member {name[:80]!r} is {kind}: only plain files and folders are unpacked.")

"""What has become of pictures, so that the same call again goes on: told in a folder beside their results.

A line of JSON for each, in a file of each process's own: processes on several machines may write at once, and one
that is killed loses its last line at most. Beside them is told what all processes have to agree on.
"""

import errno
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import IO

from intarsia.files import make_folder, reading, write_first, write_parts, writing

FOLDER = ".prediction"
_AGREED = "pixels_in_one_piece"


@dataclass(frozen=True)
class Stamp:
    """Tells a picture's file from another one, and from what it was before it was changed.

    Attributes:
        size: in bytes; -1 where there is no file.
        changed: time of the last change, in nanoseconds.
    """

    size: int
    changed: int

    @classmethod
    def of(cls, path: Path) -> "Stamp":
        """The stamp of a file, as it is now."""
        try:
            status = path.stat()
        except OSError:
            return cls(-1, 0)
        return cls(status.st_size, status.st_mtime_ns)


@dataclass(frozen=True)
class Record:
    """What has become of one picture.

    Attributes:
        result: path of its results below each output's folder, without suffix.
        picture: its absolute path.
        stamp: of the file, taken before it was read.
        save: the outputs that are there.
        damage: why they are not of all frames; empty where they are whole.
        at: when that was, in seconds since 1970.
    """

    result: str
    picture: str
    stamp: Stamp
    save: tuple[str, ...]
    damage: str = ""
    at: float = 0.0

    def is_of(self, path: Path) -> bool:
        """Whether it tells of this very file; of one that is not where it was, nobody can say no."""
        if self.picture == str(path.absolute()):
            return True
        try:
            return Path(self.picture).samefile(path)
        except OSError:
            return not Path(self.picture).exists()


class Records:
    """The records in a folder of results; nothing is written before the first is added.

    Args:
        out: the folder of the results.
    """

    def __init__(self, out: Path) -> None:
        self._folder = out / FOLDER
        self._path = self._folder / f"{os.getpid()}-{secrets.token_hex(6)}.jsonl"
        self._file: IO[bytes] | None = None

    @cached_property
    def known(self) -> dict[str, Record]:
        """What `read` gave when it was first asked for."""
        return self.read()

    def read(self) -> dict[str, Record]:
        """{result: its newest record, with all outputs of that picture}; torn lines are as good as not there.

        Raises:
            MachineError: they may not be read.
        """
        found: dict[str, Record] = {}
        for record in sorted(self._all(), key=lambda record: record.at):
            before = found.get(record.result)
            earlier = before.save if before and before.stamp == record.stamp else ()
            found[record.result] = replace(record, save=tuple(dict.fromkeys(earlier + record.save)))
        return found

    def _all(self) -> Iterator[Record]:
        for path in sorted(self._folder.glob("*.jsonl")):
            with reading(path):
                lines = path.read_bytes().splitlines()
            for line in lines:
                try:
                    told = json.loads(line)
                    stamp, save = Stamp(**told.pop("stamp")), tuple(told.pop("save"))
                    yield Record(stamp=stamp, save=save, **told)
                except (ValueError, TypeError, KeyError, AttributeError):  # torn, where a process was killed
                    continue

    def add(self, result: Path, picture: Path, stamp: Stamp, save: Sequence[str], damage: str = "") -> None:
        """Tells what has become of a picture, once its results are on the disk.

        Raises:
            MachineError: the disk is full, or may not be written to.
        """
        record = Record(str(result), str(picture.absolute()), stamp, tuple(save), damage, time.time())
        with writing(self._folder):
            if self._file is None:
                make_folder(self._folder)
                self._file = self._path.open("ab", buffering=0)
            line = _line(record)
            if self._file.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        """Closes the file; whoever adds more goes on with it."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def merge(self) -> None:
        """Makes one file of all, with the newest record of each result; nobody else may be writing."""
        files = sorted(self._folder.glob("*.jsonl"))
        if len(files) > 1:
            together = Records(self._folder.parent)._path
            write_parts(together, map(_line, self.known.values()))
            with writing(self._folder):
                for file in files:
                    file.unlink(missing_ok=True)


def agreed(out: Path, own: Callable[[], int]) -> int:
    """Pixels of the largest picture or tile in one piece: those that the first process has said.

    Args:
        out: the folder of the results.
        own: what this process would say; asked where nobody has said anything.

    Raises:
        MachineError: the folder cannot be written.
    """
    path = out / FOLDER / _AGREED
    if not path.exists():
        content = f"{own()}\n".encode()
        make_folder(path.parent)
        write_first(path, content)
    with reading(path):
        try:
            return max(int(path.read_bytes()), 1)
        except ValueError:  # damaged
            return own()


def _line(record: Record) -> bytes:
    return json.dumps(asdict(record)).encode() + b"\n"

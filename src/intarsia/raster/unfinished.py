"""A file that grows from top to bottom beside its name, and gets it when it is whole."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from intarsia.files import beside, writing


@contextmanager
def whole_or_nothing(path: Path, discard: Callable[[], None]) -> Iterator[None]:
    """Around all that may go wrong with a file: then it is discarded, and trouble with the disk is told."""
    try:
        with writing(path):
            yield
    except BaseException:
        discard()
        raise


class Unfinished:
    """A file in the making; after any trouble nothing is left of it.

    Args:
        path: that it shall have.

    Raises:
        MachineError: it cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._beside = beside(path)
        self._file: BinaryIO | None = None
        with self.or_nothing():
            self._file = self._beside.open("wb")

    def or_nothing(self) -> AbstractContextManager[None]:
        """Around all that may go wrong: then the file is discarded, and trouble with the disk told."""
        return whole_or_nothing(self.path, self.discard)

    def add(self, content: bytes) -> int:
        """Appends; returns where it begins."""
        assert self._file is not None, "the file is still being written"
        start = self._file.tell()
        self._file.write(content)
        return start

    def finish(self, beginning: bytes = b"") -> None:
        """Puts `beginning` over the first bytes, and gives the file its name once all of it is on the disk."""
        assert self._file is not None, "the file is still being written"
        if beginning:
            self._file.seek(0)
            self._file.write(beginning)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._beside.replace(self.path)
        self._file = None

    @property
    def finished(self) -> bool:
        """Whether it has its name, or was given up."""
        return self._file is None

    def discard(self) -> None:
        """Gives up; without effect once it has its name."""
        if self._file is not None:
            with suppress(OSError):  # what is buffered does not fit either
                self._file.close()
            self._file = None
            self._beside.unlink(missing_ok=True)

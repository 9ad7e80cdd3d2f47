"""One writer for one folder: a lock that ends with its process, however that ends."""

import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from intarsia.errors import SettingsError
from intarsia.files import writing

LOCK = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the lock of a folder.

    A record lock, which belongs to the process alone: the operating system takes it away when the process is
    killed, and the loader's workers, which may live some seconds longer, do not have it.

    Raises:
        SettingsError: another process holds it; the message says which.
        MachineError: the folder cannot be written to.
    """
    path = folder / LOCK
    with writing(path):
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not _taken(file) or not path.exists() or path.stat().st_ino != os.fstat(file).st_ino:
            raise SettingsError(f"{folder}: {_holder(file)} is training here. Wait for it, or give another --out.")
        told = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        with writing(path):
            os.ftruncate(file, 0)
            os.write(file, json.dumps(told).encode())
        try:
            yield
        finally:
            with suppress(OSError):  # the folder is gone: so is the lock
                path.unlink()
    finally:
        os.close(file)  # which ends the lock


def _taken(file: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _holder(file: int) -> str:
    try:
        told = json.loads(os.read(file, 4096))
        return f"process {told['pid']} on {told['host']}, since {told['since']},"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"

"""A file under its name is whole: the old one or the new one."""

import errno
import os
import re
import shutil
from pathlib import Path

import pytest

from intarsia.errors import MachineError
from intarsia.files import beside, make_folder, settle, sweep, write_first, write_parts, write_whole, writing


def test_content_is_replaced(tmp_path):
    path = tmp_path / "model"
    for content in (b"old", b"new and longer", b""):
        write_whole(path, content)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (errno.ENOSPC, "disk is full.*another place"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EIO, "error"),
    ],
)
@pytest.mark.parametrize("step", ["fsync", "rename"])
def test_a_fault_leaves_the_old_content_and_nothing_beside(tmp_path, monkeypatch, step, fault, words):
    path = tmp_path / "model"
    write_whole(path, b"old")

    def fail(*_: object) -> None:
        raise OSError(fault, os.strerror(fault))

    monkeypatch.setattr(*((os, "fsync") if step == "fsync" else (type(path), "replace")), fail)
    with pytest.raises(MachineError, match=rf"model: cannot be written: .*{words}"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupt_leaves_nothing_beside(tmp_path, monkeypatch):
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "model", b"new")
    assert list(tmp_path.iterdir()) == []


def test_a_path_below_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(
        MachineError, match=r"file/model: cannot be written: a part of this path is a file.*another place"
    ):
        write_whole(tmp_path / "file" / "model", b"")
    with pytest.raises(MachineError, match="a part of this path is a file"):
        make_folder(tmp_path / "file" / "folder")


def test_a_folder_in_the_way(tmp_path):
    (tmp_path / "model").mkdir()
    with pytest.raises(MachineError, match="model: cannot be written"):
        write_whole(tmp_path / "model", b"")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(MachineError, match=r"gone/model: cannot be written: its folder does not exist"):
        write_whole(tmp_path / "gone" / "model", b"")


def test_make_folder(tmp_path):
    folder = tmp_path / "one" / "two"
    assert make_folder(folder) == make_folder(folder) == folder
    assert folder.is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(MachineError, match=r"there is a file of this name.*another place"):
        make_folder(tmp_path / "file")


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_with_its_bytes(tmp_path, monkeypatch, fault):
    def fail(*_: object) -> None:
        raise OSError(fault, os.strerror(fault))

    monkeypatch.setattr(os, "fsync", fail)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(9, 9, 1_234_567))
    with pytest.raises(MachineError, match=r"\(free: 1,234,567 bytes; needed: 2,000 bytes\)\.$"):
        write_whole(tmp_path / "model", bytes(2000))
    with pytest.raises(MachineError, match=r"\(free: 1,234,567 bytes\)\.$"):
        write_parts(tmp_path / "model", [b"x"] * 3)


def test_the_free_bytes_are_those_of_the_disk_of_the_nearest_folder(tmp_path):
    path = tmp_path / "not" / "there" / "model"
    with pytest.raises(MachineError) as raised, writing(path, 5):
        raise OSError(errno.ENOSPC, "No space left on device")
    told = int(str(raised.value).partition("free: ")[2].partition(" ")[0].replace(",", ""))
    free = shutil.disk_usage(tmp_path).free
    assert abs(told - free) < 0.2 * free + (1 << 20), "others write to this disk too"


def test_a_fault_that_is_no_lack_of_space_names_no_bytes(tmp_path):
    words = r"not allowed\. Choose a place that you may write to\.$"
    with pytest.raises(MachineError, match=words), writing(tmp_path / "model", 5):
        raise OSError(errno.EACCES, "Permission denied")


def test_the_parts_are_written_in_order(tmp_path):
    parts = (bytes([number]) * number for number in range(4))
    write_parts(tmp_path / "model", (memoryview(part) for part in parts))
    assert (tmp_path / "model").read_bytes() == b"\1\2\2\3\3\3"


def test_parts_that_end_in_an_error_leave_the_old_content(tmp_path):
    def parts():
        yield b"new"
        raise ZeroDivisionError

    write_whole(tmp_path / "model", b"old")
    with pytest.raises(ZeroDivisionError):
        write_parts(tmp_path / "model", parts())
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("model", b"old")]


@pytest.mark.parametrize("links", [True, False])
def test_whoever_writes_first_wins(tmp_path, monkeypatch, links):
    if not links:

        def refuse(*arguments):
            raise OSError(errno.EPERM, "no hard links here")

        monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "a"
    assert write_first(path, b"first")
    assert write_first(path, b"second") is not links
    assert path.read_bytes() == (b"first" if links else b"second")
    assert [found.name for found in tmp_path.iterdir()] == ["a"]


def test_the_names_of_a_folder_are_asked_onto_the_disk(tmp_path, monkeypatch):
    files = Path("/proc/self/fd")
    synced: list[Path] = []
    fsync = os.fsync

    def watched(file: int) -> None:
        synced.append((files / str(file)).readlink())
        fsync(file)

    monkeypatch.setattr(os, "fsync", watched)
    before = len(list(files.iterdir()))
    settle(tmp_path)
    assert synced == [tmp_path]
    assert len(list(files.iterdir())) == before, "and closed again"


def test_a_folder_that_is_gone_cannot_be_settled(tmp_path):
    with pytest.raises(MachineError, match="gone: cannot be written: its folder does not exist"):
        settle(tmp_path / "gone")


def test_what_is_unfinished_is_swept_away_and_nothing_else(tmp_path):
    """Of any process, files and folders; in this folder alone."""
    unfinished = beside(tmp_path / "model.safetensors")
    assert unfinished.parent == tmp_path
    assert re.fullmatch(rf"\.model\.safetensors\.{os.getpid()}-[0-9a-f]{{6}}\.tmp", unfinished.name)
    assert unfinished != beside(tmp_path / "model.safetensors")
    unfinished.write_bytes(b"half")
    folder = beside(tmp_path / "step-00000002")
    folder.mkdir()
    (folder / "state.pt").touch()
    (tmp_path / ".last.safetensors.999999.tmp").touch()
    (tmp_path / "below").mkdir()
    kept = ["model.safetensors", "notes.tmp", ".lock", ".hidden", "below/.model.1.tmp"]
    for name in kept:
        (tmp_path / name).touch()
    sweep(tmp_path)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == sorted([*kept, "below"])


def test_sweeping_a_folder_that_is_not_there_does_nothing(tmp_path):
    sweep(tmp_path / "gone")
    assert list(tmp_path.iterdir()) == []

"""A file under its name is whole: the old one or the new one."""

import errno
import os

import pytest

from intarsia.errors import MachineError
from intarsia.files import make_folder, write_whole


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

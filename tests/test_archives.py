"""Archives, sound and hostile, made here; whatever is refused leaves nothing behind."""

import errno
import gzip
import io
import os
import stat
import struct
import tarfile
import zipfile
from pathlib import Path
from typing import IO, Any

import pytest

from intarsia.archives import extract
from intarsia.errors import DataError, MachineError

CONTENT = {"images/a.jpg": b"a picture" * 1000, "masks/deep/a.png": b"", "README": "é".encode()}
PACKINGS = ["tar", "tar.gz", "tar.bz2", "tar.xz", "zip"]


def packed(path: Path, content: dict[str, bytes]) -> Path:
    """An archive of the kind that its suffix says; names that end with a slash are folders."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name, data in content.items():
                file.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    else:
        kind = "w" if path.suffix == ".tar" else f"w:{path.suffix[1:]}"
        with tarfile.open(path, kind) as file:
            for name, data in content.items():
                add(file, name, data, type=tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE)
    return path


def add(file: tarfile.TarFile, name: str, data: bytes = b"", **attributes: object) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for attribute, value in attributes.items():
        setattr(info, attribute, value)
    file.addfile(info, io.BytesIO(data))


def refused(archive: Path, words: str, **limits: int) -> None:
    """Unpacking says so, and nothing at all is written."""
    around = archive.parent.parent
    before = sorted(around.rglob("*"))
    with pytest.raises(DataError, match=words) as caught:
        extract(archive, archive.parent / "out", **limits)
    assert str(archive) in str(caught.value)
    assert sorted(around.rglob("*")) == before


@pytest.fixture
def folder(tmp_path):
    """A folder in a folder: what goes one up is seen."""
    (tmp_path / "inner").mkdir()
    return tmp_path / "inner"


@pytest.mark.parametrize("packing", PACKINGS)
def test_files_come_out_as_they_went_in(folder, packing):
    archive = packed(folder / f"data.{packing}", {"./": b"", "images/": b"", **CONTENT, "empty/": b""})
    out = extract(archive, folder / "out")
    assert out == folder / "out"
    files = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert files == CONTENT
    assert (out / "empty").is_dir()
    assert sorted(path.name for path in folder.iterdir()) == [archive.name, "out"]


def test_the_suffix_does_not_count(folder):
    plain = packed(folder / "data.tar", CONTENT).rename(folder / "data.tar.gz")
    assert (extract(plain, folder / "one") / "README").exists()
    gzipped = packed(folder / "data.tar.xz", CONTENT).rename(folder / "data.zip")
    assert (extract(gzipped, folder / "two") / "README").exists()


def test_an_empty_target_is_filled_and_another_is_left_alone(folder):
    archive = packed(folder / "data.zip", CONTENT)
    (folder / "out").mkdir()
    assert (extract(archive, folder / "out") / "README").exists()
    with pytest.raises(DataError, match=r"out: is not empty"):
        extract(archive, folder / "out")
    (folder / "file").touch()
    with pytest.raises(DataError, match=r"file: is not empty"):
        extract(archive, folder / "file")


def test_plain_modes_whatever_the_archive_says(folder):
    with tarfile.open(folder / "data.tar", "w") as file:
        add(file, "tool", b"#!", mode=0o6777)
    assert (extract(folder / "data.tar", folder / "out") / "tool").stat().st_mode & 0o7111 == 0


@pytest.mark.parametrize("packing", ["tar.gz", "zip"])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../evil", "leads out of its folder"),
        ("a/../../evil", "leads out of its folder"),
        ("/tmp/evil", "absolute"),
        ("C:/evil", "absolute"),
        ("..\\evil", "backslash"),
        ("a" * 300, "too long"),
        ("a\nb", "control characters"),
        ("images/A.jpg", "is there already"),
        ("images/a.jpg/b", "which is a file"),
        ("images", "is there already"),
        ("", "is empty"),
    ],
)
def test_names_that_are_refused(folder, packing, name, words):
    refused(packed(folder / f"data.{packing}", {**CONTENT, name: b"evil"}), words)


def test_a_name_that_ends_in_the_middle(folder):
    """Some programs would take a name up to its NUL for the whole."""
    archive = packed(folder / "data.zip", {"a.png_.exe": b"evil"})
    archive.write_bytes(archive.read_bytes().replace(b"a.png_.exe", b"a.png\0.exe"))
    refused(archive, "control characters")


def test_a_zip_is_refused_before_anything_is_written(folder, monkeypatch):
    opened = Path.open
    archive = packed(folder / "data.zip", {**CONTENT, "../evil": b"evil"})

    def read_only(path: Path, mode: str = "r") -> IO[Any]:
        assert mode == "rb"
        return opened(path, mode)

    monkeypatch.setattr(Path, "open", read_only)
    refused(archive, "leads out of its folder")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_stands_twice(folder):
    with zipfile.ZipFile(folder / "data.zip", "w") as file:
        file.writestr("a", b"one")
        file.writestr("a", b"two")
    refused(folder / "data.zip", "name 'a': is there already")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (tarfile.SYMTYPE, "a link to 'target'"),
        (tarfile.LNKTYPE, "a link to 'target'"),
        (tarfile.FIFOTYPE, "device"),
        (tarfile.CHRTYPE, "device"),
        (tarfile.BLKTYPE, "device"),
        (tarfile.GNUTYPE_SPARSE, "holes"),
        (b"V", "device"),
    ],
)
def test_tar_members_that_are_no_files(folder, kind, words):
    with tarfile.open(folder / "data.tar", "w") as file:
        add(file, "before", b"x")
        add(file, "odd", type=kind, linkname="target")
    refused(folder / "data.tar", f"member 'odd' is .*{words}")


def test_a_tar_member_with_holes(folder):
    with tarfile.open(folder / "data.tar", "w", format=tarfile.PAX_FORMAT) as file:
        add(file, "odd", b"x", pax_headers={"GNU.sparse.map": "0,1", "GNU.sparse.size": "9999999999"})
    refused(folder / "data.tar", "member 'odd' is .*holes")


@pytest.mark.parametrize(("kind", "words"), [(stat.S_IFLNK, "a link"), (stat.S_IFIFO, "a device or pipe")])
def test_zip_members_that_are_no_files(folder, kind, words):
    with zipfile.ZipFile(folder / "data.zip", "w") as file:
        info = zipfile.ZipInfo("odd")
        info.external_attr = (kind | 0o777) << 16
        file.writestr(info, b"/etc/passwd")
    refused(folder / "data.zip", f"member 'odd' is {words}")


def test_an_encrypted_zip(folder):
    archive = packed(folder / "data.zip", {"a": b"x"})
    data = bytearray(archive.read_bytes())
    for start, flags in ((data.index(b"PK\3\4"), 6), (data.index(b"PK\1\2"), 8)):
        data[start + flags] |= 1
    archive.write_bytes(data)
    refused(archive, "member 'a' is encrypted")


@pytest.mark.parametrize("packing", ["tar.gz", "tar.bz2", "tar.xz", "zip"])
def test_a_bomb(folder, packing):
    refused(packed(folder / f"data.{packing}", {"a": b"x", "zeros": bytes(20_000_000)}), "unpacks to more than")


def test_a_bomb_that_lies_about_its_size(folder):
    archive = packed(folder / "data.zip", {"zeros": bytes(20_000_000)})
    data = bytearray(archive.read_bytes())
    for start, place in ((data.index(b"PK\3\4"), 22), (data.index(b"PK\1\2"), 24)):
        data[start + place : start + place + 4] = struct.pack("<I", 1000)
    archive.write_bytes(data)
    refused(archive, "damaged one")  # zipfile gives no more than the size that was said


def test_a_bomb_of_members_that_share_their_bytes(folder):
    """All entries of the index point to one and the same file."""
    archive = packed(folder / "data.zip", {"a000": bytes(200_000)})
    data = archive.read_bytes()
    index, end = data.index(b"PK\1\2"), data.index(b"PK\5\6")
    entries = [data[index:end].replace(b"a000", b"a%03d" % number) for number in range(200)]
    counts = struct.pack("<HHII", len(entries), len(entries), sum(map(len, entries)), index)
    archive.write_bytes(data[:index] + b"".join(entries) + data[end : end + 8] + counts + b"\0\0")
    refused(archive, "differ|Overlapped")  # the one or the other, by the version of Python


def test_a_bomb_behind_the_end(folder):
    with gzip.open(folder / "data.tar.gz", "wb") as file:
        file.write(packed(folder / "data.tar", {"a": b"x"}).read_bytes() + bytes(20_000_000))
    refused(folder / "data.tar.gz", "unpacks to more than")


def test_a_header_that_wants_all_memory(folder):
    """The long name of a tar may be said to have gigabytes."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 2_000_000
    with gzip.open(folder / "data.tar.gz", "wb") as file:
        file.write(info.tobuf() + bytes(2_000_896) + bytes(1024))
    refused(folder / "data.tar.gz", "a header of 2000384 bytes")


def test_a_negative_size_does_not_go_round_for_ever(folder):
    header = bytearray(tarfile.TarInfo("a").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 11 + b"\0"  # -256 in base 256
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    (folder / "data.tar").write_bytes(bytes(header) * 2 + bytes(1024))
    refused(folder / "data.tar", "a member of -256 bytes")


@pytest.mark.parametrize("packing", ["tar.gz", "zip"])
def test_limits(folder, packing):
    archive = packed(folder / f"data.{packing}", {"a": bytes(600), "b": bytes(600)})
    refused(archive, "more than 1 members", most_members=1)
    refused(archive, "more than 1,000 bytes", most_bytes=1000)
    extract(archive, folder / "out", most_members=2, most_bytes=20_000)


@pytest.mark.parametrize("packing", PACKINGS)
def test_cut_anywhere(folder, packing):
    noise = {name: os.urandom(3000) for name in ("a", "b", "c")}
    whole = packed(folder / f"whole.{packing}", noise).read_bytes()
    end = 3 * (512 + 3072) if packing == "tar" else len(whole) - 1  # behind it are zeros only
    cut = folder / f"cut.{packing}"
    for length in (0, 1, 100, 512, 3584, 4000, end // 2, end):
        cut.write_bytes(whole[:length])
        refused(cut, "is no tar or zip archive, or a damaged one")


@pytest.mark.parametrize("packing", ["tar.gz", "tar.bz2", "tar.xz", "zip"])
def test_one_flipped_bit(folder, packing):
    archive = packed(folder / f"data.{packing}", {"a": os.urandom(3000)})
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 1
    archive.write_bytes(data)
    refused(archive, "damaged one")


def test_a_damaged_header_is_not_taken_for_the_end(folder):
    archive = packed(folder / "data.tar", {"a": b"x", "b": b"y"})
    data = bytearray(archive.read_bytes())
    data[1024 + 5] ^= 1  # in the name of b
    archive.write_bytes(data)
    refused(archive, "does not end as a tar does")


def test_what_is_no_archive(folder):
    (folder / "page.zip").write_text("<!doctype html> not found" * 100)
    refused(folder / "page.zip", "no tar or zip archive")
    (folder / "folder").mkdir()
    refused(folder / "folder", "is a folder")
    refused(folder / "nothing.zip", "does not exist")


def test_a_full_disk_leaves_nothing(folder, monkeypatch):
    archive = packed(folder / "data.zip", CONTENT)

    def full(path: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(MachineError, match="disk is full"):
        extract(archive, folder / "out")
    assert list(folder.iterdir()) == [archive]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_disk_that_fills_up_is_the_machines_trouble(folder, monkeypatch):
    archive = packed(folder / "data.zip", CONTENT)
    opened = Path.open
    monkeypatch.setattr(
        Path, "open", lambda path, mode="r": opened(Path("/dev/full"), "wb") if mode == "xb" else opened(path, mode)
    )
    with pytest.raises(MachineError, match="disk is full"):
        extract(archive, folder / "out")
    assert list(folder.iterdir()) == [archive]

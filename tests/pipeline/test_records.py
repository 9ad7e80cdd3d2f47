"""What is told of finished pictures: read back by whoever comes next, whatever happened to the process."""

import os
from pathlib import Path

import pytest

from intarsia.errors import MachineError
from intarsia.pipeline.records import FOLDER, Records, Stamp, agreed

STAMP, LATER = Stamp(100, 5), Stamp(100, 6)


def added(out: Path, *told: tuple[str, Stamp, tuple[str, ...]]) -> Path:
    """The file that a process leaves which adds these."""
    before = set((out / FOLDER).glob("*"))
    records = Records(out)
    for result, stamp, save in told:
        records.add(Path(result), Path("photos") / f"{result}.png", stamp, save)
    records.close()
    (file,) = set((out / FOLDER).glob("*")) - before
    return file


def test_a_record_is_read_as_it_was_added(tmp_path: Path) -> None:
    records = Records(tmp_path)
    assert records.read() == {}
    assert list(tmp_path.iterdir()) == []  # nothing is made before the first
    records.add(Path("day/a"), Path("photos/a.png"), STAMP, ["masks"], damage="damaged after frame 3")
    (record,) = Records(tmp_path).read().values()
    assert (record.result, record.stamp, record.save) == ("day/a", STAMP, ("masks",))
    assert record.picture == str(Path("photos/a.png").absolute())
    assert record.damage == "damaged after frame 3"
    records.close()


def test_names_that_are_no_text_come_back(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\xfe\n")
    added(tmp_path, (name, STAMP, ("masks",)))
    assert list(Records(tmp_path).read()) == [name]


def test_outputs_of_the_same_picture_add_up_and_those_of_an_older_one_do_not(tmp_path: Path) -> None:
    added(tmp_path, ("a", STAMP, ("masks",)))
    added(tmp_path, ("a", STAMP, ("areas",)))
    assert set(Records(tmp_path).read()["a"].save) == {"masks", "areas"}
    added(tmp_path, ("a", LATER, ("polygons",)))
    assert Records(tmp_path).read()["a"].save == ("polygons",)


@pytest.mark.parametrize(
    "end", [b'{"result": "c", "pict', b"null\n", b"[]\n", b'{"result": "c"}\n', b"\xff\n"], ids=str
)
def test_a_torn_line_is_as_good_as_not_there(tmp_path: Path, end: bytes) -> None:
    file = added(tmp_path, ("a", STAMP, ("masks",)), ("b", STAMP, ("masks",)))
    file.write_bytes(file.read_bytes() + end)
    assert set(Records(tmp_path).read()) == {"a", "b"}


def test_many_files_become_one_that_says_the_same(tmp_path: Path) -> None:
    for number in range(4):
        added(tmp_path, ("a", STAMP, ("masks", "areas")[: 1 + number % 2]), (f"b{number}", STAMP, ("masks",)))
    before = Records(tmp_path).read()
    Records(tmp_path).merge()
    (file,) = (tmp_path / FOLDER).iterdir()
    assert Records(tmp_path).read() == before
    Records(tmp_path).merge()
    assert list((tmp_path / FOLDER).iterdir()) == [file]


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / FOLDER).touch()
    with pytest.raises(MachineError, match=r"\.prediction: cannot be written"):
        Records(tmp_path).add(Path("a"), Path("a.png"), STAMP, ["masks"])


def test_a_stamp_tells_a_file_from_what_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a"
    assert Stamp.of(path) == Stamp(-1, 0)
    path.write_bytes(b"12")
    stamp = Stamp.of(path)
    assert stamp == Stamp.of(path)
    os.utime(path, ns=(0, stamp.changed + 1))
    assert Stamp.of(path) == Stamp(2, stamp.changed + 1)


def test_all_take_the_number_that_was_said_first(tmp_path: Path) -> None:
    assert agreed(tmp_path, lambda: 500) == 500
    assert agreed(tmp_path, lambda: pytest.fail("is not asked")) == 500
    (tmp_path / FOLDER / "pixels_in_one_piece").write_bytes(b"")
    assert agreed(tmp_path, lambda: 700) == 700

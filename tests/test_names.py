"""Names from elsewhere: what may be written below a folder on every system."""

import unicodedata
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intarsia.errors import DataError
from intarsia.names import TakenNames, path_of_name


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../a", "leads out"),
        ("a/../b", "leads out"),
        ("a/..", "leads out"),
        ("/a", "absolute"),
        ("//server/share", "absolute"),
        ("C:/a", "absolute"),
        ("c:a", "absolute"),
        ("a\\b", "backslash"),
        ("..\\a", "backslash"),
        ("a\nb", "control"),
        ("a\0.png", "control"),
        ("a\x7f", "control"),
        ("a\udc80", "UTF-8"),
        (".. /a", "dot or a space"),
        ("a./b", "dot or a space"),
        ("é" * 128, "too long"),
        ("/".join(["folder"] * 150), "too long"),
    ],
)
def test_names_that_lead_elsewhere_or_nowhere(name, words):
    with pytest.raises(DataError, match=words):
        path_of_name(name)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a.png", "a.png"),
        ("./a//b/c.png", "a/b/c.png"),
        ("folder/", "folder"),
        (".hidden/..a/a..b", ".hidden/..a/a..b"),
        ("Straße/日本.png", "Straße/日本.png"),
        ("é" * 127, "é" * 127),
        ("./", "."),
        ("", "."),
    ],
)
def test_names_that_stay(name, path):
    assert path_of_name(name) == PurePosixPath(path)


@given(st.text(st.sampled_from("ab./\\: \n\0C"), max_size=12) | st.text(max_size=12))
def test_what_is_accepted_stays_below_its_folder(name):
    try:
        path = path_of_name(name)
    except DataError:
        return
    folder = Path("/some/folder")
    assert (folder / path).resolve().is_relative_to(folder)
    assert not path.is_absolute()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a.png", "a.png"),
        ("a.png", "A.PNG"),
        ("Straße", "STRASSE"),
        (unicodedata.normalize("NFC", "é.png"), unicodedata.normalize("NFD", "é.png")),
        ("folder/a", "FOLDER/A"),
        ("a", "a/b"),
        ("a", "A/b/c"),
        ("a/b", "a"),
    ],
)
def test_names_that_some_system_takes_for_one(first, second):
    taken = TakenNames()
    taken.add(PurePosixPath(first))
    with pytest.raises(DataError, match=r"is there already|which is a file"):
        taken.add(PurePosixPath(second))


def test_folders_may_stand_more_than_once_but_not_where_a_file_is():
    taken = TakenNames()
    for _ in range(2):
        taken.add(PurePosixPath("images"), folder=True)
    taken.add(PurePosixPath("images/a.png"))
    taken.add(PurePosixPath("Images/b.png"))
    with pytest.raises(DataError, match=r"'images/a.png': is there already"):
        taken.add(PurePosixPath("images/a.png"), folder=True)

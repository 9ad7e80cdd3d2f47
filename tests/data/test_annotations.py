"""What annotation files have in common: classes and their values, names, paths that stay inside."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intarsia.data.annotations import below, class_table, color_of, is_file, start_of, unique_names
from intarsia.errors import DataError


def test_classes_follow_the_background():
    labels, values = class_table(["road", "car", "road"])
    assert labels.names == ("background", "road", "car")
    assert labels.values == ((0,), (1,), (2,))
    assert labels.ignore == (255,)
    assert values == {"road": 1, "car": 2}


@pytest.mark.parametrize("name", ["background", "Background", "_background_", "__background__"])
def test_a_background_of_its_own_has_the_value_0(name):
    labels, values = class_table(["road", name, "car"], {"car": (1, 2, 3), "nothing": (4, 5, 6), name: (7, 8, 9)})
    assert labels.names == (name.strip("_"), "road", "car")
    assert values == {name: 0, "road": 1, "car": 2}
    assert (labels.colors[0], labels.colors[2]) == ((7, 8, 9), (1, 2, 3))


def test_two_words_for_the_background():
    labels, values = class_table(["_background_", "road", "background"])
    assert labels.names == ("background", "road")
    assert values == {"_background_": 0, "road": 1, "background": 0}


def test_what_is_void_counts_for_nothing():
    labels, values = class_table(["void", "road", "__ignore__"])
    assert labels.names == ("background", "road")
    assert values == {"road": 1, "void": 255, "__ignore__": 255}
    assert labels.ignore == (255,)


@pytest.mark.parametrize("number", [253, 254, 255, 300])
def test_many_classes_do_not_collide_with_what_is_ignored(number):
    labels, values = class_table([*map(str, range(number)), "void"])
    stored = np.array([[values[str(number - 1)], values["void"]]], dtype=np.uint16)
    assert labels.encode(stored).tolist() == [[number, labels.ignore_index]]
    assert values["void"] not in [value for own in labels.values for value in own]


def test_no_classes_but_the_background():
    assert class_table([])[0].names == ("background",)


NAMES = st.text("ab./", min_size=1, max_size=6).filter(lambda name: not name.endswith(("/", ".")))


@given(st.lists(NAMES, unique=True, max_size=8))
def test_names_are_unique_and_short_where_they_can_be(files):
    names = unique_names(files)
    assert len(set(names)) == len(files)
    for file, name in zip(files, names, strict=True):
        assert name in (file, file[: file.rindex(".")] if "." in file else file)


def test_names_without_suffix():
    files = ["a.jpg", "b.jpg", "b.png", "c", "c.jpg", "d/e.f.png", "x.v1/y"]
    assert unique_names(files) == ["a", "b.jpg", "b.png", "c", "c.jpg", "d/e.f", "x.v1/y"]


@pytest.mark.parametrize(
    ("name", "path"),
    [("a.jpg", "a.jpg"), ("b/./a.jpg", "b/a.jpg"), ("b\\a.jpg", "b/a.jpg"), ("a..jpg", "a..jpg"), ("...", "...")],
)
def test_paths_below(name, path):
    assert below(Path("/data"), name, Path("set.json")) == Path("/data") / path


@pytest.mark.parametrize(
    "name", ["", ".", "/", "/a", "..", "../a", "a/..", "a\\..\\..\\b", "C:a", "c:/a", "\\\\server\\a"]
)
def test_paths_that_are_not_below(name):
    with pytest.raises(DataError, match=r"^set\.json: names the file '.*': expected a path below its folder"):
        below(Path("/data"), name, Path("set.json"))


@pytest.mark.parametrize(
    ("written", "color"),
    [
        ("#804080", (128, 64, 128)),
        ("#ABcdef", (171, 205, 239)),
        ("804080", None),
        ("#fff", None),
        (None, None),
        (5, None),
    ],
)
def test_colors(written, color):
    assert color_of(written) == color


def test_files_that_are_none(tmp_path):
    (tmp_path / "a").write_bytes(b"\xff" + b"x" * 10000)
    assert is_file(tmp_path / "a")
    assert start_of(tmp_path / "a") == "\ufffd" + "x" * 8191
    for name in ("", "none", "n" * 5000, "a\0b", "a/b"):
        assert not is_file(tmp_path / name)
        assert start_of(tmp_path / name) == ""

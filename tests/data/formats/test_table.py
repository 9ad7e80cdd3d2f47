"""Tables of pairs: names of columns, paths, splits, and rows that do not hold."""

import re

import pytest

from intarsia.data.formats import open_format
from intarsia.data.index import find_dataset
from intarsia.errors import DataError
from tests.data.formats.layouts import names, save, scene, strays, write, write_table


@pytest.mark.parametrize("where", ["", "pairs.csv"])
def test_pairs_and_splits(tmp_path, where):
    write_table(tmp_path)
    write(tmp_path / "classes.txt", "ground\nroad\ncar\n")
    dataset = find_dataset(tmp_path / where)
    assert dataset.format == "csv"
    assert names(dataset) == {"train": ["a", "b", "c"], "val": ["d"]}
    assert dataset.names == ("ground", "road", "car")
    assert dataset.labels is None
    image, mask = dataset.split("val")[0].files
    assert (image, mask) == (tmp_path / "photos/d.jpg", tmp_path / "drawn/d-drawn.png")


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("image_path,label_path", "photos/a.jpg,drawn/a-drawn.png"),
        ("id;Filename;Annotation", "7;photos/a.jpg;drawn/a-drawn.png"),
        ("label\tfile_name\tmask", "car\tphotos/a.jpg\tdrawn/a-drawn.png"),
        ("img, mask", "./photos/a.jpg, drawn\\a-drawn.png"),
        ("image,mask", '"photos/a.jpg","{root}/photos/../drawn/a-drawn.png"'),
        ("\ufeffimage,mask", "photos/a.jpg,drawn/a-drawn.png"),
    ],
)
def test_columns_separators_and_paths(tmp_path, header, row):
    write_table(tmp_path)
    write(tmp_path / "pairs.csv", f"{header}\r\n{row.format(root=tmp_path)}\r\n\r\n")
    dataset = open_format(tmp_path)
    assert [pair.files for pair in dataset.split("train")] == [
        (tmp_path / "photos/a.jpg", tmp_path / "drawn/a-drawn.png")
    ]


def test_names_are_short_and_differ(tmp_path):
    lines = ["image,mask\n"]
    for folder, file in (("day", "a.jpg"), ("day", "a.png"), ("night", "a.jpg"), ("night/late", "b.jpg")):
        save(tmp_path / "photos" / folder / file, scene("a")[0])
        save(tmp_path / "drawn" / folder / f"{file}.png", scene("a")[1])
        lines.append(f"photos/{folder}/{file},drawn/{folder}/{file}.png\n")
    write(tmp_path / "pairs.csv", "".join(lines))
    dataset = open_format(tmp_path)
    assert names(dataset) == {"train": ["day/a.jpg", "day/a.png", "night/a", "night/late/b"]}


def test_rows_that_do_not_hold_are_named(tmp_path):
    write_table(tmp_path)
    save(tmp_path / "photos/e.jpg", scene("a")[0])
    text = (tmp_path / "pairs.csv").read_text()
    text += "photos/e.jpg,drawn/e-drawn.png,train\nphotos/f.jpg,drawn/a-drawn.png,train\n"
    text += "photos/a.jpg,drawn/b-drawn.png,train\nphotos/b.jpg,drawn/b-drawn.png,training\n"
    write(tmp_path / "pairs.csv", text)
    dataset = open_format(tmp_path)
    assert names(dataset) == {"train": ["b", "c"], "val": ["d"]}
    assert strays(dataset, tmp_path) == [
        ("missing-image", ["pairs.csv"]),
        ("ambiguous", ["drawn/a-drawn.png", "drawn/b-drawn.png"]),
        ("unpaired", ["photos/e.jpg"]),
    ]
    assert "(line 7: photos/f.jpg)" in dataset.strays[0].about


def test_names_that_no_file_can_have(tmp_path):
    write_table(tmp_path)
    long = "x" * 300
    with (tmp_path / "pairs.csv").open("a") as file:
        file.write(f"photos/{long}.jpg,drawn/a-drawn.png,train\n")
    save(tmp_path / "photos/e.jpg", scene("a")[0])
    with (tmp_path / "pairs.csv").open("a") as file:
        file.write(f"photos/e.jpg,drawn/{long}.png,train\n")
    dataset = open_format(tmp_path)
    assert names(dataset) == {"train": ["a", "b", "c"], "val": ["d"]}
    assert strays(dataset, tmp_path) == [("missing-image", ["pairs.csv"]), ("unpaired", ["photos/e.jpg"])]
    assert dataset.strays[0].about.endswith(f"(line 6: photos/{'x' * 73})")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,mask,split\na.jpg,a.png,dev\n", "pairs.csv, line 2: split 'dev': known are train, val, test"),
        ("image,mask,split\na.jpg,a.png,\n", "pairs.csv, line 2: split '': known are train, val, test"),
        ("image,mask\na.jpg,a.png\nb.jpg\n", "pairs.csv, line 3: 1 cells, but 2 columns"),
        ("image,mask\nphotos/x.jpg,drawn/x.png\n", "pairs.csv: no row names an image and a mask that exist"),
        ("image,mask\nphotos/a.jpg,drawn/x.png\n", "pairs.csv: no row names an image and a mask that exist"),
    ],
)
def test_what_is_refused(tmp_path, text, message):
    write_table(tmp_path)
    write(tmp_path / "pairs.csv", text)
    with pytest.raises(DataError, match=re.escape(message)):
        find_dataset(tmp_path)


def test_two_tables_or_none_are_no_choice(tmp_path):
    write_table(tmp_path)
    write(tmp_path / "more.csv", (tmp_path / "pairs.csv").read_text())
    write(tmp_path / "dataset.toml", 'format = "csv"')
    with pytest.raises(DataError, match=r"holds 2 .csv files with columns image and mask: give the one to open"):
        find_dataset(tmp_path)
    write(tmp_path / "dataset.toml", 'format = "csv"\npath = "photos/a.jpg"')
    with pytest.raises(DataError, match=r"a.jpg: "):
        find_dataset(tmp_path)

"""Hugging Face datasets: pictures in Parquet files, unpacked once."""

import os
import shutil
import sys

import numpy as np
import pyarrow as pa
import pytest

from intarsia.data.formats import huggingface, open_format
from intarsia.data.index import find_dataset, open_dataset
from intarsia.data.pairs import read_pair
from intarsia.errors import DataError, MachineError
from intarsia.labels import Labels
from tests.data.formats.annotated import cell, encoded, parquet, write_huggingface, write_json, write_parquet
from tests.data.formats.layouts import NAMES, names, save, scene, strays, write

LABELS = Labels.of_values([0, 1, 2])


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("INTARSIA_CACHE", str(folder))
    return folder / "huggingface"


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data set"


def assert_scene(pair, name):
    image, mask = read_pair(pair, LABELS)
    assert image.shape == scene(name)[0].shape
    np.testing.assert_array_equal(mask, scene(name)[1])


def test_as_pushed_to_the_hub(root):
    write_huggingface(root)
    dataset = find_dataset(root)
    assert dataset.format == "huggingface"
    assert dataset.root == root
    assert names(dataset) == {"train": ["0000000", "0000001", "0000002"], "val": ["0000000"]}
    assert dataset.names == ("ground", "road", "car")
    assert dataset.labels is None
    for pair, name in zip((*dataset.splits["train"], *dataset.splits["val"]), NAMES, strict=True):
        assert_scene(pair, name)
    assert dataset.strays == ()


def test_pictures_come_out_byte_for_byte(root):
    write_huggingface(root)
    pair = open_format(root).splits["train"][2]
    image, mask = scene("c")
    assert pair.image.read_bytes() == encoded(image, "JPEG")
    assert pair.mask.read_bytes() == encoded(mask)
    assert (pair.image.suffix, pair.mask.suffix) == (".jpg", ".png")


@pytest.mark.parametrize(
    ("file", "split"),
    [
        ("data/train-00000-of-00001-0123abcd.parquet", "train"),
        ("train.parquet", "train"),
        ("test-00000-of-00001.parquet", "test"),
        ("default/train/0000.parquet", "train"),
        ("validation/0000.parquet", "val"),
        ("default/valid/0000.PARQUET", "val"),
        ("0000.parquet", "train"),
        ("my own.parquet", "train"),
    ],
)
@pytest.mark.parametrize("given_as", ["folder", "file"])
def test_names_of_files(root, file, split, given_as):
    path = write_parquet(root / file, parquet("ab"))
    dataset = open_format(root if given_as == "folder" else path)
    if given_as == "file" and "0000.p" in file.lower():
        split = "train"  # its folder belongs to somebody else
    assert names(dataset) == {split: ["0000000", "0000001"]}


def test_as_saved_to_the_disk(root):
    for folder, of in {"train": "abc", "test": "d"}.items():
        (root / folder).mkdir(parents=True)
        table = parquet(of)
        path = root / folder / "data-00000-of-00001.arrow"
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
        shutil.copy(path, root / folder / "cache-0123456789abcdef.arrow")
        write_json(root / folder / "state.json", {})
    write_json(root / "dataset_dict.json", {"splits": ["train", "test"]})
    dataset = open_format(root)
    assert names(dataset) == {"train": ["0000000", "0000001", "0000002"], "test": ["0000000"]}
    for pair, name in zip((*dataset.splits["train"], *dataset.splits["test"]), NAMES, strict=True):
        assert_scene(pair, name)


def test_files_of_no_split_beside_those_of_splits(root):
    write_huggingface(root)
    write_parquet(root / "data/everything-00000-of-00001.parquet", parquet("abcd"))
    dataset = open_format(root)
    assert names(dataset) == {"train": ["0000000", "0000001", "0000002"], "val": ["0000000"]}
    assert strays(dataset, root) == [("unpaired", ["data/everything-00000-of-00001.parquet"])]


# --- unpacking ---------------------------------------------------------------------------------------------------


def test_the_second_time_nothing_is_read(root, cache):
    write_huggingface(root)
    first = open_format(root)
    for file in (root / "data").iterdir():
        state = file.stat()
        file.write_bytes(b"x" * state.st_size)
        os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert open_format(root) == first
    assert len(list(cache.iterdir())) == 2


def test_a_changed_file_is_unpacked_again(root, cache):
    write_huggingface(root)
    open_format(root)
    write_parquet(root / "data/validation-00000.parquet", parquet("bcd"))
    dataset = open_format(root)
    assert names(dataset)["val"] == ["0000000", "0000001", "0000002"]
    assert len(list(cache.iterdir())) == 3


def test_a_file_of_another_time_is_another_file(root, cache):
    path = write_parquet(root / "train.parquet", parquet("ab"))
    first = open_format(root)
    os.utime(path, ns=(0, 0))
    assert open_format(root).splits["train"][0].image != first.splits["train"][0].image
    assert len(list(cache.iterdir())) == 2


def test_what_fails_leaves_nothing_behind(root, cache):
    write_huggingface(root)
    content = (root / "data/train-00001-of-00002.parquet").read_bytes()
    (root / "data/train-00001-of-00002.parquet").write_bytes(content[:-50])
    with pytest.raises(DataError, match=r"train-00001-of-00002\.parquet: cannot be read: [^\n]+\.$"):
        open_format(root)
    assert list(cache.iterdir()) == []


def test_a_process_that_was_quicker(root, cache, monkeypatch):
    write_huggingface(root)
    expected = open_format(root)
    shutil.move(cache, cache.with_name("other"))
    unpack = huggingface._unpack

    def unpack_while_another_does(files, folder):
        unpack(files, folder)
        shutil.copytree(cache.with_name("other"), cache, dirs_exist_ok=True)

    monkeypatch.setattr(huggingface, "_unpack", unpack_while_another_does)
    assert open_format(root) == expected
    assert len(list(cache.iterdir())) == 2


def test_a_cache_that_cannot_be_written(root, cache):
    write_huggingface(root)
    cache.parent.write_text("a file")
    with pytest.raises(MachineError, match=r"cannot be written: .*name another folder in INTARSIA_CACHE"):
        open_format(root)


def test_without_pyarrow(root, monkeypatch):
    write_huggingface(root)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        MachineError, match=r"reading it needs pyarrow. Install it with `pip install intarsia\[parquet\]`"
    ):
        open_format(root)


# --- columns and cells -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("image", "label"),
        ("img", "Mask"),
        ("image", "segmentation_mask"),
        ("pixel_values", "labels"),
        ("image", "odd"),
    ],
)
def test_columns_are_found_by_name_and_kind(root, image, mask):
    write_parquet(root / "train.parquet", parquet("ab", image, mask))
    assert_scene(open_format(root).splits["train"][1], "b")


def test_of_several_pictures_the_mask_is_the_one_called_so(root):
    table = parquet("ab")
    table = table.add_column(0, "depth", table["image"])
    write_parquet(root / "train.parquet", table)
    assert_scene(open_format(root).splits["train"][1], "b")


def columns(**pictures):
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return pa.table({name: pa.array(cells, kind) for name, cells in pictures.items()})


PICTURE = cell(encoded(scene("a")[0]))
WRONG = {
    "no masks": (
        columns(image=[PICTURE]),
        r"its columns of pictures are image \(of image\): expected one of images",
    ),
    "no images": (columns(mask=[PICTURE]), r"its columns of pictures are mask \(of mask\): expected"),
    "too many": (
        columns(image=[PICTURE], a=[PICTURE], b=[PICTURE]),
        r"its columns of pictures are image, a, b \(of image, a, b\): expected",
    ),
    "no pictures": (
        pa.table({"image": ["a.jpg"], "mask": [b"x"]}),
        r"its columns of pictures are none \(of image, mask\): expected",
    ),
    "other structures": (
        pa.table({"image": [{"bytes": "x"}], "mask": [{"bytes": [1]}], "label": [[{"bytes": b"x"}]]}),
        r"its columns of pictures are none \(of image, mask, label\)",
    ),
    "paths only": (
        columns(image=[PICTURE, cell(None, "a.jpg")], mask=[PICTURE, PICTURE]),
        "row 1: image holds only the path of a picture. Save the dataset with its pictures embedded",
    ),
}


@pytest.mark.parametrize(("table", "message"), WRONG.values(), ids=WRONG)
def test_columns_that_cannot_be_used(root, table, message):
    write_parquet(root / "train.parquet", table)
    with pytest.raises(DataError, match=rf"train\.parquet: {message}"):
        open_format(root)


def test_rows_without_image_or_mask(root):
    nothing = cell(None)
    cells = {"image": [PICTURE, nothing, PICTURE, None], "mask": [PICTURE, PICTURE, nothing, None]}
    write_parquet(root / "train.parquet", columns(**cells))
    dataset = open_format(root)
    assert names(dataset) == {"train": ["0000000"]}
    (stray,) = dataset.strays
    assert [path.name for path in stray.paths] == ["0000001.png", "0000002.png"]


def test_no_row_with_both(root):
    write_parquet(root / "train.parquet", columns(image=[PICTURE], mask=[None]))
    with pytest.raises(DataError, match="no image has a mask of the same name"):
        open_format(root)


def test_what_is_no_picture_is_left_to_the_decoder(root):
    write_parquet(root / "train.parquet", columns(image=[cell(b"<html>")], mask=[PICTURE]))
    (pair,) = open_format(root).splits["train"]
    with pytest.raises(DataError, match=r"0000000\.png: is not a picture"):
        read_pair(pair, LABELS)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP"])
def test_suffixes_follow_the_content(root, kind):
    picture = cell(encoded(scene("a")[0], kind))
    write_parquet(root / "train.parquet", columns(image=[picture], mask=[PICTURE]))
    (pair,) = open_format(root).splits["train"]
    assert pair.image.suffix == {"PNG": ".png", "JPEG": ".jpg", "TIFF": ".tif", "BMP": ".bmp"}[kind]


@pytest.mark.parametrize("content", ["[]", '{"road": 1}', '{"0": 1}', "{"])
def test_class_names_that_cannot_be_used(root, content):
    write_huggingface(root)
    write(root / "id2label.json", content)
    with pytest.raises(DataError, match=r"id2label\.json: "):
        open_format(root)


# --- files -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no table" * 100])
def test_files_that_are_no_tables(root, content):
    for name in ("train.parquet", "data/train.arrow"):
        root.mkdir(exist_ok=True)
        path = root / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        with pytest.raises(DataError, match=rf"{path.name}: cannot be read: [^\n]+\.$"):
            open_format(root)
        path.unlink()


def test_what_is_no_table_is_not_recognised(root):
    save(root / "images/a.png", scene("a")[0])
    write(root / "far/below/train.parquet", "")
    (root / "train.parquet").mkdir()
    for name in ("", "train.parquet", "images/a.png", "none", "none.parquet"):
        assert not huggingface.recognise(root / name)
    with pytest.raises(DataError, match="holds no Parquet file"):
        huggingface.open_huggingface(root)


def test_val_is_drawn_where_there_is_none(root):
    write_parquet(root / "train.parquet", parquet("abcd"))
    assert set(open_dataset(root).splits) == {"train", "val"}

"""A mask for each class or object: which is on top, who is missing, and what is no such mask."""

import numpy as np
import pytest

from intarsia.data.formats import open_format
from intarsia.data.index import find_dataset
from intarsia.data.pairs import read_pair
from intarsia.errors import DataError
from tests.data.formats.layouts import (
    HEIGHT,
    WIDTH,
    names,
    save,
    scene,
    strays,
    write,
    write_class_files,
    write_class_folders,
    write_objects,
)

ALL = np.full((HEIGHT, WIDTH), 255, dtype=np.uint8)


@pytest.mark.parametrize("writer", [write_class_folders, write_class_files])
def test_classes_come_back(tmp_path, writer):
    writer(tmp_path)
    dataset = find_dataset(tmp_path)
    assert dataset.labels.names == ("background", "road", "vehicle")
    assert dataset.labels.values == ((0,), (1,), (2,))
    assert not dataset.strays
    pairs = [pair for of in dataset.splits.values() for pair in of]
    assert sorted(pair.name for pair in pairs) == ["a", "b", "c", "d"]
    for pair in pairs:
        np.testing.assert_array_equal(read_pair(pair, dataset.labels)[1], scene(pair.name)[1])
        assert len(pair.files) == 3


def test_class_files_with_splits_and_a_hyphen(tmp_path):
    write_class_files(tmp_path)
    for path in sorted((tmp_path / "masks").rglob("*_vehicle.png")):
        path.rename(path.with_name(path.name.replace("_", "-")))
    dataset = find_dataset(tmp_path)
    assert dataset.format == "class-files"
    assert names(dataset) == {"train": ["a", "b", "c"], "val": ["d"]}
    assert dataset.labels.names == ("background", "road", "vehicle")


def test_class_folders_with_splits(tmp_path):
    write_class_folders(tmp_path / "flat")
    for split, of in {"train": "abc", "val": "d"}.items():
        for name in of:
            for old, new in (
                ("images", f"images/{split}"),
                *((f"masks/{c}", f"masks/{split}/{c}") for c in ("road", "vehicle")),
            ):
                (tmp_path / new).mkdir(parents=True, exist_ok=True)
                file = next((tmp_path / "flat" / old).glob(f"{name}.*"))
                file.rename(tmp_path / new / file.name)
    dataset = find_dataset(tmp_path)
    assert dataset.format == "class-folders"
    assert names(dataset) == {"train": ["a", "b", "c"], "val": ["d"]}
    np.testing.assert_array_equal(read_pair(dataset.split("val")[0], dataset.labels)[1], scene("d")[1])


def test_a_missing_class_is_not_in_the_picture_and_masks_of_the_background_lie_below(tmp_path):
    write_class_folders(tmp_path)
    (tmp_path / "masks/vehicle/a.png").unlink()
    (tmp_path / "masks/road").rename(tmp_path / "masks/asphalt")
    for name in "ab":
        save(tmp_path / f"masks/background/{name}.png", ALL)
    dataset = open_format(tmp_path)
    assert dataset.labels.names == ("background", "asphalt", "vehicle")
    first, second = dataset.split("train")[:2]
    np.testing.assert_array_equal(read_pair(first, dataset.labels)[1], np.minimum(scene("a")[1], 1))
    np.testing.assert_array_equal(read_pair(second, dataset.labels)[1], scene("b")[1])


def test_the_longer_name_of_an_image_takes_a_mask(tmp_path):
    for name in ("a", "a_b"):
        save(tmp_path / f"images/{name}.png", scene("a")[0])
        for class_name in ("road", "big_car"):
            save(tmp_path / f"masks/{name}_{class_name}.png", ALL)
    dataset = open_format(tmp_path)
    assert dataset.labels.names == ("background", "big_car", "road")
    masks = {pair.name: [path.name for path in pair.files[1:]] for pair in dataset.split("train")}
    assert masks == {"a": ["a_big_car.png", "a_road.png"], "a_b": ["a_b_big_car.png", "a_b_road.png"]}


def test_strays_of_class_folders_are_named(tmp_path):
    write_class_folders(tmp_path)
    save(tmp_path / "images/e.jpg", scene("a")[0])
    save(tmp_path / "images/b.png", scene("b")[0])
    save(tmp_path / "masks/road/f.png", ALL)
    save(tmp_path / "masks/road/c.tif", ALL)
    write(tmp_path / "masks/.DS_Store")
    dataset = open_format(tmp_path)
    assert dataset.format == "class-folders"
    assert names(dataset) == {"train": ["a", "d"]}
    assert strays(dataset, tmp_path) == [
        ("junk", ["masks/.DS_Store"]),
        ("ambiguous", ["images/b.jpg", "images/b.png"]),
        ("ambiguous", ["masks/road/c.png", "masks/road/c.tif"]),
        ("unpaired", ["masks/road/f.png", "images/e.jpg"]),
    ]


def test_strays_of_class_files_are_named(tmp_path):
    write_class_files(tmp_path)
    save(tmp_path / "images/train/e.jpg", scene("a")[0])
    save(tmp_path / "masks/train/road.png", ALL)
    dataset = open_format(tmp_path)
    assert dataset.format == "class-files"
    assert strays(dataset, tmp_path) == [("unpaired", ["masks/train/road.png", "images/train/e.jpg"])]


@pytest.mark.parametrize(
    ("writer", "first"), [(write_class_folders, "road/a.png"), (write_class_files, "train/a_vehicle.png")]
)
def test_masks_of_many_values_are_no_masks_of_one_class(tmp_path, writer, first):
    writer(tmp_path)
    path = tmp_path / "masks" / first
    save(path, scene("a")[0])
    with pytest.raises(DataError, match=rf"{path}: holds 3 values, but a mask of one class holds two"):
        find_dataset(tmp_path)


def test_a_damaged_mask_is_left_to_the_doctor(tmp_path):
    write_class_folders(tmp_path)
    write(tmp_path / "masks/road/a.png", "no picture")
    assert len(open_format(tmp_path).split("train")) == 4


@pytest.mark.parametrize("name", ["class-folders", "class-files", "objects"])
def test_nothing_of_the_kind(tmp_path, name):
    write(tmp_path / "dataset.toml", f'format = "{name}"')
    save(tmp_path / "images/a.png", scene("a")[0])
    save(tmp_path / "masks/b.png", scene("a")[1])
    expected = r"ID/images/ID.png" if name == "objects" else r"no image has a mask of its name and a class"
    with pytest.raises(DataError, match=expected):
        find_dataset(tmp_path)


@pytest.mark.parametrize("where", ["", "stage1_train", "train"])
def test_objects_are_one_class(tmp_path, where):
    write_objects(tmp_path / where)
    dataset = open_format(tmp_path)
    assert dataset.format == "objects"
    assert names(dataset) == {"train": ["a01", "b01", "c01", "d01"]}
    assert dataset.labels.names == ("background", "object")
    for pair in dataset.split("train"):
        np.testing.assert_array_equal(read_pair(pair, dataset.labels)[1], scene(pair.name[0])[1] == 2)
        assert len(pair.files) == 3


def test_pictures_without_objects_and_splits_without_masks_are_named(tmp_path):
    write_objects(tmp_path / "stage1_train")
    for path in (tmp_path / "stage1_train/b01/masks").iterdir():
        path.unlink()
    (tmp_path / "stage1_train/c01/images/c01.png").rename(tmp_path / "stage1_train/c01/images/x.png")
    (tmp_path / "stage1_train/notes").mkdir()
    save(tmp_path / "stage1_test/e01/images/e01.png", scene("a")[0])
    dataset = open_format(tmp_path)
    assert names(dataset) == {"train": ["a01", "d01"]}
    assert strays(dataset, tmp_path) == [
        ("unpaired", ["stage1_train/b01", "stage1_train/c01"]),
        ("unpaired", ["stage1_test"]),
    ]

"""Ultralytics' YAML files: both kinds of labels, every way to name pictures, and what is refused."""

import re

import numpy as np
import pytest

from intarsia.data.formats import open_format
from intarsia.data.index import find_dataset
from intarsia.data.pairs import read_pair
from intarsia.errors import DataError
from tests.data.formats.layouts import NAMES, names, save, scene, strays, write, write_polygons, write_ultralytics

MASKS = "names: [ground, road, car]\nmasks_dir: masks\n"


@pytest.mark.parametrize("file", ["", "data.yaml"])
def test_masks(tmp_path, file):
    write_ultralytics(tmp_path)
    dataset = find_dataset(tmp_path / file)
    assert dataset.format == "ultralytics"
    assert names(dataset) == {"train": ["a", "b", "c"], "val": ["d"]}
    assert not dataset.strays
    assert dataset.labels.names == ("ground", "road", "car")
    assert dataset.labels.values == ((0,), (1,), (2,))
    assert dataset.labels.ignore == (255,)
    for pair in dataset.split("train"):
        image, mask = read_pair(pair, dataset.labels)
        np.testing.assert_array_equal(mask, scene(pair.name)[1])
        assert image.shape == (6, 8, 3)


def test_polygons_are_drawn_small_ones_on_top_and_the_rest_is_background(tmp_path):
    write_polygons(tmp_path)
    dataset = find_dataset(tmp_path)
    assert dataset.labels.names == ("background", "road", "car")
    assert dataset.labels.values == ((0,), (1,), (2,))
    assert names(dataset) == {"train": ["a", "b", "c"], "val": ["d"]}
    for pair in (*dataset.split("train"), *dataset.split("val")):
        np.testing.assert_array_equal(read_pair(pair, dataset.labels)[1], scene(pair.name)[1])
        assert pair.files[1].name == f"{pair.name}.txt"


def test_polygons_of_a_named_background_uncover_it(tmp_path):
    write_polygons(tmp_path)
    write(tmp_path / "data.yaml", "train: images/train\nval: images/val\nnames: [road, Background]\n")
    dataset = find_dataset(tmp_path)
    assert dataset.labels.names == ("Background", "road")
    assert dataset.labels.values == ((0,), (1,))
    for pair in dataset.split("train"):
        np.testing.assert_array_equal(read_pair(pair, dataset.labels)[1] == 1, scene(pair.name)[1] == 1)


def test_an_empty_label_file_is_all_background_and_none_is_no_partner(tmp_path):
    write_polygons(tmp_path)
    write(tmp_path / "labels/train/a.txt", "\n")
    (tmp_path / "labels/train/b.txt").unlink()
    write(tmp_path / "labels/train/classes.txt", "road\ncar\n")
    write(tmp_path / "labels/val/e.txt")
    dataset = find_dataset(tmp_path)
    assert names(dataset) == {"train": ["a", "c"], "val": ["d"]}
    assert not read_pair(dataset.split("train")[0], dataset.labels)[1].any()
    assert strays(dataset, tmp_path) == [("unpaired", ["images/train/b.jpg"]), ("unpaired", ["labels/val/e.txt"])]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.5 0.5 0.2 0.2", "line 2: a bounding box: that is detection"),
        ("0 0.1 0.1 0.2 0.2 0.3", "line 2: '0 0.1 0.1 0.2 0.2 0.3': expected a class and three or more points"),
        ("0 0.1 0.1 0.2 0.2", "line 2: a bounding box"),
        ("road 0 0 0 1 1 1", "line 2: 'road 0 0 0 1 1 1': expected a class"),
        ("0 0 0 0 x 1 1", "line 2: '0 0 0 0 x 1 1': expected numbers"),
        ("0 0 0 0 nan 1 1", "line 2: '0 0 0 0 nan 1 1': expected numbers"),
        ("0 0 0 0 48 64 1", "line 2: coordinates 0..64: expected shares from 0 to 1"),
        ("2 0 0 0 1 1 1", "class 2: the names end at 1"),
    ],
)
def test_what_is_no_polygon_is_refused_when_it_is_drawn(tmp_path, line, message):
    write_polygons(tmp_path)
    file = tmp_path / "labels/train/a.txt"
    write(file, f"0 0 0 0 1 1 1\n{line}\n")
    dataset = find_dataset(tmp_path)
    with pytest.raises(DataError, match=re.escape(f"{file}: {message}")):
        read_pair(dataset.split("train")[0], dataset.labels)


def test_a_dataset_of_boxes_is_refused_at_once(tmp_path):
    write_polygons(tmp_path)
    write(tmp_path / "labels/train/a.txt", "")
    write(tmp_path / "labels/train/b.txt", "\n0 0.5 0.5 0.2 0.2\n")
    with pytest.raises(DataError, match=r"labels/train/b.txt: line 2: a bounding box: that is detection"):
        find_dataset(tmp_path)


def test_label_mapping(tmp_path):
    write_ultralytics(tmp_path)
    text = "train: images/train\nval: images/val\nnames: {0: road, 1: car}\nmasks_dir: masks\nlabel_mapping:\n"
    write(tmp_path / "data.yaml", text + "  -1: ignore_label\n  0: ignore_label\n  1: 0\n  7: 1\n  2: 1\n  9: -1\n")
    labels = find_dataset(tmp_path).labels
    assert labels.names == ("road", "car")
    assert labels.values == ((1,), (7, 2))
    assert labels.ignore == (0, 9, 255)


def test_class_numbers_with_gaps_are_stored_values(tmp_path):
    write_ultralytics(tmp_path)
    write(tmp_path / "data.yaml", "train: images/train\nnames: {2: car, 0: no, 1: 12:30}\nmasks_dir: masks\n")
    labels = find_dataset(tmp_path).labels
    assert labels.names == ("no", "12:30", "car")
    assert labels.values == ((0,), (1,), (2,))


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("train: images/train\nval: images/val", {"train": ["a", "b", "c"], "val": ["d"]}),
        ("path: .\ntrain: [images/train, images/val]", {"train": ["train/a", "train/b", "train/c", "val/d"]}),
        ("path: {root}\ntrain: images/train", {"train": ["a", "b", "c"]}),
        ("path: elsewhere\ntrain: images/train", {"train": ["a", "b", "c"]}),
        ("train: ../images/train\nval: ../images/val\ntest:", {"train": ["a", "b", "c"], "val": ["d"]}),
        ("train: some.txt\ntest: images/val", {"train": ["a", "c"], "test": ["d"]}),
    ],
    ids=["folders", "several", "absolute", "beside the file", "as Roboflow writes it", "a list"],
)
def test_ways_to_name_pictures(tmp_path, split, expected):
    write_ultralytics(tmp_path)
    write(tmp_path / "some.txt", f"./images/train/a.jpg\n{tmp_path}/images/train/c.jpg\n\nimages/train/a.jpg\n")
    write(tmp_path / "data.yaml", f"{split.format(root=tmp_path)}\n{MASKS}")
    assert names(open_format(tmp_path)) == expected


def test_only_the_last_part_of_a_path_that_is_called_images_is_replaced(tmp_path):
    write_ultralytics(tmp_path / "images")
    assert names(find_dataset(tmp_path / "images")) == {"train": ["a", "b", "c"], "val": ["d"]}


def test_a_split_of_pictures_with_their_own_labels(tmp_path):
    """As Roboflow exports: train/images, train/labels."""
    write_polygons(tmp_path / "flat")
    for split in ("train", "val"):
        for kind in ("images", "labels"):
            (tmp_path / split).mkdir(exist_ok=True)
            (tmp_path / "flat" / kind / split).rename(tmp_path / split / kind)
    write(tmp_path / "data.yaml", "train: ../train/images\nval: ../val/images\nnc: 2\nnames: ['road', 'car']\n")
    assert names(find_dataset(tmp_path)) == {"train": ["a", "b", "c"], "val": ["d"]}


def test_strays_are_named(tmp_path):
    write_ultralytics(tmp_path)
    save(tmp_path / "images/train/e.png", scene("a")[0])
    save(tmp_path / "masks/train/f.png", scene("a")[1])
    save(tmp_path / "masks/train/b.tif", scene("a")[1])
    save(tmp_path / "images/val/d.png", scene("a")[0])
    write(tmp_path / "images/val/._d.png")
    write(tmp_path / "list.txt", "images/train/a.jpg\nimages/train/none.jpg\n")
    write(tmp_path / "data.yaml", f"train: images/train\nval: images/val\ntest: list.txt\n{MASKS}")
    dataset = open_format(tmp_path)
    assert names(dataset) == {"train": ["a", "c"], "test": ["a"]}
    assert sorted(strays(dataset, tmp_path)) == [
        ("ambiguous", ["images/val/d.jpg", "images/val/d.png"]),
        ("ambiguous", ["masks/train/b.png", "masks/train/b.tif"]),
        ("junk", ["images/val/._d.png"]),
        ("missing-image", ["list.txt"]),
        ("unpaired", ["images/train/e.png"]),
        ("unpaired", ["masks/train/f.png"]),
    ]
    assert any("images/train/none.jpg" in stray.about for stray in dataset.strays)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train: images/train\n", "names = None: expected the class names"),
        ("train: images/train\nnames: coco.names\n", "names = 'coco.names': expected the class names"),
        ("train: images/train\nnames: {road: 0}\n", "names has the class 'road': expected whole numbers"),
        ("train: images/train\nnames: [road]\nnc: 2\n", "nc = 2, but 1 classes have names"),
        ("train: images/train\nnames: [a, a, b]\nmasks_dir: masks\n", "Class names must differ: 'a' stands twice"),
        ("train: pictures\n" + MASKS, "train = pictures: does not exist. Looked for"),
        (
            "path: /nowhere\ntrain: images/train\n" + MASKS,
            "Looked for /nowhere/images/train. Correct it, or `path`",
        ),
        ("train: data.yaml\n" + MASKS, "data.yaml: expected a folder of pictures, or a .txt file"),
        ("train:\nval:\n" + MASKS, "no picture of train, val or test has a partner in a folder 'masks'"),
        ("train: images/train\nnames: [a]\nmasks_dir: elsewhere\n", "partner in a folder 'elsewhere'"),
        (
            "train: masks/train\n" + MASKS,
            "masks/train: has no part `images` that masks_dir = masks could stand for",
        ),
        ("train: images/train\n" + MASKS + "label_mapping: [1]\n", "label_mapping: expected `stored value: class`"),
        ("train: images/train\n" + MASKS + "label_mapping: {1: 7}\n", "label_mapping: 7 is no class of names"),
        (
            "train: images/train\n" + MASKS + "label_mapping: {1: 0}\n",
            "label_mapping: no stored value means 'road'",
        ),
    ],
)
def test_what_is_refused(tmp_path, text, message):
    write_ultralytics(tmp_path)
    write(tmp_path / "data.yaml", text)
    with pytest.raises(DataError, match=re.escape(message)) as refused:
        find_dataset(tmp_path / "data.yaml")
    assert str(tmp_path) in str(refused.value)


def test_two_files_in_a_folder_are_no_choice(tmp_path):
    write_ultralytics(tmp_path)
    write(tmp_path / "other.yml", (tmp_path / "data.yaml").read_text())
    assert find_dataset(tmp_path).format == "folders"
    write(tmp_path / "dataset.toml", 'format = "ultralytics"')
    with pytest.raises(DataError, match="holds 2 YAML files with `names` and `train` or `val`: give the one"):
        find_dataset(tmp_path)


def test_other_yaml_files_in_a_folder_say_nothing(tmp_path):
    write_ultralytics(tmp_path)
    write(tmp_path / "settings.yaml", "lr: 1\n")
    (tmp_path / "latin.yaml").write_bytes("names: straße\ntrain: x".encode("latin-1"))
    assert find_dataset(tmp_path).format == "ultralytics"
    assert len(NAMES) == len([pair for pairs in find_dataset(tmp_path).splits.values() for pair in pairs])

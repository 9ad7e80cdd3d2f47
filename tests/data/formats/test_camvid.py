"""CamVid in its three forms: which classes and which void each of them has."""

import numpy as np
import pytest

from intarsia.data.formats import open_format
from intarsia.data.index import find_dataset
from intarsia.data.pairs import read_pair
from intarsia.data.palettes import PALETTES
from intarsia.errors import DataError
from intarsia.labels import packed
from tests.data.formats.layouts import (
    CAMVID_COLORS,
    CAMVID_NAMES,
    in_colors,
    names,
    save,
    scene,
    strays,
    write,
    write_camvid,
    write_folders,
    write_kaggle,
    write_segnet,
)


def test_the_original(tmp_path):
    write_camvid(tmp_path)
    dataset = open_format(tmp_path)
    assert dataset.format == "camvid"
    assert names(dataset) == {"train": sorted(CAMVID_NAMES.values())}
    assert dataset.labels.names == tuple(PALETTES["camvid"].colors)
    assert dataset.labels.ignore == (0,)
    first = next(pair for pair in dataset.split("train") if pair.name == CAMVID_NAMES["a"])
    mask = read_pair(first, dataset.labels)[1]
    wanted = np.array([255, dataset.labels.names.index("Road"), dataset.labels.names.index("Car")])
    np.testing.assert_array_equal(mask, wanted[scene("a")[1]])


def test_the_list_of_colours_beside_it_counts(tmp_path):
    write_camvid(tmp_path)
    write(tmp_path / "label_colors.txt", "0 0 0\tVoid\n128 64 128\tRoad\n64 0 128\t\tCar\n")
    labels = find_dataset(tmp_path).labels
    assert labels.names == ("Road", "Car")
    assert labels.values == ((packed(CAMVID_COLORS["Road"]),), (packed(CAMVID_COLORS["Car"]),))
    assert labels.ignore == (0,)


def test_kaggles(tmp_path):
    write_kaggle(tmp_path)
    dataset = find_dataset(tmp_path)
    assert dataset.format == "camvid"
    expected = {
        "train": [CAMVID_NAMES["a"], CAMVID_NAMES["b"]],
        "val": [CAMVID_NAMES["c"]],
        "test": [CAMVID_NAMES["d"]],
    }
    assert names(dataset) == expected
    assert dataset.labels.names == ("Road", "Car")
    assert dataset.labels.ignore == (0,)
    np.testing.assert_array_equal(
        read_pair(dataset.split("val")[0], dataset.labels)[1], np.array([255, 0, 1])[scene("c")[1]]
    )


def test_kaggles_layout_of_other_sets(tmp_path):
    for name in "ab":
        image, mask = scene(name)
        save(tmp_path / f"train/{name}.tif", image)
        save(tmp_path / f"train_labels/{name}.tif", in_colors(mask % 2, {"no": (0, 0, 0), "yes": (255, 255, 255)}))
    write(tmp_path / "label_class_dict.csv", "name,r,g,b\nbackground,0,0,0\nbuilding,255,255,255\n")
    dataset = open_format(tmp_path)
    assert names(dataset) == {"train": ["a", "b"]}
    assert dataset.labels.names == ("background", "building")


def test_segnets_has_names_and_leaves_void_to_the_doctor(tmp_path):
    write_segnet(tmp_path)
    dataset = find_dataset(tmp_path)
    assert dataset.format == "camvid"
    assert {split: len(pairs) for split, pairs in dataset.splits.items()} == {"train": 2, "val": 1, "test": 1}
    assert len(dataset.names) == 11
    assert dataset.names[3] == "road"
    assert dataset.labels is None
    assert dataset.ignore == ()


@pytest.mark.parametrize("masks", ["masks", "labels"])
def test_segnets_in_folders_of_images_and_masks(tmp_path, masks):
    write_segnet(tmp_path)
    for split in ("train", "val"):
        for old, new in ((split, f"images/{split}"), (f"{split}annot", f"{masks}/{split}")):
            (tmp_path / new).parent.mkdir(exist_ok=True)
            (tmp_path / old).rename(tmp_path / new)
    dataset = find_dataset(tmp_path)
    assert dataset.format == "camvid"
    assert len(dataset.names) == 11


def test_segnets_in_colours_has_those_of_the_original(tmp_path):
    write_segnet(tmp_path)
    for name, own in CAMVID_NAMES.items():
        for split in ("train", "val", "test"):
            if (path := tmp_path / f"{split}annot/{own}.png").exists():
                save(path, in_colors(scene(name)[1], CAMVID_COLORS))
    dataset = find_dataset(tmp_path)
    assert dataset.names == ()
    assert dataset.known_colors == PALETTES["camvid"].colors


def test_a_class_list_of_ones_own_comes_first(tmp_path):
    write_segnet(tmp_path)
    write(tmp_path / "classes.txt", "nothing\nroad\ncar\n")
    assert find_dataset(tmp_path).names == ("nothing", "road", "car")


def test_one_foreign_name_makes_plain_folders(tmp_path):
    write_segnet(tmp_path)
    save(tmp_path / "train/mine.png", scene("a")[0])
    assert find_dataset(tmp_path).format == "folders"
    write_folders(tmp_path / "other")
    assert find_dataset(tmp_path / "other").format == "folders"


def test_strays_are_named(tmp_path):
    write_kaggle(tmp_path)
    save(tmp_path / "train/0001TP_000001.png", scene("a")[0])
    save(tmp_path / "train_labels/0001TP_000002_L.png", scene("a")[1])
    save(tmp_path / f"val_labels/{CAMVID_NAMES['c']}.png", scene("c")[1])
    write(tmp_path / "train/._x.png")
    dataset = open_format(tmp_path)
    assert strays(dataset, tmp_path) == [
        ("junk", ["train/._x.png"]),
        ("unpaired", ["train/0001TP_000001.png", "train_labels/0001TP_000002_L.png"]),
        ("ambiguous", [f"val_labels/{CAMVID_NAMES['c']}.png", f"val_labels/{CAMVID_NAMES['c']}_L.png"]),
    ]
    assert "val" not in dataset.splits


def test_nothing_to_pair(tmp_path):
    write_camvid(tmp_path)
    for path in (tmp_path / "LabeledApproved_full").iterdir():
        path.rename(path.with_stem(path.stem + "x"))
    with pytest.raises(DataError, match="no image has a mask of its name, or NAME_L"):
        find_dataset(tmp_path)

"""Cityscapes and ADE20K: ids, what is ignored, and splits without masks."""

import numpy as np
import pytest

from intarsia.data.formats import open_format
from intarsia.data.index import find_dataset
from intarsia.data.pairs import read_pair
from intarsia.data.palettes import ADE20K_NAMES
from intarsia.errors import DataError
from tests.data.formats.layouts import names, save, scene, strays, write, write_ade20k, write_cityscapes


def test_cityscapes_ids(tmp_path):
    write_cityscapes(tmp_path)
    dataset = find_dataset(tmp_path)
    assert dataset.format == "cityscapes"
    assert names(dataset) == {"train": ["ulm/a", "ulm/b"], "val": ["ulm/c"]}
    labels = dataset.labels
    assert len(labels) == 19
    assert labels.names[13] == "car"
    assert labels.values[13] == (26,)
    assert labels.colors[13] == (0, 0, 142)
    assert {value for own in labels.values for value in own} | set(labels.ignore) == {*range(34), 255}
    np.testing.assert_array_equal(
        read_pair(dataset.split("val")[0], labels)[1], np.array([255, 0, 13])[scene("c")[1]]
    )


def test_the_dummies_of_the_test_split_are_left_out_and_said(tmp_path):
    write_cityscapes(tmp_path)
    (stray,) = find_dataset(tmp_path).strays
    assert (stray.finding, stray.paths) == ("unpaired", (tmp_path / "leftImg8bit/test",))
    assert "no masks of Cityscapes' test pictures are published" in stray.about


def test_splits_of_ones_own_stay(tmp_path):
    write_cityscapes(tmp_path)
    for kind in ("leftImg8bit", "gtFine"):
        (tmp_path / kind / "test/berlin").rename(tmp_path / kind / "test/paris")
        (tmp_path / kind / "val/ulm").rename(tmp_path / kind / "val/berlin")
    dataset = find_dataset(tmp_path)
    assert names(dataset) == {"train": ["ulm/a", "ulm/b"], "val": ["berlin/c"], "test": ["paris/d"]}
    assert not dataset.strays


def test_train_ids_where_there_are_no_ids(tmp_path):
    write_cityscapes(tmp_path)
    for path in sorted((tmp_path / "gtFine").rglob("*_labelIds.png")):
        name = path.name[0]
        path.unlink()
        save(path.with_name(f"{name}_gtFine_labelTrainIds.png"), np.array([255, 0, 13], np.uint8)[scene(name)[1]])
    dataset = find_dataset(tmp_path)
    assert dataset.labels.values[13] == (13,)
    assert dataset.labels.ignore == (255,)
    np.testing.assert_array_equal(
        read_pair(dataset.split("val")[0], dataset.labels)[1], np.array([255, 0, 13])[scene("c")[1]]
    )


def test_cityscapes_strays_are_named(tmp_path):
    write_cityscapes(tmp_path)
    (tmp_path / "gtFine/train/ulm/b_gtFine_labelIds.png").unlink()
    save(tmp_path / "gtFine/train/ulm/e_gtFine_labelIds.png", scene("a")[1])
    (tmp_path / "gtFine/val").rename(tmp_path / "gtFine/dev")
    dataset = open_format(tmp_path)
    assert names(dataset) == {"train": ["ulm/a"]}
    assert strays(dataset, tmp_path) == [
        ("unpaired", ["leftImg8bit/val"]),
        ("unpaired", ["leftImg8bit/test"]),
        ("unpaired", ["leftImg8bit/train/ulm/b_leftImg8bit.png", "gtFine/train/ulm/e_gtFine_labelIds.png"]),
    ]


def test_cityscapes_without_pairs(tmp_path):
    (tmp_path / "leftImg8bit").mkdir()
    (tmp_path / "gtFine").mkdir()
    with pytest.raises(DataError, match=r"has no pairs of leftImg8bit/SPLIT/CITY/NAME_leftImg8bit.png and gtFine/"):
        find_dataset(tmp_path)


@pytest.mark.parametrize("where", ["", "ADEChallengeData2016"])
def test_ade20k(tmp_path, where):
    write_ade20k(tmp_path / where)
    dataset = find_dataset(tmp_path)
    assert dataset.format == "ade20k"
    assert dataset.root == tmp_path
    assert {split: len(pairs) for split, pairs in dataset.splits.items()} == {"train": 3, "val": 1}
    labels = dataset.labels
    assert labels.names == ADE20K_NAMES
    assert (labels.values[0], labels.values[149]) == ((1,), (150,))
    assert labels.ignore == (0, 255)
    np.testing.assert_array_equal(
        read_pair(dataset.split("val")[0], labels)[1], np.array([255, 6, 20])[scene("d")[1]]
    )


def test_ade20k_strays_are_named_and_other_names_are_not_ade20k(tmp_path):
    write_ade20k(tmp_path)
    (tmp_path / "annotations/training/ADE_train_00000001.png").unlink()
    assert strays(open_format(tmp_path), tmp_path) == [("unpaired", ["images/training/ADE_train_00000001.jpg"])]
    save(tmp_path / "images/training/mine.jpg", scene("a")[0])
    assert find_dataset(tmp_path).format == "folders"


def test_ade20k_is_not_there(tmp_path):
    write(tmp_path / "dataset.toml", 'format = "ade20k"')
    with pytest.raises(DataError, match="expected images/ and annotations/, each with training/ and validation/"):
        find_dataset(tmp_path)

"""Oxford-IIIT Pet: its lists, its values, and what lies about in its archive."""

import numpy as np
import pytest

from intarsia.data.formats import open_format
from intarsia.data.index import find_dataset
from intarsia.data.pairs import read_pair
from intarsia.errors import DataError
from tests.data.formats.layouts import names, save, scene, strays, write, write_pet


@pytest.mark.parametrize("where", ["", "oxford-iiit-pet"])
def test_values_and_lists(tmp_path, where):
    write_pet(tmp_path / where)
    dataset = open_format(tmp_path)
    assert dataset.format == "pet"
    assert names(dataset) == {"train": ["Abyssinian_1", "Bengal_3", "beagle_12"], "test": ["pug_45"]}
    assert dataset.labels.names == ("background", "pet")
    assert dataset.labels.values == ((2,), (1,))
    assert dataset.labels.ignore == (3, 255)
    expected = np.array([0, 255, 1])[scene("d")[1]]
    np.testing.assert_array_equal(read_pair(dataset.split("test")[0], dataset.labels)[1], expected)
    assert [(stray.finding, len(stray.paths)) for stray in dataset.strays] == [("junk", 4)]


def test_a_validation_split_is_drawn(tmp_path):
    write_pet(tmp_path)
    dataset = find_dataset(tmp_path)
    assert dataset.drawn
    assert len(dataset.split("train")) + len(dataset.split("val")) == 3


def test_strays_are_named(tmp_path):
    write_pet(tmp_path)
    (tmp_path / "annotations/trimaps/beagle_12.png").unlink()
    save(tmp_path / "annotations/trimaps/boxer_7.png", scene("a")[1])
    save(tmp_path / "images/boxer_7.jpg", scene("a")[0])
    write(tmp_path / "annotations/test.txt", "pug_45 1 1 1\npug_46 1 1 1\n")
    dataset = open_format(tmp_path)
    assert names(dataset) == {"train": ["Abyssinian_1", "Bengal_3"], "test": ["pug_45"]}
    assert strays(dataset, tmp_path)[1:] == [
        ("unpaired", ["images/beagle_12.jpg"]),
        ("missing-image", ["annotations/test.txt"]),
        ("unpaired", ["annotations/trimaps/boxer_7.png"]),
    ]


def test_what_is_refused(tmp_path):
    write(tmp_path / "dataset.toml", 'format = "pet"')
    with pytest.raises(DataError, match=r"expected images/, annotations/trimaps/ and annotations/trainval.txt"):
        find_dataset(tmp_path)
    write_pet(tmp_path)
    for split in ("trainval", "test"):
        write(tmp_path / f"annotations/{split}.txt", "boxer_1\n")
    with pytest.raises(DataError, match=r"no picture that trainval.txt, test.txt list has a mask"):
        find_dataset(tmp_path)

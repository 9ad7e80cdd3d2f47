"""nnU-Net: both ways of naming classes, and what of it cannot be read."""

import json
import shutil

import numpy as np
import pytest

from intarsia.data.formats import nnunet, open_format
from intarsia.data.index import find_dataset, open_dataset
from intarsia.data.pairs import read_pair
from intarsia.errors import DataError
from tests.data.formats.annotated import write_json, write_nnunet
from tests.data.formats.layouts import names, save, scene, strays, write


@pytest.fixture
def declared(tmp_path):
    """Writes the layout with another dataset.json."""
    write_nnunet(tmp_path)

    def write_declared(**changes):
        content = json.loads((tmp_path / "dataset.json").read_text()) | changes
        write_json(tmp_path / "dataset.json", {key: value for key, value in content.items() if value is not None})
        return tmp_path

    return write_declared


def test_the_layout(tmp_path):
    write_nnunet(tmp_path)
    dataset = find_dataset(tmp_path)
    assert dataset.format == "nnunet"
    assert names(dataset)["test"] == ["d"]
    assert sorted(names(dataset)["train"] + names(dataset)["val"]) == ["a", "b", "c"]
    assert dataset.labels.names == ("background", "road", "car")
    assert dataset.labels.values == ((0,), (1,), (2,))
    assert dataset.labels.ignore == (3, 255)
    assert dataset.strays == ()
    (pair,) = dataset.splits["test"]
    assert pair.files == (tmp_path / "imagesTs/d_0000.png", tmp_path / "labelsTs/d.png")
    image, mask = read_pair(pair, dataset.labels)
    np.testing.assert_array_equal(image, scene("d")[0])
    np.testing.assert_array_equal(mask, scene("d")[1])


def test_the_old_way_round(declared):
    dataset = open_format(declared(labels={"0": "background", "2": "car", "1": "road"}, file_ending=None))
    assert dataset.labels.names == ("background", "road", "car")
    assert dataset.labels.values == ((0,), (1,), (2,))


def test_classes_stand_in_the_order_of_their_values(declared):
    dataset = open_format(declared(labels={"car": 2, "Ignore": 0, "road": "1"}))
    assert dataset.labels.names == ("road", "car")
    assert dataset.labels.ignore == (0, 255)


def test_test_images_without_labels_are_not_used(tmp_path, declared):
    shutil.rmtree(tmp_path / "labelsTs")
    dataset = open_format(declared())
    assert names(dataset) == {"train": ["a", "b", "c"]}
    assert dataset.strays == ()
    assert set(open_dataset(tmp_path).splits) == {"train", "val"}


@pytest.mark.parametrize("name", ["my case", "häuser", "case_0001_x", "1.2.840", "two\nlines"])
def test_names_of_cases(tmp_path, name):
    image, mask = scene("a")
    save(tmp_path / f"imagesTr/{name}_0000.tif", image)
    save(tmp_path / f"labelsTr/{name}.tif", mask)
    write_json(tmp_path / "dataset.json", {"labels": {"background": 0, "road": 1}, "file_ending": ".tif"})
    assert names(open_format(tmp_path)) == {"train": [name]}


def test_what_has_no_partner(tmp_path):
    write_nnunet(tmp_path)
    (tmp_path / "imagesTr/a_0000.png").unlink()
    save(tmp_path / "imagesTr/e_0000.png", scene("a")[0])
    save(tmp_path / "imagesTr/f.png", scene("a")[0])
    dataset = open_format(tmp_path)
    assert names(dataset)["train"] == ["b", "c"]
    assert strays(dataset, tmp_path) == [
        ("unpaired", ["imagesTr/f.png"]),
        ("unpaired", ["labelsTr/a.png", "imagesTr/e_0000.png"]),
    ]
    assert "such as _0000" in dataset.strays[0].about


def test_no_pair_at_all(tmp_path):
    write_nnunet(tmp_path)
    shutil.rmtree(tmp_path / "labelsTr")
    message = (
        r"no image in imagesTr/ has a mask in labelsTr/\. Expected imagesTr/CASE_0000\.png and labelsTr/CASE\.png"
    )
    with pytest.raises(DataError, match=message):
        open_format(tmp_path)


def test_several_channels_are_refused(tmp_path):
    write_nnunet(tmp_path)
    save(tmp_path / "imagesTr/b_0001.png", scene("a")[0])
    with pytest.raises(
        DataError, match=r"imagesTr/b_0001\.png: holds channel 1 of 'b': .* one TIFF of several bands"
    ):
        open_format(tmp_path)


def test_volumes_are_refused(tmp_path, declared):
    with pytest.raises(
        DataError, match=r"dataset\.json: file_ending is '\.nii\.gz': only pictures of two dimensions"
    ):
        open_format(declared(file_ending=".nii.gz"))
    declared(file_ending=None)
    for file in (tmp_path / "imagesTr").iterdir():
        file.rename(file.with_suffix(".nii.gz"))
    with pytest.raises(DataError, match=r"dataset\.json: imagesTr/ holds no pictures: only pictures of two"):
        open_format(tmp_path)


WRONG = {
    "regions": ({"whole": [1, 2], "core": 2}, r"labels\.whole is \[1, 2\]: regions of several values overlap"),
    "a text": ({"background": 0, "road": "one"}, r"labels\.road is 'one': expected a stored value, 0 to 65535"),
    "a fraction": ({"background": 0, "road": 1.5}, r"labels\.road is 1\.5: expected"),
    "true": ({"background": 0, "road": True}, r"labels\.road is True: expected"),
    "a negative value": ({"background": 0, "road": -1}, r"labels\.road is -1: expected"),
    "nothing": ({"background": None}, r"labels\.background is None: expected"),
    "too large": ({"background": 0, "road": 65536}, r"labels: Stored value 65536 of a class"),
    "one value twice": ({"a": 1, "b": 1}, r"labels: Stored value 1 has two meanings"),
    "one name twice": ({"0": "a", "1": "a"}, "labels: two values have one name"),
    "none": ({}, "labels: No classes"),
    "a list": (["a", "b"], r"labels is \['a', 'b'\]: input should be a valid dictionary"),
    "a blank name": ({"": 1}, r"labels\.\.\[key\] is '': input should be a name"),
    "missing": (None, "labels is missing"),
}


@pytest.mark.parametrize(("labels", "message"), WRONG.values(), ids=WRONG)
def test_wrong_labels_name_file_and_key(declared, labels, message):
    with pytest.raises(DataError, match=rf"dataset\.json: {message}"):
        open_format(declared(labels=labels))


@pytest.mark.parametrize("content", ["", "{", "[]", "null"])
def test_files_that_are_no_dataset(tmp_path, content):
    write_nnunet(tmp_path)
    write(tmp_path / "dataset.json", content)
    with pytest.raises(DataError, match=r"dataset\.json: "):
        open_format(tmp_path)


def test_what_is_not_nnunet_is_not_recognised(tmp_path):
    write(tmp_path / "dataset.json", "{}")
    assert not nnunet.recognise(tmp_path)
    assert not nnunet.recognise(tmp_path / "dataset.json")
    (tmp_path / "imagesTr").mkdir()
    assert nnunet.recognise(tmp_path)
    (tmp_path / "dataset.json").unlink()
    (tmp_path / "dataset.json").mkdir()
    assert not nnunet.recognise(tmp_path)

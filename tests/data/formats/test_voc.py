"""Pascal VOC's layout: the challenge's own, CVAT's and labelme's exports, lists and what is missing of them."""

import shutil

import numpy as np
import pytest
from PIL import Image

from intarsia.data.formats import open_format
from intarsia.data.index import find_dataset
from intarsia.data.pairs import read_pair
from intarsia.data.palettes import PALETTES
from intarsia.errors import DataError
from tests.data.formats.layouts import (
    NAMES,
    VOC_NAMES,
    names,
    save,
    scene,
    strays,
    write,
    write_cvat_masks,
    write_voc,
)

OWN = {name: f"{name}1" for name in NAMES}  # names that are not VOC's


def test_the_challenge(tmp_path):
    write_voc(tmp_path)
    dataset = find_dataset(tmp_path)
    assert dataset.format == "voc"
    assert names(dataset) == {"train": ["2007_000032", "2008_000123", "2011_002345"], "val": ["2007_000039"]}
    assert not dataset.strays
    assert dataset.labels.names == tuple(PALETTES["voc"].colors)
    assert dataset.labels.values == tuple((value,) for value in range(21))
    assert dataset.labels.colors[15] == (192, 128, 128)
    assert dataset.labels.ignore == (255,)
    expected = scene("a")[1]
    expected[0, 0] = 255
    np.testing.assert_array_equal(read_pair(dataset.split("train")[0], dataset.labels)[1], expected)


@pytest.mark.parametrize("where", ["VOC2012", "VOCdevkit/VOC2012", "trainval/own"])
def test_the_folder_may_lie_deeper(tmp_path, where):
    write_voc(tmp_path / where)
    if where.startswith("trainval"):
        assert find_dataset(tmp_path / "trainval").format == "voc"
    else:
        assert find_dataset(tmp_path).format == "voc"


def test_two_such_folders_are_no_choice(tmp_path):
    for year in ("VOC2007", "VOC2012"):
        write_voc(tmp_path / "VOCdevkit" / year)
    write(tmp_path / "dataset.toml", 'format = "voc"')
    with pytest.raises(DataError, match=r"holds 2 folders with JPEGImages/ and SegmentationClass/: give the one"):
        find_dataset(tmp_path)
    shutil.rmtree(tmp_path / "VOCdevkit")
    with pytest.raises(DataError, match="holds no folders with JPEGImages/"):
        find_dataset(tmp_path)


def test_colour_masks_of_the_challenge(tmp_path):
    write_voc(tmp_path)
    for path in (tmp_path / "SegmentationClass").iterdir():
        with Image.open(path) as mask:
            colors = mask.convert("RGB")
        colors.putpixel((0, 0), (224, 224, 192))
        colors.save(path)
    labels = find_dataset(tmp_path).labels
    assert labels.encoding == "colors"
    assert labels.names == tuple(PALETTES["voc"].colors)
    assert labels.ignore == (0xE0E0C0,)


def test_other_pictures_have_no_classes_of_voc(tmp_path):
    write_voc(tmp_path, OWN)
    assert find_dataset(tmp_path).labels is None
    assert find_dataset(tmp_path).names == ()


def test_an_export_of_cvat(tmp_path):
    write_cvat_masks(tmp_path)
    dataset = open_format(tmp_path)
    assert names(dataset) == {"train": ["my a", "my b", "my c", "my d"]}
    assert dataset.labels.names == ("ground", "road", "car")
    assert dataset.labels.values == ((0,), (0x804080,), (0x00008E,))
    np.testing.assert_array_equal(read_pair(dataset.split("train")[0], dataset.labels)[1], scene("a")[1])


def test_a_labelmap_counts_index_masks_by_its_order_and_its_void_counts_for_nothing(tmp_path):
    write_voc(tmp_path, OWN)
    write(tmp_path / "labelmap.txt", "ignored:224,224,192::\nground:0,0,0::\nroad:128,64,128::\n")
    labels = find_dataset(tmp_path).labels
    assert labels.names == ("ground", "road")
    assert labels.values == ((1,), (2,))
    assert labels.colors == ((0, 0, 0), (128, 64, 128))
    assert labels.ignore == (0, 255)


def test_an_export_of_labelme(tmp_path):
    """Masks in SegmentationClassPNG, arrays in SegmentationClass, names in class_names.txt, no lists."""
    for name in NAMES:
        image, mask = scene(name)
        save(tmp_path / f"JPEGImages/{name}.jpg", image)
        save(tmp_path / f"SegmentationClassPNG/{name}.png", mask)
        write(tmp_path / f"SegmentationClass/{name}.npy")
    save(tmp_path / "JPEGImages/e.jpg", scene("a")[0])
    write(tmp_path / "class_names.txt", "_background_\nroad\ncar\n")
    dataset = open_format(tmp_path)
    assert names(dataset) == {"train": ["a", "b", "c", "d"]}
    assert dataset.labels.names == ("_background_", "road", "car")
    assert dataset.labels.values == ((0,), (1,), (2,))
    assert strays(dataset, tmp_path) == [("unpaired", ["JPEGImages/e.jpg"])]


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ({"trainval": "abc", "test": "d"}, {"train": "abc", "test": "d"}),
        ({"Train": "ab", "Validation": "c"}, {"train": "ab", "val": "c"}),
        ({"train": "ab", "trainval": "abcd", "person_train": "a"}, {"train": "ab"}),
        ({"val": "ab", "default": "cd"}, {"train": "cd", "val": "ab"}),
    ],
)
def test_lists(tmp_path, lists, expected):
    write_voc(tmp_path)
    shutil.rmtree(tmp_path / "ImageSets")
    for split, of in lists.items():
        write(tmp_path / f"ImageSets/Segmentation/{split}.txt", "".join(f"{VOC_NAMES[name]}  1\n" for name in of))
    found = names(open_format(tmp_path))
    assert found == {split: sorted(VOC_NAMES[name] for name in of) for split, of in expected.items()}


def test_unknown_lists_are_refused(tmp_path):
    write_voc(tmp_path)
    shutil.rmtree(tmp_path / "ImageSets")
    write(tmp_path / "ImageSets/Segmentation/fold1.txt", "2007_000032\n")
    with pytest.raises(
        DataError, match=r"Segmentation: has the lists fold1: known are train.txt, val.txt, test.txt"
    ):
        find_dataset(tmp_path)


def test_what_lists_name_and_is_not_there(tmp_path):
    write_voc(tmp_path)
    lists = tmp_path / "ImageSets/Segmentation"
    write(lists / "train.txt", "2007_000032\n2008_000123\n2009_000009\n2010_000001\n")
    write(lists / "test.txt", "2012_000001\n")
    (tmp_path / "SegmentationClass/2008_000123.png").unlink()
    save(tmp_path / "SegmentationClass/2010_000001.png", scene("a")[1])
    save(tmp_path / "JPEGImages/2007_000039.png", scene("a")[0])
    dataset = open_format(tmp_path)
    assert names(dataset) == {"train": ["2007_000032"]}
    assert strays(dataset, tmp_path) == [
        ("unpaired", ["JPEGImages/2008_000123.jpg", "SegmentationClass/2010_000001.png"]),
        ("missing-image", ["ImageSets/Segmentation/train.txt"]),
        ("ambiguous", ["JPEGImages/2007_000039.jpg", "JPEGImages/2007_000039.png"]),
        ("unpaired", ["ImageSets/Segmentation/test.txt"]),
        ("unpaired", ["SegmentationClass/2011_002345.png"]),
    ]
    assert [stray.about for stray in dataset.strays if stray.about] == [
        "names in a list without a picture (2009_000009)",
        "two images of one name",
        "a list of pictures of which none has a mask",
        "masks that no list of a split names",
    ]


def test_nothing_to_pair(tmp_path):
    write_voc(tmp_path)
    shutil.rmtree(tmp_path / "SegmentationClass")
    (tmp_path / "SegmentationClass").mkdir()
    with pytest.raises(DataError, match="no picture in JPEGImages/ that counts has a mask of its name"):
        find_dataset(tmp_path)

"""Plain folders: every layout is found, and every stray file is named."""

import pytest

from intarsia.data.index import open_dataset
from intarsia.errors import DataError
from tests.conftest import found, touch

LAYOUTS = {
    "images and masks, each split": {
        split: [(f"images/{split}/{name}", f"masks/{split}/{name[0]}.png") for name in ("a.jpg", "b.png")]
        for split in ("train", "val", "test")
    },
    "splits of images and masks": {
        "train": [("train/images/a.jpg", "train/masks/a.png")],
        "val": [("valid/imgs/a.jpg", "valid/labels/a.tif")],
    },
    "camvid": {split: [(f"{split}/0001.png", f"{split}annot/0001.png")] for split in ("train", "val", "test")},
    "carvana": {
        "train": [("train/a.jpg", "train_masks/a_mask.gif")],
        "val": [("val/a.jpg", "val_labels/a.png")],
    },
    "other names": {
        "train": [("image/training/a.tif", "annotations/training/a.png")],
        "val": [("image/validation/a.tif", "annotations/validation/a.png")],
    },
    "only train and test": {
        "train": [("images/train/a.jpg", "masks/train/a.png")],
        "test": [("images/test/a.jpg", "masks/test/a.png")],
    },
    "side by side, with splits": {
        "train": [("train/a.jpg", "train/a_mask.png")],
        "val": [("val/a.png", "val/a_gt.png")],
    },
    "nested": {
        "train": [(f"images/train/{part}/a.jpg", f"masks/train/{part}/a.png") for part in ("day", "night")],
        "val": [("images/val/day/a.jpg", "masks/val/day/a_seg.png")],
    },
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_layouts_with_splits(tmp_path, layout):
    touch(tmp_path, *(name for pairs in layout.values() for pair in pairs for name in pair))
    dataset = open_dataset(tmp_path)
    assert found(dataset, tmp_path) == layout
    assert dataset.unpaired == ()
    assert not dataset.drawn


@pytest.mark.parametrize("ending", ["_mask", "_label", "_gt", "_seg", "_MASK"])
@pytest.mark.parametrize(("images", "masks"), [("", ""), ("images/", "masks/"), ("day/", "day/")])
def test_mask_endings_beside_the_images_or_in_a_folder(tmp_path, images, masks, ending):
    touch(
        tmp_path, *(f"{images}{name}.jpg" for name in "abcde"), *(f"{masks}{name}{ending}.png" for name in "abcde")
    )
    dataset = open_dataset(tmp_path)
    pairs = sorted(pair for split in found(dataset, tmp_path).values() for pair in split)
    assert pairs == [(f"{images}{name}.jpg", f"{masks}{name}{ending}.png") for name in "abcde"]
    assert dataset.drawn
    assert set(dataset.splits) == {"train", "val"}


def test_unpaired_files_are_named(tmp_path):
    touch(tmp_path, "images/train/a.jpg", "masks/train/a.png", "images/train/b.jpg", "masks/train/sub/c.png")
    dataset = open_dataset(tmp_path)
    assert dataset.unpaired == (tmp_path / "images/train/b.jpg", tmp_path / "masks/train/sub/c.png")
    assert [pair.name for pair in dataset.split("train")] == ["a"]


@pytest.mark.parametrize("lone", ["images/test", "masks/val", "test/images"])
def test_a_split_with_only_one_side_is_named(tmp_path, lone):
    layout = ["train/images", "train/masks"] if lone.startswith("test") else ["images/train", "masks/train"]
    touch(tmp_path, *(f"{folder}/a.png" for folder in [*layout, lone]))
    assert open_dataset(tmp_path).unpaired == (tmp_path / lone,)


@pytest.mark.parametrize(
    "files",
    [
        ("images/train/a.jpg", "masks/train/a.png", "train/images/a.jpg", "train/masks/a.png"),
        ("train/images/a.jpg", "train/masks/a.png", "trainannot/a.png"),
        ("images/a.jpg", "masks/a.png", "train/images/a.jpg", "train/masks/a.png"),
        ("images/a.jpg", "masks/a.png", "img/a.jpg"),
        ("images/train/a.jpg", "masks/train/a.png", "images/training/a.jpg"),
    ],
)
def test_two_layouts_at_once_are_refused(tmp_path, files):
    touch(tmp_path, *files)
    with pytest.raises(DataError, match=r"(two layouts at once|has both).*dataset\.toml"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ((), "holds no pictures. Expected images/ and masks/"),
        (("notes.txt",), "holds no pictures"),
        (("a.jpg", "b.jpg"), "no masks were found. Expected images/ and masks/"),
        (("images/train/a.jpg",), "no masks were found"),
        (("images/a.jpg", "masks/b.png"), "no image has a mask of the same name. Looked in .*images, .*masks"),
        (("a_mask.png",), "no image has a mask"),
    ],
)
def test_nothing_to_pair(tmp_path, files, words):
    touch(tmp_path, *files)
    with pytest.raises(DataError, match=f"{tmp_path}: .*{words}"):
        open_dataset(tmp_path)

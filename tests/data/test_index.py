"""Opening a dataset: a path, a dataset file, and the drawn val split that stays put."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from intarsia.data.index import _draw_val, declared_file, find_dataset, open_dataset
from intarsia.data.pairs import Pair
from intarsia.errors import DataError
from tests.conftest import found, touch


def test_a_path_that_is_no_dataset(tmp_path):
    with pytest.raises(DataError, match="gone: does not exist"):
        open_dataset(tmp_path / "gone")
    touch(tmp_path, "a.zip")
    with pytest.raises(DataError, match=r"a\.zip: is a file of no known format\. A dataset is a folder, .*\.toml"):
        open_dataset(tmp_path / "a.zip")


def test_a_split_that_is_not_there(tmp_path):
    dataset = open_dataset(touch(tmp_path, "images/train/a.jpg", "masks/train/a.png"))
    with pytest.raises(DataError, match="has no split 'test'; it has train"):
        dataset.split("test")


class TestDatasetFile:
    def test_inside_the_folder_it_is_honoured(self, tmp_path):
        touch(tmp_path, "images/train/a.jpg", "masks/train/a.png")
        (tmp_path / "dataset.toml").write_text(
            'ignore = [11]\nsnap = 2\n[classes]\nsky = 0\nroad = {value = [1, 7], color = "#804080"}'
        )
        dataset = open_dataset(tmp_path)
        assert dataset.labels.names == ("sky", "road")
        assert dataset.labels.values == ((0,), (1, 7))
        assert dataset.labels.ignore == (11, 255)
        assert (dataset.labels.snap, dataset.names) == (2, ())
        assert dataset.ignore == (11,)

    def test_names_alone_leave_the_values_to_the_masks(self, tmp_path):
        touch(tmp_path, "images/train/a.jpg", "masks/train/a.png")
        (tmp_path / "dataset.toml").write_text('classes = ["sky", "road"]\nignore = [11]\nencoding = "objects"')
        dataset = open_dataset(tmp_path)
        assert dataset.labels is None
        assert dataset.names == ("sky", "road")
        assert (dataset.ignore, dataset.encoding) == ((11,), "objects")

    def test_its_names_go_before_those_of_a_list(self, tmp_path):
        touch(tmp_path, "images/train/a.jpg", "masks/train/a.png")
        (tmp_path / "classes.txt").write_text("one\ntwo\n")
        assert open_dataset(tmp_path).names == ("one", "two")
        (tmp_path / "dataset.toml").write_text('classes = ["sky", "road"]')
        assert open_dataset(tmp_path).names == ("sky", "road")

    def test_it_points_elsewhere(self, tmp_path):
        touch(tmp_path, "far/images/train/a.jpg", "far/masks/train/a.png")
        (tmp_path / "mine.toml").write_text('path = "far"')
        dataset = open_dataset(tmp_path / "mine.toml")
        assert found(dataset, tmp_path) == {"train": [("far/images/train/a.jpg", "far/masks/train/a.png")]}
        assert dataset.root == tmp_path / "mine.toml"

    def test_it_names_the_folders_of_each_split(self, tmp_path):
        touch(tmp_path, "day1/photos/a.jpg", "day1/drawn/a.png", "day2/b.jpg", "day2/b_mask.png")
        (tmp_path / "dataset.toml").write_text(
            'splits.train = {images = "day1/photos", masks = "day1/drawn"}\n'
            'splits.val = {images = "day2", masks = "day2"}'
        )
        assert found(open_dataset(tmp_path), tmp_path) == {
            "train": [("day1/photos/a.jpg", "day1/drawn/a.png")],
            "val": [("day2/b.jpg", "day2/b_mask.png")],
        }

    @pytest.mark.parametrize("text", ['path = "gone"', 'splits.train = {images = "gone", masks = "gone"}'])
    def test_folders_that_do_not_exist(self, tmp_path, text):
        (tmp_path / "dataset.toml").write_text(text)
        with pytest.raises(DataError, match=r"gone: .*but the dataset file names it"):
            open_dataset(tmp_path)

    def test_ignored_values_are_merged(self, tmp_path):
        touch(tmp_path, "images/train/a.jpg", "masks/train/a.png")
        assert open_dataset(tmp_path, ignore=[7, 7]).ignore == (7,)
        (tmp_path / "dataset.toml").write_text("ignore = [11]\nclasses = {sky = 0}")
        dataset = open_dataset(tmp_path, ignore=[7, 11])
        assert dataset.ignore == (11, 7)
        assert dataset.labels.ignore == (11, 255, 7)

    def test_a_class_that_is_ignored_is_none_any_more(self, tmp_path):
        touch(tmp_path, "images/train/a.jpg", "masks/train/a.png")
        (tmp_path / "dataset.toml").write_text("classes = {sky = 0, road = [1, 2], void = 3}")
        labels = open_dataset(tmp_path, ignore=[2, 3]).labels
        assert (labels.names, labels.values) == (("sky", "road"), ((0,), (1,)))
        assert labels.ignore == (255, 2, 3)

    def test_names_in_another_order_than_the_formats_own_classes(self, tmp_path):
        for name in ("car", "road"):
            touch(tmp_path, f"masks/{name}/a.png", f"masks/{name}/b.png")
        touch(tmp_path, "images/a.png", "images/b.png")
        for path in (tmp_path / "masks").rglob("*.png"):
            Image.new("L", (2, 2)).save(path)
        (tmp_path / "dataset.toml").write_text('classes = ["background", "road", "car"]')
        labels = open_dataset(tmp_path).labels
        assert labels.names == ("background", "road", "car")
        assert labels.values == ((0,), (2,), (1,))
        (tmp_path / "dataset.toml").write_text('classes = ["background", "street", "car"]')
        with pytest.raises(DataError, match=r"its own classes are background, car, road.*street"):
            open_dataset(tmp_path)

    def test_it_names_the_format(self, tmp_path):
        touch(tmp_path, "images/a.jpg", "masks/a.png")
        (tmp_path / "data.yaml").write_text("train: images\nmasks_dir: masks\nnames: [sky]\n")
        assert open_dataset(tmp_path).format == "ultralytics"
        (tmp_path / "dataset.toml").write_text('format = "folders"')
        assert open_dataset(tmp_path).format == "folders"

    @pytest.mark.parametrize(
        ("exclude", "kept"),
        [
            (["train/a"], {"train": ["b", "sub/c"], "val": ["a", "b"]}),
            (["a"], {"train": ["b", "sub/c"], "val": ["b"]}),
            (["sub/c", "train/b"], {"train": ["a"], "val": ["a", "b"]}),
            (["train/a", "train/b", "train/sub/c"], {"val": ["a", "b"]}),
            (["c", "test/a", "a.jpg"], {"train": ["a", "b", "sub/c"], "val": ["a", "b"]}),
        ],
    )
    def test_excluded_pairs_are_left_out(self, tmp_path, exclude, kept):
        names = ("train/a", "train/b", "train/sub/c", "val/a", "val/b")
        touch(tmp_path, *(f"images/{name}.jpg" for name in names), *(f"masks/{name}.png" for name in names))
        (tmp_path / "dataset.toml").write_text(f"exclude = {exclude}")
        dataset = open_dataset(tmp_path)
        assert {split: [pair.name for pair in pairs] for split, pairs in dataset.splits.items()} == kept

    def test_excluded_pairs_move_none_of_those_that_are_drawn(self, tmp_path):
        names = [f"{number:03}" for number in range(60)]
        touch(tmp_path, *(f"{kind}/{name}.png" for kind in ("images", "masks") for name in names))
        before = {pair.name for pair in open_dataset(tmp_path).split("val")}
        gone = {*sorted(before)[:2], "001"}
        (tmp_path / "dataset.toml").write_text(f"exclude = {[f'train/{name}' for name in sorted(gone)]}")
        dataset = open_dataset(tmp_path)
        assert {pair.name for pair in dataset.split("val")} == before - gone
        assert not gone & {pair.name for pair in dataset.split("train")}

    def test_excluded_names_are_no_longer_ambiguous(self, tmp_path):
        touch(tmp_path, *(f"images/train/{file}" for file in ("a.jpg", "b.jpg", "b.png")))
        touch(tmp_path, "masks/train/a.png", "masks/train/b.png")
        with pytest.raises(DataError, match="two images of one name"):
            open_dataset(tmp_path)
        (tmp_path / "dataset.toml").write_text('exclude = ["train/b"]')
        dataset = open_dataset(tmp_path)
        assert (found(dataset, tmp_path), dataset.strays) == (
            {"train": [("images/train/a.jpg", "masks/train/a.png")]},
            (),
        )

    @pytest.mark.parametrize("mends", [(), ("exif",), ("resize", "exif")])
    def test_mends_are_allowed_to_every_pair(self, tmp_path, mends):
        touch(tmp_path, *(f"{kind}/{name}.png" for kind in ("images", "masks") for name in "abc"))
        (tmp_path / "dataset.toml").write_text(f"mend = {list(mends)}")
        dataset = open_dataset(tmp_path)
        assert {pair.mends for pairs in dataset.splits.values() for pair in pairs} == {mends}
        assert len(dataset.split("train") + dataset.split("val")) == 3


def test_ambiguous_files_are_left_out_and_noted_where_all_is_to_be_told(tmp_path):
    touch(tmp_path, "images/train/a.jpg", "images/train/a.png", "images/train/b.jpg")
    touch(tmp_path, "masks/train/a.png", "masks/train/b.png")
    dataset = find_dataset(tmp_path)
    assert found(dataset, tmp_path) == {"train": [("images/train/b.jpg", "masks/train/b.png")]}
    (stray,) = dataset.strays
    assert (stray.finding, stray.about) == ("ambiguous", "two images of one name")
    assert stray.paths == (tmp_path / "images/train/a.jpg", tmp_path / "images/train/a.png")
    with pytest.raises(DataError, match=r"a\.jpg and .*a\.png: two images of one name\. Remove or rename one"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("name", ["streets.toml", "dataset.toml"])
def test_the_dataset_file_of_a_path(tmp_path, name):
    (tmp_path / name).touch()
    assert declared_file(tmp_path / name) == tmp_path / name
    assert declared_file(tmp_path) == (tmp_path / name if name == "dataset.toml" else None)
    assert declared_file(tmp_path / "gone.toml") is None


def pairs_of(names) -> tuple[Pair, ...]:
    return tuple(Pair(name, Path(f"{name}.jpg"), Path(f"{name}.png")) for name in sorted(names))


class TestDrawnVal:
    @pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
    def test_the_share_is_about_right(self, share):
        train, val = _draw_val(pairs_of(f"frame_{number:05}" for number in range(2000)), share, "")
        assert len(train) + len(val) == 2000
        assert abs(len(val) / 2000 - share) < 0.03

    @given(
        names=st.sets(st.text("abcdef/_01", min_size=1, max_size=8), min_size=30, max_size=60),
        added=st.sets(st.text("ghijkl/_01", min_size=1, max_size=8), max_size=30),
    )
    def test_added_files_move_none_of_the_others(self, names, added):
        """With 30 files and more; of very few, one must go to the empty side."""
        before, after = (_draw_val(pairs_of(some), 0.5, "")[1] for some in (names, names | added))
        assert {pair.name for pair in before} == {pair.name for pair in after} & names

    @given(st.sets(st.text("abc", min_size=1, max_size=3), min_size=2, max_size=6), st.floats(0.01, 0.99))
    def test_both_sides_hold_something(self, names, share):
        train, val = _draw_val(pairs_of(names), share, "")
        assert train
        assert val
        assert {pair.name for pair in train + val} == names

    def test_names_that_are_no_text_are_drawn_too(self):
        names = {os.fsdecode(bytes([number])) for number in range(128, 160)}
        train, val = _draw_val(pairs_of(names), 0.5, "")
        assert {pair.name for pair in train + val} == names
        assert val

    def test_scenes_stay_together(self):
        names = [f"scene{scene}_{frame}" for scene in range(40) for frame in range(5)]
        train, val = _draw_val(pairs_of(names), 0.3, "_")
        scenes = [{pair.name.split("_")[0] for pair in side} for side in (train, val)]
        assert not scenes[0] & scenes[1]
        assert 4 <= len(scenes[1]) <= 20

    def test_one_scene_cannot_be_divided(self, tmp_path):
        touch(tmp_path, *(f"{kind}/s_{frame}.png" for kind in ("images", "masks") for frame in range(3)))
        with pytest.raises(DataError, match=r"one scene 's'.*data\.scene_separator, or a val split"):
            open_dataset(tmp_path, scene_separator="_")

    def test_test_pairs_are_left_alone(self, tmp_path):
        names = [
            f"{kind}/{split}/{n}.png" for kind in ("images", "masks") for split in ("train", "test") for n in "abc"
        ]
        dataset = open_dataset(touch(tmp_path, *names), val_share=0.5)
        assert dataset.drawn
        assert len(dataset.split("test")) == 3
        assert len(dataset.split("train") + dataset.split("val")) == 3

    def test_a_single_pair_is_not_divided(self, tmp_path):
        dataset = open_dataset(touch(tmp_path, "images/a.png", "masks/a.png"))
        assert (set(dataset.splits), dataset.drawn) == ({"train"}, False)

"""Opening a dataset: a path, a dataset file, and the drawn val split that stays put."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intarsia.data.index import _draw_val, open_dataset
from intarsia.data.pairs import Pair
from intarsia.errors import DataError
from tests.conftest import found, touch


def test_a_path_that_is_no_dataset(tmp_path):
    with pytest.raises(DataError, match="gone: does not exist"):
        open_dataset(tmp_path / "gone")
    touch(tmp_path, "a.zip")
    with pytest.raises(DataError, match=r"a\.zip: is a file. A dataset is a folder, or .*\.toml"):
        open_dataset(tmp_path / "a.zip")


def test_a_split_that_is_not_there(tmp_path):
    dataset = open_dataset(touch(tmp_path, "images/train/a.jpg", "masks/train/a.png"))
    with pytest.raises(DataError, match="has no split 'test'; it has train"):
        dataset.split("test")


class TestDatasetFile:
    def test_inside_the_folder_it_is_honoured(self, tmp_path):
        touch(tmp_path, "images/train/a.jpg", "masks/train/a.png")
        (tmp_path / "dataset.toml").write_text('classes = ["sky", "road"]\nignore = [11]')
        dataset = open_dataset(tmp_path)
        assert dataset.labels.names == ("sky", "road")
        assert dataset.labels.ignore == (11, 255)
        assert dataset.ignore == (11,)

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
        (tmp_path / "dataset.toml").write_text('classes = ["sky"]\nignore = [11]')
        dataset = open_dataset(tmp_path, ignore=[7, 11])
        assert dataset.ignore == (11, 7)
        assert dataset.labels.ignore == (11, 255, 7)

    def test_a_class_cannot_be_ignored(self, tmp_path):
        touch(tmp_path, "images/train/a.jpg", "masks/train/a.png")
        (tmp_path / "dataset.toml").write_text('classes = ["sky", "road"]')
        with pytest.raises(DataError, match="value 1 has two meanings"):
            open_dataset(tmp_path, ignore=[1])


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

"""Pairs: every layout is found, every stray file is named, and the drawn val split stays put."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intarsia.data.index import Dataset, Pair, _draw_val, open_dataset
from intarsia.errors import DataError


def touch(root: Path, *names: str) -> Path:
    """Empty files: nothing here may open a picture."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def found(dataset: Dataset, base: Path) -> dict[str, list[tuple[str, str]]]:
    def below(path: Path) -> str:
        return path.relative_to(base).as_posix()

    return {
        split: [(below(one.image), below(one.mask)) for one in pairs] for split, pairs in dataset.splits.items()
    }


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


@pytest.mark.parametrize("image", ["png", "jpg", "JPEG", "tif", "tiff", "webp", "bmp"])
@pytest.mark.parametrize("mask", ["png", "TIF", "bmp", "webp", "gif"])
def test_pairing_whatever_the_extension(tmp_path, image, mask):
    touch(tmp_path, f"images/train/a.{image}", f"masks/train/a.{mask}")
    assert found(open_dataset(tmp_path), tmp_path) == {
        "train": [(f"images/train/a.{image}", f"masks/train/a.{mask}")]
    }


def test_names_with_dots_and_endings_of_their_own(tmp_path):
    touch(
        tmp_path, "images/train/v1.2.jpg", "masks/train/v1.2.png", "images/train/a_seg.jpg", "masks/train/a_seg.png"
    )
    dataset = open_dataset(tmp_path)
    assert {pair.name for pairs in dataset.splits.values() for pair in pairs} == {"a_seg", "v1.2"}


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


def test_a_jpeg_mask_is_paired_for_the_decoder_to_refuse(tmp_path):
    touch(tmp_path, "images/train/a.jpg", "masks/train/a.jpg")
    assert found(open_dataset(tmp_path), tmp_path) == {"train": [("images/train/a.jpg", "masks/train/a.jpg")]}


def test_hidden_and_foreign_files_are_skipped(tmp_path):
    touch(tmp_path, "images/train/a.jpg", "masks/train/a.png", "images/train/._a.jpg", "masks/train/.trash/a.png")
    touch(tmp_path, "images/train/Thumbs.db", "masks/train/notes.txt")
    dataset = open_dataset(tmp_path)
    assert found(dataset, tmp_path) == {"train": [("images/train/a.jpg", "masks/train/a.png")]}
    assert dataset.unpaired == ()


@pytest.mark.parametrize(
    ("kind", "partner", "candidates"),
    [
        ("images", "masks/train/a.png", ("images/train/a.jpg", "images/train/a.png")),
        ("masks", "images/train/a.jpg", ("masks/train/a.png", "masks/train/a.tif")),
        ("masks", "images/train/a.jpg", ("masks/train/a.png", "masks/train/a_mask.png")),
        ("masks", "images/train/a.jpg", ("masks/train/a_gt.png", "masks/train/a_mask.png")),
        ("masks", "train/a.jpg", ("train/a_gt.png", "train/a_mask.png")),
    ],
)
def test_two_candidates_are_refused_and_both_named(tmp_path, kind, partner, candidates):
    touch(tmp_path, partner, *candidates)
    with pytest.raises(DataError, match=rf"{candidates[0]} and \S*{candidates[1]}: two {kind}.*Remove"):
        open_dataset(tmp_path)


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

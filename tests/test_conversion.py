"""Datasets as plain folders: the same pixels mean the same classes, and nothing is written elsewhere."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from intarsia.conversion import convert
from intarsia.data.index import open_dataset
from intarsia.data.pairs import Dataset, Pair, read_pair
from intarsia.data.shapes import Polygon
from intarsia.data.sources import Layers, Shapes
from intarsia.errors import DataError, MachineError, SettingsError
from intarsia.labels import Labels
from tests.conftest import write_pair
from tests.small import noise


def images(count: int, size: tuple[int, int] = (12, 16)) -> list[np.ndarray]:
    return [noise(*size, 3, seed=seed) for seed in range(count)]


def assert_same(dataset: Dataset, converted: Dataset) -> None:
    """The same pairs, splits, class names and colours, and for each pair the same image and class indices."""
    assert dataset.labels is not None
    assert converted.labels is not None
    assert converted.labels.names == dataset.labels.names
    assert converted.labels.colors == dataset.labels.colors
    assert set(converted.splits) == set(dataset.splits)
    for split, pairs in dataset.splits.items():
        assert [pair.name for pair in converted.split(split)] == [pair.name for pair in pairs]
        for before, after in zip(pairs, converted.split(split), strict=True):
            assert after.image.read_bytes() == before.image.read_bytes()
            assert after.image.suffix == before.image.suffix
            for one, other in zip(
                read_pair(before, dataset.labels), read_pair(after, converted.labels), strict=True
            ):
                np.testing.assert_array_equal(one, other)


def test_scenes_come_back_the_same(scenes, tmp_path):
    counted: list[tuple[int, int]] = []
    conversion = convert(scenes, tmp_path / "new", progress=lambda done, total: counted.append((done, total)))
    assert conversion.folder == tmp_path / "new"
    assert conversion.written == {"train": 8, "val": 2}
    assert conversion.failed == ()
    assert counted == [(done, 10) for done in range(1, 11)]
    assert_same(open_dataset(scenes), open_dataset(tmp_path / "new"))
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["dataset.toml", "images", "masks"]


def test_colors_holes_and_odd_names(tmp_path):
    """Colour masks, ignored colours, sub-folders, photographs of other kinds, class names that TOML must quote."""
    for number, suffix in enumerate((".jpg", ".JPG", ".bmp", ".tif")):
        place = tmp_path / "old" / "images" / "train" / "a.b" / f"{number}{suffix}"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(12, 16, 3, seed=number)).save(place)
        mask = np.zeros((12, 16, 3), np.uint8)
        mask[2:5, number:], mask[6:8], mask[9] = (0, 128, 0), (1, 2, 3), (255, 255, 255)
        path = tmp_path / "old" / "masks" / "train" / "a.b" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(path)
    (tmp_path / "old" / "dataset.toml").write_text(
        'ignore = ["#ffffff"]\n[classes]\n"said \\"so\\" = [1]\\n# 🌲\\u007f" = "#000000"\n"b.c" = "#008000"\n'
        'z = {value = "#010203", color = "#ff0000"}\n'
    )
    convert(tmp_path / "old", tmp_path / "new")
    old, new = open_dataset(tmp_path / "old"), open_dataset(tmp_path / "new")
    assert_same(old, new)
    assert new.labels is not None
    assert new.labels.names == ('said "so" = [1]\n# 🌲\x7f', "b.c", "z")
    assert new.labels.ignore == (255,)
    with Image.open(new.split("val")[0].mask) as picture:
        assert picture.mode == "P"
        assert picture.getpalette()[:9] == [0, 0, 0, 0, 128, 0, 255, 0, 0]


def test_a_drawn_split_is_not_written_down(tmp_path):
    for number in range(6):
        write_pair(tmp_path / "old", f"{number}", images(1)[0], np.full((12, 16), number % 2, np.uint8))
    (tmp_path / "old" / "dataset.toml").write_text("[classes]\na = 0\nb = 1\n")
    assert convert(tmp_path / "old", tmp_path / "new").written == {"train": 6}
    assert len(list((tmp_path / "new" / "images" / "train").iterdir())) == 6
    assert_same(open_dataset(tmp_path / "old"), open_dataset(tmp_path / "new"))  # and is drawn the same


def test_classes_that_only_the_masks_tell(tmp_path):
    for number, image in enumerate(images(6, (32, 40))):
        mask = np.zeros((32, 40), np.uint8)
        mask[4 + number : 20, 5:30] = 255
        write_pair(tmp_path / "old", f"{number}", image, mask, "train" if number < 4 else "val")
    counted: list[tuple[int, int]] = []
    convert(tmp_path / "old", tmp_path / "new", progress=lambda done, total: counted.append((done, total)))
    assert counted == sorted(counted)
    assert counted[-1] == (12, 12)
    labels = open_dataset(tmp_path / "new").labels
    assert labels is not None
    assert len(labels) == 2
    with Image.open(tmp_path / "new" / "masks" / "train" / "2.png") as picture:
        mask = np.asarray(picture)
    assert mask[3, 6] == 0
    assert mask[10, 10] == 1


def test_pictures_stay_turned_and_masks_are_made_upright(tmp_path):
    stored = noise(12, 16, 3)
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "old").mkdir()
    Image.fromarray(stored).save(tmp_path / "old" / "a.jpg", exif=exif)
    mask = np.zeros((12, 16), np.uint8)
    mask[:4] = 1
    Image.fromarray(mask).save(tmp_path / "old" / "a_mask.png")
    pair = Pair("a", tmp_path / "old" / "a.jpg", tmp_path / "old" / "a_mask.png", mends=("exif",))
    dataset = Dataset(tmp_path / "old", {"train": (pair,)}, Labels.of_values([0, 1]))
    convert(dataset, tmp_path / "new")
    assert_same(dataset, open_dataset(tmp_path / "new"))
    with Image.open(tmp_path / "new" / "masks" / "train" / "a.png") as picture:
        assert (np.asarray(picture) == np.rot90(mask, -1)).all()


def test_masks_of_layers_and_shapes(tmp_path):
    square = np.zeros((12, 16), np.uint8)
    square[2:6, 3:9] = 255
    pair = write_pair(tmp_path / "old", "a", images(1)[0], square, "train")
    corners = np.array([[1, 1], [5, 1], [5, 4], [1, 4]], np.float32)
    shapes = Shapes(tmp_path / "old" / "a.json", (Polygon(2, (corners,)),))
    pairs = (replace(pair, mask=Layers(((Path(pair.mask), 1),))), replace(pair, name="b", mask=shapes))
    dataset = Dataset(tmp_path / "old", {"train": pairs}, Labels.of_values([0, 1, 2]))
    convert(dataset, tmp_path / "new")
    for name, pixels in (("a", [168, 24, 0]), ("b", [180, 0, 12])):
        with Image.open(tmp_path / "new" / "masks" / "train" / f"{name}.png") as picture:
            assert np.bincount(np.asarray(picture).ravel(), minlength=3).tolist() == pixels


def test_many_classes(tmp_path):
    mask = np.arange(12 * 25, dtype=np.uint16).reshape(12, 25)
    mask[0, :2] = 999
    pair = write_pair(tmp_path / "old", "a", images(1, (12, 25))[0], mask, "train")
    labels = replace(Labels.of_values(range(2, 300)), ignore=(999,))
    dataset = Dataset(tmp_path / "old", {"train": (pair,)}, labels)
    convert(dataset, tmp_path / "new")
    converted = open_dataset(tmp_path / "new")
    assert_same(dataset, converted)
    assert converted.labels is not None
    assert 65535 in converted.labels.ignore


def test_what_cannot_be_read_is_told_and_left_out(scenes, tmp_path):
    old = shutil.copytree(scenes, tmp_path / "old")
    first, second = (pair for pair in open_dataset(old).split("train")[:2])
    first.image.write_bytes(first.image.read_bytes()[:100])
    Image.fromarray(np.full((48, 64), 77, np.uint8)).save(second.mask)
    conversion = convert(old, tmp_path / "new")
    assert conversion.written == {"train": 6, "val": 2}
    assert [pair.name for pair, _ in conversion.failed] == [first.name, second.name]
    assert str(first.image) in conversion.failed[0][1]
    assert "77" in conversion.failed[1][1]
    assert len(open_dataset(tmp_path / "new").split("train")) == 6


def test_nothing_readable_is_no_dataset(scenes, tmp_path):
    old = shutil.copytree(scenes, tmp_path / "old")
    for path in (old / "images").rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"none of 10 pairs can be converted. .*scene_0001.*the file is empty"):
        convert(old, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../../evil", "leads out"),
        ("/evil", "absolute"),
        ("C:/evil", "absolute"),
        ("a\\evil", "backslash"),
        ("a\nb", "control characters"),
        ("", "empty"),
        (".hidden/a", "hidden"),
        ("good", "is there already"),
        ("GOOD", "is there already"),
        ("good.png/a", "which is a file"),
        ("x" * 252, "too long"),
    ],
)
def test_names_that_lead_elsewhere(tmp_path, name, words):
    """Names come from annotation files of strangers."""
    inner = tmp_path / "inner"
    good = write_pair(inner / "old", "good", images(1)[0], np.zeros((12, 16), np.uint8))
    dataset = Dataset(inner / "old", {"train": (good, replace(good, name=name))}, Labels.of_values([0]))
    conversion = convert(dataset, inner / "new")
    assert conversion.written == {"train": 1}
    assert words in conversion.failed[0][1]
    written = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert [path for path in written if not path.startswith("inner/old/")] == [
        "inner/new/dataset.toml",
        "inner/new/images/train/good.png",
        "inner/new/masks/train/good.png",
    ]


@pytest.mark.parametrize(("name", "suffix"), [("good", ".jpg"), ("good.png/a", ".jpg"), ("good.bmp/a", ".png")])
def test_files_that_would_overwrite_each_other(tmp_path, name, suffix):
    good = write_pair(tmp_path / "old", "good", images(1)[0], np.zeros((12, 16), np.uint8))
    pairs = []
    for pair, ending in ((good, ".bmp"), (replace(good, name=name), suffix)):
        image = good.image.with_suffix(ending)
        Image.fromarray(images(1)[0]).save(image)
        pairs.append(replace(pair, image=image))
    conversion = convert(
        Dataset(tmp_path / "old", {"train": tuple(pairs)}, Labels.of_values([0])), tmp_path / "new"
    )
    assert conversion.written == {"train": 1}
    assert [pair.name for pair, _ in conversion.failed] == [name]


def test_a_picture_of_another_suffix_would_not_be_found(tmp_path):
    good = write_pair(tmp_path / "old", "good", images(1)[0], np.zeros((12, 16), np.uint8))
    odd = good.image.rename(good.image.with_suffix(".dat"))
    dataset = Dataset(tmp_path / "old", {"train": (replace(good, image=odd),)}, Labels.of_values([0]))
    with pytest.raises(DataError, match=r"good.dat: the pair's picture has the suffix '.dat'"):
        convert(dataset, tmp_path / "new")


def test_where_it_may_not_be_written(scenes, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").touch()
    for place in (tmp_path / "full", tmp_path / "full" / "thesis.txt", scenes):
        with pytest.raises(SettingsError, match="is not empty"):
            convert(scenes, place)
    with pytest.raises(SettingsError, match=r"inside: lies in .*outside of it"):
        convert(scenes, scenes / "inside")
    assert not (scenes / "inside").exists()
    with pytest.raises(MachineError, match="a part of this path is a file"):
        convert(scenes, tmp_path / "full" / "thesis.txt" / "new")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["thesis.txt"]


def test_classes_that_nobody_can_tell(tmp_path):
    for number in range(4):
        colors = np.random.default_rng(number).integers(0, 256, (64, 64, 3), np.uint8)
        write_pair(tmp_path / "old", f"{number}", images(1, (64, 64))[0], colors)
    with pytest.raises(DataError, match="mend:"):
        convert(tmp_path / "old", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_no_dataset(tmp_path):
    with pytest.raises(DataError, match="has no pairs"):
        convert(Dataset(tmp_path, {}, Labels.of_values([0])), tmp_path.with_name("new"))
    with pytest.raises(DataError, match="does not exist"):
        convert(tmp_path / "nothing", tmp_path / "new")
    assert not (tmp_path / "new").exists()

"""The inspection: its numbers against NumPy's, and what training must not start with."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from intarsia.data.check.findings import Finding
from intarsia.data.check.inspection import Inspection, inspect
from intarsia.data.index import open_dataset
from intarsia.data.pairs import Dataset, Pair, read_pair
from intarsia.errors import DataError
from intarsia.labels import Labels
from intarsia.synthetic.scenes import write_scenes
from tests.conftest import write_pair

IMAGE = np.zeros((4, 6, 3), dtype=np.uint8)


def mask_of(*values: int) -> np.ndarray:
    """A mask [4, 6] of the first value, with one pixel of each of the others."""
    mask = np.full((4, 6), values[0], dtype=np.uint8)
    mask.flat[: len(values)] = values
    return mask


def stripes(*values: int) -> np.ndarray:
    """A mask [24, 24] of rows, each value an area."""
    return np.repeat(np.array(values, np.uint8), 24 // len(values))[:, None].repeat(24, axis=1)


def dataset_of(root: Path, masks: list[np.ndarray], images: list[np.ndarray] | None = None, **about) -> Dataset:
    """Pairs from arrays; the last one is val."""
    images = images or [np.zeros((*mask.shape, 3), np.uint8) for mask in masks]
    pairs = [
        write_pair(root, f"{n}", image, mask) for n, (image, mask) in enumerate(zip(images, masks, strict=True))
    ]
    return Dataset(root, {"train": tuple(pairs[:-1]), "val": tuple(pairs[-1:])}, **about)


def the(finding: str, seen: Inspection) -> Finding:
    """The one finding of an id."""
    (found,) = [one for one in seen.findings if one.id == finding]
    return found


def test_numbers_equal_numpys(scenes):
    dataset = open_dataset(scenes)
    seen = inspect(dataset)
    pixels = {
        split: [
            (np.asarray(Image.open(pair.image), np.float64), np.asarray(Image.open(pair.mask))) for pair in pairs
        ]
        for split, pairs in dataset.splits.items()
    }
    images = np.stack([image for image, _ in pixels["train"]])
    assert seen.mean == pytest.approx(images.mean(axis=(0, 1, 2)), rel=1e-12)
    assert seen.std == pytest.approx(images.std(axis=(0, 1, 2)), rel=1e-9)
    for split in ("train", "val"):
        masks = np.concatenate([mask.ravel() for _, mask in pixels[split]])
        assert seen.counts[split].tolist() == np.bincount(masks, minlength=4).tolist()
    assert seen.labels == dataset.labels
    assert (seen.bands, seen.size, seen.decoded_bytes) == (3, (48, 64), 10 * 48 * 64 * (3 + 1))
    assert seen.ok
    assert {finding.severity for finding in seen.findings} <= {"note"}
    assert seen.refuse_errors() == dataset.labels


def test_statistics_hold_at_16_bits_with_a_constant_band(tmp_path):
    rng = np.random.default_rng(0)
    images = [rng.integers(60000, 60010, (5, 7, 4)).astype(np.uint16) for _ in range(3)]
    for image in images:
        image[:, :, 1] = 40000
    pairs = []
    for number, image in enumerate(images):
        pair = Pair(f"{number}", tmp_path / f"{number}.tif", tmp_path / f"{number}.png")
        tifffile.imwrite(pair.image, image, photometric="minisblack", planarconfig="contig")
        Image.fromarray(np.eye(5, 7, dtype=np.uint8)).save(pair.mask)
        pairs.append(pair)
    seen = inspect(Dataset(tmp_path, {"train": tuple(pairs[:2]), "val": tuple(pairs[2:])}))
    train = np.stack(images[:2]).astype(np.float64)
    assert seen.mean == pytest.approx(train.mean(axis=(0, 1, 2)), rel=1e-12)
    expected = train.std(axis=(0, 1, 2))
    expected[1] = 1
    assert seen.std == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("bands", [1, 3, 5])
def test_numbers_are_of_the_pixels_that_have_data(tmp_path, bands):
    """Statistics of a band count what is a number; classes count where any band has one."""
    rng = np.random.default_rng(0)
    pairs, images, masks = [], [], []
    for number in range(4):
        image = rng.normal(700, 90, (20, 30 + number, bands)).astype(np.float32)
        image[: 4 * number] = np.nan
        image[:, 3, -1] = np.nan
        pair = Pair(f"{number}", tmp_path / f"{number}.tif", tmp_path / f"{number}.png")
        layout = {"planarconfig": "contig"} if bands > 1 else {}
        tifffile.imwrite(pair.image, image.squeeze(), photometric="minisblack", **layout)
        mask = rng.integers(0, 3, image.shape[:2]).astype(np.uint8)
        Image.fromarray(mask).save(pair.mask)
        pairs.append(pair)
        images.append(image)
        masks.append(mask)
    dataset = Dataset(tmp_path, {"train": tuple(pairs[:3]), "val": tuple(pairs[3:])})
    seen = inspect(dataset)
    train = np.concatenate([image.reshape(-1, bands) for image in images[:3]]).astype(np.float64)
    assert seen.mean == pytest.approx(np.nanmean(train, axis=0), rel=1e-6)
    assert seen.std == pytest.approx(np.nanstd(train, axis=0), rel=1e-6)
    known = [~np.isnan(image).all(axis=2) for image in images]
    counts = [np.bincount(mask[where], minlength=3) for mask, where in zip(masks, known, strict=True)]
    assert seen.counts["train"].tolist() == sum(counts[:3]).tolist()
    assert seen.counts["val"].tolist() == counts[3].tolist()
    assert seen.ok
    assert [finding.id for finding in seen.findings if finding.severity != "note"] == ["speckle"]
    assert the("no-data", seen).pairs == ("val/3",)
    assert the("no-data", seen).message == (
        f"1 image with a band of which more than half is no data: {pairs[3].image} (61%). The network sees the "
        "band's mean there; a pixel without data in all bands counts for nothing."
    )
    assert inspect(dataset).looks[2].record == seen.looks[2].record, "recalled as it was"
    for split, pair in (("train", pairs[0]), ("val", pairs[3])):
        _, mask = read_pair(pair, seen.labels)
        assert (mask != 255).sum() == known[pairs.index(pair)].sum(), split


def test_a_band_without_a_number_changes_nothing(tmp_path):
    images = [np.random.default_rng(seed).normal(9, 2, (8, 9, 4)).astype(np.float32) for seed in range(3)]
    pairs = [Pair(f"{number}", tmp_path / f"{number}.tif", tmp_path / f"{number}.png") for number in range(3)]
    for pair, image in zip(pairs, images, strict=True):
        image[:, :, 2] = np.nan
        tifffile.imwrite(pair.image, image, photometric="minisblack", planarconfig="contig")
        Image.fromarray(np.eye(8, 9, dtype=np.uint8)).save(pair.mask)
    seen = inspect(Dataset(tmp_path, {"train": tuple(pairs[:2]), "val": tuple(pairs[2:])}))
    assert (seen.mean[2], seen.std[2]) == (0, 1)
    assert seen.mean[3] == pytest.approx(np.mean([image[:, :, 3] for image in images[:2]]), rel=1e-6)
    assert the("no-data", seen).count == 3


def test_an_image_without_data_is_told_as_such(tmp_path):
    dataset = dataset_of(tmp_path, [stripes(0, 1)] * 3, [np.zeros((24, 24, 3), np.uint8)] * 3)
    for pair, value in zip(dataset.splits["train"], (np.nan, 5), strict=True):
        tifffile.imwrite(pair.image, np.full((24, 24, 3), value, np.float32), photometric="rgb")
    seen = inspect(dataset)
    assert the("ignored-masks", seen).pairs == the("no-data", seen).pairs == ("train/0",)
    assert seen.counts["train"].tolist() == [24 * 12] * 2
    assert seen.mean == (5, 5, 5)


def test_size_is_the_median_of_train(tmp_path):
    masks = [np.eye(*size, dtype=np.uint8) for size in [(4, 6), (8, 10), (6, 20), (99, 99)]]
    assert inspect(dataset_of(tmp_path, masks)).size == (6, 10)


def test_progress_counts_every_pair(scenes, tmp_path, monkeypatch):
    monkeypatch.setenv("INTARSIA_CACHE", str(tmp_path))
    calls = []
    inspect(open_dataset(scenes), lambda done, total: calls.append((done, total)))
    assert calls == [(done, 10) for done in range(1, 11)]
    inspect(open_dataset(scenes), lambda done, total: calls.append((done, total)))
    assert calls[10:] == [(10, 10)], "nothing changed: nothing is read"


class TestClasses:
    def test_a_single_one_is_refused(self, tmp_path):
        seen = inspect(dataset_of(tmp_path, [mask_of(0)] * 2))
        assert the("one-class", seen).message == "The masks hold one class only, 'class 0': nothing to tell apart."
        with pytest.raises(DataError, match=r"one class only.*\n  mend: were they saved empty"):
            seen.refuse_errors()

    def test_a_split_without_counted_pixels_is_refused(self, tmp_path):
        seen = inspect(dataset_of(tmp_path, [mask_of(0, 1), np.full((4, 6), 255, np.uint8)]))
        assert "Every pixel of the val masks is ignored" in the("ignored-split", seen).message
        assert not seen.ok

    def test_found_when_they_run_from_0_without_a_gap(self, tmp_path):
        seen = inspect(dataset_of(tmp_path, [mask_of(0, 1), mask_of(2, 255), mask_of(1)]))
        assert seen.labels == Labels.of_values([0, 1, 2])
        assert the("encoding", seen).message == "Masks hold class indices; 255 is ignored."
        assert seen.counts["train"].tolist() == [23, 1, 23]
        assert seen.counts["val"].tolist() == [0, 24, 0]

    def test_ignored_values_may_be_gaps(self, tmp_path):
        seen = inspect(dataset_of(tmp_path, [mask_of(0, 1, 11), mask_of(1, 255)], ignore=(11,)))
        assert seen.labels.names == ("class 0", "class 1")
        assert seen.labels.ignore == (11, 255)

    def test_names_alone_are_given_in_order(self, tmp_path):
        masks = [stripes(0, 1), stripes(1, 0)]
        assert inspect(dataset_of(tmp_path, masks, names=("sky", "road"))).labels.names == ("sky", "road")
        masks = [stripes(1, 2), stripes(2, 1)]
        seen = inspect(dataset_of(tmp_path, masks, names=("sky", "road")))
        assert (seen.labels.names, seen.labels.values) == (("sky", "road"), ((1,), (2,)))

    @pytest.mark.parametrize("values", [(0, 2), (3, 8), (0, 1, 2, 11)])
    def test_gaps_are_taken_for_classes_and_said(self, tmp_path, values):
        masks = [stripes(*values), stripes(*values[::-1])]
        seen = inspect(dataset_of(tmp_path, masks))
        if values == (0, 2):
            assert the("encoding", seen).message == "Masks hold two values, 0 and 2; 255 is ignored."
        else:
            finding = the("value-gaps", seen)
            assert f"{', '.join(map(str, values))} do not run from 0 without a gap" in finding.message
            assert f"--ignore {values[-1]}" in finding.mend
            assert finding.severity == "warning"
        assert seen.labels.values == tuple((value,) for value in values)
        assert seen.ok

    def test_rare_strays_are_refused_with_the_mend(self, tmp_path):
        masks = [np.kron(stripes(0, 1), np.ones((20, 20), np.uint8)) for _ in range(4)]
        masks[1][0, :3] = 11
        seen = inspect(dataset_of(tmp_path, masks))
        assert seen.labels == Labels.of_values([0, 1])
        with pytest.raises(DataError) as raised:
            seen.refuse_errors()
        message = str(raised.value)
        assert f"{tmp_path / 'masks' / '1.png'}: value 11 (3 pixels)" in message
        assert "--ignore 11" in message
        assert "[classes]" in message

    @pytest.mark.parametrize("masks", [[(0, 255), (255, 0)], [(0,), (0, 255), (255, 0)]])
    def test_0_and_255_are_two_classes_and_said(self, tmp_path, masks):
        seen = inspect(dataset_of(tmp_path, [stripes(*values) for values in masks]))
        assert the("encoding", seen).message == "Masks hold two values, 0 and 255."
        assert seen.labels == Labels.of_values([0, 255])
        assert seen.labels.ignore == ()
        assert seen.ok

    @pytest.mark.parametrize("value", [1, 40, 255])
    def test_thin_lines_are_a_class_and_no_noise(self, tmp_path, value):
        masks = [np.zeros((40, 60), np.uint8) for _ in range(3)]
        for number, mask in enumerate(masks):
            mask[number + 3 :: 13] = value
        seen = inspect(dataset_of(tmp_path, masks))
        assert seen.ok
        assert seen.labels.values == ((0,), (value,))
        assert seen.labels.snap == 0

    def test_0_and_255_with_the_mend_applied(self, tmp_path):
        labels = Labels.of_values([0, 255])
        seen = inspect(dataset_of(tmp_path, [mask_of(0, 255), mask_of(255)], labels=labels))
        assert seen.counts["train"].tolist() == [23, 1]

    def test_nothing_but_ignored_values(self, tmp_path):
        seen = inspect(dataset_of(tmp_path, [mask_of(255), mask_of(255)]))
        assert the("one-class", seen).message == "Masks hold no value but ignored ones (255)."
        assert seen.labels is None
        with pytest.raises(DataError, match="no value but ignored ones"):
            seen.refuse_errors()

    def test_missing_in_train(self, tmp_path):
        seen = inspect(dataset_of(tmp_path, [mask_of(0, 2), mask_of(1)]))
        train, val = [one.message for one in seen.findings if one.id == "class-missing"]
        assert train == "No pixel in train of class 1: they cannot be learned."
        assert val == "No pixel in val of class 0, class 2: nothing can be said of them there."
        assert seen.ok

    def test_an_unknown_value_is_named_with_file_count_and_option(self, tmp_path):
        labels = Labels.of_values([0, 1])
        seen = inspect(dataset_of(tmp_path, [mask_of(0, 7, 7, 9), mask_of(1), mask_of(1, 7)], labels=labels))
        finding = the("unknown-values", seen)
        assert finding.message.splitlines() == [
            "2 masks hold values that are neither a class nor ignored:",
            f"{tmp_path / 'masks' / '0.png'}: value 7 (2 pixels), 9 (1 pixel)",
            f"{tmp_path / 'masks' / '2.png'}: value 7 (1 pixel)",
        ]
        assert "--ignore 7 --ignore 9" in finding.mend
        assert "[classes]" in finding.mend
        assert finding.pairs == ("train/0", "val/2")
        with pytest.raises(DataError, match="--ignore 7 --ignore 9"):
            seen.refuse_errors()


class TestProblems:
    def test_sizes_that_differ(self, tmp_path):
        dataset = dataset_of(tmp_path, [mask_of(0), np.zeros((4, 30), np.uint8)], [IMAGE, IMAGE])
        finding = the("size-differs", inspect(dataset))
        assert finding.message == (
            f"{tmp_path / 'masks/1.png'}: mask of 4x30 (height x width), image of 4x6: not of one picture."
        )
        assert finding.exclude == ("val/1",)

    def test_a_mask_that_is_a_few_pixels_off(self, tmp_path):
        dataset = dataset_of(tmp_path, [mask_of(0), np.zeros((4, 5), np.uint8)], [IMAGE, IMAGE])
        assert (
            "mask of 4x5 (height x width), image of 4x6: off by a few" in the("size-near", inspect(dataset)).message
        )

    def test_a_mask_turned_by_a_quarter(self, tmp_path):
        dataset = dataset_of(tmp_path, [mask_of(0), np.zeros((6, 4), np.uint8)], [IMAGE, IMAGE])
        message = the("size-turned", inspect(dataset)).message
        assert message.endswith("mask of 6x4 (height x width), image of 4x6: one of them is turned by a quarter.")

    @pytest.mark.parametrize("value", [np.inf, -np.inf])
    def test_infinite_pixels(self, tmp_path, value):
        dataset = dataset_of(tmp_path, [mask_of(0), mask_of(0)])
        image = dataset.splits["train"][0].image
        pixels = IMAGE.astype(np.float32)
        pixels[2, 3, 1] = value
        tifffile.imwrite(image, pixels, photometric="rgb")
        assert the("not-finite", inspect(dataset)).message == f"{image}: holds infinite pixels."

    def test_many_of_one_kind_are_one_finding_with_the_first_ten(self, tmp_path):
        dataset = dataset_of(tmp_path, [mask_of(0)] * 13)
        damaged = [pair.mask for pair in dataset.splits["train"]]
        for path in damaged:
            path.write_bytes(path.read_bytes()[:-20])
        finding = the("truncated", inspect(dataset))
        assert finding.message.startswith(f"{damaged[0]}: is damaged and cannot be decoded: ")
        assert finding.message.endswith(" And 11 more: train/1, train/2, train/3, train/4, train/5 and 6 more.")
        assert finding.count == 12
        assert finding.files == tuple(map(str, damaged[:10]))
        assert finding.pairs == finding.exclude == tuple(f"train/{number}" for number in range(12))

    def test_a_turned_picture_of_many_bands(self, tmp_path):
        """Its orientation is in a header that Pillow cannot read."""
        dataset = dataset_of(tmp_path, [mask_of(0, 1), np.zeros((6, 4), np.uint8)], [IMAGE, IMAGE])
        pixels = np.zeros((4, 6, 5), np.float32)
        for pair in (dataset.splits["train"][0], dataset.splits["val"][0]):
            tifffile.imwrite(
                pair.image,
                pixels,
                photometric="minisblack",
                planarconfig="contig",
                extratags=[(0x0112, 3, 1, 6, True)],
            )
        finding = the("size-exif", inspect(dataset))
        assert (finding.count, finding.settings) == (1, ('mend = ["exif"]',))


class TestBands:
    def test_grey_among_colours_counts_as_three_equal_bands(self, tmp_path):
        rng = np.random.default_rng(0)
        grey, colours = rng.integers(0, 256, (4, 6), np.uint8), rng.integers(0, 256, (4, 6, 3), np.uint8)
        seen = inspect(dataset_of(tmp_path, [mask_of(0, 1)] * 3, [grey, colours, colours]))
        both = np.stack([np.dstack([grey] * 3), colours]).astype(np.float64)
        assert seen.bands == 3
        assert seen.mean == pytest.approx(both.mean(axis=(0, 1, 2)))
        assert seen.std == pytest.approx(both.std(axis=(0, 1, 2)))

    def test_grey_alone_is_one_band(self, tmp_path):
        grey = np.arange(24, dtype=np.uint8).reshape(4, 6)
        seen = inspect(dataset_of(tmp_path, [mask_of(0, 1)] * 2, [grey, grey]))
        assert (seen.bands, seen.mean) == (1, (11.5,))

    def test_other_mixtures_are_refused(self, tmp_path):
        dataset = dataset_of(tmp_path, [mask_of(0)] * 3)
        image = dataset.splits["val"][0].image
        tifffile.imwrite(image, np.zeros((4, 6, 5), np.uint8), photometric="minisblack", planarconfig="contig")
        seen = inspect(dataset)
        assert the("bands", seen).message == (
            f"Most images have 3 bands, but not {image} (5 bands). All must have the same."
        )
        assert the("bands", seen).exclude == ("val/2",)
        assert not seen.ok


def test_a_list_that_leaves_out_the_background_is_not_guessed_at(tmp_path):
    root = write_scenes(tmp_path / "scenes", {"train": 6, "val": 3}, (48, 64))
    (root / "dataset.toml").write_text('classes = ["road", "vehicle", "pedestrian"]')
    seen = inspect(open_dataset(root))
    assert "background" in the("unknown-values", seen).message
    assert seen.labels is None
    assert not seen.ok

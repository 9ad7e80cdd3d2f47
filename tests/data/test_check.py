"""The survey: its numbers against NumPy's, and what training must not start with."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from intarsia.data.check import survey
from intarsia.data.index import Dataset, Pair, open_dataset
from intarsia.errors import DataError
from intarsia.labels import Labels
from tests.conftest import write_pair

IMAGE = np.zeros((4, 6, 3), dtype=np.uint8)


def mask_of(*values: int) -> np.ndarray:
    """A mask [4, 6] of the first value, with one pixel of each of the others."""
    mask = np.full((4, 6), values[0], dtype=np.uint8)
    mask.flat[: len(values)] = values
    return mask


def dataset_of(root: Path, masks: list[np.ndarray], images: list[np.ndarray] | None = None, **about) -> Dataset:
    """Pairs from arrays; the last one is val."""
    images = images or [np.zeros((*mask.shape, 3), np.uint8) for mask in masks]
    pairs = [
        write_pair(root, f"{n}", image, mask) for n, (image, mask) in enumerate(zip(images, masks, strict=True))
    ]
    return Dataset(root, {"train": tuple(pairs[:-1]), "val": tuple(pairs[-1:])}, **about)


def test_numbers_equal_numpys(scenes):
    dataset = open_dataset(scenes)
    seen = survey(dataset)
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
    assert seen.missing_in_train == ()


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
    seen = survey(Dataset(tmp_path, {"train": tuple(pairs[:2]), "val": tuple(pairs[2:])}))
    train = np.stack(images[:2]).astype(np.float64)
    assert seen.mean == pytest.approx(train.mean(axis=(0, 1, 2)), rel=1e-12)
    expected = train.std(axis=(0, 1, 2))
    expected[1] = 1
    assert seen.std == pytest.approx(expected, rel=1e-4)


def test_size_is_the_median_of_train(tmp_path):
    masks = [np.eye(*size, dtype=np.uint8) for size in [(4, 6), (8, 10), (6, 20), (99, 99)]]
    assert survey(dataset_of(tmp_path, masks)).size == (6, 10)


def test_progress_counts_every_pair(scenes):
    calls = []
    survey(open_dataset(scenes), lambda done, total: calls.append((done, total)))
    assert calls == [(done, 10) for done in range(1, 11)]


class TestClasses:
    def test_a_single_one_is_refused(self, tmp_path):
        with pytest.raises(DataError, match=r"one class only, 'class 0': nothing to tell apart"):
            survey(dataset_of(tmp_path, [mask_of(0)] * 2))

    def test_a_split_without_counted_pixels_is_refused(self, tmp_path):
        with pytest.raises(DataError, match="every pixel of the val masks is ignored"):
            survey(dataset_of(tmp_path, [mask_of(0, 1), np.full((4, 6), 255, np.uint8)]))

    def test_found_when_they_run_from_0_without_a_gap(self, tmp_path):
        seen = survey(dataset_of(tmp_path, [mask_of(0, 1), mask_of(2, 255), mask_of(1)]))
        assert seen.labels == Labels.of_values([0, 1, 2])
        assert seen.counts["train"].tolist() == [23, 1, 23]
        assert seen.counts["val"].tolist() == [0, 24, 0]

    def test_ignored_values_may_be_gaps(self, tmp_path):
        seen = survey(dataset_of(tmp_path, [mask_of(0, 1, 11), mask_of(1, 255)], ignore=(11,)))
        assert seen.labels.names == ("class 0", "class 1")
        assert seen.labels.ignore == (11, 255)

    @pytest.mark.parametrize(
        ("values", "stray"), [((0, 2), 2), ((1, 2), 1), ((0, 1, 11), 11), ((0, 64, 128, 255), 64)]
    )
    def test_gaps_are_refused_with_the_mend(self, tmp_path, values, stray):
        with pytest.raises(DataError) as raised:
            survey(dataset_of(tmp_path, [mask_of(values[0]), mask_of(*values), mask_of(values[0])]))
        message = str(raised.value)
        assert f"{tmp_path / 'masks' / ('0.png' if stray == values[0] else '1.png')} holds {stray}" in message
        assert f"--ignore {stray}" in message
        assert "[classes]" in message

    def test_0_and_255_are_refused_with_the_mend(self, tmp_path):
        with pytest.raises(DataError, match=r"only 0 and 255 .*1\.png.*\n *\[classes\]\n.* = 0\n.* = 255"):
            survey(dataset_of(tmp_path, [mask_of(0), mask_of(0, 255)]))

    def test_0_and_255_with_the_mend_applied(self, tmp_path):
        labels = Labels.of_values([0, 255])
        seen = survey(dataset_of(tmp_path, [mask_of(0, 255), mask_of(255)], labels=labels))
        assert seen.counts["train"].tolist() == [23, 1]

    def test_nothing_but_ignored_values(self, tmp_path):
        with pytest.raises(DataError, match=r"no value but ignored ones \(255\)"):
            survey(dataset_of(tmp_path, [mask_of(255), mask_of(255)]))

    def test_missing_in_train(self, tmp_path):
        seen = survey(dataset_of(tmp_path, [mask_of(0, 2), mask_of(1)]))
        assert seen.missing_in_train == ("class 1",)

    def test_an_unknown_value_is_named_with_file_count_and_option(self, tmp_path):
        labels = Labels.of_values([0, 1])
        with pytest.raises(DataError) as raised:
            survey(dataset_of(tmp_path, [mask_of(0, 7, 7, 9), mask_of(1), mask_of(1, 7)], labels=labels))
        message = str(raised.value)
        assert message.startswith("2 masks hold values that are neither a class nor ignored")
        assert f"{tmp_path / 'masks' / '0.png'}: value 7 (2 pixels), 9 (1 pixel)" in message
        assert f"{tmp_path / 'masks' / '2.png'}: value 7 (1 pixel)" in message
        assert "--ignore 7 --ignore 9" in message
        assert "[classes]" in message


class TestProblems:
    def test_sizes_that_differ(self, tmp_path):
        dataset = dataset_of(tmp_path, [mask_of(0), np.zeros((4, 5), np.uint8)], [IMAGE, IMAGE])
        with pytest.raises(DataError, match=r"1\.png: mask of 4x5 \(height x width\), image of 4x6.*one size\.$"):
            survey(dataset)

    def test_a_mask_turned_by_a_quarter(self, tmp_path):
        dataset = dataset_of(tmp_path, [mask_of(0), np.zeros((6, 4), np.uint8)], [IMAGE, IMAGE])
        with pytest.raises(DataError, match=r"mask of 6x4 .* image of 4x6.*turned by a quarter"):
            survey(dataset)

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_pixels_that_are_no_numbers(self, tmp_path, value):
        dataset = dataset_of(tmp_path, [mask_of(0), mask_of(0)])
        image = dataset.splits["train"][0].image
        pixels = IMAGE.astype(np.float32)
        pixels[2, 3, 1] = value
        tifffile.imwrite(image, pixels, photometric="rgb")
        with pytest.raises(DataError, match=r"0\.png: holds NaN or infinite"):
            survey(dataset)

    def test_the_first_ten_are_named_in_one_message(self, tmp_path):
        dataset = dataset_of(tmp_path, [mask_of(0)] * 13)
        damaged = [pair.mask for pair in dataset.splits["train"]]
        for path in damaged:
            path.write_bytes(path.read_bytes()[:40])
        with pytest.raises(DataError) as raised:
            survey(dataset)
        lines = str(raised.value).splitlines()
        assert [line.split(": ")[0] for line in lines[:10]] == [str(path) for path in damaged[:10]]
        assert lines[10:] == ["and 2 more files"]


class TestBands:
    def test_grey_among_colours_counts_as_three_equal_bands(self, tmp_path):
        rng = np.random.default_rng(0)
        grey, colours = rng.integers(0, 256, (4, 6), np.uint8), rng.integers(0, 256, (4, 6, 3), np.uint8)
        seen = survey(dataset_of(tmp_path, [mask_of(0, 1)] * 3, [grey, colours, colours]))
        both = np.stack([np.dstack([grey] * 3), colours]).astype(np.float64)
        assert seen.bands == 3
        assert seen.mean == pytest.approx(both.mean(axis=(0, 1, 2)))
        assert seen.std == pytest.approx(both.std(axis=(0, 1, 2)))

    def test_grey_alone_is_one_band(self, tmp_path):
        grey = np.arange(24, dtype=np.uint8).reshape(4, 6)
        seen = survey(dataset_of(tmp_path, [mask_of(0, 1)] * 2, [grey, grey]))
        assert (seen.bands, seen.mean) == (1, (11.5,))

    def test_other_mixtures_are_refused(self, tmp_path):
        dataset = dataset_of(tmp_path, [mask_of(0)] * 2)
        image = dataset.splits["val"][0].image
        tifffile.imwrite(image, np.zeros((4, 6, 5), np.float32), photometric="minisblack", planarconfig="contig")
        with pytest.raises(DataError, match=r"3 in .*0\.png; 5 in .*1\.png.*must have the same"):
            survey(dataset)

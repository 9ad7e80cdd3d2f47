"""Batches: a counted stream, the same whoever loads it and wherever it starts."""

import itertools
import signal

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from intarsia.data.augment import Augment
from intarsia.data.dataset import StreamBatches, TrainingPairs, batches, epoch_order, one_death_told, to_tensor
from intarsia.data.index import open_dataset
from intarsia.data.mixing import Mixing
from intarsia.data.pairs import Pair
from intarsia.errors import DataError
from intarsia.labels import Labels
from intarsia.settings import AugmentSettings
from tests.conftest import write_pair

SIZE = (32, 40)


def as_it_is(image, mask, rng):
    return image, mask


@pytest.fixture
def augmented(scenes) -> TrainingPairs:
    return stream(scenes)


def stream(scenes, mixing: Mixing | None = None, **changes) -> TrainingPairs:
    dataset = open_dataset(scenes)
    options = {
        "transform": Augment(AugmentSettings(), SIZE, 255),
        "size": SIZE,
        "seed": 0,
        "cache": False,
    }
    pairs = TrainingPairs(dataset.split("train"), dataset.labels, 3, **options | changes)
    pairs.mixing = mixing
    return pairs


def numbered(folder, count: int, **changes) -> TrainingPairs:
    """Pairs whose pixels are their own number."""
    pairs = [
        write_pair(folder, f"{n}", np.full((4, 6, 3), n, np.uint8), np.full((4, 6), n, np.uint8))
        for n in range(count)
    ]
    options = {"transform": as_it_is, "size": (4, 6), "seed": 0, "cache": False}
    return TrainingPairs(pairs, Labels.of_values(range(count)), 3, **options | changes)


def take(pairs: TrainingPairs, number: int, batch: int = 3, start: int = 0, workers: int = 0):
    return list(itertools.islice(batches(pairs, StreamBatches(batch, start), workers), number))


def assert_equal(one, two) -> None:
    assert len(one) == len(two)
    for (image, mask), (other_image, other_mask) in zip(one, two, strict=True):
        assert torch.equal(image, other_image)
        assert torch.equal(mask, other_mask)


def test_a_batch_is_channels_last_bytes_and_whole_numbers(augmented):
    image, mask = take(augmented, 1, batch=3)[0]
    assert (image.shape, image.dtype) == ((3, 3, *SIZE), torch.uint8)
    assert (mask.shape, mask.dtype) == ((3, *SIZE), torch.int64)
    assert image.is_contiguous(memory_format=torch.channels_last)
    assert set(mask.unique().tolist()) <= {0, 1, 2, 3, 255}


@pytest.mark.parametrize(("pairs", "batch"), [(1, 4), (3, 4), (5, 2), (4, 4)])
def test_batches_are_always_full(tmp_path, pairs, batch):
    for image, mask in take(numbered(tmp_path, pairs), 5, batch):
        assert len(image) == len(mask) == batch


@pytest.mark.parametrize(("pairs", "batch"), [(1, 4), (5, 2), (4, 3), (7, 7)])
def test_every_epoch_visits_each_pair_once(tmp_path, pairs, batch):
    seen = torch.cat([mask[:, 0, 0] for _, mask in take(numbered(tmp_path, pairs), 3 * pairs, batch)])
    epochs = seen[: len(seen) // pairs * pairs].reshape(-1, pairs)
    assert (epochs.sort(dim=1).values == torch.arange(pairs)).all()
    if pairs >= 5:
        assert len({tuple(epoch) for epoch in epochs.tolist()}) == len(epochs)


@pytest.mark.parametrize("start", [1, 2, 5])
def test_starting_later_equals_skipping(augmented, start):
    assert_equal(take(augmented, 2, start=start), take(augmented, start + 2)[start:])


def test_workers_change_nothing(augmented):
    assert_equal(take(augmented, 6, workers=2), take(augmented, 6, workers=0))


MIXES = ("mosaic", "cutmix", "copy_paste")
ALL_MIXED = Mixing(AugmentSettings(**dict.fromkeys(MIXES, 0.7)), rare=(1, 2))


@pytest.mark.parametrize("name", MIXES)
def test_mixing_changes_pairs(scenes, augmented, name):
    mixed = take(stream(scenes, mixing=Mixing(AugmentSettings(**{name: 1}), rare=(0, 1, 2, 3))), 1, batch=8)[0]
    plain = take(augmented, 1, batch=8)[0]
    assert (mixed[0] != plain[0]).flatten(1).any(dim=1).sum() >= 6
    assert (mixed[1] != plain[1]).flatten(1).any(dim=1).sum() >= 6


def test_mixing_with_probabilities_of_0_changes_nothing(scenes, augmented):
    assert_equal(take(stream(scenes, mixing=Mixing(AugmentSettings(), rare=(1, 2))), 6), take(augmented, 6))


def test_mixed_pairs_depend_on_their_number_alone(scenes):
    mixed = take(stream(scenes, mixing=ALL_MIXED), 6)
    assert_equal(take(stream(scenes, mixing=ALL_MIXED), 6, workers=2), mixed)
    assert_equal(take(stream(scenes, mixing=ALL_MIXED, cache=True), 6), mixed)
    assert_equal(take(stream(scenes, mixing=ALL_MIXED), 2, start=4), mixed[4:])


def test_partners_are_drawn_by_the_sample_and_varied_by_a_generator_of_their_own(tmp_path):
    """The image holds the transform's first draw, the mask the pair's number; a quarter of a mosaic for each."""

    def stamp(image, mask, rng):
        return np.full_like(image, rng.integers(256)), mask

    pairs = numbered(tmp_path, 5, seed=3, transform=stamp)
    pairs.mixing = Mixing(AugmentSettings(mosaic=1))
    for number in range(10):
        epoch, index = number // 5, int(epoch_order(3, number // 5, 5)[number % 5])
        rng = np.random.default_rng((3, epoch, index))
        stamps = [rng.integers(256)]
        rng.random(3)
        members = [index, *(int(rng.integers(5)) for _ in range(3))]
        stamps += [np.random.default_rng((3, epoch, index, 0, partner)).integers(256) for partner in (1, 2, 3)]
        image, mask = pairs[number]
        corners = [(0, 0), (0, -1), (-1, 0), (-1, -1)]
        assert [mask[at] for at in corners] == members
        assert [image[at][0] for at in corners] == stamps


def test_a_partner_that_cannot_be_read_is_skipped_for_the_next_one(tmp_path):
    pairs = numbered(tmp_path, 3, skip=True)
    pairs.mixing = Mixing(AugmentSettings(copy_paste=1), rare=(0, 2))  # whole pictures here
    pairs.pairs[1].image.write_bytes(b"")
    masks = [int(pairs[number][1][0, 0]) for number in range(60)]
    assert set(masks) == {0, 2}
    assert 0.5 < np.mean(np.array(masks) == 2) < 0.85  # 2 stands in for 1
    assert pairs.bad.tolist() == [0, 1, 0]


def test_the_cache_changes_nothing(scenes, augmented):
    assert_equal(take(stream(scenes, cache=True), 6), take(augmented, 6))


@pytest.mark.parametrize("cache", [False, True])
def test_a_transform_may_write_into_what_it_gets(tmp_path, cache):
    def darken(image, mask, rng):
        image //= 2
        mask[0] = 255
        return image, mask

    for image, mask in take(numbered(tmp_path, 4, transform=darken, cache=cache), 3, batch=4):
        assert sorted(image[:, 0, 0, 0].tolist()) == [0, 0, 1, 1]
        assert sorted(mask[:, 1, 0].tolist()) == [0, 1, 2, 3]


def test_another_seed_is_another_stream(scenes, augmented):
    (image, _), (other, _) = take(augmented, 1)[0], take(stream(scenes, seed=1), 1)[0]
    assert not torch.equal(image, other)
    assert not np.array_equal(epoch_order(0, 0, 50), epoch_order(1, 0, 50))
    assert not np.array_equal(epoch_order(0, 0, 50), epoch_order(0, 1, 50))


def test_cached_pairs_are_read_once(tmp_path):
    pairs = numbered(tmp_path, 2, cache=True)
    first = take(pairs, 1, batch=2)
    for pair in pairs.pairs:
        pair.image.unlink()
        pair.mask.unlink()
    later = take(pairs, 1, batch=2, start=1)
    assert first[0][0].unique().tolist() == later[0][0].unique().tolist() == [0, 1]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_file_that_became_unreadable_is_named_in_one_line(tmp_path, workers):
    pairs = numbered(tmp_path, 4)
    pairs.pairs[2].image.write_bytes(b"")
    with pytest.raises(DataError) as raised:
        take(pairs, 2, batch=4, workers=workers)
    assert (
        str(raised.value) == f"{pairs.pairs[2].image}: is not a picture, whatever its name says: the file is empty."
    )


@pytest.mark.parametrize("workers", [0, 1])
def test_a_value_without_a_meaning_is_named_with_its_file(tmp_path, workers):
    pairs = numbered(tmp_path, 2)
    Image.new("L", (6, 4), 77).save(pairs.pairs[1].mask)
    with pytest.raises(DataError) as raised:
        take(pairs, 1, batch=2, workers=workers)
    assert str(raised.value) == (f"{pairs.pairs[1].mask}: Mask value 77 (24 pixels): neither a class nor ignored.")


def too_small(image, mask, rng):
    return image[1:], mask[1:]


def one_band(image, mask, rng):
    return image[:, :, :1], mask


def mask_of_another_size(image, mask, rng):
    return image, mask[:, 1:]


@pytest.mark.parametrize(
    ("transform", "words"),
    [
        (too_small, r"image of \(3, 6, 3\) and a mask of \(3, 6\).*\(4, 6, 3\) and \(4, 6\) \(train\.size\).*crop"),
        (one_band, r"image of \(4, 6, 1\)"),
        (mask_of_another_size, r"mask of \(4, 5\)"),
    ],
)
def test_a_transform_of_another_size_is_refused(tmp_path, transform, words):
    with pytest.raises(DataError, match=words):
        take(numbered(tmp_path, 1, transform=transform), 1)


@pytest.mark.parametrize(
    ("dtype", "becomes"), [("uint8", torch.uint8), ("uint16", torch.float32), ("float32", torch.float32)]
)
def test_images_of_other_numbers_become_float32(dtype, becomes):
    images = np.array([0, 1, 255], dtype=dtype).reshape(1, 1, 3, 1)
    tensor = to_tensor(images)
    assert (tensor.dtype, tensor.shape) == (becomes, (1, 1, 1, 3))
    assert tensor.flatten().tolist() == [0, 1, 255]


def test_grey_files_become_the_bands_asked_for(tmp_path):
    pair: Pair = write_pair(tmp_path, "a", np.full((4, 6), 9, np.uint8), np.zeros((4, 6), np.uint8))
    pairs = TrainingPairs([pair], Labels.of_values([0]), 3, transform=as_it_is, size=(4, 6), seed=0, cache=False)
    image, _ = take(pairs, 1, batch=1)[0]
    assert image.shape == (1, 3, 4, 6)
    assert image.unique().tolist() == [9]


def of_floats(folder, array: np.ndarray, **changes) -> TrainingPairs:
    """One pair of a float picture [H, W, 2], all of class 0."""
    tifffile.imwrite(folder / "a.tif", array.astype(np.float32), planarconfig="contig")
    Image.fromarray(np.zeros(array.shape[:2], np.uint8)).save(folder / "a.png")
    pair, options = Pair("a", folder / "a.tif", folder / "a.png"), {"seed": 0, "cache": False}
    return TrainingPairs([pair], Labels.of_values([0, 1]), 2, **options | changes)


def test_what_a_transform_leaves_without_data_is_ignored(tmp_path) -> None:
    def holed(image, mask, rng):
        image[1, 2:4], image[2, :, 0] = np.nan, np.nan
        return image, mask

    _, mask = of_floats(tmp_path, np.ones((4, 6, 2)), transform=holed, size=(4, 6))[0]
    expected = np.zeros((4, 6), np.uint8)
    expected[1, 2:4] = 255
    assert mask.dtype == np.uint8
    assert np.array_equal(mask, expected)


@pytest.mark.parametrize("number", range(6))
def test_no_view_of_a_hole_counts(tmp_path, number) -> None:
    """Turned and blurred, a hole may be larger than it was: in the mask too."""
    array = np.ones((40, 50, 2))
    array[10:20, 10:20] = np.nan
    augment = Augment(AugmentSettings(rotate=30, blur=3), (32, 32), 255)
    image, mask = of_floats(tmp_path, array, transform=augment, size=(32, 32))[number]
    missing = np.isnan(image).all(axis=2)
    assert missing.any()
    assert (mask[missing] == 255).all()
    assert (mask[~missing] == 0).sum() > 300


@pytest.mark.parametrize("batch", [3, 4, 7])
def test_several_processes_share_every_batch(batch: int) -> None:
    """No sample is lost or repeated, also where their number changes in the middle of an epoch."""

    def part(rank: int, size: int, start: int, number: int) -> list[list[int]]:
        return list(itertools.islice(StreamBatches(batch, start, rank, size), number))

    first = [part(rank, 2, 0, 5) for rank in range(2)]
    then = [part(rank, 3, 5, 4) for rank in range(3)]
    seen = [number for parts in (first, then) for part in parts for numbers in part for number in numbers]
    assert sorted(seen) == list(range(9 * batch))
    assert {len(numbers) for part in first for numbers in part} <= {batch // 2, batch - batch // 2}


def test_a_pair_that_cannot_be_read_is_replaced_by_the_next(tmp_path) -> None:
    """In every epoch, whatever the number of workers; batches stay full."""
    pairs = numbered(tmp_path, 5, skip=True)
    pairs.pairs[2].image.write_bytes(b"")
    alone, with_workers = take(pairs, 6, batch=5), take(pairs, 6, batch=5, workers=2)
    assert_equal(alone, with_workers)
    for epoch, (image, _) in enumerate(alone):
        order = epoch_order(0, epoch, 5).tolist()
        following = order[(order.index(2) + 1) % 5]
        assert image[:, 0, 0, 0].tolist() == [following if number == 2 else number for number in order]
    assert pairs.bad.tolist() == [0, 0, 1, 0, 0]


def test_where_not_one_can_be_read_it_ends(tmp_path) -> None:
    pairs = numbered(tmp_path, 2, skip=True)
    for pair in pairs.pairs:
        pair.mask.write_bytes(b"")
    with pytest.raises(DataError, match="Not one of the training pairs can be read any more"):
        take(pairs, 1)


def test_of_two_workers_that_die_one_is_told() -> None:
    """torch would raise the second one's death wherever the first is being dealt with."""

    def tell(number: int, frame: object) -> None:
        raise RuntimeError("DataLoader worker is killed")

    before = signal.signal(signal.SIGCHLD, tell)
    try:
        with one_death_told():
            with pytest.raises(RuntimeError, match="is killed"):
                signal.raise_signal(signal.SIGCHLD)
            signal.raise_signal(signal.SIGCHLD)
        assert signal.getsignal(signal.SIGCHLD) is tell
    finally:
        signal.signal(signal.SIGCHLD, before)

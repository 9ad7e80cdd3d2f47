"""Pipelines of other libraries: seeded for each sample, so that no worker repeats another."""

import itertools
import os
import warnings

import numpy as np
import pytest
import torch

from intarsia.data.adapters import from_albumentations, from_torchvision
from intarsia.data.augment import Transform, sample_generator
from intarsia.data.dataset import StreamBatches, TrainingPairs, batches
from intarsia.data.index import open_dataset

SIZE = (24, 32)
PAIRS, BATCH, EPOCHS = 8, 4, 2


def albumentations_pipeline(size: tuple[int, int] = SIZE) -> Transform:
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # else its import asks the net for a newer version
    albumentations = pytest.importorskip("albumentations")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="albumentations")
        return from_albumentations(
            albumentations.Compose(
                [
                    albumentations.RandomCrop(*size, pad_if_needed=True, fill_mask=255),
                    albumentations.HorizontalFlip(p=0.5),
                ]
            )
        )


def torchvision_pipeline(size: tuple[int, int] = SIZE) -> Transform:
    v2 = pytest.importorskip("torchvision.transforms.v2")
    tv_tensors = pytest.importorskip("torchvision.tv_tensors")
    fill = {tv_tensors.Image: 0, tv_tensors.Mask: 255}
    return from_torchvision(
        v2.Compose([v2.RandomCrop(size, pad_if_needed=True, fill=fill), v2.RandomHorizontalFlip()])
    )


PIPELINES = pytest.mark.parametrize("pipeline", [albumentations_pipeline, torchvision_pipeline])


def samples(scenes, transform: Transform, workers: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    dataset = open_dataset(scenes)
    pairs = TrainingPairs(
        dataset.split("train"), dataset.labels, 3, transform=transform, size=SIZE, seed=0, cache=False
    )
    assert len(pairs.pairs) == PAIRS
    stream = batches(pairs, StreamBatches(BATCH), workers)
    taken = itertools.islice(stream, PAIRS * EPOCHS // BATCH)
    return [sample for image, mask in taken for sample in zip(image, mask, strict=True)]


@PIPELINES
def test_two_workers_give_all_distinct_crops_in_two_epochs(scenes, pipeline):
    transform = pipeline()
    loaded = samples(scenes, transform, workers=2)
    assert len({image.numpy().tobytes() for image, _ in loaded}) == PAIRS * EPOCHS
    for one, two in zip(loaded, samples(scenes, transform, workers=0), strict=True):
        assert torch.equal(one[0], two[0])
        assert torch.equal(one[1], two[1])


@PIPELINES
def test_one_picture_is_cropped_everywhere(pipeline):
    """Pixels that hold their own place tell where each crop came from; a flip tells itself."""
    transform = pipeline()
    rows, columns = np.indices((96, 128)).astype(np.uint8)
    image = np.dstack([rows, columns, rows])
    corners = set()
    for epoch, index in np.ndindex(4, 8):
        crop, mask = transform(image.copy(), rows.copy(), sample_generator(0, epoch, index))
        assert crop.dtype == mask.dtype == np.uint8
        assert np.array_equal(crop[:, :, 0], mask)
        assert (np.diff(crop[:, :, 0].astype(int), axis=0) == 1).all()
        corners.add(tuple(crop[0, 0]))
    assert len(corners) >= 31


@PIPELINES
def test_the_same_generator_gives_the_same_result_and_the_global_one_is_left_alone(pipeline):
    transform = pipeline()
    image = np.random.default_rng(0).integers(0, 256, (60, 70, 3), dtype=np.uint8)
    mask = image[:, :, 0].copy()
    before = torch.random.get_rng_state()
    one, two = (transform(image, mask, sample_generator(1, 2, 3)) for _ in range(2))
    other = transform(image, mask, sample_generator(1, 2, 4))
    assert np.array_equal(one[0], two[0])
    assert np.array_equal(one[1], two[1])
    assert not np.array_equal(one[0], other[0])
    assert torch.equal(torch.random.get_rng_state(), before)


@PIPELINES
@pytest.mark.parametrize("bands", [1, 3, 5])
def test_padding_of_the_mask_stays_ignored(pipeline, bands):
    image, mask = np.full((10, 12, bands), 200, np.uint8), np.full((10, 12), 2, np.uint8)
    padded, padded_mask = pipeline()(image, mask, sample_generator(0, 0, 0))
    assert padded.shape == (*SIZE, bands)
    assert dict(zip(*np.unique(padded_mask, return_counts=True), strict=True)) == {2: 120, 255: 24 * 32 - 120}
    assert (padded[padded_mask == 2] == 200).all()
    assert (padded[padded_mask == 255] == 0).all()

"""Batches for training: an endless, counted stream of augmented pairs.

The stream is a pure function of the seed: sample number p belongs to epoch p // n and has a place in that epoch's
permutation. Batches are cut from the stream, so each is full even where the data are fewer than a batch, and
a training continues anywhere by its step number alone.
"""

import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from intarsia.data.augment import Transform, sample_generator
from intarsia.data.pairs import Pair, read_pair
from intarsia.errors import DataError
from intarsia.labels import Labels

Sample = tuple[NDArray[Any], NDArray[Any]]
"""image [H, W, bands] as stored, mask [H, W] of class indices."""

Batch = tuple[Tensor, Tensor]
"""image [B, bands, H, W] uint8 or float32 (channels_last), mask [B, H, W] int64 class indices."""


class TrainingPairs(Dataset[Sample]):
    """Augmented pairs by their number in the endless stream.

    Args:
        pairs: the training split.
        labels: what the stored mask values mean.
        bands: bands of the images.
        transform: gives image [H, W, bands] and mask [H, W] of the training size.
        size: the training size, to check what `transform` gives.
        seed: of the order and of the augmentation.
        cache: keep decoded pairs in memory.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        labels: Labels,
        bands: int,
        *,
        transform: Transform,
        size: tuple[int, int],
        seed: int,
        cache: bool,
    ) -> None:
        self.pairs = pairs
        self.labels = labels
        self.bands = bands
        self.transform = transform
        self.size = size
        self.seed = seed
        self._decoded: dict[int, Sample] | None = {} if cache else None

    def __getitem__(self, number: int) -> Sample:
        """Sample `number` of the stream: image [H, W, bands], mask [H, W]."""
        epoch, place = divmod(number, len(self.pairs))
        index = int(epoch_order(self.seed, epoch, len(self.pairs))[place])
        image, mask = self.transform(*self.decode(index), sample_generator(self.seed, epoch, index))
        if image.shape != (*self.size, self.bands) or mask.shape != self.size:
            raise DataError(
                f"The transform gave an image of {image.shape} and a mask of {mask.shape}; expected are "
                f"{(*self.size, self.bands)} and {self.size} (train.size). Let it end with a crop to that size."
            )
        return image, mask

    def decode(self, index: int) -> Sample:
        """Pair `index` as it is, the caller's own copy: image [H, W, bands], mask [H, W] of class indices."""
        if self._decoded is not None and index in self._decoded:
            image, mask = self._decoded[index]
            return image.copy(), mask.copy()
        decoded = read_pair(self.pairs[index], self.labels, self.bands)
        if self._decoded is not None:
            self._decoded[index] = decoded[0].copy(), decoded[1].copy()
        return decoded


@lru_cache(maxsize=2)
def epoch_order(seed: int, epoch: int, length: int) -> NDArray[np.int64]:
    """The order of the pairs in one epoch: a permutation that depends on these numbers alone."""
    return np.random.default_rng((seed, epoch)).permutation(length)


@dataclass(frozen=True)
class StreamBatches(Sampler[list[int]]):
    """The numbers of the samples of each batch, from batch `start` on, without an end."""

    batch: int
    start: int = 0

    def __iter__(self) -> Iterator[list[int]]:
        number = self.start * self.batch
        while True:
            yield list(range(number, number + self.batch))
            number += self.batch


def batches(pairs: TrainingPairs, batch: int, start: int, workers: int, pin: bool = False) -> Iterator[Batch]:
    """The endless stream of batches, from batch number `start` on.

    Raises:
        DataError: a file became unreadable; it is named, whichever process met it.
    """
    loader: DataLoader[Any] = DataLoader(
        pairs,
        batch_sampler=StreamBatches(batch, start),
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pin,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_leave_stopping_to_the_parent,
        generator=torch.Generator(),  # its own: drawing from the global one would shift dropout after a resume
    )
    try:
        yield from loader
    except DataError as error:
        error.__traceback__ = None  # it holds the loader: left to the garbage collector, its workers take 5 s each
        # A worker's error comes with its whole traceback as the message.
        raise DataError(str(error).rpartition(f"{type(error).__name__}: ")[2].strip()) from None


def _leave_stopping_to_the_parent(worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(0)


def collate(samples: Sequence[Sample]) -> Batch:
    """Stacks samples; the image batch is channels_last in memory, as the pictures were."""
    images = np.stack([image for image, _ in samples])
    masks = np.stack([mask for _, mask in samples])
    return to_tensor(images), torch.from_numpy(masks.astype(np.int64))


def to_tensor(images: NDArray[Any]) -> Tensor:
    """[B, H, W, bands] of any dtype -> [B, bands, H, W], uint8 as it is and everything else float32."""
    if images.dtype != np.uint8:
        images = images.astype(np.float32)
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def memory_bytes() -> int:
    """Physical memory of this machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4 << 30

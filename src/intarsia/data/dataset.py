"""Batches for training: an endless, counted stream of augmented pairs.

The stream is a pure function of the seed: sample number p belongs to epoch p // n and has a place in that epoch's
permutation. Batches are cut from the stream, so each is full even where the data are fewer than a batch, and
a training continues anywhere by its step number alone.
"""

import os
import signal
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import count
from types import FrameType
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from intarsia.data.augment import Transform, sample_generator
from intarsia.data.mixing import Mixing
from intarsia.data.nodata import without_data
from intarsia.data.pairs import Pair, read_pair
from intarsia.errors import DataError, MachineError, first_line, listing
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
        skip: take the next pair in the order where one cannot be read, instead of an error.

    Attributes:
        bad: [pairs] uint8, 1 for each that was skipped; shared with the loader's workers.
        busy: [workers] int64, the pair that each worker is at, or -1; shared too.
        closing: [1] uint8, 1 as soon as the workers may be ended; shared too.
        mixing: what makes one pair of several after `transform`; None for none.
    """

    bad: Tensor
    busy: Tensor
    closing: Tensor

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
        skip: bool = False,
    ) -> None:
        self.pairs = pairs
        self.labels = labels
        self.bands = bands
        self.transform = transform
        self.size = size
        self.seed = seed
        self.skip = skip
        self.bad = torch.zeros(len(pairs), dtype=torch.uint8)
        self.busy = torch.full((1,), -1)
        self.closing = torch.zeros(1, dtype=torch.uint8)
        self.mixing: Mixing | None = None
        self._decoded: dict[int, Sample] | None = {} if cache else None

    def __getitem__(self, number: int) -> Sample:
        """Sample `number` of the stream: image [H, W, bands], mask [H, W].

        Raises:
            DataError: a file cannot be read, or the transform fails; the file is named.
        """
        epoch, place = divmod(number, len(self.pairs))
        order = epoch_order(self.seed, epoch, len(self.pairs))
        for further in range(len(self.pairs)):
            index = int(order[(place + further) % len(self.pairs)])
            rng = sample_generator(self.seed, epoch, index, further)
            if (sample := self._varied(index, rng)) is not None:
                return self._mixed(sample, rng, (epoch, index, further))
        raise DataError("Not one of the training pairs can be read any more.")

    def of_number(self, number: int) -> Pair:
        """The pair that sample `number` is made of."""
        epoch, place = divmod(number, len(self.pairs))
        return self.pairs[int(epoch_order(self.seed, epoch, len(self.pairs))[place])]

    @contextmanager
    def _at(self, index: int) -> Iterator[None]:
        """Within, this process is at a pair: whoever waits for it can tell at which."""
        worker = get_worker_info()
        place = worker.id if worker else 0
        self.busy[place] = index
        yield
        self.busy[place] = -1

    def _mixed(self, sample: Sample, rng: np.random.Generator, source: tuple[int, int, int]) -> Sample:
        """The sample with partners that its generator draws; each is varied by a generator of its own."""
        if self.mixing is None:
            return sample
        numbers = count(1)

        def partner() -> Sample:
            first, own = int(rng.integers(len(self.pairs))), sample_generator(self.seed, *source, next(numbers))
            others = (self._varied((first + step) % len(self.pairs), own) for step in range(len(self.pairs)))
            return next((other for other in others if other is not None), sample)

        return self.mixing(*sample, partner, rng)

    def _varied(self, index: int, rng: np.random.Generator) -> Sample | None:
        """Pair `index` through the transform; None where it cannot be read and is skipped."""
        with self._at(index):
            try:
                pair = self.decode(index)
            except DataError:
                if not self.skip:
                    raise
                self.bad[index] = 1
                return None
            return self._transformed(pair, index, rng)

    def _transformed(self, pair: Sample, index: int, rng: np.random.Generator) -> Sample:
        try:
            image, mask = self.transform(*pair, rng)
        except Exception as error:  # a transform of the user's own may raise anything
            raise DataError(
                f"{self.pairs[index].image}: the transform failed: {type(error).__name__}: {error}"
            ) from error
        if image.shape != (*self.size, self.bands) or mask.shape != self.size:
            raise DataError(
                f"The transform gave an image of {image.shape} and a mask of {mask.shape}; expected are "
                f"{(*self.size, self.bands)} and {self.size} (train.size). Let it end with a crop to that size."
            )
        missing = without_data(image)  # more than before: what is interpolated with NaN is NaN
        return image, mask if missing is None else np.where(missing, self.labels.ignore_index, mask)

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
    """The numbers of the samples of each batch, from batch `start` on, without an end.

    Attributes:
        batch: samples in a batch.
        start: number of the first batch.
        rank: number of this process; it gets every `size`-th sample of each batch.
        size: number of processes.
    """

    batch: int
    start: int = 0
    rank: int = 0
    size: int = 1

    def __iter__(self) -> Iterator[list[int]]:
        number = self.start * self.batch
        while True:
            yield list(range(number + self.rank, number + self.batch, self.size))
            number += self.batch


def batches(
    pairs: TrainingPairs, numbers: StreamBatches, workers: int, *, timeout: float = 0.0, pin: bool = False
) -> Generator[Batch, None, None]:
    """The endless stream of batches.

    Args:
        pairs: the training pairs.
        numbers: which samples, from where on.
        workers: processes that load; 0 for this one.
        timeout: seconds to wait for a worker; 0 for ever.
        pin: into page-locked memory, for a GPU.

    Raises:
        DataError: a file became unreadable; it is named, whichever process met it.
        RuntimeError: a worker died or hangs; see `naming_files_in_flight`.
    """
    if workers:
        pairs.bad.share_memory_()  # type: ignore[no-untyped-call]
        pairs.busy = torch.full((workers,), -1)
        pairs.busy.share_memory_()  # type: ignore[no-untyped-call]
        pairs.closing = torch.zeros(1, dtype=torch.uint8)
        pairs.closing.share_memory_()  # type: ignore[no-untyped-call]
    loader: DataLoader[Any] = DataLoader(
        pairs,
        batch_sampler=numbers,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pin,
        prefetch_factor=4 if workers else None,
        timeout=timeout if workers else 0,
        worker_init_fn=partial(_as_worker, os.getpid(), pairs.closing),
        generator=torch.Generator(),  # its own: drawing from the global one would shift dropout after a resume
    )
    stream = iter(loader)
    with one_death_told():
        try:
            yield from stream
        except DataError as error:
            error.__traceback__ = None  # it holds the loader
            # A worker's error comes with its whole traceback as the message.
            raise DataError(str(error).rpartition(f"{type(error).__name__}: ")[2].strip()) from None
        finally:
            pairs.closing.fill_(1)
            if workers:  # left to the garbage collector, they take 5 s each
                stream._shutdown_workers()  # type: ignore[attr-defined]


@contextmanager
def one_death_told() -> Iterator[None]:
    """Within, the death of a worker is raised once.

    torch raises it wherever the main thread is, for each worker: also while the first is being dealt with.
    """
    mine = hasattr(signal, "SIGCHLD") and threading.current_thread() is threading.main_thread()
    tell, told = signal.getsignal(signal.SIGCHLD) if mine else None, False
    if tell is None:
        yield
        return

    def tell_once(number: int, frame: FrameType | None) -> None:
        nonlocal told
        if callable(tell) and not told:
            try:
                tell(number, frame)
            except RuntimeError:
                told = True
                raise

    signal.signal(signal.SIGCHLD, tell_once)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, tell)


@contextmanager
def naming_files_in_flight(pairs: TrainingPairs) -> Iterator[None]:
    """Around everything that uses `batches`: torch raises the death of a worker wherever the main thread is.

    Raises:
        MachineError: a worker died or hangs; the files that the workers were at are named.
    """
    try:
        yield
    except RuntimeError as error:
        if "DataLoader" not in str(error):
            raise
        error.__traceback__ = None  # it holds the loader
        reason = first_line(error)
        files = [str(pairs.pairs[index].image) for index in pairs.busy.tolist() if index >= 0]
        raise MachineError(
            f"{reason}. Files that the workers were at: {listing(files) or 'none'}. Where one of them is the "
            "reason, take it out of the dataset; one that was killed may have had too little memory (--workers 0)."
        ) from None


def _as_worker(trainer: int, closing: Tensor, worker: int) -> None:
    """Leaves stopping to the training process, and never outlives it: not even one that was killed.

    A SIGTERM may have been sent to all processes of a group: then the training still wants its pictures. It counts
    when the training is closing.
    """

    def end(number: int, frame: FrameType | None) -> None:
        if closing.item():
            os._exit(128 + number)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, end)
    cv2.setNumThreads(0)
    if os.name == "posix":
        threading.Thread(target=_end_with, args=(trainer, os.getppid()), daemon=True).start()


def _end_with(trainer: int, parent: int) -> None:
    """Ends this process as soon as the training process, or whoever started this one, is gone."""
    while os.getppid() == parent:
        time.sleep(1)
        try:
            os.kill(trainer, 0)  # asks whether it is there
        except ProcessLookupError:
            break
    os._exit(1)


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

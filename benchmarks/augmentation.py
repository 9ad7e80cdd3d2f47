"""Milliseconds per pair: decoding, our augmentation, and Albumentations' pipeline on the same pictures, paired.

    python -m benchmarks.augmentation [FOLDER]

FOLDER is a dataset in any known layout; left out, 360x480 road scenes are drawn. One core, no worker processes.
Both sides start from the same decoded arrays and end with a normalised float32 image and an index mask. "The same
operations" are scale, crop, flip, brightness, contrast, saturation; "all" adds rotation, gamma, blur, noise.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

import albumentations
import cv2
import torch
from numpy.typing import NDArray

from intarsia.data.augment import Augment, sample_generator
from intarsia.data.check.inspection import inspect
from intarsia.data.dataset import to_tensor
from intarsia.data.index import open_dataset
from intarsia.data.pairs import read_pair
from intarsia.networks import segmenter
from intarsia.settings import AugmentSettings
from intarsia.synthetic.scenes import write_scenes

SIZE = (352, 480)
PAIRS = 40
ROUNDS = 15
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

Pair = tuple[NDArray[Any], NDArray[Any]]
Work = Callable[[int, NDArray[Any], NDArray[Any]], None]


def ours(settings: AugmentSettings, normalise: bool) -> Work:
    """The built-in augmentation, with or without the normalisation, which the model does."""
    augment = Augment(settings, SIZE, 255)

    def work(number: int, image: NDArray[Any], mask: NDArray[Any]) -> None:
        augmented, _ = augment(image, mask, sample_generator(0, 0, number))
        if normalise:
            segmenter.normalise(to_tensor(augmented[None]), OUR_MEAN, OUR_STD)

    return work


def theirs(number: int, image: NDArray[Any], mask: NDArray[Any]) -> None:
    """Scale, pad, crop, flip, jitter, normalise with Albumentations."""
    ALBUMENTATIONS(image=image, mask=mask)


SAME = AugmentSettings(scale=(0.5, 2.0), rotate=0, gamma=0, noise=0, blur=0)
ALL = AugmentSettings(scale=(0.5, 2.0))
OUR_MEAN = torch.tensor(MEAN).view(1, 3, 1, 1) * 255
OUR_STD = torch.tensor(STD).view(1, 3, 1, 1) * 255
ALBUMENTATIONS = albumentations.Compose(
    [
        albumentations.RandomScale((-0.5, 1.0), p=1.0),
        albumentations.PadIfNeeded(*SIZE, fill_mask=255),
        albumentations.RandomCrop(*SIZE),
        albumentations.HorizontalFlip(p=0.5),
        albumentations.ColorJitter(0.1, 0.2, 0.3, 0.0, p=1.0),
        albumentations.Normalize(MEAN, STD),
    ]
)


def milliseconds(work: Work, pairs: Sequence[Pair]) -> float:
    """Mean milliseconds per pair of one pass."""
    started = time.perf_counter()
    for number, (image, mask) in enumerate(pairs):
        work(number, image, mask)
    return (time.perf_counter() - started) * 1000 / len(pairs)


def main() -> None:
    """Prints medians, and the ratio pass by pass."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(sys.argv[1]) if len(sys.argv) > 1 else write_scenes(Path(folder), {"train": PAIRS}, (360, 480))
        dataset = open_dataset(root)
        labels = inspect(dataset).refuse_errors()
        files = dataset.split("train")[:PAIRS]
        decoding = []
        for _ in range(3):
            started = time.perf_counter()
            pairs = [read_pair(pair, labels, bands=3) for pair in files]
            decoding.append((time.perf_counter() - started) * 1000 / len(pairs))
    works = {
        "Albumentations": theirs,
        "ours, the same operations": ours(SAME, normalise=True),
        "  without normalisation": ours(SAME, normalise=False),
        "ours, all, without it": ours(ALL, normalise=False),
    }
    for work in works.values():
        milliseconds(work, pairs)
    rounds = [{name: milliseconds(work, pairs) for name, work in works.items()} for _ in range(ROUNDS)]
    height, width = pairs[0][1].shape
    decode = statistics.median(decoding)
    print(f"{len(pairs)} pairs of {height}x{width}, crops of {SIZE[0]}x{SIZE[1]}, one core")
    print(f"decoding image and mask    {decode:6.2f} ms per pair")
    for name in works:
        median = statistics.median(one[name] for one in rounds)
        ratios = sorted(one["Albumentations"] / one[name] for one in rounds)
        print(
            f"{name:<26} {median:6.2f} ms per pair, {decode + median:6.2f} with decoding; Albumentations "
            f"{albumentations.__version__} takes {statistics.median(ratios):.2f} times as long "
            f"({ratios[0]:.2f} to {ratios[-1]:.2f} in {ROUNDS} passes)"
        )


if __name__ == "__main__":
    main()

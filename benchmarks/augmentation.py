"""Milliseconds per pair: decoding, our augmentation, and Albumentations' pipeline on the same pictures, paired.

    python -m benchmarks.augmentation [FOLDER]

FOLDER is a dataset in any known layout; left out, 360x480 road scenes are drawn. One core, no worker processes.
Both sides start from the same decoded arrays and end with a normalised float32 image and an index mask.
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
import numpy as np
import torch
from numpy.typing import NDArray

from intarsia.data.augment import Augment, sample_generator
from intarsia.data.check import read_pair
from intarsia.data.dataset import to_tensor
from intarsia.data.index import open_dataset
from intarsia.settings import AugmentSettings
from intarsia.synthetic.scenes import write_scenes

SIZE = (320, 320)
PAIRS = 40
ROUNDS = 15
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

Pair = tuple[NDArray[Any], NDArray[Any]]


def ours(number: int, image: NDArray[Any], mask: NDArray[Any]) -> None:
    """The built-in augmentation, and the normalisation that the model does."""
    augmented, _ = AUGMENT(image, mask, sample_generator(0, 0, number))
    planes = to_tensor(augmented[None])
    (planes.float() - OUR_MEAN) / OUR_STD


def theirs(number: int, image: NDArray[Any], mask: NDArray[Any]) -> None:
    """Scale, pad, crop, flip, jitter, normalise with Albumentations."""
    ALBUMENTATIONS(image=image, mask=mask)


AUGMENT = Augment(AugmentSettings(), SIZE, 255)
OUR_MEAN = torch.tensor(MEAN).view(1, 3, 1, 1) * 255
OUR_STD = torch.tensor(STD).view(1, 3, 1, 1) * 255
ALBUMENTATIONS = albumentations.Compose(
    [
        albumentations.RandomScale((-0.5, 1.0), p=1.0),
        albumentations.PadIfNeeded(*SIZE, fill_mask=255),
        albumentations.RandomCrop(*SIZE),
        albumentations.HorizontalFlip(p=0.5),
        albumentations.ColorJitter(0.2, 0.25, 0.3, 0.0, p=1.0),
        albumentations.Normalize(MEAN, STD),
    ]
)


def milliseconds(work: Callable[[int, NDArray[Any], NDArray[Any]], None], pairs: Sequence[Pair]) -> float:
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
        files = open_dataset(root).split("train")[:PAIRS]
        decoding = []
        for _ in range(3):
            started = time.perf_counter()
            pairs = [read_pair(pair) for pair in files]
            decoding.append((time.perf_counter() - started) * 1000 / len(pairs))
    milliseconds(ours, pairs)
    milliseconds(theirs, pairs)
    rounds = [(milliseconds(ours, pairs), milliseconds(theirs, pairs)) for _ in range(ROUNDS)]
    mine, other = (statistics.median(column) for column in zip(*rounds, strict=True))
    ratios = sorted(their / our for our, their in rounds)
    decode = statistics.median(decoding)
    height, width = pairs[0][1].shape
    print(f"{len(pairs)} pairs of {height}x{width}, crops of {SIZE[0]}x{SIZE[1]}, one core")
    print(f"decoding image and mask      {decode:6.2f} ms per pair")
    print(f"augmentation, ours           {mine:6.2f} ms per pair")
    print(f"augmentation, Albumentations {other:6.2f} ms per pair ({albumentations.__version__})")
    print(f"ratio {np.median(ratios):.2f} (from {ratios[0]:.2f} to {ratios[-1]:.2f} in {ROUNDS} passes)")
    whole = (decode + other) / (decode + mine)
    print(f"with decoding: ours {decode + mine:.2f}, theirs {decode + other:.2f}, ratio {whole:.2f}")


if __name__ == "__main__":
    main()

"""How many planted misaligned masks `check` finds, and how many sound ones it names, on a set of pictures.

    python -m benchmarks.misalignment [FOLDER]

FOLDER is a dataset in any known format; left out, ten sets of 40 road scenes are drawn. In each round one pair in
20 is spoiled: mirrored left-right, turned upside down, or shifted by about a tenth of its side.
"""

import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intarsia.data.check.features import alignment, small_mask, small_picture
from intarsia.data.check.looks import Look
from intarsia.data.check.placement import misaligned
from intarsia.data.check.records import Record
from intarsia.data.index import find_dataset
from intarsia.data.pairs import Dataset
from intarsia.data.read import read_image, read_mask
from intarsia.synthetic.scenes import write_scenes

EVERY = 20
FAULTS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "mirrored left-right": lambda mask: mask[:, ::-1],
    "upside down": lambda mask: mask[::-1],
    "shifted": lambda mask: np.roll(mask, (mask.shape[0] // 16, mask.shape[1] // 12), (0, 1)),
}


def count(dataset: Dataset) -> dict[str, tuple[int, int]]:
    """{fault: (found, planted)}, and under "none" the sound pairs that are named."""
    places = [(split, pair) for split, pairs in dataset.splits.items() for pair in pairs]
    decoded = [(small_picture(read_image(pair.image)), read_mask(pair.mask)) for _, pair in places]
    sound = [
        Look(split, pair, placed(picture, mask))
        for (split, pair), (picture, mask) in zip(places, decoded, strict=True)
    ]
    result = {"none": (len(named(sound)), len(sound))}
    for fault, spoil in FAULTS.items():
        found = planted = 0
        for first in range(EVERY):
            looks = list(sound)
            for index in range(first, len(looks), EVERY):
                picture, mask = decoded[index]
                looks[index] = replace(looks[index], record=placed(picture, spoil(mask)))
                planted += 1
            wanted = {f"{look.split}/{look.pair.name}" for look in looks[first::EVERY]}
            found += len(named(looks) & wanted)
        result[fault] = (found, planted)
    return result


def placed(picture: NDArray[np.float32], mask: NDArray[Any]) -> Record:
    """A record of nothing but where the mask lies."""
    aligned = alignment(picture, small_mask(mask, picture.shape))
    return Record(placement=aligned.packed() if aligned else b"")


def named(looks: list[Look]) -> set[str]:
    """The pairs that the finding names."""
    return {
        pair
        for finding in misaligned(looks, lambda look: f"{look.split}/{look.pair.name}")
        for pair in finding.pairs
    }


def main() -> None:
    """Counts and prints."""
    with tempfile.TemporaryDirectory() as folder:
        roots = (
            [Path(sys.argv[1])]
            if len(sys.argv) > 1
            else [
                write_scenes(Path(folder) / str(seed), {"train": 40}, (128, 160), seed=seed) for seed in range(10)
            ]
        )
        counts = [count(find_dataset(root)) for root in roots]
    for fault in counts[0]:
        found, of = (sum(one[fault][part] for one in counts) for part in (0, 1))
        what = "sound pairs named" if fault == "none" else f"{fault}, found"
        print(f"{what:<28} {found} of {of} ({found / of:.1%})")


if __name__ == "__main__":
    main()

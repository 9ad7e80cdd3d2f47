"""Seconds and memory of `intarsia check` on 10,000 pairs of 512x512, against decoding them with Pillow.

    python -m benchmarks.check_speed [FOLDER] [--pairs 10000]

FOLDER keeps the drawn pairs (PNG, about 4 GB) for another run; left out, they go to a temporary folder. Pillow
decodes images and masks to arrays in as many threads as there are cores. The check runs as the real command, in
turn with Pillow, with nothing remembered and then with what it remembers; so does one of a tenth of the pairs, for
the memory that each further file takes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from intarsia.synthetic.scenes import write_scenes

SIDE = 512
SCENES = 100  # drawn; every pair is one of them, warped and tinted anew
ROUNDS = 3
ROW = "{:.2f}x: Pillow {:.1f} s, check {:.1f} s, again {:.2f} s, peak {:.0f} MiB, {:.0f} bytes a file"


def write_pairs(folder: Path, number: int) -> None:
    """Writes images/ and masks/ with `number` pairs, all different."""
    scenes = write_scenes(folder / "scenes", {"train": SCENES}, (SIDE, SIDE))
    sources = sorted((scenes / "images" / "train").iterdir())
    pictures = [np.asarray(Image.open(path)) for path in sources]
    masks = [np.asarray(Image.open(scenes / "masks" / "train" / path.name)) for path in sources]
    for kind in ("images", "masks"):
        (folder / kind).mkdir()

    def write(index: int) -> None:
        rng = np.random.default_rng(index)
        corners = np.float32([[0, 0], [SIDE, 0], [0, SIDE]])
        matrix = cv2.getAffineTransform(corners, np.float32(corners + rng.normal(0, SIDE / 8, (3, 2))))
        size, border = (SIDE, SIDE), cv2.BORDER_REFLECT
        picture = cv2.warpAffine(pictures[index % SCENES], matrix, size, borderMode=border)
        mask = cv2.warpAffine(masks[index % SCENES], matrix, size, flags=cv2.INTER_NEAREST, borderMode=border)
        noisy = picture + rng.normal(0, 2, picture.shape) + rng.normal(0, 10, 3)
        tinted = np.clip(noisy, 0, 255).astype(np.uint8)
        Image.fromarray(tinted).save(folder / "images" / f"{index:06d}.png", compress_level=1)
        Image.fromarray(mask).save(folder / "masks" / f"{index:06d}.png")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(write, range(number)))


def decode_with_pillow(folder: Path) -> float:
    """Seconds to decode every picture to an array, on all cores."""
    paths = [path for kind in ("images", "masks") for path in sorted((folder / kind).iterdir())]
    started = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(lambda path: np.asarray(Image.open(path)).shape, paths):
            pass
    return time.perf_counter() - started


def check(folder: Path, cache: Path) -> tuple[float, int]:
    """Seconds and peak memory in bytes of the command, whole process."""
    command = [sys.executable, "-m", "intarsia", "check", str(folder), "--json"]
    environment = {**os.environ, "INTARSIA_CACHE": str(cache)}
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
    output = process.stdout.read() if process.stdout else b""
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    assert json.loads(output)["splits"], status
    return seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    """Writes the pairs where they are not there yet, measures, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--pairs", type=int, default=10_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = arguments.folder or Path(temporary)
        many, few = root / f"pairs{arguments.pairs}", root / f"pairs{arguments.pairs // 10}"
        for folder, number in ((many, arguments.pairs), (few, arguments.pairs // 10)):
            if not (folder / "masks").is_dir():
                folder.mkdir(parents=True)
                write_pairs(folder, number)
        rounds = []
        for number in range(ROUNDS):
            cache = Path(temporary) / f"cache{number}"
            pillow = decode_with_pillow(many)
            fresh, memory = check(many, cache)
            again, _ = check(many, cache)
            _, memory_of_few = check(few, cache)  # nothing is remembered of these yet
            each = (memory - memory_of_few) / (2 * (arguments.pairs - arguments.pairs // 10))
            rounds.append((fresh / pillow, pillow, fresh, again, memory / 2**20, each))
            print(ROW.format(*rounds[-1]))
        print("median", ROW.format(*np.median(rounds, axis=0)))


if __name__ == "__main__":
    main()

"""A GeoTIFF far larger than memory should care about: time against the bare network, and peak memory.

    python -m benchmarks.large_picture [SIDE ...]

Writes three-band GeoTIFFs (tiles of 256, deflate) of each side (20,000 and 40,000 pixels) and predicts them with
the default small network of five classes, through the real command. The bare network is asked about as many tiles
of the same sizes as the prediction has, one at a time, with its pixels in memory and its answer thrown away: once
before the prediction and once after it. For the second side and on, the prediction alone.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import rasterio
import torch
from rasterio.transform import from_origin
from rasterio.windows import Window

from intarsia.inference import predict_logits, tiling_for
from intarsia.labels import Labels
from intarsia.loading import load
from intarsia.modelfile import ModelCard, build_segmenter, save_model
from intarsia.settings import DataSettings, ModelSettings

BLOCK = 2000
COMMAND = """
import sys, time
from intarsia.cli import main
started = time.perf_counter()
try:
    main(sys.argv[1:])
finally:
    seconds = time.perf_counter() - started
    peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print(f"{seconds} {peak}", file=sys.stderr)
"""


def write_model(path: Path) -> Path:
    """The default network for a CPU, with random weights."""
    settings = ModelSettings(name="compact", width=32, stem=4)
    card = ModelCard(settings, Labels.of_values(range(5)), 3, DataSettings())
    torch.manual_seed(0)
    save_model(build_segmenter(card, (110.0,) * 3, (60.0,) * 3), card, path)
    return path


def write_geotiff(path: Path, side: int) -> Path:
    """Soft fields with the noise of a camera, repeated: about as hard to decode as a photograph."""
    rng = np.random.default_rng(0)
    fields = cv2.resize(
        rng.integers(0, 256, (40, 40, 3), dtype=np.uint8), (BLOCK, BLOCK), interpolation=cv2.INTER_CUBIC
    )
    block = np.clip(fields + rng.normal(0, 3, fields.shape), 0, 255).astype(np.uint8)
    place = {"crs": "EPSG:32633", "transform": from_origin(500_000, 5_400_000, 0.5, 0.5)}
    layout = {"tiled": True, "compress": "deflate", "zlevel": 1, "BIGTIFF": "IF_SAFER", "interleave": "pixel"}
    with rasterio.open(
        path, "w", driver="GTiff", height=side, width=side, count=3, dtype="uint8", **place, **layout
    ) as file:
        for top in range(0, side, BLOCK):
            for left in range(0, side, BLOCK):
                height, width = min(BLOCK, side - top), min(BLOCK, side - left)
                file.write(block[:height, :width].transpose(2, 0, 1), window=Window(left, top, width, height))
    return path


def predicted(model: Path, picture: Path, out: Path) -> tuple[float, float]:
    """Seconds from the first import of ours to the end, and MiB of peak resident memory."""
    arguments = ["predict", str(model), str(picture), "--out", str(out), "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments], check=True, stderr=subprocess.PIPE, text=True
    )
    seconds, peak = done.stderr.split()[-2:]
    return float(seconds), int(peak) / 1024


def bare(model: Path, side: int) -> tuple[float, int]:
    """Seconds of the network over tiles of the same sizes, and their number; in a process like the command's."""
    arguments = [sys.executable, "-m", "benchmarks.large_picture", "--bare", str(model), str(side)]
    done = subprocess.run(
        arguments, check=True, capture_output=True, text=True, env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    )
    seconds, tiles = done.stdout.split()
    return float(seconds), int(tiles)


def ask(model: Path, side: int) -> None:
    """Prints seconds and number of tiles of the bare network."""
    segmenter = load(model, "cpu").segmenter
    windows = list(tiling_for(segmenter, side, side).windows)
    pixels = np.random.default_rng(0).integers(0, 256, (1024, 1024, 3), dtype=np.uint8)
    predict_logits(segmenter, pixels)
    started = time.perf_counter()
    for window in windows:
        predict_logits(segmenter, pixels[: window.height, : window.width])
    print(time.perf_counter() - started, len(windows))


def main() -> None:
    """Prints time and peak for each side."""
    if sys.argv[1:2] == ["--bare"]:
        ask(Path(sys.argv[2]), int(sys.argv[3]))
        return
    sides = [int(side) for side in sys.argv[1:]] or [20_000, 40_000]
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        model = write_model(Path(folder) / "model.safetensors")
        for number, side in enumerate(sides):
            picture = write_geotiff(Path(folder) / f"{side}.tif", side)
            if number:
                seconds, peak = predicted(model, picture, Path(folder) / f"out-{side}")
                print(f"{side:,} x {side:,}: {seconds:.1f} s, peak {peak:,.0f} MiB", flush=True)
                continue
            alone, tiles = bare(model, side)
            seconds, peak = predicted(model, picture, Path(folder) / f"out-{side}")
            again, _ = bare(model, side)
            size = picture.stat().st_size / 2**20
            print(f"{side:,} x {side:,}, {size:,.0f} MiB, {tiles} tiles: {seconds:.1f} s, peak {peak:,.0f} MiB")
            ratio = 2 * seconds / (alone + again)
            print(f"  bare network {alone:.1f} s before, {again:.1f} s after: {ratio:.2f}x", flush=True)
            picture.unlink()


if __name__ == "__main__":
    main()

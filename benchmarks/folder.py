"""Two hundred pictures in a folder: against the network with decoding beside it, and against a tutorial's loop.

    OMP_WAIT_POLICY=PASSIVE python -m benchmarks.folder [SEGMENTER ...]

200 drawn scenes of 360x480 (PNG), 5 classes, random weights, masks written. Each pass runs all in turn:

- `intarsia.predict`;
- the same with `precision="bf16"`;
- the bare network over batches of four while two threads decode ahead; nothing else is done, nothing is written;
- the loop of the tutorials with the same network: open, to a tensor, normalise, forward, argmax, save.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

import intarsia
from intarsia.ahead import mapped
from intarsia.inference import predict_batch
from intarsia.labels import Labels
from intarsia.loading import Predictor
from intarsia.modelfile import ModelCard, build_segmenter
from intarsia.settings import DataSettings, ModelSettings
from intarsia.synthetic.scenes import write_scenes

PICTURES, SIZE, BATCH, PASSES = 200, (360, 480), 4, 5
MEAN, STD = (110.0, 115.0, 120.0), (60.0, 58.0, 62.0)
NETWORKS = {"compact": {"width": 32, "stem": 4}, "unet": {"width": 32, "depth": 4, "stem": 4, "up": "transposed"}}


def predictor_of(name: str) -> Predictor:
    """The network as it is for a CPU, with random weights."""
    card = ModelCard(ModelSettings(name=name, **NETWORKS[name]), Labels.of_values(range(5)), 3, DataSettings())
    torch.manual_seed(0)
    return Predictor(build_segmenter(card, MEAN, STD).eval(), card)


def tutorial(network: nn.Module, paths: list[Path], out: Path) -> None:
    """What people write: one picture after the other."""
    mean, std = torch.tensor(MEAN).view(3, 1, 1) / 255, torch.tensor(STD).view(3, 1, 1) / 255
    out.mkdir(exist_ok=True)
    for path in paths:
        image = Image.open(path).convert("RGB")
        x = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
        x = ((x - mean) / std).unsqueeze(0)
        with torch.no_grad():
            mask = network(x).argmax(dim=1)[0]
        Image.fromarray(mask.numpy().astype(np.uint8)).save(out / path.name)


def overlapped(predictor: Predictor, paths: list[Path]) -> None:
    """Decoding in two threads, the network in this one; what it says is thrown away."""
    images = mapped(intarsia.read_image, paths, threads=2, depth=2 * BATCH)
    waiting = []
    for image in images:
        waiting.append(image)
        if len(waiting) == BATCH:
            predict_batch(predictor.segmenter, np.stack(waiting))
            waiting = []


def seconds(work: Callable[[], object]) -> float:
    """Of one run."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def compared(name: str, photos: Path, folder: Path) -> None:
    """All in turn, some passes long."""
    paths = sorted(photos.iterdir())
    ours = predictor_of(name)
    plain = predictor_of(name).segmenter  # in the memory format that torch has by default
    plain.mean.zero_()
    plain.std.fill_(1)  # the tutorial normalises by itself
    ours.segmenter.to(memory_format=torch.channels_last)
    times: dict[str, list[float]] = {"ours": [], "bf16": [], "overlapped": [], "tutorial": []}
    for number in range(PASSES + 1):
        out = folder / f"{name}-{number}"
        work = {
            "ours": partial(intarsia.predict, ours, photos, out),
            "bf16": partial(intarsia.predict, ours, photos, out / "bf16", {"precision": "bf16"}),
            "overlapped": partial(overlapped, ours, paths),
            "tutorial": partial(tutorial, plain, paths, out / "tutorial"),
        }
        for kind, run in work.items():
            times[kind].append(seconds(run))
    times = {kind: taken[1:] for kind, taken in times.items()}  # the first is to warm up
    masks, halves, others = (
        np.stack([np.asarray(Image.open(place / path.name)) for path in paths])
        for place in (out / "masks", out / "bf16" / "masks", out / "tutorial")
    )
    print(f"{name}: " + ", ".join(f"{kind} {statistics.median(taken):.2f} s" for kind, taken in times.items()))
    for how, (more, less) in {
        "ours / overlapped": ("ours", "overlapped"),
        "tutorial / ours": ("tutorial", "ours"),
        "tutorial / bf16": ("tutorial", "bf16"),
    }.items():
        ratios = sorted(a / b for a, b in zip(times[more], times[less], strict=True))
        print(f"  {how}: {statistics.median(ratios):.2f}x ({ratios[0]:.2f} to {ratios[-1]:.2f})")
    unlike = f"{(masks != others).mean():.1e}, in bf16 {(halves != others).mean():.1e}"
    print(f"  pixels unlike the tutorial's: {unlike}", flush=True)


def main() -> None:
    """Compares each network."""
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, {PASSES} passes")
    with tempfile.TemporaryDirectory() as name:
        photos = write_scenes(Path(name) / "scenes", {"val": PICTURES}, SIZE) / "images" / "val"
        for network in sys.argv[1:] or NETWORKS:
            compared(network, photos, Path(name))


if __name__ == "__main__":
    main()

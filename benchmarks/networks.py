"""What networks cost on this machine: parameters, operations, images per second, milliseconds, memory.

    python -m benchmarks.networks [NAME ...]

Each network in a process of its own, with random weights, 11 classes, pictures of 360x480 with three bands.
Training: a step on a batch of 4 as `train` does it here (precision, loss, AdamW, average of the weights). Predict:
one picture in fp32, as `predict` does it. Overhead: what the segmenter adds (normalising, padding, cropping) to the
bare network, which gets a picture normalised and padded before and brings its answer to its size; in turn.
Peak: of the whole process, after training, and after predict in a process that does nothing else.
"""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import torch

from intarsia.defaults import best_precision, shape_of
from intarsia.labels import Labels
from intarsia.losses import cross_entropy_dice, of_all_heads
from intarsia.modelfile import ModelCard, build_segmenter
from intarsia.networks import make_blueprint
from intarsia.networks.segmenter import Segmenter
from intarsia.optim import make_optimizer, update_average
from intarsia.overview import model
from intarsia.settings import DataSettings, ModelSettings, OptimSettings

SIZE, CLASSES, BATCH = (360, 480), 11, 4
NAMES = (
    "compact",
    "unet",
    "smp:Unet/resnet34",
    "smp:Unet/mobilenet_v2",
    "smp:FPN/resnet34",
    "smp:DeepLabV3Plus/resnet34",
    "smp:Segformer/mit_b0",
    "smp:UPerNet/tu-convnext_tiny",
    "torchvision:lraspp_mobilenet_v3_large",
    "torchvision:deeplabv3_mobilenet_v3_large",
    "torchvision:deeplabv3_resnet50",
    "hf:segformer-b0",
)
DTYPE = {"fp32": torch.float32, "bf16": torch.bfloat16}


def segmenter_of(name: str) -> Segmenter:
    """The network as `train` would build it on a CPU for pictures of this size."""
    settings = ModelSettings(name=name).model_copy(update=shape_of(name, SIZE, on_cpu=True))
    card = ModelCard(settings, Labels.of_values(range(CLASSES)), 3, DataSettings())
    card = ModelCard(settings, card.labels, 3, card.data, make_blueprint(settings, 3, CLASSES).config)
    torch.manual_seed(0)
    return build_segmenter(card, (127.0,) * 3, (64.0,) * 3).to(memory_format=torch.channels_last)


def training(name: str) -> dict[str, float]:
    """Images per second, and the peak of memory."""
    segmenter = segmenter_of(name)
    average = deepcopy(segmenter)
    optimizer = make_optimizer(segmenter, OptimSettings(lr=1e-3))
    image = torch.randint(0, 256, (BATCH, *SIZE, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    mask = torch.randint(0, CLASSES, (BATCH, *SIZE))
    precision = best_precision(torch.device("cpu"))
    number = 0

    def step() -> None:
        nonlocal number
        with torch.autocast("cpu", DTYPE[precision], enabled=precision != "fp32"):
            heads = segmenter.train().heads(image, mask, coarse=True)
        of_all_heads(cross_entropy_dice, heads, 0.4, 255).backward()
        torch.nn.utils.clip_grad_norm_(segmenter.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        number += 1
        update_average(average, segmenter, number)

    seconds = timed(step, step, rounds=4)[0]
    return {"images_per_second": BATCH / seconds, "peak": peak()}


def predicting(name: str) -> dict[str, float]:
    """Milliseconds for a picture, how much longer than the bare network, and the peak of memory."""
    segmenter = segmenter_of(name).eval()
    image = torch.randint(0, 256, (1, *SIZE, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    with torch.no_grad():
        ready = segmenter._padded(image)
        whole, ratio = timed(
            lambda: segmenter(image),
            lambda: segmenter._at_image_size(segmenter._heads(ready)[0], ready, ready),
            rounds=41,
        )
    return {"milliseconds": 1e3 * whole, "overhead": ratio - 1, "peak": peak()}


def timed(one: Callable[[], object], other: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median seconds of one of two functions that take turns, and the median of its ratios to the other."""
    for _ in range(2):
        one()
        other()
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for place, function in enumerate((one, other)):
            started = time.perf_counter()
            function()
            seconds[place].append(time.perf_counter() - started)
    ratio = statistics.median(mine / its for mine, its in zip(*seconds, strict=True))
    return statistics.median(seconds[0]), ratio


def peak() -> float:
    """Largest resident size of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def apart(kind: str, name: str) -> dict[str, float]:
    """One measurement in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.networks", f"--{kind}", name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    numbers: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return numbers


def main() -> None:
    """Prints a row for each network."""
    if sys.argv[1:2] in (["--training"], ["--predicting"]):
        measure = training if sys.argv[1] == "--training" else predicting
        print(json.dumps(measure(sys.argv[2])))
        return
    print(
        f"{SIZE[0]}x{SIZE[1]}, {torch.get_num_threads()} threads, torch {torch.__version__}, training in ", end=""
    )
    print(best_precision(torch.device("cpu")))
    print(f"{'network':<42}{'M':>7}{'GFLOPs':>8}{'img/s':>7}{'MiB':>7}{'ms':>7}{'over':>7}{'MiB':>7}")
    with tempfile.TemporaryDirectory() as folder:
        for name in sys.argv[1:] or NAMES:
            place = segformer_b0(Path(folder)) if name == "hf:segformer-b0" else name
            told = model(place, SIZE, 3, CLASSES)
            trained, predicted = apart("training", place), apart("predicting", place)
            assert told.parameters is not None
            print(
                f"{name:<42}{told.parameters / 1e6:>7.2f}{told.gflops or 0:>8.1f}"
                f"{trained['images_per_second']:>7.1f}{trained['peak']:>7.0f}{predicted['milliseconds']:>7.0f}{predicted['overhead']:>7.1%}"
                f"{predicted['peak']:>7.0f}",
                flush=True,
            )


def segformer_b0(folder: Path) -> str:
    """A folder with the config of SegFormer-B0, which is that of the library's own defaults."""
    from transformers import SegformerConfig

    SegformerConfig().save_pretrained(folder)
    return f"hf:{folder}"


if __name__ == "__main__":
    main()

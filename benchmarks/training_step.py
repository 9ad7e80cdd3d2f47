"""Images per second of a training step: the plain tutorial loop against ours, paired, on the CPU.

    python -m benchmarks.training_step

The same U-Net (width 32, depth 4) on batches of 8 at 128x128. The tutorial loop is NCHW and eager: forward,
cross-entropy, backward, AdamW. Ours does more (Dice, class weights, clipping, the average of the weights), in
channels_last, with float32 and with the precision that `train` would choose here. Shares are of the rate that
this machine reaches in a 2048^3 matrix product of the same precision.
"""

import statistics
import time
from collections.abc import Callable
from copy import deepcopy

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from intarsia.defaults import best_precision
from intarsia.losses import cross_entropy_dice
from intarsia.networks.segmenter import Segmenter
from intarsia.networks.unet import UNet
from intarsia.optim import make_optimizer, update_average
from intarsia.settings import OptimSettings

BATCH, SIDE, CLASSES, ROUNDS, STEPS = 8, 128, 4, 7, 4
DTYPE = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

Step = Callable[[], None]


def tutorial_step() -> Step:
    """The loop of the tutorials."""
    torch.manual_seed(0)
    model = UNet(3, CLASSES, width=32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    image = torch.rand(BATCH, 3, SIDE, SIDE)
    mask = torch.randint(0, CLASSES, (BATCH, SIDE, SIDE))

    def step() -> None:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(image), mask)
        loss.backward()
        optimizer.step()

    return step


def our_step(precision: str) -> Step:
    """What `training` does for a batch."""
    torch.manual_seed(0)
    segmenter = Segmenter(UNet(3, CLASSES, width=32), 16, (127.0,) * 3, (64.0,) * 3)
    segmenter = segmenter.to(memory_format=torch.channels_last)
    average = deepcopy(segmenter)
    settings = OptimSettings()
    optimizer = make_optimizer(segmenter, settings)
    weights = torch.ones(CLASSES)
    image = torch.randint(0, 256, (BATCH, SIDE, SIDE, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    mask = torch.randint(0, CLASSES, (BATCH, SIDE, SIDE))
    number = 0

    def step() -> None:
        nonlocal number
        with torch.autocast("cpu", DTYPE[precision], enabled=precision != "fp32"):
            logits = segmenter(image)
        cross_entropy_dice(logits, mask, weights).backward()
        torch.nn.utils.clip_grad_norm_(segmenter.parameters(), settings.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        number += 1
        update_average(average, segmenter, number)

    return step


def seconds(step: Step) -> float:
    """Mean seconds of a step, over a few."""
    started = time.perf_counter()
    for _ in range(STEPS):
        step()
    return (time.perf_counter() - started) / STEPS


def matrix_rate(dtype: torch.dtype) -> float:
    """Floating-point operations per second of a 2048^3 product."""
    a = torch.randn(2048, 2048).to(dtype)
    a @ a
    started = time.perf_counter()
    for _ in range(8):
        a @ a
    return 8 * 2 * 2048**3 / (time.perf_counter() - started)


def main() -> None:
    """Prints images per second, ratios pass by pass, and shares of the machine's rate."""
    chosen = best_precision(torch.device("cpu"))
    steps = {"tutorial": tutorial_step()} | {
        f"ours {name}": our_step(name) for name in dict.fromkeys(["fp32", chosen])
    }
    with FlopCounterMode(display=False) as counter:
        steps["tutorial"]()
    operations = counter.get_total_flops()
    for step in steps.values():
        seconds(step)
    rounds = [{name: seconds(step) for name, step in steps.items()} for _ in range(ROUNDS)]
    threads = torch.get_num_threads()
    print(f"U-Net width 32, batch {BATCH} of {SIDE}x{SIDE}, {threads} threads, torch {torch.__version__}")
    for name in steps:
        median = statistics.median(one[name] for one in rounds)
        rate = matrix_rate(DTYPE[name.split()[1]] if " " in name else torch.float32)
        ratios = sorted(one["tutorial"] / one[name] for one in rounds)
        print(
            f"{name:<10} {BATCH / median:6.1f} images/s   {statistics.median(ratios):.2f}x the tutorial loop "
            f"({ratios[0]:.2f} to {ratios[-1]:.2f})   {operations / median / rate:.0%} of {rate / 1e9:.0f} GFLOP/s"
        )


if __name__ == "__main__":
    main()

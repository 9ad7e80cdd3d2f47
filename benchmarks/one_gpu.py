"""One GPU: images per second, share of time waiting, bf16 against fp32, compiled or not, and what it learns.

    python -m benchmarks.one_gpu camvid --ignore 11

Each variant trains for so many seconds into a temporary folder, in turns; rates are those of the steady state, from
the last third of the run's own metrics. Then the default, for its whole budget, with its validation mIoU.
"""

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

import torch

from intarsia.inference import find_device
from intarsia.runs import read_metrics
from intarsia.training import train

VARIANTS: dict[str, dict[str, Any]] = {
    "bf16": {"precision": "bf16"},
    "fp32": {"precision": "fp32"},
    "bf16, compiled": {"precision": "bf16", "compile": True},
}


def steady(run: Path) -> tuple[float, float]:
    """Images per second, and share of the time waiting for data."""
    lines = [line for line in read_metrics(run) if line["kind"] == "train"]
    late = lines[-max(len(lines) // 3, 1) :]
    return tuple(statistics.median(line[name] for line in late) for name in ("images_per_second", "waiting"))


def main() -> None:
    """Prints a line for each variant, and the scores of the last run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("--ignore", type=int, nargs="*", default=[])
    parser.add_argument("--device", default=None)
    parser.add_argument("--seconds", type=float, default=45, help="for each variant")
    parser.add_argument("--budget", default="10m", help="of the training that is scored")
    parser.add_argument("--model", default=None)
    given = parser.parse_args()
    device = find_device(given.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}, {given.data}")
    common: dict[str, Any] = {"data": {"ignore": given.ignore}, "model": {"name": given.model}}
    limits = {"device": str(device), "validations": 1}
    with tempfile.TemporaryDirectory() as folder:
        for number, (variant, settings) in enumerate(VARIANTS.items()):
            run = Path(folder) / str(number)
            train(given.data, run, common | {"train": {**limits, **settings, "budget": given.seconds}})
            rate, waiting = steady(run)
            print(f"{variant:<16} {rate:8.1f} images/s, waiting for data {waiting:.1%} of the time")
        training = train(given.data, Path(folder) / "whole", common | {"train": {**limits, "budget": given.budget}})
        assert training.scores is not None
        rate, waiting = steady(training.folder)
        print(
            f"{given.budget}: validation mIoU {training.scores.miou:.4f} after {training.steps} steps, "
            f"{rate:.1f} images/s, waiting {waiting:.1%}"
        )
        if device.type == "cuda":
            print(f"memory at the peak: {torch.cuda.max_memory_reserved(device) / 2**30:.1f} GiB")


if __name__ == "__main__":
    main()

"""What trust costs: checkpoints, several processes, memory of a validation. On the CPU, measured in pairs.

    python -m benchmarks.trust

- A checkpoint of the default network in training, written to disk: its share of the time at one a minute.
- Images per second of two processes of one core each against one process of one core, the same network: with the
  default batch, which is 4 pairs for each process, and with the 4 pairs shared by both. A pass runs all three.
- Peak resident memory of a training, and of scoring its validation split alone, each in a process of its own.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from intarsia.checkpoint import contents, random_state, save_checkpoint
from intarsia.settings import make_settings
from intarsia.synthetic.scenes import write_scenes
from intarsia.tuning import ready

SIZE, PASSES, STEPS = (352, 480), 5, 24
OPTIONS = ["--size", "352,480", "--device", "cpu", "--steps", str(STEPS), "train.validations=1"]
PEAK = """
import re, sys
from pathlib import Path
what, photos, run = sys.argv[1:]
if what == "train":
    from intarsia.training import train
    train(photos, run, {"train": {"steps": 12, "size": (352, 480), "batch": 4, "device": "cpu"}})
elif what == "score":
    from intarsia.evaluation import evaluate
    evaluate(run, photos)
else:
    from intarsia.training import train
    from intarsia.evaluation import evaluate
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


def checkpoint_cost(photos: Path, folder: Path) -> None:
    """Seconds of a checkpoint, of its parts in memory and on disk."""
    for name in ("compact", "unet"):
        given = {"model": {"name": name}, "train": {"size": SIZE, "batch": 4, "device": "cpu", "steps": 2}}
        with ready(photos, make_settings(given), None, None) as (setup, state, _):
            for parameter in state.segmenter.parameters():
                parameter.grad = torch.zeros_like(parameter)
            state.optimizer.step()  # its moments exist from the first step on
            seconds = []
            for state.step in range(PASSES):
                started = time.perf_counter()
                states = [random_state(setup.device)]
                save_checkpoint(folder, contents(setup.settings, state, states), keep=2)
                seconds.append(time.perf_counter() - started)
        size = sum(file.stat().st_size for file in next((folder / "checkpoints").iterdir()).iterdir())
        median = statistics.median(seconds)
        print(
            f"checkpoint of {name}: {size / 2**20:.1f} MiB, {median:.3f} s ({min(seconds):.3f} to "
            f"{max(seconds):.3f}), {median / 60:.2%} of the time at one a minute"
        )


def rate(processes: int, batch: int, photos: Path, run: Path, model: str) -> float:
    """Images per second of a training, from its metrics."""
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    arguments = [*(launch if processes > 1 else []), "-m", "intarsia", "train", str(photos), "--out", str(run)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *arguments, "--model", model, "--batch", str(batch), *OPTIONS]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    rates = [line["images_per_second"] for line in lines if line["kind"] == "train"]
    return rates[1]  # steps 11 to 20: the first ten warm up, the last are few


def scaling(photos: Path, folder: Path) -> None:
    """Two processes of one core each against one."""
    for model in ("compact", "unet"):
        passes = []
        for number in range(PASSES):
            of_one = rate(1, 4, photos, folder / f"{model}-{number}-one", model)
            of_two = [rate(2, batch, photos, folder / f"{model}-{number}-{batch}", model) for batch in (8, 4)]
            passes.append((of_one, *of_two))
        print(f"{model}: one process {statistics.median(one for one, *_ in passes):.2f} images/s")
        for place, name in enumerate(("4 pairs for each", "4 pairs shared"), start=1):
            ratios = sorted(rates[place] / rates[0] for rates in passes)
            median = statistics.median(rates[place] for rates in passes)
            ratio = f"{statistics.median(ratios):.2f}x ({ratios[0]:.2f} to {ratios[-1]:.2f})"
            print(f"{model}: two processes, {name}: {median:.2f} images/s, {ratio}")


def memory(photos: Path, folder: Path) -> None:
    """Peak resident memory, and how much of it is Python and torch alone."""
    run = folder / "run"

    def peak(what: str) -> float:
        arguments = [sys.executable, "-c", PEAK, what, str(photos), str(run)]
        done = subprocess.run(arguments, check=True, capture_output=True, text=True)
        return int(done.stdout.split()[-1]) / 2**20

    print(f"memory at the peak: training {peak('train'):.2f} GiB, validation {peak('score'):.2f}", end="")
    print(f" GiB; with nothing but the imports {peak('import'):.2f} GiB")


def main() -> None:
    """Prints all of it."""
    parts: list[Callable[[Path, Path], None]] = [checkpoint_cost, memory, scaling]
    with tempfile.TemporaryDirectory() as temporary:
        photos = write_scenes(Path(temporary) / "photos", {"train": 40, "val": 20}, SIZE)
        print(f"torch {torch.__version__}, {os.cpu_count()} cores, crops of {SIZE[0]}x{SIZE[1]}, batch 4")
        for part in parts:
            (Path(temporary) / part.__name__).mkdir()
            part(photos, Path(temporary) / part.__name__)


if __name__ == "__main__":
    main()

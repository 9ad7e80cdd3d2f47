"""A training in a process of its own, which may kill itself at an exact moment."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import matplotlib.figure  # noqa: F401 - what every training imports sooner or later, once for all
import torch
import torch._dynamo

from intarsia.training import train

# Where a fault strikes: a function that the training calls again and again, as (module, attribute).
PLACES = {
    "file on its way to the disk": ("os", "fsync"),
    "file gets its name": ("pathlib", "Path.replace"),
    "checkpoint gets its name": ("pathlib", "Path.rename"),
    "old checkpoint is removed": ("shutil", "rmtree"),
    "picture of a validation": ("intarsia.evaluation", "read_pair"),
    "optimizer step": ("intarsia.training", "update_average"),
    "log line": ("intarsia.training", "_log"),
}


def kill_at(place: str, call: int, number: int = signal.SIGKILL) -> None:
    """From now on the `call`-th call of a function at `place` is the last thing that this process does."""
    module, attribute = PLACES[place]
    owner: Any = import_module(module)
    *path, name = attribute.split(".")
    for part in path:
        owner = getattr(owner, part)
    original: Callable[..., Any] = getattr(owner, name)
    calls = 0

    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            os.kill(os.getpid(), number)
        return original(*arguments, **options)

    setattr(owner, name, counted)


def run(
    photos: Path,
    folder: Path,
    settings: Mapping[str, Any],
    place: str | None = None,
    call: int = 0,
    threads: int = 1,
) -> None:
    """What a child does: train, from the beginning or from what is there."""
    torch.set_num_threads(threads)
    multiprocessing.set_start_method("fork", force=True)  # for the loader's workers, as in a process of its own
    if place:
        kill_at(place, call)
    train(photos, folder, settings, resume=True)

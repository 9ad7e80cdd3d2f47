"""The choices that settings leave open, made from the data and the machine. Nothing else chooses.

`intarsia train` writes what was chosen into the run's settings.toml.
"""

import multiprocessing
import os
from collections.abc import Mapping
from typing import Any

import torch

from intarsia.data.check.inspection import Inspection
from intarsia.data.dataset import memory_bytes
from intarsia.errors import SettingsError
from intarsia.networks import find_network
from intarsia.settings import Precision, Settings

_SIZE_STEP = 32
_LARGEST_SIZE = {"cpu": 512, "accelerator": 768}
_SMALL_MODEL = {"width": 32, "depth": 4, "up": "transposed"}
_LARGE_MODEL = {"width": 64, "depth": 4, "stem": 1, "up": "bilinear"}
_SMALLEST_WORKING_SIDE = 80  # pixels that a small network sees of a picture's shorter side
_BATCH = 4
_MOST_WORKERS = 8
_DEFAULT_BUDGET = 600.0  # seconds


def resolve(settings: Settings, seen: Inspection, device: torch.device) -> Settings:
    """Fills every setting that is None.

    Raises:
        SettingsError: the training size cannot work with the network.
    """
    on_cpu = device.type == "cpu"
    size = settings.train.size or _training_size(seen.size, _LARGEST_SIZE["cpu" if on_cpu else "accelerator"])
    small = {**_SMALL_MODEL, "stem": _small_stem(seen.size)}
    model = {**(small if on_cpu else _LARGE_MODEL), **_given(settings.model)}
    train = {
        "batch": _BATCH,
        "precision": best_precision(device),
        **_given(settings.train),
        "size": size,
        "device": str(device),
    }
    if not (settings.train.budget or settings.train.epochs or settings.train.steps):
        train["budget"] = _DEFAULT_BUDGET
    workers = settings.data.workers
    if workers is None:
        forks = multiprocessing.get_start_method() == "fork"  # elsewhere workers cannot take every transform along
        workers = 0 if on_cpu or not forks else min(_MOST_WORKERS, os.cpu_count() or 1)
    data = {
        "workers": workers,
        "cache": seen.decoded_bytes * max(workers, 1) < memory_bytes() / 8,  # each worker keeps its own
        **_given(settings.data),
    }
    loss = {"resolution": "network" if on_cpu else "image", **_given(settings.loss)}
    filled = {"data": data, "model": model, "loss": loss, "train": train}
    return Settings.model_validate(settings.model_dump() | filled)


def best_precision(device: torch.device) -> Precision:
    """bf16 where the hardware multiplies in it, else fp32."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if device.type == "cpu" and torch.cpu._is_amx_tile_supported():
        return "bf16"
    return "fp32"


def check_batch(settings: Settings) -> None:
    """Refuses a bottleneck of a single value, whose variance BatchNorm cannot take.

    Raises:
        SettingsError: it would be one.
    """
    assert settings.train.size is not None
    assert settings.train.batch is not None
    assert settings.model.stem is not None
    stride = find_network(settings.model.name).stride(settings.model) * settings.model.stem
    height, width = (-(-side // stride) for side in settings.train.size)
    if settings.model.norm == "batch" and settings.train.batch * height * width == 1:
        raise SettingsError(
            f"train.batch = 1 with train.size = {settings.train.size} leaves BatchNorm a single value at the "
            "bottleneck. Use a larger size or batch, or model.norm=group."
        )


def _training_size(median: tuple[int, int], largest: int) -> tuple[int, int]:
    """The pictures' median size, at most `largest`, rounded up to steps of 32."""
    height, width = (min(-(-side // _SIZE_STEP) * _SIZE_STEP, largest) for side in median)
    return height, width


def _small_stem(median: tuple[int, int]) -> int:
    """The coarsest of 4, 2, 1 that leaves the shorter side of a picture its 80 pixels."""
    return next((stem for stem in (4, 2) if min(median) / stem >= _SMALLEST_WORKING_SIDE), 1)


def _given(section: object) -> Mapping[str, Any]:
    """The settings of a section that are not None."""
    return {name: value for name, value in vars(section).items() if value is not None}

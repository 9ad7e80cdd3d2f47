"""The choices that settings leave open, made from the data and the machine. Nothing else chooses.

`intarsia train` writes what was chosen into the run's settings.toml.
"""

import multiprocessing
import os
from collections.abc import Mapping
from typing import Any

import torch

from intarsia.data.check.inspection import Inspection
from intarsia.distributed import World
from intarsia.errors import SettingsError
from intarsia.finetuning import shape_in
from intarsia.memory import memory_bytes
from intarsia.networks import CUSTOM, find_network, make_blueprint
from intarsia.settings import LENGTHS, ModelSettings, Precision, Section, Settings, TrainSettings

_SIZE_STEP = 32
_LARGEST_SIZE = {"cpu": 512, "accelerator": 768}
_ON_CPU, _ELSEWHERE = "compact", "unet"  # the network where none is named
_SHAPES: dict[tuple[str, bool], dict[str, Any]] = {  # of our own networks, by name and whether it is on a CPU
    ("compact", True): {"width": 32},
    ("compact", False): {"width": 64},
    ("unet", True): {"width": 32, "depth": 4, "up": "transposed"},
    ("unet", False): {"width": 64, "depth": 4, "up": "bilinear"},
}
_OWN = {name for name, _ in _SHAPES}
_LR = 1e-3  # from random weights
_FINE_TUNING = {"lr": 5e-4, "encoder_rate": 0.2}  # from those that a library publishes
_FINE_TUNING_TRANSFORMERS = {"lr": 6e-4, "encoder_rate": 0.1}  # as SegFormer: 6e-5, and 10 times that in the head
_SMALLEST_WORKING_SIDE = 80  # pixels that a small network sees of a picture's shorter side
_BATCH = 4
_MOST_WORKERS = 8
_DEFAULT_BUDGET = 600.0  # seconds


def resolve(
    settings: Settings, seen: Inspection, device: torch.device, *, own: bool = False, world: World | None = None
) -> Settings:
    """Fills every setting that is None.

    Args:
        settings: as given.
        seen: what the files hold.
        device: where to train.
        own: whether the network is a module of the user's own.
        world: the processes that train together; None for one.

    Raises:
        SettingsError: there is no such network, or a setting that a module of the user's own does not have.
        ModelFileError: the run to begin with is damaged.
        MachineError: what is published for the network cannot be asked for.
    """
    world = world or World()
    on_cpu = device.type == "cpu"
    size = settings.train.size or _training_size(seen.size, _LARGEST_SIZE["cpu" if on_cpu else "accelerator"])
    model = _of_own_module(settings.model) if own else _model(settings, seen, on_cpu)
    train = {
        "batch": _BATCH * world.size,
        "precision": best_precision(device),
        **_given(settings.train),
        "size": size,
        "device": str(device),
        "processes": world.size,
    }
    if not _length(settings.train):
        train["budget"] = _DEFAULT_BUDGET
    workers = settings.data.workers
    if workers is None:
        forks = multiprocessing.get_start_method() == "fork"  # elsewhere workers cannot take every transform along
        cores = (os.cpu_count() or 1) // world.local_size
        workers = 0 if on_cpu or not forks else max(min(_MOST_WORKERS, cores), 1)
    data = {
        "workers": workers,
        "cache": seen.decoded_bytes * max(workers, 1) * world.local_size < memory_bytes() / 8,  # each keeps its own
        **_given(settings.data),
    }
    loss = {"resolution": "network" if on_cpu else "image", **_given(settings.loss)}
    optim = {**_rates(model), **_given(settings.optim)}
    filled = {"data": data, "model": model, "loss": loss, "optim": optim, "train": train}
    return Settings.model_validate(settings.model_dump() | filled)


def continued(settings: Settings, begun: Settings) -> Settings:
    """The settings of the run which is continued, and what is given now; the device is only what is given.

    Args:
        settings: as given.
        begun: those of the run.
    """
    filled = {
        name: {**vars(getattr(begun, name)), **_given(getattr(settings, name), explicitly=True)}
        for name in Settings.model_fields
    }
    if length := _length(settings.train):
        filled["train"] |= dict.fromkeys(LENGTHS) | length
    filled["train"]["device"] = settings.train.device
    return Settings.model_validate(filled)


def _length(train: TrainSettings) -> dict[str, Any]:
    """How long to train, where that is given."""
    return {name: value for name, value in _given(train).items() if name in LENGTHS}


def _of_own_module(given: ModelSettings) -> dict[str, Any]:
    """The section `model` for a module of the user's own, which has no settings.

    Raises:
        SettingsError: there are some.
    """
    surplus = [name for name, value in vars(given).items() if value != getattr(ModelSettings(), name)]
    if surplus and given.name != CUSTOM:
        raise SettingsError(
            f"model.{surplus[0]} = {getattr(given, surplus[0])}: a module of your own has no such setting. Leave "
            "it out."
        )
    return {"name": CUSTOM, "pretrained": False}


def _model(settings: Settings, seen: Inspection, on_cpu: bool) -> dict[str, Any]:
    """The section `model`: name and shape of the run to begin with, or chosen; published weights if any."""
    given = _given(settings.model)
    before = shape_in(settings.model.pretrained)
    name = settings.model.name or before.get("name") or (_ON_CPU if on_cpu else _ELSEWHERE)
    network = find_network(name)
    shape = shape_of(name, seen.size, on_cpu)
    if before.get("name") == name:
        shape |= {one: before[one] for one in network.settings if before.get(one) is not None}
    named = settings.model.model_copy(update={"name": name})
    chosen = {**shape, "auxiliary": network.auxiliary(name), **given, "name": name}
    chosen["revision"] = network.revision(named)
    if settings.model.pretrained is None:
        published = network.published(make_blueprint(ModelSettings(**chosen), seen.bands, 1))
        chosen["pretrained"] = published is not None
    return chosen


def shape_of(name: str, size: tuple[int, int], on_cpu: bool) -> dict[str, Any]:
    """The shape of one of our own networks for pictures of this height and width; nothing for all others."""
    shape = dict(_SHAPES.get((name, on_cpu), {}))
    if "stem" in find_network(name).settings:
        shape["stem"] = _small_stem(size) if on_cpu or name == _ON_CPU else 1
    return shape


def _rates(model: Mapping[str, Any]) -> dict[str, Any]:
    """Learning rates, by whether the weights are pretrained and what kind of network they are for.

    Our own networks learn from a run of the user's as from random weights: that was measured to be better
    (docs/benchmarks.md) than to hold them back.
    """
    if not model["pretrained"] or model["name"] in _OWN:
        return {"lr": _LR, "encoder_rate": 1.0}
    return dict(_FINE_TUNING_TRANSFORMERS if _is_transformer(str(model["name"])) else _FINE_TUNING)


def _is_transformer(name: str) -> bool:
    return name.startswith("hf:") or any(word in name for word in ("/mit_", "vit", "swin", "deit", "beit"))


def best_precision(device: torch.device) -> Precision:
    """bf16 where the hardware multiplies in it, else fp32."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if device.type == "cpu" and (torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()):
        return "bf16"
    return "fp32"


def _training_size(median: tuple[int, int], largest: int) -> tuple[int, int]:
    """The pictures' median size, at most `largest`, rounded up to steps of 32."""
    height, width = (min(-(-side // _SIZE_STEP) * _SIZE_STEP, largest) for side in median)
    return height, width


def _small_stem(median: tuple[int, int]) -> int:
    """The coarsest of 4, 2, 1 that leaves the shorter side of a picture its 80 pixels."""
    return next((stem for stem in (4, 2) if min(median) / stem >= _SMALLEST_WORKING_SIDE), 1)


def _given(section: Section, *, explicitly: bool = False) -> dict[str, Any]:
    """The settings of a section that are not None; or only those that somebody gave."""
    names = section.model_fields_set if explicitly else set(vars(section))
    return {name: value for name, value in vars(section).items() if name in names and value is not None}

"""Finding settings by trying: the learning rate, and the batch that fits."""

import json
import math
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from intarsia.checkpoint import State
from intarsia.data.augment import Transform
from intarsia.data.dataset import collate
from intarsia.data.pairs import Dataset
from intarsia.defaults import resolve
from intarsia.distributed import World
from intarsia.draw import loss_over_rate
from intarsia.errors import SettingsError
from intarsia.feed import Feed, feeding
from intarsia.files import make_folder, write_whole
from intarsia.inference import find_device
from intarsia.memory import memory_of
from intarsia.optim import set_rate, set_training
from intarsia.preparation import Given, Setup, as_settings, begin, describe, look_at, open_for_training, set_up
from intarsia.runs import Run
from intarsia.sharding import clip_gradients
from intarsia.steps import gradient, make_learner
from intarsia.terminal import count_on_terminal

_LOWEST, _HIGHEST = 1e-6, 1.0  # learning rates that are tried
_STEPS = 100
_SETTLED = 10  # steps until the smoothed loss is more than the luck of the first batches
_SMOOTH = 0.9  # share of the past in the smoothed loss
_BURST = 3.0  # times its range above the smallest: the test ends
_FEWEST_STEPS = 300  # optimizer steps that a training should have in its time
_MOST_MEMORY = 0.8  # share of what there is
_TRIED = 3  # steps for each batch, of which the first warms up

_FALLS_NOWHERE = (
    "The loss falls at no learning rate between 1e-6 and 1: look whether the masks belong to the images "
    "(intarsia check --report), or whether the network can learn at all."
)


@dataclass(frozen=True)
class RateTest:
    """What a range test of the learning rate showed (Smith, "Cyclical Learning Rates", 2017).

    Attributes:
        suggested: where the smoothed loss falls fastest.
        rates: that were tried, growing exponentially, one optimizer step each.
        losses: of each step, smoothed.
        picture: the curve.
    """

    suggested: float
    rates: tuple[float, ...]
    losses: tuple[float, ...]
    picture: Path


@dataclass(frozen=True)
class BatchTrial:
    """A batch that was tried.

    Attributes:
        batch: pairs in it.
        seconds: of an optimizer step; NaN where it does not fit.
        memory: bytes at the peak: of the GPU, or of this process.
        fits: into the memory, and often enough into the time.
        reason: why not.
    """

    batch: int
    seconds: float
    memory: int
    fits: bool
    reason: str = ""


def find_learning_rate(
    data: str | Path | Dataset,
    out: str | Path | None = None,
    settings: Given = None,
    *,
    model: str | nn.Module | None = None,
    transform: Transform | None = None,
) -> RateTest:
    """Trains with a rate that grows from 1e-6 to 1, and looks where the loss falls fastest.

    Nothing that was learned is kept. Arguments are those of `train`; `out` gets learning-rate.png and
    learning-rate.json, None is for runs/NAME-learning-rate.

    Raises:
        SettingsError: as `train`; or the loss falls nowhere.
    """
    with ready(data, settings, model, transform) as (setup, state, name):
        folder = make_folder(Path(out) if out is not None else Path("runs") / f"{name}-learning-rate")
        with feeding(setup, 0) as feed:
            rates, losses = _range_test(setup, state, feed)
    smoothed = _smoothed(losses)
    rates = rates[: len(smoothed)]
    suggested = _steepest(rates, smoothed)
    picture = folder / "learning-rate.png"
    loss_over_rate(rates, smoothed, suggested, picture)
    told = {"suggested": suggested, "rates": rates, "losses": smoothed}
    write_whole(folder / "learning-rate.json", json.dumps(told).encode())
    return RateTest(suggested, tuple(rates), tuple(smoothed), picture)


def find_batch(
    data: str | Path | Dataset,
    settings: Given = None,
    *,
    model: str | nn.Module | None = None,
    transform: Transform | None = None,
) -> tuple[BatchTrial, ...]:
    """Tries batches of 1, 2, 4, ... until one does not fit: into the memory, or 300 times into the time.

    Nothing that was learned is kept. Arguments are those of `train`; the time is `train.budget`. The last trial is
    the one that does not fit, unless the training pairs were too few to come to one.
    """
    with ready(data, settings, model, transform) as (setup, state, _):
        trials: list[BatchTrial] = []
        batch = 1
        while batch <= max(len(setup.pairs.pairs), 1) and (not trials or trials[-1].fits):
            try:
                trials.append(_tried(setup, state, batch, trials))
            except ValueError as error:
                if batch > 1 or "more than 1 value per channel" not in str(error):
                    raise  # BatchNorm after a global pooling takes no single pair
            batch *= 2
    return tuple(trials)


@contextmanager
def ready(
    data: str | Path | Dataset, given: Given, model: str | nn.Module | None, transform: Transform | None
) -> Iterator[tuple[Setup, State, str]]:
    """A training before its first step, and the name of its dataset; it has no run folder."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise SettingsError("Settings are tried by one process. Leave torchrun out.")
    settings = as_settings(given, model)
    module = deepcopy(model) if isinstance(model, nn.Module) else None
    device = find_device(settings.train.device)
    dataset = data if isinstance(data, Dataset) else open_for_training(Path(data), settings)
    seen = look_at(dataset)
    settings = resolve(settings, seen, device, own=module is not None)
    card = describe(settings, seen, None, module)
    with Run(Path(), writes=False) as run:
        setup = set_up(World(), run, card, dataset, seen, settings, transform)
        setup, state, _ = begin(setup, seen, module=module, resume=False)
        yield setup, state, dataset.root.stem or "run"


def _range_test(setup: Setup, state: State, feed: Feed) -> tuple[list[float], list[float]]:
    """Rates, and the loss of the step that each was for; it ends where the loss bursts."""
    settings = setup.settings
    learner = make_learner(setup, state.segmenter)
    told = count_on_terminal("learning rate")
    rates = [_LOWEST * (_HIGHEST / _LOWEST) ** (step / (_STEPS - 1)) for step in range(_STEPS)]
    losses: list[float] = []
    learned = False
    for step, rate in enumerate(rates):
        set_rate(state.optimizer, rate)
        set_training(state.segmenter, settings.optim, setup.encoder, step)
        losses.append(float(gradient(setup, state, learner, feed.take())))
        if _bursts(losses):
            break
        state.scaler.unscale_(state.optimizer)
        learned = bool(clip_gradients(state.segmenter, settings.optim.clip)) or learned
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.optimizer.zero_grad(set_to_none=True)
        told(step + 1, _STEPS)
    if not learned:
        raise SettingsError(_FALLS_NOWHERE)
    return rates, losses


def _bursts(losses: list[float]) -> bool:
    """Whether the newest loss is no number, or the smoothed ones are far above where they were."""
    if not math.isfinite(losses[-1]):
        return True
    smoothed = _smoothed(losses)[_SETTLED:]
    if not smoothed:
        return False
    low, first = min(smoothed), smoothed[0]
    return smoothed[-1] > low + _BURST * max(first - low, 0.1 * abs(first))


def _smoothed(losses: list[float]) -> list[float]:
    """Exponential mean, free of its bias at the start; what is no number ends it."""
    mean, smoothed = 0.0, []
    for number, loss in enumerate(losses, start=1):
        if not math.isfinite(loss):
            break
        mean = _SMOOTH * mean + (1 - _SMOOTH) * loss
        smoothed.append(mean / (1 - _SMOOTH**number))
    return smoothed


def _steepest(rates: list[float], losses: list[float]) -> float:
    """The rate before the smallest loss at which the loss falls fastest, over the logarithm of the rate.

    Raises:
        SettingsError: it falls nowhere after the first steps.
    """
    settled = losses[_SETTLED:]
    end = _SETTLED + settled.index(min(settled)) if settled else 0
    falls = [losses[place] - losses[place + 5] for place in range(_SETTLED, end - 4)]
    if not falls or max(falls) <= 0:
        raise SettingsError(_FALLS_NOWHERE)
    return rates[_SETTLED + falls.index(max(falls)) + 2]


def _tried(setup: Setup, state: State, batch: int, before: list[BatchTrial]) -> BatchTrial:
    """A few steps with a batch; none where it would clearly not fit."""
    budget, accumulate = setup.settings.train.budget, setup.settings.optim.accumulate
    available = memory_of(setup.device)
    if len(before) > 1 and 2 * before[-1].memory - before[-2].memory > _MOST_MEMORY * available:
        return BatchTrial(batch, math.nan, 0, False, f"would need more than {_MOST_MEMORY:.0%} of the memory")
    pairs = [collate([setup.pairs[number] for number in range(batch)])] * accumulate
    set_training(state.segmenter, setup.settings.optim, setup.encoder, 0)
    learner = make_learner(setup, state.segmenter)
    set_rate(state.optimizer, 0.0)
    for step in range(_TRIED):
        if step == 1:
            started = time.perf_counter()
        float(gradient(setup, state, learner, pairs))
        state.optimizer.step()  # with a rate of 0: its moments take memory, and it takes time
        state.optimizer.zero_grad(set_to_none=True)
        if state.portions > 1:
            return BatchTrial(batch, math.nan, 0, False, "out of memory")
    seconds, memory = (time.perf_counter() - started) / (_TRIED - 1), _peak(setup)
    if memory > _MOST_MEMORY * available:
        return BatchTrial(batch, seconds, memory, False, f"takes more than {_MOST_MEMORY:.0%} of the memory")
    if budget and seconds * _FEWEST_STEPS > budget:
        return BatchTrial(
            batch, seconds, memory, False, f"fewer than {_FEWEST_STEPS} steps in {budget:.0f} seconds"
        )
    return BatchTrial(batch, seconds, memory, True)


def _peak(setup: Setup) -> int:
    """Bytes at the peak so far."""
    if setup.device.type == "cuda":
        return torch.cuda.max_memory_reserved(setup.device)
    if sys.platform == "win32":
        return 0  # not known
    import resource  # not on Windows

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

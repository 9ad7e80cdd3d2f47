"""Training: one loop, from top to bottom. Set up, step, log, validate, save."""

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from signal import Signals
from typing import Any

import numpy as np
import torch
from torch import nn

from intarsia import draw
from intarsia.checkpoint import State, read_checkpoint, refuse_other_settings, restore, save_checkpoint
from intarsia.data.augment import Transform
from intarsia.data.check.inspection import inspect
from intarsia.data.dataset import Batch, batches
from intarsia.data.pairs import Dataset, read_pair
from intarsia.defaults import resolve
from intarsia.errors import SettingsError
from intarsia.evaluation import score
from intarsia.inference import find_device, predict_classes
from intarsia.losses import find_loss, of_all_heads
from intarsia.metrics import Scores
from intarsia.modelfile import MODEL_FILE, save_model
from intarsia.networks.segmenter import Segmenter
from intarsia.optim import learning_rate, set_training, update_average
from intarsia.preparation import (
    Setup,
    as_settings,
    begin,
    describe,
    introduce,
    open_for_training,
    set_up,
    total_steps,
)
from intarsia.runs import (
    CHECKPOINT,
    LAST_FILE,
    Meter,
    Run,
    existing_run_folder,
    new_run_folder,
    read_metrics,
)
from intarsia.settings import Settings
from intarsia.signals import StopRequest, stop_request
from intarsia.terminal import count_on_terminal

_LOG_EVERY = 10  # steps
_MOST_TIME_VALIDATING = 0.15  # share of a time budget
_PICTURES = 4
_RESERVE = 1.2  # of the mean time of a validation, kept of a time budget for the last one
_CLOSING = 1.0  # seconds kept for what comes after it
_DTYPE = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


@dataclass(frozen=True)
class Training:
    """What `train` did.

    Attributes:
        folder: the run folder.
        scores: of the best model on the validation split; None when stopped before the first validation.
        steps: optimizer steps done in all.
        seconds: spent in all, over all its sessions.
        stopped_by: the signal that ended it early.
    """

    folder: Path
    scores: Scores | None
    steps: int
    seconds: float
    stopped_by: Signals | None


def train(
    data: str | Path | Dataset,
    out: str | Path | None = None,
    settings: Settings | Mapping[str, Mapping[str, Any]] | None = None,
    *,
    model: str | nn.Module | None = None,
    resume: bool = False,
    transform: Transform | None = None,
) -> Training:
    """Trains a network on a dataset and writes a run folder (see `runs`).

    Args:
        data: a folder in any known layout, a dataset file, or what `open_dataset` returned.
        out: the run folder to be made; None for runs/NAME.
        settings: or a mapping such as {"train": {"budget": "10m"}}; what is left out is chosen from the data and
            the machine.
        model: the name of a network, as the setting model.name; or a module of your own, which is trained where it
            is: normalised images [B, bands, H, W] in; out come logits [B, C, h, w], a dict with "out", or an object
            with `.logits`. `load(folder, network=module)` loads it.
        resume: continue the run in `out` from its checkpoint, with the same settings.
        transform: augments pairs instead of the built-in augmentation; see `data.augment.Transform`.

    Raises:
        SettingsError: unknown or contradicting settings, or `out` holds another run.
        DataError: what would train wrong: the errors that `check` finds in train and val, each with its mend.
        MachineError: no such device, disk full or read-only.
    """
    started = time.monotonic()
    settings = as_settings(settings, model)
    module = model if isinstance(model, nn.Module) else None
    device = find_device(settings.train.device)
    dataset = data if isinstance(data, Dataset) else open_for_training(Path(data), settings)
    out = Path(out) if out is not None else None
    folder = existing_run_folder(out) if resume else new_run_folder(out, dataset.root.stem or "run")
    seen = inspect(dataset.only("train", "val"), count_on_terminal("checking"))
    seen.refuse_errors()
    saved = read_checkpoint(folder / CHECKPOINT) if resume else None
    begun = saved["settings"].model if saved else None
    settings = resolve(settings, seen, device, own=module is not None, begun=begun)
    find_loss(settings.loss)
    if saved:
        refuse_other_settings(saved, settings, folder / CHECKPOINT)
    card = describe(settings, seen, saved and saved["network"], module)
    with Run(folder) as run, stop_request() as stop:
        setup = set_up(run, card, dataset, seen, settings, transform)
        setup, state, told = begin(setup, seen, module=module, resume=resume)
        if saved is not None:
            restore(state, saved, folder / CHECKPOINT)
            run.rewind(state.step)
            run.say(f"continuing at step {state.step}")
        introduce(setup, state, dataset, seen, told)
        state.one_validation = _expected_validation(setup, state)
        return _loop(setup, state, stop, started)


def _loop(setup: Setup, state: State, stop: StopRequest, started: float) -> Training:
    """The training loop."""
    run, optim, limits = setup.run, setup.settings.optim, setup.settings.train
    assert limits.precision is not None
    segmenter, average = state.segmenter, state.average
    before = state.elapsed  # seconds of earlier sessions
    coarse, ignored = setup.settings.loss.resolution == "network", setup.card.labels.ignore_index
    meter = Meter()
    stream = _stream(setup, state)

    while not stop and ((progress := _progress(setup, state)) < 1 or state.step == 0):
        # One optimizer step.
        rate = learning_rate(optim, progress, state.val_scores)
        for group in state.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        set_training(segmenter, optim, setup.encoder, state.step)
        for _ in range(optim.accumulate):
            with meter.waiting():
                image, mask = next(stream)
            image, mask = image.to(setup.device, non_blocking=True), mask.to(setup.device, non_blocking=True)
            with torch.autocast(setup.device.type, _DTYPE[limits.precision], enabled=limits.precision != "fp32"):
                heads = segmenter.heads(image, mask, coarse=coarse)
            loss = of_all_heads(setup.loss, heads, setup.settings.loss.auxiliary_weight, ignored)
            torch.autograd.backward(state.scaler.scale(loss / optim.accumulate))
            meter.add(loss, len(image))
        state.scaler.unscale_(state.optimizer)
        torch.nn.utils.clip_grad_norm_(segmenter.parameters(), optim.clip)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.optimizer.zero_grad(set_to_none=True)
        state.step += 1
        if limits.ema:
            update_average(average, segmenter, state.step)
        state.elapsed = before + time.monotonic() - started

        # Log: before anything is saved, since this is where a loss that is no number is seen.
        progress = _progress(setup, state)
        to_validate = _validation_is_due(setup, state, progress)
        to_save = limits.checkpoint_every is not None and state.step % limits.checkpoint_every == 0
        if to_validate or to_save or state.step % _LOG_EVERY == 0:
            _log(setup, state, meter, rate, progress)

        # Validate and save.
        if to_validate:
            _validate(setup, state)
            _save(setup, state)
            validated = before + time.monotonic() - started
            state.one_validation = validated - state.elapsed
            state.validating += state.one_validation
            state.elapsed = validated
        elif to_save:
            save_checkpoint(run.folder / CHECKPOINT, setup.settings, state)

    if stop:
        _save(setup, state)
        run.say(f"Stopped at step {state.step}. All is saved: same command, --out {run.folder} --resume continues.")
    draw.curves(read_metrics(run.folder), run.folder / "curves.png")
    state.elapsed = before + time.monotonic() - started
    return Training(run.folder, state.best, state.step, state.elapsed, stop.signal)


def _stream(setup: Setup, state: State) -> Iterator[Batch]:
    """The batches from the next step on."""
    batch, workers = setup.settings.train.batch, setup.settings.data.workers
    assert batch is not None
    assert workers is not None
    start = state.step * setup.settings.optim.accumulate
    return batches(setup.pairs, batch, start, workers, pin=setup.device.type == "cuda")


def _progress(setup: Setup, state: State) -> float:
    """Share of the training that is behind us. A time budget keeps back the time of the last validation."""
    budget = setup.settings.train.budget
    if not budget:
        return state.step / total_steps(setup)
    return state.elapsed / max(budget - _CLOSING - _RESERVE * state.one_validation, 0.1 * budget)


def _expected_validation(setup: Setup, state: State) -> float:
    """Seconds that scoring all of val will take, from its first two pictures; the very first warms up."""
    for pairs in (setup.val[:1], setup.val[:2]):
        started = time.monotonic()
        score(_judged(setup, state).eval(), pairs, setup.card.labels)
    return (time.monotonic() - started) / len(pairs) * len(setup.val)


def _validation_is_due(setup: Setup, state: State, progress: float) -> bool:
    limits = setup.settings.train
    if progress >= 1:
        return True
    affordable = (
        not limits.budget or state.validating + state.one_validation <= _MOST_TIME_VALIDATING * limits.budget
    )
    return affordable and progress * limits.validations >= len(state.val_scores) + 1


def _validate(setup: Setup, state: State) -> None:
    """Scores the averaged weights, and keeps them where they are the best so far."""
    run, card = setup.run, setup.card
    judged = _judged(setup, state).eval()
    scores = score(judged, setup.val, card.labels, lambda done, total: run.status(f"validating {done}/{total}"))
    state.val_scores.append(scores.miou)
    if state.best is None or scores.miou > state.best.miou:
        state.best = scores
        save_model(judged, replace(card, training=_notes(state, scores)), run.folder / MODEL_FILE)
    draw.write_picture(_validation_picture(setup, judged), run.folder / "validation.png")
    run.record("val", step=state.step, seconds=round(state.elapsed, 1), **scores.to_dict())
    best = " (best so far)" if state.best is scores else ""
    run.say(f"step {state.step}: validation mIoU {scores.miou:.4f}{best}")


def _judged(setup: Setup, state: State) -> Segmenter:
    """The weights that are validated and saved."""
    return state.average if setup.settings.train.ema else state.segmenter


def _notes(state: State, scores: Scores | None) -> dict[str, Any]:
    """What the model file says of its training."""
    notes: dict[str, Any] = {"steps": state.step, "seconds": round(state.elapsed, 1)}
    return notes | ({"val_miou": scores.miou} if scores else {})


def _validation_picture(setup: Setup, segmenter: Segmenter) -> draw.Picture:
    """Image, truth, prediction of a few validation pairs, evenly taken."""
    labels = setup.card.labels
    rows = []
    for index in np.linspace(0, len(setup.val) - 1, min(_PICTURES, len(setup.val))).round().astype(int):
        image, mask = read_pair(setup.val[index], labels, segmenter.bands)
        predicted = predict_classes(segmenter, image).cpu().numpy()
        rows.append(
            {
                "image": draw.rgb(image),
                "truth": draw.overlay(image, mask, labels),
                "prediction": draw.overlay(image, predicted, labels),
            }
        )
    return draw.panel(rows, labels)


def _log(setup: Setup, state: State, meter: Meter, rate: float, progress: float) -> None:
    """A line for metrics.jsonl and one for the terminal."""
    limits = setup.settings.train
    assert limits.batch is not None
    numbers = meter.read()
    if not math.isfinite(numbers["loss"]):
        raise SettingsError(
            f"The loss became {numbers['loss']} within {_LOG_EVERY} steps before step {state.step} (learning rate "
            f"{rate:.2g}). What was saved before is whole; try a lower optim.lr, or train.precision=fp32."
        )
    epoch = state.step * limits.batch * setup.settings.optim.accumulate / len(setup.pairs.pairs)
    setup.run.record("train", step=state.step, epoch=round(epoch, 3), lr=rate, **numbers)
    left = state.elapsed * (1 - progress) / progress
    score_so_far = f"{state.best.miou:.3f}" if state.best else "-"
    setup.run.status(
        f"epoch {epoch:.1f} · step {state.step} · loss {numbers['loss']:.3f} · lr {rate:.1e} · "
        f"{numbers['images_per_second']:.0f} images/s · waiting for data {numbers['waiting']:.0%} · "
        f"mIoU {score_so_far} · {left / 60:.1f} min left"
    )


def _save(setup: Setup, state: State) -> None:
    """The newest model, the curves and the checkpoint."""
    folder = setup.run.folder
    card = replace(setup.card, training=_notes(state, None))
    save_model(_judged(setup, state), card, folder / LAST_FILE)
    if not (folder / MODEL_FILE).exists():  # stopped before the first validation
        save_model(_judged(setup, state), card, folder / MODEL_FILE)
    draw.curves(read_metrics(folder), folder / "curves.png")
    save_checkpoint(folder / CHECKPOINT, setup.settings, state)

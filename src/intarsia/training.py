"""Training: one loop, from top to bottom. Set up, step, log, validate, save."""

import hashlib
import json
import math
import time
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from signal import Signals
from typing import Any

import numpy as np
import torch

from intarsia import draw
from intarsia.checkpoint import State, load_checkpoint, save_checkpoint
from intarsia.data.augment import Augment, Transform
from intarsia.data.check.inspection import Inspection, inspect
from intarsia.data.dataset import Batch, TrainingPairs, batches
from intarsia.data.index import find_dataset
from intarsia.data.pairs import Dataset, Pair, read_pair
from intarsia.defaults import check_batch, resolve
from intarsia.errors import SettingsError
from intarsia.evaluation import score
from intarsia.inference import find_device, predict_classes
from intarsia.losses import Loss, find_loss, make_loss
from intarsia.metrics import Scores
from intarsia.modelfile import MODEL_FILE, ModelCard, build_segmenter, save_model
from intarsia.networks import find_network
from intarsia.networks.segmenter import Segmenter
from intarsia.optim import learning_rate, make_optimizer, update_average
from intarsia.runs import (
    CHECKPOINT,
    LAST_FILE,
    Meter,
    Run,
    existing_run_folder,
    new_run_folder,
    read_metrics,
)
from intarsia.settings import Settings, make_settings, write_toml
from intarsia.signals import StopRequest, stop_request
from intarsia.terminal import count_on_terminal
from intarsia.weights import class_weights

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


@dataclass(frozen=True)
class Setup:
    """What stays the same while training."""

    run: Run
    settings: Settings
    card: ModelCard
    device: torch.device
    pairs: TrainingPairs
    val: tuple[Pair, ...]
    loss: Loss


def train(
    data: str | Path | Dataset,
    out: str | Path | None = None,
    settings: Settings | Mapping[str, Mapping[str, Any]] | None = None,
    *,
    resume: bool = False,
    transform: Transform | None = None,
) -> Training:
    """Trains a network on a dataset and writes a run folder (see `runs`).

    Args:
        data: a folder in any known layout, a dataset file, or what `open_dataset` returned.
        out: the run folder to be made; None for runs/NAME.
        settings: or a mapping such as {"train": {"budget": "10m"}}; what is left out is chosen from the data and
            the machine.
        resume: continue the run in `out` from its checkpoint, with the same settings.
        transform: augments pairs instead of the built-in augmentation; see `data.augment.Transform`.

    Raises:
        SettingsError: unknown or contradicting settings, or `out` holds another run.
        DataError: what would train wrong: the errors that `check` finds in train and val, each with its mend.
        MachineError: no such device, disk full or read-only.
    """
    started = time.monotonic()
    settings = settings if isinstance(settings, Settings) else make_settings(settings or {})
    device = find_device(settings.train.device)
    find_network(settings.model.name)
    dataset = data if isinstance(data, Dataset) else _open(Path(data), settings)
    out = Path(out) if out is not None else None
    folder = existing_run_folder(out) if resume else new_run_folder(out, dataset.root.stem or "run")
    seen = inspect(dataset.only("train", "val"), count_on_terminal("checking"))
    labels = seen.refuse_errors()
    settings = resolve(settings, seen, device)
    check_batch(settings)
    find_loss(settings.loss)
    with Run(folder) as run, stop_request() as stop:
        card = ModelCard(settings.model, labels, seen.bands, settings.data)
        setup = _set_up(run, card, dataset, seen, settings, transform)
        state = _fresh_state(setup, seen)
        if resume:
            load_checkpoint(folder / CHECKPOINT, settings, state)
            run.rewind(state.step)
            run.say(f"continuing at step {state.step}")
        _introduce(setup, state, dataset, seen)
        state.one_validation = _expected_validation(setup, state)
        return _loop(setup, state, stop, started)


def _loop(setup: Setup, state: State, stop: StopRequest, started: float) -> Training:
    """The training loop."""
    run, optim, limits = setup.run, setup.settings.optim, setup.settings.train
    assert limits.precision is not None
    segmenter, average = state.segmenter, state.average
    before = state.elapsed  # seconds of earlier sessions
    coarse = setup.settings.loss.resolution == "network"
    meter = Meter()
    stream = _stream(setup, state)

    while not stop and ((progress := _progress(setup, state)) < 1 or state.step == 0):
        # One optimizer step.
        rate = learning_rate(optim, progress, state.val_scores)
        for group in state.optimizer.param_groups:
            group["lr"] = rate
        segmenter.train()
        for _ in range(optim.accumulate):
            with meter.waiting():
                image, mask = next(stream)
            image, mask = image.to(setup.device, non_blocking=True), mask.to(setup.device, non_blocking=True)
            with torch.autocast(setup.device.type, _DTYPE[limits.precision], enabled=limits.precision != "fp32"):
                logits = segmenter.coarse(image) if coarse else segmenter(image)
            loss = setup.loss(logits, segmenter.coarse_target(mask) if coarse else mask)
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


def _open(path: Path, settings: Settings) -> Dataset:
    data = settings.data
    return find_dataset(path, ignore=data.ignore, val_share=data.val_share, scene_separator=data.scene_separator)


def _set_up(
    run: Run, card: ModelCard, dataset: Dataset, seen: Inspection, settings: Settings, transform: Transform | None
) -> Setup:
    train = settings.train
    assert train.size is not None
    device = find_device(train.device)
    counts = seen.counts["train"]
    weights = torch.tensor(class_weights(counts, settings.loss.class_weights), dtype=torch.float32, device=device)
    pairs = TrainingPairs(
        dataset.split("train"),
        card.labels,
        card.bands,
        transform=transform or Augment(settings.augment, train.size, card.labels.ignore_index),
        size=train.size,
        seed=train.seed,
        cache=bool(settings.data.cache),
    )
    loss = make_loss(settings.loss, weights, card.labels.ignore_index)
    return Setup(run, settings, card, device, pairs, dataset.split("val"), loss)


def _fresh_state(setup: Setup, seen: Inspection) -> State:
    torch.manual_seed(setup.settings.train.seed)
    segmenter = build_segmenter(setup.card, seen.mean, seen.std).to(setup.device)
    segmenter = segmenter.to(memory_format=torch.channels_last)
    return State(
        segmenter=segmenter,
        average=deepcopy(segmenter).eval(),
        optimizer=make_optimizer(segmenter, setup.settings.optim),
        data=_fingerprint(setup),
        scaler=torch.amp.GradScaler(setup.device.type, enabled=setup.settings.train.precision == "fp16"),
    )


def _fingerprint(setup: Setup) -> str:
    """What a continued training must find again: the classes and the names of all pairs."""
    names = [pair.name for pair in (*setup.pairs.pairs, *setup.val)]
    told = json.dumps([setup.card.labels.to_dict(), setup.card.bands, len(setup.val), names])
    return hashlib.sha256(told.encode()).hexdigest()


def _introduce(setup: Setup, state: State, dataset: Dataset, seen: Inspection) -> None:
    """Says what is trained on what, writes the settings and the contact sheet."""
    run, settings = setup.run, setup.settings
    write_toml(settings, run.folder / "settings.toml")
    samples = [setup.pairs[number] for number in range(16)]
    draw.write_picture(draw.contact_sheet(samples, setup.card.labels), run.folder / "augmented.png")
    train, val = dataset.split("train"), dataset.split("val")
    drawn = " (drawn from train by name)" if dataset.drawn else ""
    run.say(f"{dataset.root}: {len(train)} pairs to train, {len(val)} to validate{drawn}")
    shares = seen.counts["train"] / seen.counts["train"].sum()
    run.say(
        "classes: "
        + ", ".join(f"{name} {share:.1%}" for name, share in zip(setup.card.labels.names, shares, strict=True))
    )
    run.say(f"masks: {seen.encoding}")
    for finding in seen.of_severity("warning"):
        run.say(f"warning: {' '.join(seen.below_root(finding.message).split())} ({finding.id})")
    parameters = sum(parameter.numel() for parameter in state.segmenter.parameters())
    model, limits = settings.model, settings.train
    assert limits.size is not None
    run.say(
        f"{model.name} (width {model.width}, depth {model.depth}, stem {model.stem}): {parameters:,} "
        f"parameters, crops of {limits.size[0]}x{limits.size[1]}, batch {limits.batch}, {limits.precision} on "
        f"{setup.device}, for {_length_in_words(setup)}"
    )
    run.say(f"look at {run.folder / 'augmented.png'} first: are the masks where they should be?")


def _length_in_words(setup: Setup) -> str:
    limits = setup.settings.train
    if limits.budget:
        return f"{limits.budget / 60:.3g} minutes (--budget, --epochs or --steps change that)"
    return f"{_total_steps(setup)} steps"


def _total_steps(setup: Setup) -> int:
    """Steps of the whole training; only where it is not limited by time."""
    limits = setup.settings.train
    assert limits.batch is not None
    if limits.steps:
        return limits.steps
    assert limits.epochs is not None
    return math.ceil(limits.epochs * len(setup.pairs.pairs) / (limits.batch * setup.settings.optim.accumulate))


def _progress(setup: Setup, state: State) -> float:
    """Share of the training that is behind us. A time budget keeps back the time of the last validation."""
    budget = setup.settings.train.budget
    if not budget:
        return state.step / _total_steps(setup)
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

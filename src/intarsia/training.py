"""Training: one loop, from top to bottom. Set up, step, log, validate, save."""

import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from signal import Signals
from typing import Any

from torch import Tensor, nn

from intarsia import draw, guards
from intarsia.checkpoint import (
    Checkpoint,
    State,
    contents,
    drop_checkpoints_after,
    has_checkpoint,
    newest_checkpoint,
    random_state,
    refuse_other_settings,
    restore,
    save_checkpoint,
)
from intarsia.data.augment import Transform
from intarsia.data.check.inspection import Inspection
from intarsia.data.pairs import Dataset
from intarsia.defaults import continued, resolve
from intarsia.determinism import deterministic
from intarsia.distributed import World, joined
from intarsia.errors import listing
from intarsia.evaluation import compared, count
from intarsia.feed import Feed, feeding
from intarsia.inference import find_device
from intarsia.locks import locked
from intarsia.loggers import TENSORBOARD, Logger, TensorBoard
from intarsia.losses import find_loss
from intarsia.metrics import Scores, scores_of
from intarsia.modelfile import MODEL_FILE, save_model
from intarsia.networks.segmenter import Segmenter
from intarsia.optim import learning_rate, set_rate, set_training, update_average
from intarsia.pace import (
    checkpoint_is_due,
    epochs_done,
    expected_validation,
    is_over,
    progress,
    validation_is_due,
)
from intarsia.preparation import (
    Given,
    Setup,
    as_settings,
    begin,
    describe,
    introduce,
    look_at,
    open_for_training,
    set_up,
)
from intarsia.runs import LAST_FILE, Meter, Run, clear, read_metrics, run_folder
from intarsia.settings import Settings
from intarsia.sharding import clip_gradients
from intarsia.signals import Stopped, StopRequest, stop_request
from intarsia.steps import compile_network, gradient, make_learner

_LOG_EVERY = 10  # steps


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
    settings: Given = None,
    *,
    model: str | nn.Module | None = None,
    resume: bool = False,
    transform: Transform | None = None,
    loggers: Sequence[Logger] = (),
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
        resume: continue the run in `out` from its newest whole checkpoint, with the same settings, as if it had
            never stopped: at the end the weights are the same. Settings that are left out are those of the run.
        transform: augments pairs instead of the built-in augmentation; see `data.augment.Transform`.
        loggers: are told numbers and pictures too; see `loggers.Logger`.

    Raises:
        SettingsError: unknown or contradicting settings, or `out` holds another run.
        DataError: what would train wrong: the errors that `check` finds in train and val, each with its mend; or a
            picture that became unreadable.
        ModelFileError: no checkpoint is whole, or weights to begin with are damaged.
        MachineError: no such device, disk full or read-only, a loader's worker that died.
    """
    started = time.monotonic()
    given = as_settings(settings, model)
    asked = given.train.processes
    module = model if isinstance(model, nn.Module) else None
    with ExitStack() as stack:
        world = stack.enter_context(joined(asked))
        dataset = world.told(lambda: _opened(data, given))
        out = Path(out) if out is not None else None
        folder = world.told(lambda: run_folder(out, dataset.root.stem or "run", resume=resume))
        world.alone(lambda: stack.enter_context(locked(folder)))
        found = world.told(lambda: _found(folder))
        if found:  # what counts for nothing and what is held out are as they were
            given = continued(given, found.settings)
            dataset = world.told(lambda: _opened(data, given))
        seen = world.told(lambda: look_at(dataset))
        settings = world.told(lambda: _settings(given, asked, found, seen, world, own=module is not None))
        card = world.told(lambda: describe(settings, seen, found.network if found else None, module))
        told_too = world.alone(lambda: _all_loggers(settings, folder, loggers, found)) or ()
        run = stack.enter_context(Run(folder, writes=world.first, loggers=told_too))
        stop = stack.enter_context(stop_request())
        stack.enter_context(deterministic(settings.train.deterministic, run.say_once))
        setup = set_up(world, run, card, dataset, seen, settings, transform)
        setup, state, told = begin(setup, seen, module=module, resume=found is not None)
        if found:
            _go_back(setup, state, found)
        world.alone(lambda: introduce(setup, state, dataset, seen, told))
        _tell_beginning(setup, found, resume)
        found = None  # it holds all weights once more
        if settings.train.compile:
            compile_network(setup, state.segmenter)
        if settings.train.budget:
            state.one_validation = world.largest(expected_validation(setup, state))[0]
        feed = stack.enter_context(feeding(setup, state.step))
        training = _loop(setup, state, feed, stop, started)
        if training.stopped_by:
            run.say(f"Stopped at step {state.step}. All is saved: same command, --out {folder} --resume continues.")
        return training


def _loop(setup: Setup, state: State, feed: Feed, stop: StopRequest, started: float) -> Training:
    """The training loop."""
    world, optim, limits = setup.world, setup.settings.optim, setup.settings.train
    segmenter, average = state.segmenter, state.average
    earlier = state.elapsed  # seconds of earlier sessions
    learner, meter = None, Meter()
    stopped = 0.0  # the number of a signal, as soon as any process got one

    while True:
        # Validate and save: before the next step, so that a training continued here does what was still due.
        with meter.away():
            if validated := not stopped and validation_is_due(setup, state):
                stopped = _validate(setup, state, stop)
                state.elapsed = world.largest(earlier + time.monotonic() - started)[0]
            over = is_over(setup, state)
            if validated or stopped or checkpoint_is_due(setup, state):
                _save(setup, state, newest=validated or bool(stopped))
        if stopped or over:
            break

        # One optimizer step: the gradient.
        rate = state.slowed * learning_rate(optim, progress(setup, state), state.val_scores)
        set_rate(state.optimizer, rate)
        set_training(segmenter, optim, setup.encoder, state.step)
        if learner is None or state.step == optim.freeze:  # from here on, other parameters learn
            learner = make_learner(setup, segmenter)
        with meter.waiting():
            batches = feed.take()
        before = guards.statistics(segmenter) if limits.on_nonfinite == "skip" else []
        loss = gradient(setup, state, learner, batches)
        state.scaler.unscale_(state.optimizer)
        norm = clip_gradients(segmenter, optim.clip)

        # What all processes must know. A gradient in fp16 may be infinite: the scaler leaves that step out.
        no_number = not loss.isfinite() or not (norm.isfinite() or state.scaler.is_enabled())
        stopped, wrong, state.elapsed = world.largest(stop.number, no_number, earlier + time.monotonic() - started)
        if wrong:
            if _leave_out_or_go_back(setup, state, rate, before):
                feed.start(state.step)
                learner = None
            continue

        # The step itself.
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.optimizer.zero_grad(set_to_none=True)
        state.step += 1
        if limits.ema:
            update_average(average, segmenter, state.step)
        meter.add(loss, setup.pairs_a_step)
        if state.step % _LOG_EVERY == 0 or validation_is_due(setup, state):
            _log(setup, state, meter, rate)

    return Training(
        setup.run.folder, state.best, state.step, state.elapsed, Signals(int(stopped)) if stopped else None
    )


def _opened(data: str | Path | Dataset, settings: Settings) -> Dataset:
    return data if isinstance(data, Dataset) else open_for_training(Path(data), settings)


def _settings(
    given: Settings, asked: int | None, found: Checkpoint | None, seen: Inspection, world: World, *, own: bool
) -> Settings:
    """All settings: chosen where they were left open, or those of the run that is continued."""
    device = find_device(given.train.device)
    if found is None:
        settings = resolve(given, seen, device, own=own, world=world)
    else:
        here = given.train.model_copy(update={"device": str(device), "processes": world.size})
        settings = given.model_copy(update={"train": here})
        refuse_other_settings(found, settings, processes_asked=asked is not None)
    find_loss(settings.loss)
    return settings


def _found(folder: Path) -> Checkpoint | None:
    """The checkpoint to go on from; in a folder without any, the rest of a training that never saved is removed."""
    clear(folder)
    return newest_checkpoint(folder) if has_checkpoint(folder) else None


def _all_loggers(
    settings: Settings, folder: Path, given: Sequence[Logger], found: Checkpoint | None
) -> tuple[Logger, ...]:
    if not settings.train.tensorboard:
        return tuple(given)
    return (*given, TensorBoard(folder / TENSORBOARD, found.position.step if found else 0))


def _tell_beginning(setup: Setup, found: Checkpoint | None, resume: bool) -> None:
    run = setup.run
    if found:
        for reason in found.passed_over:
            run.say(f"warning: passed over a damaged checkpoint: {reason}")
        run.say(f"continuing at step {found.position.step}, from {found.path}")
    elif resume:
        run.say(f"{run.folder}: nothing was saved yet: training from the beginning")


def _go_back(setup: Setup, state: State, found: Checkpoint) -> None:
    """Sets everything to a checkpoint, and removes what came after it."""
    restore(state, found, setup.world.rank)
    state.saved, state.saved_at = state.step, state.elapsed
    if setup.world.first:
        setup.run.rewind(state.step)
        drop_checkpoints_after(setup.run.folder, state.step)


def _leave_out_or_go_back(setup: Setup, state: State, rate: float, before: Sequence[Tensor]) -> bool:
    """After a loss or gradient that is no number: whether the training went back to its last checkpoint.

    Raises:
        SettingsError: it stops, since the settings say so or it happened too often.
    """
    policy, run = setup.settings.train.on_nonfinite, setup.run
    first = state.step * setup.pairs_a_step
    files = [setup.pairs.of_number(number).image.name for number in range(first, first + setup.pairs_a_step)]
    told = (
        f"A loss or gradient is no number at step {state.step + 1}, learning rate {rate:.2g}, with "
        f"{listing(files, most=len(files))}"
    )
    mishaps, slowed = state.mishaps + 1, state.slowed / 2
    guards.refuse_nonfinite(policy, mishaps, told, run.folder)
    state.optimizer.zero_grad(set_to_none=True)
    state.scaler.update()
    if policy == "skip":
        run.say(f"warning: {told}: left out ({mishaps} so far)")
        guards.put_back(state.segmenter, before)
        state.step, state.mishaps = state.step + 1, mishaps
        return False
    _go_back(setup, state, setup.world.told(lambda: newest_checkpoint(run.folder)))
    state.mishaps, state.slowed = mishaps, slowed
    run.say(f"warning: {told}: back to step {state.step}, with {slowed:g} of the learning rate")
    return True


def _validate(setup: Setup, state: State, stop: StopRequest) -> float:
    """Scores the averaged weights, and keeps them where they are the best so far.

    Returns:
        The number of the signal that any process got meanwhile: then the validation may have been given up.
    """
    started = time.monotonic()
    world, run, card = setup.world, setup.run, setup.card
    judged = setup.judged(state).eval()
    world.equal(judged.buffers())  # the statistics of BatchNorm were each process's own

    def go_on(done: int, total: int) -> None:
        run.status(f"validating {done}/{total}")
        stop.check()

    counts = None
    with suppress(Stopped):
        counts = count(judged, setup.val[world.rank :: world.size], card.labels, go_on)
    stopped, given_up = world.largest(stop.number, counts is None)
    if given_up:
        return stopped
    assert counts is not None
    confusion, ignored = (world.total(tensor) for tensor in counts)
    scores = scores_of(card.labels.names, confusion, len(setup.val), int(ignored))
    state.validated = state.step
    state.val_scores.append(scores.miou)
    best = state.best is None or scores.miou > state.best.miou
    if best:
        state.best = scores
    run.record("val", step=state.step, seconds=round(state.elapsed, 1), **scores.to_dict())
    run.say(f"step {state.step}: validation mIoU {scores.miou:.4f}{' (best so far)' * best}")
    if run.writes:
        if best:
            save_model(
                judged, replace(card, training={**card.training, **_notes(state, scores)}), run.folder / MODEL_FILE
            )
        run.picture("validation", state.step, compared(judged, setup.val, card.labels))
        for kind, note in guards.after_validation(scores, read_metrics(run.folder), progress(setup, state)):
            run.say_once(kind, note)
    state.one_validation = world.largest(time.monotonic() - started)[0]
    state.validating += state.one_validation
    return stopped


def _notes(state: State, scores: Scores | None) -> dict[str, Any]:
    """What the model file says of its training."""
    notes: dict[str, Any] = {"steps": state.step, "seconds": round(state.elapsed, 1)}
    return notes | ({"val_miou": scores.miou} if scores else {})


def _log(setup: Setup, state: State, meter: Meter, rate: float) -> None:
    """A line for metrics.jsonl and one for the terminal."""
    run = setup.run
    numbers = meter.read()
    epoch, done = epochs_done(setup, state.step), progress(setup, state)
    run.record("train", step=state.step, epoch=round(epoch, 3), lr=rate, **numbers)
    if setup.pairs.skip:
        bad = setup.world.total(setup.pairs.bad.long()).nonzero().flatten().tolist()
        files = [setup.pairs.pairs[index].image for index in bad]
        for sentence in guards.of_bad_pairs(files, len(setup.pairs.pairs), setup.settings.data.bad_share):
            run.say_once(sentence, sentence)
    if note := guards.of_waiting(numbers["waiting"], setup.settings.data.workers or 0):
        run.say_once("waiting", note)
    left = state.elapsed * max(1 - done, 0) / done
    score_so_far = f"{state.best.miou:.3f}" if state.best else "-"
    run.status(
        f"epoch {epoch:.1f} · step {state.step} · loss {numbers['loss']:.3f} · lr {rate:.1e} · "
        f"{numbers['images_per_second']:.0f} images/s · waiting for data {numbers['waiting']:.0%} · "
        f"mIoU {score_so_far} · {left / 60:.1f} min left"
    )


def _write_newest(setup: Setup, state: State, judged: Segmenter) -> None:
    """The newest model, and the curves."""
    folder = setup.run.folder
    card = replace(setup.card, training={**setup.card.training, **_notes(state, None)})
    save_model(judged, card, folder / LAST_FILE)
    if not (folder / MODEL_FILE).exists():  # stopped before the first validation
        save_model(judged, card, folder / MODEL_FILE)
    draw.curves(read_metrics(folder), folder / "curves.png")


def _save(setup: Setup, state: State, *, newest: bool) -> None:
    """A checkpoint, with the random numbers of every process; where asked for, the newest model before it."""
    judged = setup.judged(state) if newest else None
    if judged is not None and setup.run.writes:
        _write_newest(setup, state, judged)
    random_states = setup.world.collected(random_state(setup.device))
    state.saved, state.saved_at = state.step, state.elapsed
    content = contents(setup.settings, state, random_states)
    if setup.run.writes:
        save_checkpoint(setup.run.folder, content, setup.settings.train.keep)

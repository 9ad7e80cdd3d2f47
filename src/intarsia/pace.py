"""How far a training is, and what is due: a validation, a checkpoint, the end."""

import math
import time

from intarsia.checkpoint import State
from intarsia.evaluation import score
from intarsia.preparation import Setup

_MOST_TIME_VALIDATING = 0.15  # share of a time budget
_RESERVE = 1.2  # of the mean time of a validation, kept of a time budget for the last one
_CLOSING = 1.0  # seconds kept for what comes after it
_BETWEEN_EPOCHS = 10.0  # seconds: epochs that are shorter do not all end with a checkpoint


def epochs_done(setup: Setup, step: int) -> float:
    """Passes over the training pairs after so many steps."""
    return step * setup.pairs_a_step / len(setup.pairs.pairs)


def progress(setup: Setup, state: State) -> float:
    """Share of the training that is behind us. A time budget keeps back the time of the last validation."""
    budget = setup.settings.train.budget
    if not budget:
        return state.step / setup.total_steps
    return state.elapsed / max(budget - _CLOSING - _RESERVE * state.one_validation, 0.1 * budget)


def is_over(setup: Setup, state: State) -> bool:
    """Whether all steps are done, or so many validations brought nothing that the patience is at its end."""
    return state.step > 0 and (progress(setup, state) >= 1 or _patience_is_over(setup, state))


def validation_is_due(setup: Setup, state: State) -> bool:
    """Whether to validate before the next step."""
    limits = setup.settings.train
    if state.step == state.validated:  # 0 before the first step
        return False
    if is_over(setup, state):
        return True
    affordable = (
        not limits.budget or state.validating + state.one_validation <= _MOST_TIME_VALIDATING * limits.budget
    )
    return affordable and progress(setup, state) * limits.validations >= len(state.val_scores) + 1


def checkpoint_is_due(setup: Setup, state: State) -> bool:
    """Whether to save before the next step: the first of all, after so many steps or minutes, at an epoch's end."""
    limits = setup.settings.train
    if state.step == state.saved:
        return False
    if state.saved < 0:  # before the first step: whatever happens then, it can be continued
        return True
    if limits.checkpoint_every is not None and state.step % limits.checkpoint_every == 0:
        return True
    since = state.elapsed - state.saved_at
    epoch_ended = int(epochs_done(setup, state.step)) > int(epochs_done(setup, state.step - 1))
    return since >= 60 * limits.checkpoint_minutes or (epoch_ended and since >= _BETWEEN_EPOCHS)


def expected_validation(setup: Setup, state: State) -> float:
    """Seconds that scoring all of val will take, from its first two pictures; the very first warms up."""
    for pairs in (setup.val[:1], setup.val[:2]):
        started = time.monotonic()
        score(setup.judged(state).eval(), pairs, setup.card.labels)
    return (time.monotonic() - started) / len(pairs) * len(setup.val) / setup.world.size


def _patience_is_over(setup: Setup, state: State) -> bool:
    """Whether the newest validations, as many as the patience, brought no better score."""
    patience, scores = setup.settings.train.patience, state.val_scores
    if patience is None or len(scores) <= patience:
        return False
    before = [score for score in scores[:-patience] if not math.isnan(score)]
    return bool(before) and not any(score > max(before) for score in scores[-patience:])

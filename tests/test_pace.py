"""What is due when: a training simulated step by step, with a clock of its own."""

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from intarsia.checkpoint import State
from intarsia.pace import (
    checkpoint_is_due,
    epochs_done,
    is_over,
    progress,
    validation_is_due,
)
from intarsia.preparation import Setup
from intarsia.settings import make_settings


def setup_of(pairs: int = 10, batch: int = 2, accumulate: int = 1, **train: Any) -> Setup:
    """Only what the pace of a training depends on: its settings and the number of its pairs."""
    settings = make_settings({"train": {"batch": batch, **train}, "optim": {"accumulate": accumulate}})
    unused: dict[str, Any] = dict.fromkeys(("world", "run", "card", "device", "loss", "class_weights"))
    return Setup(settings=settings, pairs=SimpleNamespace(pairs=range(pairs)), val=(), **unused)


def state_of(**values: Any) -> State:
    """A state without a network."""
    unused: dict[str, Any] = dict.fromkeys(("segmenter", "average", "optimizer", "scaler"))
    return State(**unused, **values)


def walk(
    setup: Setup, state: State, seconds_a_step: float = 0.0, score: float = 0.5
) -> tuple[list[int], list[int]]:
    """Goes on to the end, as the loop does: the steps at which a validation came, and those with a checkpoint."""
    validations, checkpoints = [], []
    while True:
        if validated := validation_is_due(setup, state):
            validations.append(state.step)
            state.val_scores.append(score)
            state.validated = state.step
        over = is_over(setup, state)
        if validated or checkpoint_is_due(setup, state):
            checkpoints.append(state.step)
            state.saved, state.saved_at = state.step, state.elapsed
        if over:
            return validations, checkpoints
        state.step += 1
        state.elapsed += seconds_a_step


def test_epochs_count_the_pairs_that_were_seen() -> None:
    assert epochs_done(setup_of(pairs=10, batch=2, accumulate=3), step=5) == 3.0
    assert epochs_done(setup_of(pairs=8, batch=2), step=1) == 0.25


def test_progress_by_steps_and_by_epochs() -> None:
    assert progress(setup_of(steps=20), state_of(step=5)) == 0.25
    by_epochs = setup_of(pairs=10, batch=4, epochs=3)  # 30 pairs: 8 steps, the last one half
    assert [progress(by_epochs, state_of(step=step)) for step in (0, 4, 8)] == [0, 0.5, 1]


def test_progress_by_time_keeps_back_the_last_validation() -> None:
    """Of 101 seconds one is for closing, and 1.2 * 10 for a validation: 88 are left."""
    assert progress(setup_of(budget=101), state_of(elapsed=44, one_validation=10)) == pytest.approx(0.5)
    assert progress(setup_of(budget=10), state_of(elapsed=0.5, one_validation=100)) == 0.5  # at least a tenth of it


@pytest.mark.parametrize(
    ("steps", "validations", "expected"),
    [
        (10, 5, [2, 4, 6, 8, 10]),
        (10, 3, [4, 7, 10]),
        (10, 1, [10]),
        (3, 10, [1, 2, 3]),
    ],
)
def test_validations_are_evenly_spread_and_end_with_the_last_step(
    steps: int, validations: int, expected: list[int]
) -> None:
    assert walk(setup_of(steps=steps, validations=validations), state_of())[0] == expected


def test_validations_take_no_more_than_their_share_of_a_time_budget() -> None:
    """15 % of 100 seconds: the second one of 8 seconds would be too much, but for the one at the end."""
    setup = setup_of(budget=100, validations=10)
    second = state_of(step=50, elapsed=60.0, val_scores=[0.5], validated=10, one_validation=8.0, validating=8.0)
    assert not validation_is_due(setup, second)
    assert validation_is_due(setup, replace(second, validating=7.0))
    assert validation_is_due(setup, replace(second, elapsed=99.0))


def test_checkpoints_by_steps_begin_with_the_first() -> None:
    assert walk(setup_of(pairs=1000, steps=7, validations=1, checkpoint_every=3), state_of())[1] == [0, 3, 6, 7]


def test_checkpoints_by_minutes() -> None:
    """A step takes 7 seconds: 30 seconds are over at the fifth, and again five later."""
    setup = setup_of(pairs=1000, steps=17, validations=1, checkpoint_minutes=0.5)
    assert walk(setup, state_of(), seconds_a_step=7)[1] == [0, 5, 10, 15, 17]


@pytest.mark.parametrize(
    ("seconds_a_step", "expected"), [(1.0, [0, 10, 20, 22]), (2.0, [0, 5, 10, 15, 20, 22]), (0.4, [0, 22])]
)
def test_at_the_end_of_an_epoch_only_after_ten_seconds(seconds_a_step: float, expected: list[int]) -> None:
    """An epoch is five steps."""
    setup = setup_of(pairs=10, batch=2, steps=22, validations=1)
    assert walk(setup, state_of(), seconds_a_step)[1] == expected


def test_an_epoch_ends_within_a_step_too() -> None:
    """Three pairs a step, of ten: epochs end in steps 4, 7 and 10."""
    setup = setup_of(pairs=10, batch=3, steps=11, validations=1)
    assert walk(setup, state_of(), seconds_a_step=10)[1] == [0, 4, 7, 10, 11]


def test_a_continued_training_has_nothing_due_twice() -> None:
    setup = setup_of(steps=10, validations=5, checkpoint_every=2)
    continued = state_of(step=4, validated=4, val_scores=[0.5, 0.5], saved=4, saved_at=8.0, elapsed=8.0)
    assert not validation_is_due(setup, continued)
    assert not checkpoint_is_due(setup, continued)
    assert walk(setup, continued) == ([6, 8, 10], [6, 8, 10])


def test_a_validation_that_was_still_due_is_made_up_for() -> None:
    """Saved by a signal at a step whose validation had not come yet."""
    setup = setup_of(steps=10, validations=5)
    assert validation_is_due(setup, state_of(step=4, validated=2, val_scores=[0.5], saved=4))


def test_a_finished_training_that_is_continued_does_nothing() -> None:
    setup = setup_of(steps=10, validations=5, checkpoint_every=5)
    finished = state_of(step=10, validated=10, val_scores=[0.5] * 5, saved=10)
    assert is_over(setup, finished)
    assert walk(setup, finished) == ([], [])


def test_before_the_first_step_nothing_is_over() -> None:
    """However much of the budget went into looking at the data."""
    assert not is_over(setup_of(budget=10), state_of(elapsed=100.0))
    assert not validation_is_due(setup_of(budget=10), state_of(elapsed=100.0))
    assert is_over(setup_of(budget=10), state_of(elapsed=100.0, step=1))


NAN = math.nan


@pytest.mark.parametrize(
    ("scores", "over"),
    [
        ([], False),
        ([0.5, 0.4], False),  # the patience is longer than what there is
        ([0.5, 0.4, 0.4], True),
        ([0.5, 0.5, 0.5], True),  # as good is not better
        ([0.5, 0.4, 0.51], False),
        ([0.5, 0.6, 0.4], False),
        ([0.5, 0.6, 0.4, 0.4], True),
        ([0.5, NAN, NAN], True),
        ([NAN, 0.5, NAN, 0.4], True),
        ([0.5, NAN, 0.6], False),
        ([NAN, NAN, NAN, NAN], False),  # nothing to compare with
        ([NAN, 0.1, 0.1], False),  # nor before these two
    ],
    ids=str,
)
def test_a_patience_of_two(scores: list[float], over: bool) -> None:
    state = state_of(step=5, val_scores=scores)
    assert is_over(setup_of(steps=1000, patience=2), state) == over
    assert not is_over(setup_of(steps=1000), state)


def test_the_training_ends_where_the_patience_does_and_validates_no_more() -> None:
    setup = setup_of(steps=100, validations=10, patience=3)
    assert walk(setup, state_of(), score=0.5)[0] == [10, 20, 30, 40]

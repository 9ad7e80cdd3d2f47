"""What a training watches itself for: each guard against numbers made by hand."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from intarsia import guards
from intarsia.errors import DataError, SettingsError
from intarsia.metrics import Scores

RUN = Path("runs/photos")


def scores(*rows: list[int]) -> Scores:
    """Rows are the truth, columns the prediction; classes are called a, b, c."""
    return Scores(tuple("abc"[: len(rows)]), np.array(rows, dtype=np.int64), images=1, ignored_pixels=0)


ONE_FOR_ALL = scores([900, 0, 0], [90, 5, 0], [5, 0, 0])  # 995 of 1000 predicted as a, 900 are


def test_one_class_for_everything_is_told() -> None:
    said = guards.of_collapse(ONE_FOR_ALL)
    assert said.startswith("warning: 99.5% of the pixels are predicted as 'a'; in truth 90.0% are.")
    assert "augmented.png" in said


NO_COLLAPSE = {
    "not everything yet": scores([900, 5], [89, 6]),
    "nothing else to be found": scores([1000, 0], [0, 0]),
    "as one-sided as the truth": scores([990, 5], [5, 0]),
    "the truth is as one-sided, and half of the rest is found": scores([995, 0], [3, 2]),
    "a quarter of the rest is found": scores([9960, 0], [30, 10]),
    "a single class": scores([1000]),
    "nothing counted": scores([0, 0], [0, 0]),
}


@pytest.mark.parametrize("name", NO_COLLAPSE)
def test_what_is_no_collapse(name: str) -> None:
    assert guards.of_collapse(NO_COLLAPSE[name]) is None


def test_rare_classes_of_which_hardly_anything_is_found_are_a_collapse() -> None:
    said = guards.of_collapse(scores([9960, 0], [31, 9]))
    assert said.startswith("warning: 99.9% of the pixels are predicted as 'a'; in truth 99.6% are.")


def history(*validations: float | None, losses: tuple[float, ...] = (1.0,)) -> list[dict[str, Any]]:
    """metrics.jsonl: a validation every 10 steps, and before the n-th one a training line with the n-th loss."""
    lines: list[dict[str, Any]] = []
    for number, miou in enumerate(validations):
        loss = losses[min(number, len(losses) - 1)]
        lines.append({"kind": "train", "step": 10 * number + 10, "loss": loss})
        lines.append({"kind": "val", "step": 10 * number + 10, "miou": miou})
    return lines


FALLING = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4)


def test_no_better_score_while_the_loss_falls_is_overfitting() -> None:
    said = guards.of_standstill(history(0.2, 0.53, 0.5, 0.53, 0.4, 0.5, losses=FALLING))
    assert said.startswith(
        "note: no better validation for 4 times while the training loss still falls: overfitting"
    )
    assert "best model (mIoU 0.530)" in said


@pytest.mark.parametrize(
    "losses", [(1.0,), (1.0, 1.0, 0.98), (0.5, 0.6, 0.7, 0.8)], ids=["flat", "hardly", "rising"]
)
def test_no_better_score_while_the_loss_stands_still(losses: tuple[float, ...]) -> None:
    said = guards.of_standstill(history(0.2, 0.53, 0.5, 0.53, 0.4, 0.5, losses=losses))
    assert "the loss stands still" in said
    assert "train.patience=4 would stop here" in said


@pytest.mark.parametrize(
    "validations",
    [
        (),
        (0.5, 0.4, 0.4, 0.4),  # four, but none before them
        (0.5, 0.4, 0.4, 0.4, 0.51),  # the newest is better
        (0.5, 0.6, 0.4, 0.4, 0.4),  # a better one among the newest four
        (None, None, 0.5, 0.4, 0.4, 0.4),  # only four have a score
        (0.0, 0.0, 0.0, 0.0, 0.0, 0.0),  # nothing is found at all: that is another matter
    ],
    ids=str,
)
def test_what_is_no_standstill(validations: tuple[float | None, ...]) -> None:
    assert guards.of_standstill(history(*validations, losses=FALLING)) is None


def test_validations_without_a_score_are_passed_over() -> None:
    assert guards.of_standstill(history(0.5, None, 0.4, 0.4, None, 0.4, 0.4, losses=FALLING))


def test_without_training_lines_between_nothing_is_said_of_the_loss() -> None:
    lines = [line for line in history(0.5, 0.4, 0.4, 0.4, 0.4, losses=FALLING) if line["kind"] == "val"]
    assert guards.of_standstill(lines) is None


def test_after_a_validation_early_ones_say_nothing() -> None:
    standing = history(0.5, 0.4, 0.4, 0.4, 0.4)
    fine = scores([50, 0], [0, 50])

    def kinds(scored: Scores, progress: float) -> list[str]:
        return [kind for kind, _ in guards.after_validation(scored, standing, progress)]

    assert [kinds(ONE_FOR_ALL, progress) for progress in (0, 0.24, 0.25, 1)] == [[], [], ["collapse"], ["collapse"]]
    assert [kinds(fine, progress) for progress in (0.25, 0.49, 0.5, 1)] == [[], [], ["standstill"], ["standstill"]]


def test_waiting_is_told_from_three_tenths_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert guards.of_waiting(0.3, 0) is None
    assert guards.of_waiting(0.31, 2) == (
        "note: 31% of the time goes into waiting for data: try --workers 4, or data.cache=true"
    )


@pytest.mark.parametrize(
    ("cores", "workers", "more"), [(8, 0, 1), (8, 1, 2), (8, 3, 6), (8, 6, 8), (8, 8, 9), (None, 2, 3)]
)
def test_more_workers_are_proposed_than_there_are(
    cores: int | None, workers: int, more: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice as many, up to the cores, and in any case one more."""
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert f"--workers {more}," in guards.of_waiting(0.5, workers)


FILES = [Path(f"images/{number}.png") for number in range(12)]


@pytest.mark.parametrize(
    ("bad", "pairs", "share"), [(0, 10, 0.0), (1, 10, 0.0), (1, 3, 0.01), (2, 10, 0.2), (12, 12, 1.0)]
)
def test_bad_pairs_within_the_limit_are_warned_of(bad: int, pairs: int, share: float) -> None:
    said = list(guards.of_bad_pairs(FILES[:bad], pairs, share))
    assert said == [
        f"warning: 1 pair cannot be read any more and is skipped: images/{number}.png" for number in range(bad)
    ]


@pytest.mark.parametrize(("bad", "pairs", "share"), [(2, 1000, 0.0), (2, 150, 0.01), (3, 10, 0.2)])
def test_more_bad_pairs_are_an_error(bad: int, pairs: int, share: float) -> None:
    with pytest.raises(
        DataError, match=rf"^{bad} of {pairs} pairs .* data\.bad_share = {share:g} allows: images/0\.png"
    ):
        list(guards.of_bad_pairs(FILES[:bad], pairs, share))


def test_of_many_bad_pairs_the_first_are_named() -> None:
    with pytest.raises(DataError, match=r"images/4\.png and 7 more\. Restore them"):
        list(guards.of_bad_pairs(FILES, 12, 0.5))


@pytest.mark.parametrize(("policy", "most"), [("stop", 0), ("skip", 10), ("rollback", 3)])
def test_each_policy_has_its_limit(policy: str, most: int) -> None:
    for mishaps in range(most + 1):
        guards.refuse_nonfinite(policy, mishaps, "NaN at step 7", RUN)
    times = f" (for the {most + 1}th time)" if most else ""
    with pytest.raises(SettingsError) as refused:
        guards.refuse_nonfinite(policy, most + 1, "NaN at step 7", RUN)
    assert str(refused.value).startswith(
        f"NaN at step 7{times}. The weights before it are in runs/photos/checkpoints. Try a lower optim.lr, "
    )
    assert "train.on_nonfinite=skip" in str(refused.value)


def test_statistics_come_back_bit_for_bit() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    network(torch.rand(2, 3, 5, 5))
    expected = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    before = guards.statistics(network)
    network(torch.rand(2, 3, 5, 5) * torch.nan)
    assert network[1].running_mean.isnan().all()
    assert network[1].num_batches_tracked == 2
    guards.put_back(network, before)
    assert all(tensor.equal(expected[name]) for name, tensor in network.state_dict().items())
    assert network[1].num_batches_tracked.dtype == torch.int64

"""What a training watches itself for: numbers that are none, one class for everything, waiting, and no progress.

Each guard looks at numbers and gives a sentence, or nothing; the loop says it.
"""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from intarsia.errors import DataError, SettingsError, listing
from intarsia.metrics import Scores

_MOST_LEFT_OUT = 10  # steps
_MOST_RETURNS = 3
_ALL = 0.99  # share of the predicted pixels from which one class is everything
_TOO_FEW = 0.25  # of the pixels that the other classes have in truth: they are rare, but found
_MUCH_WAITING = 0.3  # share of the time
_EARLY = 0.25  # share of the training in which one class for everything is nothing unusual
_HALF = 0.5  # before that, a standstill says nothing
_STILL = 4  # validations without a better score that are worth a word


def refuse_nonfinite(policy: str, mishaps: int, told: str, run: Path) -> None:
    """Stops a training whose loss or gradient is no number, where the policy says so or it goes on and on.

    Raises:
        SettingsError: with what can be done.
    """
    most = {"stop": 0, "skip": _MOST_LEFT_OUT, "rollback": _MOST_RETURNS}[policy]
    if mishaps <= most:
        return
    times = f" (for the {mishaps}th time)" if most else ""
    raise SettingsError(
        f"{told}{times}. The weights before it are in {run}/checkpoints. Try a lower optim.lr, "
        "train.precision=fp32, or look at these files; train.on_nonfinite=skip leaves such steps out, rollback "
        "goes back with half the rate."
    )


def statistics(model: nn.Module) -> list[Tensor]:
    """Copies of all buffers: a batch that is left out must not stay in the statistics of BatchNorm."""
    return [buffer.clone() for buffer in model.buffers()]


@torch.no_grad()
def put_back(model: nn.Module, before: Sequence[Tensor]) -> None:
    """Gives the buffers the values that `statistics` copied."""
    for buffer, value in zip(model.buffers(), before, strict=True):
        buffer.copy_(value)


def of_bad_pairs(files: Sequence[Path], pairs: int, most: float) -> Iterator[str]:
    """A warning for each pair that is skipped since it cannot be read.

    Args:
        files: their images.
        pairs: number of all training pairs.
        most: the largest share that may be skipped; one always may.

    Raises:
        DataError: they are too many.
    """
    if len(files) > max(most * pairs, 1):
        raise DataError(
            f"{len(files)} of {pairs} pairs cannot be read any more, more than data.bad_share = {most:g} allows: "
            f"{listing(files)}. Restore them, or take them out of the dataset."
        )
    for file in files:
        yield f"warning: 1 pair cannot be read any more and is skipped: {file}"


def of_waiting(share: float, workers: int) -> str | None:
    """What to do where a large share of the time goes into waiting for data."""
    if share <= _MUCH_WAITING:
        return None
    more = max(min(2 * workers, os.cpu_count() or 1), workers + 1)
    return f"note: {share:.0%} of the time goes into waiting for data: try --workers {more}, or data.cache=true"


def after_validation(
    scores: Scores, history: Sequence[Mapping[str, Any]], progress: float
) -> Iterator[tuple[str, str]]:
    """What a validation shows: (kind, sentence).

    Args:
        scores: of this validation.
        history: the lines of metrics.jsonl.
        progress: share of the training that is behind us.
    """
    if progress >= _EARLY and (note := of_collapse(scores)):
        yield "collapse", note
    elif progress >= _HALF and (note := of_standstill(history)):
        yield "standstill", note


def of_collapse(scores: Scores) -> str | None:
    """A warning where nearly every pixel is predicted as one class, though the truth has far more of others."""
    predicted, truth = (scores.confusion.sum(axis=axis) for axis in (0, 1))
    if not predicted.sum() or np.count_nonzero(truth) < 2:
        return None
    most = int(predicted.argmax())
    share, true_share = predicted[most] / predicted.sum(), truth[most] / truth.sum()
    if share < _ALL or 1 - share >= _TOO_FEW * (1 - true_share):
        return None
    return (
        f"warning: {share:.1%} of the pixels are predicted as {scores.names[most]!r}; in truth {true_share:.1%} "
        "are. Where this stays so: loss.name=ce+dice with loss.class_weights=effective_number or inverse, "
        "augment.rare_share=0.5, a lower optim.lr; and look at augmented.png: do masks fit images?"
    )


def of_standstill(history: Sequence[Mapping[str, Any]]) -> str | None:
    """A note where the newest validations brought nothing better: overfitting where the loss still falls."""
    scores = [
        (line["step"], line["miou"]) for line in history if line["kind"] == "val" and line["miou"] is not None
    ]
    if len(scores) <= _STILL or max(score for _, score in scores[-_STILL:]) > max(
        score for _, score in scores[:-_STILL]
    ):
        return None
    since = scores[-_STILL - 1][0]
    before, after = (
        [line["loss"] for line in history if line["kind"] == "train" and (line["step"] > since) == newer]
        for newer in (False, True)
    )
    if not before or not after:
        return None
    count = len(after)
    falls = sum(after) / count < 0.97 * sum(before[-count:]) / len(before[-count:])
    best = max(score for _, score in scores)
    if math.isclose(best, 0):
        return None
    if falls:
        return (
            f"note: no better validation for {_STILL} times while the training loss still falls: overfitting. The "
            f"best model (mIoU {best:.3f}) is kept; more pictures, stronger augmentation or a smaller network help"
        )
    return (
        f"note: no better validation for {_STILL} times, and the loss stands still: more steps bring little. "
        f"train.patience={_STILL} would stop here"
    )

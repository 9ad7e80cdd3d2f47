"""Metrics: one int64 confusion matrix over everything that is scored, and numbers computed from it.

Rows are the truth, columns the prediction. No score is ever averaged over batches or images.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from intarsia.labels import IGNORE

RULE = "mean over classes present in truth or prediction; one confusion matrix at original resolution"

Scores1D = NDArray[np.float64]


def confusion_matrix(prediction: Tensor, target: Tensor, classes: int, ignore_index: int = IGNORE) -> Tensor:
    """Counts [classes, classes] int64: entry (t, p) is the number of pixels of class t predicted as p.

    Args:
        prediction: class indices of any shape, 0..classes-1.
        target: class indices of the same shape, or `ignore_index` where a pixel does not count.
        classes: number of classes.
        ignore_index: see `target`.

    Raises:
        ValueError: shapes differ, or an index is out of range.
    """
    if prediction.shape != target.shape:
        raise ValueError(f"prediction {tuple(prediction.shape)} and target {tuple(target.shape)} differ in shape")
    counted = target != ignore_index
    truth, guess = target[counted].long(), prediction[counted].long()
    for name, index in (("target", truth), ("prediction", guess)):
        if index.numel() and (int(index.min()) < 0 or int(index.max()) >= classes):
            raise ValueError(f"{name} holds {int(index.min())}..{int(index.max())}; classes are 0..{classes - 1}")
    return torch.bincount(truth * classes + guess, minlength=classes**2).view(classes, classes)


def iou(confusion: NDArray[np.int64]) -> Scores1D:
    """[C] intersection over union; NaN for a class in neither truth nor prediction."""
    hit = np.diag(confusion)
    return _ratio(hit, confusion.sum(axis=0) + confusion.sum(axis=1) - hit)


def dice(confusion: NDArray[np.int64]) -> Scores1D:
    """[C] Dice coefficient (F1); NaN for a class in neither truth nor prediction."""
    return _ratio(2 * np.diag(confusion), confusion.sum(axis=0) + confusion.sum(axis=1))


def precision(confusion: NDArray[np.int64]) -> Scores1D:
    """[C] share of the pixels predicted as a class that are it; NaN for a class that was never predicted."""
    return _ratio(np.diag(confusion), confusion.sum(axis=0))


def recall(confusion: NDArray[np.int64]) -> Scores1D:
    """[C] share of the pixels of a class that were found; NaN for a class that does not occur."""
    return _ratio(np.diag(confusion), confusion.sum(axis=1))


def pixel_accuracy(confusion: NDArray[np.int64]) -> float:
    """Share of the counted pixels that are right; NaN when none is counted."""
    return float(_ratio(np.trace(confusion), confusion.sum()))


def frequency_weighted_iou(confusion: NDArray[np.int64]) -> float:
    """IoU of each class weighted by its share of the truth (Long, Shelhamer, Darrell 2015); NaN without pixels."""
    share = _ratio(confusion.sum(axis=1), confusion.sum())
    return float(np.nansum(share * iou(confusion))) if confusion.sum() else float("nan")


def mean_over_present(scores: Scores1D) -> float:
    """Mean over the classes that have a score; NaN when none has."""
    return float(np.nanmean(scores)) if np.isfinite(scores).any() else float("nan")


@dataclass(frozen=True)
class Scores:
    """All numbers of one scoring.

    Attributes:
        names: class names.
        confusion: [C, C] int64, rows truth, columns prediction.
        images: number of images scored.
        ignored_pixels: pixels that did not count.
    """

    names: tuple[str, ...]
    confusion: NDArray[np.int64]
    images: int
    ignored_pixels: int

    @property
    def miou(self) -> float:
        """Mean IoU, over the classes present in truth or prediction."""
        return mean_over_present(iou(self.confusion))

    def to_dict(self) -> dict[str, Any]:
        """The contract of `evaluate --json`; a class without a score is None."""
        return {
            "miou": _number(self.miou),
            "class_iou": self._by_class(iou(self.confusion)),
            "class_dice": self._by_class(dice(self.confusion)),
            "class_precision": self._by_class(precision(self.confusion)),
            "class_recall": self._by_class(recall(self.confusion)),
            "pixel_accuracy": _number(pixel_accuracy(self.confusion)),
            "frequency_weighted_iou": _number(frequency_weighted_iou(self.confusion)),
            "mean_dice": _number(mean_over_present(dice(self.confusion))),
            "images": self.images,
            "pixels": int(self.confusion.sum()),
            "ignored_pixels": self.ignored_pixels,
            "rule": RULE,
            "confusion": self.confusion.tolist(),
        }

    def _by_class(self, scores: Scores1D) -> dict[str, float | None]:
        return {name: _number(score) for name, score in zip(self.names, scores, strict=True)}


def scores_of(names: Sequence[str], confusion: Tensor, images: int, ignored_pixels: int) -> Scores:
    """`Scores` from a confusion matrix on any device."""
    return Scores(tuple(names), confusion.cpu().numpy().astype(np.int64), images, ignored_pixels)


def _ratio(part: NDArray[np.int64] | np.int64, whole: NDArray[np.int64] | np.int64) -> Scores1D:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.true_divide(part, whole))


def _number(score: float) -> float | None:
    return None if np.isnan(score) else float(score)

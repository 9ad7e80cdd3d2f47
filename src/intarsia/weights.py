"""Weights of the classes, and which of them are rare, from their pixel counts."""

import numpy as np
from numpy.typing import NDArray


def class_weights(counts: NDArray[np.int64], kind: str) -> NDArray[np.float64]:
    """[C] weights from pixel counts [C], with mean 1 over the classes that occur; 1 for those that do not.

    Args:
        counts: pixels of each class in the training split.
        kind: "none": all 1.
            "inverse": 1 / share.
            "median_frequency": median share / share (Eigen, Fergus 2015, with shares over the whole split).
            "effective_number": (1 - b) / (1 - b^n) with n the share in thousandths and b = 0.98 (Cui et al. 2019,
                "Class-Balanced Loss"; shares, since neighbouring pixels are no new samples): classes above a tenth
                of the pixels weigh alike, rare ones up to 50 times as much.
    """
    weights = np.ones(len(counts))
    present = counts > 0
    if kind == "none" or not present.any():
        return weights
    share = counts[present] / counts.sum()
    if kind == "inverse":
        own = 1 / share
    elif kind == "median_frequency":
        own = np.median(share) / share
    elif kind == "effective_number":
        beta = 0.98
        own = (1 - beta) / (1 - beta ** (share * 1000))
    else:
        raise AssertionError(kind)
    weights[present] = own / own.mean()
    return weights


def rare_classes(counts: NDArray[np.int64]) -> tuple[int, ...]:
    """The classes that occur and have less than half of an equal share: below 1 / (2 C), with C classes that occur.

    Args:
        counts: pixels of each class in the training split.
    """
    present = counts > 0
    limit = counts.sum() / (2 * max(int(present.sum()), 1))
    return tuple(np.flatnonzero(present & (counts < limit)).tolist())

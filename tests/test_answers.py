"""Answers from logits, against numbers by hand."""

import numpy as np
import pytest
import torch

from intarsia.answers import classes_of, confidence_of, entropy_of, indices_of, probabilities_of
from intarsia.errors import SettingsError


def logits_of(*pixels: tuple[float, ...]) -> torch.Tensor:
    """[C, 1, pixels] logits of probabilities, shifted by a constant as logits may be."""
    return torch.tensor(pixels).T[:, None].log() + 3


def test_probabilities_add_up_to_one() -> None:
    given = [(0.2, 0.3, 0.5), (1 / 3, 1 / 3, 1 / 3)]
    assert pytest.approx(np.array(given), abs=1e-6) == probabilities_of(logits_of(*given)).numpy()[:, 0].T


def test_without_thresholds_the_likeliest_class_is_taken() -> None:
    assert classes_of(logits_of((0.2, 0.3, 0.5), (0.6, 0.3, 0.1))).tolist() == [[2, 0]]


def test_a_threshold_takes_a_class_before_it_is_the_likeliest() -> None:
    pixels = [(0.75, 0.25), (0.7, 0.3), (0.69, 0.31), (0.1, 0.9)]
    assert classes_of(logits_of(*pixels), {1: 0.3001}).tolist() == [[0, 0, 1, 1]]


def test_a_high_threshold_leaves_a_class_to_the_others() -> None:
    pixels = [(0.1, 0.2, 0.7), (0.1, 0.05, 0.85)]
    assert classes_of(logits_of(*pixels), {2: 0.8}).tolist() == [[1, 2]]


def test_of_several_that_reach_theirs_the_one_far_above_is_taken() -> None:
    pixels = [(0.2, 0.3, 0.5), (0.1, 0.2, 0.7)]
    assert classes_of(logits_of(*pixels), {1: 0.1, 2: 0.25}).tolist() == [[1, 2]]  # 3 > 2, 2 < 2.8


def test_where_each_class_has_a_threshold_and_none_reaches_it_the_likeliest_is_taken() -> None:
    assert classes_of(logits_of((0.4, 0.6)), {0: 0.9, 1: 0.9}).tolist() == [[1]]


def test_a_threshold_of_zero_takes_everything() -> None:
    assert classes_of(logits_of((0.999, 0.001)), {1: 0.0}).tolist() == [[1]]


def test_how_sure_it_is() -> None:
    logits = logits_of((0.5, 0.25, 0.25), (1 / 3, 1 / 3, 1 / 3), (1 - 2e-9, 1e-9, 1e-9))
    assert confidence_of(logits)[0].tolist() == pytest.approx([0.5, 1 / 3, 1])
    assert entropy_of(logits)[0].tolist() == pytest.approx([1.5 * np.log(2) / np.log(3), 1, 0], abs=1e-6)
    assert entropy_of(torch.zeros(1, 2, 3)).tolist() == [[0] * 3] * 2


def test_impossible_classes_are_no_nan() -> None:
    logits = torch.tensor([[[0.0]], [[-torch.inf]]])
    assert confidence_of(logits).item() == 1
    assert entropy_of(logits).item() == 0
    assert classes_of(logits, {1: 0.5}).item() == 0


def test_class_names_are_looked_up() -> None:
    assert indices_of(["car", "road"], ("road", "tree", "car"), "--classes") == [2, 0]
    with pytest.raises(SettingsError, match=r"--classes cat: the model has no such class\. Did you mean 'car'"):
        indices_of(["cat"], ("road", "tree", "car"), "--classes")

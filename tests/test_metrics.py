"""Metrics by hand, against a NumPy loop, and against torchmetrics."""

import json
import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torchmetrics.classification import MulticlassConfusionMatrix, MulticlassJaccardIndex

from intarsia import metrics
from intarsia.metrics import Scores, confusion_matrix, scores_of

# Rows are the truth, columns the prediction.
BY_HAND = np.array([[5, 1, 0], [2, 3, 0], [0, 1, 8]])
WITH_ABSENT = np.array([[4, 1, 0, 0], [0, 2, 0, 3], [0, 0, 0, 0], [0, 0, 0, 0]])  # 2 nowhere, 3 only predicted

PREDICTED = torch.randint(5, (3, 20, 30), generator=torch.Generator().manual_seed(0))
TARGET = torch.where(
    torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(1)) < 0.2,
    255,
    torch.randint(5, (3, 20, 30), generator=torch.Generator().manual_seed(2)),
)


def test_the_confusion_matrix_is_that_of_a_loop() -> None:
    expected = np.zeros((5, 5), dtype=np.int64)
    for truth, guess in zip(TARGET.flatten().tolist(), PREDICTED.flatten().tolist(), strict=True):
        if truth != 255:
            expected[truth, guess] += 1
    matrix = confusion_matrix(PREDICTED, TARGET, 5)
    assert matrix.dtype == torch.int64
    assert np.array_equal(matrix.numpy(), expected)


def test_the_confusion_matrix_is_that_of_torchmetrics() -> None:
    oracle = MulticlassConfusionMatrix(5, ignore_index=255)
    assert confusion_matrix(PREDICTED, TARGET, 5).equal(oracle(PREDICTED, TARGET))


def test_iou_and_its_mean_are_those_of_torchmetrics() -> None:
    confusion = confusion_matrix(PREDICTED, TARGET, 5).numpy()
    each = MulticlassJaccardIndex(5, ignore_index=255, average="none")(PREDICTED, TARGET)
    mean = MulticlassJaccardIndex(5, ignore_index=255, average="macro")(PREDICTED, TARGET)
    assert metrics.iou(confusion) == pytest.approx(each.numpy(), rel=1e-6)
    assert Scores(tuple("abcde"), confusion, 3, 0).miou == pytest.approx(mean.item(), rel=1e-6)


def test_matrices_of_parts_add_up_to_that_of_the_whole() -> None:
    parts = sum(confusion_matrix(p, t, 5) for p, t in zip(PREDICTED, TARGET, strict=True))
    assert confusion_matrix(PREDICTED, TARGET, 5).equal(parts)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_any_integer_type_will_do(dtype: torch.dtype) -> None:
    matrix = confusion_matrix(PREDICTED.to(dtype), TARGET.to(dtype), 5)
    assert matrix.equal(confusion_matrix(PREDICTED, TARGET, 5))


@pytest.mark.parametrize(
    ("prediction", "target", "words"),
    [
        ([0, 3], [0, 1], r"prediction holds 0\.\.3; classes are 0\.\.2"),
        ([-1, 0], [0, 1], r"prediction holds -1\.\.0; classes are 0\.\.2"),
        ([0, 1], [0, 7], r"target holds 0\.\.7; classes are 0\.\.2"),
        ([0, 1], [0, -100], r"target holds -100\.\.0; classes are 0\.\.2"),
        ([0, 1, 2], [0, 1], r"prediction \(3,\) and target \(2,\) differ in shape"),
    ],
)
def test_what_cannot_be_counted_is_refused(prediction: list[int], target: list[int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        confusion_matrix(torch.tensor(prediction), torch.tensor(target), 3)


@pytest.mark.parametrize("target", [torch.empty(0, dtype=torch.int64), torch.full((9,), 255)])
def test_without_counted_pixels_there_is_no_score(target: Tensor) -> None:
    matrix = confusion_matrix(torch.zeros_like(target), target, 3)
    assert matrix.tolist() == [[0] * 3] * 3
    plain = scores_of("abc", matrix, 1, target.numel()).to_dict()
    assert plain["miou"] is plain["pixel_accuracy"] is plain["frequency_weighted_iou"] is plain["mean_dice"] is None
    assert plain["class_iou"] == {"a": None, "b": None, "c": None}
    assert (plain["pixels"], plain["ignored_pixels"]) == (0, target.numel())


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (metrics.iou, [5 / 8, 3 / 7, 8 / 9]),
        (metrics.dice, [10 / 13, 6 / 10, 16 / 17]),
        (metrics.precision, [5 / 7, 3 / 5, 8 / 8]),
        (metrics.recall, [5 / 6, 3 / 5, 8 / 9]),
    ],
)
def test_scores_of_each_class_by_hand(function, expected: list[float]) -> None:
    assert function(BY_HAND) == pytest.approx(expected)


def test_scores_of_the_whole_by_hand() -> None:
    assert metrics.pixel_accuracy(BY_HAND) == pytest.approx(16 / 20)
    assert metrics.frequency_weighted_iou(BY_HAND) == pytest.approx(
        6 / 20 * 5 / 8 + 5 / 20 * 3 / 7 + 9 / 20 * 8 / 9
    )
    assert metrics.mean_over_present(metrics.iou(BY_HAND)) == pytest.approx((5 / 8 + 3 / 7 + 8 / 9) / 3)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (metrics.iou, [4 / 5, 2 / 6, math.nan, 0]),
        (metrics.dice, [8 / 9, 4 / 8, math.nan, 0]),
        (metrics.precision, [1, 2 / 3, math.nan, 0]),
        (metrics.recall, [4 / 5, 2 / 5, math.nan, math.nan]),
    ],
)
def test_an_absent_class_has_no_score(function, expected: list[float]) -> None:
    assert function(WITH_ABSENT) == pytest.approx(expected, nan_ok=True)


def test_the_mean_is_over_classes_in_truth_or_prediction() -> None:
    scores = Scores(("a", "b", "c", "d"), WITH_ABSENT, images=1, ignored_pixels=0)
    assert scores.miou == pytest.approx((4 / 5 + 2 / 6 + 0) / 3)
    plain = scores.to_dict()
    assert plain["mean_dice"] == pytest.approx((8 / 9 + 4 / 8 + 0) / 3)
    assert plain["class_iou"] == {"a": pytest.approx(0.8), "b": pytest.approx(1 / 3), "c": None, "d": 0}
    assert plain["class_recall"]["d"] is None
    assert plain["frequency_weighted_iou"] == pytest.approx(5 / 10 * 4 / 5 + 5 / 10 * 2 / 6)


def test_counts_beyond_those_of_float32_stay_exact() -> None:
    large = 2**24 + 1
    matrix = confusion_matrix(torch.zeros(large, dtype=torch.uint8), torch.zeros(large, dtype=torch.uint8), 2)
    assert matrix.tolist() == [[large, 0], [0, 0]]
    huge = scores_of("ab", torch.tensor([[2**53 + 1, 1], [0, 2**40 + 1]]), 1, 0)
    assert huge.to_dict()["pixels"] == 2**53 + 2**40 + 3
    assert huge.to_dict()["confusion"] == [[2**53 + 1, 1], [0, 2**40 + 1]]


def test_the_dictionary_is_the_contract_of_evaluate_json() -> None:
    plain = scores_of(("road", "car", "sky"), torch.from_numpy(BY_HAND), images=7, ignored_pixels=11).to_dict()
    assert list(plain) == [
        "miou",
        "class_iou",
        "class_dice",
        "class_precision",
        "class_recall",
        "pixel_accuracy",
        "frequency_weighted_iou",
        "mean_dice",
        "images",
        "pixels",
        "ignored_pixels",
        "rule",
        "confusion",
    ]
    assert list(plain["class_iou"]) == ["road", "car", "sky"]
    assert (plain["images"], plain["pixels"], plain["ignored_pixels"]) == (7, 20, 11)
    assert "present in truth or prediction" in plain["rule"]
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain

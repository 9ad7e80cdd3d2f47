"""Class weights, against numbers by hand."""

import numpy as np
import pytest

from intarsia.weights import class_weights, rare_classes

COUNTS = np.array([960, 0, 30, 10])


@pytest.mark.parametrize(
    ("kind", "unscaled"),
    [
        ("none", [1.0, 1.0, 1.0]),
        ("inverse", [1 / 0.96, 1 / 0.03, 1 / 0.01]),
        ("median_frequency", [0.03 / 0.96, 0.03 / 0.03, 0.03 / 0.01]),
        ("effective_number", [0.02 / (1 - 0.98**n) for n in (960, 30, 10)]),
    ],
)
def test_class_weights_by_hand(kind: str, unscaled: list[float]) -> None:
    weights = class_weights(COUNTS, kind)
    scale = 3 / sum(unscaled)
    assert weights == pytest.approx([unscaled[0] * scale, 1.0, unscaled[1] * scale, unscaled[2] * scale])
    assert weights[COUNTS > 0].mean() == pytest.approx(1)


@pytest.mark.parametrize("kind", ["none", "inverse", "median_frequency", "effective_number"])
def test_class_weights_depend_on_shares_alone_and_stand_no_pixels(kind: str) -> None:
    assert class_weights(COUNTS * 10**9, kind) == pytest.approx(class_weights(COUNTS, kind))
    assert class_weights(np.zeros(3, dtype=np.int64), kind).tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("counts", "rare"),
    [
        (COUNTS, (2, 3)),
        ([60, 20, 20], ()),  # an equal share is a third, and half of it a sixth
        ([70, 20, 10], (2,)),
        ([75, 25], ()),  # just half of an equal share
        ([76, 24], (1,)),
        ([76, 24, 0, 0], (1,)),  # what does not occur is not counted, and not rare
        ([5], ()),
        ([0, 0], ()),
    ],
)
def test_rare_is_less_than_half_of_an_equal_share(counts: list[int], rare: tuple[int, ...]) -> None:
    assert rare_classes(np.array(counts)) == rare
    assert rare_classes(np.array(counts) * 10**9) == rare

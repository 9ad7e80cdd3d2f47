"""Whatever a network gives, its heads are found; whatever is none, is said."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from intarsia.networks.heads import heads_of, semantic_logits

LOGITS, OTHER = torch.randn(2, 3, 8, 8), torch.randn(2, 3, 4, 4)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (LOGITS, [LOGITS]),
        ({"out": LOGITS}, [LOGITS]),
        ({"aux": OTHER, "out": LOGITS}, [LOGITS, OTHER]),
        ((LOGITS, torch.ones(2, 3)), [LOGITS, torch.ones(2, 3)]),
        (SimpleNamespace(loss=None, logits=LOGITS), [LOGITS]),
    ],
)
def test_main_head_first(output: object, expected: list[Tensor]) -> None:
    assert all(head.equal(one) for head, one in zip(heads_of(output), expected, strict=True))


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (None, r"gave a NoneType\. Expected are logits \[B, C, h, w\]"),
        (torch.ones(2, 3), r"gave a tensor of shape \(2, 3\)"),
        ({"loss": LOGITS, "masks": LOGITS}, r"gave a dict with 'loss', 'masks'"),
        ((), r"gave a tuple"),
        ({"out": "text"}, r"gave a dict with 'out'"),
    ],
)
def test_anything_else_is_said(output: object, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        heads_of(output)


def test_masks_of_queries_become_logits_by_hand() -> None:
    """Two queries, two classes and "nothing", one pixel: 0.9 * 0.5 + 0.2 * 0.25 and 0.1 * 0.5 + 0.4 * 0.25."""
    probabilities = torch.tensor([[[0.9, 0.1, 1e-9], [0.2, 0.4, 0.4]]])
    pixel = torch.tensor([0.5, 0.25]).logit().view(1, 2, 1, 1)
    expected = torch.tensor([0.9 * 0.5 + 0.2 * 0.25, 0.1 * 0.5 + 0.4 * 0.25]).log()
    torch.testing.assert_close(semantic_logits(probabilities.log(), pixel).flatten(), expected)


def test_a_query_that_is_sure_of_nothing_gives_finite_logits_and_gradients() -> None:
    classes = torch.tensor([[[-200.0, -200.0, 200.0]]], requires_grad=True)
    masks = torch.full((1, 1, 2, 2), -300.0, requires_grad=True)
    logits = semantic_logits(classes, masks)
    logits.sum().backward()
    assert logits.isfinite().all()
    assert classes.grad.isfinite().all()

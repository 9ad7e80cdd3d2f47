"""Compact: pinned size, shapes, and that every parameter learns."""

import pytest
import torch

from intarsia.networks.compact import Compact


def test_number_of_parameters() -> None:
    """By hand: stem; stages of 1, 1, 2, 2 residual blocks; gate; laterals; smoothing blocks; head."""

    def block(inputs: int, width: int) -> int:
        short = 0 if inputs == width else inputs * width + 2 * width
        return 9 * width * (inputs + width) + 4 * width + short

    stem = 9 * 48 * 32 + 64
    stages = block(32, 32) + block(32, 64) + block(64, 128) + block(128, 128) + block(128, 256) + block(256, 256)
    gate = 2 * (256 * 256 + 256)
    laterals = sum(below * above + 2 * above for below, above in ((256, 128), (128, 64), (64, 32)))
    smoothing = block(128, 128) + block(64, 64) + block(32, 32)
    head = 32 * 11 + 11
    network = Compact(48, 11, width=32)
    assert sum(parameter.numel() for parameter in network.parameters()) == (
        stem + stages + gate + laterals + smoothing + head
    )


def test_logits_have_the_inputs_size_and_every_parameter_a_gradient() -> None:
    network = Compact(5, 6, width=4)
    logits = network(torch.randn(2, 5, 16, 24))
    assert logits.shape == (2, 6, 16, 24)
    logits.square().mean().backward()
    assert [name for name, p in network.named_parameters() if not p.grad.count_nonzero()] == []


def test_the_stride_is_the_smallest_size_that_works() -> None:
    network = Compact(3, 2, width=2).eval()
    assert Compact.stride_of(network) == 8
    assert network(torch.randn(1, 3, 8, 16)).shape == (1, 2, 8, 16)
    with pytest.raises(RuntimeError, match="must match the size"):
        network(torch.randn(1, 3, 12, 8))

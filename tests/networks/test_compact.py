"""Compact: pinned size, shapes, and that every parameter learns."""

import pytest
import torch

from intarsia.networks.compact import Compact
from intarsia.networks.contract import Blueprint
from intarsia.settings import ModelSettings


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
    head = 32 * 44 + 44
    network = Compact(48, 11, width=32, finer=2)
    assert sum(parameter.numel() for parameter in network.parameters()) == (
        stem + stages + gate + laterals + smoothing + head
    )


@pytest.mark.parametrize("finer", [1, 2])
def test_logits_are_finer_than_the_input_and_every_parameter_has_a_gradient(finer: int) -> None:
    network = Compact(5, 6, width=4, finer=finer)
    logits = network(torch.randn(2, 5, 16, 24))
    assert logits.shape == (2, 6, 16 * finer, 24 * finer)
    logits.square().mean().backward()
    assert [name for name, p in network.named_parameters() if not p.grad.count_nonzero()] == []


def test_the_stride_is_the_smallest_size_that_works() -> None:
    network = Compact(3, 2, width=2).eval()
    assert Compact.stride_of(network) == 8
    assert network(torch.randn(1, 3, 8, 16)).shape == (1, 2, 8, 16)
    with pytest.raises(RuntimeError, match="must match the size"):
        network(torch.randn(1, 3, 12, 8))


@pytest.mark.parametrize(("stem", "finer"), [(1, 1), (2, 2), (4, 2)])
def test_behind_a_stem_it_answers_twice_as_finely_as_it_works(stem: int, finer: int) -> None:
    blueprint = Blueprint(ModelSettings(name="compact", width=4, stem=stem), bands=3 * stem**2, classes=7)
    assert Compact.from_blueprint(blueprint).finer == finer

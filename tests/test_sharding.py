"""Weights shared among processes: what is the same for one, and which blocks are taken."""

import pytest
import torch
from torch import Tensor, nn

from intarsia.sharding import _blocks, clip_gradients, is_sharded, own_part, whole_model
from tests.small import small_model


class Nested(nn.Module):
    """Stages of blocks, as transformers have them; and a list of lists."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList(Stage() for _ in range(2))
        self.grid = nn.ModuleList([nn.ModuleList([nn.Linear(2, 2), nn.Identity()])])


class Stage(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(3, 3) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


def test_blocks_come_with_what_they_lie_in_and_lists_are_none() -> None:
    model = Nested()
    names = {module: name for name, module in model.named_modules()}
    found = [names[block] for block in _blocks(model)]
    assert sorted(found) == ["grid.0.0", "stages.0", "stages.0.blocks.0", "stages.0.blocks.1", "stages.1",
                             "stages.1.blocks.0", "stages.1.blocks.1"]  # fmt: skip
    assert found.index("stages.0") < found.index("stages.0.blocks.0"), "so the reverse begins inside"


def test_one_process_has_all_of_it() -> None:
    model, _ = small_model()
    assert not is_sharded(model)
    tensor = torch.ones(3)
    assert own_part(tensor) is tensor
    assert all(whole_model(model)[name] is value or value.equal(whole_model(model)[name])
               for name, value in model.state_dict().items())  # fmt: skip


def test_gradients_are_clipped_by_their_norm() -> None:
    model = nn.Linear(2, 1, bias=False)
    model.weight.grad = torch.tensor([[3.0, 4.0]])
    assert clip_gradients(model, 1.0) == 5
    assert model.weight.grad.flatten().tolist() == pytest.approx([0.6, 0.8], rel=1e-5)

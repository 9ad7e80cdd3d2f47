"""The learning rate at places known by hand, parameter groups, and the average of the weights in closed form."""

import math

import pytest
import torch
from torch import nn

from intarsia.networks.unet import UNet
from intarsia.optim import (
    SCHEDULES,
    _block_of,
    learning_rate,
    make_optimizer,
    rate_factors,
    set_training,
    update_average,
)
from intarsia.settings import OptimSettings

SCORES = [0.1, 0.2, 0.2, 0.15, 0.3, 0.3, 0.3, 0.3, 0.3]


def rate(schedule: str, progress: float, warmup: float = 0.1, scores: list[float] | None = None) -> float:
    return learning_rate(OptimSettings(lr=0.5, warmup=warmup, schedule=schedule), progress, scores or [])


@pytest.mark.parametrize("schedule", ["cosine", "poly", "plateau"])
@pytest.mark.parametrize(("progress", "expected"), [(0, 0.0005), (0.025, 0.125), (0.05, 0.25), (0.1, 0.5)])
def test_the_warm_up_is_a_straight_line_from_almost_nothing(
    schedule: str, progress: float, expected: float
) -> None:
    assert rate(schedule, progress) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("schedule", "middle", "end"),
    [
        ("cosine", 0.25, 0.0),
        ("poly", 0.5 * 0.5**0.9, 0.0),
        ("one_cycle", 0.5 * (1e-4 + 0.9999 * (1 + math.cos(math.pi * 0.25 / 0.7)) / 2), 0.5e-4),
        ("plateau", 0.5, 0.5),
    ],
)
def test_each_schedule_in_the_middle_and_at_the_end(schedule: str, middle: float, end: float) -> None:
    assert rate(schedule, 0.55) == pytest.approx(middle)
    assert rate(schedule, 1.0) == pytest.approx(end, abs=1e-12)
    assert rate(schedule, 1.2) == rate(schedule, 1.0)


@pytest.mark.parametrize(
    ("progress", "share"), [(0, 0.04), (0.15, 0.52), (0.3, 1.0), (0.65, (1 + 1e-4) / 2), (1, 1e-4)]
)
def test_one_cycle_rises_and_falls_in_cosine_arms(progress: float, share: float) -> None:
    assert rate("one_cycle", progress, warmup=0) == pytest.approx(0.5 * share)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("warmup", [0.0, 0.03, 0.5])
def test_the_rate_is_never_above_lr_nor_below_zero(schedule: str, warmup: float) -> None:
    rates = [rate(schedule, step / 200, warmup, SCORES) for step in range(221)]
    assert min(rates) >= 0
    assert max(rates) <= 0.5


@pytest.mark.parametrize(
    ("seen", "factor"), [(0, 1), (2, 1), (3, 1), (4, 0.5), (5, 0.5), (6, 0.5), (7, 0.25), (8, 0.25), (9, 0.125)]
)
def test_plateau_halves_after_two_validations_without_a_better_score(seen: int, factor: float) -> None:
    assert rate("plateau", 0.5, scores=SCORES[:seen]) == 0.5 * factor


def test_weight_decay_is_for_kernels_alone() -> None:
    network = UNet(3, 4, width=4, depth=1, up="transposed")
    network.encoder[0].requires_grad_(False)
    decayed, spared = make_optimizer(network, OptimSettings(lr=0.1, weight_decay=0.3)).param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.3, 0)
    assert decayed["lr"] == spared["lr"] == 0.1
    kernels = {
        f"{name}.weight"
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and not name.startswith("encoder.0")
    }
    name_of = {parameter: name for name, parameter in network.named_parameters()}
    assert {name_of[parameter] for parameter in decayed["params"]} == kernels
    assert {name_of[parameter] for parameter in spared["params"]} == {
        name for name in name_of.values() if name not in kernels and not name.startswith("encoder.0")
    }


def number(value: float) -> nn.Module:
    module = nn.BatchNorm1d(1)
    for tensor in module.state_dict().values():
        tensor.fill_(value)
    return module


def test_the_first_step_copies() -> None:
    average = number(0)
    update_average(average, number(7), step=1)
    assert [float(tensor) for tensor in average.state_dict().values()] == [7] * 5


def test_the_average_is_the_polynomial_one() -> None:
    """Multiplying out the steps towards each value, number s weighs C(s + 15, 16) in the end."""
    values = [3.0, -1.0, 4.0, 1.0, -5.0, 9.0, 2.0, 6.0]
    average = number(100)
    for step, value in enumerate(values, start=1):
        update_average(average, number(value), step)
    weights = [math.comb(step + 15, 16) for step in range(1, len(values) + 1)]
    expected = sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)
    state = average.state_dict()
    assert float(state["weight"]) == pytest.approx(expected, rel=1e-5)
    assert float(state["running_mean"]) == pytest.approx(expected, rel=1e-5)
    assert state["num_batches_tracked"].item() == 6


def test_averaging_leaves_the_model_alone_and_builds_no_graph() -> None:
    average, model = number(0), number(2)
    update_average(average, model, step=5)
    assert [float(tensor) for tensor in model.state_dict().values()] == [2] * 5
    assert average.weight.grad_fn is None
    assert torch.is_grad_enabled()


class Small(nn.Module):
    """An encoder with a stem and two stages of two blocks, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Module()
        self.encoder.conv1 = nn.Conv2d(3, 4, 3, padding=1)
        self.encoder.bn1 = nn.BatchNorm2d(4)
        for stage in (1, 2):
            blocks = [nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)) for _ in range(2)]
            setattr(self.encoder, f"layer{stage}", nn.Sequential(*blocks))
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.encoder.bn1(self.encoder.conv1(x))
        return self.head(self.dropout(self.encoder.layer2(self.encoder.layer1(x))))


def factors(**settings: object) -> dict[str, float]:
    names = [name for name, _ in Small().named_parameters()]
    return rate_factors(names, OptimSettings(**settings), ("encoder.",))


def test_the_encoder_learns_at_its_share_of_the_rate() -> None:
    told = factors(encoder_rate=0.1)
    assert told["encoder.conv1.weight"] == told["encoder.layer2.1.0.weight"] == pytest.approx(0.1)
    assert told["head.weight"] == told["head.bias"] == 1


def test_each_block_learns_at_its_share_of_the_rate_of_the_block_after_it() -> None:
    told = factors(encoder_rate=0.5, layer_decay=0.8)
    blocks = ["conv1.weight", "layer1.0.0.weight", "layer1.1.1.bias", "layer2.0.0.weight", "layer2.1.0.weight"]
    expected = [0.5 * 0.8**power for power in (4, 3, 2, 1, 0)]
    assert [told[f"encoder.{name}"] for name in blocks] == pytest.approx(expected)
    assert told["encoder.bn1.weight"] == told["encoder.conv1.weight"]
    assert told["head.weight"] == 1


@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("network.encoder.layer3.1.conv1.weight", "layer3.1"),
        ("network.segformer.stages.2.blocks.0.attention.self.query.weight", "stages.2.blocks.0"),
        ("network.beit.layers.11.mlp.fc1.weight", "layers.11"),
        ("network.backbone.4.block.0.0.weight", "4.block.0"),
        ("network.encoder.model.stages_1.blocks.2.conv_dw.weight", "stages_1.blocks.2"),
        ("network.encoder.conv1.weight", ""),
        ("network.beit.embeddings.cls_token", ""),
    ],
)
def test_blocks_are_told_by_the_libraries_names(name: str, block: str) -> None:
    assert ".".join(_block_of(name)).endswith(block)
    assert bool(_block_of(name)) is bool(block)


def test_groups_carry_their_factor_and_all_parameters_are_in_one() -> None:
    model = Small()
    optimizer = make_optimizer(model, OptimSettings(lr=0.1, encoder_rate=0.2, layer_decay=0.5), ("encoder.",))
    grouped = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    assert len(grouped) == len({id(parameter) for parameter in grouped}) == len(list(model.parameters()))
    of_head = next(
        group for group in optimizer.param_groups if any(p is model.head.weight for p in group["params"])
    )
    assert of_head["factor"] == 1
    assert min(group["factor"] for group in optimizer.param_groups) == pytest.approx(0.2 * 0.5**4)


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def changed(before: dict[str, torch.Tensor], model: nn.Module) -> set[str]:
    return {name for name, tensor in model.state_dict().items() if not tensor.equal(before[name])}


def step(
    model: nn.Module, settings: OptimSettings, number: int, optimizer: torch.optim.Optimizer | None = None
) -> set[str]:
    """One step of training; the names of what it changed."""
    optimizer = optimizer or make_optimizer(model, settings, ("encoder.",))
    before = state(model)
    set_training(model, settings, ("encoder.",), number)
    model(torch.randn(2, 3, 8, 8)).square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()
    return changed(before, model)


@pytest.mark.parametrize(
    ("freeze", "number", "frozen"), [(0, 0, False), (3, 2, True), (3, 3, False), ("always", 9, True)]
)
def test_a_frozen_encoder_stays_bit_for_bit_until_its_step(freeze: int | str, number: int, frozen: bool) -> None:
    model = Small()
    told = step(model, OptimSettings(lr=0.1, freeze=freeze), number)
    assert any(name.startswith("encoder.") for name in told) is not frozen
    assert {"head.weight", "head.bias"} <= told
    assert model.dropout.training
    assert model.encoder.bn1.training is not frozen


def test_frozen_statistics_stay_while_weights_learn() -> None:
    told = step(Small(), OptimSettings(lr=0.1, freeze_norm=True), 0)
    assert "encoder.bn1.weight" in told
    assert "encoder.conv1.weight" in told
    assert not [name for name in told if "running" in name or "tracked" in name]


def test_the_encoder_thaws_by_itself() -> None:
    model, settings = Small(), OptimSettings(lr=0.1, freeze=1)
    optimizer = make_optimizer(model, settings, ("encoder.",))
    assert "encoder.conv1.weight" not in step(model, settings, 0, optimizer)
    assert "encoder.conv1.weight" in step(model, settings, 1, optimizer)

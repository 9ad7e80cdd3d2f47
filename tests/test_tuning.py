"""Finding a learning rate and a batch by trying: the arithmetic by hand, and trials with real trainings."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from intarsia import tuning
from intarsia.errors import MachineError, SettingsError
from intarsia.tuning import find_batch, find_learning_rate

SETTINGS: dict[str, dict[str, Any]] = {
    "train": {"size": (32, 32), "batch": 2, "device": "cpu", "precision": "fp32"},
    "loss": {"resolution": "image"},
}
SMALL = {**SETTINGS, "model": {"name": "unet", "width": 4, "depth": 2, "stem": 1}}


class Colours(nn.Module):
    """Four logits from the colour of each pixel alone; what becomes of them is the test's affair."""

    def __init__(self, factor: float = 1.0, most: int = 99) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Conv2d(3, 4, 1)
        self.factor, self.most = factor, most

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > self.most and x.device.type != "meta":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        logits: Tensor = self.layer(x) * self.factor
        return logits


class Pooled(Colours):
    """BatchNorm after a global pooling, as in DeepLab."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layer(x)
        return logits + self.norm(logits.mean(dim=(2, 3), keepdim=True))


class CutOff(Colours):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).detach()


def test_the_smoothed_loss_by_hand() -> None:
    """0.1 * 4 / (1 - 0.9), then (0.9 * 0.4 + 0.1 * 2) / (1 - 0.81) and so on."""
    expected = [4.0, 0.56 / 0.19, (0.9 * 0.56 + 0.1) / 0.271]
    assert tuning._smoothed([4.0, 2.0, 1.0]) == pytest.approx(expected)
    assert tuning._smoothed([3.0] * 50) == pytest.approx([3.0] * 50)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_the_smoothed_loss_ends_before_what_is_no_number(bad: float) -> None:
    assert tuning._smoothed([4.0, 4.0, bad, 1.0]) == pytest.approx([4.0, 4.0])
    assert tuning._smoothed([bad, 1.0]) == []


RATES = [10 ** (number / 10 - 6) for number in range(60)]


def test_the_steepest_place_by_hand() -> None:
    """Flat for 20 steps, down by 0.1 a step for ten, by 1 for five, by 0.1 for ten, then up."""
    losses = [9.0] * 20
    for fall, steps in ((0.1, 10), (1.0, 5), (0.1, 10), (-2.0, 15)):
        losses += [losses[-1] - fall * (number + 1) for number in range(steps)]
    # losses[29] is the last before the steep part, so the fall from 29 to 34 is the largest: 5.0
    assert losses[29] - losses[34] == pytest.approx(5.0)
    assert tuning._steepest(RATES, losses) == RATES[31]


def test_a_fall_after_the_smallest_loss_does_not_count() -> None:
    losses = (
        [9.0] * 15 + [8.0 - 0.2 * number for number in range(10)] + [50.0] + [40.0 - number for number in range(20)]
    )
    assert RATES[10] <= tuning._steepest(RATES, losses) <= RATES[25]


def test_the_luck_of_the_first_batches_does_not_count() -> None:
    losses = [9.0 - number for number in range(9)] + [5.0] * 20 + [5 - 0.3 * number for number in range(20)]
    assert losses[0] - losses[5] == 5.0
    assert tuning._steepest(RATES, losses) >= RATES[28]


@pytest.mark.parametrize(
    "losses",
    [[], [1.0], [1.0] * 60, [1.0 + number for number in range(60)], [9.0, 5.0, 1.0], [9.0] * 10 + [8.0] * 4],
    ids=["nothing", "one", "flat", "rising", "only at the start", "too short"],
)
def test_a_loss_that_falls_nowhere_is_an_error(losses: list[float]) -> None:
    with pytest.raises(SettingsError, match=r"falls at no learning rate between 1e-6 and 1: .*intarsia check"):
        tuning._steepest(RATES[: len(losses)], losses)


@pytest.mark.parametrize(
    ("losses", "bursts"),
    [
        ([2.0] * 30, False),
        ([2.0] * 30 + [7.0], False),  # smoothed 2.5: not above 2 + 3 * 0.1 * 2
        ([2.0] * 30 + [9.0], True),  # smoothed 2.7
        ([2.0, 2.0, math.nan], True),
        ([math.inf], True),
        ([2.0, 20.0], False),  # the luck of the first batches
    ],
    ids=str,
)
def test_where_the_test_ends(losses: list[float], bursts: bool) -> None:
    assert tuning._bursts(losses) == bursts


def test_a_network_and_its_rate(scenes: Path, tmp_path: Path) -> None:
    found = find_learning_rate(scenes, tmp_path / "rate", SMALL)
    assert found.rates[0] == pytest.approx(1e-6)
    assert found.rates[-1] <= 1.0
    assert np.diff(np.log(found.rates)) == pytest.approx(math.log(1e6) / 99)
    assert len(found.losses) == len(found.rates)
    assert found.suggested in found.rates
    place = found.rates.index(found.suggested)
    assert 1e-4 < found.suggested < 1.0, "a network from random weights with AdamW"
    assert found.losses[place - 2] > found.losses[place + 3], "where the loss falls"
    assert min(found.losses) < 0.9 * found.losses[0]
    told = json.loads((tmp_path / "rate" / "learning-rate.json").read_text())
    assert told == {"suggested": found.suggested, "rates": list(found.rates), "losses": list(found.losses)}
    with Image.open(found.picture) as picture:
        assert picture.width > 300
    assert sorted(path.name for path in (tmp_path / "rate").iterdir()) == [
        "learning-rate.json",
        "learning-rate.png",
    ]


def test_a_module_of_ones_own_is_left_alone(scenes: Path, tmp_path: Path) -> None:
    module = Pooled()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    found = find_learning_rate(scenes, tmp_path, SETTINGS, model=module)
    assert found.losses[-1] != found.losses[0]
    find_batch(scenes, SETTINGS, model=module)
    assert all(tensor.equal(before[name]) for name, tensor in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())


def test_the_same_seed_gives_the_same_curve(scenes: Path, tmp_path: Path) -> None:
    one, two = (find_learning_rate(scenes, tmp_path / name, SETTINGS, model=Colours()) for name in "ab")
    assert (one.suggested, one.losses) == (two.suggested, two.losses)


def test_left_out_the_folder_is_named_after_the_data(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = find_learning_rate(scenes, None, SETTINGS, model=Colours())
    assert found.picture == Path("runs") / f"{scenes.name}-learning-rate" / "learning-rate.png"
    assert found.picture.is_file()


@pytest.mark.parametrize("loss", ["ce", "ce+dice"])
@pytest.mark.parametrize("factor", [0.0, math.nan])
def test_a_network_whose_gradients_are_zero_or_no_numbers(
    factor: float, loss: str, scenes: Path, tmp_path: Path
) -> None:
    """Its loss still goes up and down with the pictures."""
    given = SETTINGS | {"loss": {"name": loss}}
    with pytest.raises(SettingsError, match=r"falls at no learning rate .* whether the network can learn at all"):
        find_learning_rate(scenes, tmp_path, given, model=Colours(factor))


def test_a_network_without_gradients(scenes: Path, tmp_path: Path) -> None:
    words = "learns nothing: no parameter that learns has an influence on its logits"
    with pytest.raises(SettingsError, match=words):
        find_learning_rate(scenes, tmp_path, SETTINGS, model=CutOff())
    with pytest.raises(SettingsError, match=words):
        find_batch(scenes, SETTINGS, model=CutOff())
    with pytest.raises(SettingsError, match=words):
        find_batch(scenes, SETTINGS, model=Colours().requires_grad_(False))


def test_batches_double_up_to_the_number_of_pairs(scenes: Path) -> None:
    trials = find_batch(scenes, SMALL)
    assert [trial.batch for trial in trials] == [1, 2, 4, 8]
    assert all(trial.fits and not trial.reason for trial in trials)
    assert all(trial.seconds > 0 and trial.memory > 1 << 26 for trial in trials)


def test_the_first_batch_that_does_not_fit_is_the_last(scenes: Path) -> None:
    trials = find_batch(scenes, SETTINGS, model=Colours(most=3))
    assert [(trial.batch, trial.fits, trial.reason) for trial in trials] == [
        (1, True, ""),
        (2, True, ""),
        (4, False, "out of memory"),
    ]
    assert math.isnan(trials[-1].seconds)


def test_not_even_one_pair_fits(scenes: Path) -> None:
    with pytest.raises(MachineError, match=r"Out of memory even with one pair of \(32, 32\)"):
        find_batch(scenes, SETTINGS, model=Colours(most=0))


def test_a_time_that_is_too_short(scenes: Path) -> None:
    given = SMALL | {"train": {**SMALL["train"], "budget": 0.001}}
    (trial,) = find_batch(scenes, given)
    assert (trial.batch, trial.fits) == (1, False)
    assert trial.reason.startswith("fewer than 300 steps in ")
    assert trial.seconds > 0


def test_a_memory_that_is_too_small(scenes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "memory_of", lambda device: 1 << 20)
    (trial,) = find_batch(scenes, SETTINGS, model=Colours())
    assert (trial.fits, trial.reason) == (False, "takes more than 80% of the memory")


def test_a_batch_that_would_clearly_not_fit_is_not_tried(scenes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Peaks of 300 and 500 bytes: the next would take 700 of 800."""
    peaks = iter([300, 500])
    monkeypatch.setattr(tuning, "_peak", lambda setup: next(peaks))
    monkeypatch.setattr(tuning, "memory_of", lambda device: 800)
    trials = find_batch(scenes, SETTINGS, model=Colours())
    assert [(trial.batch, trial.memory, trial.reason) for trial in trials] == [
        (1, 300, ""),
        (2, 500, ""),
        (4, 0, "would need more than 80% of the memory"),
    ]


def test_where_batchnorm_takes_no_single_pair_batches_begin_with_two(scenes: Path) -> None:
    assert [(trial.batch, trial.fits) for trial in find_batch(scenes, SETTINGS, model=Pooled())] == [
        (2, True),
        (4, True),
        (8, True),
    ]

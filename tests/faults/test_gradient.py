"""The gradient of a step is that of its whole batch, however it is cut: for time, for processes, for memory."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from intarsia.errors import MachineError
from intarsia.training import train

pytestmark = pytest.mark.timeout(200)


def settings(batch: int, accumulate: int = 1, **loss: object) -> dict[str, dict[str, Any]]:
    """Neither BatchNorm nor dropout, a loss that is a sum over pixels, gradients as they are."""
    return {
        "model": {"name": "unet", "width": 8, "depth": 2, "stem": 1, "norm": "group"},
        "loss": {"name": "ce", "resolution": "image", **loss},
        "optim": {"accumulate": accumulate, "clip": 1e9},
        "augment": {
            "shift": 0.6,
            "scale": (0.5, 2.0),
        },  # corners that are ignored, more in some pairs than in others
        "train": {"size": (32, 32), "batch": batch, "device": "cpu", "steps": 1, "precision": "fp32"},
    }


def first_gradient(photos: Path, out: Path, given: dict[str, Any], processes: int = 1) -> list[Tensor]:
    out.mkdir()
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    program = ["-m", "tests.faults.first_gradient", str(photos), str(out), json.dumps(given)]
    arguments = [sys.executable, *(launch if processes > 1 else []), *program]
    done = subprocess.run(
        arguments, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    of_each = [torch.load(out / f"{rank}.pt", weights_only=True) for rank in range(processes)]
    for other in of_each[1:]:
        assert all(one.equal(two) for one, two in zip(of_each[0], other, strict=True)), "the processes drift apart"
    return of_each[0]


def assert_close(got: list[Tensor], expected: list[Tensor], tolerance: float = 1e-6) -> None:
    largest = max(float(tensor.abs().max()) for tensor in expected)
    assert largest > 0.01
    for one, two in zip(got, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=tolerance * max(largest, 1))


@pytest.fixture(scope="module")
def of_eight(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Tensor]:
    return first_gradient(pictures, tmp_path_factory.mktemp("gradient") / "whole", settings(8))


def test_accumulation_of_four_twos_is_a_batch_of_eight(of_eight, pictures: Path, tmp_path: Path) -> None:
    assert_close(first_gradient(pictures, tmp_path / "parts", settings(2, accumulate=4)), of_eight)


@pytest.mark.slow
def test_the_loss_takes_its_portions_by_weight_and_not_alike(of_eight, pictures: Path, tmp_path: Path) -> None:
    """Other pairs, with other numbers of counted pixels, would be told apart by this test."""
    other = first_gradient(pictures, tmp_path / "other", settings(4, accumulate=2, class_weights="none"))
    with pytest.raises(AssertionError):
        assert_close(other, of_eight)


@pytest.mark.slow
def test_three_processes_share_a_batch_of_eight(of_eight, pictures: Path, tmp_path: Path) -> None:
    """Three pairs, three and two, each process with its own number of counted pixels."""
    assert_close(first_gradient(pictures, tmp_path / "three", settings(8), processes=3), of_eight)


@pytest.mark.slow
def test_two_processes_accumulate_unequal_halves(pictures: Path, tmp_path: Path) -> None:
    expected = first_gradient(pictures, tmp_path / "whole", settings(9))
    got = first_gradient(pictures, tmp_path / "parts", settings(3, accumulate=3), processes=2)
    assert_close(got, expected)


class Hungry(nn.Module):
    """A network that has memory for so many pairs at once."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self.seen: list[int] = []
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.device.type != "meta":
            self.seen.append(len(x))
        if len(x) > self.most and x.device.type != "meta":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        logits: Tensor = self.layers(x)
        return logits


SHORT = {**settings(8), "model": {}, "train": {**settings(8)["train"], "steps": 3, "ema": False}}


def test_out_of_memory_goes_on_in_smaller_portions(pictures: Path, tmp_path: Path, capfd) -> None:
    whole, parts = Hungry(8), Hungry(3)
    parts.load_state_dict(whole.state_dict())
    train(pictures, tmp_path / "whole", SHORT, model=whole)
    capfd.readouterr()
    train(pictures, tmp_path / "parts", SHORT, model=parts)
    said = capfd.readouterr().err
    assert "Out of memory: from here on each batch is learned in portions of 4, with the same effective" in said
    assert "in portions of 2, with the same effective batch." in said
    assert whole.seen == [8, 8, 8]
    assert parts.seen == [8, 4, *[2] * 12]
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(parts.state_dict()[name], tensor, rtol=0, atol=1e-4)


def test_out_of_memory_with_a_single_pair_is_an_error(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"Out of memory even with one pair of \(32, 32\).*a lower train\.batch"):
        train(pictures, tmp_path / "run", SHORT, model=Hungry(0))


@pytest.mark.slow
def test_processes_that_share_the_weights_have_the_same_gradient(of_eight, pictures: Path, tmp_path: Path) -> None:
    given = settings(4, accumulate=2)
    given["train"]["sharded"] = True
    assert_close(first_gradient(pictures, tmp_path / "shared", given, processes=2), of_eight)

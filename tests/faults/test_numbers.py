"""Numbers that are none, batches without a counted pixel, batches of one."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from intarsia.checkpoint import newest_checkpoint
from intarsia.data.read import read_image
from intarsia.errors import SettingsError
from intarsia.runs import read_metrics
from intarsia.training import train

pytestmark = pytest.mark.timeout(120)


class Poisoned(nn.Module):
    """A small network that gives NaN in some of its forward passes of training, counted from 1."""

    def __init__(self, *poisoned: int, value: float = math.nan) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.poisoned = poisoned
        self.value = value
        self.passes = 0
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.device.type != "meta":
            self.passes += 1
            if self.passes in self.poisoned:
                x = x * self.value
        logits: Tensor = self.layers(x)
        return logits


def settings(policy: str, **train_settings: Any) -> dict[str, dict[str, Any]]:
    return {
        "train": {
            "size": (32, 32),
            "batch": 2,
            "steps": 20,
            "device": "cpu",
            "precision": "fp32",
            "checkpoint_every": 4,
            "validations": 2,
            "on_nonfinite": policy,
            **train_settings,
        },
    }


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e38])
def test_stop_is_before_the_optimizer_step(pictures: Path, tmp_path: Path, value: float) -> None:
    network = Poisoned(7, value=value)
    words = (
        r"no number at step 7, learning rate 0\.\d+, with scene_\d+\.png, scene_\d+\.png\. .*train\.on_nonfinite"
    )
    with pytest.raises(SettingsError, match=words):
        train(pictures, tmp_path / "run", settings("stop"), model=network)
    assert all(parameter.isfinite().all() for parameter in network.parameters())
    assert newest_checkpoint(tmp_path / "run").position.step == 4


def test_the_files_of_the_step_are_named(pictures: Path, tmp_path: Path) -> None:
    """The very pairs that the network got, in whatever order the epochs are."""
    seen: list[tuple[str, ...]] = []

    def watching(image: Any, mask: Any, rng: np.random.Generator) -> tuple[Any, Any]:
        seen.append((image.tobytes(),))
        return image[:32, :32], mask[:32, :32]

    with pytest.raises(SettingsError) as raised:
        train(pictures, tmp_path / "run", settings("stop"), model=Poisoned(3), transform=watching)
    named = str(raised.value).partition("with ")[2].partition(". ")[0].split(", ")
    expected = [read_image(pictures / "images" / "train" / name).tobytes() for name in named]
    assert [one for (one,) in seen[16 + 4 : 16 + 6]] == expected


def test_skip_leaves_the_steps_out(pictures: Path, tmp_path: Path) -> None:
    network = Poisoned(5, 6, 12)
    training = train(pictures, tmp_path / "run", settings("skip"), model=network)
    assert training.steps == 20
    assert newest_checkpoint(tmp_path / "run").position.mishaps == 3
    assert all(tensor.isfinite().all() for tensor in network.state_dict().values()), "statistics of BatchNorm too"
    said = (tmp_path / "run" / "log.txt").read_text()
    assert said.count("left out") == 3
    assert "no number at step 12" in said


def test_skip_has_a_limit(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"at step 13,.* \(for the 11th time\)"):
        train(pictures, tmp_path / "run", settings("skip"), model=Poisoned(*range(3, 40)))


def test_rollback_goes_back_with_half_the_rate(pictures: Path, tmp_path: Path) -> None:
    training = train(pictures, tmp_path / "run", settings("rollback", steps=30), model=Poisoned(11))
    assert training.steps == 30
    said = (tmp_path / "run" / "log.txt").read_text()
    assert "back to step 8, with 0.5 of the learning rate" in said
    lines = [line for line in read_metrics(tmp_path / "run") if line["kind"] == "train"]
    steps = [line["step"] for line in lines]
    assert steps == sorted(set(steps))
    assert all(math.isfinite(line["loss"]) for line in lines)
    plain = train(pictures, tmp_path / "plain", settings("rollback", steps=30), model=Poisoned()).folder
    expected = [line["lr"] / 2 for line in read_metrics(plain) if line["kind"] == "train" and line["step"] > 10]
    assert [line["lr"] for line in lines if line["step"] > 10] == pytest.approx(expected)


def test_rollback_has_a_limit(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"\(for the 4th time\)"):
        train(pictures, tmp_path / "run", settings("rollback"), model=Poisoned(*range(6, 99)))


def test_a_rolled_back_training_that_is_continued(pictures: Path, tmp_path: Path) -> None:
    """The checkpoint remembers what happened."""
    train(pictures, tmp_path / "run", settings("rollback"), model=Poisoned(7))
    saved = newest_checkpoint(tmp_path / "run").position
    assert (saved.mishaps, saved.slowed) == (1, 0.5)


def without_truth(image: Any, mask: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    """Every pixel is ignored, in two of three pairs."""
    mask = mask[:32, :32].copy()
    if rng.random() < 0.67:
        mask[:] = 255
    return image[:32, :32], mask


@pytest.mark.parametrize("loss", ["ce", "ce+dice", "focal", "tversky", "ohem", "lovasz", "ce+boundary"])
def test_batches_without_a_counted_pixel_do_no_harm(pictures: Path, tmp_path: Path, loss: str) -> None:
    given = settings("stop") | {"loss": {"name": loss}}
    training = train(pictures, tmp_path / "run", given, model=Poisoned(), transform=without_truth)
    weights = load_file(training.folder / "last.safetensors")
    assert all(tensor.isfinite().all() for tensor in weights.values())


def test_a_batch_of_one(pictures: Path, tmp_path: Path) -> None:
    training = train(pictures, tmp_path / "run", settings("stop", batch=1), model=Poisoned())
    assert training.steps == 20


PROGRAM = """
import os, sys
from tests.faults import test_numbers as numbers
from intarsia.training import train

photos, run, policy = sys.argv[1:]
network = numbers.Poisoned(*([7] if os.environ["RANK"] == "1" else []))
train(photos, run, numbers.settings(policy, batch=3), model=network, transform=numbers.without_truth)
"""


@pytest.mark.parametrize(
    "policy",
    ["skip", pytest.param("stop", marks=pytest.mark.slow), pytest.param("rollback", marks=pytest.mark.slow)],
)
def test_two_processes_decide_the_same(launch: Any, pictures: Path, tmp_path: Path, policy: str) -> None:
    """One of them meets a NaN, has a pair less than the other, and often not one counted pixel: no hang."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    launcher = launch(*start, program, pictures, tmp_path / "run", policy)
    _, err = launcher.communicate(timeout=100)
    if policy == "stop":
        assert "is no number at step 7" in err
        assert newest_checkpoint(tmp_path / "run").position.step == 4
    else:
        assert launcher.returncode == 0, err
        saved = newest_checkpoint(tmp_path / "run")
        assert (saved.position.step, saved.position.mishaps) == (20, 1)
        assert all(tensor.isfinite().all() for tensor in saved.content["segmenter"].values())


@pytest.mark.parametrize("policy", ["skip", "rollback"])
def test_with_a_scaler_too(pictures: Path, tmp_path: Path, policy: str) -> None:
    """fp16 is the precision of GPUs without bf16; its scaler has a state of its own in each step."""
    training = train(pictures, tmp_path / "run", settings(policy, precision="fp16"), model=Poisoned(7))
    assert training.steps == 20
    assert newest_checkpoint(tmp_path / "run").position.mishaps == 1

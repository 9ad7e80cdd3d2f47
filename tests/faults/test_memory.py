"""The memory of the training process does not grow, whether it loads the pictures itself or workers do."""

import multiprocessing
import resource
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from intarsia.synthetic.scenes import write_scenes
from intarsia.training import train
from tests.faults.conftest import SERVER, changed

pytestmark = pytest.mark.timeout(200)

EPOCH = 40  # steps
SETTINGS = {"size": (96, 128), "batch": 4, "steps": 3 * EPOCH, "validations": 6, "checkpoint_every": 20}
SHARE = 1.05  # a batch that is kept in each step would be 1.08, what is computed from it far more


class Resident:
    """A logger that writes down the resident memory of its process at each training line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def scalars(self, step: int, numbers: Mapping[str, float]) -> None:
        if "train/loss" in numbers:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            with self.path.open("a") as file:
                file.write(f"{step} {pages * resource.getpagesize()}\n")

    def picture(self, step: int, name: str, picture: Any) -> None: ...

    def close(self) -> None: ...


def watched(photos: Path, folder: Path, settings: Mapping[str, Any]) -> None:
    """What a child does: train, and watch its memory."""
    torch.set_num_threads(1)
    multiprocessing.set_start_method("fork", force=True)  # for the loader's workers
    train(photos, folder / "run", settings, loggers=[Resident(folder / "memory.txt")])


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures for an epoch of 40 steps."""
    return write_scenes(tmp_path_factory.mktemp("many") / "photos", {"train": 4 * EPOCH, "val": 4}, (96, 128))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from /proc")
@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_three_epochs_take_the_memory_of_one(many: Path, tmp_path: Path, workers: int) -> None:
    settings = changed(train=SETTINGS, data={"workers": workers, "cache": False}, optim={"accumulate": 1})
    process = SERVER.Process(target=watched, args=(many, tmp_path, settings))
    process.start()
    process.join(150)
    assert process.exitcode == 0
    lines = (tmp_path / "memory.txt").read_text().splitlines()
    resident = {int(step): int(size) for step, size in map(str.split, lines)}
    assert sorted(resident) == list(range(10, 3 * EPOCH + 1, 10))
    assert resident[3 * EPOCH] < SHARE * resident[EPOCH], resident

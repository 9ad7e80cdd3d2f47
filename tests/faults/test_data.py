"""Loaders that fail in the middle of a training: whatever happens, the file in flight is named."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from intarsia.data.augment import Augment
from intarsia.errors import DataError, MachineError
from intarsia.settings import AugmentSettings
from intarsia.synthetic.scenes import write_scenes
from intarsia.training import train
from tests.faults.conftest import changed

pytestmark = pytest.mark.timeout(120)

SLOW = pytest.mark.slow
TWO_WORKERS = changed(train={"steps": 30, "checkpoint_every": 1000}, data={"timeout": 4})


class Spoiled:
    """The built-in augmentation, which does something else in the worker at its n-th picture."""

    def __init__(self, what: str, call: int) -> None:
        self.inner = Augment(AugmentSettings(), (32, 32), 255)
        self.what, self.call, self.calls = what, call, 0

    def __call__(self, image: Any, mask: Any, rng: np.random.Generator) -> tuple[Any, Any]:
        self.calls += torch.utils.data.get_worker_info() is not None
        if self.calls == self.call:
            if self.what == "raises":
                raise KeyError("no such thing")
            if self.what == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.what == "hangs":
                time.sleep(1000)
        return self.inner(image, mask, rng)


@pytest.mark.parametrize(
    ("what", "kind", "words"),
    [
        ("raises", DataError, r"scene_\d+\.png: the transform failed: KeyError: 'no such thing'$"),
        ("dies", MachineError, r"Files that the workers were at: .*scene_\d+\.png.*--workers 0"),
        pytest.param(
            "hangs",
            MachineError,
            r"timed out after 4.*Files that the workers were at: .*scene_\d+\.png",
            marks=SLOW,
        ),
    ],
)
def test_the_file_in_flight_is_named(pictures: Path, tmp_path: Path, what: str, kind: type, words: str) -> None:
    with pytest.raises(kind, match=words) as raised:
        train(pictures, tmp_path / "run", TWO_WORKERS, transform=Spoiled(what, 20))
    assert "\n" not in str(raised.value)


@pytest.fixture
def own_pictures(tmp_path: Path) -> Path:
    return write_scenes(tmp_path / "photos", {"train": 11, "val": 2}, (36, 44))


def spoil(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


class SpoilsAFile:
    """A logger that spoils pictures in the middle of the training."""

    def __init__(self, *paths: Path) -> None:
        self.paths = paths

    def scalars(self, step: int, numbers: Any) -> None:
        if step == 10:
            for path in self.paths:
                spoil(path)

    def picture(self, step: int, name: str, picture: Any) -> None: ...

    def close(self) -> None: ...


@pytest.mark.parametrize("workers", [0, 2])
def test_a_picture_that_became_unreadable_stops(own_pictures: Path, tmp_path: Path, workers: int) -> None:
    path = sorted((own_pictures / "images" / "train").iterdir())[4]
    settings = changed(data={"workers": workers, "cache": False})
    with pytest.raises(DataError, match=path.name):
        train(own_pictures, tmp_path / "run", settings, loggers=[SpoilsAFile(path)])


@pytest.mark.parametrize("workers", [0, 2])
def test_or_the_next_is_taken_instead(own_pictures: Path, tmp_path: Path, workers: int) -> None:
    path = sorted((own_pictures / "images" / "train").iterdir())[4]
    settings = changed(data={"workers": workers, "cache": False, "on_bad_sample": "skip"})
    training = train(own_pictures, tmp_path / "run", settings, loggers=[SpoilsAFile(path)])
    assert training.steps == 60
    said = (tmp_path / "run" / "log.txt").read_text()
    assert said.count("is skipped") == 1
    assert f"warning: 1 pair cannot be read any more and is skipped: {path}" in said


def test_too_many_are_an_error(own_pictures: Path, tmp_path: Path) -> None:
    paths = sorted((own_pictures / "images" / "train").iterdir())[4:7]
    settings = changed(data={"cache": False, "on_bad_sample": "skip", "bad_share": 0.2})
    with pytest.raises(DataError, match=r"3 of 11 pairs cannot .* data\.bad_share = 0\.2") as raised:
        train(own_pictures, tmp_path / "run", settings, loggers=[SpoilsAFile(*paths)])
    assert all(path.name in str(raised.value) for path in paths)

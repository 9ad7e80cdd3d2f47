"""Trainings that are killed: a drawn dataset, the settings of a training with everything on, and its true end."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from intarsia.checkpoint import newest_checkpoint
from intarsia.synthetic.scenes import write_scenes
from tests.faults import child

ROOT = Path(__file__).parents[2]
SERVER = multiprocessing.get_context("forkserver")  # its processes have torch at once, and are real ones
SERVER.set_forkserver_preload(["tests.faults.child", "tests.faults.predicting"])

# Augmentation, two workers, average of the weights, accumulation, dropout, a schedule by the step.
EVERYTHING: dict[str, dict[str, Any]] = {
    "data": {"workers": 2},
    "model": {"name": "unet", "width": 4, "depth": 2, "stem": 1, "dropout": 0.2},
    "optim": {"accumulate": 2, "schedule": "cosine"},
    "train": {
        "steps": 60,
        "size": (32, 32),
        "batch": 3,
        "validations": 5,
        "checkpoint_every": 7,
        "precision": "fp32",
        "device": "cpu",
    },
}


def changed(**sections: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """EVERYTHING, with some of it otherwise."""
    settings = deepcopy(EVERYTHING)
    for section, values in sections.items():
        settings.setdefault(section, {}).update(values)
    return settings


def weights(run: Path) -> dict[str, Any]:
    """All tensors that a training leaves: of the best and of the newest model, and of the last checkpoint."""
    saved = newest_checkpoint(run).content
    files = {name: load_file(run / f"{name}.safetensors") for name in ("model", "last")}
    return {
        f"{file}.{name}": tensor
        for file, tensors in {**files, "learned": saved["segmenter"], "average": saved["average"]}.items()
        for name, tensor in tensors.items()
    }


def assert_same_end(run: Path, expected: Mapping[str, Any]) -> None:
    got = weights(run)
    assert set(got) == set(expected)
    assert [name for name, tensor in expected.items() if not tensor.equal(got[name])] == []


def start(photos: Path, run: Path, settings: Mapping[str, Any] | None = None, **fault: Any) -> BaseProcess:
    """A training in a process of its own; it continues what is in `run`."""
    process = SERVER.Process(target=child.run, args=(photos, run, settings or EVERYTHING), kwargs=fault)
    process.start()
    return process


def finish(photos: Path, run: Path, settings: Mapping[str, Any] | None = None) -> None:
    """Continues a training to its end."""
    process = start(photos, run, settings)
    process.join(120)
    assert process.exitcode == 0


@dataclass(frozen=True)
class Uninterrupted:
    """How a training ends that nothing happens to.

    Attributes:
        seconds: that it took.
        weights: see `weights`.
    """

    seconds: float
    weights: Mapping[str, Any]


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("faults") / "photos", {"train": 11, "val": 5}, (36, 44))


@pytest.fixture(scope="session")
def uninterrupted(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Uninterrupted:
    run = tmp_path_factory.mktemp("uninterrupted") / "run"
    started = time.monotonic()
    finish(pictures, run)
    return Uninterrupted(time.monotonic() - started, weights(run))


@pytest.fixture
def launch() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `python ...` with its output in pipes; what still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: object, group: bool = False) -> subprocess.Popen[str]:
        started.append(
            subprocess.Popen(
                [sys.executable, *map(str, arguments)],
                env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=group,
            )
        )
        return started[-1]

    yield begin
    for process in started:
        for pid in [process.pid, *descendants(process.pid)]:  # what torchrun started would hold the pipes
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.communicate()


def descendants(pid: int) -> list[int]:
    """The processes that a process started, and those that these did."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for known in found:  # it grows meanwhile
        found += [child for child, parent in parents.items() if parent == known]
    return found[1:]


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    """Waits until something is the case."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def newest_step(run: Path) -> int:
    """Step of the newest checkpoint, whole or not; -1 where there is none."""
    return max((int(path.name[5:]) for path in (run / "checkpoints").glob("step-*")), default=-1)

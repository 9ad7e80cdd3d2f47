"""kill -9 at any moment: the same command with --resume ends with the same weights, in every tensor."""

import random
import signal
import time
from pathlib import Path

import pytest

from tests.faults.conftest import Uninterrupted, assert_same_end, changed, finish, start

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize(
    ("place", "call"),
    [
        pytest.param("file on its way to the disk", 2, marks=pytest.mark.slow),  # the first checkpoint of all
        ("file on its way to the disk", 20),
        pytest.param("file on its way to the disk", 33, marks=pytest.mark.slow),
        pytest.param("checkpoint gets its name", 4, marks=pytest.mark.slow),
        pytest.param("checkpoint gets its name", 1, marks=pytest.mark.slow),
        pytest.param("old checkpoint is removed", 2, marks=pytest.mark.slow),
        pytest.param("file gets its name", 10, marks=pytest.mark.slow),
        pytest.param("file gets its name", 25, marks=pytest.mark.slow),
        ("picture of a validation", 3),
        pytest.param("picture of a validation", 19, marks=pytest.mark.slow),
        pytest.param("optimizer step", 30, marks=pytest.mark.slow),
        pytest.param("optimizer step", 1, marks=pytest.mark.slow),
        pytest.param("log line", 3, marks=pytest.mark.slow),
    ],
)
def test_killed_at_an_exact_moment(
    pictures: Path, tmp_path: Path, uninterrupted: Uninterrupted, place: str, call: int
) -> None:
    process = start(pictures, tmp_path / "run", place=place, call=call)
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    finish(pictures, tmp_path / "run")
    assert_same_end(tmp_path / "run", uninterrupted.weights)
    assert not list((tmp_path / "run").rglob(".*tmp")), "what was unfinished is swept away"


@pytest.mark.slow
@pytest.mark.parametrize("trial", range(20))
def test_killed_at_a_random_moment(
    pictures: Path, tmp_path: Path, uninterrupted: Uninterrupted, trial: int
) -> None:
    """Twice, so that a continued training is killed too; then with another number of workers."""
    chance = random.Random(trial)
    for _ in range(2):
        process = start(pictures, tmp_path / "run")
        time.sleep(chance.uniform(0, uninterrupted.seconds))
        process.kill()
        process.join()
    finish(pictures, tmp_path / "run", changed(data={"workers": trial % 3}))
    assert_same_end(tmp_path / "run", uninterrupted.weights)


def test_killed_again_and_again(pictures: Path, tmp_path: Path, uninterrupted: Uninterrupted) -> None:
    for call, workers in ((9, 0), (14, 1), (8, 0)):
        settings = changed(data={"workers": workers})
        process = start(pictures, tmp_path / "run", settings, place="optimizer step", call=call)
        process.join(120)
        assert process.exitcode == -signal.SIGKILL
    finish(pictures, tmp_path / "run")
    assert_same_end(tmp_path / "run", uninterrupted.weights)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_the_number_of_workers_changes_nothing(
    pictures: Path, tmp_path: Path, uninterrupted: Uninterrupted, workers: int
) -> None:
    finish(pictures, tmp_path / "run", changed(data={"workers": workers}))
    assert_same_end(tmp_path / "run", uninterrupted.weights)


def test_a_finished_training_stays_as_it_is(pictures: Path, tmp_path: Path, uninterrupted: Uninterrupted) -> None:
    short = changed(train={"steps": 5}, data={"workers": 0})
    finish(pictures, tmp_path / "run", short)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*.safetensors")}
    finish(pictures, tmp_path / "run", short)
    assert {path: path.stat().st_mtime_ns for path in before} == before

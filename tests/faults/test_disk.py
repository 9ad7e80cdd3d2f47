"""A disk that is full, a folder that is gone or taken: the old checkpoint stays whole, and it is said."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from intarsia.checkpoint import newest_checkpoint
from tests.faults.conftest import (
    Uninterrupted,
    assert_same_end,
    changed,
    finish,
    newest_step,
    start,
    wait_for,
)

pytestmark = pytest.mark.timeout(200)

OPTIONS = [
    *("--model", "unet", "--size", "32,32", "--batch", "2", "--device", "cpu", "--steps", "4000"),
    *("model.width=8", "model.depth=2", "model.stem=1", "train.checkpoint_every=5", "train.validations=2"),
]


@pytest.fixture
def program(launch: Callable[..., subprocess.Popen[str]], pictures: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts `intarsia train` into a run folder."""

    def begin(run: Path, *options: str) -> subprocess.Popen[str]:
        return launch("-m", "intarsia", "train", pictures, "--out", run, *OPTIONS, *options)

    return begin


def fill(disk: Path) -> Path:
    """Takes all the space there is."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1024))
        except OSError:
            pass
    return filler


@pytest.mark.slow
def test_a_full_disk_leaves_a_checkpoint_to_go_on_from(program, small_disk: Path) -> None:
    run = small_disk / "run"
    process = program(run)
    wait_for(lambda: newest_step(run) >= 10)
    filler = fill(small_disk)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 5
    assert str(run) in err
    assert "the disk is full" in err
    assert "free:" in err
    assert "Traceback" not in err
    step = newest_checkpoint(run).position.step
    assert step >= 5
    filler.unlink()
    process = program(run, "--resume")
    wait_for(lambda: newest_step(run) > step)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert f"continuing at step {step}" in err
    assert not list(run.rglob(".*tmp"))


def test_a_checkpoint_that_does_not_fit_is_told_with_its_bytes(program, small_disk: Path) -> None:
    process = program(small_disk / "run", "model.width=32")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 5
    assert "state.pt: cannot be written: the disk is full" in err
    free, needed = (int(err.partition(word)[2].split()[0].replace(",", "")) for word in ("free: ", "needed: "))
    assert free < 4 << 20 < needed


@pytest.mark.slow
def test_a_folder_that_vanishes_is_told(program, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = program(run)
    wait_for(lambda: newest_step(run) >= 5)
    run.rename(tmp_path / "elsewhere")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 5
    assert f"{run}" in err
    assert "its folder does not exist" in err
    assert newest_checkpoint(tmp_path / "elsewhere").position.step >= 5


def test_two_trainers_in_one_folder(program, tmp_path: Path) -> None:
    run = tmp_path / "run"
    first = program(run)
    wait_for(lambda: newest_step(run) >= 5)
    second = program(run, "--resume")
    _, err = second.communicate(timeout=60)
    assert second.returncode == 2
    assert f"process {first.pid} on {os.uname().nodename}, since" in err
    assert "Wait for it, or give another --out" in err
    first.kill()
    first.communicate()
    step = newest_step(run)
    third = program(run, "--resume")  # the lock ended with its process
    wait_for(lambda: newest_step(run) > step)
    third.send_signal(signal.SIGINT)
    assert "Stopped at step" in third.communicate(timeout=60)[1]
    assert third.returncode == 130


@pytest.mark.parametrize("file", ["state.pt", "manifest.json"])
@pytest.mark.parametrize(
    "damage", [*(pytest.param(how, marks=pytest.mark.slow) for how in ("truncated", "zeroed")), "flipped"]
)
def test_a_damaged_checkpoint_is_passed_over(
    pictures: Path, tmp_path: Path, uninterrupted: Uninterrupted, file: str, damage: str
) -> None:
    run = tmp_path / "run"
    process = start(pictures, run, place="optimizer step", call=25)
    process.join(120)
    damaged = newest_checkpoint(run).path
    content = (damaged / file).read_bytes()
    middle = len(content) // 2
    spoiled = {
        "truncated": content[:middle],
        "zeroed": bytes(len(content)),
        "flipped": content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :],
    }
    (damaged / file).write_bytes(spoiled[damage])
    finish(pictures, run)
    said = (run / "log.txt").read_text()
    assert f"warning: passed over a damaged checkpoint: {damaged / file}: is damaged" in said
    assert "continuing at step 21" in said
    assert_same_end(run, uninterrupted.weights)


@pytest.mark.slow
def test_where_no_checkpoint_is_whole_it_is_an_error(program, pictures: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    finish(pictures, run, changed(train={"steps": 3}, data={"workers": 0}))
    for path in run.glob("checkpoints/*/state.pt"):
        path.write_bytes(b"")
    process = program(run, "--resume")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 4
    assert "has no whole checkpoint to continue from" in err

"""Predictions that are killed, starved and shared: no half file at any time, and the same bytes in the end."""

import random
import signal
import subprocess
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from PIL import Image

from intarsia.pipeline.records import FOLDER
from tests.faults import predicting
from tests.faults.conftest import SERVER, wait_for
from tests.faults.test_disk import fill
from tests.small import noise, saved_model

pytestmark = pytest.mark.timeout(200)

Launch = Callable[..., subprocess.Popen[str]]
PICTURES = 21  # three chunks, the last one not full
ARGUMENTS = [
    *("--save", ",".join(predicting.SAVE), "--tile", "64", "--overlap", "16", "--min-area", "5"),
    *("--pixel-size", "2mm", "--device", "cpu"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_model(tmp_path_factory.mktemp("model") / "model.safetensors")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of two sizes, one in tiles, and one that cannot be read."""
    folder = tmp_path_factory.mktemp("predict") / "photos"
    for number in range(PICTURES):
        path = folder / f"day-{number % 3}" / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        size = (40, 52) if number % 4 else (30, 30)
        Image.fromarray(noise(*((150, 170) if number == 9 else size), 3, seed=number)).save(path)
    (folder / "broken.png").write_bytes((folder / "day-0" / "00.png").read_bytes()[:300])
    return folder


def files(out: Path) -> dict[str, bytes]:
    """Everything that can be seen in a folder of results."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(out).parts)
    }


def start(model: Path, photos: Path, out: Path, place: str | None = None, call: int = 0) -> BaseProcess:
    process = SERVER.Process(target=predicting.run, args=(model, photos, out, place, call))
    process.start()
    return process


def finish(model: Path, photos: Path, out: Path) -> None:
    process = start(model, photos, out)
    process.join(100)
    assert process.exitcode == 0


@pytest.fixture(scope="module")
def whole(model: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What an uninterrupted prediction leaves."""
    out = tmp_path_factory.mktemp("whole") / "out"
    finish(model, photos, out)
    found = files(out)
    assert len(found) == PICTURES * 7 + 3  # instances are a picture and a table; the manifest and areas of all
    return found


def assert_nothing_half(out: Path, whole: dict[str, bytes]) -> int:
    """Each file that can be seen is as it will be; how many there are."""
    found = files(out)
    assert [name for name, content in found.items() if content != whole[name]] == []
    return len(found)


@pytest.mark.parametrize(
    ("place", "call"),
    [
        ("file on its way to the disk", 30),
        ("file gets its name", 50),
        *(pytest.param("file on its way to the disk", call, marks=pytest.mark.slow) for call in (1, 2, 9, 77, 120)),
        *(pytest.param("file gets its name", call, marks=pytest.mark.slow) for call in (1, 3, 90, 149)),
    ],
)
def test_killed_at_an_exact_moment(
    model: Path, photos: Path, whole: dict[str, bytes], tmp_path: Path, place: str, call: int
) -> None:
    out = tmp_path / "out"
    process = start(model, photos, out, place, call)
    process.join(100)
    assert process.exitcode == -signal.SIGKILL
    assert assert_nothing_half(out, whole) < len(whole)
    finish(model, photos, out)
    assert files(out) == whole
    assert [path.name for path in out.rglob(".*")] == [FOLDER]  # what was unfinished is swept away


@pytest.mark.slow
@pytest.mark.parametrize("trial", range(6))
def test_killed_at_a_random_moment(
    model: Path, photos: Path, whole: dict[str, bytes], tmp_path: Path, trial: int
) -> None:
    """Twice; meanwhile no half file is ever seen."""
    out = tmp_path / "out"
    chance = random.Random(trial)
    for _ in range(2):
        process = start(model, photos, out)
        until = time.monotonic() + chance.uniform(0.3, 1.5)
        while time.monotonic() < until and process.is_alive():
            assert_nothing_half(out, whole)
        process.kill()
        process.join(100)
    assert_nothing_half(out, whole)
    finish(model, photos, out)
    assert files(out) == whole


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_ends_it_and_the_same_command_goes_on(
    launch: Launch, model: Path, photos: Path, whole: dict[str, bytes], tmp_path: Path, number: int
) -> None:
    out = tmp_path / "out"
    command = ["-m", "intarsia", "predict", model, photos, "--out", out, *ARGUMENTS]
    process = launch(*command)
    wait_for((out / "masks").is_dir)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    if process.returncode != 3:  # it was faster than the signal
        assert process.returncode == 128 + number
        assert_nothing_half(out, whole)
    again = launch(*command)
    _, err = again.communicate(timeout=60)
    assert again.returncode == 3
    assert "1 image could not be read, or not to the end:" in err
    assert files(out) == whole


def test_two_processes_share_the_work(
    launch: Launch, model: Path, photos: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    process = launch(*torchrun, "-m", "intarsia", "predict", model, photos, "--out", out, *ARGUMENTS)
    told, err = process.communicate(timeout=100)
    assert told.count("images predicted") == 1
    assert f"{PICTURES} images predicted" in told
    assert err.count("broken.png: is damaged") == 1
    assert files(out) == whole


@pytest.mark.slow
def test_shards_share_the_work(
    launch: Launch, model: Path, photos: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    """Side by side, as on several machines."""
    out = tmp_path / "out"
    command = ["-m", "intarsia", "predict", model, photos, "--out", out, *ARGUMENTS]
    parts = [launch(*command, "--shard", f"{number}/3") for number in (1, 2, 3)]
    for part in parts:
        part.communicate(timeout=100)
    missing = set(whole) - set(files(out))
    assert missing <= {"areas.csv", "areas.json"}
    launch(*command).communicate(timeout=100)
    assert files(out) == whole


@pytest.mark.slow
def test_a_full_disk_leaves_whole_files(
    launch: Launch,
    model: Path,
    photos: Path,
    whole: dict[str, bytes],
    small_disk: Path,
) -> None:
    out = small_disk / "out"
    command = ["-m", "intarsia", "predict", model, photos, "--out", out, *ARGUMENTS]
    out.mkdir()
    filler = fill(small_disk)
    with filler.open("r+b") as file:
        file.truncate(filler.stat().st_size - 150_000)
    process = launch(*command)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 5
    assert "cannot be written: the disk is full" in err
    assert "free:" in err
    assert 0 < assert_nothing_half(out, whole) < len(whole)
    filler.unlink()
    launch(*command).communicate(timeout=60)
    assert files(out) == whole

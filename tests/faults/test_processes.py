"""Several processes, as torchrun starts them: the result of one, and no harm where one is stopped or killed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from intarsia.checkpoint import newest_checkpoint
from intarsia.evaluation import evaluate
from intarsia.runs import read_metrics
from tests.faults.conftest import assert_same_end, descendants, newest_step, wait_for, weights

pytestmark = pytest.mark.timeout(300)

# Neither BatchNorm nor dropout, and a loss that is a sum over pixels: any number of processes gives the same.
EXACT = [
    *("--model", "unet", "--size", "32,32", "--batch", "5", "--device", "cpu", "--steps", "12"),
    *("model.width=8", "model.depth=2", "model.stem=1", "model.norm=group", "loss.name=ce"),
    *("loss.resolution=image", "train.precision=fp32", "train.validations=2", "train.checkpoint_every=4"),
]
# With everything that makes a difference.
ROUGH = [
    *("--model", "unet", "--size", "32,32", "--batch", "4", "--device", "cpu", "--steps", "60", "--workers", "1"),
    *("model.width=4", "model.depth=2", "model.stem=1", "model.dropout=0.2", "optim.accumulate=2"),
    *("train.precision=fp32", "train.validations=4", "train.checkpoint_every=6"),
]


Start = Callable[..., subprocess.Popen[str]]


def command(number: int, photos: Path, run: Path, *options: str) -> list[str]:
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(number)] if number > 1 else []
    return [*start, "-m", "intarsia", "train", str(photos), "--out", str(run), *options]


def finish(number: int, photos: Path, run: Path, *options: str) -> tuple[str, str]:
    """What a training that goes well prints: stdout, stderr."""
    arguments = [sys.executable, *command(number, photos, run, *options)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def process_of_rank(launcher: subprocess.Popen[str], rank: int) -> int:
    """The pid of one of the processes that torchrun started."""
    for pid in descendants(launcher.pid):  # its own processes before theirs, which have the same environment
        with suppress(OSError):
            if b"RANK=%d" % rank in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                return pid
    raise AssertionError(f"no process of rank {rank}")


@pytest.fixture(scope="module")
def two(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A run of two processes, and what they printed."""
    run = tmp_path_factory.mktemp("two") / "run"
    return run, *finish(2, pictures, run, *EXACT)


def test_scores_of_two_processes_are_exactly_those_of_one(two, pictures: Path) -> None:
    """Five pictures: three for one process and two for the other, none twice."""
    validations = [line for line in read_metrics(two[0]) if line["kind"] == "val"]
    alone = evaluate(two[0] / "last.safetensors", pictures)
    assert alone.images == 5
    assert validations[-1]["confusion"] == alone.confusion.tolist()
    assert validations[-1]["ignored_pixels"] == alone.ignored_pixels
    assert validations[-1]["miou"] == alone.miou


def test_one_process_writes_and_speaks(two) -> None:
    run, out, err = two
    assert out.count("mIoU") == 1
    assert err.count("2 processes (cpu)") == 1
    steps = [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)
    assert len(newest_checkpoint(run).content["random"]) == 2


@pytest.mark.slow
def test_another_number_of_processes_must_be_asked_for(launch: Start, two, pictures: Path, tmp_path: Path) -> None:
    run = two[0]
    longer = [*EXACT, "train.processes=1", "--resume"]
    refused = launch(*command(1, pictures, run, *EXACT, "--resume"))
    assert "train.processes: 2 -> 1\nGive train.processes=1 to go on so" in refused.communicate()[1]
    assert refused.returncode == 2
    finish(1, pictures, run, *longer)  # nothing is left to do, and nothing changes
    assert newest_checkpoint(run).position.step == 12


@pytest.mark.slow
def test_a_wrong_number_of_processes_is_told(launch: Start, pictures: Path, tmp_path: Path) -> None:
    process = launch(*command(1, pictures, tmp_path / "run", *EXACT, "train.processes=3"))
    assert "train.processes = 3: there is 1. Start as many with: torchrun" in process.communicate()[1]
    assert process.returncode == 2


@pytest.fixture(scope="module")
def rough(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """How ROUGH ends on two processes to which nothing happens."""
    run = tmp_path_factory.mktemp("rough") / "run"
    finish(2, pictures, run, *ROUGH)
    return weights(run)


@pytest.mark.slow
def test_sigterm_to_one_of_two(launch: Start, rough, pictures: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    launcher = launch(*command(2, pictures, run, *ROUGH))
    wait_for(lambda: newest_step(run) >= 12)
    os.kill(process_of_rank(launcher, 1), signal.SIGTERM)
    _, err = launcher.communicate(timeout=100)
    assert "exitcode  : 143" in err, "torchrun tells how its processes ended"
    stopped = newest_checkpoint(run).position.step
    assert f"Stopped at step {stopped}. All is saved" in err
    assert 12 <= stopped < 60
    finish(2, pictures, run, *ROUGH, "--resume")
    assert_same_end(run, rough)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_kill_of_one_of_two(launch: Start, rough, pictures: Path, tmp_path: Path, rank: int) -> None:
    run = tmp_path / "run"
    launcher = launch(*command(2, pictures, run, *ROUGH))
    wait_for(lambda: newest_step(run) >= 18)
    os.kill(process_of_rank(launcher, rank), signal.SIGKILL)
    launcher.communicate(timeout=100)  # no hang
    assert launcher.returncode != 0
    finish(2, pictures, run, *ROUGH, "--resume")
    assert_same_end(run, rough)


@pytest.mark.slow
def test_ctrl_c_at_torchrun(launch: Start, rough, pictures: Path, tmp_path: Path) -> None:
    """The terminal sends it to all of them, and torchrun to its processes once more."""
    run = tmp_path / "run"
    launcher = launch(*command(2, pictures, run, *ROUGH))
    wait_for(lambda: newest_step(run) >= 6)
    for process in (launcher.pid, process_of_rank(launcher, 0), process_of_rank(launcher, 1)):
        os.kill(process, signal.SIGINT)
    launcher.communicate(timeout=100)
    assert "Stopped at step" in (run / "log.txt").read_text()
    finish(2, pictures, run, *ROUGH, "--resume")
    assert_same_end(run, rough)


@pytest.mark.slow
def test_torchrun_starts_again_by_itself(launch: Start, rough, pictures: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    arguments = command(2, pictures, run, *ROUGH, "--resume")
    arguments.insert(arguments.index("--standalone"), "--max-restarts=2")
    launcher = launch(*arguments)
    wait_for(lambda: newest_step(run) >= 12)
    os.kill(process_of_rank(launcher, 1), signal.SIGKILL)
    _, err = launcher.communicate(timeout=200)
    assert launcher.returncode == 0, err
    assert_same_end(run, rough)


@pytest.mark.slow
def test_one_process_goes_on_where_two_stopped(launch: Start, two, pictures: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    launcher = launch(*command(2, pictures, run, *EXACT))
    wait_for(lambda: newest_step(run) >= 4)
    launcher.send_signal(signal.SIGTERM)
    launcher.communicate(timeout=100)
    finish(1, pictures, run, *EXACT, "train.processes=1", "--resume")
    expected, got = (
        [line["miou"] for line in read_metrics(folder) if line["kind"] == "val"] for folder in (two[0], run)
    )
    assert got == pytest.approx(expected, abs=0.02)
    assert newest_checkpoint(run).position.step == 12


@pytest.mark.slow
def test_processes_that_share_the_weights(launch: Start, pictures: Path, tmp_path: Path) -> None:
    """Killed and continued it ends as if nothing had happened; its files are those of any training."""
    shared = [*ROUGH, "train.sharded=true"]
    finish(2, pictures, tmp_path / "whole", *shared)
    run = tmp_path / "run"
    launcher = launch(*command(2, pictures, run, *shared))
    wait_for(lambda: newest_step(run) >= 18)
    os.kill(process_of_rank(launcher, 1), signal.SIGKILL)
    launcher.communicate(timeout=100)
    finish(2, pictures, run, *shared, "--resume")
    assert_same_end(run, weights(tmp_path / "whole"))
    last = [line for line in read_metrics(run) if line["kind"] == "val"][-1]
    assert evaluate(run / "last.safetensors", pictures).miou == last["miou"]


@pytest.mark.slow
def test_to_share_the_weights_takes_several(launch: Start, pictures: Path, tmp_path: Path) -> None:
    process = launch(*command(1, pictures, tmp_path / "run", *EXACT, "train.sharded=true"))
    assert "train.sharded = true: needs several processes" in process.communicate()[1]
    assert process.returncode == 2


@pytest.mark.parametrize("workers", ["2", pytest.param("0", marks=pytest.mark.slow)])
def test_a_signal_to_the_whole_group(launch: Start, pictures: Path, tmp_path: Path, workers: str) -> None:
    """As a batch system or a service manager sends it: the loader's workers get it too, and feed the last step."""
    run = tmp_path / "run"
    process = launch(*command(1, pictures, run, *ROUGH, "--workers", workers), group=True)
    wait_for(lambda: newest_step(run) >= 6)
    os.killpg(process.pid, signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    stopped = newest_checkpoint(run).position.step
    assert f"Stopped at step {stopped}. All is saved" in err


NESTED = """
import torch
from intarsia.distributed import joined
from intarsia.sharding import shard, whole_model
from tests.test_sharding import Stage
from torch import nn

with joined() as world:
    torch.manual_seed(0)
    model = nn.Module()
    model.stages = nn.ModuleList(Stage() for _ in range(2))
    model.forward = lambda x: model.stages[1](model.stages[0](x))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    expected = model(torch.ones(2, 3))
    shard(model)
    assert torch.allclose(model(torch.ones(2, 3)), expected)
    assert all(tensor.equal(before[name]) for name, tensor in whole_model(model).items())
    print("the same", flush=True)
"""


@pytest.mark.slow
def test_blocks_within_blocks_are_shared(launch: Start, tmp_path: Path) -> None:
    (tmp_path / "nested.py").write_text(NESTED)
    process = launch("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", tmp_path / "nested.py")
    out, err = process.communicate(timeout=100)
    assert out.count("the same") == 2, err


@pytest.mark.slow
def test_two_processes_repeat_a_training(launch: Start, pictures: Path, tmp_path: Path) -> None:
    """One of them looks whether the folder is free, and lists the runs."""
    short = [option if option != "12" else "2" for option in EXACT]
    process = launch(*command(2, pictures, tmp_path / "all", *short, "--seeds", "2"))
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert out.count("mean and standard deviation of 2") == 1
    names = {path.name for path in (tmp_path / "all").iterdir()}
    assert names == {"ensemble.json", "seed-0", "seed-1"}
    process = launch(*command(2, pictures, tmp_path / "all", *short, "--seeds", "2"))
    _, err = process.communicate(timeout=60)
    assert err.count("is not empty. Give another --out") == 1

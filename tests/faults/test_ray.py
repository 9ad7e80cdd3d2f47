"""A real Ray cluster of two nodes on this machine: the files of `predict`, whoever made them."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from intarsia.pipeline.records import FOLDER
from tests.faults.conftest import ROOT, descendants
from tests.small import noise, saved_model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]

PICTURES = 40  # five chunks, and a sixth for the one that is none
UMASKS = (0o022, 0o077)  # of the two nodes: who wrote a file is seen by its mode


@pytest.fixture(scope="module")
def cluster() -> Iterator[Mapping[str, str]]:
    """The environment of a script that finds a cluster: two nodes of one CPU, so of one worker, each."""
    folder = Path(tempfile.mkdtemp(prefix="cluster-"))  # pytest's own are too long for the names of sockets
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
        "RAY_ADDRESS": address,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": "of-this-test-alone",
        "RAY_TMPDIR": str(folder),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    start = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1", "--num-gpus=0"]
    head = ["--head", f"--port={address.rpartition(':')[2]}", "--include-dashboard=false", f"--temp-dir={folder}"]
    nodes: list[subprocess.Popen[bytes]] = []
    try:
        for place in (head, [f"--address={address}"]):
            with (folder / f"node-{len(nodes)}.txt").open("wb") as output:
                command = [*start, *place, "--object-store-memory=80000000"]
                umask = UMASKS[len(nodes)]
                nodes.append(subprocess.Popen(command, env=environment, stdout=output, stderr=output, umask=umask))
        yield environment
    finally:
        for pid in [pid for node in nodes for pid in (node.pid, *descendants(node.pid))]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for node in nodes:
            node.wait()
        print(*(path.read_text() for path in folder.glob("node-*.txt")))
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model and another, and pictures of three sizes, one of them damaged."""
    folder = tmp_path_factory.mktemp("home")
    saved_model(folder / "model.safetensors")
    saved_model(folder / "other.safetensors", width=8)
    (folder / "photos").mkdir()
    for number in range(PICTURES):
        picture = noise(40 + number % 3, 56, 3, seed=number)
        Image.fromarray(picture).save(folder / "photos" / f"{number:02d}.png")
    (folder / "photos" / "damaged.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def told(cluster: Mapping[str, str], home: Path) -> dict[str, Any]:
    """What became of the jobs."""
    script = [sys.executable, "-m", "tests.faults.ray_jobs", str(home)]
    done = subprocess.run(script, env=cluster, capture_output=True, text=True, timeout=150, check=False)
    print(done.stdout, done.stderr)
    assert done.returncode == 0
    return json.loads((home / "told.json").read_text())


def contents(folder: Path) -> dict[str, bytes]:
    found = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    return {name.as_posix(): path.read_bytes() for name, path in found.items() if name.parts[0] != FOLDER}


def test_the_files_are_those_of_predict(told: dict[str, Any], home: Path) -> None:
    assert contents(home / "out") == contents(home / "alone")
    alone, shared = told["alone"], told["shared"]
    assert len(shared["written"]) == PICTURES
    assert (shared["written"], shared["finished"]) == (alone["written"], [])
    assert shared["failed"] == alone["failed"]
    assert [Path(path).name for path, _ in shared["failed"]] == ["damaged.png"]
    assert shared["notes"] == [note.replace(str(home / "alone"), str(home / "out")) for note in alone["notes"]]


def test_both_nodes_took_part(told: dict[str, Any], home: Path) -> None:
    assert {path.stat().st_mode & 0o777 for path in (home / "out" / "areas").iterdir()} == {0o644, 0o600}


def test_what_is_finished_stays(told: dict[str, Any], home: Path) -> None:
    names = [f"{number:02d}" for number in range(PICTURES)]
    assert told["again"] == {"written": [], "finished": names, "failed": [], "notes": []}
    names.remove("03")
    assert told["one lost"] == {"written": ["03"], "finished": names, "failed": [], "notes": []}


@pytest.mark.parametrize(
    ("job", "error", "code", "words"),
    [
        ("unknown option", "SettingsError", 2, "Option 'tiles' is unknown. Did you mean 'tile'?"),
        ("other options", "SettingsError", 2, "holds results of other options (min_area: 0, not 9)"),
        ("other model", "SettingsError", 2, "holds results of another model. Choose another folder"),
        ("no GPU", "SettingsError", 2, "no machine of the cluster has them (1 CPUs, 0 GPUs; 1 CPUs, 0 GPUs)"),
        ("model changed", "MachineError", 5, "model.safetensors: is not what it was where the job was started"),
        (
            "out unseen",
            "MachineError",
            5,
            "unseen: does not hold the prediction.json that the job has just written",
        ),
    ],
)
def test_errors_are_ours(told: dict[str, Any], job: str, error: str, code: int, words: str) -> None:
    assert (told[job]["error"], told[job]["code"]) == (error, code)
    assert words in told[job]["words"]


def test_a_worker_s_error_names_its_machine(told: dict[str, Any]) -> None:
    assert told["out unseen"]["words"].startswith(f"On {socket.gethostname()}: ")

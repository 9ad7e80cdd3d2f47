"""The whole way through the real client: a hub on loopback, the command line, the cache, no network, no cache."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import torch
from safetensors.torch import save

REPOSITORY, COMMIT = "smp-hub/resnet18.imagenet", "3f2325ff978283d47aa6a1d6878ca20565622683"
STATISTICS = {
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "input_range": [0, 1],
    "input_space": "RGB",
}
TRAIN = ["--model", "smp:Unet/resnet18", "--steps", "1", "--size", "32,32", "--batch", "2", "train.validations=1"]


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    """A hub that has one repository, at one commit."""
    torch.manual_seed(1)
    files = {
        "model.safetensors": save(smp.encoders.get_encoder("resnet18", weights=None).state_dict()),
        "config.json": json.dumps(STATISTICS).encode(),
    }

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            content = files.get(self.path.removeprefix(f"/{REPOSITORY}/resolve/{COMMIT}/"))
            self.send_response(404 if content is None else 200)
            if content is None:
                self.send_header("X-Error-Code", "EntryNotFound" if REPOSITORY in self.path else "RepoNotFound")
            self.send_header("ETag", f'"{hashlib.sha1(content or b"").hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content or b"")

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def intarsia(*arguments: object, home: Path, **variables: str) -> tuple[int, str]:
    """The command line in a process of its own, as the client reads variables once: (exit code, all it said)."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", **variables}
    done = subprocess.run(
        [sys.executable, "-m", "intarsia", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


FETCH = "from intarsia import hub; print(hub.fetch(*%r))"


def python(program: str, home: Path, **variables: str) -> tuple[int, str]:
    """A program that uses the client alone."""
    environment = os.environ | {"HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", **variables}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_downloaded_once_then_from_the_cache(hub: str, scenes: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    code, said = intarsia("train", scenes, "--out", tmp_path / "a", *TRAIN, home=home, HF_ENDPOINT=hub)
    assert code == 0, said
    assert "weights: smp-hub/resnet18.imagenet@3f2325ff; licence: BSD-3-Clause (torchvision)" in said
    file = FETCH % ((REPOSITORY, "model.safetensors", COMMIT),)
    code, said = python(file, home, HF_HUB_OFFLINE="1")
    assert code == 0, said
    assert len(Path(said.strip()).read_bytes()) > 40_000_000
    assert COMMIT in said
    code, said = python(file, tmp_path / "empty", HF_HUB_OFFLINE="1")
    assert code == 1
    assert (
        f"MachineError: {REPOSITORY}/model.safetensors: is not in the cache, and the hub cannot be reached." in said
    )


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (
            ("nobody/nothing", "config.json"),
            "nobody/nothing: there is no such repository on the hub, nor a folder here.",
        ),
        ((REPOSITORY, "pytorch_model.bin", COMMIT), f"{REPOSITORY}: has no file pytorch_model.bin."),
        (("not a name", "config.json"), "not a name: there is no such repository on the hub"),
    ],
)
def test_what_the_hub_does_not_have(wanted: tuple[str, ...], words: str, hub: str, tmp_path: Path) -> None:
    code, said = python(FETCH % (wanted,), tmp_path / "home", HF_ENDPOINT=hub)
    assert code == 1
    assert f"SettingsError: {words}" in said

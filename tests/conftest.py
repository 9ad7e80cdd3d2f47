"""What several test files use: drawn scenes on disk, and a writer of pairs."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from intarsia.data.pairs import Dataset, Pair
from intarsia.synthetic.scenes import write_scenes

# A shell's background jobs ignore it, and so would all programs that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No test, nor any program that it starts, writes into the cache folder of whoever runs it."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("INTARSIA_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight training and two validation pairs of 48x64, with their dataset.toml. Read it only."""
    return write_scenes(tmp_path_factory.mktemp("scenes"), {"train": 8, "val": 2}, size=(48, 64))


def write_pair(folder: Path, name: str, image: np.ndarray, mask: np.ndarray, split: str = "") -> Pair:
    """Writes images/SPLIT/NAME.png and masks/SPLIT/NAME.png below `folder`."""
    paths = [folder / kind / split / f"{name}.png" for kind in ("images", "masks")]
    for path, array in zip(paths, (image, mask), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(path)
    return Pair(name, *paths)


def touch(root: Path, *names: str) -> Path:
    """Empty files: nothing that only looks for pairs may open a picture."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def found(dataset: Dataset, base: Path) -> dict[str, list[tuple[str, str]]]:
    """{split: (image, mask) of each pair, as paths below `base`}."""

    def below(path: Path) -> str:
        return path.relative_to(base).as_posix()

    return {
        split: [(below(one.image), below(one.mask)) for one in pairs] for split, pairs in dataset.splits.items()
    }


@contextmanager
def unprivileged() -> Iterator[None]:
    """Permissions hold for root too."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


class HubCache:
    """The hub client's own cache, filled as the client would fill it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def publish(self, repository: str, files: dict[str, bytes], commit: str = "0123456789" * 4) -> str:
        """Puts files where the client looks for those of a repository; its newest commit is this one."""
        place = self.folder / f"models--{repository.replace('/', '--')}"
        (place / "refs").mkdir(parents=True, exist_ok=True)
        (place / "refs" / "main").write_text(commit)
        for name, content in files.items():
            (place / "snapshots" / commit).mkdir(parents=True, exist_ok=True)
            (place / "snapshots" / commit / name).write_bytes(content)
        return commit


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HubCache:
    """An empty cache of the hub's client, and of torch's."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return HubCache(tmp_path / "hub")


@pytest.fixture
def without_imagecodecs(monkeypatch: pytest.MonkeyPatch) -> None:
    """tifffile as it is where imagecodecs is not installed: imported anew, and without it."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "tifffile"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "imagecodecs", None)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system is not allowed here")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)

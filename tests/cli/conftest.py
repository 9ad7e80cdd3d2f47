import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from intarsia.cli import main
from intarsia.synthetic.scenes import write_scenes

SMALL = ["--model", "unet", "--size", "48,64", "--batch", "4", "model.width=8", "model.depth=2", "model.stem=1"]
Outcome = tuple[int, str, str]


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("cli") / "photos", {"train": 10, "val": 4, "test": 2}, (48, 64))


@pytest.fixture(scope="session")
def trained(photos: Path) -> Path:
    run = photos.parent / "run"
    with pytest.raises(SystemExit) as stopped:
        main(["train", str(photos), "--out", str(run), "--steps", "2", *SMALL])
    assert stopped.value.code == 0
    return run


@pytest.fixture
def own_photos(photos: Path, tmp_path: Path) -> Path:
    """A copy that the test may spoil."""
    return shutil.copytree(photos, tmp_path / "photos")


@pytest.fixture
def intarsia(capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Runs the command line: (exit code, stdout, stderr)."""

    def run(*arguments: object) -> Outcome:
        capfd.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return int(stopped.value.code or 0), out, err

    return run

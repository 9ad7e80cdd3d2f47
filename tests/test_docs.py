"""The documentation is run: README's commands, every Python block, every TOML block, the settings page."""

import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from unittest.mock import create_autospec

import pytest
import segmentation_models_pytorch as smp
from PIL import Image
from safetensors.torch import save

import intarsia
from intarsia import raydata
from intarsia.cli import main
from intarsia.data.check.findings import KINDS
from intarsia.data.datasetfile import DatasetFile
from intarsia.data.formats import FORMATS
from intarsia.losses import LOSSES
from intarsia.networks import NETWORKS
from intarsia.results.outputs import OUTPUTS
from intarsia.synthetic.scenes import write_scenes
from tests.conftest import HubCache
from tests.networks.checkpoints import transformers_checkpoint
from tests.small import saved_model

ROOT = Path(__file__).parent.parent
SHORT = {"10m": "3s"}  # the one liberty taken with the texts: budgets


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text()
    for long, short in SHORT.items():
        text = text.replace(f"--budget {long}", f"--budget {short}").replace(
            f'"budget": "{long}"', f'"budget": "{short}"'
        )
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the texts have it: photos and new-photos."""
    write_scenes(tmp_path / "photos", {"train": 10, "val": 3}, (48, 64))
    (tmp_path / "new-photos").mkdir()
    Image.new("RGB", (80, 60)).save(tmp_path / "new-photos" / "photo.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_ALBUMENTATIONS_UPDATE", "1")
    return tmp_path


def publish(hub_cache: HubCache, encoder: str) -> None:
    """Random weights, in the cache of the hub's client, where those of ImageNet would be."""
    where = smp.encoders.encoders[encoder]["pretrained_settings"]["imagenet"]
    described = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    tensors = smp.encoders.get_encoder(encoder, weights=None).state_dict()
    files = {"model.safetensors": save(tensors), "config.json": json.dumps(described).encode()}
    hub_cache.publish(where["repo_id"], files, where["revision"])


@pytest.mark.slow
def test_readme_commands(at_home, hub_cache, capsys):
    publish(hub_cache, "resnet34")
    commands = [line for block in blocks("README.md", "console") for line in block.splitlines()]
    assert len(commands) == 6
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "intarsia"
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code in (0, None), command
    assert (at_home / "results" / "masks" / "photo.png").is_file()
    assert (at_home / "results" / "overlays" / "photo.png").is_file()
    listed = set(re.findall(r"[a-z]+\.(?:png|safetensors|toml|jsonl|txt|pt)", (ROOT / "README.md").read_text()))
    assert {path.name for path in (at_home / "runs" / "first").iterdir()} <= listed | {"checkpoints"}


def test_readme_python(at_home):
    run_python(blocks("README.md", "python"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*:UserWarning:albumentations", "ignore::DeprecationWarning")
def test_quickstart(at_home):
    run_python(blocks("docs/quickstart.md", "python"))


def test_training(at_home):
    run_python(blocks("docs/training.md", "python"))


def test_answers():
    run_python(blocks("docs/answers.md", "python"))


def test_predict(at_home):
    intarsia.train("photos", "runs/first", {"train": {"steps": 2, "device": "cpu"}})
    for command in "".join(blocks("docs/predict.md", "console")).splitlines():
        with pytest.raises(SystemExit) as stopped:
            main(shlex.split(command)[1:])
        assert stopped.value.code in (0, None), command
    run_python(blocks("docs/predict.md", "python"))
    assert (at_home / "measured" / "areas.csv").is_file()


def test_clusters(at_home, monkeypatch):
    """On this machine alone; a real cluster: tests/faults/test_ray.py."""

    def here(model, inputs, out, options, *, save, workers, gpus):
        return intarsia.predict(model, inputs, out, options, save=save, device="cpu")

    (at_home / "runs" / "first").mkdir(parents=True)
    saved_model(at_home / "runs" / "first" / "model.safetensors")
    monkeypatch.setattr(raydata, "predict_on_ray", create_autospec(raydata.predict_on_ray, side_effect=here))
    run_python(blocks("docs/clusters.md", "python"))
    assert (at_home / "results" / "areas.csv").is_file()


def test_networks(at_home):
    run_python(blocks("docs/networks.md", "python"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning:albumentations", "ignore::DeprecationWarning")
def test_from_tutorial(at_home, hub_cache):
    publish(hub_cache, "resnet18")
    transformers_checkpoint(at_home / "mit-b0", "segformer")
    run_python(blocks("docs/from-tutorial.md", "python"))


def test_extend():
    registries = (FORMATS, LOSSES, NETWORKS, OUTPUTS)
    before = [dict(registry) for registry in registries]
    try:
        run_python(blocks("docs/extend.md", "python"))
        assert "drawn" in FORMATS
        assert "gentle" in LOSSES
        assert "pointwise" in NETWORKS
        assert "borders" in OUTPUTS
    finally:
        for registry, entries in zip(registries, before, strict=True):
            registry.clear()
            registry.update(entries)


@pytest.mark.parametrize("text", blocks("docs/data.md", "toml"))
def test_dataset_files(text):
    DatasetFile.model_validate(tomllib.loads(text))


def test_settings_page_is_fresh():
    page = subprocess.run(
        [sys.executable, ROOT / "tools" / "settings_page.py"], capture_output=True, text=True, check=True
    )
    assert (ROOT / "docs" / "settings.md").read_text() == page.stdout, "run `make docs`"


def test_tables_of_formats_and_findings_are_fresh():
    page = subprocess.run(
        [sys.executable, ROOT / "tools" / "data_tables.py"], capture_output=True, text=True, check=True
    )
    assert (ROOT / "docs" / "data.md").read_text() == page.stdout, "run `make docs`"
    assert all(f"| `{name}` |" in page.stdout for name in (*FORMATS, *KINDS))


def test_every_loss_is_explained():
    page = (ROOT / "docs" / "learning.md").read_text()
    assert re.findall(r"^\| `([a-z+]+)` \|", page, flags=re.MULTILINE) == list(LOSSES)


def test_links_lead_somewhere():
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def run_python(code: list[str]) -> None:
    """Runs the blocks of a page one after the other, in one namespace."""
    assert code
    namespace: dict[str, object] = {}
    for block in code:
        exec(compile(block, "<documentation>", "exec"), namespace)

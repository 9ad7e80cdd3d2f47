"""What helps with rare classes and with boundaries, the whole way: train, load, evaluate."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import intarsia
from intarsia.evaluation import evaluate
from intarsia.loading import load
from intarsia.training import train

SHORT = {"steps": 3, "size": (32, 32), "batch": 2, "validations": 1, "device": "cpu"}
SMALL = {"name": "unet", "width": 4, "depth": 3, "stem": 1, "up": "bilinear"}
CASES = {
    "ohem": {"loss": {"name": "ohem"}},
    "lovasz": {"loss": {"name": "lovasz", "resolution": "image"}},
    "ce+lovasz": {"loss": {"name": "ce+lovasz"}},
    "ce+boundary": {"loss": {"name": "ce+boundary"}},
    "label smoothing": {"loss": {"label_smoothing": 0.1}},
    "mosaic": {"augment": {"mosaic": 1.0}},
    "cutmix": {"augment": {"cutmix": 1.0}},
    "copy_paste": {"augment": {"copy_paste": 1.0, "rare_share": 0.5}},
    "rare_share": {"augment": {"rare_share": 1.0}},
    "auxiliary": {"model": {**SMALL, "auxiliary": True}},
}


def run(scenes: Path, folder: Path, **sections: dict[str, object]) -> Path:
    return train(scenes, folder, {"train": SHORT, "model": SMALL, **sections}).folder


@pytest.fixture(scope="module")
def plain(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    return load_file(run(scenes, tmp_path_factory.mktemp("plain") / "run") / "model.safetensors")


@pytest.mark.parametrize("name", CASES)
def test_each_trains_and_makes_a_difference(
    name: str, scenes: Path, tmp_path: Path, plain: dict[str, torch.Tensor]
) -> None:
    folder = run(scenes, tmp_path / "run", **CASES[name])
    losses = [record["loss"] for record in intarsia.runs.read_metrics(folder) if record["kind"] == "train"]
    assert losses
    assert all(0 < loss < 10 for loss in losses)
    weights = load_file(folder / "model.safetensors")
    assert not weights["network.head.weight"].equal(plain["network.head.weight"])
    assert evaluate(folder, scenes).images == 2
    told = "rare classes: vehicle, pedestrian\n" in (folder / "log.txt").read_text()
    assert told == (name in ("copy_paste", "rare_share"))


def test_auxiliary_heads_are_in_the_model_file_and_not_in_the_predictor(scenes: Path, tmp_path: Path) -> None:
    folder = run(scenes, tmp_path / "run", **CASES["auxiliary"])
    heads = [name for name in load_file(folder / "model.safetensors") if ".auxiliary." in name]
    assert sorted(heads) == [f"network.auxiliary.{k}.{kind}" for k in (0, 1) for kind in ("bias", "weight")]
    predictor = load(folder, "cpu")
    assert not [name for name in predictor.segmenter.state_dict() if ".auxiliary." in name]
    begun = run(scenes, tmp_path / "begun", model={"pretrained": str(folder)})
    assert "loaded 86 tensors, left in the file 4 (auxiliary." in (begun / "log.txt").read_text()

"""Fine-tuning and networks of one's own, through `train`, `load`, `evaluate` and a continued run."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import intarsia
from intarsia.errors import DataError, ModelFileError, SettingsError
from intarsia.evaluation import evaluate
from intarsia.loading import load
from intarsia.modelfile import load_model
from intarsia.training import train
from tests.networks.checkpoints import transformers_checkpoint

SHORT = {"steps": 2, "size": (32, 32), "batch": 2, "validations": 1}
SMALL = {"name": "unet", "width": 4, "depth": 2, "stem": 1, "up": "bilinear"}


def settings(steps: int = 2, model: dict[str, object] | None = None, **sections: object) -> dict[str, object]:
    return {"train": {**SHORT, "steps": steps}, "model": model or {}, **sections}


def log(folder: Path) -> str:
    return (folder / "log.txt").read_text()


def test_a_run_begins_with_the_weights_of_another(scenes: Path, tmp_path: Path) -> None:
    first = train(scenes, tmp_path / "first", settings(model=SMALL)).folder
    begin = {**SMALL, "pretrained": str(first)}
    run = train(scenes, tmp_path / "second", settings(model=begin, optim={"freeze": "always"})).folder
    before, after = (load_file(folder / "model.safetensors") for folder in (first, run))
    encoder = [name for name in before if name.startswith("network.encoder.")]
    assert all(before[name].equal(after[name]) for name in encoder)
    assert not before["network.head.weight"].equal(after["network.head.weight"])
    assert f"weights: {first / 'model.safetensors'} (unet); licence: your own" in log(run)
    assert "encoder frozen, learning rate 0.001, crops" in log(run)
    _, card = load_model(run)
    assert card.weights["source"] == f"{first / 'model.safetensors'} (unet)"


def test_a_fine_tuned_network_of_transformers_needs_its_folder_no_more(scenes: Path, tmp_path: Path) -> None:
    folder = transformers_checkpoint(tmp_path / "checkpoint", "segformer")
    model = {"name": f"hf:{folder}"}
    run = train(scenes, tmp_path / "run", settings(model=model)).folder
    assert "licence: cc-by-4.0" in log(run)
    assert "learning rate 0.0006 (0.1 of it in the encoder)" in log(run)
    moved = folder.rename(tmp_path / "elsewhere")
    assert evaluate(run, scenes).images == 2
    _, card = load_model(run)
    assert card.weights == {"source": str(folder), "licence": "cc-by-4.0"}
    moved.rename(folder)


def test_a_network_that_keeps_tensors_is_validated_and_trained_on(scenes: Path, tmp_path: Path) -> None:
    """BEiT keeps what it computed for a size, also in a validation, which is what comes first."""
    folder = transformers_checkpoint(tmp_path / "checkpoint", "beit")
    given = {**settings(2, {"name": f"hf:{folder}"}), "train": {**SHORT, "size": (48, 64)}}
    assert train(scenes, tmp_path / "run", given).steps == 2


def test_a_continued_run_keeps_its_weights_and_where_they_came_from(scenes: Path, tmp_path: Path) -> None:
    first = train(scenes, tmp_path / "first", settings(model=SMALL)).folder
    begin = {**SMALL, "pretrained": str(first)}
    given = settings(4, begin, optim={"freeze": 3})
    whole = train(scenes, tmp_path / "whole", given).folder

    class Stop(Exception):
        pass

    calls = 0

    def stopping(image: object, mask: object, generator: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 16 + 2 * 2 + 1:  # the contact sheet, and two steps
            raise Stop
        return transform(image, mask, generator)

    from intarsia.data.augment import Augment
    from intarsia.settings import AugmentSettings

    transform = Augment(AugmentSettings(), (32, 32), 255)
    saving = {**given, "train": {**SHORT, "steps": 4, "checkpoint_every": 1}}
    with pytest.raises(DataError, match="the transform failed: Stop"):
        train(scenes, tmp_path / "broken", saving, transform=stopping)
    shutil.rmtree(first)  # a continued run does not look for its weights again
    run = train(scenes, tmp_path / "broken", saving, resume=True, transform=transform).folder
    expected, got = (load_file(folder / "last.safetensors") for folder in (whole, run))
    assert all(tensor.equal(got[name]) for name, tensor in expected.items())
    assert load_model(run)[1].weights["source"] == f"{first / 'model.safetensors'} (unet)"


class Own(nn.Module):
    """A network as anybody has one; it may give its logits in three ways, at half of the size."""

    def __init__(self, answer: str = "tensor", classes: int = 4) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.head = nn.Conv2d(8, classes, 1)
        self.answer = answer

    def forward(self, x: Tensor) -> object:
        logits = self.head(self.encoder(x))
        return {"tensor": logits, "dict": {"out": logits}, "object": SimpleNamespace(logits=logits)}[self.answer]


@pytest.mark.parametrize("answer", ["tensor", "dict", "object"])
def test_a_network_of_ones_own(answer: str, scenes: Path, tmp_path: Path) -> None:
    run = train(scenes, tmp_path / "run", settings(), model=Own(answer)).folder
    predictor = load(run, network=Own(answer))
    assert predictor.card.model.name == "custom"
    mask = predictor.predict(intarsia.read_image(next((scenes / "images" / "val").iterdir()))).mask
    assert mask.shape == (48, 64)
    assert evaluate(predictor, scenes).images == 2
    with pytest.raises(
        ModelFileError, match=r"its network is your own module.*intarsia\.load\(path, network=module\)"
    ):
        load(run)
    with pytest.raises(ModelFileError, match=r"belong to another network: 2 of another shape \(network\.head"):
        load(run, network=Own(classes=7))


def test_a_network_of_ours_takes_none_of_ones_own(scenes: Path, tmp_path: Path) -> None:
    run = train(scenes, tmp_path / "run", settings(model=SMALL)).folder
    with pytest.raises(ModelFileError, match=r"its network is unet, not one of your own\. Leave network out"):
        load(run, network=Own())


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (
            Own(classes=7),
            r"Your network gives 7 logits for each pixel; the dataset has 4 classes: background, road",
        ),
        (
            nn.Conv2d(1, 4, 1),
            r"does not take a batch of 2 images of 32x32, 3 bands: .*channel",
        ),
        (nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten()), r"The network gave a tensor of shape"),
    ],
)
def test_a_network_that_does_not_fit_is_refused_before_the_first_step(
    network: nn.Module, words: str, scenes: Path, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match=words):
        train(scenes, tmp_path / "run", settings(), model=network)


def test_a_batch_of_one_that_pools_to_a_single_value_is_refused(scenes: Path, tmp_path: Path) -> None:
    given = settings(model={"name": "smp:DeepLabV3/resnet18", "pretrained": False})
    given["train"] = {**SHORT, "batch": 1}
    words = r"train\.batch = 1 with train\.size = \(32, 32\) leaves BatchNorm a single value\. Use a larger size"
    with pytest.raises(SettingsError, match=words):
        train(scenes, tmp_path / "run", given)


def test_an_auxiliary_head_enters_the_training_and_its_weight_counts(scenes: Path, tmp_path: Path) -> None:
    losses = {}
    for weight in (0.0, 4.0):
        model = {"name": "torchvision:deeplabv3_mobilenet_v3_large", "pretrained": False, "auxiliary": True}
        given = settings(1, model, loss={"auxiliary_weight": weight})
        folder = train(scenes, tmp_path / str(weight), given).folder
        losses[weight] = intarsia.runs.read_metrics(folder)[0]["loss"]
    assert losses[4.0] > 2 * losses[0.0]
    assert torch.isfinite(torch.tensor(list(losses.values()))).all()


def test_the_name_of_a_network_may_be_given_apart(scenes: Path, tmp_path: Path) -> None:
    given = settings(model={name: value for name, value in SMALL.items() if name != "name"})
    assert load(train(scenes, tmp_path / "run", given, model="unet").folder).card.model.name == "unet"
    with pytest.raises(SettingsError, match="Did you mean 'unet'"):
        train(scenes, tmp_path / "other", given, model="unit")


def test_a_run_to_begin_with_brings_its_network_and_shape(scenes: Path, tmp_path: Path) -> None:
    first = train(scenes, tmp_path / "first", settings(model=SMALL)).folder
    _, card = load_model(train(scenes, tmp_path / "second", settings(model={"pretrained": str(first)})).folder)
    assert (card.model.name, card.model.width, card.model.depth, card.model.stem) == ("unet", 4, 2, 1)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"model": {"width": 8}}, r"model\.width = 8: a module of your own has no such setting"),
        ({"model": {"pretrained": "x.safetensors"}}, r"model\.pretrained = x\.safetensors: a module of your own"),
        ({"optim": {"freeze": "always"}}, r"optim\.freeze, freeze_norm and layer_decay are for an encoder"),
    ],
)
def test_settings_that_a_module_of_ones_own_does_not_have(
    given: dict[str, dict[str, object]], words: str, scenes: Path, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match=words):
        train(scenes, tmp_path / "run", {"train": SHORT, **given}, model=nn.Conv2d(3, 4, 1))


def test_a_class_is_no_network(scenes: Path, tmp_path: Path) -> None:
    with pytest.raises(
        SettingsError, match=r"is neither the name of a network nor an nn\.Module\. Give an instance"
    ):
        train(scenes, tmp_path / "run", settings(), model=Own)


def test_a_run_from_a_folder_that_is_gone_is_continued(scenes: Path, tmp_path: Path) -> None:
    folder = transformers_checkpoint(tmp_path / "checkpoint", "segformer")
    given = settings(2, {"name": f"hf:{folder}"})
    train(scenes, tmp_path / "run", given)
    folder.rename(tmp_path / "elsewhere")
    longer = {**given, "train": {**SHORT, "steps": 2}}
    assert train(scenes, tmp_path / "run", longer, resume=True).steps == 2


def test_an_encoder_that_is_tied_to_a_size_is_refused_before_the_first_step(scenes: Path, tmp_path: Path) -> None:
    given = settings(model={"name": "smp:Unet/tu-maxvit_tiny_rw_224", "pretrained": False})
    given["train"] = {**SHORT, "size": (224, 224)}
    with pytest.raises(
        SettingsError, match=r"takes no batch of 2 images of 256x224.*Choose one that takes any size"
    ):
        train(scenes, tmp_path / "run", given)

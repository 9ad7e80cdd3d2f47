"""What every network must pass, wherever it comes from: one suite over all of them."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from intarsia.errors import SettingsError
from intarsia.modelfile import load_model, save_model
from intarsia.networks import find_network
from intarsia.settings import ModelSettings
from tests.networks.zoo import CLASSES, EVERY, LARGE, OWN, card_of, photos, segmenter_of, settings_of

EVERY_NETWORK = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in EVERY]
)


def test_there_are_enough_of_them() -> None:
    assert len(EVERY) - len(LARGE) >= 25


@EVERY_NETWORK
@pytest.mark.parametrize(
    "bands", [pytest.param(1, marks=pytest.mark.slow), 3, pytest.param(5, marks=pytest.mark.slow)]
)
def test_any_size_and_any_bands_forward_and_backward(name: str, bands: int, checkpoints: Path) -> None:
    card = card_of(settings_of(name, checkpoints), bands)
    segmenter = segmenter_of(card)
    for size in [(1, 1), (1, 50), (17, 33), (100, 37)] if name in OWN else [(1, 1), (17, 70)]:
        image, target = photos(2, bands, *size), torch.zeros(2, *size, dtype=torch.int64)
        heads = segmenter.train().heads(image, target)
        assert all(logits.shape == (2, CLASSES, *size) for logits, _ in heads)
        sum(logits.square().mean() for logits, _ in heads).backward()
        gradients = [parameter.grad for parameter in segmenter.parameters() if parameter.grad is not None]
        assert all(gradient.isfinite().all() for gradient in gradients)
        assert len(gradients) > 0.5 * len(list(segmenter.parameters()))
        if bands == 3:
            for logits, belonging in segmenter.heads(image, target, coarse=True):
                assert logits.shape[-2:] == belonging.shape[-2:]
        with torch.no_grad():
            logits = segmenter.eval()(image)
        assert logits.shape == (2, CLASSES, *size)
        assert logits.isfinite().all()


@EVERY_NETWORK
def test_saved_and_loaded_it_gives_the_same_logits_and_twice_the_same(
    name: str, checkpoints: Path, tmp_path: Path
) -> None:
    card = card_of(settings_of(name, checkpoints), 3)
    segmenter = segmenter_of(card)
    segmenter.train()(photos(4, 3, 40, 40))
    save_model(segmenter.eval(), card, tmp_path / "model.safetensors")
    loaded, loaded_card = load_model(tmp_path / "model.safetensors")
    assert loaded_card == card
    with torch.no_grad():
        logits = segmenter(photos(2, 3, 21, 40))
        assert loaded(photos(2, 3, 21, 40)).equal(logits)
        segmenter(photos(1, 3, 8, 70))
        assert segmenter(photos(2, 3, 21, 40)).equal(logits)
        assert torch.allclose(segmenter(photos(2, 3, 21, 40)[:1]), logits[:1], atol=1e-4)


@EVERY_NETWORK
def test_a_few_steps_on_eight_pictures_lower_the_loss(name: str, checkpoints: Path) -> None:
    """By a fifth at least, within 40 steps: the tiny transformers begin with logits that are all but equal."""
    segmenter = segmenter_of(card_of(settings_of(name, checkpoints), 3)).train()
    side = 64 if name.startswith("hf:") else 32
    target = torch.arange(CLASSES).view(1, CLASSES, 1).expand(8, CLASSES, side).repeat_interleave(side // 4, dim=1)
    image = (60 * target.unsqueeze(1) + photos(8, 3, side, side) // 5).to(torch.uint8)
    optimizer = torch.optim.Adam(segmenter.parameters(), lr=0.02 if name in OWN else 0.01)
    losses: list[float] = []
    while len(losses) < 40 and (not losses or losses[-1] > 0.8 * losses[0]):
        optimizer.zero_grad()
        loss = F.cross_entropy(segmenter(image), target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] <= 0.8 * losses[0]


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("stem", [2, 4])
def test_our_own_work_at_a_fraction_of_the_size(name: str, stem: int, tmp_path: Path) -> None:
    card = card_of(settings_of(name, tmp_path, stem), 3)
    segmenter = segmenter_of(card).eval()
    assert segmenter(photos(1, 3, 17, 33)).shape == (1, CLASSES, 17, 33)
    save_model(segmenter, card, tmp_path / "model.safetensors")
    assert load_model(tmp_path / "model.safetensors")[0].stem == stem


@pytest.mark.parametrize("classes", [1, 2, 300])
@pytest.mark.parametrize(
    "name", ["compact", "smp:FPN/resnet18", "torchvision:lraspp_mobilenet_v3_large", "hf:eomt"]
)
def test_one_class_and_three_hundred(name: str, classes: int, checkpoints: Path, tmp_path: Path) -> None:
    card = card_of(settings_of(name, checkpoints), 3, classes)
    segmenter = segmenter_of(card).eval()
    save_model(segmenter, card, tmp_path / "model.safetensors")
    assert load_model(tmp_path / "model.safetensors")[0](photos(1, 3, 20, 20)).shape == (1, classes, 20, 20)


@pytest.mark.parametrize("bands", [4, 12])
@pytest.mark.parametrize(
    "name", ["smp:Unet/resnet18", "torchvision:fcn_resnet50", "hf:segformer", "hf:upernet-swin"]
)
def test_four_and_twelve_bands(name: str, bands: int, checkpoints: Path) -> None:
    segmenter = segmenter_of(card_of(settings_of(name, checkpoints), bands)).eval()
    assert segmenter(photos(1, bands, 33, 20)).shape == (1, CLASSES, 33, 20)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("unett", r"Network 'unett' is unknown\. Did you mean 'unet'\?"),
        ("smp", r"Network 'smp': say which one, for example smp:Unet/resnet34\."),
        ("hf:", r"say which one, for example hf:nvidia/segformer-b0-finetuned-ade-512-512"),
        ("unet:deep", r"Network 'unet:deep' is unknown\. Did you mean 'unet'\?"),
        ("timm:resnet18", r"Network 'timm:resnet18' is unknown"),
        ("custom", r"Give it in Python: intarsia\.train\(data, model=module\)"),
        ("smp:Unett/resnet18", r"there is no architecture 'Unett'\. Did you mean 'Unet'\?"),
        ("smp:Unet", r"say on which encoder, for example smp:Unet/resnet34\."),
        ("smp:Unet/resnet43", r"there is no encoder 'resnet43' for it\. Did you mean 'resnet34'\?"),
        ("smp:Unet/resnet18.a9_in1k", r"timm has no weights 'resnet18\.a9_in1k'\. Did you mean 'a\d_in1k'\?"),
        ("torchvision:deeplab_resnet50", r"Did you mean 'deeplabv3_resnet50'\?"),
        ("hf:no-such-folder", r"is neither a folder here nor the id of a repository"),
    ],
)
def test_a_misspelt_network_is_answered_with_the_nearest(name: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        find_network(name).config(ModelSettings(name=name))


@pytest.mark.parametrize("name", ["smp:Unet/tu-vit_tiny_patch16_224", "smp:DeepLabV3/vgg11", "smp:PAN/densenet121"])
def test_what_smp_cannot_build_is_said_with_what_works(name: str) -> None:
    with pytest.raises(
        SettingsError, match=r"segmentation_models_pytorch cannot build it: .*Known to work is smp:"
    ):
        segmenter_of(card_of(ModelSettings(name=name), 3))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"name": "smp:Unet/resnet18", "width": 8}, r"model\.width = 8: .* it belongs to compact, unet\."),
        ({"name": "compact", "auxiliary": True}, r"model\.auxiliary = True: compact has no such setting"),
        (
            {"name": "unet", "depth": 1, "width": 4, "up": "bilinear", "auxiliary": True},
            r"Use a depth of 2 or more",
        ),
        ({"name": "compact", "depth": 3}, r"model\.depth = 3: compact has no such setting; it belongs to unet\."),
        ({"name": "torchvision:fcn_resnet50", "revision": "abc"}, r"it belongs to hf\."),
        ({"name": "torchvision:lraspp_mobilenet_v3_large", "auxiliary": True}, r"has no auxiliary head"),
    ],
)
def test_a_setting_of_another_network_is_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        segmenter_of(card_of(ModelSettings(**settings), 3))

"""Our logits equal the source library's own: same weights, same preprocessing, the library's own forward pass."""

from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
import torchvision.models.segmentation as torchvision_models
import transformers
from torch import Tensor
from torchvision.transforms.functional import normalize

from intarsia.finetuning import begin_with
from intarsia.networks.heads import drop_auxiliary
from intarsia.networks.segmenter import Segmenter, normalise
from intarsia.networks.smp import _any_size
from intarsia.settings import ModelSettings
from tests.networks.checkpoints import CLASSES as STORED
from tests.networks.checkpoints import transformers_checkpoint
from tests.networks.zoo import HF, SMP, TORCHVISION, card_of, photos, segmenter_of, settings_of

MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]
UNIVERSAL = ("mask2former", "maskformer", "eomt", "eomt_dinov3")


def library_input(image: Tensor) -> Tensor:
    """As the tutorials prepare it: to [0, 1], then torchvision's normalize."""
    return normalize(image.float() / 255, MEAN, STD)


def with_statistics(name: str, folder: Path) -> tuple[Segmenter, Tensor]:
    """Our segmenter with fresh weights and the statistics above, and its logits."""
    segmenter = segmenter_of(card_of(settings_of(name, folder), 3)).eval()
    for buffer, values in ((segmenter.mean, MEAN), (segmenter.std, STD)):
        buffer.copy_(255 * torch.tensor(values).view_as(buffer))
    with torch.no_grad():
        return segmenter, segmenter(photos(1, 3, 128, 128))


def test_our_preprocessing_is_the_tutorials() -> None:
    """But for rounding: which the networks below must not be given the blame for, so they all get ours."""
    image = photos(2, 3, 64, 64)
    mean, std = ([255 * value for value in values] for values in (MEAN, STD))
    ours = normalise(image, torch.tensor(mean).view(1, 3, 1, 1), torch.tensor(std).view(1, 3, 1, 1))
    torch.testing.assert_close(ours, library_input(image), rtol=0, atol=1e-6)


def our_input(segmenter: Segmenter, image: Tensor) -> Tensor:
    return normalise(image, segmenter.mean, segmenter.std)


@pytest.mark.parametrize("name", SMP)
def test_smp(name: str, tmp_path: Path) -> None:
    segmenter, logits = with_statistics(name, tmp_path)
    architecture, encoder = name.removeprefix("smp:").split("/")
    more = _any_size(encoder)
    library = smp.create_model(architecture, encoder, encoder_weights=None, classes=4, **more).eval()
    library.load_state_dict(segmenter.network.state_dict())
    with torch.no_grad():
        expected = library(our_input(segmenter, photos(1, 3, 128, 128)))
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision(name: str, tmp_path: Path) -> None:
    segmenter, logits = with_statistics(name, tmp_path)
    make = getattr(torchvision_models, name.removeprefix("torchvision:"))
    library = make(weights=None, weights_backbone=None, num_classes=4).eval()
    library.load_state_dict(segmenter.network.state_dict())
    with torch.no_grad():
        expected = library(our_input(segmenter, photos(1, 3, 128, 128)))["out"]
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", HF)
def test_transformers(name: str, tmp_path: Path) -> None:
    """The weights go the whole way: from the folder, through our own loading, with its own preprocessing."""
    family = name.removeprefix("hf:")
    in_bgr = family.startswith("mobilevit")
    said = {"do_normalize": False, "do_flip_channel_order": True} if in_bgr else {}
    folder = transformers_checkpoint(tmp_path / "checkpoint", family, **said)
    card = card_of(ModelSettings(name=f"hf:{folder}", pretrained=True), 3, STORED)
    segmenter = segmenter_of(card, seed=9)
    begin_with(segmenter, card)
    image = photos(2, 3, 64, 64)  # the size that the vision transformers were made for
    with torch.no_grad():
        logits = segmenter.eval()(image)
    kind = "AutoModelForUniversalSegmentation" if family in UNIVERSAL else "AutoModelForSemanticSegmentation"
    library = getattr(transformers, kind).from_pretrained(folder).eval()
    pixels = image.flip(1).float() / 255 if in_bgr else library_input(image)
    ours = our_input(segmenter, image)
    torch.testing.assert_close(ours.flip(1) if in_bgr else ours, pixels, rtol=0, atol=1e-6)
    with torch.no_grad():
        output = library(ours.flip(1) if in_bgr else ours)
    if family in UNIVERSAL:  # as the library's post_process_semantic_segmentation, at the masks' own resolution
        classes = output.class_queries_logits.softmax(-1)[..., :-1]
        scores = torch.einsum("bqc,bqhw->bchw", classes, output.masks_queries_logits.sigmoid())
        assert torch.equal(F.interpolate(scores.log(), size=(64, 64), mode="bilinear").argmax(1), logits.argmax(1))
        expected = F.interpolate(scores.log(), size=(64, 64), mode="bilinear")
    else:
        expected = F.interpolate(output.logits, size=(64, 64), mode="bilinear", align_corners=False)
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)


def test_logits_of_segformer_may_meet_the_target_at_their_own_resolution(tmp_path: Path) -> None:
    segmenter = segmenter_of(card_of(settings_of("hf:segformer", tmp_path), 3)).eval()
    image, target = photos(2, 3, 61, 93), torch.randint(4, (2, 61, 93))
    ((logits, middles),) = segmenter.heads(image, target, coarse=True)
    assert logits.shape == (2, 4, 16, 24)
    rows, columns = (torch.arange(2, 4 * number, 4).clamp(max=side - 1) for number, side in ((16, 61), (24, 93)))
    assert middles.equal(target[:, rows[:, None], columns])
    ((whole, unchanged),) = segmenter.heads(image, target)
    assert whole.shape == (2, 4, 61, 93)
    assert unchanged.equal(target)


@pytest.mark.parametrize("name", ["torchvision:deeplabv3_mobilenet_v3_large", "smp:Unet/resnet18"])
def test_an_auxiliary_head_is_there_in_training_and_gone_in_predict(name: str, tmp_path: Path) -> None:
    segmenter = segmenter_of(card_of(settings_of(name, tmp_path, auxiliary=True), 3))
    image, target = photos(2, 3, 40, 40), torch.randint(4, (2, 40, 40))
    main, auxiliary = segmenter.train().heads(image, target)
    assert main[0].shape == (2, 4, 40, 40)
    assert auxiliary[0].shape == ((2, 4) if name.startswith("smp") else (2, 4, 40, 40))
    logits = segmenter.eval()(image)
    drop_auxiliary(segmenter.network)
    assert len(segmenter.heads(image, target)) == 1
    assert segmenter(image).equal(logits)

"""What every entry of NETWORKS must pass."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from intarsia.errors import SettingsError
from intarsia.labels import Labels
from intarsia.modelfile import ModelCard, build_segmenter, load_model, save_model
from intarsia.networks import NETWORKS, find_network
from intarsia.networks.segmenter import Segmenter
from intarsia.settings import DataSettings, ModelSettings

EVERY_NETWORK = pytest.mark.parametrize("name", NETWORKS)
CLASSES = 4


def card_of(name: str, bands: int, stem: int = 1) -> ModelCard:
    settings = ModelSettings(name=name, width=4, depth=2, stem=stem, up="bilinear")
    return ModelCard(settings, Labels.of_values(range(CLASSES)), bands, DataSettings())


def segmenter_of(card: ModelCard) -> Segmenter:
    torch.manual_seed(0)
    return build_segmenter(card, (120.0,) * card.bands, (60.0,) * card.bands)


def photos(number: int, bands: int, height: int, width: int) -> Tensor:
    random = torch.Generator().manual_seed(3)
    return torch.randint(256, (number, bands, height, width), dtype=torch.uint8, generator=random)


@EVERY_NETWORK
@pytest.mark.parametrize("bands", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("size", [(1, 1), (1, 50), (17, 33), (100, 37)], ids=str)
def test_any_size_and_any_bands_forward_and_backward(name: str, bands: int, size: tuple[int, int]) -> None:
    segmenter = segmenter_of(card_of(name, bands)).train()
    logits = segmenter(photos(2, bands, *size))
    assert logits.shape == (2, CLASSES, *size)
    assert logits.isfinite().all()
    logits.square().mean().backward()
    assert all(parameter.grad.isfinite().all() for parameter in segmenter.parameters())


@EVERY_NETWORK
@pytest.mark.parametrize("stem", [2, 4])
def test_it_works_at_a_fraction_of_the_size(name: str, stem: int) -> None:
    segmenter = segmenter_of(card_of(name, 3, stem)).eval()
    assert segmenter(photos(1, 3, 17, 33)).shape == (1, CLASSES, 17, 33)


@EVERY_NETWORK
@pytest.mark.parametrize("stem", [1, 4])
def test_saved_and_loaded_it_gives_the_same_logits(name: str, stem: int, tmp_path: Path) -> None:
    card = card_of(name, 3, stem)
    segmenter = segmenter_of(card)
    segmenter.train()(photos(4, 3, 32, 32))
    save_model(segmenter.eval(), card, tmp_path / "model.safetensors")
    loaded, loaded_card = load_model(tmp_path / "model.safetensors")
    assert loaded_card == card
    with torch.inference_mode():
        assert loaded(photos(1, 3, 21, 40)).equal(segmenter(photos(1, 3, 21, 40)))


@EVERY_NETWORK
def test_in_eval_mode_the_same_image_gives_the_same_logits(name: str) -> None:
    segmenter = segmenter_of(card_of(name, 3)).eval()
    alone = segmenter(photos(3, 3, 20, 20)[:1])
    segmenter(photos(2, 3, 8, 8))
    assert segmenter(photos(3, 3, 20, 20)[:1]).equal(alone)
    assert torch.allclose(segmenter(photos(3, 3, 20, 20))[:1], alone, atol=1e-5)


@EVERY_NETWORK
def test_a_few_steps_on_four_pictures_lower_the_loss(name: str) -> None:
    segmenter = segmenter_of(card_of(name, 3)).train()
    target = torch.arange(CLASSES).view(1, CLASSES, 1).expand(4, CLASSES, 16).repeat_interleave(4, dim=1)
    image = (60 * target.unsqueeze(1) + photos(4, 3, 16, 16) // 5).to(torch.uint8)
    optimizer = torch.optim.Adam(segmenter.parameters(), lr=0.02)
    losses = []
    for _ in range(25):
        optimizer.zero_grad()
        loss = F.cross_entropy(segmenter(image), target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@EVERY_NETWORK
def test_the_stride_is_that_of_the_settings(name: str) -> None:
    card = card_of(name, 3)
    assert segmenter_of(card).stride == find_network(name).stride(card.model)


def test_a_misspelt_network_offers_the_nearest() -> None:
    with pytest.raises(SettingsError, match=r"Network 'unett' is unknown\. Did you mean 'unet'\?"):
        find_network("unett")

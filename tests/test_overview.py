"""What `intarsia models` tells is measured, not remembered."""

import json

import pytest
import torch

from intarsia.errors import SettingsError
from intarsia.networks.unet import UNet
from intarsia.overview import model, models
from tests.networks.zoo import OWN


def test_a_selection_holds_every_kind() -> None:
    names = [one.name for one in models()]
    assert set(OWN) <= set(names)
    assert len([name for name in names if name.startswith("smp:")]) == 12
    assert len([name for name in names if name.startswith("torchvision:")]) == 6
    assert [name for name in names if name.startswith("hf:nvidia/")]


def test_parameters_and_operations_by_hand() -> None:
    """A U-Net that works at a quarter of 512x512: 2 * kernel * inputs * outputs * pixels for each convolution."""
    told = model("unet", (512, 512), bands=3, classes=21)
    network = UNet(48, 21, width=32, depth=4, up="transposed")
    assert told.parameters == sum(parameter.numel() for parameter in network.parameters())
    operations = 0
    pixels = 128 * 128
    inputs = 48
    for stage in range(5):
        width, here = 32 * 2**stage, pixels // 4**stage
        operations += 2 * 9 * here * width * (inputs + width)
        if stage < 4:  # the decoder's step back to this stage
            operations += 2 * 4 * (here // 4) * 2 * width * width + 2 * 9 * here * width * 3 * width
        inputs = width
    operations += 2 * pixels * 32 * 21
    assert told.gflops == pytest.approx(operations / 1e9)
    assert told.stride == 64


def test_a_network_of_a_library_with_its_weights() -> None:
    told = model("smp:Unet/mit_b0")
    assert told.weights == "smp-hub/mit_b0.imagenet"
    assert "non-commercial" in told.licence
    assert 0 < told.encoder_parameters < told.parameters


def test_a_word_finds_encoders_and_only_the_first_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("intarsia.overview.MOST", MOST := 5)
    found = models("mobilenet", (64, 64))
    assert len(found) > 30
    assert all("mobilenet" in one.name.lower() for one in found)
    assert [one.parameters is not None or one.trouble is not None for one in found] == [True] * MOST + [False] * (
        len(found) - MOST
    )
    assert "smp:FPN/tu-mobilenetv3_small_050" in [
        one.name for one in models("FPN/tu-mobilenetv3_small_050", (64, 64))
    ]


def test_a_config_that_is_not_here_leaves_the_numbers_open(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    found = models("hf:nvidia/m")
    assert found
    assert all(one.parameters is None and "is not in the cache" in one.trouble for one in found)


def test_nothing_of_this_name() -> None:
    with pytest.raises(SettingsError, match="No network's name contains 'efficientunet'"):
        models("efficientunet")


def test_nothing_is_computed_and_nothing_allocated() -> None:
    """A network of 95 million parameters is measured on shapes alone."""
    before = torch.get_rng_state()
    told = model("smp:Unet/resnext101_32x8d")
    assert told.parameters > 90_000_000
    assert torch.get_rng_state().equal(before)
    json.dumps(told.gflops)

"""Weights from elsewhere: what fits is taken, the rest is told, and what belongs to another network is refused."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from intarsia.errors import ModelFileError
from intarsia.networks.contract import Blueprint, Pretrained
from intarsia.networks.transfer import Transfer, adapt_bands, read_tensors
from intarsia.networks.transfer import transfer as take
from intarsia.networks.unet import UNet
from intarsia.settings import ModelSettings


def unet(bands: int = 3, classes: int = 4, width: int = 4, seed: int = 0) -> UNet:
    torch.manual_seed(seed)
    return UNet(bands, classes, width=width, depth=2)


def transfer(
    network: nn.Module, tensors: Mapping[str, Tensor], bands: int = 3, stem: int = 1, **more: Any
) -> Transfer:
    prefixes = more.pop("prefixes", ())
    blueprint = Blueprint(ModelSettings(name="unet", stem=stem), bands, classes=4)
    return take(network, Pretrained(tensors, "there", "CC0", **more), blueprint, prefixes)


def written(path: Path, network: nn.Module) -> Path:
    save_file(network.state_dict(), path)
    return path


def equal(network: nn.Module, tensors: dict[str, Tensor], names: tuple[str, ...]) -> bool:
    return all(network.state_dict()[name].equal(tensors[name]) for name in names)


def test_all_is_loaded_where_all_fits() -> None:
    donor, network = unet(seed=1).state_dict(), unet(seed=2)
    done = transfer(network, donor)
    assert set(done.loaded) == set(donor)
    assert (done.adapted, done.replaced, done.fresh, done.left) == ((), (), (), ())
    assert equal(network, donor, done.loaded)


def test_the_head_is_replaced_for_other_classes_and_the_first_convolution_adapted() -> None:
    donor, network = unet(classes=9, seed=1).state_dict(), unet(bands=5, seed=2)
    fresh = network.head.weight.clone()
    done = transfer(network, donor, bands=5)
    assert done.replaced == ("head.weight", "head.bias")
    assert done.adapted == ("encoder.0.0.weight",)
    assert network.head.weight.equal(fresh)
    assert network.encoder[0][0].weight.equal(adapt_bands(donor["encoder.0.0.weight"], 5))
    assert "replaced for the classes 2 (head)" in str(done)
    assert "adapted to the bands 1 (encoder.0.0)" in str(done)


@pytest.mark.parametrize("bands", [1, 2, 4, 12])
def test_a_first_convolution_answers_a_grey_picture_as_before(bands: int) -> None:
    kernel, grey = torch.randn(8, 3, 3, 3), torch.randn(2, 1, 9, 9)
    before = nn.functional.conv2d(grey.expand(-1, 3, -1, -1), kernel)
    adapted = adapt_bands(kernel, bands)
    assert adapted.shape == (8, bands, 3, 3)
    if bands in (1, 12):  # the old bands the same number of times each
        torch.testing.assert_close(nn.functional.conv2d(grey.expand(-1, bands, -1, -1), adapted), before)


def test_weights_for_bgr_see_the_same_in_rgb() -> None:
    donor, image = unet(), torch.randn(1, 3, 8, 8)
    network = unet(seed=3)
    transfer(network, dict(sorted(donor.state_dict().items(), reverse=True)), in_bgr=True)  # files keep no order
    torch.testing.assert_close(network.eval()(image), donor.eval()(image.flip(1)))


def test_behind_a_stem_every_place_of_a_square_keeps_its_weights() -> None:
    """A network for one band that began with one for three sees of a grey picture what that one saw."""
    donor, network, grey = unet(bands=12), unet(bands=4, seed=2), torch.randn(1, 1, 16, 16)
    transfer(network, donor.state_dict(), bands=4, stem=2)
    before = donor.eval()(nn.functional.pixel_unshuffle(grey.expand(-1, 3, -1, -1), 2))
    torch.testing.assert_close(network.eval()(nn.functional.pixel_unshuffle(grey, 2)), before)


@pytest.mark.parametrize("wrapper", ["module.", "model.", "network.", "_orig_mod."])
def test_names_inside_a_wrapper_are_found(wrapper: str) -> None:
    donor, network = unet(seed=1).state_dict(), unet(seed=2)
    done = transfer(network, {wrapper + name: tensor for name, tensor in donor.items()})
    assert set(done.loaded) == set(donor)


def test_weights_of_the_encoder_alone_are_enough() -> None:
    donor, network = unet(seed=1), unet(seed=2)
    done = transfer(network, donor.encoder.state_dict(), prefixes=("encoder.",))
    assert {name.partition(".")[0] for name in done.loaded} == {"encoder"}
    assert {name.partition(".")[0] for name in done.fresh} == {"decoder", "head"}


def test_what_is_of_no_use_is_left() -> None:
    donor = unet(seed=1).state_dict() | {"classifier.weight": torch.ones(3, 3)}
    assert transfer(unet(), donor).left == ("classifier.weight",)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda t: {"fc.weight": torch.ones(2, 2)}, r"52 missing \(.* and 42 more\); 1 unexpected \(fc\.weight\)"),
        (lambda t: {n: v for n, v in t.items() if "encoder.1" not in n}, r"12 missing|10 missing"),
        (
            lambda t: t | {"encoder.1.0.weight": torch.ones(5, 4, 3, 3)},
            r"1 of another shape \(encoder\.1\.0\.weight",
        ),
        (lambda t: unet(width=8).state_dict(), r"\d+ of another shape"),
        (lambda t: {"decode_head.x": torch.ones(2, 2)}, r"They look like those of hf:FOLDER"),
        (lambda t: {"segmentation_head.aspp.x": torch.ones(2, 2)}, r"They look like those of hf:FOLDER"),
        (lambda t: {"segmentation_head.0.weight": torch.ones(2, 2)}, r"They look like those of smp:ARCH"),
        (lambda t: {}, r"missing"),
    ],
)
def test_weights_of_another_network_are_refused_and_nothing_is_taken(spoil, words: str) -> None:
    network = unet(seed=2)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(ModelFileError, match=rf"^there: the weights belong to another network: .*{words}"):
        transfer(network, spoil(unet(seed=1).state_dict()))
    assert equal(network, before, tuple(before))


def test_at_most_ten_names_are_told() -> None:
    with pytest.raises(ModelFileError) as refused:
        transfer(unet(), {f"fc{number}.weight": torch.ones(2, 2) for number in range(30)})
    assert "and 20 more" in str(refused.value)


def nan_in(path: Path) -> None:
    network = unet()
    with torch.no_grad():
        network.head.bias[1] = float("nan")
    written(path, network)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.write_bytes(b""), r"is truncated or no safetensors file"),
        (
            lambda path: path.write_bytes(written(path, unet()).read_bytes()[:-40]),
            r"is truncated or no safetensors",
        ),
        (lambda path: path.write_bytes(b"{}"), r"is truncated or no safetensors file"),
        (lambda path: torch.save(unet().state_dict(), path), r"is a pickle .* convert it: python -c"),
        (lambda path: torch.save(unet().state_dict(), path, _use_new_zipfile_serialization=False), r"is a pickle"),
        (nan_in, r"1 of \d+ tensors hold values that are no numbers \(NaN, inf\): head\.bias"),
        (lambda path: path.mkdir(), r"cannot be read: Is a directory"),
    ],
)
def test_a_file_that_holds_no_sound_weights_is_refused(spoil, words: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    spoil(path)
    with pytest.raises(ModelFileError, match=words):
        read_tensors(path)


def test_the_advice_for_a_pickle_works(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(unet().state_dict(), path)
    with pytest.raises(ModelFileError) as refused:
        read_tensors(path)
    command = str(refused.value).partition("convert it: ")[2]
    assert os.system(f"cd {tmp_path} && {command.replace('python', os.sys.executable, 1)}") == 0
    assert read_tensors(tmp_path / "weights.safetensors").keys() == unet().state_dict().keys()

"""The U-Net: pinned sizes, shapes, and that every parameter learns."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from intarsia.loading import load
from intarsia.modelfile import save_model
from intarsia.networks.contract import Blueprint
from intarsia.networks.unet import UNet
from intarsia.settings import ModelSettings
from tests.networks.zoo import card_of, photos, segmenter_of, settings_of


@pytest.mark.parametrize(
    ("bands", "classes", "up", "parameters"), [(3, 4, "bilinear", 31_385_028), (3, 21, "transposed", 31_038_933)]
)
def test_number_of_parameters(bands: int, classes: int, up: str, parameters: int) -> None:
    with torch.device("meta"):
        network = UNet(bands, classes, width=64, depth=4, up=up)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


@pytest.mark.parametrize("up", ["bilinear", "transposed"])
def test_only_what_has_no_norm_behind_it_has_a_bias(up: str) -> None:
    network = UNet(3, 4, width=4, depth=3, up=up)
    biased = {name for name, module in network.named_modules() if getattr(module, "bias", None) is not None}
    norms = {name for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)}
    doublings = {name for name, module in network.named_modules() if isinstance(module, nn.ConvTranspose2d)}
    assert biased == norms | doublings | {"head"}
    assert len(norms) == 2 * (4 + 3)
    assert len(doublings) == (3 if up == "transposed" else 0)


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("up", ["bilinear", "transposed"])
@pytest.mark.parametrize("norm", ["batch", "group"])
def test_logits_have_the_inputs_size_and_every_parameter_a_gradient(bands: int, up: str, norm: str) -> None:
    network = UNet(bands, 6, width=4, depth=2, up=up, norm=norm, dropout=0.1)
    logits = network(torch.randn(2, bands, 16, 24))
    assert logits.shape == (2, 6, 16, 24)
    logits.square().mean().backward()
    assert [name for name, p in network.named_parameters() if not p.grad.count_nonzero()] == []


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_every_skip_reaches_the_logits(stage: int) -> None:
    """With everything from below a stage cut off, the logits still follow the image."""
    network = UNet(3, 2, width=4, depth=3).eval()
    network.decoder[2 - stage].up.forward = lambda x: torch.zeros(1, x.shape[1], 2 * x.shape[2], 2 * x.shape[3])
    one, other = (network(torch.randn(1, 3, 16, 16)) for _ in range(2))
    assert not torch.allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_the_stride_is_the_smallest_size_that_works(depth: int) -> None:
    network = UNet(3, 2, width=1, depth=depth).eval()
    stride = UNet.stride_of(network)
    assert stride == 2**depth
    assert network(torch.randn(1, 3, stride, 2 * stride)).shape == (1, 2, stride, 2 * stride)
    with pytest.raises(RuntimeError, match="Sizes of tensors must match"):
        network(torch.randn(1, 3, stride + 1, stride))


@pytest.mark.parametrize(("width", "groups"), [(4, [1, 1, 2]), (12, [1, 3, 6]), (16, [2, 4, 8])])
def test_group_norm_has_groups_of_eight_channels_where_they_fit(width: int, groups: list[int]) -> None:
    network = UNet(3, 2, width=width, depth=2, norm="group")
    norms = [block[1] for block in network.encoder]
    assert [norm.num_groups for norm in norms] == groups
    assert not [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def test_group_norm_makes_a_picture_independent_of_its_batch() -> None:
    network = UNet(3, 2, width=8, depth=2, norm="group").train()
    batch = torch.randn(3, 3, 8, 8)
    assert torch.allclose(network(batch)[:1], network(batch[:1]), atol=1e-5)


def test_dropout_is_for_training_alone() -> None:
    network = UNet(3, 2, width=8, depth=2, norm="group", dropout=0.5)
    image = torch.randn(1, 3, 8, 8)
    assert not network(image).equal(network(image))
    assert network.eval()(image).equal(network(image))


def test_settings_reach_the_network() -> None:
    settings = ModelSettings(width=6, depth=3, up="transposed", norm="group", dropout=0.25, auxiliary=True)
    built = UNet.from_blueprint(Blueprint(settings, bands=5, classes=7))
    by_hand = UNet(5, 7, width=6, depth=3, up="transposed", norm="group", dropout=0.25, auxiliary=True)
    assert str(built) == str(by_hand)


class TestDeepSupervision:
    @pytest.mark.parametrize("depth", [2, 4])
    def test_the_stages_below_the_last_have_heads_the_finest_first(self, depth: int) -> None:
        network = UNet(3, 5, width=4, depth=depth, auxiliary=True)
        main, *auxiliary = network(torch.randn(2, 3, 32, 48))
        assert main.shape == (2, 5, 32, 48)
        assert [head.shape for head in auxiliary] == [(2, 5, 32 >> k, 48 >> k) for k in range(1, depth)]
        sum(head.square().mean() for head in (main, *auxiliary)).backward()
        assert [name for name, p in network.named_parameters() if not p.grad.count_nonzero()] == []

    def test_each_head_sees_its_own_stage(self) -> None:
        network = UNet(3, 2, width=4, depth=3, auxiliary=True)
        stages: list[Tensor] = []
        for block in network.decoder:
            block.register_forward_hook(lambda module, inputs, output: stages.append(output))
        _, half, quarter = network(torch.randn(2, 3, 16, 16))
        assert half.equal(network.auxiliary[0](stages[1]))
        assert quarter.equal(network.auxiliary[1](stages[0]))

    def test_without_them_weights_and_logits_are_the_same(self) -> None:
        networks = []
        for auxiliary in (False, True):
            torch.manual_seed(0)
            networks.append(UNet(3, 2, width=4, depth=3, auxiliary=auxiliary))
        plain, deep = networks
        tensors = deep.state_dict()
        assert all(tensor.equal(tensors[name]) for name, tensor in plain.state_dict().items())
        assert {name.partition(".")[0] for name in tensors.keys() - plain.state_dict().keys()} == {"auxiliary"}
        image = torch.randn(2, 3, 16, 16)
        assert deep(image)[0].equal(plain(image))
        assert deep.eval()(image).equal(plain.eval()(image))

    def test_they_are_there_in_training_and_gone_in_predict(self, tmp_path: Path) -> None:
        card = card_of(settings_of("unet", tmp_path, auxiliary=True), 3)
        segmenter = segmenter_of(card)
        image, target = photos(2, 3, 21, 33), torch.randint(4, (2, 21, 33))
        assert [logits.shape for logits, _ in segmenter.train().heads(image, target)] == [(2, 4, 21, 33)] * 2
        (main, _), (half, middles) = segmenter.heads(image, target, coarse=True)
        assert (main.shape, half.shape, middles.shape) == ((2, 4, 21, 33), (2, 4, 11, 17), (2, 11, 17))
        save_model(segmenter.eval(), card, tmp_path / "model.safetensors")
        predictor = load(tmp_path / "model.safetensors", "cpu")
        with torch.no_grad():
            torch.testing.assert_close(predictor.segmenter(image), segmenter(image))
        assert not [name for name, _ in predictor.segmenter.named_parameters() if "auxiliary" in name]

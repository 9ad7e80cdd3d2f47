"""torchvision's networks for segmentation: `torchvision:deeplabv3_resnet50` and five more.

The modules are the library's own, and so are the names in their weights.
"""

import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
from torch import Tensor, nn

from intarsia.errors import MachineError, ModelFileError, SettingsError, did_you_mean
from intarsia.extras import needed
from intarsia.files import make_folder
from intarsia.networks import licences
from intarsia.networks.contract import IMAGENET_MEAN, IMAGENET_STD, Blueprint, Network, Pretrained, Published
from intarsia.networks.transfer import read_tensors, refuse_no_numbers
from intarsia.settings import ModelSettings

NAMES = (
    "deeplabv3_resnet50",
    "deeplabv3_resnet101",
    "deeplabv3_mobilenet_v3_large",
    "fcn_resnet50",
    "fcn_resnet101",
    "lraspp_mobilenet_v3_large",
)
_STRIDE = 32  # more than the dilated backbones need; padding a little more costs less than an odd size
# As all its presets have it, for values 0..255.
_MEAN, _STD = (tuple(255.0 * value for value in values) for values in (IMAGENET_MEAN, IMAGENET_STD))


def config(settings: ModelSettings) -> dict[str, Any]:
    """Nothing: the name says it all.

    Raises:
        SettingsError: there is no such network.
    """
    variant = str(settings.name).partition(":")[2]
    if variant not in NAMES:
        raise SettingsError(f"Network {settings.name!r} is unknown. {did_you_mean(variant, NAMES)}")
    return {}


def build(blueprint: Blueprint) -> nn.Module:
    """The library's own module, with fresh weights and its first convolution made for the bands."""
    make = getattr(_library(), blueprint.variant)
    if _without_auxiliary(blueprint.variant):
        if blueprint.settings.auxiliary:
            raise SettingsError(f"model.auxiliary = true: {blueprint.settings.name} has no auxiliary head.")
        auxiliary = {}
    else:
        auxiliary = {"aux_loss": bool(blueprint.settings.auxiliary)}
    network: nn.Module = make(weights=None, weights_backbone=None, num_classes=blueprint.classes, **auxiliary)
    if blueprint.bands != 3:
        _take_bands(network, blueprint.bands)
    return network


def pretrained(blueprint: Blueprint, path: Path | None) -> Pretrained:
    """The weights that torchvision publishes (trained on COCO with the classes of Pascal VOC), or those of a file.

    Raises:
        ModelFileError: damaged, or not what was published.
        MachineError: they are not in the cache, and cannot be downloaded.
    """
    if path is not None:
        return Pretrained(read_tensors(path), str(path), licences.UNKNOWN, _MEAN, _STD)
    file = _published_file(_published(blueprint.variant).url)
    tensors = _read_published(file)
    return Pretrained(tensors, file.name, licences.TORCHVISION, _MEAN, _STD)


def published(blueprint: Blueprint) -> Published:
    """The file that torchvision publishes."""
    file = _place_of(_published(blueprint.variant).url)
    return Published(file.name, licences.TORCHVISION, file.exists())


def _library() -> Any:  # noqa: ANN401 - a module without types
    return needed("torchvision.models.segmentation", "torchvision")


def _without_auxiliary(variant: str) -> bool:
    return variant.startswith("lraspp")


def _take_bands(network: nn.Module, bands: int) -> None:
    """Puts a fresh first convolution in the place of the one for three bands."""
    name, old = next((name, module) for name, module in network.named_modules() if isinstance(module, nn.Conv2d))
    owner, _, attribute = name.rpartition(".")
    shape: dict[str, Any] = {name: getattr(old, name) for name in ("kernel_size", "stride", "padding")}
    fresh = nn.Conv2d(bands, old.out_channels, **shape, bias=old.bias is not None)
    setattr(network.get_submodule(owner), attribute, fresh)


def _published(variant: str) -> Any:  # noqa: ANN401 - torchvision's Weights
    return needed("torchvision.models", "torchvision").get_model_weights(variant).DEFAULT.value


def _place_of(url: str) -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(urlsplit(url).path).name


def _published_file(url: str) -> Path:
    """The file in torch's cache, downloaded where it is not there yet."""
    file = _place_of(url)
    if not file.exists():
        make_folder(file.parent)
        try:
            torch.hub.download_url_to_file(url, str(file), _digest_in(file.name))
        except (OSError, RuntimeError) as error:
            raise MachineError(
                f"{file}: is not there, and {url} cannot be downloaded: {error}. Where there is a network: "
                "download it, and put it there; or say model.pretrained=false to begin with random weights."
            ) from None
    return file


def _read_published(file: Path) -> dict[str, Tensor]:
    """The tensors of a published file. It exists as .pth only: read without running code, its sum proved before."""
    if not hashlib.sha256(file.read_bytes()).hexdigest().startswith(_digest_in(file.name)):
        raise ModelFileError(
            f"{file}: is not what torchvision published (SHA-256 differs). Remove it and run again."
        )
    tensors: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    refuse_no_numbers(tensors, str(file))
    return tensors


def _digest_in(name: str) -> str:
    """How the SHA-256 begins, which torchvision writes into the name: `fcn_resnet50_coco-1167a1af.pth`."""
    return Path(name).stem.rpartition("-")[2]


NETWORK = Network(
    build=build,
    stride=lambda network: _STRIDE,
    encoder=lambda network: ("backbone.",),
    library="torchvision",
    settings=("auxiliary",),
    config=config,
    pretrained=pretrained,
    published=published,
    names=lambda word: [f"torchvision:{name}" for name in NAMES],
    auxiliary=lambda name: not _without_auxiliary(name.partition(":")[2]),
)

"""The networks that the tests go through: every architecture of every source, on its smallest encoder."""

from pathlib import Path

import torch
from torch import Tensor

from intarsia.labels import Labels
from intarsia.modelfile import ModelCard, build_segmenter
from intarsia.networks import NETWORKS, make_blueprint
from intarsia.networks.segmenter import Segmenter
from intarsia.networks.torchvision import NAMES
from intarsia.settings import DataSettings, ModelSettings
from tests.networks.checkpoints import TRANSFORMERS, transformers_checkpoint

CLASSES = 4
OWN = [name for name, network in NETWORKS.items() if not network.names("")]
SMP = [
    "smp:Unet/resnet18",
    "smp:UnetPlusPlus/mobilenet_v2",
    "smp:MAnet/mobilenet_v2",
    "smp:Linknet/resnet18",
    "smp:FPN/mobileone_s0",
    "smp:PSPNet/resnet18",
    "smp:PAN/resnet18",
    "smp:DeepLabV3/mobilenet_v2",
    "smp:DeepLabV3Plus/mobilenet_v2",
    "smp:UPerNet/tu-convnext_atto",
    "smp:Segformer/mit_b0",
    "smp:DPT/tu-vit_tiny_patch16_224",
    "smp:Unet/tu-mobilenetv3_small_050",
    "smp:FPN/tu-swinv2_cr_tiny_ns_224",
]
TORCHVISION = [f"torchvision:{name}" for name in NAMES]
LARGE = [
    name for name in TORCHVISION if "resnet101" in name
]  # twice the time of their smaller kin, and nothing new
HF = [f"hf:{family}" for family in TRANSFORMERS]
EVERY = [*OWN, *SMP, *TORCHVISION, *HF]


def settings_of(name: str, folder: Path, stem: int = 1, **more: object) -> ModelSettings:
    """Settings of the smallest network of this name; a family of transformers is written into `folder` first."""
    if name.startswith("hf:"):
        place = folder / name.removeprefix("hf:")
        if not place.exists():
            transformers_checkpoint(place, name.removeprefix("hf:"))
        return ModelSettings(name=f"hf:{place}", **more)
    if name in OWN:
        shape = {"width": 4, "depth": 2, "up": "bilinear"} if name == "unet" else {"width": 4}
        return ModelSettings(name=name, stem=stem, **shape, **more)
    return ModelSettings(name=name, **more)


def card_of(settings: ModelSettings, bands: int, classes: int = CLASSES) -> ModelCard:
    card = ModelCard(settings, Labels.of_values(range(classes)), bands, DataSettings())
    config = make_blueprint(settings, bands, classes).config
    return ModelCard(settings, card.labels, bands, card.data, config)


def segmenter_of(card: ModelCard, seed: int = 0) -> Segmenter:
    torch.manual_seed(seed)
    return build_segmenter(card, (120.0,) * card.bands, (60.0,) * card.bands)


def photos(number: int, bands: int, height: int, width: int) -> Tensor:
    random = torch.Generator().manual_seed(3)
    return torch.randint(256, (number, bands, height, width), dtype=torch.uint8, generator=random)

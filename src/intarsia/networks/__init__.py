"""Networks: a name -> a function that builds an `nn.Module` giving logits. One line here for each."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from intarsia.errors import SettingsError, did_you_mean
from intarsia.networks.unet import UNet
from intarsia.settings import ModelSettings


@dataclass(frozen=True)
class Network:
    """How to build a network, and what its input must be divisible by."""

    build: Callable[[ModelSettings, int, int], nn.Module]  # settings, bands, classes
    stride: Callable[[ModelSettings], int]


NETWORKS: dict[str, Network] = {
    "unet": Network(build=UNet.from_settings, stride=UNet.stride_of),
}


def find_network(name: str) -> Network:
    """The network of this name.

    Raises:
        SettingsError: there is none; the nearest name is offered.
    """
    if name not in NETWORKS:
        raise SettingsError(f"Network {name!r} is unknown. {did_you_mean(name, NETWORKS)}")
    return NETWORKS[name]

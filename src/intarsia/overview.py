"""What networks there are: names, sizes, and what is known of their published weights."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from intarsia import hub
from intarsia.defaults import shape_of
from intarsia.errors import IntarsiaError, MachineError, SettingsError, did_you_mean
from intarsia.inference import find_device
from intarsia.networks import EXAMPLES, NETWORKS, find_network, make_blueprint
from intarsia.networks.contract import Blueprint, Network
from intarsia.networks.segmenter import Segmenter
from intarsia.settings import ModelSettings

MOST = 30  # networks that are measured for one list


@dataclass(frozen=True)
class Model:
    """A network, as `intarsia models` tells of it.

    Attributes:
        name: as --model takes it.
        parameters: number of them; None where the config is not on this machine.
        encoder_parameters: how many of them are the encoder's.
        gflops: thousand millions of multiplications and of additions, each counted, for one image.
        stride: what the network's input is padded to multiples of.
        weights: repository or file of the published weights; None where there are none.
        licence: of the weights.
        here: whether the weights are on this machine.
        trouble: why there are no numbers.
    """

    name: str
    parameters: int | None = None
    encoder_parameters: int | None = None
    gflops: float | None = None
    stride: int | None = None
    weights: str | None = None
    licence: str | None = None
    here: bool = False
    trouble: str | None = None


def models(word: str = "", size: tuple[int, int] = (512, 512), bands: int = 3, classes: int = 21) -> list[Model]:
    """The networks whose names contain a word; without one, a selection: any of its kind works too.

    Args:
        word: part of a name, or a name.
        size: height and width of the image that operations are counted for.
        bands: of the image.
        classes: number of them.

    Returns:
        All of them; beyond the first `MOST`, with their names alone.

    Raises:
        SettingsError: there is no such network.
    """
    names = [name for name in _names(word) if word.lower() in name.lower()]
    if word in names or (not names and ":" in word):
        return [model(word, size, bands, classes)]
    if not names:
        raise SettingsError(f"No network's name contains {word!r}. {did_you_mean(word, _names(''))}")
    found = []
    for place, name in enumerate(names):
        try:
            with hub.cache_only():
                found.append(model(name, size, bands, classes) if place < MOST else Model(name))
        except IntarsiaError as error:
            found.append(_unmeasured(name, str(error)))
    return found


def model(name: str, size: tuple[int, int] = (512, 512), bands: int = 3, classes: int = 21) -> Model:
    """One network, measured without computing anything.

    Args:
        name: as --model takes it.
        size: height and width of the image that operations are counted for.
        bands: of the image.
        classes: number of them.

    Raises:
        SettingsError: there is no such network, or its library cannot build it.
        MachineError: its library is not installed, or its config cannot be got.
    """
    network = find_network(name)
    settings = ModelSettings(name=name).model_copy(update=shape_of(name, size, on_cpu=find_device().type == "cpu"))
    blueprint = make_blueprint(settings, bands, classes)
    built = _shapes(network, blueprint)
    published = network.published(blueprint)
    encoder = network.encoder(built)
    return Model(
        name,
        parameters=sum(parameter.numel() for parameter in built.parameters()),
        encoder_parameters=sum(p.numel() for part, p in built.named_parameters() if part.startswith(encoder))
        if encoder
        else None,
        gflops=_gflops(built, network, blueprint, size, bands),
        stride=network.stride(built) * (settings.stem or 1),
        weights=published.place if published else None,
        licence=published.licence if published else None,
        here=published is not None and published.here,
    )


def _unmeasured(name: str, trouble: str) -> Model:
    """What is known of a network that cannot be built here: perhaps its weights' licence."""
    try:
        published = find_network(name).published(Blueprint(ModelSettings(name=name), bands=3, classes=1))
    except (IntarsiaError, KeyError):  # without its library or config nobody can tell
        published = None
    if published is None:
        return Model(name, trouble=trouble)
    return Model(name, weights=published.place, licence=published.licence, here=published.here, trouble=trouble)


def _names(word: str) -> list[str]:
    return list(dict.fromkeys(_every_name(word)))


def _every_name(word: str) -> Iterator[str]:
    for name, network in NETWORKS.items():
        try:
            some = list(network.names(word))
        except MachineError:  # its library is not installed: said when the example is measured
            some = [EXAMPLES[name]]
        yield from some or [name]


def _shapes(network: Network, blueprint: Blueprint) -> nn.Module:
    """The network without numbers; some make theirs with numbers all the same, and lose them afterwards."""
    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device("meta"):
                return network.build(blueprint)
        except (SettingsError, RuntimeError):
            return network.build(blueprint).to("meta")


def _gflops(
    built: nn.Module, network: Network, blueprint: Blueprint, size: tuple[int, int], bands: int
) -> float | None:
    """Counted on shapes without numbers; None where an operation needs numbers."""
    stem = blueprint.settings.stem or 1
    segmenter = Segmenter(built, network.stride(built), (0.0,) * bands, (1.0,) * bands, stem).to("meta").eval()
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            segmenter(torch.empty(1, bands, *size, device="meta"))
    except (AssertionError, RuntimeError, ValueError):
        return None
    return float(counter.get_total_flops()) / 1e9

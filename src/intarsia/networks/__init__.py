"""Networks: a name, or a source before a colon -> how to build it. One line in `NETWORKS` for each."""

from pathlib import Path

from torch import nn

from intarsia.errors import SettingsError, did_you_mean
from intarsia.networks import licences, smp, torchvision, transfer, transformers
from intarsia.networks.compact import Compact
from intarsia.networks.contract import Blueprint, Network, Pretrained
from intarsia.networks.unet import UNet
from intarsia.settings import ModelSettings

CUSTOM = "custom"  # what a network of the user's own is called

NETWORKS: dict[str, Network] = {
    "compact": Network(Compact.from_blueprint, Compact.stride_of, Compact.encoder_of, settings=("width", "stem")),
    "unet": Network(
        UNet.from_blueprint,
        UNet.stride_of,
        UNet.encoder_of,
        settings=("width", "depth", "up", "norm", "dropout", "stem", "auxiliary"),
    ),
    "smp": smp.NETWORK,
    "torchvision": torchvision.NETWORK,
    "hf": transformers.NETWORK,
}
EXAMPLES = {
    "smp": "smp:Unet/resnet34",
    "torchvision": "torchvision:deeplabv3_resnet50",
    "hf": "hf:nvidia/segformer-b0-finetuned-ade-512-512",
}
_DEFAULT_STRIDE = 32  # of a network of the user's own that does not say


def find_network(name: str) -> Network:
    """The network of this name, or the family of its source.

    Raises:
        SettingsError: there is none; the nearest name is offered.
    """
    source, colon, variant = name.partition(":")
    if name == CUSTOM:
        raise SettingsError(
            "model.name = 'custom': that is what a network of your own is called. Give it in Python: "
            "intarsia.train(data, model=module)."
        )
    if source in EXAMPLES and not variant:
        raise SettingsError(f"Network {name!r}: say which one, for example {EXAMPLES[source]}.")
    if source not in NETWORKS or (colon and source not in EXAMPLES):
        known = [EXAMPLES.get(one, one) for one in NETWORKS]
        raise SettingsError(f"Network {name!r} is unknown. {did_you_mean(name, known)}")
    return NETWORKS[source]


def make_blueprint(settings: ModelSettings, bands: int, classes: int) -> Blueprint:
    """What decides the shape of the network that the settings name.

    Args:
        settings: resolved.
        bands: of the images.
        classes: number of them.

    Raises:
        SettingsError: no such network, or a setting that it does not have.
        MachineError: its library is not installed, or its config cannot be got.
    """
    network = find_network(str(settings.name))
    refuse_foreign_settings(settings, network)
    return Blueprint(settings, bands * (settings.stem or 1) ** 2, classes, network.config(settings))


def refuse_foreign_settings(settings: ModelSettings, network: Network) -> None:
    """Refuses a setting of the section `model` that belongs to another network.

    Raises:
        SettingsError: there is one.
    """
    for name in ("width", "depth", "up", "norm", "dropout", "stem", "auxiliary", "revision"):
        default = ModelSettings.model_fields[name].default
        value = getattr(settings, name)
        neutral = (default, 1) if name == "stem" else (default, False)
        if name not in network.settings and value not in neutral:
            owners = [owner for owner, one in NETWORKS.items() if name in one.settings]
            raise SettingsError(
                f"model.{name} = {value}: {settings.name} has no such setting; it belongs to {', '.join(owners)}."
            )


def published_or_foreign(blueprint: Blueprint, path: Path | None) -> Pretrained:
    """Weights that others trained: those that are published for the network, or of a file.

    Args:
        blueprint: of the network.
        path: a safetensors file; None for the published ones.

    Raises:
        SettingsError: none are published for this network.
        ModelFileError: the file is damaged, or of another network.
        MachineError: they cannot be got.
    """
    network = find_network(str(blueprint.settings.name))
    if network.pretrained is not None:
        return network.pretrained(blueprint, path)
    if path is None:
        raise SettingsError(
            f"model.pretrained = true: no weights are published for {blueprint.settings.name}. Give a file or a "
            "run of your own, or leave it out."
        )
    return Pretrained(transfer.read_tensors(path), str(path), licences.UNKNOWN)


def custom(module: nn.Module) -> Network:
    """A network of the user's own, as it is: `stride` and `encoder` are taken from it where it has them."""
    stride = getattr(module, "stride", _DEFAULT_STRIDE)
    encoders = tuple(f"{name}." for name, _ in module.named_children() if name in ("encoder", "backbone"))
    return Network(
        build=lambda blueprint: module,
        stride=lambda network: stride if isinstance(stride, int) else _DEFAULT_STRIDE,
        encoder=lambda network: encoders,
    )

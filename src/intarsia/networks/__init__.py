"""Networks: a name, or a source before a colon -> how to build it. One line in `NETWORKS` for each."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import nn

from intarsia.errors import ModelFileError, SettingsError, did_you_mean
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
        settings=("width", "depth", "up", "norm", "dropout", "stem"),
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
_WEIGHTS = "model.safetensors"
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


def pretrained_for(blueprint: Blueprint) -> Pretrained | None:
    """The weights to begin with, as `model.pretrained` says; None for random ones.

    Raises:
        SettingsError: there are none for this network.
        ModelFileError: a file is missing, damaged, or of another network.
        MachineError: they cannot be got.
    """
    chosen, name = blueprint.settings.pretrained, blueprint.settings.name
    if chosen is False or chosen is None:
        return None
    network = find_network(str(name))
    if isinstance(chosen, str):
        path = _weights_file(Path(chosen).expanduser())
        own = _own_header(path)
        if network.pretrained is None or own is not None:
            return _of_our_own(path, own)
        return network.pretrained(blueprint, path)
    if network.pretrained is None:
        raise SettingsError(
            f"model.pretrained = true: no weights are published for {name}. Give a file or a run of your own, or "
            "leave it out."
        )
    return network.pretrained(blueprint, None)


def custom(module: nn.Module) -> Network:
    """A network of the user's own, as it is: `stride` and `encoder` are taken from it where it has them."""
    stride = getattr(module, "stride", _DEFAULT_STRIDE)
    encoders = tuple(f"{name}." for name, _ in module.named_children() if name in ("encoder", "backbone"))
    return Network(
        build=lambda blueprint: module,
        stride=lambda network: stride if isinstance(stride, int) else _DEFAULT_STRIDE,
        encoder=lambda network: encoders,
    )


def _weights_file(path: Path) -> Path:
    """The file itself, or that of a folder: a run, or what save_pretrained wrote."""
    if not path.exists():
        raise ModelFileError(
            f"model.pretrained = {path}: does not exist. Give true, false, or a file or folder with weights."
        )
    if path.is_dir() and not (path / _WEIGHTS).is_file():
        raise ModelFileError(f"model.pretrained = {path}: holds no {_WEIGHTS}.")
    return path / _WEIGHTS if path.is_dir() else path


def _own_header(path: Path) -> dict[str, Any] | None:
    """What one of our own model files says of itself; None for another's file, sound or not."""
    try:
        with safe_open(path, framework="pt") as file:
            return json.loads((file.metadata() or {})["intarsia"])  # type: ignore[no-any-return]
    except (OSError, SafetensorError, KeyError, ValueError):
        return None


def _of_our_own(path: Path, header: dict[str, Any] | None) -> Pretrained:
    """Weights that `intarsia train` wrote, with their own statistics and what is known of where they came from."""
    tensors = transfer.read_tensors(path)
    mean, std = (tensors.pop(name, None) for name in ("mean", "std"))
    known = (header or {}).get("weights") or {}
    name = (header or {}).get("model", {}).get("name")
    return Pretrained(
        tensors,
        f"{path} ({name})" if name else str(path),
        known.get("licence", "your own" if header else licences.UNKNOWN),
        None if mean is None else tuple(mean.flatten().tolist()),
        None if std is None else tuple(std.flatten().tolist()),
    )

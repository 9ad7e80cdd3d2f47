"""The model file: weights in safetensors, and in its header everything that is needed to run them.

The header's entry `intarsia` is JSON: format version, network settings, labels, bands, how the data were split,
the scores at the time of saving, and a SHA-256 over all of it and the weights. Nothing in it is code or names code.
"""

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor, nn

from intarsia._version import __version__
from intarsia.errors import IntarsiaError, MachineError, ModelFileError, listing
from intarsia.files import write_whole
from intarsia.labels import Labels
from intarsia.networks import CUSTOM, custom, find_network
from intarsia.networks.contract import Blueprint
from intarsia.networks.segmenter import Segmenter
from intarsia.networks.transfer import is_pickle
from intarsia.settings import DataSettings, ModelSettings

FORMAT = 1
SUFFIX = ".safetensors"
MODEL_FILE = "model.safetensors"  # of a run folder: its best model
_LARGEST_HEADER = 100 << 20


@dataclass(frozen=True)
class ModelCard:
    """What a model file says about itself.

    Attributes:
        model: the network and its shape.
        labels: classes, colours, and the stored mask values that mean them.
        bands: bands of the images.
        data: how the training data were read and split, so that scoring uses the same.
        config: how the source library describes the network; empty for our own.
        weights: where the training began: {"source", "licence"}; empty for random weights.
        dtype: of the training images: uint8, uint16 or float32.
        training: free notes: size (height and width of the training crops), steps, seconds, scores.
    """

    model: ModelSettings
    labels: Labels
    bands: int
    data: DataSettings
    config: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, str] = field(default_factory=dict)
    dtype: str = "uint8"
    training: Mapping[str, Any] = field(default_factory=dict)

    @property
    def blueprint(self) -> Blueprint:
        """What decides the network's shape."""
        bands = self.bands * (self.model.stem or 1) ** 2
        return Blueprint(self.model, bands, len(self.labels), self.config)


def build_segmenter(
    card: ModelCard, mean: Sequence[float], std: Sequence[float], network: nn.Module | None = None
) -> Segmenter:
    """A segmenter with fresh weights, or around a network of the user's own.

    Raises:
        SettingsError: there is no such network, or its library cannot build it.
        MachineError: its library is not installed.
    """
    entry = custom(network) if network is not None else find_network(str(card.model.name))
    built = entry.build(card.blueprint)
    return Segmenter(built, entry.stride(built), mean, std, card.model.stem or 1)


def save_model(segmenter: Segmenter, card: ModelCard, path: Path) -> None:
    """Writes a model file, whole or not at all.

    Raises:
        MachineError: the disk is full or read-only.
    """
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in segmenter.state_dict().items()}
    header: dict[str, Any] = {
        "format": FORMAT,
        "version": __version__,
        "model": card.model.model_dump(mode="json"),
        "labels": card.labels.to_dict(),
        "bands": card.bands,
        "data": card.data.model_dump(mode="json"),
        "config": dict(card.config),
        "weights": dict(card.weights),
        "dtype": card.dtype,
        "library": _library_of(card),
        "training": dict(card.training),
    }
    header["sha256"] = _digest(header, weights)
    write_whole(path, save(weights, metadata={"intarsia": json.dumps(header)}))


def load_model(path: str | Path, network: nn.Module | None = None) -> tuple[Segmenter, ModelCard]:
    """Reads a model file, or the best model of a run folder. The segmenter is in eval mode, on the CPU.

    Args:
        path: a model file or a run folder.
        network: for a model whose network is the user's own: a module of the same shape, which takes the weights.

    Raises:
        ModelFileError: missing, empty, truncated, a pickle, damaged, or not a model file of ours; or its network is
            the user's own and `network` is left out, or the other way round.
        MachineError: the library of its network is not installed.
    """
    path = find_model_file(Path(path))
    header, weights = _parts_of(path)
    try:
        card = _card_of(header)
        _refuse_other_network(card, network, path)
        segmenter = build_segmenter(card, (0.0,) * card.bands, (1.0,) * card.bands, network)
    except (MachineError, ModelFileError):
        raise
    except (KeyError, TypeError, ValueError, ValidationError, IntarsiaError) as error:
        reason = str(error).splitlines()[0]
        raise ModelFileError(
            f"{path}: its header cannot be understood (written by Intarsia {header.get('version')}): {reason}"
        ) from None
    _load_weights(segmenter, weights, path, written_with=header.get("library"), here=_library_of(card))
    _refuse_changed(header, weights, path)
    return segmenter.eval(), card


def read_model_file(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Header and tensors of a model file of ours, as they were saved.

    Raises:
        ModelFileError: missing, empty, truncated, a pickle, damaged, or not a model file of ours.
    """
    header, weights = _parts_of(path)
    _refuse_changed(header, weights, path)
    return header, weights


def _parts_of(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Header and tensors, whoever changed them."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read: {error.strerror}.") from None
    header = _read_header(content, path)
    try:
        weights = load(content)
    except SafetensorError as error:
        raise ModelFileError(f"{path}: is truncated or damaged: {error}. Copy or train it again.") from None
    return header, weights


def _refuse_changed(header: Mapping[str, Any], weights: Mapping[str, Tensor], path: Path) -> None:
    if _digest(header, weights) != header.get("sha256"):
        raise ModelFileError(f"{path}: is not what was saved (SHA-256 differs). Copy or train it again.")


def is_model_file(path: Path) -> bool:
    """Whether a file says of itself that it is ours, sound or not."""
    try:
        with safe_open(path, framework="pt") as file:
            return "intarsia" in (file.metadata() or {})
    except (OSError, SafetensorError):
        return False


def _card_of(header: Mapping[str, Any]) -> ModelCard:
    return ModelCard(
        model=ModelSettings.model_validate(header["model"]),
        labels=Labels.from_dict(header["labels"]),
        bands=int(header["bands"]),
        data=DataSettings.model_validate(header["data"]),
        config=header.get("config", {}),
        weights=header.get("weights", {}),
        dtype=header.get("dtype", "uint8"),
        training=header["training"],
    )


def _library_of(card: ModelCard) -> str | None:
    """The library that a network's module is from, with its version: `transformers 5.24.0`."""
    name = None if card.model.name == CUSTOM else find_network(str(card.model.name)).library
    return None if name is None else f"{name} {version(name)}"


def find_model_file(path: Path) -> Path:
    """The model file itself, or that of a run folder.

    Raises:
        ModelFileError: there is none.
    """
    if not path.exists():
        raise ModelFileError(f"{path}: does not exist. A model is a run folder or a {SUFFIX} file.")
    if not path.is_dir():
        return path
    if not (path / MODEL_FILE).is_file():
        raise ModelFileError(f"{path}: holds no {MODEL_FILE}: not a run folder, or its training saved nothing yet.")
    return path / MODEL_FILE


def _read_header(content: bytes, path: Path) -> dict[str, Any]:
    """Our part of the safetensors header: 8 bytes little-endian length, then that much JSON."""
    if not content:
        raise ModelFileError(f"{path}: is empty. Copy or train it again.")
    length = struct.unpack("<Q", content[:8])[0] if len(content) >= 8 else _LARGEST_HEADER + 1
    if is_pickle(content):
        raise ModelFileError(
            f"{path}: is a pickle (.pt, .pth), which can run code when it is read. Only {SUFFIX} files that "
            "`intarsia train` wrote are loaded."
        )
    if length > _LARGEST_HEADER:
        raise ModelFileError(f"{path}: is not a model file ({SUFFIX}).")
    try:
        header = json.loads(content[8 : 8 + length])
    except ValueError:
        raise ModelFileError(f"{path}: is truncated or not a model file ({SUFFIX}).") from None
    own = (header.get("__metadata__") or {}).get("intarsia") if isinstance(header, dict) else None
    if own is None:
        raise ModelFileError(f"{path}: was not written by Intarsia: its header does not say how to run it.")
    try:
        entry: dict[str, Any] = json.loads(own)
    except ValueError:
        raise ModelFileError(f"{path}: its header is damaged. Copy or train it again.") from None
    if entry.get("format") != FORMAT:
        raise ModelFileError(
            f"{path}: has format {entry.get('format')}; this version (Intarsia {__version__}) reads {FORMAT}. "
            "Install the version that wrote it, or a newer one."
        )
    return entry


def _refuse_other_network(card: ModelCard, network: nn.Module | None, path: Path) -> None:
    if card.model.name == CUSTOM and network is None:
        raise ModelFileError(
            f"{path}: its network is your own module, which the file does not hold. Give it in Python: "
            "intarsia.load(path, network=module)."
        )
    if card.model.name != CUSTOM and network is not None:
        raise ModelFileError(f"{path}: its network is {card.model.name}, not one of your own. Leave network out.")


def _load_weights(
    segmenter: Segmenter, weights: dict[str, Tensor], path: Path, *, written_with: str | None, here: str | None
) -> None:
    own = segmenter.state_dict()
    wrong = {
        "missing": [name for name in own if name not in weights],
        "unexpected": [name for name in weights if name not in own],
        "of another shape": [name for name in own if name in weights and own[name].shape != weights[name].shape],
    }
    if any(wrong.values()):
        parts = [f"{len(names)} {kind} ({listing(names, 10)})" for kind, names in wrong.items() if names]
        library = f" It was written with {written_with}; here is {here}." if written_with != here else ""
        raise ModelFileError(f"{path}: its weights belong to another network: {', '.join(parts)}.{library}")
    segmenter.load_state_dict(weights)


def _digest(header: Mapping[str, Any], weights: Mapping[str, Tensor]) -> str:
    """SHA-256 over the header, but for its own entry, and the weights."""
    described = {name: value for name, value in header.items() if name != "sha256"}
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for name in sorted(weights):
        tensor = weights[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()

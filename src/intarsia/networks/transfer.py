"""Weights that were trained elsewhere -> a network of our own: what fits is taken, and all of it is told.

The head stays as it is where the classes are other ones; the first convolution is adapted to other bands.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from intarsia.errors import ModelFileError, listing
from intarsia.networks.contract import Blueprint, Pretrained

_MOST_NAMED = 10
# What DataParallel, Lightning, we and compile put before names.
_WRAPPERS = ("module.", "model.", "network.", "_orig_mod.")
_COUNTERS = "num_batches_tracked"  # some libraries leave these out; they start anew
_FAMILIES = {  # how the names in a file begin -> the networks that name their parts so; the first that fits
    "segmentation_head.aspp": "hf:FOLDER",
    "segmentation_head.": "smp:ARCHITECTURE/ENCODER",
    "classifier.4.": "torchvision:deeplabv3_...",
    "decode_head.": "hf:FOLDER",
}


@dataclass(frozen=True)
class Transfer:
    """What became of each tensor, by name.

    Attributes:
        loaded: taken as they are.
        adapted: taken, but for another number of bands.
        replaced: there, but for other classes: the network keeps its fresh ones.
        fresh: not there at all: the network keeps its fresh ones.
        left: of no use here.
    """

    loaded: tuple[str, ...]
    adapted: tuple[str, ...]
    replaced: tuple[str, ...]
    fresh: tuple[str, ...]
    left: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"loaded {len(self.loaded)} tensors"]
        for words, names in (
            ("adapted to the bands", self.adapted),
            ("replaced for the classes", self.replaced),
            ("fresh", self.fresh),
            ("left in the file", self.left),
        ):
            if names:
                parts.append(f"{words} {len(names)} ({listing(_parts(names), 4)})")
        return ", ".join(parts)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, whoever wrote it.

    Raises:
        ModelFileError: missing, empty, truncated, a pickle, or values that are no numbers.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read: {error.strerror}.") from None
    refuse_pickle(content, path)
    try:
        tensors = load(content)
    except SafetensorError as error:
        raise ModelFileError(f"{path}: is truncated or no safetensors file: {error}. Get it again.") from None
    refuse_no_numbers(tensors, str(path))
    return tensors


def read_json(path: Path) -> dict[str, Any]:
    """What a JSON file beside weights says.

    Raises:
        ModelFileError: it is damaged, or no JSON object.
    """
    try:
        said = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{path}: is damaged or not JSON: {error}. Get it again.") from None
    if not isinstance(said, dict):
        raise ModelFileError(f"{path}: holds no JSON object. Get it again.")
    return said


def is_pickle(content: bytes) -> bool:
    """Whether these bytes are a zip or a pickle, and no safetensors file, which begins with its header's length."""
    length = int.from_bytes(content[:8], "little")
    return content.startswith(b"PK\x03\x04") or (content.startswith(b"\x80") and length > len(content))


def refuse_pickle(content: bytes, path: Path) -> None:
    """Refuses what `torch.save` or `pickle` wrote.

    Raises:
        ModelFileError: it is such a file.
    """
    if is_pickle(content):
        raise ModelFileError(
            f"{path}: is a pickle (.pt, .pth, .bin), which can run code when it is read. If you trust it, convert "
            f"it: python -c \"import torch, safetensors.torch as s; s.save_file(torch.load('{path.name}', "
            f"weights_only=True), '{path.stem}.safetensors')\""
        )


def refuse_no_numbers(tensors: Mapping[str, Tensor], source: str) -> None:
    """Refuses weights in which there are NaN or infinities.

    Raises:
        ModelFileError: there are.
    """
    spoiled = [name for name, tensor in tensors.items() if not tensor.isfinite().all()]
    if spoiled:
        raise ModelFileError(
            f"{source}: {len(spoiled)} of {len(tensors)} tensors hold values that are no numbers (NaN, inf): "
            f"{listing(spoiled, _MOST_NAMED)}. A network that begins with them learns nothing. Get other weights."
        )


def transfer(
    network: nn.Module, weights: Pretrained, blueprint: Blueprint, prefixes: Iterable[str] = ()
) -> Transfer:
    """Copies into a network what fits it.

    Args:
        network: with fresh weights.
        weights: by the names that the network has for them, but for a prefix that all lack or have too much.
        blueprint: of the network; tensors for other classes or bands are told apart by it.
        prefixes: that all names may lack: of the encoder, where a file holds nothing else.

    Raises:
        ModelFileError: the weights belong to another network.
    """
    own = network.state_dict()
    tensors = _as_named_here(weights.tensors, own, prefixes)
    common = [name for name in own if name in tensors]
    of_image = _kernels_of_image(own, tensors, blueprint.bands)
    if weights.in_bgr:
        tensors = {name: tensor.flip(1) if name in of_image else tensor for name, tensor in tensors.items()}
    loaded = [name for name in common if tensors[name].shape == own[name].shape]
    adapted = [name for name in of_image if name not in loaded]
    replaced = [
        name
        for name in common
        if name not in (*loaded, *adapted) and _differs_in_classes(own[name], tensors[name], blueprint.classes)
    ]
    mismatched = [name for name in common if name not in (*loaded, *adapted, *replaced)]
    missing = [name for name in own if name not in tensors and not name.endswith(_COUNTERS)]
    holes = _holes(missing, loaded)
    left = [name for name in tensors if name not in own]
    if mismatched or holes or not any(own[name].ndim > 1 for name in loaded):
        both = [f"{name} {tuple(tensors[name].shape)} instead of {tuple(own[name].shape)}" for name in mismatched]
        raise _of_another_network(weights.source, holes or missing, left, both)
    with torch.no_grad():
        for name in loaded:
            own[name].copy_(tensors[name])
        for name in adapted:
            own[name].copy_(adapt_bands(tensors[name], blueprint.bands, blueprint.fold))
    return Transfer(tuple(loaded), tuple(adapted), tuple(replaced), tuple(missing), tuple(left))


def adapt_bands(kernel: Tensor, bands: int, fold: int = 1) -> Tensor:
    """A first convolution for another number of bands: its bands in turn, scaled so that the response stays.

    One band gets the sum of all, as a grey picture has three equal ones.

    Args:
        kernel: [C, old bands * fold, h, w].
        bands: wanted, times fold.
        fold: places that each band comes from, where a stem folds squares of pixels into bands.

    Returns:
        [C, bands, h, w].
    """
    by_band = kernel.reshape(kernel.shape[0], -1, fold, *kernel.shape[2:])  # [C, old, fold, h, w]
    old, new = by_band.shape[1], bands // fold
    if new == 1:
        return by_band.sum(dim=1)
    return (by_band[:, torch.arange(new) % old] * (old / new)).flatten(1, 2)


def _as_named_here(
    tensors: Mapping[str, Tensor], own: Mapping[str, Tensor], prefixes: Iterable[str]
) -> Mapping[str, Tensor]:
    """The tensors under the names that fit most of the network's."""

    def fitting(candidate: Mapping[str, Tensor]) -> int:
        return sum(name in own and own[name].shape == tensor.shape for name, tensor in candidate.items())

    candidates = [tensors]
    for wrapper in _WRAPPERS:
        if any(name.startswith(wrapper) for name in tensors):
            inner = {
                name.removeprefix(wrapper): tensor for name, tensor in tensors.items() if name.startswith(wrapper)
            }
            candidates.append(inner)
    candidates += [
        {prefix + name: tensor for name, tensor in one.items()} for one in tuple(candidates) for prefix in prefixes
    ]
    return max(candidates, key=fitting)


def _kernels_of_image(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], bands: int) -> list[str]:
    """The kernels that see the image itself: some encoders have several. The first one tells the weights' bands."""
    kernels = [
        name
        for name, tensor in own.items()
        if name in tensors
        and tensor.ndim == tensors[name].ndim == 4
        and (tensor.shape[0], *tensor.shape[2:]) == (tensors[name].shape[0], *tensors[name].shape[2:])
    ]
    if not kernels or own[kernels[0]].shape[1] != bands:
        return []
    before = tensors[kernels[0]].shape[1]
    return [name for name in kernels if (own[name].shape[1], tensors[name].shape[1]) == (bands, before)]


def _differs_in_classes(own: Tensor, other: Tensor, classes: int) -> bool:
    """Whether only the number of outputs differs, and ours is that of the classes (or one more: "nothing")."""
    return own.ndim == other.ndim and own.shape[1:] == other.shape[1:] and own.shape[0] in (classes, classes + 1)


def _holes(missing: list[str], loaded: list[str]) -> list[str]:
    """What is missing of parts of which the rest is there: an encoder without a block is no encoder."""
    begun = {name.partition(".")[0] for name in loaded}
    return [name for name in missing if name.partition(".")[0] in begun]


def _of_another_network(
    source: str, missing: list[str], unexpected: list[str], mismatched: list[str]
) -> ModelFileError:
    kinds = {"missing": missing, "unexpected": unexpected, "of another shape": mismatched}
    parts = [f"{len(names)} {kind} ({listing(names, _MOST_NAMED)})" for kind, names in kinds.items() if names]
    family = next(
        (of for start, of in _FAMILIES.items() if any(name.startswith(start) for name in unexpected)), None
    )
    hint = f"They look like those of {family}" if family else "Choose the --model that they were trained with"
    return ModelFileError(f"{source}: the weights belong to another network: {'; '.join(parts)}. {hint}.")


def _parts(names: Iterable[str]) -> list[str]:
    """The modules that tensors belong to, each once."""
    return list(dict.fromkeys(name.rpartition(".")[0] or name for name in names))

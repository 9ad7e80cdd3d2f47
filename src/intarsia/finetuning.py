"""Beginning with weights trained elsewhere, and refusing a network that does not fit, before the first step."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from intarsia.errors import ModelFileError, SettingsError, first_line, listing
from intarsia.modelfile import MODEL_FILE, ModelCard, is_model_file, read_model_file
from intarsia.networks import CUSTOM, find_network, published_or_foreign
from intarsia.networks.contract import Pretrained
from intarsia.networks.segmenter import Segmenter
from intarsia.networks.transfer import refuse_no_numbers, transfer
from intarsia.settings import Settings


def begin_with(segmenter: Segmenter, card: ModelCard) -> tuple[ModelCard, tuple[str, ...]]:
    """Puts the weights that `model.pretrained` names into a segmenter, with their statistics where they fit.

    Args:
        segmenter: with fresh weights, and the statistics of the training images.
        card: its card.

    Returns:
        The card with the weights' source and licence; lines that tell what became of each tensor.

    Raises:
        SettingsError: nothing is published for this network.
        ModelFileError: a file is missing, damaged, or of another network.
        MachineError: the weights cannot be got.
    """
    chosen = card.model.pretrained
    if chosen is False or chosen is None:
        return card, ()
    path = weights_file(chosen) if isinstance(chosen, str) else None
    if path is not None and is_model_file(path):
        found = _of_our_own(path, card)
    else:
        found = published_or_foreign(card.blueprint, path)
    prefixes = find_network(str(card.model.name)).encoder(segmenter.network)
    done = transfer(segmenter.network, found, card.blueprint, prefixes)
    told = (
        f"weights: {found.source}; licence: {found.licence}",
        str(done),
        _take_statistics(segmenter, found, card),
    )
    return replace(card, weights={"source": found.source, "licence": found.licence}), told


def weights_file(chosen: str) -> Path:
    """The file that `model.pretrained` names, or that of a folder: a run, or what save_pretrained wrote.

    Raises:
        ModelFileError: there is none.
    """
    path = Path(chosen).expanduser()
    if not path.exists():
        raise ModelFileError(
            f"model.pretrained = {path}: does not exist. Give true, false, or a file or folder with weights."
        )
    if path.is_dir() and not (path / MODEL_FILE).is_file():
        raise ModelFileError(f"model.pretrained = {path}: holds no {MODEL_FILE}.")
    return path / MODEL_FILE if path.is_dir() else path


def shape_in(chosen: object) -> dict[str, Any]:
    """The section `model` of the run that `model.pretrained` names; nothing where it names no run of ours."""
    if not isinstance(chosen, str) or not is_model_file(path := weights_file(chosen)):
        return {}
    header, _ = read_model_file(path)
    return dict(header["model"])


def _of_our_own(path: Path, card: ModelCard) -> Pretrained:
    """Weights that `intarsia train` wrote, with their own statistics and what is known of where they came from."""
    header, tensors = read_model_file(path)
    stem, wanted = header["model"].get("stem") or 1, card.model.stem or 1
    if stem != wanted:
        raise ModelFileError(
            f"{path}: was trained with model.stem = {stem}, this network has {wanted}. Leave model.stem out: it is "
            "taken from the weights."
        )
    mean, std = (tuple(tensors.pop(name).flatten().tolist()) for name in ("mean", "std"))
    tensors = {name.removeprefix("network."): tensor for name, tensor in tensors.items()}
    refuse_no_numbers(tensors, str(path))
    source, known = f"{path} ({header['model']['name']})", header.get("weights") or {}
    return Pretrained(
        tensors, source, known.get("licence", "your own"), mean, std, dtype=header.get("dtype", "uint8")
    )


def _take_statistics(segmenter: Segmenter, found: Pretrained, card: ModelCard) -> str:
    """The weights' own mean and deviation where the images are of their kind, else the data's own stay."""
    mean, std = found.mean, found.std
    ours = "input: mean and deviation of the training images"
    if mean is None or std is None:
        return f"{ours}, since the weights' own are not known"
    bands, wanted = segmenter.bands, len(mean)
    if card.dtype != found.dtype:
        return f"{ours}, since the weights' own are for {found.dtype}, and these are {card.dtype}"
    if bands == 1 and wanted == 3:  # as a grey picture with three equal bands
        mean, std = (sum(mean) / 3,), (sum(std) / 3,)
    elif bands != wanted:
        return f"{ours}, since the weights' own are for {wanted} bands"
    with torch.no_grad():
        for buffer, values in ((segmenter.mean, mean), (segmenter.std, std)):
            buffer.copy_(torch.tensor(values).view_as(buffer))
    whose = "of ImageNet, since nothing states the weights' own" if found.assumed else "as the weights had them"
    return f"input: mean and deviation {whose} ({', '.join(f'{value:.1f}' for value in mean)})"


def refuse_unfit(segmenter: Segmenter, card: ModelCard, settings: Settings) -> bool:
    """Sends shapes without numbers through the network: what cannot be trained with shows now, at no cost.

    Returns:
        Whether some parameters get no gradient; also where that cannot be told without numbers.

    Raises:
        SettingsError: BatchNorm is left with a single value; or a network of the user's own does not take the
            images, has another number of classes, or cannot learn.
    """
    train = settings.train
    assert train.size is not None
    assert train.batch is not None
    processes = train.processes or 1
    batch = train.batch // processes
    if not batch:
        raise SettingsError(
            f"train.batch = {train.batch} cannot be shared by {processes} processes. Give more pairs."
        )
    shapes = deepcopy(segmenter).to("meta").train()
    height, width = train.size
    heads: list[tuple[Tensor, Tensor]] = []
    for size in ((height, width), (height + segmenter.stride, width)):
        image = torch.empty(batch, card.bands, *size, device="meta")
        target = torch.empty(batch, *size, dtype=torch.int64, device="meta")
        try:
            heads = shapes.heads(image, target)
        except Exception as error:  # a network of the user's own may raise anything
            _refuse(error, card, settings, f"{batch} images of {size[0]}x{size[1]}, {card.bands} bands")
            return True
    logits = heads[0][0]
    if logits.shape[1] != len(card.labels):
        raise SettingsError(
            f"Your network gives {logits.shape[1]} logits for each pixel; the dataset has {len(card.labels)} "
            f"classes: {listing(card.labels.names)}."
        )
    if not any(logits.requires_grad for logits, _ in heads):
        raise SettingsError(
            "The network learns nothing: no parameter that learns has an influence on its logits. Let some have "
            "requires_grad=True, and none be cut off by detach() or no_grad()."
        )
    return _leaves_some_idle(shapes, [logits for logits, _ in heads])


def _leaves_some_idle(shapes: Segmenter, heads: Sequence[Tensor]) -> bool:
    """Whether a parameter without numbers gets no gradient from these heads."""
    try:
        torch.autograd.backward([logits.sum() for logits in heads])
    except Exception:  # an operation that needs numbers for its gradient
        return True
    return any(parameter.grad is None for parameter in shapes.parameters() if parameter.requires_grad)


def _refuse(error: Exception, card: ModelCard, settings: Settings, batch: str) -> None:
    """Says what a network cannot take; an operation that needs numbers says nothing."""
    reason = first_line(error)
    if "more than 1 value per channel" in reason:
        mend = ", or model.norm=group" if card.model.name == "unet" else ""
        raise SettingsError(
            f"train.batch = {settings.train.batch} with train.size = {settings.train.size} leaves BatchNorm a "
            f"single value. Use a larger size or batch{mend}."
        ) from None
    if card.model.name == CUSTOM and "meta" not in reason:
        raise SettingsError(f"Your network does not take a batch of {batch}: {reason}.") from None
    if isinstance(error, AssertionError):  # timm's word for a size that it does not take
        raise SettingsError(
            f"Network {card.model.name}: takes no batch of {batch}: {reason}. Choose one that takes any size."
        ) from None
    if not isinstance(error, RuntimeError):
        raise error

"""Beginning with weights trained elsewhere, and refusing a network that does not fit, before the first step."""

from copy import deepcopy
from dataclasses import replace

import torch

from intarsia.errors import SettingsError, listing
from intarsia.modelfile import ModelCard
from intarsia.networks import CUSTOM, find_network, pretrained_for
from intarsia.networks.contract import Pretrained
from intarsia.networks.segmenter import Segmenter
from intarsia.networks.transfer import transfer
from intarsia.settings import Settings


def begin_with(segmenter: Segmenter, card: ModelCard, dtype: str) -> tuple[ModelCard, tuple[str, ...]]:
    """Puts the weights that `model.pretrained` names into a segmenter, with their statistics where they fit.

    Args:
        segmenter: with fresh weights, and the statistics of the training images.
        card: its card.
        dtype: of the training images.

    Returns:
        The card with the weights' source and licence; lines that tell what became of each tensor.

    Raises:
        SettingsError: nothing is published for this network.
        ModelFileError: a file is damaged, or of another network.
        MachineError: the weights cannot be got.
    """
    if card.model.name == CUSTOM:
        return card, ()
    found = pretrained_for(card.blueprint)
    if found is None:
        return card, ()
    prefixes = find_network(str(card.model.name)).encoder(segmenter.network)
    done = transfer(segmenter.network, found, card.blueprint, prefixes)
    told = [
        f"weights: {found.source}; licence: {found.licence}",
        str(done),
        _take_statistics(segmenter, found, dtype),
    ]
    return replace(card, weights={"source": found.source, "licence": found.licence}), tuple(told)


def _take_statistics(segmenter: Segmenter, found: Pretrained, dtype: str) -> str:
    """The weights' own mean and deviation where the images are of their kind, else the data's own stay."""
    mean, std = found.mean, found.std
    ours = "input: mean and deviation of the training images"
    if mean is None or std is None:
        return ours
    bands, wanted = segmenter.bands, len(mean)
    if dtype != "uint8":
        return f"{ours}, since the weights' own are for 8 bits"
    if bands == 1 and wanted == 3:  # as a grey picture with three equal bands
        mean, std = (sum(mean) / 3,), (sum(std) / 3,)
    elif bands != wanted:
        return f"{ours}, since the weights' own are for {wanted} bands"
    with torch.no_grad():
        for buffer, values in ((segmenter.mean, mean), (segmenter.std, std)):
            buffer.copy_(torch.tensor(values).view_as(buffer))
    return f"input: mean and deviation as the weights had them ({', '.join(f'{value:.1f}' for value in mean)})"


def refuse_unfit(segmenter: Segmenter, card: ModelCard, settings: Settings) -> None:
    """Sends shapes without numbers through the network: what cannot be trained with shows now, at no cost.

    Raises:
        SettingsError: BatchNorm is left with a single value; or a network of the user's own does not take the
            images, or has another number of classes.
    """
    train = settings.train
    assert train.size is not None
    assert train.batch is not None
    shapes = deepcopy(segmenter).to("meta").train()
    image = torch.empty(train.batch, card.bands, *train.size, device="meta")
    target = torch.empty(train.batch, *train.size, dtype=torch.int64, device="meta")
    own = card.model.name == CUSTOM
    try:
        (logits, _), *_ = shapes.heads(image, target)
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        mend = ", or model.norm=group" if card.model.name == "unet" else ""
        raise SettingsError(
            f"train.batch = {train.batch} with train.size = {train.size} leaves BatchNorm a single value. Use a "
            f"larger size or batch{mend}."
        ) from None
    except (RuntimeError, TypeError) as error:
        if not own or "meta" in str(error):  # an operation that needs numbers: nothing is known, nothing is said
            return
        raise SettingsError(
            f"Your network does not take a batch of {train.batch} images with {card.bands} bands, padded to "
            f"multiples of {segmenter.stride}: {str(error).splitlines()[0].rstrip('.')}."
        ) from None
    if logits.shape[1] != len(card.labels):
        raise SettingsError(
            f"Your network gives {logits.shape[1]} logits for each pixel; the dataset has {len(card.labels)} "
            f"classes: {listing(card.labels.names)}."
        )

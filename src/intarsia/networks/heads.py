"""What a network may give, and what we make of it: a list of logits, the main head's first.

Legend: B batch, C classes, Q queries, h, w height and width at which the network gives its answer.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_SMALLEST_SCORE = 1e-6  # its logarithm is finite, and so is the gradient


def heads_of(output: object) -> list[Tensor]:
    """Logits of every head: the main one, then the auxiliary ones, which only training looks at.

    Args:
        output: what a network returned. Known are a tensor [B, C, h, w]; a mapping with "out" and perhaps "aux", as
            torchvision has it; a pair of masks and labels [B, C], as segmentation_models_pytorch has it; an object
            with `.logits`, and one with `.class_queries_logits` and `.masks_queries_logits`, as transformers has
            them.

    Returns:
        Tensors [B, C, h, w]; an auxiliary head that judges the whole picture gives [B, C].

    Raises:
        TypeError: it is none of these.
    """
    if isinstance(output, Tensor):
        heads = [output]
    elif isinstance(output, Mapping) and "out" in output:
        heads = [output["out"], *([output["aux"]] if "aux" in output else [])]
    elif hasattr(output, "masks_queries_logits") and hasattr(output, "class_queries_logits"):
        heads = [semantic_logits(output.class_queries_logits, output.masks_queries_logits)]
    elif hasattr(output, "logits"):
        heads = [output.logits]
    elif isinstance(output, tuple) and output:
        heads = list(output)
    else:
        heads = []
    if not heads or not all(isinstance(head, Tensor) for head in heads) or heads[0].ndim != 4:
        raise TypeError(
            f"The network gave {_described(output)}. Expected are logits [B, C, h, w], a dict with 'out', or an "
            "object with .logits."
        )
    return heads


def drop_auxiliary(network: nn.Module) -> None:
    """Takes the auxiliary heads off a network (our U-Net, torchvision's, smp's) that only predicts from now on."""
    for name in ("auxiliary", "aux_classifier", "classification_head"):
        if isinstance(getattr(network, name, None), nn.Module):
            setattr(network, name, None)


def semantic_logits(class_queries: Tensor, mask_queries: Tensor) -> Tensor:
    """Per-pixel logits of a network that answers in masks: log of sum over q of p_q(class) * p_q(pixel).

    The sum is the semantic inference of Cheng, Schwing, Kirillov: "Per-Pixel Classification is Not All You Need"
    (2021), section 3.4. Its logarithm has the same order, and a softmax over it is the sum, normalised.

    Args:
        class_queries: [B, Q, C + 1] logits; the last class means "nothing".
        mask_queries: [B, Q, h, w] logits.

    Returns:
        [B, C, h, w] float32.
    """
    with torch.autocast(mask_queries.device.type, enabled=False):
        classes = F.softmax(class_queries.float(), dim=-1)[..., :-1]
        scores = torch.einsum("bqc,bqhw->bchw", classes, mask_queries.float().sigmoid())
        return scores.clamp(min=_SMALLEST_SCORE).log()


def _described(output: object) -> str:
    if isinstance(output, Tensor):
        return f"a tensor of shape {tuple(output.shape)}"
    if isinstance(output, Mapping):
        return f"a dict with {', '.join(map(repr, output)) or 'nothing in it'}"
    return f"a {type(output).__name__}"

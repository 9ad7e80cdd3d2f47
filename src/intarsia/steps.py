"""The gradient of one optimizer step: batches in portions, over all processes, as of one batch.

A loss is a mean over counted pixels, each with the weight of its class. The step's loss is that mean over all
portions of all processes: their losses, each weighed by its share of the counted weight. Where a loss is a sum over
pixels, that is the loss of the whole batch, however it is cut; losses that look at areas (Dice, Tversky, Lovász,
boundaries) or choose pixels (ohem) are taken within each portion.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from intarsia.checkpoint import State
from intarsia.data.dataset import Batch
from intarsia.errors import MachineError, first_line
from intarsia.losses import counted_weight, of_all_heads
from intarsia.memory import is_out_of_memory
from intarsia.networks import CUSTOM
from intarsia.networks.segmenter import Segmenter
from intarsia.preparation import Setup
from intarsia.sharding import added_up, is_sharded, own_part

_ADVICE = "Start a run with a lower train.batch or train.size, or with a smaller network."
_DTYPE = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}

Heads = list[tuple[Tensor, Tensor]]
Learner = Callable[[Tensor, Tensor], Heads]
"""image [B, bands, H, W] and mask [B, H, W] -> (logits, target) of every head, as `Segmenter.heads` gives them."""


def make_learner(setup: Setup, segmenter: Segmenter) -> Learner:
    """The segmenter as it learns: alone, or with the other processes, which then have the same gradients.

    To be made anew when other parameters learn than before: DistributedDataParallel looks at them once.
    """
    heads = _Heads(segmenter, coarse=setup.settings.loss.resolution == "network")
    alone = setup.world.size == 1 or not any(parameter.requires_grad for parameter in heads.parameters())
    if alone or is_sharded(segmenter):
        return heads
    ids = [setup.device] if setup.device.type == "cuda" else None
    return DistributedDataParallel(
        heads,
        device_ids=ids,
        find_unused_parameters=setup.idle,
        gradient_as_bucket_view=True,
        # Those of our sources are statistics of BatchNorm: nothing reads them before a validation makes them equal.
        broadcast_buffers=setup.card.model.name == CUSTOM,
    )


class _Heads(nn.Module):
    """`Segmenter.heads` as the forward of a module, which is what DistributedDataParallel watches."""

    def __init__(self, segmenter: Segmenter, *, coarse: bool) -> None:
        super().__init__()
        self.segmenter = segmenter
        self.coarse = coarse

    def forward(self, image: Tensor, mask: Tensor) -> Heads:
        return self.segmenter.heads(image, mask, coarse=self.coarse)


def gradient(setup: Setup, state: State, learner: Learner, batches: Sequence[Batch]) -> Tensor:
    """Sets the gradients of the segmenter to those of the mean loss over `batches` of all processes.

    Where they do not fit into the memory, they are cut into twice as many portions until they do, which is said and
    kept for the rest of the training.

    Returns:
        That loss, a scalar on the device; gradients are multiplied by the scaler's scale.

    Raises:
        MachineError: not even a single pair fits, or one of several processes has no memory left.
    """
    while True:
        try:
            return _gradient(setup, state, learner, batches)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError, ValueError) as error:
            if state.portions > 1 and "more than 1 value per channel" in str(error):
                raise MachineError(f"Out of memory, and BatchNorm takes no smaller portions. {_ADVICE}") from None
            if not is_out_of_memory(error):
                raise
            told = first_line(error)
        state.optimizer.zero_grad(set_to_none=True)
        if setup.device.type == "cuda":
            torch.cuda.empty_cache()
        _cut_finer(setup, state, max(len(image) for image, _ in batches), told)


def _gradient(setup: Setup, state: State, learner: Learner, batches: Sequence[Batch]) -> Tensor:
    loss_settings = setup.settings.loss
    ignored = setup.card.labels.ignore_index
    portions = [portion for batch in batches for portion in _portions(batch, state.portions)]
    usual = setup.pixels_in_a_batch  # the same for all: it only keeps the sums near 1
    sums = torch.zeros(2, device=setup.device)  # of loss * weight, of weight
    for number, portion in enumerate(portions, start=1):
        image, mask = (tensor.to(setup.device, non_blocking=True) for tensor in portion)
        with _not_exchanged(learner, state.segmenter) if number < len(portions) else nullcontext():
            with torch.autocast(setup.device.type, **_autocast(setup)):
                heads = learner(image, mask)
            loss = of_all_heads(setup.loss, heads, loss_settings.auxiliary_weight, ignored)
            weight = counted_weight(heads[0][1], setup.class_weights, ignored) / usual
            torch.autograd.backward(state.scaler.scale(loss * weight))
        sums += torch.stack([loss.detach() * weight, weight])
    total, weight = setup.world.total(sums)
    weight = torch.where(weight > 0, weight, torch.ones_like(weight))
    gradients = [parameter.grad for parameter in state.segmenter.parameters() if parameter.grad is not None]
    if gradients:
        torch._foreach_mul_(
            [own_part(one) for one in gradients], setup.world.size / weight
        )  # the processes' gradients were averaged
    mean: Tensor = total / weight
    return mean


def _portions(batch: Batch, number: int) -> list[Batch]:
    image, mask = batch
    return list(zip(image.chunk(number), mask.chunk(number), strict=True))


def _not_exchanged(learner: Learner, segmenter: Segmenter) -> AbstractContextManager[None]:
    """Within, gradients are added up in each process: they are exchanged once in a step."""
    if is_sharded(segmenter):
        return added_up(segmenter)
    return learner.no_sync() if isinstance(learner, DistributedDataParallel) else nullcontext()


def _cut_finer(setup: Setup, state: State, batch: int, told: str) -> None:
    """Doubles the number of portions.

    Raises:
        MachineError: that is not possible.
    """
    if setup.world.size > 1:
        raise MachineError(f"Out of memory in one of {setup.world.size} processes: {told}. {_ADVICE}")
    if state.portions >= batch:
        raise MachineError(
            f"Out of memory even with one pair of {setup.settings.train.size} at a time: {told}. {_ADVICE}"
        )
    state.portions *= 2
    of_each = -(-batch // state.portions)
    setup.run.say(
        f"Out of memory: from here on each batch is learned in portions of {of_each}, with the same effective "
        "batch. BatchNorm, and losses that look at areas, see one portion at a time."
    )


def compile_network(setup: Setup, segmenter: Segmenter) -> None:
    """torch.compile for the network as it learns; where that does not work, it says why and leaves it as it is.

    A copy is tried first, on a batch of nothing: statistics of BatchNorm and random numbers stay as they are.
    """
    train = setup.settings.train
    assert train.size is not None
    assert train.batch is not None
    batch = -(-train.batch // setup.world.size)
    image = torch.zeros(batch, segmenter.bands, *train.size, device=setup.device)
    mask = torch.zeros(batch, *train.size, dtype=torch.int64, device=setup.device)
    devices = [setup.device] if setup.device.type == "cuda" else []
    try:
        trial = deepcopy(segmenter).train()
        with torch.random.fork_rng(devices), torch.autocast(setup.device.type, **_autocast(setup)):
            trial.network.compile()
            heads = trial.heads(image, mask, coarse=setup.settings.loss.resolution == "network")
        torch.autograd.backward([logits.float().mean() for logits, _ in heads])
    except Exception as error:  # whatever the compiler or the network raises
        lines = [line.strip() for line in str(error).splitlines()]
        reason = next((line for line in lines if line and not line.endswith("raised:")), "")
        setup.run.say(f"warning: train.compile: not compiled: {type(error).__name__}: {reason}")
    else:
        segmenter.network.compile()
        setup.run.say("compiled")


def _autocast(setup: Setup) -> dict[str, Any]:
    precision = setup.settings.train.precision
    assert precision is not None
    return {"dtype": _DTYPE[precision], "enabled": precision != "fp32"}

"""A network in parts: each of several processes keeps its share of weights, gradients and optimizer state.

torch's FSDP2 (`fully_shard`), for networks that are too large for one GPU with all that belongs to them. A block is
gathered while it computes, and given up again. Whatever is saved or judged is gathered to a whole first, so that
checkpoints and model files are the same as ever. All functions but `own_part` are to be called by all processes.

What torch has for it is imported where weights are really shared: that takes most of a second.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from torch.distributed.checkpoint.state_dict import StateDictOptions


def shard(model: nn.Module, *forwards: str) -> None:
    """Shares a model among all processes, in place.

    Args:
        model: on its device; optimizers are to be made afterwards.
        forwards: its methods that compute, beside `forward`.
    """
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    model.to(memory_format=torch.contiguous_format)  # FSDP2 takes no other
    for block in reversed(list(_blocks(model))):  # what lies within others comes first
        fully_shard(block)
    fully_shard(model)
    for forward in forwards:
        register_fsdp_forward_method(model, forward)


def is_sharded(model: nn.Module) -> bool:
    """Whether `shard` was here."""
    return hasattr(model, "set_requires_gradient_sync")


def own_part(tensor: Tensor) -> Tensor:
    """What this process has of a tensor: all of it, where it is not shared."""
    part: Tensor = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return part


def clip_gradients(model: nn.Module, largest: float) -> Tensor:
    """Scales the gradients so that their norm is at most `largest`; the norm before it, a scalar."""
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), largest)
    whole: Tensor = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
    return whole


@contextmanager
def added_up(model: nn.Module) -> Iterator[None]:
    """Within, gradients are added up in each process instead of exchanged."""
    model.set_requires_gradient_sync(False)  # type: ignore[operator]
    try:
        yield
    finally:
        model.set_requires_gradient_sync(True)  # type: ignore[operator]


def whole_model(model: nn.Module, *, everywhere: bool = True) -> dict[str, Any]:
    """The state of a model, gathered; where not `everywhere`, in the first process alone, in its main memory."""
    if not is_sharded(model):
        return model.state_dict()
    from torch.distributed.checkpoint.state_dict import get_model_state_dict

    return get_model_state_dict(model, options=_gathered(everywhere))


def whole_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The state of an optimizer, gathered into the main memory of the first process."""
    if not is_sharded(model):
        return optimizer.state_dict()
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict

    return dict(get_optimizer_state_dict(model, optimizer, options=_gathered(everywhere=False)))


def load_whole_model(model: nn.Module, saved: Mapping[str, Any]) -> None:
    """Gives a model the state that `whole_model` gathered; every process has all of it."""
    if is_sharded(model):
        from torch.distributed.checkpoint.state_dict import set_model_state_dict

        set_model_state_dict(model, dict(saved), options=_gathered())
    else:
        model.load_state_dict(saved)


def load_whole_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """Gives an optimizer the state that `whole_optimizer` gathered."""
    if is_sharded(model):
        from torch.distributed.checkpoint.state_dict import set_optimizer_state_dict

        set_optimizer_state_dict(model, optimizer, saved, options=_gathered())
    else:
        optimizer.load_state_dict(saved)


def _gathered(everywhere: bool = True) -> "StateDictOptions":
    from torch.distributed.checkpoint.state_dict import StateDictOptions

    return StateDictOptions(full_state_dict=True, cpu_offload=not everywhere)


def _blocks(model: nn.Module) -> Iterator[nn.Module]:
    """What a network repeats: the members of its lists, if they are modules that compute and not lists again."""
    for module in model.modules():
        if isinstance(module, nn.ModuleList):
            for member in module:
                if not isinstance(member, nn.ModuleList | nn.ModuleDict) and any(True for _ in member.parameters()):
                    yield member

"""Processes that train together, as `torchrun` starts them; a training alone is a world of one.

Everything that must be the same in all processes goes through here: numbers are agreed on, tensors are summed,
objects are collected, and what only one may do (write, ask, choose) the first one does and tells the others.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from intarsia.errors import IntarsiaError, MachineError, SettingsError

_PATIENCE = timedelta(minutes=30)  # of one process for another: the first may read a large dataset meanwhile
_BACKENDS = "cpu:gloo,cuda:nccl"

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """Who trains together.

    Attributes:
        rank: number of this process, from 0.
        size: number of processes.
        local_rank: number of this process on its machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def own_device(self, device: torch.device) -> torch.device:
        """The GPU of this process where the device is "cuda" without a number; else the device."""
        if device.type == "cuda" and device.index is None and self.size > 1:
            device = torch.device("cuda", self.local_rank)
            torch.cuda.set_device(device)
        return device

    def largest(self, *numbers: float) -> list[float]:
        """Of each number, the largest that any process gave."""
        if self.size == 1:
            return list(numbers)
        together = torch.tensor(numbers, dtype=torch.float64)
        dist.all_reduce(together, dist.ReduceOp.MAX)
        return together.tolist()

    def total(self, tensor: Tensor) -> Tensor:
        """The sum over all processes, in the tensor's own dtype: exact for integers."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def collected(self, thing: T) -> list[T]:
        """What each process gave, in the order of their numbers; any object that can be pickled."""
        if self.size == 1:
            return [thing]
        things: list[Any] = [None] * self.size
        dist.all_gather_object(things, thing)
        return things

    def told(self, make: Callable[[], T]) -> T:
        """What `make` returns in the first process; the others are told it, and end quietly where it failed there.

        Raises:
            IntarsiaError: whatever `make` raises, in the first process.
            SystemExit: the same exit code, in the others.
        """
        if self.size == 1:
            return make()
        answer: list[Any] = [None, None]
        failure = None
        if self.first:
            try:
                answer[0] = make()
            except IntarsiaError as error:
                failure, answer[1] = error, error.exit_code
        dist.broadcast_object_list(answer, src=0)
        if failure:
            raise failure
        if answer[1] is not None:
            raise SystemExit(answer[1])
        made: T = answer[0]
        return made

    def equal(self, tensors: Iterable[Tensor]) -> None:
        """Gives all processes the values that these tensors have in the first one."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)


@contextmanager
def joined(expected: int | None = None) -> Iterator[World]:
    """Joins the processes that `torchrun` started, and leaves them at the end.

    Args:
        expected: how many there should be; None for as many as there are.

    Raises:
        SettingsError: there are fewer or more.
        MachineError: they cannot be reached, or one of them ended before the others.
    """
    size = dist.get_world_size() if dist.is_initialized() else int(os.environ.get("WORLD_SIZE", "1"))
    if expected is not None and expected != size:
        raise SettingsError(
            f"train.processes = {expected}: there {'is' if size == 1 else 'are'} {size}. Start as many with: "
            f"torchrun --nproc-per-node {expected} -m intarsia train ..., or leave it out."
        )
    if size == 1:
        yield World()
        return
    own = not dist.is_initialized()
    try:
        if own:
            dist.init_process_group(_BACKENDS if torch.cuda.is_available() else "gloo", timeout=_PATIENCE)
        yield World(dist.get_rank(), size, int(os.environ.get("LOCAL_RANK", dist.get_rank())))
    except (dist.DistError, RuntimeError) as error:
        if not (isinstance(error, dist.DistError) or _tells_of_a_lost_process(str(error))):
            raise
        reason = str(error).splitlines()[0].rstrip(".")
        raise MachineError(
            f"Process {os.environ.get('RANK', '?')} of {size} lost another one: {reason}. Its own message says "
            "why; the last checkpoint is whole, --resume continues from it."
        ) from error
    finally:
        if own and dist.is_initialized():
            dist.destroy_process_group()


def _tells_of_a_lost_process(text: str) -> bool:
    return any(word in text for word in ("gloo/transport", "Connection closed by peer", "Connection reset", "NCCL"))

"""Processes that train together, as `torchrun` starts them; a training alone is a world of one.

Everything that must be the same in all processes goes through here: numbers are agreed on, tensors are summed,
objects are collected, and what only one may do (write, ask, choose) the first one does and tells the others.
"""

import hashlib
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import PrefixStore, Store  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous

from intarsia.errors import IntarsiaError, MachineError, SettingsError, first_line

_PATIENCE = timedelta(minutes=30)  # of one process for another: the first may read a large dataset meanwhile
_BACKENDS = "cpu:gloo,cuda:nccl"
_LOST = (
    "gloo/transport",
    "Connection closed by peer",
    "Connection reset",
    "communicator was aborted",
    "ncclRemoteError",
)

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """Who trains together.

    Attributes:
        rank: number of this process, from 0.
        size: number of processes.
        local_rank: number of this process on its machine.
        local_size: number of processes on this machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def own_device(self, device: torch.device) -> torch.device:
        """The device as this process has it: of several, each has the GPU of its own number.

        Raises:
            SettingsError: several processes cannot train on it.
        """
        if self.size > 1:
            if device.index is not None or device.type not in ("cpu", "cuda"):
                raise SettingsError(
                    f"train.device = {device}: {self.size} processes train on cpu or cuda. Leave it out."
                )
            if device.type == "cuda":
                device = torch.device("cuda", self.local_rank)
        if device.type == "cuda" and device.index is not None:
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
        answer: list[Any] = [self.alone(make)]
        if self.size > 1:
            dist.broadcast_object_list(answer, src=0)
        made: T = answer[0]
        return made

    def alone(self, make: Callable[[], T]) -> T | None:
        """What `make` returns in the first process, and nothing in the others; they end with it where it fails.

        Raises:
            IntarsiaError: whatever `make` raises, in the first process.
            SystemExit: the same exit code, in the others.
        """
        made, failure = None, None
        if self.first:
            try:
                made = make()
            except IntarsiaError as error:
                failure = error
        codes = [failure.exit_code if failure else None]
        if self.size > 1:
            dist.broadcast_object_list(codes, src=0)
        if failure:
            raise failure
        if codes[0] is not None:
            raise SystemExit(codes[0])
        return made

    def equal(self, tensors: Iterable[Tensor]) -> None:
        """Gives all processes the values that these tensors have in the first one."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)


@contextmanager
def joined(
    expected: int | None = None,
    *,
    patience: timedelta = _PATIENCE,
    advice: str = "the last checkpoint is whole, --resume continues from it",
) -> Iterator[World]:
    """Joins the processes that `torchrun` started, and leaves them at the end.

    Args:
        expected: how many there should be; None for as many as there are.
        patience: of one for another; who is dead is noticed at once.
        advice: what to do where one was lost.

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
        local_rank = int(os.environ.get("LOCAL_RANK", os.environ.get("RANK", "0")))
        if own and torch.cuda.is_available():
            if local_rank >= torch.cuda.device_count():
                raise SettingsError(
                    f"There are {torch.cuda.device_count()} GPUs here for {local_rank + 1} processes and more. "
                    "Give torchrun a smaller --nproc-per-node."
                )
            torch.cuda.set_device(local_rank)
        if own:
            store, rank, size = next(rendezvous("env://", timeout=_PATIENCE))
            dist.init_process_group(
                _BACKENDS if torch.cuda.is_available() else "gloo",
                store=_met(store, rank, size),
                rank=rank,
                world_size=size,
                timeout=patience,
            )
        yield World(dist.get_rank(), size, local_rank, int(os.environ.get("LOCAL_WORLD_SIZE", size)))
    except RuntimeError as error:  # what torch raises is one, whatever its class
        if not any(words in str(error) for words in _LOST):
            raise
        reason = first_line(error)
        raise MachineError(
            f"Process {os.environ.get('RANK', '?')} of {size} lost another one: {reason}. Its own message says "
            f"why; {advice}."
        ) from error
    finally:
        if own and dist.is_initialized():
            dist.destroy_process_group()


def _met(store: Store, rank: int, size: int) -> Store:
    """The part of a store that belongs to this start of the processes.

    torchrun keeps one store while it starts its processes again and again, and its count of starts is of one
    machine only: a process could find the address of one that is dead (pytorch/pytorch#135712). So each leaves a
    new name, and all names together are the part's. Who reads an old name waits for one that no longer answers,
    and reads again.

    Raises:
        RuntimeError: the others did not come in time.
    """
    store.set(f"name/{rank}", uuid.uuid4().hex)
    end = time.monotonic() + _PATIENCE.total_seconds()
    while time.monotonic() < end:
        names = b"".join(store.get(f"name/{other}") for other in range(size))  # waits for each
        part = hashlib.sha256(names).hexdigest()
        store.set(f"{part}/{rank}", "here")
        if store.check([f"{part}/{other}" for other in range(size)]):
            return PrefixStore(part, store)
        time.sleep(0.05)
    raise RuntimeError(f"Process {rank} of {size} waited {_PATIENCE} for the others: Connection reset")

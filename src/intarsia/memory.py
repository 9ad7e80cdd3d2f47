"""How much memory there is, and errors that say that there is no more."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from intarsia.errors import MachineError, first_line

_WORDS = ("can't allocate memory", "out of memory", "ALLOC_FAILED")  # of torch's errors on CPUs and of cuDNN's


def memory_bytes() -> int:
    """Memory of this machine, or of the container that this process is confined to."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4 << 30
    with suppress(OSError, ValueError):  # without a limit it says "max"
        return min(physical, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return physical


def memory_of(device: torch.device) -> int:
    """Bytes that a device has in all, whoever else uses it."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return memory_bytes()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is full; some of torch's say so only in words."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(word in str(error) for word in _WORDS)


@contextmanager
def enough_memory(advice: str) -> Iterator[None]:
    """Tells of full memory within as of a matter of the machine, with what to do about it.

    Raises:
        MachineError: memory is full.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        reason = first_line(error)
        raise MachineError(f"Memory is full: {reason}. {advice}") from None

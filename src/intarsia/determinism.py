"""The same bits each time: what torch can promise, and a word on what it cannot."""

import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

import torch

_OPERATION = re.compile(r"^(\S+) does not have a deterministic implementation")


@contextmanager
def deterministic(wanted: bool, say: Callable[[str, str], None]) -> Iterator[None]:
    """Within, torch takes the operations that give the same bits each time, where it has them.

    On a CPU a training gives the same bits anyway, for the same number of threads. On a GPU cuDNN and cuBLAS are
    held to fixed algorithms; operations without one (of this task: two-dimensional cross-entropy, the gradient of
    bilinear upsampling and of adaptive pooling) run as they are, and each is told once.

    Args:
        wanted: whether to do anything at all.
        say: is told (operation, sentence) for each operation that cannot be held to its bits.
    """
    if not wanted:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when it is first used
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("always", message=_OPERATION.pattern)
            warnings.showwarning = _told(say, warnings.showwarning)
            yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.backends.cudnn.benchmark = benchmark


def _told(say: Callable[[str, str], None], otherwise: Callable[..., None]) -> Callable[..., None]:
    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if found := _OPERATION.match(str(message)):
            say(
                found[1],
                f"note: train.deterministic: torch has no deterministic {found[1]} on this device: two trainings "
                "may differ in the last bits",
            )
        else:
            otherwise(message, category, filename, lineno, file, line)

    return show

"""The processor's cores, shared by threads that compute with torch at the same time.

`torch.set_num_threads` is the process's, and yet not: it holds for the thread that calls it, and for all that first
ask torch for something later; those that have asked before keep their number.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

_MOST_THREADS = 8

T = TypeVar("T")


def threads_for(cores: int) -> int:
    """How many threads share the cores: up to 8 have one each; more go to 5 to 8, where the fewest are idle.

    Of 12 cores six threads have two each, where eight would have one; by divisors, 13 would go to one thread.
    """
    few = range(min(cores, _MOST_THREADS // 2 + 1), min(cores, _MOST_THREADS) + 1)
    return max(few, key=lambda threads: (cores // threads * threads, threads))


class Cores:
    """torch's threads, shared by the threads of one call, or of several that are made at the same time."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._parts: list[int] = []  # one for each call that is at it
        self._all = 0  # while there is one

    def number(self) -> int:
        """Threads that torch computes with where nobody shares them, even while somebody does."""
        with self._lock:  # asked of a new thread: this one may have got its number while they were shared
            return self._all if self._parts else _in_new_thread(torch.get_num_threads)

    @contextmanager
    def shared(self, threads: int) -> Iterator[None]:
        """Leaves its part to each of some threads that begin in here; the last call gives all back."""
        with self._lock:
            self._all = self.number()
            part = max(1, self._all // threads)
            self._parts.append(part)
            self._set(part)
        try:
            yield
        finally:
            with self._lock:
                self._parts.remove(part)
                self._set(self._all)

    def _set(self, own: int) -> None:
        """The number of this thread; those that begin from now on get the least of the parts."""
        torch.set_num_threads(own)
        least = min(self._parts, default=self._all)
        _in_new_thread(lambda: torch.set_num_threads(least))


def _in_new_thread(function: Callable[[], T]) -> T:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


CORES = Cores()

"""Windows, pictures in numbers, and a disk that is soon full."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from intarsia.raster.contract import Window


def windows(height: int, width: int) -> st.SearchStrategy[Window]:
    """Any window within a picture."""

    def span(size: int) -> st.SearchStrategy[tuple[int, int]]:
        starts = st.integers(0, size - 1)
        return starts.flatmap(lambda start: st.tuples(st.just(start), st.integers(1, size - start)))

    return st.builds(lambda y, x: Window(y[0], x[0], y[1], x[1]), span(height), span(width))


def cut(array: np.ndarray, window: Window) -> np.ndarray:
    """The slice of an array that a window is."""
    top, left, height, width = window
    return array[top : top + height, left : left + width]


def numbers(shape: tuple[int, ...], dtype: str, seed: int = 0) -> np.ndarray:
    """Numbers of the whole range of their kind."""
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(0, 1000, shape).astype(dtype)
    kind = np.iinfo(dtype)
    return rng.integers(kind.min, kind.max, shape, dtype=dtype, endpoint=True)


@pytest.fixture
def opened() -> Iterator[Callable[[Any], Any]]:
    """Closes at the end of a test what it opened."""
    with ExitStack() as stack:
        yield lambda source: stack.enter_context(closing(source))

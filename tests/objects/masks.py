"""Small random masks, cut into strips at random, and slow ways to find what is in them."""

from collections.abc import Iterator, Sequence

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.uint8]


@st.composite
def masks(draw: st.DrawFn, values: Sequence[int] = (0, 1, 2), longest: int = 12) -> Mask:
    """[H, W], one row or one column too."""
    height, width = draw(st.integers(1, longest)), draw(st.integers(1, longest))
    shares = np.array([draw(st.integers(1, 6)) for _ in values])
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    mask = generator.choice(values, size=(height, width), p=shares / shares.sum())
    return mask.astype(np.uint8)


@st.composite
def cut_masks(draw: st.DrawFn, values: Sequence[int] = (0, 1, 2), longest: int = 12) -> list[Mask]:
    """A mask as strips."""
    mask = draw(masks(values, longest))
    borders = draw(st.sets(st.integers(1, len(mask))))
    return np.split(mask, sorted(borders))


def objects_of(mask: Mask, classes: Sequence[int]) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Class index and pixels of each object in the order of first pixels, as SciPy finds them."""
    found = []
    for kind in classes:
        labels, count = ndimage.label(mask == kind)
        found += [(kind, labels == number) for number in range(1, count + 1)]
    return iter(sorted(found, key=lambda one: int(np.flatnonzero(one[1])[0])))

"""No data: in floats, what a raster does not know is NaN."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def without_data(image: NDArray[Any]) -> NDArray[np.bool_] | None:
    """[H, W, bands] -> [H, W], true where all bands are NaN; None for whole numbers, which never are.

    Such a pixel counts for nothing: not in training, not in scores, and no prediction is made of it.
    """
    return np.isnan(image).all(axis=2) if image.dtype.kind == "f" else None

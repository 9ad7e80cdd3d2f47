"""Arrays as sources."""

import numpy as np

from intarsia.raster.contract import Window
from intarsia.raster.pictures import Decoded
from tests.raster.conftest import cut, numbers


def test_an_array_is_a_source():
    array = numbers((30, 40, 5), "uint16")
    source = Decoded(array, "a.png", note="told")
    assert (source.height, source.width, source.bands, source.dtype) == (30, 40, 5, np.uint16)
    assert (source.in_memory, source.note, source.path.name) == (True, "told", "a.png")
    window = Window(3, 4, 20, 36)
    assert np.array_equal(source.read(window), cut(array, window))
    assert source.read(window).base is not None  # no copy
    source.close()


def test_grey_without_its_band():
    assert Decoded(numbers((3, 4), "uint8")).read(Window(0, 0, 3, 4)).shape == (3, 4, 1)

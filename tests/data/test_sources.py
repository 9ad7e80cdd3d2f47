"""Where masks come from: one file, layers of several, shapes. What `data.shapes` draws is tested there."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from intarsia.data.sources import Layers, Shapes, files_of, path_of, read_source
from intarsia.errors import DataError

VALUES = st.sampled_from([0, 0, 1, 255])
STORED = np.array([[0, 7, 300], [1, 0, 65535]], np.uint16)


def saved(path: Path, array: np.ndarray) -> Path:
    Image.fromarray(array).save(path)
    return path


def test_a_file_is_read_in_its_encoding(tmp_path):
    path = saved(tmp_path / "a.png", STORED)
    assert np.array_equal(read_source(path, (9, 9)), STORED)
    assert np.array_equal(read_source(path, (9, 9), "objects"), STORED != 0)
    assert (path_of(path), files_of(path)) == (path, (path,))


def test_jpegs_are_read_where_values_may_be_off(tmp_path):
    path = saved(tmp_path / "a.jpg", np.full((8, 8), 255, np.uint8))
    with pytest.raises(DataError, match=r"a\.jpg: a JPEG mask"):
        read_source(path, (8, 8))
    assert np.array_equal(read_source(path, (8, 8), lossy=True), np.full((8, 8), 255))


class TestLayers:
    @given(
        layers=st.lists(arrays.arrays(np.uint8, (3, 4), elements=VALUES), min_size=1, max_size=5),
        data=st.data(),
    )
    @settings(max_examples=50, deadline=None)
    def test_the_last_that_covers_a_pixel_counts(self, tmp_path_factory, layers, data):
        folder = tmp_path_factory.getbasetemp()
        values = data.draw(st.lists(st.integers(0, 65535), min_size=len(layers), max_size=len(layers)))
        parts = tuple(
            (saved(folder / f"layer{number}.png", layer), value)
            for number, (layer, value) in enumerate(zip(layers, values, strict=True))
        )
        stacked = read_source(Layers(parts), (9, 9))
        assert stacked.dtype == np.uint16
        for row, column in np.ndindex(3, 4):
            covering = [value for layer, value in zip(layers, values, strict=True) if layer[row, column]]
            assert stacked[row, column] == (covering[-1] if covering else 0)

    @pytest.mark.parametrize("mode", ["1", "P", "RGB", "RGBA", "I;16"])
    def test_however_they_were_saved(self, tmp_path, mode):
        inside = np.array([[0, 255], [255, 0]], np.uint8)
        image = Image.fromarray(inside.astype(np.uint16) if mode == "I;16" else inside)
        (image if mode == "I;16" else image.convert(mode)).save(tmp_path / "a.png")
        assert read_source(Layers(((tmp_path / "a.png", 5),)), (2, 2)).tolist() == [[0, 5], [5, 0]]

    def test_as_objects_they_are_there_or_not(self, tmp_path):
        one = saved(tmp_path / "one.png", np.array([[1, 0, 0]], np.uint8))
        two = saved(tmp_path / "two.png", np.array([[0, 0, 9]], np.uint8))
        assert read_source(Layers(((one, 1), (two, 2))), (1, 3)).tolist() == [[1, 0, 2]]
        assert read_source(Layers(((one, 1), (two, 2))), (1, 3), "objects").tolist() == [[1, 0, 1]]
        assert read_source(Shapes(one, (), base=7), (1, 3), "objects").tolist() == [[1, 1, 1]]

    def test_different_sizes_are_refused(self, tmp_path):
        one = saved(tmp_path / "one.png", np.zeros((4, 6), np.uint8))
        two = saved(tmp_path / "two.png", np.zeros((4, 5), np.uint8))
        words = r"two\.png: mask of 4x5 \(height x width\), but one\.png of the same image has 4x6\."
        with pytest.raises(DataError, match=words):
            read_source(Layers(((one, 1), (two, 2))), (4, 6))

    def test_an_unreadable_one_is_named(self, tmp_path):
        one = saved(tmp_path / "one.png", np.zeros((4, 6), np.uint8))
        with pytest.raises(DataError, match=r"gone\.png: does not exist"):
            read_source(Layers(((one, 1), (tmp_path / "gone.png", 2))), (4, 6))
        lossy = saved(tmp_path / "lossy.jpg", np.zeros((4, 6), np.uint8))
        with pytest.raises(DataError, match=r"lossy\.jpg: a JPEG mask"):
            read_source(Layers(((lossy, 1),)), (4, 6), lossy=True)

    def test_messages_name_the_file_or_the_folder_of_several(self):
        one, two = Path("masks/a/one.png"), Path("masks/a/two.png")
        assert path_of(Layers(((one, 1),))) == one
        assert path_of(Layers(((one, 1), (two, 2)))) == Path("masks/a")
        assert files_of(Layers(((one, 1), (two, 2)))) == (one, two)


def test_shapes_are_drawn_at_the_size_that_the_file_says(tmp_path):
    path = tmp_path / "a.json"
    assert read_source(Shapes(path, (), base=4), (2, 3)).tolist() == [[4] * 3] * 2
    assert read_source(Shapes(path, (), size=(1, 2)), (2, 3)).tolist() == [[0, 0]]
    assert (path_of(Shapes(path, ())), files_of(Shapes(path, ()))) == (path, (path,))

"""Stacks of pages, and what counts as frames."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from intarsia.data.read import read_image
from intarsia.errors import DataError
from intarsia.raster.frames import Stack, is_frames, open_frames
from tests.raster.conftest import numbers


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize(("bands", "planar"), [(1, False), (3, False), (3, True), (5, True)])
def test_each_page_is_a_picture(tmp_path, dtype, bands, planar):
    pages = numbers((4, 20, 30, bands), dtype)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for page in pages:
            stored = np.moveaxis(page, -1, 0) if planar else page
            file.write(
                stored if bands > 1 else page[:, :, 0],
                photometric="minisblack",
                planarconfig=("separate" if planar else "contig") if bands > 1 else None,
                compression="deflate",
            )
    stack = open_frames(tmp_path / "a.tif")
    assert isinstance(stack, Stack)
    assert (stack.rate, stack.count) == (None, 4)
    for _ in range(2):  # each iteration begins anew
        read = list(stack)
        assert read[0].dtype == dtype
        assert np.array_equal(read, pages)


def test_pages_that_pillow_writes(tmp_path):
    pages = [Image.fromarray(page) for page in numbers((3, 8, 9, 3), "uint8")]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    assert is_frames(tmp_path / "a.tif")
    assert np.array_equal(list(Stack(tmp_path / "a.tif")), [np.asarray(page) for page in pages])


def test_a_damaged_page_is_told_after_the_good_ones(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif", numbers((4, 20, 30), "uint16"), compression="deflate", photometric="minisblack"
    )
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        offset, count = file.pages[2].dataoffsets[0], file.pages[2].databytecounts[0]
    with (tmp_path / "a.tif").open("r+b") as stream:
        stream.seek(offset)
        stream.write(b"\xa5" * count)
    frames = iter(Stack(tmp_path / "a.tif"))
    assert len([next(frames), next(frames)]) == 2
    with pytest.raises(DataError, match=r"a\.tif: damaged after page 2 of 4: "):
        next(frames)


def test_what_counts_as_frames(tmp_path):
    tifffile.imwrite(tmp_path / "one.tif", numbers((20, 30), "uint8"))
    tifffile.imwrite(tmp_path / "stack.tif", numbers((5, 20, 30), "uint8"), photometric="minisblack")
    tifffile.imwrite(tmp_path / "wide.tif", numbers((5, 20, 30), "uint16"), photometric="minisblack")
    with tifffile.TiffWriter(tmp_path / "sizes.tif") as file:
        file.write(numbers((20, 30), "uint8"))
        file.write(numbers((10, 15), "uint8"))
    with tifffile.TiffWriter(tmp_path / "pyramid.tif") as file:
        file.write(numbers((20, 30), "uint8"))
        file.write(numbers((20, 30), "uint8"), subfiletype=1)
    (tmp_path / "bad.tif").write_text("hello")
    found = {
        name: is_frames(tmp_path / f"{name}.tif") for name in ("one", "stack", "wide", "sizes", "pyramid", "bad")
    }
    assert found == dict.fromkeys(found, False) | {"stack": True, "wide": True}
    assert is_frames("film.MP4")
    assert not is_frames("photo.png")
    assert not is_frames("gone.tif")
    for name, words in (
        ("one", "holds one page"),
        ("sizes", "holds pages of 2 sizes"),
        ("pyramid", "holds one page"),
    ):
        with pytest.raises(DataError, match=rf"{name}\.tif: {words}"):
            Stack(tmp_path / f"{name}.tif")


def test_pages_that_are_the_bands_of_a_picture(tmp_path):
    """`read_image` takes pages of 16 bits for bands; of bytes it does not."""
    for dtype, one_picture in (("uint16", True), ("uint8", False)):
        path = tmp_path / f"{dtype}.tif"
        tifffile.imwrite(path, numbers((5, 20, 30), dtype), photometric="minisblack")
        assert is_frames(path, 5) == (not one_picture)
        assert is_frames(path, 1)
        if one_picture:
            assert read_image(path, 5).shape == (20, 30, 5)

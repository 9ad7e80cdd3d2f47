"""Tiles, blended: the same labels as in one piece, no seam, no shift, and memory that does not grow."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from intarsia.inference import cut, predict_blocks, predict_classes, predict_logits, tiling_for
from intarsia.networks.ensemble import Averaged, Ensemble
from intarsia.networks.segmenter import Segmenter
from intarsia.tiles import Window
from intarsia.tiling import Tiling, blended, bytes_per_pixel
from tests.small import noise, small_model

REACH = 4  # pixels to each side that NearSighted looks at


class NearSighted(nn.Module):
    """A network of bounded receptive field; its weights are whole numbers, which float32 sums without rounding."""

    def __init__(self, bands: int = 3, classes: int = 5) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(7)
        self.first = nn.Conv2d(bands, 8, 3, padding=1)
        self.second = nn.Conv2d(8, classes, 3, padding=1)
        for parameter in self.parameters():
            parameter.data = torch.randint(-3, 4, parameter.shape, generator=generator).float()

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        x = self.second(nn.functional.max_pool2d(x, 2))
        return nn.functional.interpolate(x, scale_factor=2, mode="nearest")


def near_sighted(bands: int = 3) -> Segmenter:
    return Segmenter(NearSighted(bands), 2, [0.0] * bands, [1.0] * bands).eval()


def assembled(model: Segmenter, image: np.ndarray, tiling: Tiling, batch: int = 1) -> np.ndarray:
    """Logits [C, H, W] of all blocks; each pixel must come once."""
    logits = torch.full((5, *image.shape[:2]), torch.nan)
    for window, block in predict_blocks(model, (cut(image, window) for window in tiling.windows), tiling, batch):
        place = logits[:, window.top : window.top + window.height, window.left : window.left + window.width]
        assert place.isnan().all()
        place.copy_(block)
    assert not logits.isnan().any()
    return logits.numpy()


@st.composite
def cases(draw: st.DrawFn) -> tuple[int, int, int, int, int, int]:
    overlap = 2 * draw(st.integers(2 * REACH, 20))
    tile = overlap + 2 * draw(st.integers(8, 30))
    height, width = draw(st.integers(1, 110)), draw(st.integers(1, 110))
    return height, width, tile, overlap, draw(st.integers(1, 4)), draw(st.integers(0, 99))


@settings(max_examples=200, deadline=None)
@given(cases())
def test_tiles_give_the_labels_of_the_whole_picture(case: tuple[int, int, int, int, int, int]) -> None:
    height, width, tile, overlap, batch, seed = case
    model = near_sighted()
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    whole = predict_logits(model, image).numpy()
    tiled = assembled(model, image, tiling_for(model, height, width, tile, overlap), batch)
    assert np.array_equal(tiled.argmax(axis=0), whole.argmax(axis=0))
    assert np.allclose(tiled, whole, rtol=1e-6, atol=0)  # pytest.approx: number by number, 11 s


def test_the_receptive_field_is_what_the_test_above_believes() -> None:
    model = near_sighted()
    image = noise(40, 40, 3)
    changed = image.copy()
    changed[20, 20] ^= 255
    rows, columns = (predict_logits(model, image) != predict_logits(model, changed)).any(dim=0).nonzero().T
    seen = [int(side) for side in (20 - rows.min(), rows.max() - 20, 20 - columns.min(), columns.max() - 20)]
    assert max(seen) == REACH


def test_with_too_little_overlap_the_labels_differ() -> None:
    """Or the tests above would show nothing."""
    model = near_sighted()
    image = noise(150, 150, 3)
    tiled = assembled(model, image, tiling_for(model, 150, 150, 32, 0)).argmax(axis=0)
    assert (tiled != predict_classes(model, image).numpy()).any()


@pytest.mark.parametrize("size", [(300, 410), (1, 700), (700, 1), (65, 64)], ids=str)
def test_a_constant_picture_has_no_seam(size: tuple[int, int]) -> None:
    segmenter, _ = small_model()
    image = np.full((*size, 3), 90, dtype=np.uint8)
    inner = assembled_small(segmenter, image, tiling_for(segmenter, *size, 64, 32))
    whole = predict_logits(segmenter, image).argmax(dim=0).numpy()
    assert np.array_equal(inner, whole)


def assembled_small(model: Segmenter, image: np.ndarray, tiling: Tiling) -> np.ndarray:
    classes = np.full(image.shape[:2], 255)
    for window, logits in predict_blocks(model, (cut(image, window) for window in tiling.windows), tiling):
        cut(classes, window)[:] = logits.argmax(dim=0).numpy()
    return classes


def test_what_fades_is_between_the_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tiles that give 0 and 1: the picture rises from 0 to 1 without a step."""
    tiling = Tiling.of(1, 28, 16, 4, 1)
    assert [(column.start, column.stop) for column in tiling.columns] == [(0, 16), (12, 28)]
    answers = [torch.zeros(1, 1, 16), torch.ones(1, 1, 16)]
    row = torch.cat([block.logits for block in blended(answers, tiling)], dim=2).flatten().numpy()
    assert row[:13] == pytest.approx(np.zeros(13))
    assert row[15:] == pytest.approx(np.ones(13))
    assert 0 < row[13] < 0.5 < row[14] < 1


def test_tiles_are_read_in_order_and_once() -> None:
    model = near_sighted()
    seen: list[Window] = []

    def read(window: Window) -> np.ndarray:
        seen.append(window)
        return noise(window.height, window.width, 3)

    tiling = tiling_for(model, 100, 90, 32, 16)
    for _ in predict_blocks(model, map(read, tiling.windows), tiling, 3):
        pass
    assert seen == list(tiling.windows)
    assert len(set(seen)) == len(seen) > 20


def test_what_a_reader_raises_arrives() -> None:
    def read(window: Window) -> np.ndarray:
        if window.top:
            raise OSError("the disk is gone")
        return noise(window.height, window.width, 3)

    model = near_sighted()
    tiling = tiling_for(model, 200, 60, 32, 0)
    with pytest.raises(OSError, match="the disk is gone"):
        list(predict_blocks(model, map(read, tiling.windows), tiling))


@pytest.mark.parametrize(
    ("wrap", "equal"),
    [(lambda one: one, 1), (lambda one: Ensemble([one, one]), 1), (Averaged, 0.98)],
    ids=["one", "several", "averaged"],  # averaged: the sizes of scaled tiles are rounded
)
def test_every_kind_of_model_is_tiled(wrap: type, equal: float) -> None:
    model = wrap(near_sighted())
    image = noise(90, 70, 3)
    whole = predict_logits(model, image)
    tiled = assembled(model, image, tiling_for(model, 90, 70, 64, 32))
    assert (tiled.argmax(axis=0) == whole.argmax(dim=0).numpy()).mean() >= equal
    assert tiled.shape == tuple(whole.shape)


def test_small_pictures_are_predicted_in_one_piece() -> None:
    model = near_sighted()
    for size in ((1, 1), (1024, 1024), (1, 1_000_000), (3000, 4000)):
        assert len(list(tiling_for(model, *size).windows)) == 1
    for size in ((4001, 4000), (20_000, 20_000)):
        assert {window.height for window in tiling_for(model, *size).windows} <= set(range(1025))


def test_little_memory_makes_small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    model = near_sighted()
    each = bytes_per_pixel(model)
    monkeypatch.setattr("intarsia.inference.memory_of", lambda device: 4 * each * 520**2)
    assert max(window.height for window in tiling_for(model, 3000, 4000).windows) == 512
    monkeypatch.setattr("intarsia.inference.memory_of", lambda device: 1)
    assert max(window.height for window in tiling_for(model, 3000, 4000).windows) == 256


def test_tiles_are_as_large_as_what_the_model_has_learned_from() -> None:
    model = near_sighted()
    assert max(window.height for window in tiling_for(model, 9000, 9000, least=1600).windows) == 1600


def test_the_memory_of_a_pixel_counts_every_layer() -> None:
    """8 channels, 5 at half the size, and five classes thrice; ReLU and pooling are functions, and not seen."""
    assert bytes_per_pixel(near_sighted()) == pytest.approx(4 * (8 + 5 / 4 + 3 * 5), abs=1)
    assert bytes_per_pixel(Ensemble([near_sighted()] * 2)) > bytes_per_pixel(near_sighted())


def test_large_pictures_have_the_classes_of_their_tiles() -> None:
    model = near_sighted()
    image = noise(1100, 1000, 3)
    classes = predict_classes(model, image)
    assert (classes.shape, classes.dtype) == ((1100, 1000), torch.int64)
    assert classes.equal(predict_logits(model, image).argmax(dim=0))


def test_what_is_no_number_spoils_nothing_around_it() -> None:
    """Rasters have NaN outside: it is seen as the mean of the training's pictures."""
    segmenter, _ = small_model()
    segmenter.mean.fill_(100)
    image = noise(60, 60, 3).astype(np.float32)
    image[20:30, 20:30] = 100
    expected = predict_logits(segmenter, image)
    for hole in (np.nan, np.inf, -np.inf):
        image[20:30, 20:30] = hole
        assert predict_logits(segmenter, image).equal(expected)

"""The segmenter owns its input: normalising, padding, folding and cropping, each seen through a known network."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from intarsia.networks.segmenter import Segmenter
from intarsia.networks.unet import UNet

MEAN, STD = (10.0, 100.0, 200.0), (2.0, 50.0, 5.0)
SIZES = st.integers(1, 70)


class Recorder(nn.Module):
    """Gives back its input, and keeps it."""

    def forward(self, x: Tensor) -> Tensor:
        self.seen = x
        return x


def photo(height: int, width: int) -> Tensor:
    return torch.randint(256, (2, 3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(5))


def test_bands_are_normalised_by_mean_and_std() -> None:
    image = torch.tensor([[[[10, 14]], [[0, 200]], [[205, 190]]]], dtype=torch.uint8)
    expected = torch.tensor([[[[0.0, 2.0]], [[-2.0, 2.0]], [[1.0, -2.0]]]])
    torch.testing.assert_close(Segmenter(Recorder(), 1, MEAN, STD)(image), expected)


def test_uint8_and_float32_give_the_same_logits() -> None:
    segmenter = Segmenter(UNet(3, 4, width=4, depth=1), 2, MEAN, STD).eval()
    assert segmenter(photo(9, 7)).equal(segmenter(photo(9, 7).float()))


@pytest.mark.parametrize("stem", [1, 2])
@pytest.mark.parametrize("hole", [torch.nan, torch.inf, -torch.inf])
def test_what_is_no_number_is_the_mean_of_its_band(hole: float, stem: int) -> None:
    segmenter = Segmenter(UNet(3 * stem**2, 4, width=4, depth=1), 2, MEAN, STD, stem)
    target = torch.zeros(2, 9, 7, dtype=torch.int64)
    holed, mended = photo(9, 7).float(), photo(9, 7).float()
    holed[:, 1, 2:5, 3:], mended[:, 1, 2:5, 3:] = hole, MEAN[1]  # the last column too, which is repeated
    (logits, _), (expected, _) = (segmenter.heads(image, target)[0] for image in (holed, mended))
    assert logits.isfinite().all()
    assert logits.equal(expected)
    assert segmenter.eval()(holed).equal(segmenter(mended))


def test_statistics_are_part_of_the_state_and_not_learned() -> None:
    segmenter = Segmenter(nn.Conv2d(3, 2, 1), 1, MEAN, STD)
    assert segmenter.state_dict()["mean"].flatten().tolist() == list(MEAN)
    assert segmenter.state_dict()["std"].flatten().tolist() == list(STD)
    assert {name for name, _ in segmenter.named_parameters()} == {"network.weight", "network.bias"}
    assert segmenter.bands == 3


@given(height=SIZES, width=SIZES, stem=st.sampled_from([1, 2, 4]))
@settings(max_examples=60, deadline=None)
def test_logits_have_the_size_of_any_image(height: int, width: int, stem: int) -> None:
    network = UNet(3 * stem**2, 4, width=2, depth=2).eval()
    segmenter = Segmenter(network, 4, MEAN, STD, stem)
    image, target = photo(height, width), torch.zeros(2, height, width, dtype=torch.int64)
    assert segmenter(image).shape == (2, 4, height, width)
    ((logits, middles),) = segmenter.heads(image, target, coarse=True)
    assert logits.shape == (2, 4, -(-height // stem), -(-width // stem))
    assert middles.shape == (2, *logits.shape[2:])
    ((logits, same),) = segmenter.heads(image, target)
    assert logits.shape == (2, 4, height, width)
    assert same is target


@given(height=SIZES, width=SIZES)
@settings(max_examples=30, deadline=None)
def test_padding_and_cropping_leave_a_pixelwise_network_untouched(height: int, width: int) -> None:
    network = nn.Conv2d(3, 5, kernel_size=1)
    segmenter = Segmenter(network, 32, (0.0,) * 3, (1.0,) * 3)
    image = photo(height, width).float() / 255
    assert torch.allclose(segmenter(image), network(image), rtol=0, atol=1e-6)


def test_the_image_is_cropped_back_from_the_upper_left_corner_exactly() -> None:
    segmenter = Segmenter(Recorder(), 32, (0.0,) * 3, (1.0,) * 3)
    assert segmenter(photo(17, 33)).equal(photo(17, 33).float())


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 50), (17, 33), (64, 32)])
@pytest.mark.parametrize(("stride", "stem"), [(1, 1), (32, 1), (8, 4)])
def test_padding_repeats_the_last_row_and_column(height: int, width: int, stride: int, stem: int) -> None:
    recorder = Recorder()
    Segmenter(recorder, stride, (0.0,) * 3, (1.0,) * 3, stem)(photo(height, width))
    seen = F.pixel_shuffle(recorder.seen, stem)
    step = stride * stem
    rows, columns = (torch.arange(-(-side // step) * step).clamp(max=side - 1) for side in (height, width))
    assert seen.equal(photo(height, width).float()[:, :, rows[:, None], columns])


def test_the_stem_folds_squares_into_bands_and_upsamples_the_logits() -> None:
    segmenter = Segmenter(nn.Conv2d(12, 2, 1), 1, (0.0,) * 3, (1.0,) * 3, stem=2)
    image = photo(6, 4).float() / 255
    squares = torch.stack([image[:, :, row::2, column::2] for row in (0, 1) for column in (0, 1)], dim=2)
    coarse = segmenter.network(squares.flatten(1, 2))
    ((logits, _),) = segmenter.heads(image, torch.zeros(2, 6, 4, dtype=torch.int64), coarse=True)
    assert torch.allclose(logits, coarse, atol=1e-6)
    upsampled = F.interpolate(coarse, size=(6, 4), mode="bilinear")
    assert torch.allclose(segmenter(image), upsampled, atol=1e-6)


@pytest.mark.parametrize("stem", [1, 2, 4])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 5), (8, 12), (9, 13)])
def test_the_coarse_target_is_the_middle_pixel_of_every_square(height: int, width: int, stem: int) -> None:
    target = torch.arange(height * width).view(1, height, width)
    expected = [
        [
            min(row + stem // 2, height - 1) * width + min(column + stem // 2, width - 1)
            for column in range(0, width, stem)
        ]
        for row in range(0, height, stem)
    ]
    image = photo(height, width)[:1]
    ((_, middles),) = Segmenter(Recorder(), 1, MEAN, STD, stem).heads(image, target, coarse=True)
    assert middles[0].tolist() == expected


class Pooled(nn.Module):
    """Answers at a fraction of its input's size, and with a second head that judges the whole picture."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return F.avg_pool2d(x, self.step), x.mean((2, 3))


def test_an_answer_at_a_quarter_of_the_size_is_upsampled_bilinearly_over_the_padded_picture() -> None:
    image = photo(13, 21).float()
    padded = F.pad(image, (0, 3, 0, 3), mode="replicate")
    upsampled = F.interpolate(F.avg_pool2d(padded, 4), size=(16, 24), mode="bilinear")[:, :, :13, :21]
    segmenter = Segmenter(Pooled(4), 8, (0.0,) * 3, (1.0,) * 3)
    torch.testing.assert_close(segmenter(image), upsampled)
    target = torch.arange(13 * 21).view(1, 13, 21).expand(2, -1, -1)
    (logits, middles), (whole, unchanged) = segmenter.heads(image, target, coarse=True)
    assert logits.equal(F.avg_pool2d(padded, 4))
    assert middles[0].tolist() == [
        [min(row + 2, 12) * 21 + min(c + 2, 20) for c in range(0, 21, 4)] for row in (0, 4, 8, 12)
    ]
    assert whole.shape == (2, 3)
    assert unchanged is target


def test_an_answer_whose_squares_are_no_whole_pixels_meets_the_target_at_the_images_size() -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.interpolate(x, size=(5, 7), mode="nearest")

    target = torch.zeros(2, 16, 16, dtype=torch.int64)
    ((logits, unchanged),) = Segmenter(Odd(), 1, MEAN, STD).heads(photo(16, 16), target, coarse=True)
    assert logits.shape == (2, 3, 16, 16)
    assert unchanged is target


def test_what_is_no_answer_is_said() -> None:
    class Silent(nn.Module):
        def forward(self, x: Tensor) -> None:
            return None

    with pytest.raises(TypeError, match=r"The network gave a NoneType\. Expected are logits \[B, C, h, w\]"):
        Segmenter(Silent(), 1, MEAN, STD)(photo(4, 4))

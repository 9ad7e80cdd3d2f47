"""Models that ask others: mirrored, at other sizes, in 16 bits."""

import copy
import threading

import numpy as np
import pytest
import torch

from intarsia.inference import predict_logits, several_at_once
from intarsia.networks.ensemble import Averaged, Ensemble, Mixed, mean_answer
from tests.small import noise, small_model


def test_the_mean_is_of_probabilities() -> None:
    one, other = torch.tensor([0.9, 0.1]).log(), torch.tensor([0.3, 0.7]).log()
    together = mean_answer(part.view(1, 2, 1, 1) + 5 for part in (one, other))
    assert together.exp().flatten().tolist() == pytest.approx([0.6, 0.4])


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (33, 47)], ids=str)
def test_averaging_keeps_the_size_and_probabilities(size: tuple[int, int]) -> None:
    segmenter, _ = small_model()
    logits = predict_logits(Averaged(segmenter), noise(*size, 3))
    assert logits.shape == (3, *size)
    assert logits.exp().sum(dim=0) == pytest.approx(torch.ones(size), abs=1e-5)


def test_averaging_does_not_know_left_from_right() -> None:
    segmenter, _ = small_model()
    model, image = Averaged(segmenter, scales=(1.0,)), noise(32, 48, 3)
    mirrored = predict_logits(model, image[:, ::-1])
    assert mirrored.flip(-1).numpy() == pytest.approx(predict_logits(model, image).numpy(), abs=1e-4)
    assert (predict_logits(segmenter, image[:, ::-1]).flip(-1) - predict_logits(segmenter, image)).abs().max() > 0.1


def test_averaging_at_one_scale_is_the_mean_of_two() -> None:
    segmenter, _ = small_model()
    image = noise(32, 48, 3)
    straight = predict_logits(segmenter, image).softmax(dim=0)
    other = predict_logits(segmenter, image[:, ::-1]).softmax(dim=0).flip(-1)
    got = predict_logits(Averaged(segmenter, scales=(1.0,)), image).exp()
    assert got.numpy() == pytest.approx(((straight + other) / 2).numpy(), abs=1e-5)


def test_averaging_spreads_nothing_that_is_no_number() -> None:
    segmenter, _ = small_model()
    image = noise(30, 40, 3).astype(np.float32)
    image[::5, ::5] = segmenter.mean.flatten().numpy()
    expected = predict_logits(Averaged(segmenter), image)
    image[::5, ::5] = np.nan
    assert predict_logits(Averaged(segmenter), image).equal(expected)


def test_sixteen_bits_give_nearly_the_same() -> None:
    segmenter, _ = small_model()
    image = noise(64, 64, 3)
    exact, rough = predict_logits(segmenter, image), predict_logits(Mixed(segmenter, torch.bfloat16), image)
    assert rough.dtype == torch.float32
    assert not rough.equal(exact)
    assert (rough.argmax(dim=0) == exact.argmax(dim=0)).float().mean() > 0.95


def test_one_may_ask_through_another() -> None:
    segmenter, _ = small_model()
    model = Averaged(Mixed(Ensemble([segmenter, copy.deepcopy(segmenter)]), torch.bfloat16))
    assert (model.bands, model.step, model.mean is segmenter.mean) == (3, segmenter.step, True)
    assert predict_logits(model, noise(20, 30, 3)).shape == (3, 20, 30)


def test_threads_share_the_cores_and_give_them_back() -> None:
    segmenter, _ = small_model()
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with several_at_once(segmenter) as threads:
            assert (threads, torch.get_num_threads()) == (2, 1)
        with several_at_once(segmenter, alone=True) as threads:
            assert (threads, torch.get_num_threads()) == (1, 2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_several_threads_get_the_answers_of_one() -> None:
    segmenter, _ = small_model()
    images = [noise(40 + number, 50, 3, seed=number) for number in range(12)]
    alone = [predict_logits(segmenter, image).numpy() for image in images]
    got: dict[int, np.ndarray] = {}

    def ask(part: int) -> None:
        for number in range(part, len(images), 3):
            got[number] = predict_logits(segmenter, images[number]).numpy()

    threads = [threading.Thread(target=ask, args=(part,)) for part in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, expected in enumerate(alone):
        assert got[number] == pytest.approx(expected, rel=1e-4, abs=1e-4)

"""Misaligned masks against the rest of the set, and sets that are misaligned as a whole."""

from pathlib import Path

import numpy as np
import pytest

from intarsia.data.check.features import FLIPS, Alignment
from intarsia.data.check.looks import Look
from intarsia.data.check.placement import misaligned, worst
from intarsia.data.check.records import Record
from intarsia.data.pairs import Pair


def looks(*aligned: Alignment) -> list[Look]:
    return [
        Look("train", Pair(f"{number}", Path(f"{number}.png"), Path("mask.png")), Record(placement=one.packed()))
        for number, one in enumerate(aligned)
    ]


def sound(number: int) -> list[Alignment]:
    rng = np.random.default_rng(0)
    spread = rng.normal(0, 0.1, (number, 3))
    return [Alignment(0.7 + one, 0.3 + two, 0, 0.5 + three, 0.1, 0) for one, two, three in spread]


def found(*aligned: Alignment) -> list[str]:
    return [finding.message for finding in misaligned(looks(*aligned), lambda look: look.pair.name)]


def test_a_sound_set():
    assert found(*sound(30)) == []


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        (Alignment(-0.1, 0.8, 1, 0.2, 0, 0), "mirrored top-bottom"),
        (Alignment(-0.1, 0.8, 2, 0.2, 0, 0), "half a turn"),
        (Alignment(-0.1, 0.2, 0, 0.8, 0.07, -0.05), "7% lower and 5% further left of the longer side"),
    ],
)
def test_one_that_stands_out(odd, words):
    (message,) = found(*sound(30), odd)
    assert message.startswith("1 mask is probably not where it should be")
    assert f"30 ({words})" in message


def test_one_of_few_is_not_judged():
    assert found(*sound(6), Alignment(-0.1, 0.8, 1, 0.2, 0, 0)) == []


@pytest.mark.parametrize(
    ("all_of_them", "words"),
    [
        (Alignment(0.1, 0.7, FLIPS.index("left-right"), 0.2, 0, 0), "mirrored left-right"),
        (Alignment(0.1, 0.7, FLIPS.index("half a turn"), 0.2, 0, 0), "turned by half a turn"),
        (Alignment(0.1, 0.2, 0, 0.7, -0.04, 0.1), "4% higher and 10% further right"),
    ],
)
def test_a_set_that_is_misaligned_as_a_whole(all_of_them, words):
    (message,) = found(*[all_of_them] * 12, *sound(3))
    assert message.startswith(f"Nearly all masks lie better {words}")


def test_the_worst_come_first():
    ranked = worst(looks(*sound(5), Alignment(-0.5, 0, 0, 0, 0, 0), Alignment(-0.1, 0, 0, 0, 0, 0)), 2)
    assert [look.pair.name for look in ranked] == ["5", "6"]

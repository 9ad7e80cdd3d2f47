"""Charts: scales with round numbers, a bar as long as its share, never more shapes than can be drawn."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intarsia.charts import Bar, axis_of_shares, axis_of_sides, bars, scatter

RED = (255, 0, 0)


@pytest.mark.parametrize(
    ("shares", "ticks", "logarithmic"),
    [
        ([0.31, 0.05], (0, 0.1, 0.2, 0.3, 0.4), False),
        ([1.0], (0, 0.5, 1.0), False),
        ([0.5, 0.005], (0.001, 0.01, 0.1, 1.0), True),
        ([0.5, 0.0051, 0.0], (0, 0.2, 0.4, 0.6), False),
        ([0.0], (0, 0.5, 1.0), False),
    ],
)
def test_shares_have_round_scales(shares: list[float], ticks: tuple[float, ...], logarithmic: bool) -> None:
    axis = axis_of_shares(shares)
    assert axis.logarithmic is logarithmic
    assert axis.ticks == pytest.approx(ticks)


def test_sides_have_round_scales() -> None:
    assert axis_of_sides([480, 500]).ticks == (460, 480, 500, 520)
    assert axis_of_sides([64, 1000]).ticks == (64, 128, 256, 512, 1024)
    assert axis_of_sides([1, 1]).ticks[0] < 1 < axis_of_sides([1, 1]).ticks[-1]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_every_share_has_a_place(shares: list[float]) -> None:
    axis = axis_of_shares(shares)
    places = [axis.place(share) for share in sorted(shares)]
    assert all(0 <= place <= 1 for place in places)
    assert places == sorted(places)


@given(st.lists(st.integers(1, 100_000), min_size=1, max_size=8))
def test_every_side_has_a_place_inside(sides: list[int]) -> None:
    axis = axis_of_sides(sides)
    assert axis.low <= min(sides)
    assert max(sides) <= axis.high
    assert len(axis.ticks) < 20


def test_a_bar_is_as_long_as_its_share_and_has_marks_of_the_others() -> None:
    chart = bars([Bar("road", RED, (0.4, 0.2)), Bar("<car>", RED, (0.1, 0.0))], ["train", "val"], "Shares")
    assert re.findall(r'<rect[^>]*width="([\d.]+%)"[^>]*class="bar"', chart) == ["100.00%", "25.00%"]
    assert re.findall(r'<svg x="([\d.]+%)"', chart) == ["50.00%"]  # none for a share of nothing
    assert "&lt;car&gt;" in chart
    assert "<car>" not in chart
    assert "40.00%" in chart


def test_a_class_without_pixels_has_no_bar() -> None:
    chart = bars([Bar("road", RED, (1.0,)), Bar("ghost", RED, (0.0,))], ["train"], "Shares")
    assert chart.count('class="bar"') == 1


def test_long_names_are_cut_where_they_are_drawn_and_whole_where_one_points() -> None:
    chart = bars([Bar("x" * 200, RED, (1.0,))], ["train"], "Shares")
    assert f"<title>{'x' * 200}: train 100.000%</title>" in chart
    assert f">{'x' * 35}…</text>" in chart


def test_a_scatter_has_a_sign_for_each_split_and_few_points() -> None:
    sizes = {
        "train": [(height, width) for height in range(100, 400) for width in range(100, 400, 3)],
        "val": [(100, 100)],
        "test": [(200, 300)],
    }
    chart = scatter(sizes, "Sizes")
    assert len(re.findall(r'<circle[^>]*class="mark mark-0"', chart)) < 5000
    drawn = chart.partition('class="scatter"')[2]
    assert len(re.findall(r'<circle[^>]*class="mark mark-1"', drawn)) == 1
    assert len(re.findall(r'<path[^>]*class="mark mark-2"', drawn)) == 1

"""Charts as inline SVG: shares of classes as bars, sizes as a scatter. They can be read without colour too."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from intarsia.pages import Markup, element, hexadecimal, join

_ROW = 34  # pixels of a bar with its name above it
_AXIS = 22
_LOG_FROM = 100  # times the smallest: from there on a scale is logarithmic
_SMALLEST = 1e-9
_LONGEST_NAME = 36  # letters
_WIDE, _HIGH = 480, 330  # of the scatter
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 16, 14, 46
_CELL = 5  # points closer than this become one


@dataclass(frozen=True)
class Bar:
    """One row of a bar chart.

    Attributes:
        name: stands above it.
        color: of the bar.
        shares: 0..1, one for each series: the first is the bar, the others are marks on it.
    """

    name: str
    color: tuple[int, int, int]
    shares: tuple[float, ...]


@dataclass(frozen=True)
class Axis:
    """A scale from `low` to `high`, with the values at which it is marked."""

    low: float
    high: float
    ticks: tuple[float, ...]
    logarithmic: bool

    def place(self, value: float) -> float:
        """Where a value lies, 0..1."""
        low, high, value = self.low, self.high, min(max(value, self.low), self.high)
        if self.logarithmic:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return (value - low) / (high - low)


def axis_of_shares(shares: Sequence[float]) -> Axis:
    """From 0, or by powers of ten where the smallest share would not be seen otherwise."""
    seen = [max(share, _SMALLEST) for share in shares if share > 0] or [1.0]
    smallest, largest = min(seen), max(seen)
    if largest / smallest < _LOG_FROM:
        step = _round_step(largest / 4)
        steps = math.ceil(largest / step - 1e-9)
        return Axis(0, steps * step, tuple(step * number for number in range(steps + 1)), False)
    powers = range(math.floor(math.log10(smallest)), math.ceil(math.log10(largest)) + 1)
    return Axis(10.0 ** powers[0], 10.0 ** powers[-1], tuple(10.0**power for power in powers), True)


def axis_of_sides(sides: Sequence[int]) -> Axis:
    """Over all lengths in pixels, a little beyond them; by doublings where they are very different."""
    low, high = max(min(sides), 1), max(sides)
    if high > 8 * low:
        powers = range(math.floor(math.log2(low)), math.ceil(math.log2(high)) + 1)
        return Axis(2.0 ** powers[0], 2.0 ** powers[-1], tuple(2.0**power for power in powers), True)
    step = _round_step(max(high - low, 0.1 * high) / 4)
    first, last = math.ceil(low / step) - 1, math.floor(high / step) + 1
    return Axis(first * step, last * step, tuple(step * number for number in range(first, last + 1)), False)


def bars(rows: Sequence[Bar], series: Sequence[str], about: str) -> Markup:
    """A bar for each row, and a mark on it for every further series.

    Args:
        rows: from top to bottom.
        series: names of what the rows' shares are of.
        about: what the chart shows.
    """
    axis = axis_of_shares([share for row in rows for share in row.shares])
    height = _AXIS + _ROW * len(rows)
    shapes = [_grid_line(axis, tick, height) for tick in axis.ticks]
    for number, row in enumerate(rows):
        shapes += _bar(row, series, axis, _AXIS + _ROW * number)
    chart = element("svg", *shapes, width="100%", height=height + 4, role="img", aria_label=about, class_="bars")
    scale = "logarithmic scale" if axis.logarithmic else "share of the pixels that count"
    keys = [element("span", _key(place), name) for place, name in enumerate(series)]
    return join(element("p", *keys, element("span", scale), class_="keys"), chart)


def scatter(sizes: Mapping[str, Sequence[tuple[int, int]]], about: str) -> Markup:
    """Sizes (height, width) in pixels as points, a kind of point for each series; larger where there are many."""
    across = axis_of_sides([width for of_one in sizes.values() for _, width in of_one])
    down = axis_of_sides([height for of_one in sizes.values() for height, _ in of_one])
    wide, high = _WIDE - _LEFT - _RIGHT, _HIGH - _TOP - _BOTTOM
    shapes = [*_frame(across, down)]
    for place, of_one in enumerate(sizes.values()):
        cells = Counter(
            (round(across.place(width) * wide / _CELL), round(down.place(height) * high / _CELL))
            for height, width in of_one
        )
        for (x, y), count in sorted(cells.items()):
            radius = min(3 + math.log2(count), 12)
            shapes.append(_mark(place, _LEFT + x * _CELL, _TOP + high - y * _CELL, radius))
    chart = element("svg", *shapes, viewBox=f"0 0 {_WIDE} {_HIGH}", role="img", aria_label=about, class_="scatter")
    keys = [element("span", _key(place, bar=False), name) for place, name in enumerate(sizes)]
    return join(element("p", *keys, class_="keys"), chart)


def _bar(row: Bar, series: Sequence[str], axis: Axis, top: int) -> list[Markup]:
    name = row.name if len(row.name) <= _LONGEST_NAME else f"{row.name[: _LONGEST_NAME - 1]}…"
    said = ", ".join(f"{of} {share:.3%}" for of, share in zip(series, row.shares, strict=True))
    shapes = [
        element("title", f"{row.name}: {said}"),
        element("text", name, x=0, y=top + 13),
        element("text", f"{row.shares[0]:.2%}", x="100%", y=top + 13, text_anchor="end", class_="soft"),
        element("rect", x=0, y=top + 19, width="100%", height=8, rx=2, class_="groove"),
    ]
    if row.shares[0] > 0:
        width = max(axis.place(row.shares[0]), 0.004)
        fill = hexadecimal(row.color)
        shapes.append(
            element("rect", x=0, y=top + 19, width=_percent(width), height=8, rx=2, fill=fill, class_="bar")
        )
    for place, share in enumerate(row.shares[1:], 1):
        if share > 0:
            mark = _mark(place, 0, 0, 4.5)
            shapes.append(element("svg", mark, x=_percent(axis.place(share)), y=top + 23, overflow="visible"))
    return [element("g", *shapes)]


def _grid_line(axis: Axis, tick: float, height: int) -> Markup:
    place = axis.place(tick)
    anchor = "start" if place < 0.01 else "end" if place > 0.99 else "middle"
    said = f"{tick * 100:.6f}".rstrip("0").rstrip(".") + "%"
    return join(
        element("line", x1=_percent(place), x2=_percent(place), y1=_AXIS - 4, y2=height, class_="grid"),
        element("text", said, x=_percent(place), y=12, text_anchor=anchor, class_="tick"),
    )


def _frame(across: Axis, down: Axis) -> list[Markup]:
    """Lines and numbers of both axes of the scatter."""
    right, bottom = _WIDE - _RIGHT, _HIGH - _BOTTOM
    shapes = []
    for tick in across.ticks:
        x = round(_LEFT + across.place(tick) * (right - _LEFT), 1)
        shapes.append(element("line", x1=x, x2=x, y1=_TOP, y2=bottom, class_="grid"))
        shapes.append(element("text", f"{tick:g}", x=x, y=bottom + 18, text_anchor="middle", class_="tick"))
    for tick in down.ticks:
        y = round(bottom - down.place(tick) * (bottom - _TOP), 1)
        shapes.append(element("line", x1=_LEFT, x2=right, y1=y, y2=y, class_="grid"))
        shapes.append(element("text", f"{tick:g}", x=_LEFT - 8, y=y + 4, text_anchor="end", class_="tick"))
    middle = (_TOP + bottom) / 2
    shapes.append(element("text", "width in pixels", x=(_LEFT + right) / 2, y=_HIGH - 6, text_anchor="middle"))
    shapes.append(
        element("text", "height", x=14, y=middle, text_anchor="middle", transform=f"rotate(-90 14 {middle})")
    )
    return shapes


def _mark(series: int, x: float, y: float, radius: float) -> Markup:
    """A disc, a ring or a cross: the point of the first, second and third series."""
    kind = f"mark mark-{series}"
    if series == 2:
        arm = round(radius * 0.8, 2)
        path = f"M{x - arm:g} {y - arm:g}l{2 * arm:g} {2 * arm:g}m0 {-2 * arm:g}l{-2 * arm:g} {2 * arm:g}"
        return element("path", d=path, class_=kind)
    return element("circle", cx=round(x, 1), cy=round(y, 1), r=round(radius, 1), class_=kind)


def _key(series: int, *, bar: bool = True) -> Markup:
    """The sign of a series, for the line above a chart."""
    first = bar and series == 0
    sign = element("rect", x=0, y=5, width=14, height=7, rx=2, class_="sign") if first else _mark(series, 7, 8, 4.5)
    return element("svg", sign, width=14, height=16, class_="key", aria_hidden="true")


def _round_step(step: float) -> float:
    """The next of 1, 2, 5, 10 and so on."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= step * (1 - 1e-9))


def _percent(share: float) -> str:
    return f"{share * 100:.2f}%"

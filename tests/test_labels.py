"""Labels: one table between stored values and class indices."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from intarsia.errors import DataError
from intarsia.labels import Labels, count_values, distinct_colors, listing_of_counts, packed

ROAD = Labels(
    names=("sky", "road", "car"),
    colors=((0, 0, 255), (128, 64, 128), (255, 0, 0)),
    values=((0,), (300,), (8, 9)),
    ignore=(11, 255),
)
COLORS = Labels.of_colors([(0, 0, 0), (128, 64, 128), (0, 0, 142)], [(255, 255, 255)], ["ground", "road", "car"])


def test_encode_takes_stored_values_to_indices():
    stored = np.array([[0, 300, 8], [9, 11, 255]], dtype=np.uint16)
    encoded = ROAD.encode(stored)
    assert encoded.dtype == np.uint8
    assert encoded.tolist() == [[0, 1, 2], [2, 255, 255]]


def test_zero_and_255_can_both_be_classes():
    labels = Labels.of_values([0, 255], names=["background", "object"])
    assert labels.ignore == ()
    stored = np.array([[0, 255]], dtype=np.uint8)
    assert labels.encode(stored).tolist() == [[0, 1]]


def test_encode_refuses_what_nobody_explained():
    stored = np.array([[0, 7, 7], [12, 300, 0]], dtype=np.uint16)
    with pytest.raises(DataError, match=r"7 \(2 pixels\), 12 \(1 pixel\): neither a class nor ignored"):
        ROAD.encode(stored)


def test_unknown_and_count_read_values_and_their_pixels():
    values, pixels = np.unique([0, 0, 8, 9, 9, 11, 12, 12, 12, 300], return_counts=True)
    assert ROAD.unknown(values, pixels) == {12: 3}
    assert ROAD.count(values, pixels).tolist() == [2, 1, 3]
    assert ROAD.count(values[:3], pixels[:3]).tolist() == [2, 0, 3]
    assert ROAD.classes_of(values).tolist() == [0, 2, 2, 255, -1, 1]


class TestColors:
    def test_encode(self):
        stored = np.array([[0x804080, 0x00008E], [0, 0xFFFFFF]], np.uint32)
        encoded = COLORS.encode(stored)
        assert encoded.dtype == np.uint8
        assert encoded.tolist() == [[1, 2], [0, 255]]

    def test_the_classes_are_shown_in_their_own(self):
        assert COLORS.colors == ((0, 0, 0), (128, 64, 128), (0, 0, 142))
        assert COLORS.encoding == "colors"
        assert Labels.of_colors([(1, 2, 3)]).names == ("class 0",)

    def test_values_are_written_as_colours(self):
        assert COLORS.written(0x00008E) == "#00008e"
        assert ROAD.written(8) == "8"
        with pytest.raises(DataError, match=r"Mask value #0a0b0c \(2 pixels\): neither a class nor ignored"):
            COLORS.encode(np.full((1, 2), 0x0A0B0C, np.uint32))

    def test_what_lies_outside_is_refused(self):
        with pytest.raises(DataError, match=r"value 16777216 .*0\.\.16777215"):
            replace(COLORS, ignore=(1 << 24,))
        with pytest.raises(DataError, match="value #804080 has two meanings"):
            replace(COLORS, ignore=(0x804080,))

    def test_a_color_is_packed_as_it_is_written(self):
        assert f"{packed((1, 2, 255)):06x}" == "0102ff"


def nearest(value: int, labels: Labels, shifts: tuple[int, ...]) -> int:
    """Class of one value by trying each value that means something; -1 beyond the reach."""
    meanings = {own: index for index, values in enumerate(labels.values) for own in values}
    meanings |= dict.fromkeys(labels.ignore, labels.ignore_index)
    distances = {
        own: sum(((value >> shift & 255) - (own >> shift & 255)) ** 2 for shift in shifts) ** 0.5
        if shifts
        else abs(value - own)
        for own in sorted(meanings)
    }
    best = min(distances, key=lambda own: distances[own])
    return meanings[best] if distances[best] <= labels.snap else -1


class TestSnap:
    @given(
        known=st.lists(st.integers(0, 65535), min_size=2, max_size=12, unique=True),
        stored=st.lists(st.integers(0, 65535), min_size=1, max_size=40, unique=True),
        snap=st.sampled_from([0.5, 1, 30, 5000, 70000]),
    )
    @settings(max_examples=100, deadline=None)
    def test_values_take_the_nearest(self, known, stored, snap):
        labels = replace(Labels.of_values(known[:-1], known[-1:]), snap=snap)
        found = labels.classes_of(np.array(stored, np.uint16))
        assert found.tolist() == [nearest(value, labels, ()) for value in stored]

    @given(
        known=st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=2, max_size=6, unique=True),
        stored=st.lists(st.integers(0, (1 << 24) - 1), min_size=1, max_size=40, unique=True),
        snap=st.sampled_from([1, 40, 120.5, 442]),
    )
    @settings(max_examples=30, deadline=None)
    def test_colours_take_the_nearest(self, known, stored, snap):
        labels = replace(Labels.of_colors(known[:-1], known[-1:]), snap=snap)
        found = labels.classes_of(np.array(stored, np.uint32))
        assert found.tolist() == [nearest(value, labels, (16, 8, 0)) for value in stored]

    def test_many_at_once(self):
        labels = replace(COLORS, snap=442)
        stored = np.random.default_rng(0).integers(0, 1 << 24, 10_000, dtype=np.uint32)
        found = labels.classes_of(stored)
        for number in (0, 4095, 4096, 9_999):
            assert found[number] == nearest(int(stored[number]), labels, (16, 8, 0))

    def test_it_reaches_as_far_as_it_says(self):
        labels = replace(Labels.of_values([0, 100]), snap=3)
        assert labels.encode(np.array([[3, 97, 103, 252]], np.uint8)).tolist() == [[0, 1, 1, 255]]
        with pytest.raises(DataError, match=r"Mask value 4 \(1 pixel\), 104 \(2 pixels\)"):
            labels.encode(np.array([[4, 104, 104, 3]], np.uint8))

    def test_it_counts_for_the_class(self):
        labels = replace(Labels.of_values([0, 100]), snap=3)
        values, pixels = np.array([0, 2, 98, 60, 254]), np.array([5, 1, 7, 3, 2])
        assert labels.count(values, pixels).tolist() == [6, 7]
        assert labels.unknown(values, pixels) == {60: 3}


@given(
    stored=st.sampled_from([np.uint8, np.uint16, np.uint32]).flatmap(
        lambda dtype: arrays.arrays(
            dtype,
            arrays.array_shapes(min_dims=1, max_dims=3, max_side=9),
            elements=st.one_of(st.sampled_from([0, 1, 255]), st.integers(0, np.iinfo(dtype).max)),
        )
    ),
    turned=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_values_are_counted_as_numpy_counts_them(stored, turned):
    stored = stored.T if turned else stored
    values, pixels = count_values(stored)
    expected = np.unique(stored, return_counts=True)
    assert values.dtype == pixels.dtype == np.int64
    assert values.tolist() == expected[0].tolist()
    assert pixels.tolist() == expected[1].tolist()


def test_pixels_are_counted_exactly_where_floats_are_too_coarse():
    stored = np.zeros((4100, 4100), np.uint8)
    stored[0, 0] = 7
    values, pixels = count_values(stored)
    assert (values.tolist(), pixels.tolist()) == ([0, 7], [4100 * 4100 - 1, 1])


@pytest.mark.parametrize(("classes", "ignore_index", "dtype"), [(255, 255, np.uint8), (256, 65535, np.uint16)])
def test_many_classes_have_a_wider_ignore_index(classes, ignore_index, dtype):
    labels = Labels.of_values(range(1, classes + 1), ignore=[0])
    assert (labels.ignore_index, labels.mask_dtype) == (ignore_index, dtype)
    encoded = labels.encode(np.array([0, 1, classes], dtype=np.uint16))
    assert encoded.dtype == dtype
    assert encoded.tolist() == [ignore_index, 0, classes - 1]


@given(st.lists(st.integers(0, 65535), min_size=1, max_size=300, unique=True))
def test_encode_numbers_the_values_in_their_order(values):
    labels = Labels.of_values(values)
    stored = np.array(values, dtype=np.uint16)
    assert labels.encode(stored).tolist() == list(range(len(values)))


@pytest.mark.parametrize("labels", [ROAD, replace(COLORS, snap=40.5), replace(ROAD, encoding="channels")])
def test_dict_round_trip_through_json(labels):
    assert Labels.from_dict(json.loads(json.dumps(labels.to_dict()))) == labels


def test_colors_are_distinct():
    colors = distinct_colors(300)
    assert len(set(colors)) == 300
    assert colors[:5] == distinct_colors(5)
    assert all(0 <= channel <= 255 for color in colors for channel in color)
    near = min(np.abs(np.subtract(one, two)).sum() for i, one in enumerate(colors[:24]) for two in colors[:i])
    assert near >= 30


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"names": (), "colors": (), "values": ()}, "at least one class"),
        ({"colors": ((0, 0, 0),)}, "3 class names, 1 colours and 3 values"),
        ({"names": ("sky", "road", "sky")}, "'sky' stands twice"),
        ({"values": ((0,), (1,), (65536,))}, r"value 65536 .*0\.\.65535"),
        ({"values": ((0,), (-1,), (2,))}, "value -1 "),
        ({"values": ((0,), (1,), (2, 0))}, "value 0 has two meanings"),
        ({"ignore": (300, 255)}, "value 300 has two meanings"),
    ],
)
def test_impossible_labels_are_refused(changes, words):
    plain = {"names": ROAD.names, "colors": ROAD.colors, "values": ROAD.values, "ignore": ROAD.ignore}
    with pytest.raises(DataError, match=words):
        Labels(**plain | changes)


def test_a_long_listing_is_cut():
    assert listing_of_counts({7: 1200, 9: 1}) == "7 (1,200 pixels), 9 (1 pixel)"
    assert listing_of_counts(dict.fromkeys(range(8), 2)).endswith("4 (2 pixels) and 3 more values")

"""Labels: one table between stored values and class indices."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intarsia.errors import DataError
from intarsia.labels import Labels, distinct_colors, listing_of_counts

ROAD = Labels(
    names=("sky", "road", "car"),
    colors=((0, 0, 255), (128, 64, 128), (255, 0, 0)),
    values=((0,), (300,), (8, 9)),
    ignore=(11, 255),
)


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


def test_unknown_and_count_read_a_histogram():
    histogram = np.bincount([0, 0, 8, 9, 9, 11, 12, 12, 12, 300])
    assert ROAD.unknown(histogram) == {12: 3}
    assert ROAD.count(histogram).tolist() == [2, 1, 3]
    assert ROAD.count(histogram[:9]).tolist() == [2, 0, 1]


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


def test_dict_round_trip_through_json():
    assert Labels.from_dict(json.loads(json.dumps(ROAD.to_dict()))) == ROAD


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

"""Shapes: what annotation tools draw comes back pixel by pixel, wherever it lies."""

from io import BytesIO

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from intarsia.data.read import MOST_PIXELS
from intarsia.data.shapes import Bitmap, Polygon, RunLengths, ellipse, paste, rectangle, ring, run_lengths
from intarsia.data.sources import Shapes, read_source
from intarsia.errors import DataError

pictures = hnp.arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9)))


def drawn(shape, size=(6, 8)):
    canvas = np.zeros(size, dtype=np.uint16)
    shape(canvas)
    return canvas


def polygon(*rings, value=1):
    return Polygon(value, tuple(ring(points) for points in rings))


def rows(text):
    """Rows of `.` and digits as an array."""
    return np.array([[int(letter) if letter != "." else 0 for letter in line] for line in text.split()])


def traced(inside):
    """Closed rings along the borders of pixels that are inside, holes and touching corners too."""
    padded = np.pad(inside, 1).astype(int)
    edges = {}
    for y, x in np.argwhere(padded[:, 1:] != padded[:, :-1]):
        edges.setdefault((x, y - 1), []).append((x, y))
        edges.setdefault((x, y), []).append((x, y - 1))
    for y, x in np.argwhere(padded[1:] != padded[:-1]):
        edges.setdefault((x - 1, y), []).append((x, y))
        edges.setdefault((x, y), []).append((x - 1, y))
    rings = []
    while edges:
        corner = next(iter(edges))
        walk = [corner]
        while corner in edges:
            ahead = edges[corner].pop()
            edges[ahead].remove(corner)
            for end in (corner, ahead):
                if not edges.get(end, True):
                    del edges[end]
            corner = ahead
            walk.append(corner)
        rings.append(np.array(walk[:-1], dtype=np.float64))
    return rings


# --- polygons ----------------------------------------------------------------------------------------------------


@given(pictures)
def test_a_polygon_along_pixel_borders_comes_back_exactly(inside):
    np.testing.assert_array_equal(drawn(Polygon(1, tuple(traced(inside))), inside.shape), inside)


@given(pictures, st.integers(-12, 12), st.integers(-12, 12))
def test_a_polygon_that_is_moved_out_of_the_canvas_is_cut_off(inside, down, right):
    whole = np.zeros((40, 40), dtype=np.uint16)
    whole[15 + down :, 15 + right :][: inside.shape[0], : inside.shape[1]] = inside
    rings = tuple(points + np.array([right, down]) for points in traced(inside))
    np.testing.assert_array_equal(drawn(Polygon(1, rings), (9, 9)), whole[15:24, 15:24])


@given(st.lists(st.tuples(st.floats(-3, 12), st.floats(-3, 12)), min_size=3, max_size=8))
def test_any_polygon_holds_the_pixels_whose_centres_lie_inside(points):
    """Against OpenCV's test of a point, on a finer grid so that no centre comes near an edge by rounding."""
    corners = np.round(np.array(points) * 4) / 4 + 0.01  # never on a centre's row
    found = drawn(Polygon(1, (corners,)), (9, 9))
    for y in range(9):
        for x in range(9):
            crossings = 0
            for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
                if (y1 > y + 0.5) != (y2 > y + 0.5):
                    where = x1 + (y + 0.5 - y1) / (y2 - y1) * (x2 - x1)
                    if abs(where - x - 0.5) < 1e-9:
                        return
                    crossings += where < x + 0.5
            assert found[y, x] == crossings % 2, (x, y)


def test_a_convex_polygon_agrees_with_opencv():
    corners = np.array([[3.2, 1.4], [27.7, 6.1], [22.3, 28.9], [6.6, 21.2]], dtype=np.float32)
    expected = np.zeros((32, 32), dtype=np.uint16)
    for y in range(32):
        for x in range(32):
            expected[y, x] = cv2.pointPolygonTest(corners, (x + 0.5, y + 0.5), measureDist=False) > 0
    np.testing.assert_array_equal(drawn(Polygon(1, (ring(corners),)), (32, 32)), expected)


def test_a_second_ring_is_a_hole():
    shape = polygon([1, 1, 7, 1, 7, 5, 1, 5], [[3, 2], [5, 2], [5, 4], [3, 4]], value=2)
    expected = rows("........ .222222. .22..22. .22..22. .222222. ........")
    np.testing.assert_array_equal(drawn(shape), expected)


def test_where_a_polygon_crosses_itself_is_outside():
    bow_tie = polygon([0, -0.1, 6, 6.1, 6, -0.1, 0, 6.1])
    np.testing.assert_array_equal(drawn(bow_tie, (6, 6)), rows("1....1 11..11 111111 111111 11..11 1....1"))
    twice_round = polygon([1, 1, 5, 1, 5, 5, 1, 5] * 2)
    assert not drawn(twice_round).any()


def test_neighbours_share_an_edge_without_gap_or_overlap():
    edge = [(3.5, 0), (4.3, 2.6), (2.9, 6)]
    left = drawn(polygon([(0, 0), *edge, (0, 6)]))
    right = drawn(polygon([(8, 0), *edge, (8, 6)]))
    assert (left + right == 1).all()


@pytest.mark.parametrize(
    "rings",
    [
        [],
        [[]],
        [[1, 1]],
        [[1, 1, 5, 5]],
        [[1, 1, 5, 5, 1, 1]],
        [[2, 2] * 4],
        [[1, 3, 5, 3, 7, 3]],
        [[1, 2.6, 7, 2.7, 4, 3.2]],
    ],
)
def test_degenerate_polygons_enclose_nothing(rings):
    assert not drawn(polygon(*rings)).any()


@pytest.mark.parametrize("shift", [(-50, 0), (50, 0), (0, -50), (0, 50), (1e8 - 9, 0)])
def test_a_polygon_beyond_the_canvas_draws_nothing(shift):
    assert not drawn(Polygon(1, (ring([0, 0, 5, 0, 5, 5]) + shift,))).any()


def test_a_polygon_larger_than_any_picture_covers_the_canvas():
    far = 1e8
    assert drawn(polygon([-far, -far, far, -far, far, far, -far, far])).all()


def test_many_crossings_in_one_place_stay_even_or_odd():
    comb = [point for turn in range(300) for point in ((2, 0), (2, 6))]
    assert not drawn(polygon(comb)).any()
    assert (drawn(polygon([*comb, (6, 6), (6, 0)])) == rows(" ".join(["..1111.."] * 6))).all()


@pytest.mark.parametrize(
    "points",
    [[1, 2, 3], [[1, 2], [3]], [[1, 2], 3], ["a", "b"], [{}, {}], {"x": 1}, "123456", [1, 10**400]],
)
def test_what_is_no_ring_is_refused(points):
    with pytest.raises(DataError, match="no pairs of numbers"):
        ring(points)


@pytest.mark.parametrize("far", [None, float("nan"), float("inf"), -float("inf"), 1.1e8, 1e300])
def test_points_outside_of_any_picture_are_refused(far):
    with pytest.raises(DataError, match="outside of any picture"):
        ring([0, 0, far, 0, 5, 5])


def test_rings_of_pairs_and_of_numbers_are_one():
    np.testing.assert_array_equal(ring([1, 2, 3.5, 4]), ring([[1, 2], [3.5, 4]]))
    assert ring([100.3, 1]).dtype == np.float64
    assert ring([]).shape == (0, 2)


def test_rectangles_from_any_two_corners():
    expected = rows("........ ..333... ..333... ........ ........ ........")
    for corners in ([2, 1, 5, 3], [5, 3, 2, 1], [2, 3, 5, 1]):
        np.testing.assert_array_equal(drawn(Polygon(3, (rectangle(ring(corners)),))), expected)


def test_turned_shapes():
    flat = ring([1, 2, 7, 4])
    lying = rows("........ ........ .111111. .111111. ........ ........")
    np.testing.assert_array_equal(drawn(Polygon(1, (rectangle(flat),))), lying)
    upright = rows("...11... " * 6)
    np.testing.assert_array_equal(drawn(Polygon(1, (rectangle(flat, 90),))), upright)
    clockwise = drawn(Polygon(1, (rectangle(ring([4, 18, 36, 22]), 45),)), (40, 40))
    assert clockwise[10, 10]
    assert clockwise[30, 30]
    assert not clockwise[10, 30]
    assert not clockwise[30, 10]


@given(st.floats(0.6, 12), st.floats(0.6, 12))
def test_ellipses(across, down):
    found = drawn(Polygon(1, (ellipse(np.array([15.1, 14.9]), np.array([across, down])),)), (30, 30))
    y, x = np.mgrid[:30, :30] + 0.5
    distance = np.hypot((x - 15.1) / across, (y - 14.9) / down)
    certain = np.abs(distance - 1) > 1e-4
    np.testing.assert_array_equal(found[certain], (distance < 1)[certain])


def test_a_turned_ellipse():
    lying = ellipse(np.array([10.0, 10.0]), np.array([8.0, 2.0]))
    upright = ellipse(np.array([10.0, 10.0]), np.array([8.0, 2.0]), 90)
    np.testing.assert_array_equal(drawn(Polygon(1, (upright,)), (20, 20)), drawn(Polygon(1, (lying,)), (20, 20)).T)


# --- run lengths -------------------------------------------------------------------------------------------------


def counted(inside, order):
    """Run lengths of a box by walking over it."""
    counts, last = [0], False
    for pixel in inside.ravel(order=order):
        if pixel != last:
            counts.append(0)
        counts[-1] += 1
        last = pixel
    return counts


@given(pictures, st.integers(-10, 10), st.integers(-10, 10), st.booleans())
def test_run_lengths_come_back_exactly(inside, top, left, columns_first):
    counts = run_lengths(counted(inside, "F" if columns_first else "C"), inside.shape)
    expected = np.zeros((30, 30), dtype=np.uint16)
    expected[10 + top :, 10 + left :][: inside.shape[0], : inside.shape[1]] = inside * 5
    found = drawn(RunLengths(5, counts, inside.shape, (top, left), columns_first), (9, 9))
    np.testing.assert_array_equal(found, expected[10:19, 10:19])
    assert counts.sum() == inside.size


def test_run_lengths_leave_what_is_outside_as_it_is():
    canvas = np.full((2, 3), 7, dtype=np.uint16)
    RunLengths(4, run_lengths([1, 2, 3], (2, 3)), (2, 3))(canvas)
    np.testing.assert_array_equal(canvas, [[7, 4, 4], [7, 7, 7]])
    RunLengths(9, run_lengths([1, 2, 3], (2, 3)), (2, 3), columns_first=True)(canvas)
    np.testing.assert_array_equal(canvas, [[7, 9, 4], [9, 7, 7]])


@pytest.mark.parametrize(
    "counts",
    [[], [5], [7], [3, 4], [-1, 7], [6.0], ["6"], [[6]], None, 6, "6", {}, [2**62] * 4 + [6], [10**30]],
)
def test_run_lengths_that_do_not_fill_their_box_are_refused(counts):
    with pytest.raises(DataError, match=r"do not fill a box of 2x3 pixels"):
        run_lengths(counts, (2, 3))


def test_run_lengths_of_a_box_without_pixels_or_with_too_many():
    for size in [(0, 0), (0, 4), (MOST_PIXELS, 2), (-2, -3)]:
        with pytest.raises(DataError, match="do not fill a box"):
            run_lengths([size[0] * size[1]], size)


# --- pieces of bitmap --------------------------------------------------------------------------------------------


def png(picture, **options):
    held = BytesIO()
    picture.save(held, format="PNG", **options)
    return held.getvalue()


PIECE = np.array([[1, 0], [1, 1]], dtype=np.uint8)


def palette_piece(**options):
    picture = Image.fromarray(PIECE)
    picture = picture.convert("P")
    picture.putpalette([0, 0, 0, 255, 255, 255])
    return png(picture, **options)


@pytest.mark.parametrize(
    "content",
    [
        png(Image.fromarray(PIECE)),
        png(Image.fromarray(PIECE * 255)),
        png(Image.fromarray(PIECE.astype(bool))),
        png(Image.fromarray(PIECE.astype(np.uint16))),
        png(Image.fromarray(np.repeat(PIECE[:, :, None], 3, axis=2))),
        png(Image.fromarray(np.stack([PIECE * 0 + 9, PIECE * 0, PIECE * 0, PIECE * 255], axis=2))),
        palette_piece(),
        palette_piece(transparency=0),
    ],
    ids=["grey", "255", "bits", "16 bits", "colours", "alpha", "palette", "transparent palette"],
)
def test_pieces_of_bitmap(content):
    expected = rows("........ ........ ...6.... ...66... ........ ........")
    np.testing.assert_array_equal(drawn(Bitmap(6, content, (2, 3))), expected)


def test_a_piece_over_the_upper_left_corner():
    np.testing.assert_array_equal(drawn(Bitmap(6, png(Image.fromarray(PIECE)), (-1, -1)), (2, 2)), [[6, 0], [0, 0]])


@pytest.mark.parametrize(
    "content", [b"", b"no png", png(Image.fromarray(PIECE))[:-25], png(Image.new("L", (9, 9)))[:40]]
)
def test_a_damaged_piece_is_an_error_that_says_so(content):
    with pytest.raises(DataError, match=r"a piece of mask cannot be decoded as PNG: [^\n]+\.$"):
        drawn(Bitmap(6, content, (0, 0)))


def test_only_png_is_decoded():
    held = BytesIO()
    Image.fromarray(PIECE).save(held, format="TIFF")
    with pytest.raises(DataError, match="cannot be decoded as PNG"):
        drawn(Bitmap(6, held.getvalue(), (0, 0)))


@given(pictures, st.integers(-12, 12), st.integers(-12, 12))
def test_paste(inside, top, left):
    expected = np.zeros((40, 40), dtype=np.uint16)
    expected[15 + top :, 15 + left :][: inside.shape[0], : inside.shape[1]] = inside
    canvas = np.zeros((7, 8), dtype=np.uint16)
    paste(canvas, inside, (top, left), 1)
    np.testing.assert_array_equal(canvas, expected[15:22, 15:23])


# --- together ----------------------------------------------------------------------------------------------------


def test_later_shapes_are_on_top(tmp_path):
    below, above = polygon([0, 0, 4, 0, 4, 4, 0, 4], value=1), polygon([2, 2, 6, 2, 6, 6, 2, 6], value=2)
    source = Shapes(tmp_path / "a.json", (below, above), size=(6, 6), base=9)
    np.testing.assert_array_equal(read_source(source, (1, 1)), rows("111199 111199 112222 112222 992222 992222"))
    np.testing.assert_array_equal(
        read_source(Shapes(source.path, (above, below), base=9), (6, 6)),
        rows("111199 111199 111122 111122 992222 992222"),
    )


def test_trouble_with_a_shape_names_the_annotation_file(tmp_path):
    source = Shapes(tmp_path / "a.json", (Bitmap(1, b"", (0, 0)),))
    with pytest.raises(DataError, match=r"a\.json: a piece of mask cannot be decoded"):
        read_source(source, (4, 4))


def test_a_picture_that_is_said_to_be_huge_is_not_drawn(tmp_path):
    with pytest.raises(DataError, match=r"a\.json: names a picture of 1000000x1000000: at most 178,956,970"):
        read_source(Shapes(tmp_path / "a.json", (), size=(10**6, 10**6)), (4, 4))

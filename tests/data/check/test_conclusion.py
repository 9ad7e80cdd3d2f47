"""What masks mean: each reading of values and colours, and what is refused."""

import numpy as np
import pytest

from intarsia.data.check.conclusion import conclude
from intarsia.data.check.meaning import Meaning
from intarsia.data.check.records import MaskRecord
from intarsia.data.pairs import Dataset
from intarsia.labels import packed

SIZE = (100, 100)
BLACK, RED, GREEN = (0, 0, 0), (200, 10, 10), (10, 200, 10)


def record(
    counts: dict[int, int], kind: str = "values", inside: dict[int, int] | None = None, **more
) -> MaskRecord:
    """A mask of the given values and pixels; all lie inside areas unless `inside` says otherwise."""
    values = sorted(counts)
    inner = {**counts, **(inside or {})}
    return MaskRecord(
        kind=kind,
        bits=8,
        lossy=more.get("lossy", False),
        distinct=more.get("distinct", len(values)),
        stored=np.array(values, np.uint32).tobytes(),
        counts=np.array([counts[value] for value in values], np.int64).tobytes(),
        inside=np.array([inner[value] for value in values], np.int64).tobytes(),
        palette=np.array(more.get("palette", []), np.uint32).tobytes(),
        touching=b"",
        isolated=0,
    )


def meaning(*masks: dict[int, int] | MaskRecord, **about) -> Meaning:
    records = [mask if isinstance(mask, MaskRecord) else record(mask) for mask in masks]
    return conclude(Dataset(".", {}, **about), records, [SIZE] * len(records))


@pytest.mark.parametrize(
    ("values", "names", "expected"),
    [
        ([0, 1, 2], (), [0, 1, 2]),
        ([0, 1, 2, 255], (), [0, 1, 2]),
        ([0, 255], (), [0, 255]),
        ([0, 128], (), [0, 128]),
        ([0, 85, 170, 255], (), [0, 85, 170, 255]),
        ([0, 127, 255], (), [0, 127, 255]),
        ([0, 128, 255], (), [0, 128, 255]),
        ([1, 2, 3], (), [1, 2, 3]),
        ([1, 2, 3, 255], (), [1, 2, 3]),
        ([0, 3, 7], (), [0, 3, 7]),
        ([0, 3, 7, 255], (), [0, 3, 7]),
        ([0, 64, 128, 255], (), [0, 64, 128, 255]),
        ([0, 2], ("a", "b", "c"), [0, 1, 2]),
        ([0, 255], ("a", "b"), [0, 255]),
        ([0, 255], ("a", "b", "c"), [0, 1, 2]),
        ([1, 3], ("a", "b", "c"), [1, 2, 3]),
        ([0, 85, 170, 255], ("a", "b", "c", "d"), [0, 85, 170, 255]),
        ([4, 9], ("a", "b"), [4, 9]),
    ],
)
def test_values(values, names, expected):
    found = meaning(dict.fromkeys(values, 2000), names=names)
    assert found.labels is not None
    assert [own for (own,) in found.labels.values] == expected
    if names:
        assert found.labels.names == names
    assert (255 in found.labels.ignore) == (255 not in expected)
    assert found.findings, "it is always said"


@pytest.mark.parametrize(
    ("values", "names", "finding"),
    [
        ([255], (), "one-class"),
        ([0, 3, 7], ("a", "b"), "unknown-values"),
        ([0, 3, 7, 9], ("a", "b"), "unknown-values"),
    ],
)
def test_values_that_nobody_can_tell(values, names, finding):
    found = meaning(dict.fromkeys(values, 2000), names=names)
    assert found.labels is None
    assert [one.id for one in found.findings] == [finding]


def test_a_value_beyond_a_gap_in_one_mask_is_a_stray_and_no_class():
    found = meaning(*[{0: 5000, 1: 5000}] * 20, {0: 5000, 1: 4995, 77: 5})
    assert found.labels is not None
    assert found.labels.values == ((0,), (1,))


def test_a_value_beyond_a_gap_with_many_pixels_is_a_class_and_said():
    found = meaning(*[{0: 5000, 1: 5000}] * 20, {0: 5000, 77: 5000})
    assert found.labels is not None
    assert found.labels.values == ((0,), (1,), (77,))
    assert [one.id for one in found.findings] == ["value-gaps"]


def test_a_value_more_than_names_has_two_readings_and_is_refused():
    found = meaning({0: 3000, 1: 3000, 2: 4000}, names=("sky", "road"))
    assert found.labels is not None
    assert found.labels.names == ("sky", "road", "class 2")
    (finding,) = found.findings
    assert finding.id == "unknown-values"
    assert "void" in finding.message
    assert "background" in finding.message


def test_masks_of_0_and_255_among_class_indices_are_written_otherwise():
    found = meaning(*[{0: 5000, 255: 5000}] * 7, {0: 5000, 1: 5000})
    assert found.odd == {7}
    assert found.labels is not None
    assert found.labels.values == ((0,), (255,))
    assert meaning(*[{0: 5000, 1: 5000}] * 7, {0: 5000, 255: 5000}).odd == {7}
    with_void = meaning({0: 5000, 1: 4000, 255: 1000}, {0: 5000, 255: 5000}, {0: 5000, 1: 5000})
    assert with_void.odd == frozenset(), "255 stands beside a class: it is void"


def test_grey_masks_among_colour_masks_are_written_otherwise():
    assert meaning(colors(BLACK, RED), colors(BLACK, RED), {0: 5000, 1: 3000}).odd == {2}
    assert meaning(colors(BLACK, RED), {0: 5000, 1: 3000}, {0: 5000, 1: 3000}).odd == {0}


def test_palettes_that_differ_are_read_by_colour():
    one = record({0: 5000, 1: 5000}, "palette", palette=[packed(GREEN), packed(RED)])
    other = record({0: 5000, 1: 5000}, "palette", palette=[packed(RED), packed(GREEN)])
    found = meaning(one, other)
    assert found.labels is not None
    assert found.labels.encoding == "colors"
    shades = record({0: 5000, 1: 5000}, "palette", palette=[packed(BLACK), packed((90, 90, 200))])
    assert meaning(one, shades).labels.encoding == "values", "each index keeps its own shades"


def test_names_without_colours_are_never_given_to_colours():
    found = meaning(colors(BLACK, RED, GREEN), names=("ground", "road", "car"))
    assert found.labels is not None
    assert found.labels.names == ("class 0", "class 1", "class 2")
    assert "names-without-colors" in [one.id for one in found.findings]


def test_levels_between_two_values_are_noise_and_no_ramp():
    """Four-fold anti-aliasing of 0 and 255 leaves 64, 128, 191: an even ramp, but no areas."""
    levels = {0: 4000, 64: 100, 128: 100, 191: 100, 255: 5700}
    found = meaning(record(levels, inside={64: 0, 128: 0, 191: 0}))
    assert found.labels is not None
    assert found.labels.values == ((0,), (255,))
    assert found.labels.snap >= 127
    assert [one.id for one in found.findings] == ["noise"]


def test_jpeg_indices_are_refused_and_jpeg_of_far_values_is_snapped():
    close = meaning(record({0: 5000, 1: 100, 2: 4900}, lossy=True))
    assert close.labels is None
    assert "JPEG" in close.findings[0].message
    far = meaning(record({0: 5000, 2: 50, 253: 50, 255: 4900}, inside={2: 0, 253: 0}, lossy=True))
    assert far.labels is not None
    assert far.labels.values == ((0,), (255,))


def test_object_numbers_become_one_class():
    masks = [dict.fromkeys(range(count), 300) for count in (3, 5, 9, 20, 30)]
    found = meaning(*masks)
    assert found.labels is not None
    assert (found.labels.encoding, found.labels.names) == ("objects", ("background", "object"))
    assert meaning(*masks, encoding="values").labels.encoding == "values"
    assert meaning(*[dict.fromkeys(range(30), 300)] * 5).labels.encoding == "values", "the same in every mask"


def colors(*own: tuple[int, int, int]) -> MaskRecord:
    return record({packed(color): 3000 for color in own}, "colors")


def test_colors_become_classes_in_their_order():
    found = meaning(colors(BLACK, RED, GREEN))
    assert found.labels is not None
    assert found.labels.encoding == "colors"
    assert found.labels.colors == (BLACK, GREEN, RED)


def test_a_list_of_colors_gives_names_and_order():
    found = meaning(colors(BLACK, RED), known_colors={"red": RED, "ground": BLACK, "green": GREEN})
    assert found.labels is not None
    assert found.labels.names == ("red", "ground", "green")
    assert found.labels.colors == (RED, BLACK, GREEN)


def test_a_grey_mask_among_colour_masks_holds_grey_colours():
    found = meaning(colors(BLACK, RED), record({0: 9000}, "grey"))
    assert found.labels is not None
    assert found.labels.colors == (BLACK, RED)


def test_known_palettes_are_named():
    road, building, sky = (128, 64, 128), (70, 70, 70), (70, 130, 180)
    found = meaning(colors(road, building, sky))
    assert found.labels is not None
    assert found.labels.names == ("road", "building", "sky")
    assert found.findings[0].id == "palette"
    assert "Cityscapes" in found.findings[0].message


def test_a_palette_shows_its_colors_and_names_them_by_a_list():
    own = record({0: 5000, 1: 5000}, "palette", palette=[packed(GREEN), packed(RED)])
    shown = meaning(own)
    assert shown.labels is not None
    assert shown.labels.colors == (GREEN, RED)
    named = meaning(own, known_colors={"fire": RED, "grass": GREEN})
    assert named.labels is not None
    assert dict(zip(named.labels.names, named.labels.values, strict=True)) == {"fire": (1,), "grass": (0,)}


def test_bands():
    found = meaning(record({1: 5000, 2: 3000, 3: 2000}, "channels"), names=("a", "b", "c"))
    assert found.labels is not None
    assert (found.labels.encoding, found.labels.values) == ("channels", ((1,), (2,), (3,)))
    with_ground = meaning(record({0: 5000, 1: 3000, 2: 2000}, "channels"), names=("a", "b"))
    assert with_ground.labels is not None
    assert with_ground.labels.names == ("background", "a", "b")

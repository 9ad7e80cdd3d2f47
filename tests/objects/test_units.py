"""Lengths as people write them."""

import pytest

from intarsia.errors import SettingsError
from intarsia.objects.units import Spacing, pixel_size, ratio, spacing
from intarsia.raster.contract import EvenScale


@pytest.mark.parametrize(
    ("text", "scale"),
    [
        ("0.5mm", EvenScale(0.5, 0.5, "mm")),
        ("0.5mm,0.6mm", EvenScale(0.5, 0.6, "mm")),
        (" 0.5 mm , 600 um ", EvenScale(0.5, 0.6, "mm")),
        ("0.25um", EvenScale(0.25, 0.25, "µm")),
        ("0.25µm", EvenScale(0.25, 0.25, "µm")),
        ("0.25\u03bcm", EvenScale(0.25, 0.25, "µm")),
        ("30m", EvenScale(30, 30, "m")),
        (".3e2m,0.03km", EvenScale(30, 30, "m")),
        ("1ft,12in", EvenScale(1, 1, "ft")),
    ],
)
def test_pixel_sizes(text, scale) -> None:
    assert pixel_size(text) == scale


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0.5", r"Pixel size '0.5': '0.5' has no unit; say 0.5mm"),
        ("0.5mm,3", r"'3' has no unit; say 3mm"),
        ("0mm", r"'0mm' is no length of a pixel; say a number above 0"),
        ("-2mm", r"'-2mm' is no length of a pixel"),
        ("1e999mm", r"'1e999mm' is no length of a pixel"),
        ("3px", r"unknown unit 'px'\. Known: nm, µm, mm, cm, dm, m, km, in, ft, yd, mi, um\."),
        ("3 MM", r"unknown unit 'MM'"),
        ("nanm", r"'nanm' is no length; say a number and a unit, as 0.5mm"),
        ("", r"'' is no length"),
        ("1mm,2mm,3mm", r"3 lengths; say one, as 0.5mm, or height,width"),
        ("1mm,", r"'' is no length"),
    ],
)
def test_what_is_no_pixel_size(text, words) -> None:
    with pytest.raises(SettingsError, match=words):
        pixel_size(text)


def test_a_spacing() -> None:
    assert spacing("2mm,0.5mm,500um") == Spacing(2, 0.5, 0.5, "mm")
    assert spacing("2mm,0.5mm,0.4mm").scale == EvenScale(0.5, 0.4, "mm")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2mm,0.5mm", r"Spacing '2mm,0.5mm': say three lengths, depth,height,width, as 2mm,0.5mm,0.5mm"),
        ("2,0.5mm,0.5mm", r"Spacing '2,0.5mm,0.5mm': '2' has no unit"),
    ],
)
def test_what_is_no_spacing(text, words) -> None:
    with pytest.raises(SettingsError, match=words):
        spacing(text)


@pytest.mark.parametrize(
    ("unit", "other", "expected"),
    [("mm", "um", 1000), ("ft", "m", 0.3048), ("m", "m", 1), ("parsec", "parsec", 1), ("parsec", "m", None)],
)
def test_ratios(unit, other, expected) -> None:
    assert ratio(unit, other) == expected

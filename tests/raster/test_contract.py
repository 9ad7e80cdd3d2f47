"""Areas of pixels, against the ellipsoid's own surface and against integrals."""

import math

import numpy as np
import pytest

from intarsia.raster.contract import EvenScale, GlobeScale, WebMercatorScale

SURFACE = 510_065_621.724e6  # m², of the WGS 84 ellipsoid, as its definition lists it
A, F = 6_378_137.0, 1 / 298.257223563  # WGS 84


def integrated(south: float, north: float, degrees: float) -> float:
    """m² between parallels and over `degrees` of longitude: the integral of M(φ)·N(φ)·cos φ, by Simpson's rule."""
    e2 = F * (2 - F)
    latitudes = np.radians(np.linspace(south, north, 2001))
    bent = 1 - e2 * np.sin(latitudes) ** 2
    values = A * (1 - e2) / bent**1.5 * A / np.sqrt(bent) * np.cos(latitudes)
    weights = np.ones(2001)
    weights[1:-1:2], weights[2:-1:2] = 4, 2
    return float(weights @ values) * (latitudes[1] - latitudes[0]) / 3 * math.radians(degrees)


def test_even_pixels():
    assert EvenScale(0.5, 0.25, "m").areas(3, 7).tolist() == [0.125] * 4


def test_all_pixels_of_the_globe_are_its_surface():
    assert GlobeScale(90, -0.5, 0.5).areas(0, 360).sum() * 720 == pytest.approx(SURFACE, rel=1e-9)


def test_a_cell_of_one_degree_at_the_equator():
    assert GlobeScale(1, -1, 1).areas(0, 1)[0] == pytest.approx(12_308.8e6, rel=1e-4)


@pytest.mark.parametrize(("top", "height"), [(60.0, -0.25), (-10.0, 0.25), (0.3, -0.25), (89.0, -1.0)])
def test_rows_of_degrees(top, height):
    areas = GlobeScale(top, height, 0.1).areas(0, 1)
    assert areas[0] == pytest.approx(integrated(*sorted([top, top + height]), 0.1), rel=1e-9)


def test_beyond_a_pole_there_is_nothing():
    assert GlobeScale(90.5, -0.5, 0.5).areas(0, 2)[0] == 0


@pytest.mark.parametrize("y", [0.0, 5_000_000.0, -8_000_000.0])
def test_rows_of_web_maps(y):
    """Latitudes as the definition of the projection has them: y = R·ln tan(π/4 + φ/2)."""
    north, south = (math.degrees(2 * math.atan(math.exp(one / A)) - math.pi / 2) for one in (y, y - 1000))
    degrees = math.degrees(1000 / A)
    assert WebMercatorScale(y, -1000, 1000).areas(0, 1)[0] == pytest.approx(
        integrated(south, north, degrees), rel=1e-8
    )


def test_rows_are_counted_from_the_top():
    scale = GlobeScale(60, -0.25, 0.25)
    assert np.array_equal(scale.areas(0, 10)[4:7], scale.areas(4, 7))

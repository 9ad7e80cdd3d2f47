"""How long objects, outlines, files, specks and touching objects take on a large mask, and how much memory.

    python -m benchmarks.objects [regions|outlines|specks|noise|touching|measuring ...]

The mask: 20,000 x 20,000 pixels, 130,000 ellipses of radii 5 to 29 in five classes on background, in strips of 512
rows; for specks 400,000 random pixels besides; for touching objects 4,000 x 4,000 pixels with 8,000 discs; noise is
4,096 x 4,096 pixels of two classes at random. Each measurement is a process of its own; memory is what it takes
beyond the mask.
"""

import multiprocessing
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
from numpy.typing import NDArray

from intarsia.objects import coco, geojson
from intarsia.objects.areas import Measuring
from intarsia.objects.instances import label_objects
from intarsia.objects.outlines import simplified
from intarsia.objects.regions import Regions
from intarsia.objects.specks import Specks
from intarsia.raster.contract import EvenScale, Georeference, GlobeScale

SIDE, ROWS = 20_000, 512
NAMES = ("ground", "a", "b", "c", "d", "e")
PLACE = Georeference("", (0.1, 0, 500_000, 0, -0.1, 4_000_000))
Mask = NDArray[np.uint8]


def ellipses(side: int = SIDE, number: int = 130_000) -> Mask:
    """The mask of the head."""
    generator = np.random.default_rng(0)
    mask = np.zeros((side, side), np.uint8)
    for _ in range(number):
        centre, axes = generator.integers(0, side, 2).tolist(), generator.integers(5, 30, 2).tolist()
        cv2.ellipse(mask, centre, axes, int(generator.integers(180)), 0, 360, int(generator.integers(1, 6)), -1)
    return mask


def strips(mask: Mask) -> list[Mask]:
    """Of `ROWS` rows."""
    return [mask[top : top + ROWS] for top in range(0, len(mask), ROWS)]


@contextmanager
def measured(what: str) -> Iterator[None]:
    """Prints seconds and memory."""
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    yield
    seconds, more = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"{what}: {seconds:.1f} s, {more / 1e6:.2f} GB more", flush=True)


def regions() -> None:
    """Tables of objects."""
    mask = ellipses()
    for scale in (EvenScale(0.5, 0.5, "m"), GlobeScale(50, -1e-5, 1e-5)):
        with measured(f"objects and their areas, {type(scale).__name__}"):
            found = Regions(range(1, 6), areas=scale.areas)
            for strip in strips(mask):
                found.add(strip)
            objects = found.finish()
    print(f"{len(objects):,} objects")


def outlines() -> None:
    """Outlines and files of them."""
    mask = ellipses()
    with measured("objects with outlines"):
        found = Regions(range(1, 6), outlines=True)
        for strip in strips(mask):
            found.add(strip)
        objects = found.finish()
    with measured("GeoJSON text"):
        size = sum(len(line) for line in geojson.lines(objects, NAMES, PLACE))
    print(f"{size:,} characters")
    with measured("COCO record"):
        coco.record(objects, "a.tif", SIDE, SIDE)
    with measured("simplified by one pixel"):
        for outline in objects.outlines if objects.outlines is not None else ():
            simplified(outline, 1)


def clean(mask: Mask, smallest: int) -> None:
    """Both passes."""
    specks = Specks(smallest)
    with measured("first pass"):
        for strip in strips(mask):
            specks.add(strip)
    with measured("decision"):
        specks.decide()
    with measured("second pass"):
        for strip in strips(mask):
            specks.cleaned(strip)


def specks() -> None:
    """Specks among objects."""
    generator, mask = np.random.default_rng(1), ellipses()
    mask[tuple(generator.integers(0, SIDE, (2, 400_000)))] = generator.integers(0, 6, 400_000)
    clean(mask, 20)


def noise() -> None:
    """Specks beside specks."""
    clean(np.random.default_rng(0).integers(0, 2, (4096, 4096)).astype(np.uint8), 20)


def touching() -> None:
    """Object numbers."""
    generator, mask = np.random.default_rng(0), np.zeros((4000, 4000), np.uint8)
    for _ in range(8000):
        cv2.circle(mask, generator.integers(0, 4000, 2).tolist(), int(generator.integers(6, 30)), 1, -1)
    with measured("connected objects"):
        connected = label_objects(mask, [1])
    with measured("touching objects told apart"):
        apart = label_objects(mask, [1], touching=True)
    print(f"{len(connected.objects):,} and {len(apart.objects):,} objects")


def measuring() -> None:
    """Classes."""
    mask = ellipses()
    for scale in (EvenScale(0.5, 0.5, "m"), GlobeScale(50, -1e-5, 1e-5)):
        with measured(f"pixels and areas of classes, {type(scale).__name__}"):
            counted = Measuring(NAMES, scale)
            for strip in strips(mask):
                counted.add(strip)


MEASUREMENTS = {one.__name__: one for one in (regions, outlines, specks, noise, touching, measuring)}

if __name__ == "__main__":
    cv2.setNumThreads(1)
    for name in sys.argv[1:] or MEASUREMENTS:
        print(f"-- {name}", flush=True)
        process = multiprocessing.get_context("spawn").Process(target=MEASUREMENTS[name])
        process.start()
        process.join()

"""Synthetic road scenes with exact masks: the data of `intarsia demo`, and of the tests.

A scene is a street planned in metres, with houses, trees, vehicles and people along it (see `scenery`). It
is lit by one of a few kinds of weather, painted from far to near into image and mask at once (see `diorama`),
and photographed with a little blur and noise.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import cv2
import numpy as np
from PIL import Image

from intarsia.synthetic.diorama import Bytes, Floats, Light, Perspective, Stroke, Thing, level, paint
from intarsia.synthetic.scenery import BACKGROUND, MODELS, ROAD, house, lamp, person, pick, sign, tree, vehicle

CLASSES = ("background", "road", "vehicle", "pedestrian")
COLORS = ((32, 36, 44), (72, 149, 208), (245, 184, 46), (226, 72, 140))  # told apart by the colour-blind too
SPLITS: Mapping[str, int] = MappingProxyType({"train": 400, "val": 40, "test": 40})

NEAR, FAR = 2.5, 900.0  # metres ahead between which the ground is painted
LIGHTS = (  # noon, morning, overcast, sunset, dusk
    Light((74, 130, 198), (196, 218, 232), (250, 250, 248), 0.45, 0.70, 0.46, 0.85, (1.0, 1.0, 1.0), 0.0, 700),
    Light((102, 160, 214), (226, 232, 228), (255, 252, 244), 0.3, 0.66, 0.54, 0.55, (1.05, 1.0, 0.92), 0.0, 900),
    Light((150, 160, 172), (204, 209, 212), (176, 184, 194), 0.85, 0.90, 0.10, 1.2, (0.97, 1.0, 1.03), 0.1, 260),
    Light((84, 104, 158), (250, 196, 140), (246, 168, 140), 0.45, 0.66, 0.48, 0.32, (1.08, 0.97, 0.86), 0.3, 500),
    Light((44, 56, 104), (214, 140, 128), (120, 96, 132), 0.5, 0.62, 0.10, 0.25, (0.92, 0.92, 1.08), 0.7, 380),
)
PAVEMENTS = ((176, 170, 162), (164, 160, 160), (182, 166, 146))
GRASSES = ((112, 138, 72), (126, 142, 80), (140, 144, 92))
LEAVES = ((70, 112, 58), (88, 124, 56), (186, 132, 48), (58, 98, 70))
MIX, PARKED = (0.3, 0.22, 0.22, 0.12, 0.08, 0.06), (0.4, 0.3, 0.3, 0, 0, 0)  # shares of `MODELS`
CHALK = (228, 228, 222)


@dataclass(frozen=True)
class Street:
    """The plan of a street, in metres."""

    half: float  # half the width of the road
    walk: float  # width of each pavement
    crossing: float  # how far ahead a side street crosses; infinitely far where none does
    built: float  # share of the plots with a house
    asphalt: Floats  # this and the following are colours
    pavement: Floats
    grass: Floats
    leaves: Floats

    def crossed(self, start: float, end: float) -> bool:
        """Whether the side street or its zebra lies between two depths."""
        return start < self.crossing + 8.5 and end > self.crossing - 5.5


def plan_street(rng: np.random.Generator) -> Street:
    """A street in a town, a suburb or the country."""
    built, walk = ((0.95, 2.8), (0.65, 2.0), (0.65, 2.0), (0.2, 0.0))[rng.integers(4)]
    return Street(
        half=rng.uniform(3.3, 5.2),
        walk=walk * rng.uniform(0.8, 1.2),
        crossing=rng.uniform(12, 22) if rng.random() < 0.4 else np.inf,
        built=built,
        asphalt=rng.uniform(88, 128) * np.array([1.0, 1.0, rng.uniform(0.98, 1.05)]),
        pavement=pick(rng, PAVEMENTS),
        grass=pick(rng, GRASSES),
        leaves=pick(rng, LEAVES),
    )


def place_houses(rng: np.random.Generator, light: Light, street: Street) -> Iterator[Thing]:
    """Houses and gardens on both sides."""
    for side in (-1, 1):
        z, tall = 3.0, rng.uniform(5, 14)
        while z < 100:
            length, gap = rng.uniform(8, 17), rng.uniform(0, 5) * (street.built < 0.9)
            wall = side * (street.half + max(street.walk, 1.4) + gap + 0.3)
            if street.crossed(z - 1, z + length):
                z += 2
                continue
            if rng.random() < street.built:
                plan = (*sorted((wall, wall + side * rng.uniform(7, 11))), z, z + length)
                low = street.built < 0.9 and rng.random() < 0.7
                yield house(rng, light, plan, rng.uniform(3.2, 6) if low else max(7, tall + rng.normal(0, 2.5)))
            else:
                for _ in range(2):
                    spot = (wall + side * rng.uniform(2, 9), z + rng.uniform(0, length))
                    yield tree(rng, light, spot, street.leaves)
            z += length + gap


def place_furniture(rng: np.random.Generator, light: Light, street: Street) -> Iterator[Thing]:
    """Trees, lamps and signs along the kerbs."""
    for side in (-1, 1):
        for z in np.arange(rng.uniform(8, 18), 90, rng.uniform(10, 16)):
            spot, kind = (side * (street.half + 0.6), float(z)), rng.random()
            if street.crossed(z, z):
                continue
            if kind < 0.45:
                yield tree(rng, light, spot, street.leaves)
            else:
                yield lamp(light, spot) if kind < 0.75 else sign(rng, spot)


def place_vehicles(rng: np.random.Generator, light: Light, street: Street) -> Iterator[Thing]:
    """Traffic in two lanes, parked cars where the road is wide, and traffic in the side street."""
    wide = street.half > 4.6
    lane = 1.5 if wide else street.half / 2
    kerb = street.half - 0.95
    lanes = [(lane, 0.0, MIX), (-lane, np.pi, MIX), (kerb, 0.0, PARKED), (-kerb, np.pi, PARKED)]
    for x, heading, mix in lanes[: 4 if wide else 2]:
        z = rng.uniform(8, 24)
        while z < 42:
            model = MODELS[rng.choice(len(MODELS), p=mix)]
            if rng.random() < 0.6 and not street.crossed(z, z + model.length):
                pose = (x + rng.normal(0, 0.12), z + model.length / 2, heading + rng.normal(0, 0.02))
                yield vehicle(rng, light, pose, model)
            z += model.length + rng.uniform(2, 20)
    if np.isfinite(street.crossing):
        for way in (-1, 1):
            if rng.random() < 0.7:
                pose = (rng.uniform(-11, 11), street.crossing + 3.75 + way * 1.8, -way * np.pi / 2)
                yield vehicle(rng, light, pose, MODELS[rng.integers(4)])


def place_people(rng: np.random.Generator, street: Street, vehicles: Sequence[Thing]) -> Iterator[Thing]:
    """People on the pavements, on the zebra, and a few who just cross."""
    for _ in range(rng.integers(2, 7)):
        across, kind = rng.uniform(-street.half, street.half), rng.random()
        beside = street.half + rng.uniform(0.4, max(street.walk, 1) - 0.3)
        x, z = rng.choice((-1, 1)) * beside, rng.uniform(5, 18)
        if kind < 0.4 and np.isfinite(street.crossing):
            x, z = across, street.crossing - rng.uniform(2, 4)
        elif kind < 0.15:
            x, z = across, rng.uniform(7, 20)
        gaps = [np.abs(other.plan.mean(axis=0) - (x, 0, z)) for other in vehicles]
        if all(gap[0] > 1.6 or gap[2] > 4.5 for gap in gaps) and (
            abs(x) < street.half or not street.crossing - 1 < z < street.crossing + 8
        ):
            yield person(rng, x, z, 1.75 * rng.choice((0.68, 0.94, 1.0, 1.05)))


def paint_sky(image: Bytes, horizon: float, light: Light, rng: np.random.Generator) -> None:
    """A gradient, and clouds out of noise at three scales, above the horizon of an image [H, W, 3]."""
    rows, width = int(horizon) // 2 + 1, image.shape[1] // 2
    rise = np.linspace(1, 0, rows, dtype=np.float32)[:, None, None] ** 0.8
    zenith, low_sky, cloud = np.array([light.zenith, light.low_sky, light.cloud], np.float32)
    sky = rise * zenith + (1 - rise) * low_sky
    clouds = np.full((rows, width), 3 * light.cover - 1.5, np.float32)
    for knots, strength in ((4, 1.0), (7, 0.55), (14, 0.3)):
        noise = rng.normal(0, strength, (knots, 2 * knots)).astype(np.float32)
        clouds += cv2.resize(noise, (width, rows), interpolation=cv2.INTER_CUBIC)
    sky = sky + np.clip(clouds * 0.55, 0, 1)[:, :, None] * (0.35 + 0.55 * rise) * (cloud - sky)
    image[: 2 * rows] = cv2.resize(sky.astype(np.uint8), (image.shape[1], 2 * rows))


def make_ground(rng: np.random.Generator, street: Street) -> list[Thing]:
    """Hills, grass, pavements and the road, with all that lies flat on them."""
    half, side, asphalt, paving = street.half, street.half + street.walk, street.asphalt, street.pavement
    depths = np.r_[NEAR, np.geomspace(6, FAR, 24)][::-1]
    spans, slabs = np.stack([depths[1:], depths[:-1]], axis=1), np.arange(4, 40, 2)[:, None] + (0, 0.06)
    land = [Stroke(hills(rng, FAR * 1.5, 70), street.leaves), Stroke(hills(rng, FAR, 34), street.leaves)]
    land += [Stroke(level((-1500, 1500), spans), street.grass)]
    for way in (-1, 1):
        kerb = way * (half + min(0.25, street.walk))
        land += [Stroke(level((kerb, way * side), spans), paving)]
        land += [Stroke(level((kerb, way * side), slabs), 0.85 * paving)]
        land += [Stroke(level((way * half, kerb), spans), 1.12 * paving)]

    road = [Stroke(level((-half, half), spans), asphalt)]
    for _ in range(rng.integers(1, 6)):  # mended asphalt
        x, z = rng.uniform(-half, half - 1.6), rng.uniform(5, 40)
        patch = level((x, x + rng.uniform(0.5, 1.6)), (z, z + rng.uniform(1, 7)))
        road += [Stroke(patch[None], asphalt * rng.choice((0.86, 0.93, 1.08)))]
    if np.isfinite(street.crossing):
        road += [Stroke(level((-90, 90), (street.crossing, street.crossing + 7.5))[None], asphalt)]
        stripes = np.arange(0.4 - half, half - 0.6, 1.1)[:, None] + (0, 0.55)
        road += [Stroke(level(stripes, (street.crossing - 4.5, street.crossing - 1.5)), CHALK)]
    dashes = np.arange(rng.uniform(2.5, 8), 160, 8)[:, None] + (0, 3)
    edge = np.arange(3, 160, 6)[:, None] + (0, 6)
    for x, lines in ((0.0, dashes), (0.35 - half, edge), (half - 0.35, edge)):
        clear = [line for line in lines if not street.crossed(*line)]
        road += [Stroke(level((x - 0.065, x + 0.065), clear), CHALK)]
    nowhere = np.zeros((0, 3))
    return [Thing(BACKGROUND, land, nowhere), Thing(ROAD, road, nowhere)]


def hills(rng: np.random.Generator, depth: float, height: float) -> Floats:
    """A range of hills as outlines [N, 4, 3]."""
    knots, edge = rng.uniform(0.3, 1, 9) * height, np.linspace(-1.5 * FAR, 1.5 * FAR, 41)
    ridge = np.interp(edge, np.linspace(edge[0], edge[-1], 9), knots)
    ridge = np.convolve(np.pad(ridge, 3, mode="edge"), np.full(7, 1 / 7), mode="valid")
    line = np.stack([edge, ridge, np.full_like(edge, depth)], axis=1)
    foot = line * (1, 0, 1) - (0, 9, 0)
    return np.stack([foot[:-1], foot[1:], line[1:], line[:-1]], axis=1)


def cast_shadows(image: Bytes, things: Sequence[Thing], view: Perspective, light: Light) -> None:
    """Darken the ground of an image [H, W, 3] under things and, where the sun shines, behind them."""
    shadow = np.full(image.shape[:2], 255, np.uint8)
    near = [thing for thing in things if thing.depth < 60]
    if light.direct > 0.2:
        away = light.sun * (-1, 0, -1) / light.sun[1]
        for thing in near:
            darken(shadow, np.concatenate([thing.plan, thing.plan + away * min(thing.height, 9)]), view, 140)
    for thing in near:
        darken(shadow, thing.plan, view, 115)
    ground, dark = image[int(view.horizon) :], cv2.GaussianBlur(shadow[int(view.horizon) :], (0, 0), 1.6)
    cv2.multiply(ground, cv2.merge([dark, dark, dark]), ground, 1 / 255)


def texture_ground(image: Bytes, horizon: float, rng: np.random.Generator) -> None:
    """Grain and blotches below the horizon of an image [H, W, 3], coarser towards the camera."""
    ground = image[int(horizon) :]
    rows, width = ground.shape[:2]
    grain = rng.standard_normal((rows, width), np.float32)
    grain *= np.linspace(0.01, 0.05, rows, dtype=np.float32)[:, None]
    blotches = rng.normal(1, 0.03, (14, 7)).astype(np.float32)
    grain += cv2.resize(blotches, (width, rows), interpolation=cv2.INTER_CUBIC)
    tone = (grain * 200).astype(np.uint8)
    cv2.multiply(ground, cv2.merge([tone, tone, tone]), ground, 1 / 200)


def darken(shadow: Bytes, plan: Floats, view: Perspective, brightness: float) -> None:
    """Set the hull of ground points [K, 3], a little widened, to a brightness in a map [H, W]."""
    soft = plan + 0.12 * (plan - plan.mean(axis=0))
    pixels = view.project(np.maximum(soft, (-1e9, 0, NEAR))).clip(-9999, 9999).astype(np.float32)
    cv2.fillConvexPoly(shadow, cv2.convexHull(pixels).astype(np.int32), brightness)


def develop(canvas: tuple[Bytes, Bytes], light: Light, rng: np.random.Generator) -> tuple[Bytes, Bytes]:
    """Photograph a canvas at half its size: light, lens and noise; four pixels of the mask vote for one."""
    height, width = (side // 2 for side in canvas[1].shape)
    small = cv2.resize(canvas[0], (width, height), interpolation=cv2.INTER_AREA)
    bloom = cv2.GaussianBlur(np.maximum(small, 205) - np.uint8(205), (0, 0), height / 80)
    image = small + np.float32(0.5) * bloom
    exposure = np.asarray(light.tint) * rng.normal(np.exp(rng.normal(0, 0.08)), 0.02, 3)
    image *= exposure.astype(np.float32)
    rows, columns = (np.linspace(-1, 1, side, dtype=np.float32) ** 2 for side in (height, width))
    image *= (1 - np.float32(rng.uniform(0.02, 0.1)) * (rows[:, None] + columns))[:, :, None]  # vignette
    cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 0.55), dst=image)
    image += rng.standard_normal(image.shape, np.float32) * np.float32(rng.uniform(1.5, 4.5))
    votes = (4 * np.eye(len(CLASSES), dtype=np.uint8)).take(canvas[1], axis=0)
    mask = cv2.resize(votes, (width, height), interpolation=cv2.INTER_AREA).argmax(axis=2).astype(np.uint8)
    return np.clip(image, 0, 255).astype(np.uint8), mask


def draw_scene(rng: np.random.Generator, size: tuple[int, int] = (192, 256)) -> tuple[Bytes, Bytes]:
    """Draw a road scene.

    Args:
        rng: Source of all that is random in the scene.
        size: Height and width in pixels.

    Returns:
        Image [H, W, 3] uint8 RGB, and mask [H, W] uint8 of indices into `CLASSES`.
    """
    height, width = 2 * size[0], 2 * size[1]
    street = plan_street(rng)
    weather = LIGHTS[rng.choice(len(LIGHTS), p=(0.28, 0.24, 0.2, 0.16, 0.12))]
    light = replace(weather, azimuth=rng.uniform(-np.pi, np.pi))
    view = Perspective(
        focal=rng.uniform(1.15, 1.5) * height,
        horizon=rng.uniform(0.4, 0.5) * height,
        vanishing=rng.uniform(0.38, 0.62) * width,
        height=rng.uniform(2.1, 3.1),
        aside=rng.uniform(-0.2, 0.6) * street.half,
        bend=rng.normal(0, 5e-4),
    )
    vehicles = list(place_vehicles(rng, light, street))
    things = [
        *vehicles,
        *place_people(rng, street, vehicles),
        *place_houses(rng, light, street),
        *place_furniture(rng, light, street),
    ]
    canvas = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint8)
    paint_sky(canvas[0], view.horizon, light, rng)
    paint(canvas, make_ground(rng, street), view, light)
    texture_ground(canvas[0], view.horizon, rng)
    cast_shadows(canvas[0], things, view, light)
    paint(canvas, sorted(things, key=lambda thing: -thing.depth), view, light)
    return develop(canvas, light, rng)


def write_scenes(
    folder: Path, splits: Mapping[str, int] = SPLITS, size: tuple[int, int] = (192, 256), seed: int = 0
) -> Path:
    """Write scenes as `images/SPLIT/scene_0001.png` with their masks, and their `dataset.toml`.

    Args:
        folder: Where to; made if absent. Scenes of the same names are overwritten.
        splits: Names of the splits and their numbers of scenes.
        size: Height and width of every scene in pixels.
        seed: Gives the same files again; a scene depends on it, its split's place and its number only.

    Returns:
        The folder.
    """
    palette = [channel for color in COLORS for channel in color]
    for place, (split, count) in enumerate(splits.items()):
        images, masks = folder / "images" / split, folder / "masks" / split
        images.mkdir(parents=True, exist_ok=True)
        masks.mkdir(parents=True, exist_ok=True)
        for number in range(1, count + 1):
            image, mask = draw_scene(np.random.default_rng([seed, place, number]), size)
            Image.fromarray(image).save(images / f"scene_{number:04}.png")
            indexed = Image.fromarray(mask)
            indexed.putpalette(palette)
            indexed.save(masks / f"scene_{number:04}.png")
    lines = [
        f"# written by intarsia demo: road scenes of {size[0]} x {size[1]} pixels, seed {seed}",
        "[classes]",
    ]
    for value, (name, color) in enumerate(zip(CLASSES, COLORS, strict=True)):
        lines.append(f'{name} = {{value = {value}, color = "#{bytes(color).hex()}"}}')
    (folder / "dataset.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder

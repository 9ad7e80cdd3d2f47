"""The things of a road scene: vehicles, people, trees, street furniture and houses.

Each function makes one `Thing`, standing on the ground at a place given in metres. All colours are RGB.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from intarsia.synthetic.diorama import (
    Color,
    Floats,
    Light,
    Pose,
    Stroke,
    Thing,
    bar,
    box,
    cells,
    discs,
    grid,
    level,
    on,
    turned,
    upright,
)

BACKGROUND, ROAD, VEHICLE, PEDESTRIAN = range(4)

# A vehicle is a few boxes, each with its details: their faces, their outlines in shares of the face, and
# their colour, or how much of the vehicle's own colour they keep.
REAR, RIGHT, FRONT, LEFT = range(4)
GLASS, GLINT, TYRE, HUB, PLATE = (46, 58, 70), (104, 122, 138), (28, 28, 30), (150, 152, 156), (226, 226, 214)
TAIL, HEAD = (200, 36, 32), (236, 232, 214)
CARGO, SHOES, BARK, POST = (214, 214, 208), (40, 34, 32), (84, 66, 52), (84, 90, 96)
STOP, GO, BLUE, GLARE = (214, 44, 40), (60, 220, 120), (40, 90, 170), (255, 222, 156)
PAIR = cells((0.04, 0.45, 0.24, 0.75), (0.76, 0.45, 0.96, 0.75))
STREAK = np.array([[(0.55, 0.1), (0.72, 0.1), (0.84, 0.88), (0.67, 0.88)]])

Detail = tuple[tuple[int, ...], Floats, Color | float]
DETAILS: Mapping[str, Sequence[Detail]] = {
    "body": (
        ((REAR, FRONT), cells((0, 0, 1, 0.2)), 0.55),
        ((FRONT,), cells((0.28, 0.34, 0.72, 0.62)), 0.35),
        ((LEFT, RIGHT), cells((0, 0, 1, 0.14), (0.47, 0.14, 0.48, 1)), 0.55),
        ((REAR, FRONT), cells((0.38, 0.12, 0.62, 0.28)), PLATE),
        ((REAR,), PAIR, TAIL),
        ((FRONT,), PAIR, HEAD),
    ),
    "cabin": (
        ((REAR, FRONT), cells((0.07, 0.08, 0.93, 0.9)), GLASS),
        ((LEFT, RIGHT), cells((0.07, 0.1, 0.48, 0.88), (0.53, 0.1, 0.93, 0.88)), GLASS),
        ((REAR, FRONT), STREAK, GLINT),
    ),
    "cab": (
        ((FRONT,), cells((0.06, 0.5, 0.94, 0.88)), GLASS),
        ((FRONT,), STREAK * (1, 0.48) + (0, 0.45), GLINT),
        ((LEFT, RIGHT), cells((0.3, 0.5, 0.88, 0.86)), GLASS),
        ((FRONT,), cells((0.22, 0.12, 0.78, 0.4)), 0.4),
        ((FRONT,), PAIR * (1, 0.4), HEAD),
    ),
    "cargo": (
        ((REAR,), cells((0.03, 0.04, 0.49, 0.96), (0.51, 0.04, 0.97, 0.96)), (188, 188, 184)),
        ((REAR,), cells((0.02, -0.12, 0.16, -0.03), (0.84, -0.12, 0.98, -0.03)), TAIL),
        ((LEFT, RIGHT), cells((0.05, 0.3, 0.95, 0.6)), 1.0),
    ),
    "bus": (
        ((REAR,), cells((0.1, 0.5, 0.9, 0.85)), GLASS),
        ((FRONT,), cells((0.06, 0.38, 0.94, 0.84), (0.2, 0.88, 0.8, 0.96)), GLASS),
        ((LEFT, RIGHT), grid(7, 1, (0.86, 0.34)) + np.array((0, 0.16)), GLASS),
        ((REAR, FRONT, LEFT, RIGHT), cells((0, 0, 1, 0.12)), 0.5),
        ((REAR,), PAIR * (1, 0.4), TAIL),
        ((FRONT,), PAIR * (1, 0.4), HEAD),
    ),
}


@dataclass(frozen=True)
class Part:
    """A box of a vehicle."""

    kind: str  # of details
    along: tuple[float, float]  # from, to, as shares of the vehicle's length
    rise: tuple[float, float]  # metres
    lean: tuple[float, float, float] = (0.05, 0.05, 0.08)  # metres, see `box`


@dataclass(frozen=True)
class Model:
    """A make of vehicle, in metres."""

    width: float
    length: float
    wheel: float  # radius
    parts: tuple[Part, ...]
    articulated: bool = False  # its parts stand one behind the other, the foremost first


MODELS = (
    Model(
        1.8,
        4.4,
        0.32,
        (Part("body", (0, 1), (0.28, 0.9)), Part("cabin", (0.1, 0.74), (0.9, 1.45), (0.2, 0.4, 0.7))),
    ),
    Model(
        1.7,
        3.8,
        0.3,
        (Part("body", (0, 1), (0.28, 0.92)), Part("cabin", (0, 0.76), (0.92, 1.5), (0.2, 0.3, 0.7))),
    ),
    Model(
        1.9,
        4.6,
        0.37,
        (Part("body", (0, 1), (0.36, 1.1)), Part("cabin", (0, 0.74), (1.1, 1.75), (0.17, 0.2, 0.5))),
    ),
    Model(
        2.0,
        5.2,
        0.35,
        (Part("body", (0, 1), (0.3, 1.15)), Part("cabin", (0, 0.9), (1.15, 2.2), (0.14, 0.06, 0.7))),
    ),
    Model(
        2.4,
        7.6,
        0.45,
        (Part("cab", (0.76, 1), (0.42, 2.3)), Part("cargo", (0, 0.73), (0.75, 3.2), (0, 0, 0))),
        True,
    ),
    Model(2.5, 10.5, 0.48, (Part("bus", (0, 1), (0.35, 3.0)),)),
)
# fmt: off
PAINTS = ((228, 230, 232), (176, 180, 184), (112, 114, 118), (48, 50, 56), (178, 40, 40), (44, 84, 150),
          (40, 96, 84), (226, 176, 44), (196, 178, 148), (122, 40, 60), (110, 160, 200), (226, 116, 44))
SKINS = ((236, 196, 168), (206, 158, 124), (150, 104, 76), (96, 64, 48))
HAIRS = ((40, 30, 26), (92, 60, 36), (168, 128, 74), (180, 176, 172), (140, 66, 36))
CLOTHES = ((196, 52, 52), (44, 78, 138), (232, 190, 70), (52, 116, 88), (226, 226, 220), (52, 54, 62),
           (150, 88, 140), (224, 124, 60), (120, 152, 176), (128, 104, 80))
TROUSERS = ((44, 54, 84), (36, 36, 40), (108, 96, 80), (88, 92, 100), (70, 84, 116))
WALLS = ((214, 190, 158), (186, 112, 88), (226, 218, 202), (164, 168, 172), (198, 152, 118), (150, 104, 92),
         (188, 200, 204), (222, 196, 132), (176, 186, 160), (206, 160, 156))
PANES = ((70, 84, 98), (92, 108, 120), (60, 70, 84))
ROOFS = ((142, 78, 62), (98, 84, 82), (112, 116, 124), (122, 68, 58))
# fmt: on


def pick(rng: np.random.Generator, colors: Sequence[Color], spread: float = 10.0) -> Floats:
    """One of some colours, a little changed: [3]."""
    return np.asarray(colors[int(rng.integers(len(colors)))]) + rng.normal(0, spread, 3)


@cache
def build(model: Model, away: bool) -> Sequence[tuple[Floats, Color | float]]:
    """The outlines [N, K, 3] of a vehicle in its own frame, with their colours or shares of the paint."""
    half, length, belly = model.width / 2, model.length, model.parts[-1].rise[0]
    chassis = box((0.1 - half, half - 0.1, 0.1 - length / 2, length / 2 - 0.1), (0.16, belly))
    tyres = cells((-0.02, -0.16, 0.12, 0.3), (0.88, -0.16, 1.02, 0.3)) / (1, belly - 0.16)
    pieces: list[tuple[Floats, Color | float]] = [(chassis, TYRE), (on(chassis[[REAR, FRONT]], tyres), TYRE)]
    for part in model.parts if away else model.parts[:: -1 if model.articulated else 1]:
        start, end = ((share - 0.5) * length for share in part.along)
        faces = box((-half, half, start, end), part.rise, part.lean)
        pieces += [(faces, CARGO if part.kind == "cargo" else 1.0)]
        pieces += [(on(faces[list(sides)], outlines), color) for sides, outlines, color in DETAILS[part.kind]]
    flanks = box((-half, half, -length / 2, length / 2), (0, 1))[[LEFT, RIGHT]]
    axles = np.array([[(0.2, model.wheel)], [(0.81, model.wheel)]])
    for share, color in ((1.0, TYRE), (0.55, HUB)):
        rims = discs(np.zeros((2, 2)), np.full(2, share * model.wheel)) / (length, 1) + axles
        pieces += [(on(flanks, rims), color)]
    return tuple(pieces)


def vehicle(rng: np.random.Generator, light: Light, pose: Pose, model: Model) -> Thing:
    """A vehicle in one of the usual colours; heading 0 shows its rear."""
    paint, half = pick(rng, PAINTS), (model.width / 2, model.length / 2)
    strokes = []
    for outlines, color in build(model, bool(np.cos(pose[2]) > 0)):
        shine = light.lamps > 0.05 and (color is TAIL or color is HEAD)
        tone = paint * color if isinstance(color, float) else color
        strokes.append(Stroke(turned(outlines, pose), tone, shine))
    plan = turned(level((-half[0], half[0]), (-half[1], half[1])), pose)
    return Thing(VEHICLE, strokes, plan, model.parts[-1].rise[1], float(plan[:, 2].min()))


def person(rng: np.random.Generator, x: float, z: float, height: float) -> Thing:
    """Somebody walking, from the legs to the hair."""
    stride, broad = rng.uniform(-0.24, 0.24), rng.uniform(0.75, 1.05)
    top, legs, skin, hair = (pick(rng, colors, 6) for colors in (CLOTHES, TROUSERS, SKINS, HAIRS))
    hip, shoulder, toe = 0.07 * broad, 0.17 * broad, 0.1 * np.sign(stride)
    limbs: list[tuple[Color, list[Floats]]] = []
    for side, dark in ((-1, 0.8), (1, 1.0)):
        knee, foot = (side * (hip + stride / 2) + toe / 3, 0.5), (side * (hip + stride), 0.06)
        limbs += [(legs * dark, [bar((side * hip, 0.92), knee, 0.105, 0.075), bar(knee, foot, 0.075, 0.055)])]
        limbs += [(SHOES, [bar(foot, (foot[0] + toe, 0.05), 0.05, 0.04)])]
    hands = [(side * (shoulder + 0.05 - stride * 0.7), 0.86) for side in (-1, 1)]
    far_sleeve, sleeve = (
        [bar((side * shoulder, 1.4), hand, 0.06, 0.045)] for side, hand in zip((-1, 1), hands, strict=True)
    )
    skirt = [bar((0, 0.7), (0, 1.0), 0.22 * broad, 0.15 * broad)] if rng.random() < 0.35 else []
    limbs += [(top * 0.8, far_sleeve), (top * 0.9, skirt)]
    limbs += [(top, [bar((0, 0.98), (0, 1.36), 0.15 * broad, 0.175 * broad)])]
    if rng.random() < 0.3:  # a bag on the back
        limbs += [(pick(rng, CLOTHES), [bar((0, 1.1), (0, 1.32), 0.12)])]
    limbs += [(top * 0.8, sleeve), (skin, [bar(hand, hand, 0.05) for hand in hands])]
    limbs += [(skin, [bar((0, 1.48), (0, 1.56), 0.055), bar((0, 1.6), (0, 1.65), 0.105)])]
    limbs += [(hair, [bar((-0.03, 1.7), (0.03, 1.7), 0.095)])]
    tall = height / 1.78
    strokes = [Stroke(upright(np.array(bars) * tall, x, z), color) for color, bars in limbs if bars]
    return Thing(PEDESTRIAN, strokes, level((x - 0.25, x + 0.25), (z - 0.15, z + 0.15)), height, z)


def tree(rng: np.random.Generator, light: Light, place: tuple[float, float], leaves: Color) -> Thing:
    """A trunk under a crown of discs that is lighter towards the sun."""
    height, sunny = rng.uniform(4.5, 8.5), np.array([np.sign(light.sun[0]) * 0.5, 0.7])
    crown, leaves = height * rng.uniform(0.24, 0.32), pick(rng, [leaves])
    strokes = [Stroke(upright([bar((0, -0.1), (0, height * 0.65), 0.16, 0.1)], *place), BARK)]
    for tone, count, size in ((0.74, 7, 0.64), (0.9, 6, 0.48), (1.08, 4, 0.34)):
        angles, away = rng.uniform(0, 2 * np.pi, count), np.sqrt(rng.uniform(0, 1, count)) * (1.05 - size)
        centres = np.stack([np.cos(angles), 0.85 * np.sin(angles)], axis=1) * away[:, None]
        centres = (centres + sunny * (tone - 0.74) * 0.6) * crown + (0, height - crown)
        outlines = upright(discs(centres, size * crown * rng.uniform(0.75, 1.05, count)), *place)
        strokes.append(Stroke(outlines, leaves * tone))
    x, z = place
    return Thing(BACKGROUND, strokes, level((x - crown * 0.4, x + crown * 0.4), (z - 0.2, z + 0.2)), height, z)


def lamp(light: Light, place: tuple[float, float]) -> Thing:
    """A street lamp whose arm reaches over the road."""
    (x, z), lit = place, light.lamps > 0.2
    arm = -np.sign(x) * 1.4
    bars = [bar((0, 0), (0, 5.8), 0.09, 0.06), bar((0, 5.8), (arm, 6.1), 0.05)]
    head = Stroke(upright([bar((arm, 6.08), (arm * 1.35, 6.1), 0.09)], x, z), GLARE if lit else HUB, lit)
    strokes = [Stroke(upright(bars, x, z), POST), head]
    return Thing(BACKGROUND, strokes, level((x - 0.1, x + 0.1), (z, z + 0.2)), 6, z)


def sign(rng: np.random.Generator, place: tuple[float, float]) -> Thing:
    """A traffic light or a round sign on a post."""
    x, z = place
    outer: tuple[Floats, Color]
    if rng.random() < 0.4:
        at, color = ((0, 2.85), STOP) if rng.random() < 0.5 else ((0, 2.3), GO)
        outer, inner = (bar((0, 2.25), (0, 2.9), 0.24), TYRE), (bar(at, at, 0.16), color)
    else:
        at, rim = (0, 2.4), pick(rng, (STOP, BLUE), 6)
        outer, inner = (bar(at, at, 0.42), rim), (bar(at, at, 0.3), PLATE)
    shapes = ((bar((0, 0), (0, 2.5), 0.05), POST), outer, inner)
    strokes = [Stroke(upright([shape], x, z), color, color is STOP or color is GO) for shape, color in shapes]
    return Thing(BACKGROUND, strokes, level((x - 0.1, x + 0.1), (z, z + 0.2)), 2.8, z)


def house(rng: np.random.Generator, light: Light, plan: Sequence[float], height: float) -> Thing:
    """A house on (x0, x1, z0, z1): rows of windows, over shops or under a gable."""
    x0, x1, z0, z1 = plan
    faces = box(plan, (0, height))[[REAR, RIGHT if x0 < 0 else LEFT]]
    gabled, storeys = height < 6.5, max(1, round(height / 3.1))
    shop = 0.0 if gabled else 1 / storeys
    rows = storeys - (not gabled)
    wall, glass, awning = pick(rng, WALLS), pick(rng, PANES, 5), pick(rng, CLOTHES)
    size = (rng.uniform(0.35, 0.6), rng.uniform(0.42, 0.58))
    trims = cells((0, 0, 1, 0.8 / height), (0, 1 - 0.4 / height, 1, 1))
    strokes = [Stroke(faces, wall), Stroke(on(faces, trims), wall * 0.78)]
    for face, wide in zip(faces[:, None], (x1 - x0, z1 - z0), strict=True):
        panes = on(face, grid(max(2, round(wide / 3)), rows, size) * (1, 1 - shop) + (0, shop))
        lit = rng.random(len(panes)) < light.lamps * 0.7
        strokes += [Stroke(panes[~lit], glass), Stroke(panes[lit], GLARE, True)]
        if shop:
            fronts = grid(max(1, round(wide / 5)), 1, (0.84, 0.6)) * (1, shop)
            strokes += [Stroke(on(face, fronts), glass * 0.75)]
            strokes += [Stroke(on(face, cells((0.03, shop * 0.82, 0.97, shop))), awning)]
    if gabled:
        wide = (x1 - x0) / 2 + 0.35
        eaves = (x0 - 0.4, x1 + 0.4, z0 - 0.4, z1 + 0.4)
        roof = box(eaves, (height, height + wide * rng.uniform(0.6, 0.9)), (wide, rng.choice((0.1, 2.5)), 0.1))
        strokes.append(Stroke(roof, pick(rng, ROOFS)))
    # Who stands before its facade is nearer than its far end, so that is its depth.
    return Thing(BACKGROUND, strokes, level((x0, x1), (z0, z1)), height, z1)

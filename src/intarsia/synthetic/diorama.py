"""A small world in metres, painted at once into an image and its mask.

Everything is a flat outline in space, and all outlines pass through one door, `paint`, which fills each of
them with a colour in the image and with the class of its thing in the mask. So the mask cannot be wrong:
nothing can be drawn without it, and what comes later covers what came before in both.

    space    (x, y, z) in metres: x to the right of the road's middle, y up, z ahead of the camera
    outline  [K, 3] float64, convex, counter-clockwise for whoever may see it: from behind it is not painted
    face     an outline of four corners: bottom left, bottom right, top right, top left
    pose     (x, z, heading) of a frame of its own: metres, metres, radians to the right
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Color = Sequence[float] | Floats  # red, green, blue in 0..255
Pose = tuple[float, float, float]
Bytes = NDArray[np.uint8]

_ARC = np.linspace(-np.pi / 2, np.pi / 2, 7)
_UNIT_ARC = np.stack([np.cos(_ARC), np.sin(_ARC)], axis=1)
_SUBPIXEL_BITS = 4


@dataclass(frozen=True)
class Stroke:
    """Outlines [N, K, 3] of one colour, painted in their order."""

    outlines: Floats
    color: Color
    glow: bool = False  # a light of its own: the sun neither brightens nor darkens it


@dataclass(frozen=True)
class Thing:
    """Something in the world: one class, many strokes."""

    label: int
    strokes: Sequence[Stroke]
    plan: Floats  # [K, 3] outline of where it touches the ground
    height: float = 0.0  # of what casts its shadow, metres
    depth: float = 0.0  # metres ahead: what is farther is painted first


@dataclass(frozen=True)
class Perspective:
    """A camera above a road."""

    focal: float  # pixels
    horizon: float  # row of the horizon, pixels
    vanishing: float  # column in which a straight road vanishes, pixels
    height: float  # of the camera above the road, metres
    aside: float  # of the camera to the right of the road's middle, metres
    bend: float  # curvature of the road to the right, 1 / metre

    def project(self, points: Floats) -> Floats:
        """Take points [..., 3] in space to [..., 2] pixels (column, row)."""
        x, y, z = points[..., 0], points[..., 1], np.maximum(points[..., 2], 1.0)
        scale = self.focal / z
        column = self.vanishing + scale * (x - self.aside + self.bend / 2 * z * z)
        return np.stack([column, self.horizon + scale * (self.height - y)], axis=-1)


@dataclass(frozen=True)
class Light:
    """Weather and hour: the colours of the sky and the strength of the sun."""

    zenith: Color
    low_sky: Color  # just above the horizon, and of the haze
    cloud: Color
    cover: float  # share of the sky in cloud
    ambient: float  # brightness of what the sun does not reach
    direct: float  # brightness the sun adds to what faces it
    elevation: float  # of the sun, radians
    tint: Color  # factors on red, green and blue
    lamps: float  # share of the lamps and windows that are lit
    haze: float  # metres after which a colour has lost two thirds to the haze
    azimuth: float = 0.0  # of the sun, radians to the right of straight ahead

    @property
    def sun(self) -> Floats:
        """Unit vector [3] towards the sun."""
        level = np.cos(self.elevation)
        return np.array([level * np.sin(self.azimuth), np.sin(self.elevation), level * np.cos(self.azimuth)])

    def shade(self, triangles: Floats) -> Floats:
        """Brightness [N] of surfaces by Lambert's law, each given by three of its points: [N, 3, 3]."""
        edges = triangles[:, 1:] - triangles[:, :1]
        normals = np.cross(edges[:, 1], edges[:, 0])
        lengths = np.maximum(np.linalg.norm(normals, axis=1), 1e-9)
        brightness: Floats = self.ambient + self.direct * np.maximum(normals @ self.sun / lengths, 0)
        return brightness

    def veil(self, colors: Floats, depths: Floats) -> Floats:
        """Colours [N, 3] as they look through the haze of depths [N]."""
        clear = np.exp(-depths / self.haze)[:, None]
        veiled: Floats = np.clip(colors, 0, 255) * clear + np.asarray(self.low_sky) * (1 - clear)
        return veiled


def paint(canvas: tuple[Bytes, Bytes], things: Iterable[Thing], view: Perspective, light: Light) -> None:
    """Fill the outlines of things, in their order, in the image [H, W, 3] and the mask [H, W] of a canvas."""
    image, mask = canvas
    strokes = [(stroke, thing.label) for thing in things for stroke in thing.strokes]
    counts = [len(stroke.outlines) for stroke, _ in strokes]
    corners = np.repeat([stroke.outlines.shape[1] for stroke, _ in strokes], counts)[:, None]
    points = np.concatenate([stroke.outlines.reshape(-1, 3) for stroke, _ in strokes])
    first = np.cumsum(corners)[:, None] - corners
    outlines = points[first + np.minimum(np.arange(corners.max()), corners - 1)]  # [N, K, 3], the last repeated

    pixels = view.project(outlines).clip(-9999, 9999)
    x, y = pixels[..., 0], pixels[..., 1]
    area = (x * np.roll(y, -1, axis=1) - np.roll(x, -1, axis=1) * y).sum(axis=1)
    inside = (pixels.max(axis=1) >= 0).all(axis=1) & (pixels.min(axis=1) < mask.shape[::-1]).all(axis=1)
    seen = np.flatnonzero(inside & (area < 0))
    fixed = np.rint(pixels[seen] * 2**_SUBPIXEL_BITS).astype(np.int32, order="C")

    stroke_of = np.repeat(np.arange(len(strokes)), counts)[seen]
    colors = np.array([stroke.color for stroke, _ in strokes])[stroke_of]
    glow = np.array([stroke.glow for stroke, _ in strokes])[stroke_of]
    labels = np.array([label for _, label in strokes])[stroke_of]
    shade = np.where(glow, 1, light.shade(points[first[seen] + corners[seen] * (0, 1, 2) // 3]))
    colors = light.veil(colors * shade[:, None], outlines[seen, :, 2].mean(axis=1))
    for outline, color, label in zip(fixed, colors.tolist(), labels.tolist(), strict=True):
        cv2.fillConvexPoly(image, outline, color, cv2.LINE_AA, _SUBPIXEL_BITS)
        cv2.fillConvexPoly(mask, outline, label, cv2.LINE_8, _SUBPIXEL_BITS)


def level(x: ArrayLike, z: ArrayLike, y: float = 0.0) -> Floats:
    """Level rectangles [..., 4, 3] between two x [..., 2] and two z [..., 2] in any order."""
    across, ahead = np.broadcast_arrays(np.sort(x), np.sort(z))
    corners = np.full((*across.shape[:-1], 4, 3), y, dtype=float)
    corners[..., 0], corners[..., 2] = across[..., [0, 1, 1, 0]], ahead[..., [0, 0, 1, 1]]
    return corners


def turned(points: Floats, pose: Pose) -> Floats:
    """Points [..., 3] of a frame of its own, set down in the world."""
    x, z, heading = pose
    cos, sin = np.cos(heading), np.sin(heading)
    placed: Floats = points @ np.array([(cos, 0, -sin), (0, 1, 0), (sin, 0, cos)]) + (x, 0, z)
    return placed


def box(plan: Sequence[float], rise: Sequence[float], lean: Sequence[float] = (0, 0, 0)) -> Floats:
    """The faces [5, 4, 3] of a box: rear, right, front, left, top.

    `plan` is (x0, x1, z0, z1), `rise` the heights of bottom and top, and `lean` by how much the top is drawn
    in at the (sides, rear, front); all in metres.
    """
    x0, x1, z0, z1 = plan
    low = level((x0, x1), (z0, z1), rise[0])
    high = level((x0 + lean[0], x1 - lean[0]), (z0 + lean[1], z1 - lean[2]), rise[1])
    return np.stack([*(np.stack([low[i], low[i - 3], high[i - 3], high[i]]) for i in range(4)), high])


def on(faces: Floats, outlines: Floats) -> Floats:
    """Lay outlines [N, K, 2], in shares of width and height, on each of faces [F, 4, 3]: [F * N, K, 3]."""
    u, v = outlines[..., 0], outlines[..., 1]
    weights = np.stack([(1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v], axis=-1)  # [N, K, 4]
    laid: Floats = weights @ faces[:, None]  # [F, N, K, 3]
    return laid.reshape(-1, outlines.shape[1], 3)


def cells(*rectangles: Sequence[float]) -> Floats:
    """Rectangles (left, bottom, right, top) as outlines [N, 4, 2]."""
    return np.array(rectangles, dtype=float)[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]


def grid(columns: int, rows: int, size: tuple[float, float]) -> Floats:
    """Windows as outlines [columns * rows, 4, 2]; `size` is their share of a bay's width and height."""
    pane = cells(((1 - size[0]) / 2, (1 - size[1]) / 2, (1 + size[0]) / 2, (1 + size[1]) / 2))
    bays = np.array([[(column, row)] for row in range(rows) for column in range(columns)])
    panes: Floats = (pane + bays) / (columns, rows)
    return panes


def bar(start: Sequence[float], end: Sequence[float], *radii: float) -> Floats:
    """A rounded bar [14, 2] with its radius, or its radii at start and end; a disc where these coincide."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    reach = max((dx * dx + dy * dy) ** 0.5, 1e-9)
    cos, sin = (dx / reach, dy / reach) if dx or dy else (1.0, 0.0)
    arc = _UNIT_ARC @ np.array([(cos, sin), (-sin, cos)])
    return np.concatenate([radii[-1] * arc + end, radii[0] * -arc + start])


def discs(centres: Floats, radii: Floats) -> Floats:
    """Discs [N, 14, 2] around centres [N, 2]."""
    outlines: Floats = centres[:, None] + radii[:, None, None] * np.concatenate([_UNIT_ARC, -_UNIT_ARC])
    return outlines


def upright(outlines: Sequence[Floats] | Floats, x: float, z: float) -> Floats:
    """Outlines [N, K, 2] in metres, stood up at (x, z) to face the camera: [N, K, 3]."""
    flat = np.asarray(outlines)
    outlined = np.empty((*flat.shape[:-1], 3))
    outlined[..., :2], outlined[..., 2] = flat, z
    outlined[..., 0] += x
    return outlined

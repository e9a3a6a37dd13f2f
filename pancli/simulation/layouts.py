"""What lies where: open land, fields, towns, roads, water, trees, and plain overlapping shapes.

Each function paints onto a :class:`Site`, later ones over earlier ones: a dead-leaves model whose leaves have
names. Sizes are in pixels and follow power laws, as sizes of things in photographs do (Lee, Mumford and
Huang, "Occlusion models for natural images", IJCV 2001).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pancli.simulation.palette import Palette
from pancli.simulation.shapes import (
    Canvas,
    Patch,
    bent_strip_distance,
    box_distance,
    coverage,
    ellipse_distance,
    patch_at,
    polygon_distance,
)
from pancli.simulation.textures import TextureBank, power_law

Field = npt.NDArray[np.float32]
Vector = npt.NDArray[np.float32]

PLANTS = ("grass", "crop", "broadleaf", "conifer", "dry grass")
TREES = ("broadleaf", "broadleaf", "conifer", "grass")
GROUND = ("loam", "red soil", "sand", "dry grass", "gravel roof")
WATER = ("clear water", "turbid water", "turbid water")
PAVING = ("asphalt", "worn asphalt", "worn asphalt", "concrete")
ROOFS = (
    "red tile", "red tile", "brown tile", "brown tile", "slate", "gravel roof", "gravel roof", "concrete",
    "white roof", "metal roof", "blue paint", "dark plastic",
)  # fmt: skip
CARS = ("white roof", "dark plastic", "metal roof", "red paint", "blue paint", "yellow paint")
ANYTHING = (*PLANTS, *GROUND, *WATER, *PAVING, *ROOFS, "green paint", "red paint", "yellow paint")

_TEXTURE = {
    **dict.fromkeys(("broadleaf", "conifer"), ("crowns", 0.36)),
    **dict.fromkeys(("grass", "crop", "dry grass"), ("rough", 0.15)),
    **dict.fromkeys(GROUND, ("rough", 0.16)),
    **dict.fromkeys(WATER, ("smooth", 0.03)),
    **dict.fromkeys(PAVING, ("fine", 0.10)),
}


@dataclass(frozen=True)
class Site:
    """A piece of ground being painted.

    Attributes:
        rng: Where randomness comes from.
        canvas: What is painted so far.
        bank: Textures to cut from.
        palette: Materials as the instrument sees them.
        sun: (down, right) where shadows fall, as a unit vector.
        shadow: Length of a shadow per height of the thing.
        heading: The direction streets and fields follow, radians.
    """

    rng: np.random.Generator
    canvas: Canvas
    bank: TextureBank
    palette: Palette
    sun: tuple[float, float]
    shadow: float
    heading: float

    @property
    def extent(self) -> int:
        """The longer side of the canvas."""
        return max(self.canvas.shape)

    def somewhere(self) -> tuple[float, float]:
        """A random place, (row, column)."""
        row, col = self.rng.random(2)
        return row * self.canvas.shape[0], col * self.canvas.shape[1]

    def power_size(self, smallest: float, largest: float, power: float = 2.5) -> float:
        """A random size whose density falls as ``size ** -power``."""
        exponent = 1.0 - power
        lo, hi = smallest**exponent, max(largest, smallest * 1.01) ** exponent
        return float((lo + self.rng.random() * (hi - lo)) ** (1 / exponent))

    def turned(self, jitter: float = 0.05) -> float:
        """The heading or the direction across it, off by a little."""
        quarter = 0.5 * math.pi * int(self.rng.integers(2))
        return self.heading + quarter + jitter * float(self.rng.standard_normal())

    def patch(self, centre: tuple[float, float], half: tuple[float, float], angle: float) -> Patch | None:
        """The canvas around a turned box."""
        return patch_at(self.canvas.shape, centre, half, angle)

    def texture(self, name: str, strength: float, shape: tuple[int, int]) -> Field:
        """1 plus a random piece of a texture."""
        row, col = self.rng.integers(0, self.canvas.shape)
        piece = self.bank.cut(name, (int(row), int(col)), shape)
        return np.asarray(np.maximum(1 + np.float32(strength) * piece, 0.15), np.float32)

    def paint(self, patch: Patch, cover: Field, names: Sequence[str], spread: float = 0.2) -> Vector:
        """Paint one of the named materials with its own texture; returns its colour."""
        name = names[int(self.rng.integers(len(names)))]
        colour = self.palette.pick(self.rng, (name,), spread)
        texture, strength = _TEXTURE.get(name, ("fine", 0.08))
        strength *= 0.5 + float(self.rng.random())
        self.canvas.paint(patch, cover, colour, self.texture(texture, strength, patch.shape))
        return colour

    def cast_shadow(
        self,
        centre: tuple[float, float],
        half: tuple[float, float],
        angle: float,
        height: float,
        round_: bool,
    ) -> None:
        """Darken the ground beside a thing ``height`` pixels high: its outline drawn out along the sun."""
        length = self.shadow * height
        if length < 0.3:
            return
        steps = 2 if length < 2 * min(half) else 3
        covers: Field | None = None
        far = half[0] + length, half[1] + length
        patch = self.patch(centre, far, angle)
        if patch is None:
            return
        c, s = math.cos(angle), math.sin(angle)
        along, across = c * self.sun[0] + s * self.sun[1], c * self.sun[1] - s * self.sun[0]
        for step in range(1, steps + 1):
            go = np.float32(length * step / steps)
            moved = Patch(patch.rows, patch.cols, patch.along - go * along, patch.across - go * across)
            cover = coverage(ellipse_distance(moved, half) if round_ else box_distance(moved, half))
            covers = cover if covers is None else np.maximum(covers, cover)
        assert covers is not None
        self.canvas.darken(patch, covers, self.palette.shadow)


def open_land(site: Site) -> None:
    """Cover everything with patches of plants and bare ground, their borders ragged as nature's are."""
    whole = site.patch((site.canvas.shape[0] / 2, site.canvas.shape[1] / 2), site.canvas.shape, 0.0)
    if whole is None:
        return
    kinds = int(site.rng.integers(2, 5))
    masks = power_law(site.rng, site.canvas.shape, float(site.rng.uniform(1.8, 3.2)), kinds)
    full = np.ones(whole.shape, np.float32)
    for index in range(kinds):
        sharp = float(site.rng.uniform(1.0, 8.0))
        edge = np.float32(sharp) * (masks[index] - np.float32(site.rng.uniform(-0.8, 0.8)))
        site.paint(whole, full if index == 0 else coverage(edge), (*PLANTS, *GROUND[:4]))


def _polygon(site: Site, patch: Patch, radius: float) -> Field:
    corners = int(site.rng.integers(4, 8))
    turns = 2 * math.pi * (np.arange(corners) + 0.6 * site.rng.random(corners)) / corners
    return polygon_distance(
        patch, turns, np.asarray(radius * site.rng.uniform(0.5, 0.9, corners), np.float32)
    )


def _rows(site: Site, patch: Patch, strength: float) -> Field:
    period = site.power_size(2.2, 12.0, 1.5)
    phase = site.texture("smooth", 0.25, patch.shape)
    wave = np.sin(np.float32(2 * math.pi / period) * patch.across + 3 * phase)
    return np.asarray(1 + np.float32(strength) * wave, np.float32)


def fields(site: Site, smallest: float) -> None:
    """Paint farm land: rectangles and polygons with rows and tracks, no larger than half the scene."""
    largest = site.extent / 3
    for _ in range(int(site.rng.integers(8, 24))):
        length = site.power_size(max(smallest, site.extent / 16), largest, 1.8)
        half = length, length * float(site.rng.uniform(0.3, 1.0))
        patch = site.patch(site.somewhere(), half, site.turned())
        if patch is None:
            continue
        is_box = site.rng.random() < 0.7
        distance = box_distance(patch, half) if is_box else _polygon(site, patch, half[1])
        if site.rng.random() < 0.4:
            site.paint(patch, coverage(distance), ("broadleaf", "dry grass", "loam"))
            distance = distance - np.float32(site.rng.uniform(1.0, 3.0))
        before = site.palette.pick(site.rng, ("crop", "crop", "grass", "loam", "red soil", "dry grass"))
        shade = site.texture("rough", float(site.rng.uniform(0.03, 0.12)), patch.shape)
        if site.rng.random() < 0.7:
            shade = shade * _rows(site, patch, float(site.rng.uniform(0.03, 0.2)))
        stain = site.palette.pick(site.rng, ("crop", "loam")) - before
        worn = site.texture("smooth", 0.12, patch.shape) - 1
        site.canvas.paint(patch, coverage(distance), before, shade, stain[:, None, None] * worn)


def water(site: Site) -> None:
    """Paint a lake or a bay: where a smooth random field is low."""
    whole = site.patch((site.canvas.shape[0] / 2, site.canvas.shape[1] / 2), site.canvas.shape, 0.0)
    if whole is None:
        return
    height = power_law(site.rng, site.canvas.shape, float(site.rng.uniform(2.8, 3.6)))[0]
    shore = np.quantile(height[::4, ::4], float(site.rng.uniform(0.1, 0.4))) - height
    slope = max(float(np.abs(np.diff(height, axis=0)).mean()), 1e-4)
    site.paint(
        whole, coverage((shore + np.float32(2 * slope)) / np.float32(slope)), ("sand", "loam", "grass")
    )
    site.paint(whole, coverage(shore / np.float32(slope)), WATER, 0.4)


def river(site: Site) -> None:
    """Paint a bent band of water."""
    half = site.power_size(3.0, site.extent / 8, 1.5)
    bend = float(site.rng.normal(0, 0.5)) / site.extent
    patch = site.patch(site.somewhere(), (2.0 * site.extent,) * 2, float(site.rng.uniform(0, math.pi)))
    if patch is not None:
        wobble = np.float32(0.15 * half) * (site.texture("smooth", 1.0, patch.shape) - 1)
        site.paint(patch, coverage(bent_strip_distance(patch, half, bend) + wobble), WATER, 0.4)


def road(site: Site, centre: tuple[float, float], angle: float, half: float) -> None:
    """Paint a road through a place across the whole scene, with a middle line and cars if it is wide."""
    bend = float(site.rng.normal(0, 0.15)) / site.extent if site.rng.random() < 0.3 else 0.0
    reach = 1.5 * site.extent
    patch = site.patch(centre, (reach, half + 2 + abs(bend) * reach**2), angle)
    if patch is None:
        return
    distance = bent_strip_distance(patch, half, bend)
    site.paint(patch, coverage(distance + np.float32(min(0.4 * half, 3))), ("grass", "loam", "concrete"))
    site.paint(patch, coverage(distance), PAVING)
    if half > 2.5:
        paint = np.where(np.sin(patch.along * np.float32(3 / half)) > 0, np.float32(0.7), np.float32(0))
        line = coverage(distance - np.float32(half - 0.06 * half)) * paint
        site.canvas.paint(patch, line, site.palette.pure("white roof"))
    if half > 1.2 and bend == 0.0:
        _cars(site, centre, angle, half)


def _cars(site: Site, centre: tuple[float, float], angle: float, half: float) -> None:
    c, s = math.cos(angle), math.sin(angle)
    size = 0.6 * half, 0.27 * half
    for _ in range(int(site.rng.integers(0, 2 + min(int(site.extent / (8 * half)), 24)))):
        along = float(site.rng.uniform(-0.7, 0.7)) * site.extent
        across = (0.5 if site.rng.random() < 0.5 else -0.5) * half
        place = centre[0] + c * along - s * across, centre[1] + s * along + c * across
        patch = site.patch(place, size, angle)
        if patch is not None:
            site.paint(patch, coverage(box_distance(patch, size)), CARS)


def house(site: Site, centre: tuple[float, float], half: tuple[float, float], angle: float) -> None:
    """Paint a building: a flat roof with boxes on it or a gabled one, and its shadow."""
    patch = site.patch(centre, half, angle)
    if patch is None:
        return
    site.cast_shadow(centre, half, angle, min(half) * float(site.rng.uniform(0.4, 1.6)), round_=False)
    cover = coverage(box_distance(patch, half))
    colour = site.palette.pick(site.rng, ROOFS)
    if site.rng.random() < 0.6:
        lit = math.sin(angle) * site.sun[0] - math.cos(angle) * site.sun[1]
        side = 1 + np.float32(0.35 * lit) * np.clip(patch.across, -1, 1)
        site.canvas.paint(patch, cover, colour, side * site.texture("fine", 0.04, patch.shape))
        return
    site.canvas.paint(patch, cover, colour, site.texture("fine", 0.05, patch.shape))
    if min(half) > 5:
        along, across = site.rng.uniform(-0.6, 0.6, 2) * half
        c, s = math.cos(angle), math.sin(angle)
        place = centre[0] + c * along - s * across, centre[1] + s * along + c * across
        box = 0.18 * half[0], 0.2 * half[1]
        site.cast_shadow(place, box, angle, 0.15 * min(half), round_=False)
        top = site.patch(place, box, angle)
        if top is not None:
            site.paint(top, coverage(box_distance(top, box)), ROOFS)


def tree(site: Site, centre: tuple[float, float], radius: float) -> None:
    """Paint one tree: a crown lit from one side, and its shadow."""
    half = radius, radius * float(site.rng.uniform(0.75, 1.0))
    patch = site.patch(centre, half, 0.0)
    if patch is None:
        return
    site.cast_shadow(centre, half, 0.0, 1.5 * radius, round_=True)
    lit = patch.along * np.float32(-site.sun[0] / radius) + patch.across * np.float32(-site.sun[1] / radius)
    shade = np.maximum(1 + np.float32(0.35) * lit, np.float32(0.2))
    if radius > 2:
        shade = shade * site.texture("fine", 0.15, patch.shape)
    site.canvas.paint(
        patch, coverage(ellipse_distance(patch, half)), site.palette.pick(site.rng, TREES, 0.3), shade
    )


def trees(site: Site, density: float) -> None:
    """Scatter trees: about ``density`` crowns per 1000 pixels, of one typical size, in loose groups."""
    typical = site.power_size(1.3, 6.0, 1.5)
    count = int(density * site.canvas.shape[0] * site.canvas.shape[1] / 1000 / max(typical / 2, 1))
    group = site.somewhere()
    for _ in range(count):
        if site.rng.random() < 0.2:
            group = site.somewhere()
        off = 4 * typical * site.rng.standard_normal(2)
        tree(site, (group[0] + off[0], group[1] + off[1]), typical * float(site.rng.uniform(0.6, 1.4)))


def town(site: Site, lot: float) -> None:
    """Paint a town: streets along the heading, lots of ``lot`` pixels between them, houses and trees."""
    c, s = math.cos(site.heading), math.sin(site.heading)
    reach = 0.75 * site.extent
    middle = site.canvas.shape[0] / 2, site.canvas.shape[1] / 2
    every = int(site.rng.integers(2, 4)), int(site.rng.integers(3, 8))
    share, green = float(site.rng.uniform(0.6, 0.95)), float(site.rng.uniform(0.0, 0.8))
    steps = np.arange(-math.ceil(reach / lot), math.ceil(reach / lot) + 1)
    for axis, period in enumerate(every):
        angle = site.heading + (0.5 * math.pi if axis == 0 else 0.0)
        for step in steps[steps % period == 0]:
            go = lot * float(step)
            place = (
                (middle[0] + c * go, middle[1] + s * go)
                if axis == 0
                else (middle[0] - s * go, middle[1] + c * go)
            )
            road(site, place, angle, lot * float(site.rng.uniform(0.12, 0.2)))
    for i in steps:
        for j in steps:
            along, across = (i + 0.5) * lot, (j + 0.5) * lot
            place = middle[0] + c * along - s * across, middle[1] + s * along + c * across
            _lot(site, place, lot, share, green)


def _lot(site: Site, place: tuple[float, float], lot: float, share: float, green: float) -> None:
    rows, cols = site.canvas.shape
    if not (-lot < place[0] < rows + lot and -lot < place[1] < cols + lot):
        return
    draw = site.rng.random(6)
    if draw[0] < share:
        half = lot * (0.2 + 0.17 * draw[1]), lot * (0.13 + 0.15 * draw[2])
        house(site, (place[0] + (draw[3] - 0.5) * 0.15 * lot, place[1]), half, site.turned(0.03))
    if draw[4] < green:
        off = (site.rng.random(2) - 0.5) * 0.8 * lot
        tree(site, (place[0] + off[0], place[1] + off[1]), lot * (0.06 + 0.12 * draw[5]))


def leaves(site: Site, density: float, smallest: float) -> None:
    """Scatter shapes of any material over each other, larger ones first; ``density`` per 1000 pixels."""
    count = int(density * site.canvas.shape[0] * site.canvas.shape[1] / 1000)
    sizes = sorted((site.power_size(smallest, site.extent / 4, 2.6) for _ in range(count)), reverse=True)
    for size in sizes:
        half = size, size * float(site.rng.uniform(0.25, 1.0))
        angle = site.turned() if site.rng.random() < 0.7 else float(site.rng.uniform(0, math.pi))
        centre = site.somewhere()
        patch = site.patch(centre, half, angle)
        if patch is None:
            continue
        kind = site.rng.random()
        if site.rng.random() < 0.4:
            site.cast_shadow(centre, half, angle, 0.5 * min(half), round_=kind > 0.8)
        if kind > 0.8:
            distance = ellipse_distance(patch, half)
        else:
            distance = box_distance(patch, half) if kind > 0.25 else _polygon(site, patch, half[1])
        site.paint(patch, coverage(distance), ANYTHING, 0.3)

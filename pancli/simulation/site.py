"""A piece of ground being painted: where, with what, and under which sun."""

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
    box_distance,
    coverage,
    ellipse_distance,
    patch_at,
    polygon_distance,
)
from pancli.simulation.textures import TextureBank

Field = npt.NDArray[np.float32]
Vector = npt.NDArray[np.float32]

PLANTS = ("grass", "grass", "crop", "broadleaf", "broadleaf", "conifer", "dry grass", "dry grass")
TREES = ("broadleaf", "broadleaf", "conifer", "grass")
GROUND = ("loam", "loam", "loam", "red soil", "sand", "dry grass", "dry grass", "gravel roof")
WATER = ("clear water", "turbid water", "turbid water")
PAVING = ("asphalt", "worn asphalt", "worn asphalt", "concrete")
ROOFS = (
    *(
        "red tile",
        "red tile",
        "red tile",
        "brown tile",
        "brown tile",
        "brown tile",
        "slate",
        "slate",
        "slate",
    ),
    *("gravel roof", "gravel roof", "gravel roof", "concrete", "concrete", "metal roof", "metal roof"),
    *("white roof", "white roof", "dark plastic", "blue paint"),
)
CARS = ("white roof", "dark plastic", "metal roof", "metal roof", "asphalt", "red paint", "blue paint")
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

    def whole(self) -> Patch:
        """All of the canvas, measured from its corner."""
        rows, cols = self.canvas.shape
        down = np.repeat(np.arange(rows, dtype=np.float32)[:, None], cols, axis=1)
        right = np.repeat(np.arange(cols, dtype=np.float32)[None, :], rows, axis=0)
        return Patch(slice(0, rows), slice(0, cols), down, right)

    def offset(
        self, centre: tuple[float, float], angle: float, along: float, across: float
    ) -> tuple[float, float]:
        """The place so far along and to the right of a direction."""
        c, s = math.cos(angle), math.sin(angle)
        return centre[0] + c * along - s * across, centre[1] + s * along + c * across

    def polygon(self, patch: Patch, radius: float) -> Field:
        """Inside distance of a random convex polygon about ``radius`` wide."""
        corners = int(self.rng.integers(4, 8))
        turns = 2 * math.pi * (np.arange(corners) + 0.6 * self.rng.random(corners)) / corners
        offsets = np.asarray(radius * self.rng.uniform(0.5, 0.9, corners), np.float32)
        return polygon_distance(patch, turns, offsets)

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
        far = half[0] + length, half[1] + length
        patch = self.patch(centre, far, angle)
        if patch is None:
            return
        c, s = math.cos(angle), math.sin(angle)
        along, across = c * self.sun[0] + s * self.sun[1], c * self.sun[1] - s * self.sun[0]
        covers = np.zeros(patch.shape, np.float32)
        for step in range(1, steps + 1):
            go = np.float32(length * step / steps)
            moved = Patch(patch.rows, patch.cols, patch.along - go * along, patch.across - go * across)
            cover = coverage(ellipse_distance(moved, half) if round_ else box_distance(moved, half))
            np.maximum(covers, cover, out=covers)
        self.canvas.darken(patch, covers, self.palette.shadow)

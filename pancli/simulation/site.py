"""A piece of ground being painted: where, with what, and under which sun."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from pancli.simulation.canvas import Canvas
from pancli.simulation.palette import Palette
from pancli.simulation.shapes import MOST_EDGES, Bounds, Kind, Outline, Shape, find_bounds
from pancli.simulation.strokes import Cut, Stroke, Vector
from pancli.simulation.textures import TextureBank, power_law, textured

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

    def offset(
        self, centre: tuple[float, float], angle: float, along: float, across: float
    ) -> tuple[float, float]:
        """The place so far along and to the right of a direction."""
        c, s = math.cos(angle), math.sin(angle)
        return centre[0] + c * along - s * across, centre[1] + s * along + c * across

    def box(self, centre: tuple[float, float], half: tuple[float, float], angle: float) -> Shape | None:
        """A turned box of half (length, breadth); None where it lies outside."""
        bounds = find_bounds(self.canvas.shape, centre, half, angle)
        if bounds is None:
            return None
        return Shape(Kind.BOX, Outline(*centre, math.cos(angle), math.sin(angle), *half), bounds)

    def polygon(self, box: Shape, radius: float) -> Shape:
        """A random convex polygon about ``radius`` wide inside a box."""
        corners = int(self.rng.integers(4, MOST_EDGES + 1))
        turns = 2 * math.pi * (np.arange(corners) + 0.6 * self.rng.random(corners)) / corners
        offsets = radius * self.rng.uniform(0.5, 0.9, corners)
        edges = tuple(zip(turns.tolist(), offsets.tolist(), strict=True))
        return box._replace(kind=Kind.POLYGON, edges=edges)

    def field(self, beta: float, count: int = 1) -> Tensor:
        """(count, H, W) random fields whose power falls as ``frequency ** -beta``."""
        return power_law(self.rng, self.canvas.shape, beta, self.canvas.device, count)

    def cut(self, name: str, strength: float, bounds: Bounds) -> Cut:
        """A random piece of a texture, moved inwards where it would leave the texture."""
        row, col = self.rng.integers(0, self.canvas.shape).tolist()
        row = min(row, self.canvas.shape[0] - bounds.row_stop + bounds.row)
        col = min(col, self.canvas.shape[1] - bounds.col_stop + bounds.col)
        index = TextureBank.NAMES.index(name)
        return Cut(float(index), strength, float(row - bounds.row), float(col - bounds.col))

    def whole(self, name: str, strength: float) -> Tensor:
        """(H, W) brightness by all of a texture.

        As large as the texture, a piece of it begins in one place only. That place is drawn all the same, as
        for any other piece: else every seed would mean another ground than it did.
        """
        self.rng.integers(0, self.canvas.shape)
        return textured(self.bank[name], strength)

    def paint(self, shape: Shape, names: Sequence[str], spread: float = 0.2) -> None:
        """Paint one of the named materials with its own texture."""
        colour, texture, strength = self._material(names, spread)
        self.canvas.lay(Stroke(shape, colour, grain=self.cut(texture, strength, shape.bounds)))

    def wash(self, cover: Tensor, names: Sequence[str], spread: float = 0.2) -> None:
        """Paint one of the named materials with its own texture where an (H, W) map says."""
        colour, texture, strength = self._material(names, spread)
        self.canvas.wash(cover, colour, self.whole(texture, strength))

    def _material(self, names: Sequence[str], spread: float) -> tuple[Vector, str, float]:
        """Its colour, and name and strength of its texture."""
        name = names[int(self.rng.integers(len(names)))]
        colour = self.palette.pick(self.rng, (name,), spread)
        texture, strength = _TEXTURE.get(name, ("fine", 0.08))
        return colour, texture, strength * (0.5 + float(self.rng.random()))

    def cast_shadow(self, shape: Shape, height: float) -> None:
        """Darken the ground beside a thing ``height`` pixels high: its outline drawn out along the sun."""
        length = self.shadow * height
        if length < 0.3:
            return
        outline = shape.outline
        copies = 2 if length < 2 * min(outline.length, outline.breadth) else 3
        along = outline.cos * self.sun[0] + outline.sin * self.sun[1]
        across = outline.cos * self.sun[1] - outline.sin * self.sun[0]
        drawn = shape.drawn_out(length * along, length * across, copies)
        self.canvas.lay(Stroke(drawn, np.zeros_like(self.palette.shadow), 1 - self.palette.shadow))

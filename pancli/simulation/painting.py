"""Many strokes at once: how much each covers of the pixels of a tile it touches, and in which colour.

Everything here is computed on the device the textures lie on, and nothing is asked back from it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pancli.simulation.shapes import coverage, inside
from pancli.simulation.strokes import COLUMNS, Integers, Style, Table
from pancli.simulation.textures import textured

SIDE = 8
"""Of a tile, pixels: smaller ones fit shapes better, and have more numbers per pixel."""

_DASHED = 0.7  # of the ground is covered by a dash
_WORN = (0.9, 0.6)  # from which brightness of its texture on a stroke is worn, and how much of it at most
_COPIES = ((0.5, 1 / 3), (1.0, 2 / 3), (1.0, 1.0))  # where copies lie, as parts of the way, of 2 and of 3


class PlacedStrokes:
    """A table of strokes on a device."""

    def __init__(self, table: Table, textures: Tensor) -> None:
        self._styles, self._style_of = table.styles()
        self._grain = _Grain.of(textures)
        self._numbers = self._placed(np.ascontiguousarray(table.numbers.T))
        self._edges, self._colours = self._placed(table.edges), self._placed(table.colours)
        self._hides, self._under = self._placed(table.hides), self._placed(table.under)

    def _placed(self, array: npt.NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(self._grain.inside.device)

    def layer(self, strokes: Integers, corners: Integers) -> Layer:
        """What touches lay on their tiles.

        Args:
            strokes: (n,) which stroke.
            corners: (2, n) first row and column of the tile.
        """
        index, places = self._placed(strokes), self._placed(corners)
        cover, paint, under = places.new_zeros((3, len(strokes), SIDE**2), dtype=torch.float32)
        style_of, wears = self._style_of[strokes], False
        for number in np.unique(style_of):
            style, at = self._styles[number], self._placed(np.flatnonzero(style_of == number))
            pixels = _Pixels.of(self._numbers[:, index[at]], places[:, at], self._grain)
            cover[at] = covered = pixels.covered(style, self._edges[index[at]])
            light = pixels.light(style)
            if style.wears:
                worn = (pixels.cut("wear") - _WORN[0]).clamp(0, _WORN[1])
                under[at], light, wears = covered * worn, light * (1 - worn), True
            paint[at] = covered * light
        parts = [(paint, self._colours[index]), *([(under, self._under[index])] if wears else [])]
        return Layer(cover, self._hides[index], parts)


@dataclass(frozen=True, slots=True)
class Layer:
    """What n touches lay on their tiles.

    Attributes:
        cover: (n, side * side) in [0, 1].
        hides: (n, C) how much goes where they cover.
        parts: What comes: (n, side * side) of (n, C) colours.
    """

    cover: Tensor
    hides: Tensor
    parts: list[tuple[Tensor, Tensor]]

    def lay(self, tiles: Tensor, part: slice) -> None:
        """Lay some of the touches on (C, side * side) tiles each, which are different ones."""
        hidden = tiles * self.hides[part, :, None]
        tiles.addcmul_(hidden, self.cover[part, None], value=-1)
        for amount, colour in self.parts:
            tiles.addcmul_(amount[part, None], colour[part, :, None])


@dataclass(frozen=True, slots=True)
class _Pixels:
    """The pixels of n tiles under strokes of one style.

    Attributes:
        numbers: (columns, n) of the strokes.
        corners: (2, n) first row and column of each tile.
        along: (n, side * side) distance from the stroke's centre along its axis.
        across: (n, side * side) distance to the right of that.
        grain: Textures of the canvas.
    """

    numbers: Tensor
    corners: Tensor
    along: Tensor
    across: Tensor
    grain: _Grain

    @classmethod
    def of(cls, numbers: Tensor, corners: Tensor, grain: _Grain) -> _Pixels:
        """Those of tiles that begin at (2, n) rows and columns."""
        row, col, cos, sin = (numbers[COLUMNS[name], :, None] for name in ("row", "col", "cos", "sin"))
        y, x = corners[0, :, None] - row, corners[1, :, None] - col
        down, right = grain.inside
        along = cos * y + sin * x + cos * down + sin * right
        across = cos * x - sin * y + cos * right - sin * down
        return cls(numbers, corners, along, across, grain)

    def __call__(self, name: str) -> Tensor:
        """(n, 1) the number of that name of every stroke."""
        return self.numbers[COLUMNS[name], :, None]

    def covered(self, style: Style, edges: Tensor) -> Tensor:
        """(n, side * side) how much is covered; by what is drawn out, by all its copies."""
        if not style.drawn_out:
            cover = coverage(inside(style.kind, self, self.along, self.across, edges))
            if style.dashed:
                cover *= _DASHED * (torch.sin(self("dash") * self.along) > 0)
            return cover
        furthest = torch.full_like(self.along, -math.inf)
        for of_two, of_three in _COPIES:
            part = torch.where(self("copies") > 2, of_three, of_two)
            along, across = self.along - part * self("drag_along"), self.across - part * self("drag_across")
            furthest = torch.maximum(furthest, inside(style.kind, self, along, across, edges))
        return coverage(furthest)

    def light(self, style: Style) -> Tensor:
        """(n, side * side) brightness relative to the strokes' colours."""
        light = torch.ones_like(self.along)
        if style.leans:
            lean = self("lean_along") * self.along + self("lean_across") * self.across
            light = light + lean.clamp(self("darkest"), self("brightest"))
        if style.grained:
            light = light * self.cut("grain")
        if style.furrowed:  # rows along the axis that bend with a texture
            wave = torch.sin(self("frequency") * self.across + 3 * self.cut("phase"))
            light = light * (1 + self("furrows") * wave)
        return light

    def cut(self, name: str) -> Tensor:
        """(n, side * side) brightness by one of the textures of the strokes."""
        field, row, col = (self.numbers[COLUMNS[f"{name}.{axis}"]].long() for axis in ("field", "row", "col"))
        pieces = self.grain.pieces(field, self.corners[0] + row, self.corners[1] + col)
        return textured(pieces, self(f"{name}.strength"))


@dataclass(frozen=True, slots=True)
class _Grain:
    """Textures, laid out so that tiles of them are taken a row at a time.

    Attributes:
        height: Of the textures.
        width: Likewise.
        runs: (many, side) as many pixels from every pixel on, in memory that they share.
        inside: (2, side * side) row and column of every pixel in its tile.
    """

    height: int
    width: int
    runs: Tensor
    inside: Tensor

    @classmethod
    def of(cls, textures: Tensor) -> _Grain:
        """The layout of (fields, h, w), which are periodic."""
        height, width = textures.shape[1:]
        wrapped = textures[..., torch.arange(width + SIDE, device=textures.device) % width]
        steps = torch.arange(SIDE, device=textures.device)
        inside = torch.stack((steps.repeat_interleave(SIDE), steps.repeat(SIDE)))
        return cls(height, width, wrapped.flatten().unfold(0, SIDE, 1), inside)

    def pieces(self, field: Tensor, row: Tensor, col: Tensor) -> Tensor:
        """(n, side * side) pieces of (n,) fields from (n,) rows and columns on."""
        rows = (row[:, None] + self.inside[1, :SIDE]) % self.height
        starts = (field[:, None] * self.height + rows) * (self.width + SIDE) + (col % self.width)[:, None]
        return self.runs.index_select(0, starts.flatten()).view(len(field), -1)

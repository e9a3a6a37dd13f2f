"""Shapes as signed distances to their edges, in pixels, inside positive.

A pixel is covered by ``distance + 1/2`` clipped to [0, 1], which is exact for straight edges along the axes
and close for others. Where shapes lie is decided one by one in plain numbers; how much of each pixel they
cover is computed for many at once, in tensors on any device.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

import torch
from torch import Tensor

MOST_EDGES = 7
"""Of a polygon."""

Columns = Callable[[str], Tensor]
"""Numbers of n shapes by the names of :class:`Outline`, (n, 1)."""


class Kind(IntEnum):
    """Of a shape."""

    BOX = 0
    ELLIPSE = 1
    STRIP = 2
    POLYGON = 3


class Outline(NamedTuple):
    """A shape in numbers.

    Attributes:
        row: Of the centre, pixel centres being whole numbers.
        col: Of the centre.
        cos: Of the angle of its axis, from down towards right.
        sin: Likewise.
        length: Half its size along the axis.
        breadth: Half its size across.
        bend: The middle of a strip leaves the axis by ``bend * along ** 2``.
        dash: If above 0, the shape is there only where ``sin(dash * along)`` is positive.
        drag_along: What is drawn out, as a shadow is, is so by this along the axis,
        drag_across: by this to the right of it,
        copies: and in so many copies, 2 or 3; 0 for what is not.
    """

    row: float
    col: float
    cos: float
    sin: float
    length: float
    breadth: float
    bend: float = 0.0
    dash: float = 0.0
    drag_along: float = 0.0
    drag_across: float = 0.0
    copies: float = 0.0


class Bounds(NamedTuple):
    """Rows and columns of a canvas."""

    row: int
    row_stop: int
    col: int
    col_stop: int


class Shape(NamedTuple):
    """A shape on a canvas.

    Attributes:
        kind: Which.
        outline: Where.
        bounds: The part of the canvas it was put on.
        edges: Of a polygon, (turn, offset) of each: direction outwards in radians from the axis, and distance
            from the centre.
    """

    kind: Kind
    outline: Outline
    bounds: Bounds
    edges: tuple[tuple[float, float], ...] = ()

    def grown(self, pixels: float) -> Shape:
        """The shape with its edges so many pixels further out."""
        outline = self.outline
        larger = outline._replace(length=outline.length + pixels, breadth=outline.breadth + pixels)
        edges = tuple((turn, offset + pixels) for turn, offset in self.edges)
        return self._replace(outline=larger, edges=edges)

    def rounded(self) -> Shape:
        """The ellipse in a box."""
        return self._replace(kind=Kind.ELLIPSE)

    def bent(self, breadth: float, bend: float) -> Shape:
        """A strip along the shape's axis, of another breadth and bent."""
        outline = self.outline._replace(breadth=breadth, bend=bend)
        return self._replace(kind=Kind.STRIP if bend else Kind.BOX, outline=outline)

    def dashed(self, frequency: float) -> Shape:
        """The shape in dashes along its axis, ``frequency`` in radians per pixel."""
        return self._replace(outline=self.outline._replace(dash=frequency))

    def drawn_out(self, along: float, across: float, copies: int) -> Shape:
        """The shape drawn out by so much along its axis and to the right of it, without where it was."""
        outline = self.outline._replace(drag_along=along, drag_across=across, copies=float(copies))
        return self._replace(outline=outline)


def find_bounds(
    canvas_shape: tuple[int, int], centre: tuple[float, float], half: tuple[float, float], angle: float
) -> Bounds | None:
    """The canvas around a turned box; None where it lies outside.

    Args:
        canvas_shape: (H, W).
        centre: (row, column) of the box's centre, pixel centres being whole numbers.
        half: Half its (length, breadth).
        angle: Of its length, radians from down towards right.
    """
    c, s = abs(math.cos(angle)), abs(math.sin(angle))
    down, right = c * half[0] + s * half[1] + 1.0, s * half[0] + c * half[1] + 1.0
    row, row_stop = max(math.floor(centre[0] - down), 0), math.ceil(centre[0] + down) + 1
    col, col_stop = max(math.floor(centre[1] - right), 0), math.ceil(centre[1] + right) + 1
    row_stop, col_stop = min(row_stop, canvas_shape[0]), min(col_stop, canvas_shape[1])
    return None if row >= row_stop or col >= col_stop else Bounds(row, row_stop, col, col_stop)


def coverage(distance: Tensor) -> Tensor:
    """How much of each pixel lies inside, from its distance to the edge."""
    return (distance + 0.5).clamp(0, 1)


def inside(kind: Kind, columns: Columns, along: Tensor, across: Tensor, edges: Tensor) -> Tensor:
    """Distances of pixels from the edges of shapes of one kind, inside positive.

    Args:
        kind: Of all of them.
        columns: Their outlines.
        along: (n, pixels), distances from the centres along their axes.
        across: (n, pixels), to the right of them.
        edges: (n, MOST_EDGES, 3) of polygons: cosine and sine of each edge's turn, and its offset.

    Returns:
        (n, pixels).
    """
    length, breadth = columns("length"), columns("breadth")
    if kind == Kind.STRIP:
        return strip_inside(along, across, breadth, columns("bend"))
    if kind == Kind.ELLIPSE:  # a circle's; its long sides are too sharp, its tips too soft
        return (1 - torch.hypot(along / length, across / breadth)) * (length * breadth).sqrt()
    distance = torch.minimum(length - along.abs(), breadth - across.abs())
    if kind == Kind.POLYGON:  # convex, and nowhere out of its box
        for edge in edges.unbind(1):
            cos, sin, offset = edge[..., None].unbind(1)
            distance = torch.minimum(distance, offset - cos * along - sin * across)
    return distance


def strip_inside(along: Tensor, across: Tensor, breadth: Tensor | float, bend: Tensor | float) -> Tensor:
    """The same of a long strip whose middle leaves the axis by ``bend * along ** 2``."""
    slope = (1 + (2 * bend * along) ** 2).sqrt()
    return breadth - (across - bend * along * along).abs() / slope

"""Shapes as antialiased coverage, and the canvas they are painted on, the later over the earlier.

Every shape is a signed distance to its edge, in pixels, inside positive: a pixel is covered by
``distance + 1/2`` clipped to [0, 1], which is exact for straight edges along the axes and close for others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]
Vector = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Patch:
    """The part of the canvas a shape lies on, and coordinates along and across the shape, in pixels.

    Attributes:
        rows: Canvas rows.
        cols: Canvas columns.
        along: (h, w) distance from the centre along the shape's axis.
        across: (h, w) distance to the right of that axis.
    """

    rows: slice
    cols: slice
    along: Field
    across: Field

    @property
    def shape(self) -> tuple[int, int]:
        """(h, w)."""
        return self.rows.stop - self.rows.start, self.cols.stop - self.cols.start


def patch_at(
    canvas_shape: tuple[int, int],
    centre: tuple[float, float],
    half: tuple[float, float],
    angle: float,
) -> Patch | None:
    """The canvas around a turned box; None where it lies outside.

    Args:
        canvas_shape: (H, W).
        centre: (row, column) of the box's centre, pixel centres being whole numbers.
        half: Half its (length, breadth).
        angle: Of its length, radians from down towards right.
    """
    c, s = math.cos(angle), math.sin(angle)
    reach = abs(c) * half[0] + abs(s) * half[1] + 1.0, abs(s) * half[0] + abs(c) * half[1] + 1.0
    row, row_stop = max(math.floor(centre[0] - reach[0]), 0), math.ceil(centre[0] + reach[0]) + 1
    col, col_stop = max(math.floor(centre[1] - reach[1]), 0), math.ceil(centre[1] + reach[1]) + 1
    row_stop, col_stop = min(row_stop, canvas_shape[0]), min(col_stop, canvas_shape[1])
    if row >= row_stop or col >= col_stop:
        return None
    down = np.arange(row - centre[0], row_stop - centre[0] - 0.5, dtype=np.float32)[:, None]
    right = np.arange(col - centre[1], col_stop - centre[1] - 0.5, dtype=np.float32)[None, :]
    along, across = c * down + s * right, c * right - s * down
    return Patch(slice(row, row_stop), slice(col, col_stop), along, across)


def coverage(distance: Field) -> Field:
    """How much of each pixel lies inside, from its distance to the edge."""
    return np.asarray(np.clip(distance + np.float32(0.5), 0, 1), np.float32)


def box_distance(patch: Patch, half: tuple[float, float]) -> Field:
    """Inside distance of a box of half (length, breadth)."""
    return np.minimum(np.float32(half[0]) - np.abs(patch.along), np.float32(half[1]) - np.abs(patch.across))


def ellipse_distance(patch: Patch, half: tuple[float, float]) -> Field:
    """Inside distance of an ellipse, to first order at its edge."""
    radius = np.hypot(patch.along / np.float32(half[0]), patch.across / np.float32(half[1]))
    return np.asarray((1 - radius) * np.float32(math.sqrt(half[0] * half[1])), np.float32)


def polygon_distance(patch: Patch, normals: npt.NDArray[np.float64], offsets: Vector) -> Field:
    """Inside distance of a convex polygon: the least distance to its edges.

    Args:
        patch: Where.
        normals: (n,) outward directions of the edges, radians from the axis.
        offsets: (n,) distances of the edges from the centre.
    """
    distance = np.full(patch.along.shape, np.inf, np.float32)
    for turn, offset in zip(normals, offsets, strict=True):
        edge = offset - np.float32(math.cos(turn)) * patch.along - np.float32(math.sin(turn)) * patch.across
        np.minimum(distance, edge, out=distance)
    return distance


def bent_strip_distance(patch: Patch, half_breadth: float, bend: float) -> Field:
    """Inside distance of a long strip whose middle leaves the axis by ``bend * along ** 2``."""
    middle = np.float32(bend) * patch.along * patch.along
    slope = np.sqrt(1 + (np.float32(2 * bend) * patch.along) ** 2)
    return np.asarray(half_breadth - np.abs(patch.across - middle) / slope, np.float32)


@dataclass(frozen=True, slots=True)
class Canvas:
    """What is painted: (C, H, W) apparent reflectance per channel."""

    pixels: Field

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return self.pixels.shape[1], self.pixels.shape[2]

    def paint(
        self,
        patch: Patch,
        cover: Field,
        colour: Vector,
        shade: Field | None = None,
        stain: Field | None = None,
    ) -> None:
        """Paint a material over what is there.

        Args:
            patch: Where.
            cover: (h, w) in [0, 1].
            colour: (C,) reflectance per channel.
            shade: (h, w) or None: brightness relative to ``colour``, the same in every channel.
            stain: (C, h, w) or None: reflectance added, different from channel to channel.
        """
        ground = self.pixels[:, patch.rows, patch.cols]
        if shade is None and stain is None:
            ground += cover * (colour[:, None, None] - ground)
            return
        fresh = colour[:, None, None] * (np.float32(1) if shade is None else shade)
        if stain is not None:
            fresh = fresh + stain
        ground += cover * (fresh - ground)

    def darken(self, patch: Patch, cover: Field, light: Vector) -> None:
        """Leave (C,) ``light`` of the light where a shadow covers the ground."""
        ground = self.pixels[:, patch.rows, patch.cols]
        ground *= 1 + cover * (light[:, None, None] - 1)

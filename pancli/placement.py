"""Where ms pixels lie among pan pixels: one affine map per axis, by geotransform, never by index.

Coordinates come in two kinds. *Edge* coordinates count from the outer edge of the first pixel, as a
geotransform does; *centre* coordinates are array indices (the centre of the first pixel is 0). They
differ by half a pixel, which is the classic error of the field, so only this file converts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pancli.tiling import Window

_EDGE = 1e-6  # of an ms pixel: grids that share an edge up to rounding do share it


@dataclass(frozen=True, slots=True)
class AxisMap:
    """Maps one axis of the pan grid to the ms grid: ``ms = scale * pan + offset`` in edge coordinates.

    Attributes:
        scale: ms pixels per pan pixel; negative where the two grids run in opposite directions.
        offset: ms edge coordinate of pan edge coordinate 0.
        size: Number of ms pixels along the axis.
    """

    scale: float
    offset: float
    size: int

    @property
    def ratio(self) -> float:
        """Pan pixels per ms pixel."""
        return 1.0 / abs(self.scale)

    def to_ms(self, pan_index: float) -> float:
        """Centre coordinate on the ms grid of a centre coordinate on the pan grid."""
        return self.scale * (pan_index + 0.5) + self.offset - 0.5

    def to_pan(self, ms_index: float) -> float:
        """Centre coordinate on the pan grid of a centre coordinate on the ms grid."""
        return (ms_index + 0.5 - self.offset) / self.scale - 0.5

    def nearest(self, start: int, stop: int) -> npt.NDArray[np.int64]:
        """The ms index each pan pixel's centre lies in, for pan pixels ``[start, stop)``; may be outside."""
        centres = np.arange(start, stop, dtype=np.float64) + 0.5
        edges = self.scale * centres + self.offset
        # A centre on the outermost edge, up to rounding, is inside.
        edges = np.where(np.abs(edges - self.size) < _EDGE, self.size - _EDGE, edges)
        return np.floor(np.where(np.abs(edges) < _EDGE, 0.0, edges)).astype(np.int64)

    def shifted(self, pixels: float) -> AxisMap:
        """The map after the ms image was moved by ``pixels`` pan pixels (down or right positive)."""
        return replace(self, offset=self.offset - self.scale * pixels)

    def ms_span(self, start: int, stop: int, margin: int) -> tuple[int, int]:
        """ms indices ``[lo, hi)`` under pan pixels ``[start, stop)``, ``margin`` more on each side.

        Clipped to the image and never empty: where the span lies outside, its nearest edge pixel.
        """
        ends = self.to_ms(start), self.to_ms(stop - 1)
        lo = math.floor(min(ends)) - margin
        hi = math.ceil(max(ends)) + margin + 1
        lo = min(max(lo, 0), self.size - 1)
        return lo, min(max(hi, lo + 1), self.size)

    def ms_inside(self, start: int, stop: int) -> tuple[int, int]:
        """ms indices ``[lo, hi)`` whose centres fall on pan pixels ``[start, stop)``.

        Neighbouring pan spans get neighbouring ms spans, so each ms pixel is counted exactly once.
        """
        edges = sorted((self.to_ms(start - 0.5), self.to_ms(stop - 0.5)))
        lo = min(max(math.ceil(edges[0]), 0), self.size)
        return lo, min(max(math.ceil(edges[1]), lo), self.size)

    def pan_span(self, start: int, stop: int, margin: int) -> tuple[int, int]:
        """Pan indices ``[lo, hi)`` around the centres of ms pixels ``[start, stop)``; may be outside.

        They reach ``margin`` further on each side.
        """
        ends = self.to_pan(start), self.to_pan(stop - 1)
        return math.floor(min(ends)) - margin, math.ceil(max(ends)) + margin + 1

    def pan_on(self, start: int, stop: int) -> tuple[int, int]:
        """Pan indices ``[lo, hi)`` whose centres fall on ms pixels ``[start, stop)``; may be outside."""
        edges = sorted((self.to_pan(start - 0.5), self.to_pan(stop - 0.5)))
        slack = _EDGE * self.ratio
        return math.ceil(edges[0] - slack), math.floor(edges[1] + slack) + 1

    def pan_inside(self, pan_size: int) -> tuple[int, int]:
        """Pan indices ``[lo, hi)`` whose centres fall inside the ms image."""
        first, last = self.pan_on(0, self.size)
        lo = max(first, 0)
        return lo, max(min(last, pan_size), lo)

    def footprints(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The pan indices ``[first, last)`` that each ms pixel touches; may be outside."""
        edges = (np.arange(self.size + 1) - self.offset) / self.scale
        low, high = np.minimum(edges[:-1], edges[1:]), np.maximum(edges[:-1], edges[1:])
        return np.floor(low + _EDGE).astype(np.int64), np.ceil(high - _EDGE).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Placement:
    """How the ms grid lies on the pan grid: one :class:`AxisMap` per axis."""

    rows: AxisMap
    cols: AxisMap

    @property
    def axes(self) -> tuple[AxisMap, AxisMap]:
        """Down and across, as the sides of a shape or the spans of a window are."""
        return self.rows, self.cols

    @property
    def ratio(self) -> float:
        """Pan pixels per ms pixel (geometric mean of the two axes)."""
        return math.sqrt(self.rows.ratio * self.cols.ratio)

    @property
    def ms_shape(self) -> tuple[int, int]:
        """(h, w) of the ms image."""
        return self.rows.size, self.cols.size

    def shifted(self, down: float, right: float) -> Placement:
        """The placement after the ms image was moved by so many pan pixels."""
        return Placement(self.rows.shifted(down), self.cols.shifted(right))

    def padded(self, pixels: int) -> Placement:
        """The placement of an ms image with so many ms pixels more on every side."""
        return Placement(*(AxisMap(a.scale, a.offset + pixels, a.size + 2 * pixels) for a in self.axes))

    def ms_window(self, pan: Window, margin: int) -> Window:
        """The ms window under a pan window, with ``margin`` ms pixels around it, clipped to the image."""
        rows, cols = (axis.ms_span(*span, margin) for axis, span in zip(self.axes, pan.spans, strict=True))
        return Window.from_bounds(*rows, *cols)

    def ms_inside(self, pan: Window) -> Window:
        """The ms pixels whose centres fall on the pan window (may be empty)."""
        return Window.from_bounds(
            *self.rows.ms_inside(pan.row, pan.row_stop), *self.cols.ms_inside(pan.col, pan.col_stop)
        )

    def pan_on(self, ms: Window) -> Window:
        """The pan pixels whose centres fall on the ms window, beyond the image too."""
        rows, cols = (axis.pan_on(*span) for axis, span in zip(self.axes, ms.spans, strict=True))
        return Window.from_bounds(*rows, *cols)

    def footprint(self) -> Window:
        """The pan pixels, beyond the image too, that the ms image touches."""
        rows, cols = (
            (int(first.min()), int(last.max())) for first, last in map(AxisMap.footprints, self.axes)
        )
        return Window.from_bounds(*rows, *cols)

    def pan_inside(self, pan_shape: tuple[int, int]) -> Window:
        """The pan pixels whose centres fall inside the ms image (may be empty)."""
        return Window.from_bounds(*self.rows.pan_inside(pan_shape[0]), *self.cols.pan_inside(pan_shape[1]))

"""Where the new images lie, and on which pixels of the old ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pancli.errors import PairError
from pancli.placement import AxisMap, Placement
from pancli.raster.pair import Pair
from pancli.resampling import mtf_radius
from pancli.tiling import Window

_EDGE = 1e-3  # of an ms pixel: edges this close are one edge


@dataclass(frozen=True)
class Reduction:
    """Where the new images lie.

    Attributes:
        reference: The part of the ms grid that becomes the reference.
        cells: How the new ms grid lies on the ms grid.
    """

    reference: Window
    cells: Placement


def plan_reduction(pair: Pair, ratio: float | None = None) -> Reduction:
    """Where the new grids lie: from the first ms pixel that is wholly on pan, as many whole cells as fit.

    The reference is the ms pixels whose centres lie in those cells. A pair without a geotransform is placed
    by its corners, so its ratio is moved to the nearest at which the corners meet.

    Args:
        pair: What is to be reduced.
        ratio: ms pixels per new ms pixel; None for the pair's own, per axis.

    Raises:
        PairError: The images do not overlap, or not one whole cell lies on pan.
    """
    pair.overlap()  # says better than a count of cells that there are none
    by_corners = not pair.ms_grid.georeferenced
    (row, height, rows), (col, width, cols) = (
        _plan_axis(axis, size, ratio or axis.ratio, by_corners=by_corners)
        for axis, size in zip(pair.placement.axes, pair.pan_grid.shape, strict=True)
    )
    return Reduction(Window(row, col, height, width), Placement(rows, cols))


def _plan_axis(axis: AxisMap, pan_size: int, ratio: float, *, by_corners: bool) -> tuple[int, int, AxisMap]:
    """First ms pixel of the reference, how many there are, and how cells lie on ms, along one axis."""
    ends = sorted((axis.offset, axis.scale * pan_size + axis.offset))
    first, last = max(math.ceil(ends[0] - _EDGE), 0), min(math.floor(ends[1] + _EDGE), axis.size)
    cells = math.floor((last - first) / ratio + _EDGE)
    if cells < 1:
        raise PairError(
            f"{max(last - first, 0)} MS pixels lie on PAN along one side, too few for one of {ratio:.5g}; "
            "give larger images or a smaller --ratio"
        )
    exact = _settle(ratio, cells, by_corners=by_corners)
    _, size = AxisMap(1 / exact, 0.0, cells).pan_inside(last - first)
    return first, size, AxisMap(1 / exact, -first / exact, cells)


def _settle(ratio: float, cells: int, *, by_corners: bool) -> float:
    """The ratio without the rounding of geotransforms."""
    if by_corners:
        return round(cells * ratio) / cells
    return float(round(ratio)) if abs(ratio - round(ratio)) * cells < _EDGE else ratio


def reach(placement: Placement, target: Window, gain: float, bounds: Window) -> Window:
    """The fine pixels that the blur of the coarse pixels ``target`` looks at, as far as there are any."""
    rows, cols = (
        axis.pan_span(*span, mtf_radius(axis.ratio, gain))
        for axis, span in zip(placement.axes, target.spans, strict=True)
    )
    return Window.from_bounds(*rows, *cols).intersect(bounds)

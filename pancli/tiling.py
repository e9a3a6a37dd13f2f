"""Windows and tiles of an image: integers only, rows before columns.

A tile is a *core*, written exactly once, inside a *window* that adds a margin which is read and dropped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_GOLDEN = (math.sqrt(5) - 1) / 2
_PROBE_SIZE = 256
_PROBES = 16


@dataclass(frozen=True, slots=True)
class Window:
    """A half-open rectangle of pixels: rows ``[row, row_stop)``, columns ``[col, col_stop)``.

    >>> Window(0, 0, 4, 6).grow(2)
    Window(row=-2, col=-2, height=8, width=10)
    """

    row: int
    col: int
    height: int
    width: int

    @classmethod
    def from_bounds(cls, row: int, row_stop: int, col: int, col_stop: int) -> Window:
        """The window ``[row, row_stop) x [col, col_stop)``; inverted bounds give an empty one."""
        return cls(row, col, max(0, row_stop - row), max(0, col_stop - col))

    @property
    def row_stop(self) -> int:
        """One past the last row."""
        return self.row + self.height

    @property
    def col_stop(self) -> int:
        """One past the last column."""
        return self.col + self.width

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width

    @property
    def spans(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """The first row and one past the last, and the same of columns."""
        return (self.row, self.row_stop), (self.col, self.col_stop)

    @property
    def size(self) -> int:
        """Number of pixels."""
        return self.height * self.width

    def grow(self, margin: int) -> Window:
        """The window with ``margin`` pixels more on every side."""
        return Window(self.row - margin, self.col - margin, self.height + 2 * margin, self.width + 2 * margin)

    def intersect(self, other: Window) -> Window:
        """What both windows cover; empty (size 0) where they do not meet."""
        return Window.from_bounds(
            max(self.row, other.row),
            min(self.row_stop, other.row_stop),
            max(self.col, other.col),
            min(self.col_stop, other.col_stop),
        )

    def relative_to(self, outer: Window) -> Window:
        """The same pixels, counted from the corner of ``outer``."""
        return Window(self.row - outer.row, self.col - outer.col, *self.shape)

    def slices_in(self, outer: Window) -> tuple[slice, slice]:
        """Row and column slices that cut this window out of an array that covers ``outer``.

        >>> Window(4, 6, 2, 3).slices_in(Window(3, 3, 10, 10))
        (slice(1, 3, None), slice(3, 6, None))
        """
        inner = self.relative_to(outer)
        return slice(inner.row, inner.row_stop), slice(inner.col, inner.col_stop)

    def blocks(self, height: int, width: int | None = None) -> Iterator[Window]:
        """Windows of at most ``height`` x ``width``, which cover this one exactly once, row by row."""
        width = height if width is None else width
        for row in range(self.row, self.row_stop, height):
            for col in range(self.col, self.col_stop, width):
                yield Window(row, col, height, width).intersect(self)

    def blocks_under(self, other: Window, side: int) -> Iterator[Window]:
        """Those of ``blocks(side)`` that another window lies on; the rest are not gone through.

        >>> list(Window(0, 0, 900, 900).blocks_under(Window(850, 380, 90, 30), 400))
        [Window(row=800, col=0, height=100, width=400), Window(row=800, col=400, height=100, width=400)]
        """
        met = other.intersect(self)
        if met.size:
            row = met.row - (met.row - self.row) % side
            col = met.col - (met.col - self.col) % side
            for block in Window.from_bounds(row, met.row_stop, col, met.col_stop).blocks(side):
                yield Window(block.row, block.col, side, side).intersect(self)


@dataclass(frozen=True, slots=True)
class Tile:
    """One step of the plan: write ``core``, having read ``window``."""

    core: Window
    window: Window

    @property
    def inner(self) -> tuple[slice, slice]:
        """Slices that cut the core out of an array covering the window."""
        return self.core.slices_in(self.window)


def plan_tiles(area: Window, size: int, margin: int, bounds: Window) -> list[Tile]:
    """Cut ``area`` into tiles whose cores cover it exactly once.

    Args:
        area: What is to be written.
        size: Side of a core in pixels; the last row and column of cores may be smaller.
        margin: Pixels read around each core, where they exist.
        bounds: Where pixels exist. A margin never leaves it: a method's own padding rule applies only
            at the true border of the scene, so that tiled equals untiled.

    >>> [t.core.shape for t in plan_tiles(Window(0, 0, 5, 4), 4, 1, Window(0, 0, 5, 4))]
    [(4, 4), (1, 4)]
    """
    if size < 1 or margin < 0:
        raise ValueError(f"a tile needs size >= 1 and margin >= 0, got {size} and {margin}")
    return [Tile(core, core.grow(margin).intersect(bounds)) for core in area.blocks(size)]


def spread(windows: Sequence[Window], count: int) -> list[list[Window]]:
    """Share windows out into stretches of a list, each led by the one that stands for it.

    Leaders are spread along rows and columns, whatever number of windows a row has: every stretch is as long,
    and where in its columns the leader lies follows the golden ratio, which no period meets (Vogel, "A better
    way to construct the sunflower head", 1979).

    Args:
        windows: Row after row.
        count: How many stretches; no more than there are windows.

    Returns:
        Stretches; after its leader, in each, what could stand in for it.
    """
    stretches = []
    for i in range(count):
        stretch = windows[i * len(windows) // count : (i + 1) * len(windows) // count]
        first, last = (pick(window.col for window in stretch) for pick in (min, max))
        target = first + (last - first + stretch[0].width) * ((i + 0.5) * _GOLDEN % 1) - stretch[0].width / 2
        middle = len(stretch) // 2
        lead = min(range(len(stretch)), key=lambda k: (abs(stretch[k].col - target), abs(k - middle)))
        stretches.append([*stretch[lead:], *stretch[:lead]])
    return stretches


def leaders(windows: Sequence[Window], most: int) -> list[Window]:
    """At most so many of some windows, row after row: those that lead the stretches of :func:`spread`."""
    return [leader for leader, *_ in spread(windows, min(len(windows), most))]


def probes(area: Window) -> list[Window]:
    """A few blocks that stand for an area where only its ordinary numbers are asked for."""
    return leaders(list(area.blocks(_PROBE_SIZE)), _PROBES)


def sample_starts(size: int, side: int, count: int) -> list[int]:
    """Where windows that stand for an axis start.

    Args:
        size: Of the axis, in pixels.
        side: Of a window.
        count: How many windows stand for a large axis: each lies in the middle of its share of it, so that
            what lies at the ends counts as much as it has pixels.

    Returns:
        Where ``count`` windows do not fit, the starts of windows that cover the axis, side by side.

    >>> sample_starts(10, 4, 3), sample_starts(60, 4, 3)
    ([0, 4, 8], [8, 28, 48])
    """
    if size <= side * count:
        return list(range(0, size, side))
    return [size * (2 * i + 1) // (2 * count) - side // 2 for i in range(count)]

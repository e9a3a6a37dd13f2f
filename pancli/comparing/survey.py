"""Looking over fused images: means over cells, places worth a closer look, and pixels of one place.

Everything streams by windows, so memory does not grow with the scene.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pancli.comparing.bench import every_band
from pancli.comparing.options import is_baseline
from pancli.raster.aligned import AlignedImage, open_aligned
from pancli.raster.pair import Pair, PairOptions, open_pair
from pancli.tiling import Window

Pixels = tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]
"""(C, h, w) values and (h, w) validity."""

_TILE = 256


@dataclass(frozen=True)
class Views:
    """The images of a comparison, open, all on the pan grid.

    Attributes:
        pair: Pan and ms.
        fused: By method.
        reference: Or None.
        area: The pan pixels that every image has.
    """

    pair: Pair
    fused: dict[str, AlignedImage]
    reference: AlignedImage | None
    area: Window

    def pan(self, window: Window) -> Pixels:
        """Pan, (1, h, w)."""
        values, valid = self.pair.read_pan(window)
        return values[None], valid

    def ms(self, window: Window) -> Pixels:
        """For each pan pixel the ms pixel its centre lies in, (B, h, w)."""
        placement = self.pair.placement
        source = placement.ms_window(window, 1)
        values, valid = self.pair.read_ms(source)
        rows = placement.rows.nearest(window.row, window.row_stop) - source.row
        cols = placement.cols.nearest(window.col, window.col_stop) - source.col
        return values[:, rows][:, :, cols], valid[rows][:, cols]

    def truth(self, window: Window) -> Pixels:
        """The reference where there is one, else ms."""
        return self.ms(window) if self.reference is None else self.reference.read(window)

    @cached_property
    def spread(self) -> npt.NDArray[np.float64]:
        """(B,): standard deviation of each band of the truth."""
        first, second = _moments(self.truth, self.area)
        return np.sqrt(np.maximum(second - first**2, np.finfo(np.float64).tiny))

    def error(self, method: str, window: Window) -> Pixels:
        """(1, h, w): absolute error against the truth, mean over bands, each in units of its deviation."""
        values, valid = self.fused[method].read(window)
        truth, known = self.truth(window)
        relative = np.abs(values.astype(np.float64) - truth) / self.spread[:, None, None]
        return relative.mean(0, keepdims=True), valid & known


def _moments(
    read: Callable[[Window], Pixels], area: Window
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(B,) means of the values and of their squares."""

    def powers(window: Window) -> Pixels:
        values, valid = read(window)
        exact = values.astype(np.float64)
        return np.concatenate([exact, exact**2]), valid

    sums, counts = cell_sums(powers, area, _TILE)
    first, second = np.split(sums.sum((1, 2)) / max(int(counts.sum()), 1), 2)
    return first, second


@contextmanager
def open_views(
    pan: str,
    ms: Sequence[str],
    reference: str | None,
    fused: Mapping[str, Path],
    options: PairOptions,
) -> Iterator[Views]:
    """Open everything that is to be looked at.

    Raises:
        PancliError: A file cannot be opened, or does not lie on pan's pixels.
    """
    with ExitStack() as stack:
        pair = stack.enter_context(open_pair(pan, ms, options))

        def aligned(path: str, role: str) -> AlignedImage:
            return stack.enter_context(open_aligned(path, role, pair.pan_grid, options.nodata))

        bands = len(pair.bands)
        images = {method: aligned(every_band(path, bands), method) for method, path in fused.items()}
        truth = None if reference is None else aligned(reference, "the reference")
        area = pair.overlap()
        for image in (*images.values(), *(() if truth is None else (truth,))):
            area = area.intersect(image.window)
        yield Views(pair, images, truth, area)


def cell_sums(
    read: Callable[[Window], Pixels], area: Window, side: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Sums of valid pixels over square cells of an area; the last row and column of cells may be smaller.

    Args:
        read: Gives the pixels of a window.
        area: What is looked over.
        side: Of a cell.

    Returns:
        Sums (C, n, m) and counts (n, m).
    """
    tile = side * max(1, _TILE // side)
    rows = []
    for top in range(area.row, area.row_stop, tile):
        strip = Window(top, area.col, tile, area.width).intersect(area)
        parts = [_sum_cells(*read(window), side) for window in strip.blocks(tile)]
        sums, counts = zip(*parts, strict=True)
        rows.append((np.concatenate(sums, axis=2), np.concatenate(counts, axis=1)))
    sums, counts = zip(*rows, strict=True)
    return np.concatenate(sums, axis=1), np.concatenate(counts, axis=0)


def _sum_cells(
    values: npt.NDArray[Any], valid: npt.NDArray[np.bool_], side: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    height, width = valid.shape
    rows, cols = np.arange(0, height, side), np.arange(0, width, side)
    known = np.where(valid, values, 0).astype(np.float64)
    sums = np.add.reduceat(np.add.reduceat(known, rows, 1), cols, 2)
    return sums, np.add.reduceat(np.add.reduceat(valid.astype(np.int64), rows, 0), cols, 1)


def shrink(image: npt.NDArray[Any], most: int) -> npt.NDArray[np.float64]:
    """An (n, m) image made of means so that neither side is above ``most``; NaN counts for nothing."""
    side = -(-max(image.shape) // most)
    sums, counts = _sum_cells(image[None], np.isfinite(image), side)
    return np.where(counts > 0, sums[0] / np.maximum(counts, 1), np.nan)


def cell_means(read: Callable[[Window], Pixels], area: Window, side: int) -> npt.NDArray[np.float64]:
    """(C, n, m): means of valid pixels over cells, NaN where there is none; see :func:`cell_sums`."""
    sums, counts = cell_sums(read, area, side)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


@dataclass(frozen=True)
class Place:
    """Somewhere worth a look, and why."""

    why: str
    window: Window


def choose_places(views: Views, side: int) -> list[Place]:
    """Up to three squares, wholly valid where there are such, which do not overlap.

    Where pan has most detail, where the methods (the baseline aside) disagree most, and, lest only
    extremes be seen, where they disagree as much as they do in half of the scene.
    """
    side = min(side, *views.area.shape)
    half = max(side // 2, 1)
    detail, counts = cell_sums(lambda window: _detail(views, window), views.area, half)
    scores = [("Where PAN has most detail", detail[0], 1.0)]
    methods = [method for method in views.fused if not is_baseline(method)]
    if len(methods) > 1:
        apart = _disagreement(views, methods, half)
        scores += [("Where the methods disagree most", apart, 1.0), ("An ordinary place", apart, 0.5)]
    candidates = _Candidates(views.area, side, half, counts)
    return [
        Place(why, window)
        for why, score, rank in scores
        if (window := candidates.take(score, rank)) is not None
    ]


class _Candidates:
    """Squares of two by two cells, taken one after the other, each clear of those taken before."""

    def __init__(self, area: Window, side: int, half: int, counts: npt.NDArray[np.int64]) -> None:
        self._area, self._side, self._half = area, side, half
        rows = (area.height - side) // half + 1
        cols = (area.width - side) // half + 1
        self._shape = rows, cols
        known = self._pool(counts)
        self._free = known >= known.max()

    def _pool(self, cells: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Sums over the cells of each square."""
        rows, cols = self._shape
        padded = np.pad(cells, ((0, 1), (0, 1)))
        total = padded[:-1, :-1] + padded[1:, :-1] + padded[:-1, 1:] + padded[1:, 1:]
        return np.asarray(total[:rows, :cols])

    def take(self, score: npt.NDArray[np.float64], rank: float) -> Window | None:
        """The free square whose score has this rank: 1 the highest, 0.5 the median; None if none is free."""
        free = np.argwhere(self._free)
        if not len(free):
            return None
        values = self._pool(score)[self._free]
        order = np.argsort(values, kind="stable")
        row, col = free[order[int(rank * (len(order) - 1))]]
        near = (slice(max(row - 2, 0), row + 3), slice(max(col - 2, 0), col + 3))
        self._free[near] = False
        top, left = self._area.row + int(row) * self._half, self._area.col + int(col) * self._half
        return Window(top, left, self._side, self._side)


def _detail(views: Views, window: Window) -> Pixels:
    """(1, h, w): squared steps of pan to the pixels below and to the right."""
    pan, valid = views.pan(window)
    values = pan[0].astype(np.float64)
    corner, known = values[:-1, :-1], valid[:-1, :-1] & valid[1:, :-1] & valid[:-1, 1:]
    steps = np.zeros(valid.shape)
    squares = (values[1:, :-1] - corner) ** 2 + (values[:-1, 1:] - corner) ** 2
    steps[:-1, :-1] = np.where(known, squares, 0)
    return steps[None], valid


def _disagreement(views: Views, methods: Sequence[str], side: int) -> npt.NDArray[np.float64]:
    """(n, m): variance between methods relative to what is there, summed over bands and cells.

    A band's unit is its level plus its deviation in the scene: by the deviation alone a bright roof, on
    which nothing but its brightness differs, would always win; by the level alone a shadow.
    """

    def between(window: Window) -> Pixels:
        truth, known = views.truth(window)
        unit = np.abs(truth.astype(np.float64)) + views.spread[:, None, None]
        total = square = np.zeros(())
        for method in methods:
            values, valid = views.fused[method].read(window)
            relative = values / unit
            total, square, known = total + relative, square + relative**2, known & valid
        variance = square / len(methods) - (total / len(methods)) ** 2
        return variance.sum(0, keepdims=True), known

    sums, _ = cell_sums(between, views.area, side)
    return np.asarray(sums[0])

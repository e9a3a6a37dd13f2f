"""Images with a known truth in memory: how the parts of one lie on each other, and where regions may lie."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pancli.errors import RecipeError, TrainingError
from pancli.placement import AxisMap, Placement
from pancli.sensors import GENERIC
from pancli.tiling import Window

Array = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]

_EDGE = 1e-6  # of a pixel: edges this near are one edge


@dataclass(frozen=True)
class Image:
    """A multiband image, and what is known with it.

    Attributes:
        name: For messages.
        bands: (B, h, w), ms or truth.
        valid: (h, w), where the bands and all that lies under them are valid.
        placement: How the bands lie on pan; on themselves, where there is none.
        pan: (H, W); None where pan is made from the bands.
        reference: (B, H, W), the truth on pan's grid; None where the bands are the truth.
        shown: What pan and ms show of the MTF at the ms Nyquist frequency, where it was measured.
        warnings: How the images were placed, where that was a guess.
    """

    name: str
    bands: Array
    valid: BoolArray
    placement: Placement
    pan: Array | None = None
    reference: Array | None = None
    shown: float = GENERIC.ms_gains[0]
    warnings: tuple[str, ...] = ()

    @property
    def ratio(self) -> float:
        """Pan pixels per pixel of the bands; 1 where there is no pan."""
        return self.placement.ratio

    @property
    def told(self) -> tuple[str, ...]:
        """The warnings, with the name."""
        return tuple(f"{self.name}: {warning}" for warning in self.warnings)


@dataclass(frozen=True)
class Room:
    """Where windows of one size may lie in an image.

    Attributes:
        shape: Height and width of a window, pixels of the bands.
        count: Rows and columns at which one may begin.
        free: The same as flat indices, without those where a window would hold an invalid pixel; None where
            all are valid.
    """

    shape: tuple[int, int]
    count: tuple[int, int]
    free: npt.NDArray[np.int64] | None = None

    @classmethod
    def of(cls, image: Image, side: int) -> Room:
        """Windows of ``side`` pixels, or of the image's own size where that is less.

        Raises:
            TrainingError: Every one of them holds an invalid pixel.
        """
        height, width = (min(side, n) for n in image.bands.shape[1:])
        count = image.bands.shape[1] - height + 1, image.bands.shape[2] - width + 1
        if bool(image.valid.all()):
            return cls((height, width), count)
        rows, cols = np.arange(count[0]), np.arange(count[1])
        clean = _none_in(~image.valid, (rows, rows + height), (cols, cols + width))
        free = np.flatnonzero(clean)
        if free.size == 0:
            raise TrainingError(
                f"{image.name}: no {height} x {width} pixels of the bands lie together without nodata; "
                "lower schedule.region, or leave it out"
            )
        return cls((height, width), count, free)


def cut_to_pan(image: Image) -> Image:
    """The same without ms pixels that reach beyond pan.

    Raises:
        RecipeError: There are no others.
    """
    if image.pan is None:
        return image
    spans, axes = [], []
    for axis, side in zip(image.placement.axes, image.pan.shape, strict=True):
        first, last = axis.footprints()
        inside = np.flatnonzero((first >= 0) & (last <= side))
        if inside.size == 0:
            raise RecipeError(f"{image.name}: no ms pixel lies within pan; do the two overlap?")
        spans.append(slice(int(inside[0]), int(inside[-1]) + 1))
        axes.append(AxisMap(axis.scale, axis.offset - int(inside[0]), inside.size))
    bands, valid = image.bands[:, *spans], image.valid[*spans]
    return replace(image, bands=bands, valid=valid, placement=Placement(*axes))


def pan_under(placement: Placement, window: Window) -> tuple[Window, Placement]:
    """The pan pixels that an ms window touches, and how the one lies on the other."""
    spans, axes = [], []
    for axis, (start, stop) in zip(placement.axes, window.spans, strict=True):
        first, last = (edge[start:stop] for edge in axis.footprints())
        low, high = int(first.min()), int(last.max())
        offset = axis.scale * low + axis.offset - start
        offset = 0.0 if math.isclose(offset, 0.0, abs_tol=_EDGE) else offset
        spans += [low, high]
        axes.append(AxisMap(axis.scale, offset, stop - start))
    return Window.from_bounds(*spans), Placement(*axes)


def valid_under(placement: Placement, valid: BoolArray) -> BoolArray:
    """(h, w), where all pan pixels that an ms pixel touches are valid; beyond pan nothing counts."""
    spans = []
    for axis, side in zip(placement.axes, valid.shape, strict=True):
        first, last = axis.footprints()
        spans.append((first.clip(0, side), last.clip(0, side)))
    return _none_in(~valid, *spans)


def _none_in(marked: BoolArray, rows: tuple[Array, Array], cols: tuple[Array, Array]) -> BoolArray:
    """(len(rows), len(cols)), whether no pixel in rows[i] x cols[j] is marked, by sums from the corner."""
    sums = np.zeros((marked.shape[0] + 1, marked.shape[1] + 1), np.int32)
    np.cumsum(marked, axis=0, dtype=np.int32, out=sums[1:, 1:])
    np.cumsum(sums[1:, 1:], axis=1, out=sums[1:, 1:])
    (top, bottom), (left, right) = ((a[:, None], b[:, None]) for a, b in (rows, cols))
    left, right = left.T, right.T
    inside = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
    return np.asarray(inside == 0)


def middle_window(room: Room) -> Window:
    """The window nearest the middle of the image."""
    middle = (np.array(room.count) - 1) // 2
    if room.free is None:
        return Window(int(middle[0]), int(middle[1]), *room.shape)
    starts = np.stack(np.divmod(room.free, room.count[1]))
    row, col = starts[:, np.square(starts - middle[:, None]).sum(0).argmin()]
    return Window(int(row), int(col), *room.shape)


def crop(array: Array, window: Window) -> Tensor:
    """A window of the last two axes as float32."""
    part = array[..., window.row : window.row_stop, window.col : window.col_stop]
    return torch.from_numpy(np.ascontiguousarray(part, dtype=np.float32))

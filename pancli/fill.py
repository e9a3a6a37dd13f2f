"""Fill that no file speaks of: one number around an image that has neither a nodata tag nor a mask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from pancli.placement import Placement
from pancli.scene import Reader
from pancli.tiling import Window, sample_starts

Read = Callable[[Window], tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]]
"""Values, (H, W) or (B, H, W), and validity (H, W) of a window."""

SAMPLE_SIDE = 32
"""Pixels of a sampled window along a side."""
SAMPLE_GRID = 16
"""Windows along a side of an image that is too large to be read whole: 16 of 32, since 8 of 64 pixels in the
middle of their shares miss most of a narrow collar (Landsat-8, 1246 pixels: 92 % valid, not 86.5)."""

_COLLAR = 0.02  # share of the frame that is one number from which it looks like fill


def untold_fill(
    reader: Reader, untagged: Sequence[str], placement: Placement, area: Window, frame: str = "its frame"
) -> list[str]:
    """A warning where fill may be taken for pixels, as nothing says which of an image's are invalid.

    Args:
        reader: Of the pair.
        untagged: The images that have neither a nodata value nor a mask: PAN, MS, or both.
        placement: How the ms grid lies on the pan grid.
        area: What is looked at, on the pan grid.
        frame: What to call the frame of that.
    """
    looks = {"PAN": (reader.read_pan, area), "MS": (reader.read_ms, placement.ms_inside(area))}
    told = (fill_warnings(which, *looks[which], frame) for which in untagged)
    return next(filter(None, told), [])


def fill_warnings(which: str, read: Read, part: Window, frame: str = "its frame") -> list[str]:
    """A warning where an image looks as if its fill were taken for pixels; only its frame is read.

    Args:
        which: PAN or MS.
        read: Of that image.
        part: What of it is looked at.
        frame: What to call the frame of that.
    """
    value, share = _filled_frame(read, part)
    if share < _COLLAR:
        return []
    told = np.format_float_positional(np.float32(value), trim="-")
    return [
        f"{which} is exactly {told if value else 'zero'} on {100 * share:.0f} % of {frame}, "
        f"as fill without a nodata tag is; use --nodata {told} if it is"
    ]


def _filled_frame(read: Read, part: Window) -> tuple[float, float]:
    """What most of the outermost pixels hold that are valid and the same in every band, and their share.

    Of numbers that light does not make: zero and below. Of a large image, a sample tells.
    """
    framed, found = 0, Counter({0.0: 0})
    for window in _frame(part):
        values, valid = read(window)
        layers = values.reshape(-1, *valid.shape)
        framed += window.size
        found.update(layers[0][valid & (layers[0] <= 0) & (layers == layers[0]).all(0)].tolist())
    ((value, count),) = found.most_common(1)
    return value, count / max(framed, 1)


def _frame(part: Window) -> Iterator[Window]:
    """Windows one pixel wide along the four sides."""
    if part.size == 0:
        return
    for col in sample_starts(part.width, SAMPLE_SIDE, SAMPLE_GRID):
        for row in {part.row, part.row_stop - 1}:
            yield Window(row, part.col + col, 1, SAMPLE_SIDE).intersect(part)
    inner = Window(part.row + 1, part.col, part.height - 2, part.width)
    for row in sample_starts(inner.height, SAMPLE_SIDE, SAMPLE_GRID):
        for col in {part.col, part.col_stop - 1}:
            yield Window(inner.row + row, col, SAMPLE_SIDE, 1).intersect(inner)

"""The part of a tile that a network is given: cut to its alignment, continued where the scene ends.

Rows and columns count from the pan image's first pixel, so a window's phase belongs to the scene and not
to the tile.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from pancli.methods.mtf import HIGHEST_GAIN
from pancli.placement import Placement
from pancli.resampling import blur, low_pass, mirrored, mtf_sigma, upsample
from pancli.tiling import Tile, Window


def aligned_window(tile: Tile, halo: int, align: int) -> Window:
    """The smallest aligned window that keeps the halo around a tile's core.

    Where the tile ends nearer than that, the scene ends: there the window goes on to the next multiple.

    >>> from pancli.tiling import Window
    >>> aligned_window(Tile(Window(0, 5, 6, 4), Window(0, 0, 9, 13)), 2, 4)
    Window(row=0, col=0, height=8, width=12)
    """
    core, window = tile.core.grow(halo), tile.window
    rows, cols = (_aligned(have, need, align) for have, need in zip(window.spans, core.spans, strict=True))
    return Window.from_bounds(*rows, *cols)


def _aligned(have: tuple[int, int], need: tuple[int, int], align: int) -> tuple[int, int]:
    start, stop = max(have[0], need[0]), min(have[1], need[1])
    return start // align * align, math.ceil(stop / align) * align


def cut(image: Tensor, have: Window, want: Window) -> Tensor:
    """The pixels of one window of an image (..., H, W) that covers another; beyond it, its mirror image."""
    if want.intersect(have) == want:
        return image[..., *want.slices_in(have)]
    inner = want.relative_to(have)
    rows = mirrored(torch.arange(inner.row, inner.row_stop, device=image.device), have.height)
    cols = mirrored(torch.arange(inner.col, inner.col_stop, device=image.device), have.width)
    return image[..., rows, :][..., cols]


def block_ms(ms: Tensor, placement: Placement, ms_window: Window, pan_window: Window, ratio: int) -> Tensor:
    """ms (B, h, w) in digital numbers at the centres of the ``ratio`` x ``ratio`` blocks of a pan window.

    Where the ms grid is just that, these are its pixels as they are; elsewhere they are interpolated.

    Args:
        ms: (B, h, w), covering ``ms_window``.
        placement: How the ms grid lies on the pan grid.
        ms_window: Where ``ms`` lies.
        pan_window: Aligned to ``ratio``.
        ratio: Side of a block, pan pixels.
    """
    axes = (replace(axis, scale=axis.scale * ratio) for axis in placement.axes)
    blocks = Window(*(n // ratio for n in (pan_window.row, pan_window.col, *pan_window.shape)))
    return upsample(ms, Placement(*axes), ms_window, blocks)


def blended_windows(tile: Tile, side: int) -> list[Window]:
    """Windows of one side, half of it apart, that overlap a tile's core and have their middle in the scene.

    ``side`` pixels around the core, where the scene has them, must be in the tile's window. A scene so short
    that no middle lies in it is seen in one window.
    """
    step = side // 2
    starts = []
    for core, have in zip(tile.core.spans, tile.window.spans, strict=True):
        first = (core[0] - side) // step + 1
        spans = range(first * step, core[1], step)
        inside = [s for s in spans if have[0] < s + side and have[0] <= s + step <= have[1]]
        starts.append(inside or [have[0] // step * step])
    return [Window(row, col, side, side) for row in starts[0] for col in starts[1]]


def blend_weights(side: int) -> Tensor:
    """(1, side, side) float64: Hann weights; windows half a side apart add up to one."""
    ramp = torch.sin(math.pi * (torch.arange(side, dtype=torch.float64) + 0.5) / side).square()
    return (ramp[:, None] * ramp[None, :])[None]


def see_pan(
    pan: Tensor, placement: Placement, window: Window, gain: float, shown: float
) -> tuple[Tensor, Tensor, Tensor]:
    """What networks that see physics are given of pan and of the sensor.

    The second is the detail to add where ms came of a blunt image by picking pixels, without a low-pass of
    its own: the Gaussian between pan and ms then is in the truth, too.

    Args:
        pan: (1, H, W), covering ``window``.
        placement: How the ms grid lies on the pan grid.
        window: Of pan pixels.
        gain: MTF at the ms Nyquist as it is believed.
        shown: The same as the pair shows it.

    Returns:
        Pan at ms resolution, (1, H, W); what ms resolution does not show of a pan that is itself as blunt as
        ms is, (1, H, W); and (3,): the gain, :data:`pancli.methods.mtf.HIGHEST_GAIN` at most, what is shown
        of it, and the binary logarithm of the ratio. Images are exact
        :func:`pancli.resampling.low_pass_radius` pixels inside the window.
    """
    gain = min(gain, HIGHEST_GAIN)
    low = low_pass(pan, placement, window, gain)
    shown_low = low if shown == gain else low_pass(pan, placement, window, shown)
    sigmas = mtf_sigma(placement.rows.ratio, shown), mtf_sigma(placement.cols.ratio, shown)
    return low, blur(pan, sigmas) - shown_low, torch.tensor([gain, shown, math.log2(placement.ratio)])

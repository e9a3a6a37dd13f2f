"""Low-pass filters of pan at the real ratio: what the multiresolution methods take detail against."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import pad

from pancli.methods.protocol import PairInfo, TileImage
from pancli.methods.statistics import coarsest_ratio
from pancli.resampling import low_pass, low_pass_radius


class Blur(Protocol):
    """A low-pass filter that knows how far it looks."""

    def radius(self, info: PairInfo) -> int:
        """Pan pixels it looks to each side."""
        ...

    def apply(self, image: TileImage) -> Tensor:
        """Blurred pan, (1, H, W) for all bands or (B, H, W) one per band; exact inside the radius."""
        ...


def box_kernel(width: float) -> Tensor:
    """Weights of a centred box of real width: whole pixels inside, fractions at its two ends.

    Args:
        width: In pixels, at least 1.

    Returns:
        (2 n + 1,) float64, sums to one.

    >>> (box_kernel(4.0) * 4).tolist()
    [0.5, 1.0, 1.0, 1.0, 0.5]
    """
    reach = math.ceil(width / 2 - 0.5)
    distance = torch.arange(-reach, reach + 1, dtype=torch.float64).abs()
    return (width / 2 + 0.5 - distance).clamp(0.0, 1.0) / width


def b3_kernel(ratio: float) -> Tensor:
    """The cascade of dilated B3-spline filters whose cut-off follows a real ratio.

    The a-trous cascade of Starck and Murtagh, "Image restoration with noise suppression using the
    wavelet transform", A&A 1994, has variance (ratio^2 - 1) / 3 for the ratios 2, 4, 8 ... In between,
    as many whole levels as fit are followed by one mixed with the identity so that the same formula
    holds: continuous in the ratio, and the usual cascade at every power of two.

    Args:
        ratio: At least 1.

    Returns:
        (2 n + 1,) float64, sums to one.
    """
    spline = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], dtype=torch.float64) / 16
    kernel = torch.ones(1, dtype=torch.float64)
    dilation = 1
    while dilation * (1 + 1e-9) < ratio:
        share = min(((ratio / dilation) ** 2 - 1) / 3, 1.0)
        level = torch.zeros(4 * dilation + 1, dtype=torch.float64)
        level[::dilation] = share * spline
        level[2 * dilation] += 1 - share
        wide = pad(kernel, (4 * dilation, 4 * dilation))
        kernel = wide.unfold(0, len(level), 1) @ level
        dilation *= 2
    return kernel


def gaussian_kernel(sigma: float, reach: int) -> Tensor:
    """Weights of a Gaussian over ``reach`` pixels to each side: (2 reach + 1,) float64, sums to one."""
    distance = torch.arange(-reach, reach + 1, dtype=torch.float64)
    weight = torch.exp(-0.5 * (distance / sigma) ** 2)
    return weight / weight.sum()


def convolve(image: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
    """Filter (C, H, W) by symmetric kernels along both axes; edge pixels are repeated beyond the edge."""
    return _along_rows(_along_rows(image, rows).mT, cols).mT


def _along_rows(image: Tensor, kernel: Tensor) -> Tensor:
    reach, height = len(kernel) // 2, image.shape[-2]
    wide = pad(image[None], (0, 0, reach, reach), mode="replicate")[0]
    out = torch.zeros_like(image)
    for start, weight in enumerate(kernel.tolist()):
        out.add_(wide[..., start : start + height, :], alpha=weight)
    return out


@dataclass(frozen=True, slots=True)
class Box:
    """A mean over ``scale * ratio + 1`` pan pixels, the width being real."""

    scale: float = 1.0

    def width(self, ratio: float) -> float:
        """Side of the box in pan pixels: with scale 1, 5 at ratio 4."""
        return self.scale * ratio + 1

    def radius(self, info: PairInfo) -> int:
        """See :class:`Blur`."""
        return math.ceil(self.width(coarsest_ratio(info.placement)) / 2 - 0.5)

    def apply(self, image: TileImage) -> Tensor:
        """See :class:`Blur`."""
        return self.mean(image.pan, image.info)

    def mean(self, image: Tensor, info: PairInfo) -> Tensor:
        """Means of any (C, H, W) image on the pan grid."""
        rows, cols = (axis.ratio for axis in info.placement.axes)
        return convolve(image, box_kernel(self.width(rows)), box_kernel(self.width(cols)))


@dataclass(frozen=True, slots=True)
class BSpline:
    """The B3-spline cascade of :func:`b3_kernel`, each axis at its own ratio."""

    def radius(self, info: PairInfo) -> int:
        """See :class:`Blur`."""
        return len(b3_kernel(coarsest_ratio(info.placement))) // 2

    def apply(self, image: TileImage) -> Tensor:
        """See :class:`Blur`."""
        rows, cols = (axis.ratio for axis in image.info.placement.axes)
        return convolve(image.pan, b3_kernel(rows), b3_kernel(cols))


@dataclass(frozen=True, slots=True)
class SensorMtf:
    """Pan as each ms band would have seen it: through the band's MTF to the ms grid, and interpolated back.

    Aiazzi et al., "MTF-tailored multiscale fusion of high-resolution MS and Pan imagery", PE&RS 2006.
    """

    def radius(self, info: PairInfo) -> int:
        """See :class:`Blur`."""
        ratio = coarsest_ratio(info.placement)
        return max(low_pass_radius(ratio, gain) for gain in info.gains)

    def apply(self, image: TileImage) -> Tensor:
        """See :class:`Blur`; bands with the same gain share one filtering."""
        placement, window, gains = image.info.placement, image.tile.window, image.info.gains
        blurred = {gain: low_pass(image.pan, placement, window, gain) for gain in set(gains)}
        if len(blurred) == 1:
            return blurred[gains[0]]
        return torch.cat([blurred[gain] for gain in gains])

"""Bicubic resampling by whole factors, as layers of networks have it.

Grids share their outer edge, not their corner pixels, so the weights belong to a pixel's phase and not to
the size of the image: a part whose edges are multiples of the factor is resampled as in the whole.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import interpolate


def enlarge(image: Tensor, factor: int) -> Tensor:
    """(N, C, h, w) to (N, C, h * factor, w * factor); Keys' kernel, a = -0.75, two pixels to either side."""
    return interpolate(image, scale_factor=factor, mode="bicubic", align_corners=False)


def shrink(image: Tensor, factor: int) -> Tensor:
    """(N, C, H, W) to (N, C, H / factor, W / factor), sampled between the middle pixels of each block.

    The kernel is not widened, as in the networks that use it: it sees four pixels along each axis.
    """
    return interpolate(image, scale_factor=1 / factor, mode="bicubic", align_corners=False)

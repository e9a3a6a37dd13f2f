"""Two normalised differences of bands, which some networks are given beside the bands themselves."""

from __future__ import annotations

import torch
from torch import Tensor

from pancli.networks.bicubic import enlarge
from pancli.networks.ranges import to_unit_range

RATIOS = 2
"""Maps that :func:`band_ratios` makes."""

_TINY = 1e-6  # keeps 0 / 0 at zero


def band_ratios(lrms: Tensor, ratio: int) -> Tensor:
    """(b2 - b4) / (b2 + b4) and (b4 - b3) / (b4 + b3) of ms, enlarged to the pan grid.

    Where bands come as blue, green, red and near infrared these are a water and a vegetation index (NDWI,
    NDVI); here they come by falling correlation with pan. Where there are fewer than four, they are counted
    round again, as they are when a scene has fewer bands than a network. Values are brought near [0, 1] and
    held above zero, so that both ratios lie in [-1, 1] on the ms grid; enlarged, they may swing beyond.

    Args:
        lrms: (N, B, h, w) in a network's units.
        ratio: Pan pixels per ms pixel.

    Returns:
        (N, 2, h * ratio, w * ratio).
    """
    light = to_unit_range(lrms).clamp_min(0)
    second, third, fourth = (light[:, band % lrms.shape[1]] for band in (1, 2, 3))
    differences = [_difference(second, fourth), _difference(fourth, third)]
    return enlarge(torch.stack(differences, 1), ratio)


def _difference(one: Tensor, other: Tensor) -> Tensor:
    return (one - other) / (one + other + _TINY)

"""Pixel arithmetic that several families share, safe where a denominator vanishes."""

from __future__ import annotations

import torch
from torch import Tensor


def mix(weights: Tensor, image: Tensor) -> Tensor:
    """Weighted sums of bands.

    Args:
        weights: (B,) or (K, B); converted to the image's dtype and device.
        image: (B, ...).

    Returns:
        (...) or (K, ...).
    """
    mixed: Tensor = torch.tensordot(weights.to(image), image, 1)
    return mixed


def ratio_or_zero(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Their quotient, and 0 where the denominator is not positive (a constant has no gain)."""
    positive = denominator > 0
    return torch.where(positive, numerator / torch.where(positive, denominator, 1.0), 0.0)


def modulation(numerator: Tensor, denominator: Tensor) -> Tensor:
    """The factor a ratio method multiplies by: in [0, 10], and 1 where the denominator is not positive.

    The bound is that of the public ports of MTF-GLP-HPM: without it one dark pixel reaches any value.
    """
    positive = denominator > 0
    factor = numerator / torch.where(positive, denominator, 1.0)
    return torch.where(positive, factor, 1.0).clamp(0.0, 10.0)


def injection_gain(band: Tensor, low: Tensor) -> Tensor:
    """The gain at which a ratio method adds detail: band / low in [0, 3], and 1 where low is not positive."""
    positive = low > 0
    gain = band / torch.where(positive, low, 1.0)
    return torch.where(positive, gain, 1.0).clamp(0.0, 3.0)

"""Sums over every window of an image, and which windows hold valid pixels only."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import conv2d


def window_sums(image: Tensor, height: int, width: int) -> Tensor:
    """Sums over every window that lies inside an image, stride one.

    Args:
        image: (..., H, W) float64.
        height: Rows of a window.
        width: Its columns.

    Returns:
        (..., H - height + 1, W - width + 1), at the window's upper left pixel; empty where none fits.
    """
    rows = _running(image, height, -2)
    return _running(rows, width, -1)


def _running(image: Tensor, size: int, axis: int) -> Tensor:
    length = image.shape[axis]
    if length < size:
        return image.narrow(axis, 0, 0)
    first = torch.zeros_like(image.narrow(axis, 0, 1))
    sums = torch.cat([first, image.cumsum(axis)], axis)
    return sums.narrow(axis, size, length - size + 1) - sums.narrow(axis, 0, length - size + 1)


def whole_windows(valid: Tensor, height: int, width: int) -> Tensor:
    """Which windows of :func:`window_sums` hold valid pixels only.

    Args:
        valid: (H, W) bool.
        height: Rows of a window.
        width: Its columns.

    Returns:
        (H - height + 1, W - width + 1) bool.
    """
    return window_sums((~valid).double(), height, width) == 0


def gaussian(size: int, sigma: float) -> Tensor:
    """(size,) float64 weights of a centred Gaussian, summing to one."""
    offsets = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    weights = torch.exp(-0.5 * (offsets / sigma) ** 2)
    return weights / weights.sum()


def weighted_means(image: Tensor, weights: Tensor) -> Tensor:
    """Separable weighted mean over every square window inside an image.

    Args:
        image: (C, H, W) float64.
        weights: (S,), summing to one.

    Returns:
        (C, H - S + 1, W - S + 1), at the window's upper left pixel; empty where none fits.
    """
    size = len(weights)
    if min(image.shape[-2:]) < size:
        return image[..., :0, :0]
    kernel = weights.to(image)
    rows = conv2d(image[:, None], kernel.reshape(1, 1, size, 1))
    return conv2d(rows, kernel.reshape(1, 1, 1, size))[:, 0]

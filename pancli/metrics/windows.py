"""Sums over every window of an image, and which windows hold valid pixels only."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


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
    """Sums of pairs, of pairs of pairs and so on, of which a window is made.

    Differences of sums from the image's edge would round as what lies between it and the window does.
    """
    count = image.shape[axis] - size + 1
    if count < 1:
        return image.narrow(axis, 0, 0)
    total, taken, width = None, 0, 1
    while True:
        if size & width:
            part = image.narrow(axis, taken, count)
            total, taken = part if total is None else total + part, taken + width
        if taken == size and total is not None:
            return total
        steps = image.shape[axis] - width
        image = image.narrow(axis, 0, steps) + image.narrow(axis, width, steps)
        width *= 2


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
    height, width = (max(side - len(weights) + 1, 0) for side in image.shape[-2:])
    if min(height, width) == 0:
        return image[..., :height, :width]
    # Torch's convolutions of float64 are several times slower than sums of shifted images, which stay in
    # the processor's cache as long as they are of one channel.
    taps = weights.tolist()
    return torch.stack([_weighted(_weighted(channel, taps, 0), taps, 1) for channel in image])


def _weighted(image: Tensor, taps: Sequence[float], axis: int) -> Tensor:
    length = image.shape[axis] - len(taps) + 1
    total = image.narrow(axis, 0, length) * taps[0]
    for offset, weight in enumerate(taps[1:], start=1):
        total.add_(image.narrow(axis, offset, length), alpha=weight)
    return total

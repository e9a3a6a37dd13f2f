"""The universal image quality index Q: of blocks, of sliding windows, between all images at once.

Wang and Bovik, "A universal image quality index", IEEE SPL 2002, eq. 2:
``Q = 4 cov mx my / ((vx + vy) (mx^2 + my^2))``. Where both images are constant it is what remains, the
comparison of means, ``2 mx my / (mx^2 + my^2)``; where both means are zero it is one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pancli.metrics.windows import window_sums

_FLAT_BLOCK = 1e-26  # variance over squared mean below which a block is constant but for rounding
_FLAT_WINDOW = 1e-13  # the same where variances are differences of sums


def quality(means: tuple[Tensor, Tensor], spread: Tensor, covariance: Tensor, floor: Tensor) -> Tensor:
    """Q from moments; biased or unbiased ones, if both are of the same kind.

    Args:
        means: Of the two images.
        spread: Sum of their variances.
        covariance: Of the two.
        floor: The spread up to which both count as constant.
    """
    mx, my = means
    power = mx.square() + my.square()
    one = torch.ones_like(power)
    luminance = torch.where(power > 0, 2 * mx * my / torch.where(power > 0, power, one), one)
    flat = spread <= floor
    # Twice a covariance is no more than the sum of the variances; differences of sums may round beyond it.
    structure = torch.where(flat, one, 2 * covariance / torch.where(flat, one, spread)).clamp(-1, 1)
    return torch.where(power > 0, luminance * structure, one)


def cut_blocks(image: Tensor, size: int) -> Tensor:
    """(n, m, C, size * size): the whole blocks of a (C, H, W) image; what is left over is dropped."""
    rows, cols = image.shape[1] // size, image.shape[2] // size
    # The number of channels, not -1: where no block fits there is no pixel to tell it from.
    whole = image[:, : rows * size, : cols * size].reshape(image.shape[0], rows, size, cols, size)
    return whole.permute(1, 3, 0, 2, 4).reshape(rows, cols, image.shape[0], size * size)


def block_quality(images: Tensor, size: int) -> Tensor:
    """Q between every two of several images, per block.

    Args:
        images: (C, H, W) float64.
        size: Side of a block.

    Returns:
        (n, m, C, C), symmetric, one on the diagonal.
    """
    blocks = cut_blocks(images, size)
    means = blocks.mean(-1)
    centred = blocks - means[..., None]
    covariance = centred @ centred.mT / (size * size - 1)
    variances = covariance.diagonal(dim1=-2, dim2=-1)
    mx, my = means[..., :, None].expand_as(covariance), means[..., None, :].expand_as(covariance)
    spread = variances[..., :, None] + variances[..., None, :]
    return quality((mx, my), spread, covariance, _FLAT_BLOCK * (mx.square() + my.square()))


def sliding_quality(x: Tensor, y: Tensor, size: int) -> Tensor:
    """Q of two images in every window inside them, stride one.

    Args:
        x: (B, H, W) float64.
        y: The same.
        size: Side of a window.

    Returns:
        (B, H - size + 1, W - size + 1), at the window's upper left pixel.
    """
    means, spread, covariance, squares = sliding_moments(x, y, size)
    return quality(means, spread, covariance, _FLAT_WINDOW * squares)


def sliding_moments(x: Tensor, y: Tensor, size: int) -> tuple[tuple[Tensor, Tensor], Tensor, Tensor, Tensor]:
    """Biased moments of two images in every window inside them, stride one.

    Args:
        x: (B, H, W) float64.
        y: The same.
        size: Side of a window.

    Returns:
        The two means; the sum of variances; the covariance; the mean of squares that the variances are
        differences of, which says how exact they can be. (B, H - size + 1, W - size + 1) each.
    """
    # Sums of squares about a near value lose fewer digits; a whole number keeps integers exact.
    near = torch.stack([x, y]).mean((0, 2, 3)).round()[:, None, None]
    a, b = x - near, y - near
    count = size * size
    sums = window_sums(torch.stack([a, b, a * b, a.square() + b.square()]), size, size) / count
    ma, mb, product, squares = sums
    return (ma + near, mb + near), squares - ma.square() - mb.square(), product - ma * mb, squares

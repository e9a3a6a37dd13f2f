"""Q2n: the quality index of whole spectra, taken as hypercomplex numbers.

Alparone et al., "A global quality measurement of pan-sharpened multispectral imagery", IEEE GRSL 2004 (four
bands); Garzelli and Nencini, "Hypercomplex quality assessment of multi/hyperspectral images", IEEE GRSL
2009 (any number of bands).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from pancli.metrics.quality_index import cut_blocks

_EPS = torch.finfo(torch.float64).eps


def hypercomplex_product(x: Tensor, y: Tensor) -> Tensor:
    """Product of hypercomplex numbers whose components lie along the first axis (Cayley-Dickson).

    Args:
        x: (n, ...), n a power of two.
        y: The same.
    """
    n = x.shape[0]
    if n == 1:
        return x * y
    (x1, x2), (y1, y2) = x.chunk(2), y.chunk(2)
    b, d = conjugate(x2), conjugate(y2)
    if n == 2:
        return torch.cat([x1 * y1 - d * b, x1 * d + y1 * b])
    first = hypercomplex_product(x1, y1) - hypercomplex_product(d, conjugate(b))
    second = hypercomplex_product(conjugate(x1), d) + hypercomplex_product(y1, b)
    return torch.cat([first, second])


def conjugate(x: Tensor) -> Tensor:
    """(n, ...) with all components but the first negated."""
    return torch.cat([x[:1], -x[1:]])


def q2n_blocks(reference: Tensor, image: Tensor, size: int, flat: float = 1e-6) -> Tensor:
    """Q2n of every whole block. Not symmetric: blocks are normalised by the reference's statistics.

    Args:
        reference: (B, H, W) float64.
        image: The same.
        size: Side of a block.
        flat: Standard deviation over mean below which a block of the reference counts as constant, so
            that rounding is not magnified; and if the image's varies no more, in no band, it is so, too.

    Returns:
        (n, m), in [0, 1].
    """
    a, b, level = _normalised(cut_blocks(reference, size), cut_blocks(image, size), flat)
    mean_a, mean_b = a.mean(-1), b.mean(-1)
    power_a, power_b = mean_a.square().sum(0), mean_b.square().sum(0)
    spread = a.square().sum(0).mean(-1) + b.square().sum(0).mean(-1) - power_a - power_b
    power = power_a + power_b
    one = torch.ones_like(power)
    bias = torch.where(power > 0, 2 * (power_a * power_b).sqrt() / torch.where(power > 0, power, one), one)
    cross = hypercomplex_product(a, b).mean(-1) - hypercomplex_product(mean_a, mean_b)
    # Where the reference is level, one is its floor in each band: twice that is as much again in the image.
    constant = (spread <= _EPS * _EPS * power) | (level & (spread <= 2 * reference.shape[0]))
    value = cross.norm(dim=0) * 2 / torch.where(constant, one, spread)
    return bias * torch.where(constant, one, value)


def _normalised(reference: Tensor, image: Tensor, flat: float) -> tuple[Tensor, Tensor, Tensor]:
    """Blocks standardised by the reference, and shifted by one.

    Returns:
        (n, rows, cols, pixels) of the reference; the same of the image, conjugate; (rows, cols) bool, whether
        the reference is constant but for rounding, in every band.
    """
    mean = reference.mean(-1, keepdim=True)
    centred = reference - mean
    # Not torch's std, which warns of an image without a whole block.
    std = (centred.square().sum(-1, keepdim=True) / (reference.shape[-1] - 1)).sqrt()
    floor = flat * mean.abs()
    level = ((std <= floor) & (floor > 0)).all(2)[..., 0]
    std = torch.where(std <= floor, floor.clamp_min(_EPS), std)
    a = centred / std + 1
    b = torch.where(mean == 0, image - mean + 1, (image - mean) / std + 1)
    bands = reference.shape[2]
    extra = (1 << (bands - 1).bit_length()) - bands
    # A band of zeros standardises to ones: it changes no variance, only the means.
    added = (0, 0) * 3 + (0, extra)
    a = pad(a.movedim(2, 0), added, value=1.0)
    return a, conjugate(pad(b.movedim(2, 0), added, value=1.0)), level

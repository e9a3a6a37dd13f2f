"""Correlation and unexplained variance, from a covariance matrix."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_RANK = 1e-10  # of the regressors' variance: directions with less are left out


def mean_correlation(covariance: Tensor) -> float | None:
    """Pearson's correlation of band b of one image with band b of another, the mean over bands.

    Args:
        covariance: (2B, 2B) of the bands of one image, then of the other.

    Returns:
        In [-1, 1]; None where a band is constant.
    """
    bands = covariance.shape[0] // 2
    variances = covariance.diagonal()
    if bool((variances <= 0).any()):
        return None
    cross = covariance.diagonal(bands)
    return float((cross / (variances[:bands] * variances[bands:]).sqrt()).mean())


def unexplained(covariance: Tensor) -> float | None:
    """Share of the last variable's variance that no linear function of the others explains.

    With the fused bands and pan this is D_S of R-QNR: Alparone, Garzelli, Vivone, "Spatial consistency for
    full-scale assessment of pansharpening", IGARSS 2018.

    Args:
        covariance: (K, K).

    Returns:
        In [0, 1]; None where the last variable is constant.
    """
    variance = float(covariance[-1, -1])
    if variance <= 0:
        return None
    cross = covariance[:-1, -1]
    inverse = torch.linalg.pinv(covariance[:-1, :-1], hermitian=True, rtol=_RANK)
    return min(max(1 - float(cross @ inverse @ cross) / variance, 0.0), 1.0)


def cosine(products: Tensor) -> float | None:
    """Cosine of two vectors from (3,): their product, and each one's squared length; None if one is zero."""
    product, first, second = (float(v) for v in products)
    lengths = math.sqrt(first * second)
    return product / lengths if lengths > 0 else None

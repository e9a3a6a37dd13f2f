"""Correlation, from a covariance matrix or from products."""

from __future__ import annotations

import math

from torch import Tensor


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


def cosine(products: Tensor) -> float | None:
    """Cosine of two vectors from (3,): their product, and each one's squared length; None if one is zero."""
    product, first, second = (float(v) for v in products)
    lengths = math.sqrt(first * second)
    return product / lengths if lengths > 0 else None

"""Distortion without a reference, from mean quality indices between bands and pan."""

from __future__ import annotations

import torch
from torch import Tensor


def spectral_distortion(high: Tensor, low: Tensor) -> float:
    """D_lambda: how much the relations between bands changed, the mean over pairs of bands.

    Alparone et al., "Multispectral and panchromatic data fusion assessment without reference", PE&RS 2008,
    eq. 4, with p = 1.

    Args:
        high: (B + 1, B + 1), Q between the fused bands, then pan.
        low: The same for ms and pan at its resolution.
    """
    bands = high.shape[0] - 1
    change = (high - low)[:bands, :bands].abs()
    return float(change.sum() / (bands * (bands - 1)))


def spatial_distortion(high: Tensor, low: Tensor) -> float:
    """D_S: how much the relation of each band with pan changed, the mean over bands.

    Alparone et al. 2008, eq. 6, with q = 1. Arguments as of :func:`spectral_distortion`.
    """
    return float((high - low)[:-1, -1].abs().mean())


def local_distortions(high: Tensor, low: Tensor) -> Tensor:
    """D_lambda, D_S and QNR of every block by itself.

    The mean of a distortion map is more than the scene's distortion: there, gains and losses of different
    blocks make up for each other.

    Args:
        high: (n, m, B + 1, B + 1), as of :func:`spectral_distortion`, per block; B of at least two.
        low: The same.

    Returns:
        (3, n, m).
    """
    bands = high.shape[-1] - 1
    change = (high - low).abs()
    spectral = change[..., :bands, :bands].sum((-2, -1)) / (bands * (bands - 1))
    spatial = change[..., :bands, -1].mean(-1)
    return torch.stack([spectral, spatial, (1 - spectral) * (1 - spatial)])

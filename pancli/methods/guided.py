"""Guided filtering of principal components: pan steers how the components of ms are smoothed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pancli.methods.arithmetic import mix
from pancli.methods.filters import Box
from pancli.methods.protocol import Contract, PairInfo, Scene, TileImage
from pancli.methods.statistics import gather, ms_grid_margin, ms_grid_samples

_WINDOW = Box(scale=4.0)  # 17 pan pixels at ratio 4: radius 8, as published
_SMOOTHNESS = 1e-4  # of pan's variance


@dataclass(frozen=True, slots=True)
class PrincipalComponents:
    """The ms image's principal axes, and what the guided filter needs of pan.

    Attributes:
        mean: (B,), of ms.
        axes: (B, B), one axis per column.
        pan_mean: Of pan at ms resolution.
        pan_std: Of pan at ms resolution; positive.
    """

    mean: Tensor
    axes: Tensor
    pan_mean: float
    pan_std: float


@dataclass(frozen=True, slots=True)
class GuidedPca:
    """GFPCA: the guided filter takes the place of substitution, on every component.

    Liao et al., "Two-stage fusion of thermal hyperspectral and visible RGB image by PCA and guided filter",
    WHISPERS 2015; the filter is He, Sun, Tang, "Guided image filtering", IEEE TPAMI 2013, eq. 5, 6 and 8.
    The window is (4 ratio + 1) pan pixels wide, 17 at ratio 4, and the smoothness constant 1e-4 of pan's
    variance, so that neither depends on the units.
    """

    name: str
    contract: Contract

    def radius(self, info: PairInfo) -> int:
        """See :class:`pancli.methods.protocol.Method`: a mean of means, so two windows."""
        return 2 * _WINDOW.radius(info)

    def fit(self, scene: Scene) -> PrincipalComponents:
        """See :class:`pancli.methods.protocol.Method`."""
        bands = scene.info.bands
        margin = ms_grid_margin(scene.info, scene.info.mean_gain)
        (moments,) = gather(scene, margin, ms_grid_samples)
        axes = torch.linalg.eigh(moments.covariance[:bands, :bands])[1]
        pan_std = float(moments.std[bands]) or 1.0
        return PrincipalComponents(moments.mean[:bands], axes, float(moments.mean[bands]), pan_std)

    def fuse(self, image: TileImage, state: PrincipalComponents) -> Tensor:
        """See :class:`pancli.methods.protocol.Method`."""
        mean = state.mean.to(image.upsampled)[:, None, None]
        components = mix(state.axes.T, image.upsampled - mean)
        guide = (image.pan - state.pan_mean) / state.pan_std
        filtered = guided_filter(guide, components, image.info)
        return mix(state.axes, filtered) + mean


def guided_filter(guide: Tensor, image: Tensor, info: PairInfo) -> Tensor:
    """Each channel as a locally linear function of the guide.

    Args:
        guide: (1, H, W) of about unit variance.
        image: (C, H, W).
        info: Gives the window its size.

    Returns:
        (C, H, W) of the image's dtype. Inside it is float64: a window's variance is a small difference
        of large numbers, and float32 would let its rounding decide where pan is flat.
    """
    x, y = guide.double(), image.double()
    x_mean, y_mean = _WINDOW.mean(x, info), _WINDOW.mean(y, info)
    variance = (_WINDOW.mean(x * x, info) - x_mean * x_mean).clamp_min(0)
    slope = (_WINDOW.mean(x * y, info) - x_mean * y_mean) / (variance + _SMOOTHNESS)
    offset = y_mean - slope * x_mean
    return (_WINDOW.mean(slope, info) * x + _WINDOW.mean(offset, info)).to(image.dtype)


GFPCA = GuidedPca(
    "gfpca",
    Contract(
        summary="pan's edges without its texture or noise; soft, small objects lose contrast",
        source="Liao et al., Two-stage fusion by PCA and guided filter, WHISPERS 2015",
        workspace=40,
    ),
)

"""Band-dependent spatial detail: the detail of each band is a regression learnt one scale further down."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pancli.methods.arithmetic import mix
from pancli.methods.filters import convolve, gaussian_kernel
from pancli.methods.protocol import Contract, PairInfo, Scene, TileImage
from pancli.methods.statistics import coarsest_ratio, gather, ms_grid_margin, regress_nonnegative
from pancli.resampling import VALID_WEIGHT, mtf_radius, mtf_sigma


@dataclass(frozen=True, slots=True)
class DetailRegression:
    """F_b = E_b + sum_k weights_bk [E, P]_k + intercept_b.

    Attributes:
        weights: (B, B + 1); those of bands are not positive, that of pan is not negative.
        intercept: (B,).
    """

    weights: Tensor
    intercept: Tensor


@dataclass(frozen=True, slots=True)
class Bdsd:
    """BDSD over the whole scene at once, with physical constraints.

    At ms resolution the detail of a band is known: what its MTF would remove from it. It is regressed on
    the bands after that removal and on pan as sharp as ms, and the weights carry over to the pan grid.
    Garzelli, Nencini, Capobianco, "Optimal MMSE pan sharpening of very high resolution multispectral
    images", IEEE TGRS 2008, eq. 13 and 16. Detail is what pan has and the bands lack, so pan may only add
    and bands only subtract, as in Vivone, "Robust band-dependent spatial-detail approaches for panchromatic
    sharpening", IEEE TGRS 2019; unbound, many correlated bands overshoot.

    Two departures: pan is reduced by the mean MTF of the bands, not by its own lower one, whose weight would
    undo a blur that delivered pan does not have; and the regression has an intercept, so that an offset of
    the digital numbers changes nothing.
    """

    name: str
    contract: Contract

    def radius(self, info: PairInfo) -> int:
        """See :class:`pancli.methods.protocol.Method`: pointwise."""
        return 0

    def fit(self, scene: Scene) -> DetailRegression:
        """See :class:`pancli.methods.protocol.Method`."""
        bands = scene.info.bands
        (moments,) = gather(scene, _fit_margin(scene.info), _detail_samples)
        fits = [regress_nonnegative(moments, bands + 1 + band, bands + 1) for band in range(bands)]
        weights = torch.stack([found for found, _ in fits])
        weights[:, :bands] *= -1
        intercept = torch.tensor([constant for _, constant in fits], dtype=torch.float64)
        return DetailRegression(weights, intercept)

    def fuse(self, image: TileImage, state: DetailRegression) -> Tensor:
        """See :class:`pancli.methods.protocol.Method`."""
        known = torch.cat([image.upsampled, image.pan])
        detail = mix(state.weights, known)
        return image.upsampled + detail + state.intercept.to(known)[:, None, None]


def _fit_margin(info: PairInfo) -> int:
    ratio = coarsest_ratio(info.placement)
    bands = max(math.ceil(ratio * (mtf_radius(ratio, gain) + 1)) for gain in info.gains)
    return max(bands, ms_grid_margin(info, info.mean_gain))


def _detail_samples(image: TileImage) -> Tensor:
    """(2 B + 1, N) float64: blurred ms negated, reduced pan, the detail ms lost; the core's valid ms."""
    ms = (image.ms * image.ms_valid).double()
    blurred, weight = [], []
    for band, gain in zip(ms, image.info.gains, strict=True):
        both = _blur_ms(torch.stack([band, image.ms_valid.double()]), image.info, gain)
        weight.append(both[1])
        blurred.append(both[0] / both[1].clamp_min(1 - VALID_WEIGHT))
    whole = image.ms_valid & (torch.stack(weight) >= VALID_WEIGHT).all(0)
    stacked = replace(image, ms=torch.cat([ms, torch.stack(blurred)]), ms_valid=whole)
    both_scales, pan = stacked.ms_core_samples(image.info.mean_gain)
    sharp, smooth = both_scales[: image.info.bands], both_scales[image.info.bands :]
    return torch.cat([-smooth, pan, sharp - smooth])


def _blur_ms(image: Tensor, info: PairInfo, gain: float) -> Tensor:
    """The MTF one scale down: what it does to pan pixels at the real ratio, done to ms pixels."""
    rows, cols = (
        gaussian_kernel(mtf_sigma(axis.ratio, gain), mtf_radius(axis.ratio, gain))
        for axis in info.placement.axes
    )
    return convolve(image, rows, cols)


BDSD = Bdsd(
    "bdsd",
    Contract(
        summary="sharp, each band its own detail by regression; sensitive to misregistration",
        source="Garzelli, Nencini, Capobianco, Optimal MMSE pan sharpening of VHR MS images, TGRS 2008",
    ),
)

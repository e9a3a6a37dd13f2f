"""Component substitution: an intensity made of the bands is replaced by pan, pixel by pixel.

Every method here is one formula, F_b = E_b + g_b (P^ - I), with I a weighted sum of the upsampled bands E
and P^ pan matched to I; they differ in the weights and the gains g. Vivone et al., "A critical comparison
among pansharpening algorithms", IEEE TGRS 2015, eq. 2 and table I. Brovey multiplies instead of adding.

Matching follows P^ = (P - mean P) std(I) / std(P_low) + mean I, with P_low the pan at ms resolution: the
spreads of two images compare only at equal resolution. (The older toolboxes divide by std(P), which
weakens the injected detail.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pancli.methods.arithmetic import mix, modulation, ratio_or_zero
from pancli.methods.moments import Moments
from pancli.methods.protocol import Contract, PairInfo, Scene, TileImage
from pancli.methods.statistics import (
    gather,
    ms_grid_margin,
    ms_grid_samples,
    pan_grid_margin,
    pan_grid_samples,
)


@dataclass(frozen=True, slots=True)
class Substitution:
    """What is global in F_b = E_b + g_b (s (P - mean P) - sum_k w_k E_k + mean I).

    Attributes:
        weights: w, (B,).
        gains: g, (B,).
        pan_scale: s.
        pan_mean: mean P.
        intensity_mean: mean I.
    """

    weights: Tensor
    gains: Tensor
    pan_scale: float
    pan_mean: float
    intensity_mean: float

    def intensity(self, image: TileImage) -> Tensor:
        """(H, W): I."""
        return mix(self.weights, image.upsampled)

    def matched_pan(self, image: TileImage) -> Tensor:
        """(H, W): P^."""
        return self.pan_scale * (image.pan[0] - self.pan_mean) + self.intensity_mean


Estimate = Callable[[Moments, Tensor], tuple[Tensor, Tensor]]
"""Weights and gains from the moments of [E_1 .. E_B, P, P_low] and the covariance (B, B) of E."""


def _averaged(moments: Moments, covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Equal weights, equal gains.

    Tu et al., "A new look at IHS-like image fusion methods", Information Fusion 2001, eq. 9.
    """
    ones = torch.ones(len(covariance), dtype=torch.float64)
    return ones / len(ones), ones


def _principal(moments: Moments, covariance: Tensor) -> tuple[Tensor, Tensor]:
    """The first principal component, turned so that it grows with pan.

    Shettigara, "A generalized component substitution technique ...", PE&RS 1992. An eigenvector has no
    sign; without the turn a scene dominated by vegetation may be injected with inverted detail.
    """
    axis = torch.linalg.eigh(covariance)[1][:, -1]
    with_pan = axis @ moments.covariance[: len(axis), len(axis)]
    axis = -axis if with_pan < 0 else axis
    return axis, axis


def _orthogonal(moments: Moments, covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Equal weights; gains from the regression of each band on the intensity.

    Laben and Brower, US patent 6011875, 2000, in the form of Aiazzi et al., IEEE TGRS 2007, eq. 12.
    """
    weights, _ = _averaged(moments, covariance)
    return weights, regression_gains(weights, covariance)


def regression_gains(weights: Tensor, covariance: Tensor) -> Tensor:
    """g_b = cov(I, E_b) / var(I) for I = sum w E; zero where I is constant."""
    with_bands = covariance @ weights
    return ratio_or_zero(with_bands, weights @ with_bands)


def _matched(moments: Moments, estimate: Estimate) -> Substitution:
    bands = len(moments.mean) - 2
    covariance = moments.covariance[:bands, :bands]
    weights, gains = estimate(moments, covariance)
    spread = (weights @ covariance @ weights).clamp_min(0).sqrt()
    scale = float(ratio_or_zero(spread, moments.std[bands + 1]))
    return Substitution(
        weights, gains, scale, float(moments.mean[bands]), float(weights @ moments.mean[:bands])
    )


def _bands_and_pan(image: TileImage) -> Tensor:
    return image.core_samples(image.upsampled, image.pan)


def _fit(scene: Scene, estimate: Estimate) -> Substitution:
    (moments,) = gather(scene, pan_grid_margin(scene.info), pan_grid_samples)
    return _matched(moments, estimate)


def _substitute(image: TileImage, state: Substitution) -> Tensor:
    detail = state.matched_pan(image) - state.intensity(image)
    return image.upsampled + state.gains.to(detail)[:, None, None] * detail


@dataclass(frozen=True, slots=True)
class ComponentSubstitution:
    """IHS, PCA and GS: weights and gains from the moments of the scene on the pan grid."""

    name: str
    contract: Contract
    estimate: Estimate

    def radius(self, info: PairInfo) -> int:
        """See :class:`pancli.methods.protocol.Method`: pointwise."""
        return 0

    def fit(self, scene: Scene) -> Substitution:
        """See :class:`pancli.methods.protocol.Method`."""
        return _fit(scene, self.estimate)

    def fuse(self, image: TileImage, state: Substitution) -> Tensor:
        """See :class:`pancli.methods.protocol.Method`."""
        return _substitute(image, state)


@dataclass(frozen=True, slots=True)
class Brovey:
    """F_b = E_b P^ / I, with I the mean of the bands; the factor stays in [0, 10].

    Gillespie et al., "Color enhancement of highly correlated images II", Remote Sensing of Environment 1987.
    """

    name: str
    contract: Contract

    def radius(self, info: PairInfo) -> int:
        """See :class:`pancli.methods.protocol.Method`: pointwise."""
        return 0

    def fit(self, scene: Scene) -> Substitution:
        """See :class:`pancli.methods.protocol.Method`."""
        return _fit(scene, _averaged)

    def fuse(self, image: TileImage, state: Substitution) -> Tensor:
        """See :class:`pancli.methods.protocol.Method`."""
        return image.upsampled * modulation(state.matched_pan(image), state.intensity(image))


@dataclass(frozen=True, slots=True)
class AdaptiveGramSchmidt:
    """GSA: the intensity is the regression of pan on the bands, made at ms resolution.

    Pan needs no matching: the regression made the intensity in its units. Aiazzi, Baronti, Selva, "Improving
    component substitution pansharpening through multivariate regression of MS + Pan data", IEEE TGRS 2007.
    """

    name: str
    contract: Contract

    def radius(self, info: PairInfo) -> int:
        """See :class:`pancli.methods.protocol.Method`: pointwise."""
        return 0

    def fit(self, scene: Scene) -> Substitution:
        """See :class:`pancli.methods.protocol.Method`."""
        info = scene.info
        bands = info.bands
        margin = ms_grid_margin(info, info.mean_gain)
        fine, coarse = gather(scene, margin, _bands_and_pan, ms_grid_samples)
        weights, _ = coarse.regress(bands, list(range(bands)))
        gains = regression_gains(weights, fine.covariance[:bands, :bands])
        mean = float(weights @ fine.mean[:bands])
        return Substitution(weights, gains, 1.0, float(fine.mean[bands]), mean)

    def fuse(self, image: TileImage, state: Substitution) -> Tensor:
        """See :class:`pancli.methods.protocol.Method`."""
        return _substitute(image, state)


IHS = ComponentSubstitution(
    "ihs",
    Contract(
        summary="very sharp and fast, any number of bands; colours shift where pan and bands differ",
        source="Tu et al., A new look at IHS-like image fusion methods, Information Fusion 2001",
    ),
    _averaged,
)
PCA = ComponentSubstitution(
    "pca",
    Contract(
        summary="sharp where the bands vary together; colours shift where they do not",
        source="Shettigara, A generalized component substitution technique, PE&RS 1992",
    ),
    _principal,
)
GRAM_SCHMIDT = ComponentSubstitution(
    "gs",
    Contract(
        summary="as ihs, with detail scaled to each band: milder colour shifts",
        source="Laben and Brower, US patent 6011875, 2000",
    ),
    _orthogonal,
)
BROVEY = Brovey(
    "brovey",
    Contract(
        summary="keeps the ratios between bands; fast, for display; brightness follows pan",
        source="Gillespie et al., Color enhancement of highly correlated images II, RSE 1987",
    ),
)
GSA = AdaptiveGramSchmidt(
    "gsa",
    Contract(
        summary="the classical method to start with: sharp, true to colour where bands span pan's range",
        source="Aiazzi, Baronti, Selva, Improving component substitution pansharpening, IEEE TGRS 2007",
    ),
)

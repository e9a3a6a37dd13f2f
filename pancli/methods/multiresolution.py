"""Multiresolution analysis: the detail of pan that ms cannot show is added to ms, or multiplies it.

Adding: F_b = E_b + P^_b - low(P^_b). Multiplying: F_b = E_b P^_b / low(P^_b), which is adding with the gain
E_b / low(P^_b); that gain is kept in [0, 3], and is 1 where low(P^_b) is not positive, or else dark pixels,
where a matched pan passes through zero, turn into speckle.
P^_b = (P - mean P) std(E_b) / std(P_low) + mean E_b is pan matched to the band, with P_low the pan at ms
resolution (the spreads of two images compare only at equal resolution; the older toolboxes divide by
std(P), which weakens the detail). The methods differ in the low-pass filter. Vivone et al., "A critical
comparison among pansharpening algorithms", IEEE TGRS 2015, eq. 3 to 5 and table II.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pancli.methods.arithmetic import injection_gain, ratio_or_zero
from pancli.methods.filters import Blur, Box, BSpline, SensorMtf
from pancli.methods.protocol import Contract, PairInfo, Scene, TileImage
from pancli.methods.statistics import gather, pan_grid_margin, pan_grid_samples


@dataclass(frozen=True, slots=True)
class BandMatch:
    """What is global in P^_b = scale_b (P - pan_mean) + mean_b.

    Attributes:
        scale: (B, 1, 1).
        mean: (B, 1, 1), the bands' means.
        pan_mean: mean P.
    """

    scale: Tensor
    mean: Tensor
    pan_mean: float

    def apply(self, pan: Tensor) -> Tensor:
        """(B, H, W): pan (1 or B, H, W) in the units of each band."""
        return self.scale.to(pan) * (pan - self.pan_mean) + self.mean.to(pan)


@dataclass(frozen=True, slots=True)
class Multiresolution:
    """Pan's detail against a low-pass filter of pan, injected into every band.

    Attributes:
        name: As given to ``--method``.
        contract: See :class:`pancli.methods.protocol.Contract`.
        blur: The low-pass filter.
        multiplies: Whether detail multiplies the band; else it is added.
    """

    name: str
    contract: Contract
    blur: Blur
    multiplies: bool = False

    def radius(self, info: PairInfo) -> int:
        """See :class:`pancli.methods.protocol.Method`."""
        return self.blur.radius(info)

    def fit(self, scene: Scene) -> BandMatch:
        """See :class:`pancli.methods.protocol.Method`."""
        bands = scene.info.bands
        (moments,) = gather(scene, pan_grid_margin(scene.info), pan_grid_samples)
        scale = ratio_or_zero(moments.std[:bands], moments.std[bands + 1])
        return BandMatch(scale[:, None, None], moments.mean[:bands, None, None], float(moments.mean[bands]))

    def fuse(self, image: TileImage, state: BandMatch) -> Tensor:
        """See :class:`pancli.methods.protocol.Method`."""
        low = self.blur.apply(image)
        detail = state.scale.to(low) * (image.pan - low)
        if not self.multiplies:
            return image.upsampled + detail
        fused = image.upsampled + injection_gain(image.upsampled, state.apply(low)) * detail
        return torch.maximum(fused, image.upsampled.clamp_max(0))  # a factor never turns a band negative


SFIM = Multiresolution(
    "sfim",
    Contract(
        summary="modest sharpening that keeps the colours of ms; halos at strong edges",
        source="Liu, Smoothing filter-based intensity modulation, IJRS 2000",
    ),
    Box(),
    multiplies=True,
)
HPF = Multiresolution(
    "hpf",
    Contract(
        summary="modest sharpening by a box filter; robust, keeps the colours of ms",
        source="Chavez, Sides, Anderson, Comparison of three different methods to merge data, PE&RS 1991",
    ),
    Box(),
)
WAVELET = Multiresolution(
    "wavelet",
    Contract(
        summary="additive a-trous wavelet: keeps the colours of ms, no knowledge of the sensor needed",
        source="Nunez et al., Image fusion with additive multiresolution wavelet decomposition, TGRS 1999",
    ),
    BSpline(),
)
MTF_GLP = Multiresolution(
    "mtf-glp",
    Contract(
        summary="faithful to ms: adds only what the sensor's MTF removed; give --sensor for best results",
        source="Aiazzi et al., MTF-tailored multiscale fusion of high-resolution MS and Pan, PE&RS 2006",
    ),
    SensorMtf(),
)
MTF_GLP_HPM = Multiresolution(
    "mtf-glp-hpm",
    Contract(
        summary="mtf-glp with detail in proportion to brightness: better contrast in shadow and vegetation",
        source="Aiazzi et al., An MTF-based spectral distortion minimizing model for pan-sharpening, 2003",
    ),
    SensorMtf(),
    multiplies=True,
)

"""Band-set networks: the same weights for every band, so any bands in any order, and physics as a start.

The form is pancli's own. What is injected into a band is a mixture, predicted per pixel, of four details
of pan that are known to be good starts, plus a correction: pan's detail against its own low-pass, as it is
in the network's units (MTF-GLP-CBD; Alparone et al., IEEE TGRS 2007), in proportion to the band's brightness
(MTF-GLP-HPM; Aiazzi et al., 2003), by the local regression of the band on pan at ms resolution (as the guided
filter of He et al., IEEE TPAMI 2013, does), and against the bands' own intensity (GSA; Aiazzi et al., IEEE
TGRS 2007). Bands learn of each other through means over bands (Zaheer et al., "Deep sets", NIPS
2017), and of the scene as a whole through means over its pixels, which scale and shift all features (FiLM;
Perez et al., AAAI 2018): so that less can be injected where pan and ms do not agree.

Most is computed at half of pan's resolution, where 2 x 2 pixels are channels.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, leaky_relu, pixel_shuffle, pixel_unshuffle

from pancli.networks.protocol import Inputs, Mean, Network, Outcome, Steps, Traits

_LEAK = 0.1  # without it, all features before the head once died in the first steps, and stayed dead
_BOX = 7  # side of the local regressions' windows, pixels of half resolution
_NOISE = 0.02  # variance of pan below which a local regression becomes the scene's own
_SLOPES = (-2.0, 4.0)  # between which local slopes are kept
_FACTORS = (0.0, 3.0)  # between which a band's relative brightness is kept
_OWN, _SHARED, _DETAILS = 12, 7, 4  # channels of a band, of pan; details that are mixed


class Bands(nn.Module):
    """A residual block that works on every band alike, and on their mean."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.mean = nn.Conv2d(width, width, 1, bias=False)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor, bands: int) -> Tensor:
        """(N B, n, h, w) to the same shape."""
        common = self.mean(_by_image(x, bands).mean(1))
        inner = leaky_relu(_over_bands(self.first(x), common, bands), _LEAK)
        out: Tensor = x + self.second(inner)
        return out


class BandSet(Network):
    """The fast one; its feature is the last one.

    Args:
        bands: How many it is trained with; it takes any number.
        nominal_pixels: Not used: it has no sums.
    """

    TRAITS: ClassVar[Traits] = Traits(
        summary="any bands in any order, mixes four classical details per pixel and corrects them",
        paper="none: pancli's own, see pancli/networks/bandset.py",
        reconstruction="",
        halo=24,
        stages=(12,),
        align=2,
        workspace=60,
        any_bands=True,
        physics=True,
    )
    WIDTH: ClassVar[int] = 32
    DEPTH: ClassVar[int] = 3

    def __init__(self, bands: int = 4, nominal_pixels: int = 128 * 128) -> None:
        super().__init__(bands, nominal_pixels)
        width = self.WIDTH
        self.own = nn.Conv2d(_OWN, width, 3, padding=1)
        self.shared = nn.Conv2d(_SHARED, width, 3, padding=1, bias=False)
        self.blocks = nn.ModuleList(Bands(width) for _ in range(self.DEPTH))
        self.context = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, 2 * width))
        self.head = nn.Conv2d(width, _DETAILS + 4, 3, padding=1)

    @torch.no_grad()
    def start_near_interpolation(self) -> None:
        """Begin as the mean of the details, a little damped."""
        self.head.weight.mul_(0.1)
        self.head.bias.zero_()  # type: ignore[union-attr]
        self.head.bias[:_DETAILS] = 0.225  # type: ignore[index]
        for parameter in self.context[-1].parameters():
            parameter.mul_(0.1)

    def steps(self, inputs: Inputs) -> Steps:
        """See :class:`pancli.networks.protocol.Network`: means of the first block's features."""
        count = inputs.bms.shape[1]
        details, own, shared = _seen(inputs)
        x = leaky_relu(_over_bands(self.own(own), self.shared(shared), count), _LEAK)
        x = self.blocks[0](x, count)
        (means,) = yield (Mean(_by_image(leaky_relu(x, _LEAK), count).flatten(1, 2)),)
        x = self._adapt(x, means.reshape(means.shape[0], count, -1))
        for block in self.blocks[1:]:
            x = block(x, count)
        mixture, correction = self.head(leaky_relu(x, _LEAK)).split((_DETAILS, 4), 1)
        shares = interpolate(mixture, scale_factor=2, mode="bilinear", align_corners=False)
        residual = (shares * details).sum(1) + pixel_shuffle(correction, 2)[:, 0]
        return Outcome(_by_image(residual, count), (x,))

    def _adapt(self, x: Tensor, means: Tensor) -> Tensor:
        """Scale and shift features (N B, n, h, w) by what the scene is like, (N or 1, B, n)."""
        common = means.mean(1, keepdim=True).expand_as(means)
        scale, shift = self.context(torch.cat((means, common), 2))[..., None, None].chunk(2, 2)
        bands = _by_image(x, means.shape[1])
        adapted: Tensor = bands * (1 + scale) + shift
        return adapted.flatten(0, 1)


class BandSetLarge(BandSet):
    """The accurate one."""

    TRAITS: ClassVar[Traits] = replace(
        BandSet.TRAITS,
        summary="bandset with half a million parameters: better and slower",
        halo=36,
        workspace=90,
    )
    WIDTH: ClassVar[int] = 64
    DEPTH: ClassVar[int] = 6


def _by_image(x: Tensor, bands: int) -> Tensor:
    """(N B, ...) as (N, B, ...)."""
    return x.reshape(-1, bands, *x.shape[1:])


def _over_bands(x: Tensor, common: Tensor, bands: int) -> Tensor:
    """Add to every band of (N B, n, h, w) what all have in common, (N, n, h, w)."""
    return (_by_image(x, bands) + common[:, None]).flatten(0, 1)


def _seen(inputs: Inputs) -> tuple[Tensor, Tensor, Tensor]:
    """The details (N B, 4, H, W), and what the first layers see of bands and of pan at half resolution."""
    bms, pan, low, intensity = inputs.bms, inputs.pan, inputs.low, inputs.intensity
    correlation, origin = inputs.correlation, inputs.origin
    if low is None or intensity is None or correlation is None or origin is None:
        raise ValueError("these inputs are of a network that does not see physics")
    strength, origin = correlation[..., None, None], origin[..., None, None]
    detail = pan - low
    below = low + origin
    factor = torch.where(below > 0, (bms * strength + origin) / below.clamp_min(1e-3), 1.0).clamp(*_FACTORS)
    slope, agreement, spread = _local_regression(avg_pool2d(bms, 2), avg_pool2d(low, 2))
    smooth = interpolate(slope, scale_factor=2, mode="bilinear", align_corners=False)
    bright, local = factor * detail, smooth * detail
    substituted = pan - intensity
    details = torch.stack([part.expand_as(bms) for part in (detail, bright, local, substituted)], 2)
    planes = (slope, agreement, avg_pool2d(factor, 2), strength.expand_as(slope))
    fine = [pixel_unshuffle(image.flatten(0, 1)[:, None], 2) for image in (bms, bright)]
    own = torch.cat((*fine, torch.stack(planes, 2).flatten(0, 1)), 1)
    unexplained = avg_pool2d(low - intensity, 2)
    shared = torch.cat((pixel_unshuffle(detail, 2), avg_pool2d(low, 2), unexplained, spread.sqrt()), 1)
    layout = torch.channels_last
    return (
        details.flatten(0, 1),
        own.contiguous(memory_format=layout),
        shared.contiguous(memory_format=layout),
    )


def _local_regression(bms: Tensor, low: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of bands (N, B, h, w) on pan at ms resolution (N, 1, h, w) in boxes.

    Returns:
        Slopes and correlations (N, B, h, w), and pan's variance (N, 1, h, w). A slope is drawn towards 1,
        which is the scene's own in these units, where pan hardly varies.
    """

    def mean(image: Tensor) -> Tensor:
        return avg_pool2d(image, _BOX, 1, _BOX // 2, count_include_pad=False)

    band, pan = mean(bms), mean(low)
    covariance = mean(bms * low) - band * pan
    spread = (mean(low * low) - pan * pan).clamp_min(0)
    own = (mean(bms * bms) - band * band).clamp_min(0)
    slope = ((covariance + _NOISE) / (spread + _NOISE)).clamp(*_SLOPES)
    return slope, covariance / ((spread + _NOISE) * (own + _NOISE)).sqrt(), spread

"""The units networks see a scene in: band b is (E_b - mean_b) / (r_b std_b), pan is (P - mean) / std.

r_b is the band's correlation with pan on the ms grid. In these *detail units* the detail of pan is, to first
order, what every band lacks, whatever the sensor, the bit depth and the band's contrast.

Bands that go in together do so by falling correlation with pan, so that their order of delivery does not
matter. It decides which these are where there are more than a network takes: neighbours are left together,
since groups by correlation come no nearer to the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pancli.methods.moments import Moments

_LEAST_CORRELATION = 0.25  # a band pan says less about is not magnified further


@dataclass(frozen=True)
class Units:
    """Detail units of a scene; see the module.

    Attributes:
        mean: (B,), of the bands.
        scale: (B,), what one unit is; never zero.
        correlation: (B,), of the bands with pan.
        mixture: (B,), weights by which bands in units, added up, come nearest to pan in units: what pan would
            be if it were the intensity of ms (Aiazzi et al., "Improving component substitution pansharpening
            through multivariate regression of MS + Pan data", IEEE TGRS 2007).
        pan_mean: Of pan, on the ms grid.
        pan_std: The same; never zero.
    """

    mean: Tensor
    scale: Tensor
    correlation: Tensor
    mixture: Tensor
    pan_mean: float
    pan_std: float

    @classmethod
    def of(cls, moments: Moments) -> Units:
        """From the moments of the bands and, last, of pan, on the ms grid.

        A constant band or pan gets a unit so large that nothing is seen of it and nothing added to it.
        """
        covariance = moments.covariance
        std = covariance.diagonal().clamp_min(0).sqrt()
        floor = 1e-6 * moments.mean.abs() + 1e-12
        flat = std <= floor
        safe = torch.where(flat, torch.ones_like(std), std)
        correlation = covariance[:-1, -1] / (safe[:-1] * safe[-1])
        sign = torch.where(correlation < 0, -1.0, 1.0)
        scale = sign * safe[:-1] * correlation.abs().clamp(_LEAST_CORRELATION, 1)
        scale = torch.where(flat[:-1] | flat[-1], torch.full_like(scale, torch.inf), scale)
        weights, _ = moments.regress(len(flat) - 1, list(range(len(flat) - 1)))
        mixture = torch.where(scale.isinf(), 0.0, weights * scale / safe[-1])
        return cls(
            moments.mean[:-1].float(),
            scale.float(),
            correlation.float(),
            mixture.float(),
            float(moments.mean[-1]),
            torch.inf if bool(flat[-1]) else float(std[-1]),
        )

    def ordered(self, group: Sequence[int]) -> tuple[int, ...]:
        """A group of bands by falling correlation with pan; equal ones keep their order."""
        return tuple(sorted(group, key=lambda band: -float(self.correlation[band].abs())))

    def weight(self) -> Tensor:
        """(B,), units per standard deviation of a band; zero for a constant one."""
        return torch.where(self.scale.isinf(), 0.0, self.correlation.abs().clamp(_LEAST_CORRELATION, 1))

    def origin(self) -> Tensor:
        """(B,), how far digital number zero lies below a band's mean, in standard deviations.

        Its sign is that of the band's correlation with pan; zero for a constant band.
        """
        return self.mean / self.scale * self.weight()

    def of_bands(self, bands: Tensor) -> Tensor:
        """Bands (B, H, W) in units."""
        mean, scale = self.mean.to(bands)[:, None, None], self.scale.to(bands)[:, None, None]
        return (bands - mean) / scale

    def intensity(self, bands: Tensor) -> Tensor:
        """Bands (B, H, W) in units as the pan (1, H, W) in units that they explain."""
        return torch.einsum("b,bhw->hw", self.mixture.to(bands), bands)[None]

    def of_pan(self, pan: Tensor) -> Tensor:
        """Pan (1, H, W) in units."""
        return (pan - self.pan_mean) / self.pan_std

    def detail(self, residual: Tensor) -> Tensor:
        """What a residual (B, H, W) in units is in digital numbers; zero for a constant band."""
        scale = torch.where(self.scale.isinf(), torch.zeros_like(self.scale), self.scale)
        return residual * scale.to(residual)[:, None, None]


def band_groups(bands: int, width: int) -> tuple[tuple[int, ...], ...]:
    """Which bands go through the network together: ``width`` at a time, neighbours as they are counted.

    The last group takes the last ``width`` bands; fewer bands than that are repeated in turn.

    >>> band_groups(10, 4)
    ((0, 1, 2, 3), (4, 5, 6, 7), (6, 7, 8, 9))
    >>> band_groups(3, 4)
    ((0, 1, 2, 0),)
    """
    if bands < width:
        return (tuple(i % bands for i in range(width)),)
    starts = [*range(0, bands - width + 1, width)]
    if starts[-1] + width < bands:
        starts.append(bands - width)
    return tuple(tuple(range(start, start + width)) for start in starts)


def scene_groups(units: Units, bands: int, width: int) -> tuple[tuple[int, ...], ...]:
    """:func:`band_groups` of a scene, each as a network sees it.

    Fewer bands than it takes are counted by falling correlation, so that it is always the same ones that are
    repeated; others as they are delivered.
    """
    counted = units.ordered(range(bands)) if bands < width else range(bands)
    return tuple(units.ordered([counted[i] for i in group]) for group in band_groups(bands, width))

"""MSINN: a multi-scale invertible network, and the same with two refinement units after it.

Zhou, Huang, Fu, Zhao and Hong, "Effective pan-sharpening by multiscale invertible neural network and
heterogeneous task distilling", IEEE TGRS 2022, doi 10.1109/TGRS.2022.3199210.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from pancli.networks.bicubic import enlarge, shrink
from pancli.networks.invertible import Dense, InvBlock, Refine, TrackedMean
from pancli.networks.protocol import DirectNetwork, Inputs, Outcome, Traits

RATIO = 4  # of the refinement units
_WIDTH = 8  # channels of the released network
_HIDDEN = 8  # channels inside a refinement unit
_SCALES = (1, 2, 4)


class MultiScale(nn.Module):
    """One invertible block, applied to a map as it is, halved and quartered; then all three merged."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.block = InvBlock(width, Dense(scales=len(_SCALES)))
        self.merge = nn.Conv2d(len(_SCALES) * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, H, W) to the same shape; H and W are multiples of 4."""
        maps = [self.block(x)]
        for scale, factor in enumerate(_SCALES[1:], start=1):
            small = interpolate(x, scale_factor=1 / factor, mode="bilinear", align_corners=False)
            small = self.block(small, scale)
            maps.append(interpolate(small, scale_factor=factor, mode="bilinear", align_corners=False))
        merged: Tensor = self.merge(torch.cat(maps, 1))
        return merged


class Extract(nn.Module):
    """Three multi-scale blocks with skips: from f_in to f_mid, (N, width, H, W) both."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scales1 = MultiScale(width)
        self.scales2 = MultiScale(width)
        self.scales3 = MultiScale(width)
        self.merge = nn.Conv2d(2 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        second = self.scales2(self.scales1(x) + x)
        third = self.scales3(second + x)
        merged: Tensor = self.merge(torch.cat((second, third), 1))
        return merged


def _initialise(network: nn.Module) -> None:
    """As the released network is."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class MSINN(DirectNetwork):
    """The student; 75,978 parameters at 4 bands. Its features are those before and after ``extract``.

    Args:
        bands: ms bands.
        nominal_pixels: Not used: nothing is global.
        width: Of the features, a multiple of 8. The released network has 8; 16 and 32 occur.
    """

    TRAITS: ClassVar[Traits] = Traits(
        summary="multi-scale invertible network",
        paper='Zhou et al., "Effective pan-sharpening by multiscale invertible neural network and '
        'heterogeneous task distilling", IEEE TGRS 2022',
        reconstruction="layers as released; ours are the half-pixel grid of what is resampled, and "
        "normalisation and channel attention by statistics tracked in training (one set per scale) where "
        "the paper takes each image's own. Which features are imitated is inferred",
        halo=110,
        align=4,
        workspace=160,
    )

    def __init__(self, bands: int = 4, nominal_pixels: int = 128 * 128, width: int = _WIDTH) -> None:
        super().__init__(bands, nominal_pixels)
        self.of_pan = nn.Conv2d(1, width // 2, 1)
        self.of_ms = nn.Conv2d(bands, width // 2, 1)
        self.extract = Extract(width)
        self.refine = Refine(width, bands, TrackedMean(width))
        _initialise(self)

    @torch.no_grad()
    def start_near_interpolation(self) -> None:
        """See :class:`pancli.networks.protocol.Network`."""
        self.refine.out.weight.mul_(0.1)

    def fuse(self, inputs: Inputs) -> Outcome:
        """See :class:`pancli.networks.protocol.DirectNetwork`."""
        start = torch.cat((self.of_pan(inputs.pan), self.of_ms(inputs.bms)), 1)
        middle = self.extract(start)
        return Outcome(self.refine(middle), (start, middle))


def _pair(kernel: int, inner: int, outer: int) -> nn.Sequential:
    """Two convolutions around a ReLU, without biases."""
    padding = kernel // 2
    return nn.Sequential(
        nn.Conv2d(inner, _HIDDEN, kernel, padding=padding, bias=False),
        nn.ReLU(),
        nn.Conv2d(_HIDDEN, outer, kernel, padding=padding, bias=False),
    )


class ImagingUnit(nn.Module):
    """Corrects bands by what a learnt camera would see of them: pan by their mixture, ms by their blur."""

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.mix = _pair(1, bands, 1)
        self.unmix = _pair(1, 1, bands)
        self.blur = _pair(3, bands, bands)
        self.unblur = _pair(3, bands, bands)
        self.proximal = nn.Conv2d(bands, _HIDDEN, 3, padding=1, bias=False)
        self.out = nn.Conv2d(_HIDDEN, bands, 3, padding=1, bias=False)

    def forward(self, fused: Tensor, pan: Tensor, lrms: Tensor) -> Tensor:
        """What is to be added to ``fused`` (N, B, H, W), given pan (N, 1, H, W) and ms (N, B, H/4, W/4)."""
        spectral = self.unmix(pan - self.mix(fused))
        spatial = enlarge(self.unblur(lrms - shrink(self.blur(fused), RATIO)), RATIO)
        correction: Tensor = self.out(torch.relu(self.proximal(fused + spectral + spatial)))
        return correction


class MSINNRefined(MSINN):
    """MSINN with two refinement units from the imaging model; 79,594 parameters at 4 bands."""

    TRAITS: ClassVar[Traits] = replace(
        MSINN.TRAITS,
        summary="multi-scale invertible network with refinement by the imaging model",
        reconstruction=f"{MSINN.TRAITS.reconstruction}. The released classes with refinement cannot be "
        "built; here both units see ms at its own resolution, and upsampled ms is added once",
        halo=150,
        ratio=RATIO,
    )

    def __init__(self, bands: int = 4, nominal_pixels: int = 128 * 128, width: int = _WIDTH) -> None:
        super().__init__(bands, nominal_pixels, width)
        self.unit1 = ImagingUnit(bands)
        self.unit2 = ImagingUnit(bands)
        for unit in (self.unit1, self.unit2):
            _initialise(unit)

    @torch.no_grad()
    def start_near_interpolation(self) -> None:
        """See :class:`pancli.networks.protocol.Network`."""
        super().start_near_interpolation()
        for unit in (self.unit1, self.unit2):
            unit.out.weight.mul_(0.1)

    def fuse(self, inputs: Inputs) -> Outcome:
        """See :class:`pancli.networks.protocol.Network`."""
        outcome = super().fuse(inputs)
        residual = outcome.residual
        for unit in (self.unit1, self.unit2):
            residual = residual + unit(inputs.bms + residual, inputs.pan, inputs.lrms)
        return outcome._replace(residual=residual)

"""SSML: a network for spectra and one for shapes, which learn from each other in training.

Peng, Fu, Peng, Ma, Liu and Wang, "SSML: spectral-spatial mutual-learning-based framework for hyperspectral
pansharpening", Remote Sensing 14(18) 4682, 2022, doi 10.3390/rs14184682. Openly known is the idea: two
networks, one for either kind of feature, and devices such as spectral attention. All layers are ours.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from pancli.networks.attention import ChannelGate, PixelGate
from pancli.networks.protocol import (
    DirectNetwork,
    Inputs,
    Mean,
    Network,
    Outcome,
    Steps,
    Traits,
    UnitSteps,
    damp,
)

_BLOCKS = 4
_SPECTRAL_WIDTH = 128
_SPATIAL_WIDTH = 64
_PAPER = (
    'after Peng et al., "SSML: spectral-spatial mutual-learning-based framework for hyperspectral '
    'pansharpening", Remote Sensing 2022'
)


class SpectralBlock(nn.Module):
    """Two 1x1 convolutions, a gate per channel from the mean of the image, and the input (SeAB)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 1)
        self.conv2 = nn.Conv2d(width, width, 1)
        self.gate = ChannelGate(width, width // 8)

    def steps(self, x: Tensor) -> UnitSteps:
        """Yield the mean of the convolutions, be sent its value, return the features."""
        deep = self.conv2(torch.relu(self.conv1(x)))
        (mean,) = yield (Mean(deep),)
        attended: Tensor = x + self.gate(mean) * deep
        return attended


class SpatialBlock(nn.Module):
    """Two 3x3 convolutions, a gate per pixel, and the input (SaAB)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.gate = PixelGate("zeros")

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, H, W) to the same shape."""
        deep = self.conv2(torch.relu(self.conv1(x)))
        attended: Tensor = x + self.gate(deep) * deep
        return attended


class SSMLSpectral(Network):
    """Sees one pixel at a time, and four means of the image; 175,526 parameters at 102 bands.

    Args:
        bands: ms bands; hundreds are what it is for.
        nominal_pixels: Unused: means do not grow with the image.
    """

    TRAITS: ClassVar[Traits] = Traits(
        reconstructed=True,
        summary="1x1 convolutions with spectral attention, for many bands",
        paper=_PAPER,
        reconstruction="a reconstruction: layers and widths are ours, since the paper's are not openly "
        "known; the means in its attention are the scene's",
        halo=0,
        stages=(0,) * _BLOCKS,
        workspace=650,
    )

    def __init__(self, bands: int = 4, nominal_pixels: int = 128 * 128) -> None:
        super().__init__(bands, nominal_pixels)
        self.head = nn.Conv2d(bands + 1, _SPECTRAL_WIDTH, 1)
        self.blocks = nn.ModuleList(SpectralBlock(_SPECTRAL_WIDTH) for _ in range(_BLOCKS))
        self.last = nn.Conv2d(_SPECTRAL_WIDTH, bands, 1)

    def start_near_interpolation(self) -> None:
        """See :class:`pancli.networks.protocol.Network`."""
        damp(self.last)

    def steps(self, inputs: Inputs) -> Steps:
        """See :class:`pancli.networks.protocol.Network`: the mean in each block."""
        shallow = torch.relu(self.head(torch.cat((inputs.bms, inputs.pan), 1)))
        deep = shallow
        for block in self.blocks:
            assert isinstance(block, SpectralBlock)
            deep = yield from block.steps(deep)
        return Outcome(self.last(deep + shallow))


class SSMLSpatial(DirectNetwork):
    """Sees neighbourhoods; 414,066 parameters at 102 bands.

    Args:
        bands: ms bands; hundreds are what it is for.
        nominal_pixels: Unused: the network has no statistics.
    """

    TRAITS: ClassVar[Traits] = Traits(
        reconstructed=True,
        summary="3x3 convolutions with spatial attention, for many bands",
        paper=_PAPER,
        reconstruction="a reconstruction: layers and widths are ours, since the paper's are not openly known",
        halo=22,
        workspace=330,
    )

    def __init__(self, bands: int = 4, nominal_pixels: int = 128 * 128) -> None:
        super().__init__(bands, nominal_pixels)
        self.head = nn.Conv2d(bands + 1, _SPATIAL_WIDTH, 3, padding=1)
        self.blocks = nn.Sequential(*(SpatialBlock(_SPATIAL_WIDTH) for _ in range(_BLOCKS)))
        self.last = nn.Conv2d(_SPATIAL_WIDTH, bands, 3, padding=1)

    def start_near_interpolation(self) -> None:
        """See :class:`pancli.networks.protocol.Network`."""
        damp(self.last)

    def fuse(self, inputs: Inputs) -> Outcome:
        """See :class:`pancli.networks.protocol.DirectNetwork`."""
        shallow = torch.relu(self.head(torch.cat((inputs.bms, inputs.pan), 1)))
        return Outcome(self.last(self.blocks(shallow) + shallow))

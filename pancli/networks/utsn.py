"""UTSN: a densely connected network that adds detail to pan, and a small one that then corrects colours.

Sheng, Zhang, Sun, Tan, Zhang and Bruzzone, "A unified two-stage spatial and spectral network with few-shot
learning for pansharpening", IEEE TGRS 2023, doi 10.1109/TGRS.2023.3281602. The sizes are those of the
authors' variant of six dense layers.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from pancli.networks.attention import ChannelGate
from pancli.networks.protocol import Inputs, Mean, Network, Outcome, Steps, Traits, UnitSteps
from pancli.networks.ranges import from_unit_range, to_unit_range

_WIDTH = 32
_LAYERS = 6


class SpatialNet(nn.Module):
    """Spatial enhancement: dense layers, each with what one more layer over pan adds to those before."""

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.head = nn.Conv2d(bands + 1, _WIDTH, 3, padding=1)
        self.dense = nn.ModuleList(nn.Conv2d(_WIDTH * (i + 1), _WIDTH, 3, padding=1) for i in range(_LAYERS))
        self.pan = nn.ModuleList(nn.Conv2d(_WIDTH if i else 1, _WIDTH, 3, padding=1) for i in range(_LAYERS))
        self.merge = nn.Conv2d(_WIDTH * (_LAYERS + 1), _WIDTH, 5, padding=2)
        self.last = nn.Conv2d(_WIDTH, bands, 3, padding=1)

    def forward(self, bms: Tensor, pan: Tensor) -> Tensor:
        """(N, B, H, W) from bands and pan (N, 1, H, W), which is what the layers add to."""
        seen = torch.relu(self.head(torch.cat((bms, pan), 1)))
        feature, earlier = pan, torch.zeros_like(seen)
        for dense, over_pan in zip(self.dense, self.pan, strict=True):
            feature = torch.relu(over_pan(feature))
            layer = torch.relu(dense(seen)) + (feature - earlier)
            earlier = earlier + feature
            seen = torch.cat((seen, layer), 1)
        enhanced: Tensor = self.last(torch.relu(self.merge(seen))) + pan
        return enhanced


class SpectralNet(nn.Module):
    """Spectral adjustment: every band times a gain per pixel, never negative."""

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.head = nn.Conv2d(bands, _WIDTH, 3, padding=1)
        self.gate = ChannelGate(_WIDTH, _WIDTH // 2)
        self.gain = nn.Conv2d(_WIDTH, bands, 3, padding=1)
        assert self.gain.bias is not None
        # A band whose gain starts at zero everywhere would never learn.
        nn.init.ones_(self.gain.bias)

    def steps(self, x: Tensor) -> UnitSteps:
        """Yield the mean of the features, be sent its value, return the bands (N, B, H, W) adjusted."""
        deep = torch.relu(self.head(x))
        (mean,) = yield (Mean(deep),)
        adjusted: Tensor = x * torch.relu(self.gain(deep * self.gate(mean)))
        return adjusted


class UTSN(Network):
    """422,148 + 3,412 parameters at 4 bands.

    Args:
        bands: ms bands.
        nominal_pixels: Unused: means do not grow with the image.
    """

    TRAITS: ClassVar[Traits] = Traits(
        summary="dense network on pan, then a gain for every band and pixel",
        paper='Sheng et al., "A unified two-stage spatial and spectral network with few-shot learning for '
        'pansharpening", IEEE TGRS 2023',
        reconstruction="layers as published; the last one, which the published code builds but cannot "
        "call, is trained here and starts as a gain of one. Standardised inputs are brought near [0, 1] by "
        "a fixed map, and the mean in its channel attention is the scene's",
        halo=12,
        stages=(11,),
        workspace=540,
    )

    def __init__(self, bands: int = 4, nominal_pixels: int = 128 * 128) -> None:
        super().__init__(bands, nominal_pixels)
        self.spatial = SpatialNet(bands)
        self.spectral = SpectralNet(bands)

    def steps(self, inputs: Inputs) -> Steps:
        """See :class:`pancli.networks.protocol.Network`: what the spectral network asks of the image."""
        enhanced = self.spatial(to_unit_range(inputs.bms), to_unit_range(inputs.pan))
        adjusted = yield from self.spectral.steps(enhanced)
        return Outcome(from_unit_range(adjusted) - inputs.bms)

"""SFINet: every block fuses ms and pan pixel by pixel and frequency by frequency, and lets the two meet.

Zhou, Huang, Yan, Yu, Fu, Liu, Wei and Zhao, "Spatial-frequency domain information integration for
pan-sharpening", ECCV 2022, doi 10.1007/978-3-031-19797-0_16; width 32 (609,628 parameters).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from pancli.networks.attention import ChannelGate
from pancli.networks.invertible import Dense, ImageMean, InvBlock, Refine
from pancli.networks.protocol import DirectNetwork, Inputs, Outcome, Traits, damp

_WIDTH = 32
_BLOCKS = 5
_SLOPE = 0.1
_FLAT = 1e-8  # variance below which a map counts as constant


class FrequencyFusion(nn.Module):
    """Fuses the amplitudes and the phases of two maps over their whole extent."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.of_ms = nn.Conv2d(width, width, 1)
        self.of_pan = nn.Conv2d(width, width, 1)
        self.amplitude = self._fuse(width)
        self.phase = self._fuse(width)
        self.out = nn.Conv2d(width, width, 1)

    @staticmethod
    def _fuse(width: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(2 * width, width, 1), nn.LeakyReLU(_SLOPE), nn.Conv2d(width, width, 1))

    def forward(self, ms: Tensor, pan: Tensor) -> Tensor:
        """(N, width, H, W) each, to the same shape."""
        with torch.autocast(ms.device.type, enabled=False):  # half precision has no room for amplitudes
            # Zero is added because real frequencies may come with an imaginary part of -0: their phase is
            # then -pi on one machine and pi on another.
            seen = [
                torch.fft.rfft2(layer(image.float())) + 0
                for layer, image in ((self.of_ms, ms), (self.of_pan, pan))
            ]
            amplitude = self.amplitude(torch.cat([spectrum.abs() for spectrum in seen], 1))
            phase = self.phase(torch.cat([spectrum.angle() for spectrum in seen], 1))
            spectrum = torch.complex(amplitude * phase.cos(), amplitude * phase.sin())
            fused: Tensor = self.out(torch.fft.irfft2(spectrum, s=ms.shape[2:]).abs())
        return fused


class SpaFre(nn.Module):
    """Fuses features of ms and pan in space and in frequency, and adds what both agree on to those of ms."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pan = nn.Conv2d(width, width, 3, padding=1)
        self.pan_seen = nn.Conv2d(width, width, 1)
        self.invertible = InvBlock(2 * width, Dense(growth=8, kernel=3, bias=True))
        self.spatial = nn.Conv2d(2 * width, width, 1)
        self.frequency = FrequencyFusion(width)
        self.attention = nn.Sequential(
            nn.Conv2d(width, width // 2, 3, padding=1),
            nn.LeakyReLU(_SLOPE),
            nn.Conv2d(width // 2, width, 3, padding=1),
            nn.Sigmoid(),
        )
        self.gate = ChannelGate(2 * width, width // 2)
        self.merge = nn.Conv2d(2 * width, width, 3, padding=1)

    def forward(self, ms: Tensor, pan: Tensor) -> tuple[Tensor, Tensor]:
        """(N, width, H, W) of ms and of pan, to the same of both."""
        pan = self.pan(pan)
        seen = self.pan_seen(pan)
        spatial = self.spatial(self.invertible(torch.cat((ms, seen), 1)))
        frequency = self.frequency(ms, seen)
        spatial = spatial + self.attention(spatial - frequency) * frequency
        both = torch.cat((spatial, frequency), 1)
        return self.merge(both * self.gate(_contrast(both))) + ms, pan


def _contrast(image: Tensor) -> Tensor:
    """Mean plus standard deviation of every channel of (N, C, H, W): (N, C)."""
    variance, mean = torch.var_mean(image.float(), (2, 3), correction=0)
    return mean + variance.clamp_min(_FLAT).sqrt()


class SFINet(DirectNetwork):
    """609,628 parameters at 4 bands.

    Args:
        bands: ms bands.
        nominal_pixels: Unused: the network takes windows of one size.
    """

    TRAITS: ClassVar[Traits] = Traits(
        summary="fuses ms and pan in space and, over the whole window, in frequency",
        paper='Zhou et al., "Spatial-frequency domain information integration for pan-sharpening", ECCV 2022',
        reconstruction="layers as in the authors' code (a later comparison counts 0.2 % more parameters); "
        "ours is that scenes are fused in windows of the training size, blended, and the units of its inputs",
        halo=127,
        window=128,
        workspace=500,
    )

    def __init__(self, bands: int = 4, nominal_pixels: int = 128 * 128) -> None:
        super().__init__(bands, nominal_pixels)
        self.of_ms = nn.Conv2d(bands, _WIDTH, 3, padding=1)
        self.of_pan = nn.Conv2d(1, _WIDTH, 3, padding=1)
        self.blocks = nn.ModuleList(SpaFre(_WIDTH) for _ in range(_BLOCKS))
        self.merge = nn.Conv2d(_BLOCKS * _WIDTH, _WIDTH, 1)
        self.refine = Refine(_WIDTH, bands, ImageMean())

    def start_near_interpolation(self) -> None:
        """See :class:`pancli.networks.protocol.Network`."""
        damp(self.refine.out)

    def fuse(self, inputs: Inputs) -> Outcome:
        """See :class:`pancli.networks.protocol.DirectNetwork`."""
        ms, pan = self.of_ms(inputs.bms), self.of_pan(inputs.pan)
        deep = []
        for block in self.blocks:
            ms, pan = block(ms, pan)
            deep.append(ms)
        return Outcome(self.refine(self.merge(torch.cat(deep, 1))))

"""lambda-PNN: residual blocks between two convolutional block attention modules.

Ciotola, Poggi and Scarpa, "Unsupervised deep learning-based pansharpening with jointly enhanced spectral and
spatial fidelity", IEEE TGRS 2023, doi 10.1109/TGRS.2023.3299356.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from pancli.networks.attention import ChannelGate, PixelGate
from pancli.networks.protocol import Inputs, Maximum, Mean, Network, Outcome, Steps, Traits, UnitSteps, damp

_WIDTH = 64


def _conv(inner: int, outer: int, kernel: int) -> nn.Conv2d:
    return nn.Conv2d(inner, outer, kernel, padding=kernel // 2, padding_mode="reflect")


class Attention(nn.Module):
    """Gates channels, then pixels, and adds the input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.channels = ChannelGate(width, width // 4)
        self.pixels = PixelGate("reflect")

    def steps(self, x: Tensor) -> UnitSteps:
        """Yield the channels' mean and maximum, be sent their values, return the features."""
        mean, maximum = yield Mean(x), Maximum(x)
        gated = x * self.channels(mean, maximum)
        attended: Tensor = x + gated * self.pixels(gated)
        return attended


class ResidualBlock(nn.Module):
    """Convolution, GELU, convolution, and the input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = _conv(width, width, 3)
        self.conv2 = _conv(width, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, H, W) to the same shape."""
        deep: Tensor = self.conv2(gelu(self.conv1(x)))
        return x + deep


class LambdaPNN(Network):
    """198,442 parameters at 4 bands.

    Args:
        bands: ms bands.
        nominal_pixels: Unused: means and maxima do not grow with the image.
    """

    TRAITS: ClassVar[Traits] = Traits(
        summary="residual network with attention to channels and pixels",
        paper='Ciotola et al., "Unsupervised deep learning-based pansharpening with jointly enhanced '
        'spectral and spatial fidelity", IEEE TGRS 2023',
        reconstruction="layers as published (a later comparison counts 2.8 % more parameters); ours are "
        "scene-wide means and maxima for its channel attention, and the units of its inputs",
        halo=14,
        stages=(2, 9),
        # Not for phase: reflection of 3 pixels needs images of 4, whatever is left of a scene.
        align=4,
        workspace=450,
    )

    def __init__(self, bands: int = 4, nominal_pixels: int = 128 * 128) -> None:
        super().__init__(bands, nominal_pixels)
        self.head = _conv(bands + 1, _WIDTH, 3)
        self.conv = _conv(_WIDTH, _WIDTH, 3)
        self.attention1 = Attention(_WIDTH)
        self.blocks = nn.Sequential(ResidualBlock(_WIDTH), ResidualBlock(_WIDTH))
        self.attention2 = Attention(_WIDTH)
        self.last = _conv(_WIDTH, bands, 5)

    def start_near_interpolation(self) -> None:
        """See :class:`pancli.networks.protocol.Network`."""
        damp(self.last)

    def steps(self, inputs: Inputs) -> Steps:
        """See :class:`pancli.networks.protocol.Network`: what either attention asks of the image."""
        shallow = torch.relu(self.head(torch.cat((inputs.bms, inputs.pan), 1)))
        shallow = torch.relu(self.conv(shallow))
        deep = yield from self.attention1.steps(shallow)
        deep = yield from self.attention2.steps(self.blocks(deep))
        return Outcome(self.last(deep))

"""SRPPNN: ms enlarged twice by two, each time by super-resolution and then by injection of pan's detail.

Cai and Huang, "Super-resolution-guided progressive pansharpening based on a deep convolutional neural
network", IEEE TGRS 59(6), 2021, doi 10.1109/TGRS.2020.3015878. Its true size is 897,654 parameters; later
papers print counts that take the convolutions of its residual blocks twice.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from pancli.networks.bicubic import enlarge, shrink
from pancli.networks.protocol import DirectNetwork, Inputs, Outcome, Traits

_RATIO = 4
_WIDTH = 32
_BLOCKS = 11
_RESIDUAL_SCALE = 0.1


def _layer(inputs: int, outputs: int) -> nn.Sequential:
    """A convolution without bias and its PReLU."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.PReLU())


class ScaledBlock(nn.Module):
    """Two convolutions, one slope for both PReLUs, a tenth of which is added to what goes in."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1)
        self.second = nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1)
        self.activation = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(N, 32, H, W) to the same shape."""
        deep: Tensor = self.activation(self.second(self.activation(self.first(x))))
        return x + _RESIDUAL_SCALE * deep


class Stage(nn.Sequential):
    """From ``inputs`` maps to bands through residual blocks; ``doubling`` doubles rows and columns."""

    def __init__(self, inputs: int, bands: int, *, doubling: bool) -> None:
        layers: list[nn.Module] = [_layer(inputs, _WIDTH), *(ScaledBlock() for _ in range(_BLOCKS))]
        if doubling:
            layers += [nn.Conv2d(_WIDTH, 4 * _WIDTH, 3, padding=1), nn.PixelShuffle(2), nn.PReLU()]
        super().__init__(*layers, _layer(_WIDTH, bands))


def _detail(image: Tensor, factor: int) -> Tensor:
    """What an image loses when it is shrunk and enlarged again."""
    return image - enlarge(shrink(image, factor), factor)


class SRPPNN(DirectNetwork):
    """897,654 parameters at 4 bands.

    Args:
        bands: ms bands.
        nominal_pixels: Unused: the network has no statistics.
    """

    TRAITS: ClassVar[Traits] = Traits(
        summary="progressive super-resolution of ms, guided by pan at half and at full resolution",
        paper='Cai and Huang, "Super-resolution-guided progressive pansharpening based on a deep '
        'convolutional neural network", IEEE TGRS 2021',
        reconstruction="layers as in the code of later comparisons; ours is that its bicubic steps lie on "
        "the half-pixel grid",
        halo=222,
        align=_RATIO,
        ratio=_RATIO,
        workspace=150,
    )

    def __init__(self, bands: int = 4, nominal_pixels: int = 128 * 128) -> None:
        super().__init__(bands, nominal_pixels)
        self.enlarge_ms = Stage(bands, bands, doubling=True)
        self.inject_half = Stage(bands + 1, bands, doubling=False)
        self.enlarge_half = Stage(bands, bands, doubling=True)
        self.inject = Stage(bands + 1, bands, doubling=False)

    def fuse(self, inputs: Inputs) -> Outcome:
        """See :class:`pancli.networks.protocol.DirectNetwork`."""
        bms, pan, lrms = inputs[:3]
        assert lrms is not None  # the traits name a ratio
        half_pan, half_ms = shrink(pan, 2), enlarge(lrms, 2)
        half = self.enlarge_ms(lrms) + half_ms
        half = self.inject_half(torch.cat((half, half_pan), 1)) + half_ms + _detail(half_pan, 2)
        full = self.enlarge_half(half) + bms
        return Outcome(self.inject(torch.cat((full, pan), 1)) + _detail(pan, _RATIO))

"""MSDCNN: a shallow chain of convolutions and a deep one with three kernel sizes side by side, summed.

Yuan, Wei, Meng, Shen and Zhang, "A multiscale and multidepth convolutional neural network for remote sensing
imagery pan-sharpening", IEEE JSTARS 11(3), 2018, doi 10.1109/JSTARS.2018.2794888, in the form that later
papers compare with (239,004 parameters), which has a ReLU after every convolution; here all but the last of
either chain have one. Made for images in [0, 1], those would cut off values far below a band's mean, which
weakly correlated bands have many of in a network's units.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from pancli.networks.protocol import DirectNetwork, Inputs, Outcome, Traits
from pancli.networks.ranges import from_unit_range, to_unit_range


def _layer(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    """A convolution and its ReLU."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2), nn.ReLU())


def _last_layer(inputs: int, bands: int) -> nn.Conv2d:
    """A convolution of 5 x 5 pixels; the sum of two starts at mid range, a band's mean."""
    convolution = nn.Conv2d(inputs, bands, 5, padding=2)
    assert convolution.bias is not None
    nn.init.constant_(convolution.bias, 0.25)
    return convolution


class MultiScale(nn.Module):
    """Kernels of 3, 5 and 7 pixels, each with a third of the maps, added to what goes in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(_layer(width, width // 3, kernel) for kernel in (3, 5, 7))

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, H, W) to the same shape."""
        return torch.cat([scale(x) for scale in self.scales], 1) + x


class MSDCNN(DirectNetwork):
    """239,004 parameters at 4 bands.

    Args:
        bands: ms bands.
        nominal_pixels: Unused: the network has no statistics.
    """

    TRAITS: ClassVar[Traits] = Traits(
        summary="a shallow chain of convolutions and a deep one of three kernel sizes, summed",
        paper='Yuan et al., "A multiscale and multidepth convolutional neural network for remote sensing '
        'imagery pan-sharpening", IEEE JSTARS 2018',
        reconstruction="layers as in the code of later comparisons, without the last ReLUs, which would cut "
        "off what lies far below a band's mean: standardised inputs are brought near [0, 1] by a fixed map, "
        "not all into it",
        halo=12,
        workspace=190,
    )

    def __init__(self, bands: int = 4, nominal_pixels: int = 128 * 128) -> None:
        super().__init__(bands, nominal_pixels)
        self.deep = nn.Sequential(
            _layer(bands + 1, 60, 7),
            MultiScale(60),
            _layer(60, 30, 3),
            MultiScale(30),
            _last_layer(30, bands),
        )
        self.shallow = nn.Sequential(_layer(bands + 1, 64, 9), _layer(64, 32, 5), _last_layer(32, bands))

    def fuse(self, inputs: Inputs) -> Outcome:
        """See :class:`pancli.networks.protocol.DirectNetwork`."""
        seen = to_unit_range(torch.cat((inputs.bms, inputs.pan), 1))
        return Outcome(from_unit_range(self.deep(seen) + self.shallow(seen)) - inputs.bms)

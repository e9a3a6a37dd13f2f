"""PNN: three convolutions over ms, pan and two ratios of bands, without a residual.

Masi, Cozzolino, Verdoliva and Scarpa, "Pansharpening by convolutional neural networks", Remote Sensing 8(7)
594, 2016, doi 10.3390/rs8070594, in the form with 48 and 32 maps and padding that later papers compare with
(68,900 parameters), but for the ReLU that this form ends in. Made for images in [0, 1], it would cut off
values far below a band's mean here, which weakly correlated bands have many of in a network's units.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from pancli.networks.band_ratios import RATIOS, band_ratios
from pancli.networks.protocol import DirectNetwork, Inputs, Outcome, Traits
from pancli.networks.ranges import from_unit_range, to_unit_range

_RATIO = 4


def pnn_layers(bands: int, *, bias: bool) -> tuple[nn.Conv2d, nn.Conv2d, nn.Conv2d]:
    """The three convolutions over ms bands, pan and band ratios."""
    return (
        nn.Conv2d(bands + 1 + RATIOS, 48, 9, padding=4, bias=bias),
        nn.Conv2d(48, 32, 5, padding=2, bias=bias),
        nn.Conv2d(32, bands, 5, padding=2, bias=bias),
    )


class PNN(DirectNetwork):
    """68,900 parameters at 4 bands.

    Args:
        bands: ms bands.
        nominal_pixels: Unused: the network has no statistics.
    """

    TRAITS: ClassVar[Traits] = Traits(
        summary="three convolutions over the bands, pan and two band ratios",
        paper='Masi et al., "Pansharpening by convolutional neural networks", Remote Sensing 2016',
        reconstruction="layers as published, without the last ReLU, which would cut off what lies far below "
        "a band's mean: standardised inputs are brought near [0, 1] by a fixed map, not all into it; its two "
        "ratios are of the bands as ordered by correlation with pan, not of named colours",
        halo=17,
        align=_RATIO,
        ratio=_RATIO,
        workspace=120,
    )

    def __init__(self, bands: int = 4, nominal_pixels: int = 128 * 128) -> None:
        super().__init__(bands, nominal_pixels)
        self.first, self.second, self.last = pnn_layers(bands, bias=True)
        assert self.last.bias is not None
        nn.init.constant_(self.last.bias, 0.5)  # mid range: a band's mean

    def fuse(self, inputs: Inputs) -> Outcome:
        """See :class:`pancli.networks.protocol.DirectNetwork`."""
        assert inputs.lrms is not None  # the traits name a ratio
        ratios = band_ratios(inputs.lrms, _RATIO)
        seen = torch.cat((to_unit_range(inputs.bms), to_unit_range(inputs.pan), ratios), 1)
        deep = torch.relu(self.second(torch.relu(self.first(seen))))
        return Outcome(from_unit_range(self.last(deep)) - inputs.bms)

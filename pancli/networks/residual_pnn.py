"""Residual PNN: PNN's inputs through three convolutions without biases, added to ms.

What Yan, Zhou et al., IEEE TGRS 2022, doi 10.1109/TGRS.2022.3168192, measured under the name PanNet (68,816
parameters). It has neither PanNet's high-pass inputs nor its residual blocks: :mod:`pancli.networks.pannet`.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from pancli.networks.band_ratios import band_ratios
from pancli.networks.pnn import pnn_layers
from pancli.networks.protocol import DirectNetwork, Inputs, Outcome, Traits, damp

_RATIO = 4


class ResidualPNN(DirectNetwork):
    """68,816 parameters at 4 bands.

    Args:
        bands: ms bands.
        nominal_pixels: Unused: the network has no statistics.
    """

    TRAITS: ClassVar[Traits] = Traits(
        summary="three convolutions over the bands, pan and two band ratios, added to ms",
        paper='Masi et al., "Pansharpening by convolutional neural networks", Remote Sensing 2016, as varied '
        'in Yan, Zhou et al., "When pansharpening meets graph convolution network and knowledge '
        'distillation", IEEE TGRS 2022',
        reconstruction="layers as in the second paper's code, which calls them PanNet; its two band ratios "
        "are of the bands as ordered by correlation with pan, not of named colours",
        halo=17,
        align=_RATIO,
        ratio=_RATIO,
        workspace=120,
    )

    def __init__(self, bands: int = 4, nominal_pixels: int = 128 * 128) -> None:
        super().__init__(bands, nominal_pixels)
        self.first, self.second, self.last = pnn_layers(bands, bias=False)

    def start_near_interpolation(self) -> None:
        """See :class:`pancli.networks.protocol.Network`."""
        damp(self.last)

    def fuse(self, inputs: Inputs) -> Outcome:
        """See :class:`pancli.networks.protocol.DirectNetwork`."""
        assert inputs.lrms is not None  # the traits name a ratio
        seen = torch.cat((inputs.bms, inputs.pan, band_ratios(inputs.lrms, _RATIO)), 1)
        # Only the first convolution has a ReLU.
        return Outcome(self.last(self.second(torch.relu(self.first(seen)))))

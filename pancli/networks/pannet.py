"""PanNet: residual blocks that see the high-pass parts of pan and ms alone, added to ms.

Yang, Fu, Hu, Huang, Ding and Paisley, "PanNet: a deep network architecture for pan-sharpening", ICCV 2017,
doi 10.1109/ICCV.2017.193, with the layer sizes of the DLPan toolbox (Deng et al., IEEE GRSM 2022).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from pancli.networks.protocol import DirectNetwork, Inputs, Outcome, Traits, damp

_RATIO = 4
_WIDTH = 32
_BOX = 5  # side of the mean that is taken off, in pixels of the image at hand


def high_pass(image: Tensor) -> Tensor:
    """(N, C, H, W) less its mean over 5 x 5 pixels; at the rim, over those that exist."""
    return image - avg_pool2d(image, _BOX, stride=1, padding=_BOX // 2, count_include_pad=False)


class ResidualBlock(nn.Module):
    """Two convolutions with a ReLU between, added to what goes in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, H, W) to the same shape."""
        deep: Tensor = self.second(torch.relu(self.first(x)))
        return deep + x


class PanNet(DirectNetwork):
    """77,640 parameters at 4 bands.

    Args:
        bands: ms bands.
        nominal_pixels: Unused: the network has no statistics.
    """

    TRAITS: ClassVar[Traits] = Traits(
        summary="residual blocks over the high-pass parts of ms and pan, added to ms",
        paper='Yang et al., "PanNet: a deep network architecture for pan-sharpening", ICCV 2017',
        reconstruction="layers as in the DLPan toolbox; at the rim of a scene the high-pass takes the mean "
        "of the pixels that exist",
        halo=23,
        align=_RATIO,
        ratio=_RATIO,
        workspace=140,
    )

    def __init__(self, bands: int = 4, nominal_pixels: int = 128 * 128) -> None:
        super().__init__(bands, nominal_pixels)
        # Every pan pixel sees two ms pixels along each axis.
        self.enlarge = nn.ConvTranspose2d(bands, bands, 2 * _RATIO, stride=_RATIO, padding=_RATIO // 2)
        self.head = nn.Conv2d(bands + 1, _WIDTH, 3, padding=1)
        self.blocks = nn.Sequential(*(ResidualBlock(_WIDTH) for _ in range(4)))
        self.last = nn.Conv2d(_WIDTH, bands, 3, padding=1)

    def start_near_interpolation(self) -> None:
        """See :class:`pancli.networks.protocol.Network`."""
        damp(self.last)

    def fuse(self, inputs: Inputs) -> Outcome:
        """See :class:`pancli.networks.protocol.DirectNetwork`."""
        assert inputs.lrms is not None  # the traits name a ratio
        seen = torch.cat((self.enlarge(high_pass(inputs.lrms)), high_pass(inputs.pan)), 1)
        return Outcome(self.last(self.blocks(torch.relu(self.head(seen)))))

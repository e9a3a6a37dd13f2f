"""Gates that several networks have: factors between 0 and 1 for every channel, or for every pixel.

Hu et al., "Squeeze-and-excitation networks", CVPR 2018; Woo et al., "CBAM: convolutional block attention
module", ECCV 2018.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn


class ChannelGate(nn.Module):
    """One factor per channel, from summaries of the whole image.

    Args:
        width: Channels.
        inner: Width of the hidden layer.
    """

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(width, inner)
        self.excite = nn.Linear(inner, width)

    def forward(self, *summaries: Tensor) -> Tensor:
        """(N, width) each, such as means over pixels, to (N, width, 1, 1); what they say is added up."""
        answers = [self.excite(torch.relu(self.squeeze(summary))) for summary in summaries]
        return torch.sigmoid(torch.stack(answers).sum(0))[:, :, None, None]


class PixelGate(nn.Module):
    """One factor per pixel, from the mean and the maximum over channels in a 7x7 neighbourhood.

    Args:
        padding: What lies beyond the border.
    """

    def __init__(self, padding: Literal["zeros", "reflect"]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, padding_mode=padding)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, 1, H, W)."""
        summaries = torch.cat((x.mean(1, keepdim=True), x.amax(1, keepdim=True)), 1)
        return torch.sigmoid(self.conv(summaries))

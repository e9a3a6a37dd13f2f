"""PanNet with PGCU: ms is enlarged as an expectation over values of the whole window, then refined by PanNet.

Zhu, Cao, Zhou, Huang, Fu and Zhao, "Probability-based global cross-modal upsampling for pansharpening", CVPR
2023, doi 10.1109/CVPR52729.2023.01346; vectors of 128 numbers (149,224 parameters). At 128 x 128 pixels there
are only four positions to take values from.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, layer_norm

from pancli.networks.pannet import ResidualBlock, high_pass
from pancli.networks.protocol import DirectNetwork, Inputs, Outcome, Traits

_RATIO = 4
_VECTOR = 128
_LEAST_VECTOR = 8  # of one band, however many there are: normalised, a shorter one would say little
_WIDTH = 32
_BLOCKS = 5
_COARSE = 64  # pan pixels per position along each axis


def _quarter(inputs: int, outputs: int) -> nn.Sequential:
    """Rows and columns by four: a strided convolution, and the maximum of 2 x 2."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.MaxPool2d(2))


class Positions(nn.Module):
    """Pan and ms brought down to the few positions of a window, and merged there."""

    def __init__(self, bands: int, outputs: int) -> None:
        super().__init__()
        self.pan = nn.Sequential(_quarter(1, bands), _quarter(bands, bands), _quarter(bands, bands))
        self.ms = nn.Sequential(_quarter(bands, bands), _quarter(bands, bands))
        self.merge = nn.Conv2d(2 * bands, outputs, 3, padding=1)

    def forward(self, pan: Tensor, lrms: Tensor) -> Tensor:
        """(N, outputs, H / 64, W / 64) from pan (N, 1, H, W) and ms (N, B, H / 4, W / 4)."""
        merged: Tensor = self.merge(torch.cat((self.ms(lrms), self.pan(pan)), 1))
        return merged


class BandVectors(nn.Module):
    """One normalised vector per pixel and band: a linear layer and a layer norm of each band's own."""

    def __init__(self, bands: int, length: int) -> None:
        super().__init__()
        self.shape = (bands, length)
        self.linear = nn.Linear(_VECTOR, bands * length)
        self.gain = nn.Parameter(torch.ones(bands, 1, length))
        self.offset = nn.Parameter(torch.zeros(bands, 1, length))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 128, H, W) to (N, B, H * W, length)."""
        vectors = self.linear(x.flatten(2).transpose(1, 2)).unflatten(2, self.shape).transpose(1, 2)
        return layer_norm(vectors, self.shape[1:]) * self.gain + self.offset


class Upsampling(nn.Module):
    """PGCU: every pixel of a band is a mean of the values of all positions, weighted by likeness to them."""

    def __init__(self, bands: int) -> None:
        super().__init__()
        length = max(_VECTOR // bands, _LEAST_VECTOR)
        self.ms = nn.Conv2d(bands, bands, 3, padding=1)
        self.pan = nn.Conv2d(1, bands, 3, padding=1)
        self.merge = nn.Conv2d(2 * bands, _VECTOR, 3, padding=1)
        self.positions = Positions(bands, _VECTOR)
        self.values = Positions(bands, bands)
        self.pixel_vectors = BandVectors(bands, length)
        self.position_vectors = BandVectors(bands, length)
        self.adjust = nn.Conv2d(bands, bands, 3, padding=1)

    def forward(self, pan: Tensor, lrms: Tensor) -> Tensor:
        """(N, B, H, W) from pan (N, 1, H, W) and ms (N, B, H / 4, W / 4)."""
        enlarged = interpolate(lrms, scale_factor=_RATIO, mode="nearest")
        seen = self.merge(torch.cat((self.ms(enlarged), self.pan(pan)), 1))
        pixels = self.pixel_vectors(seen)
        positions = self.position_vectors(self.positions(pan, lrms))
        likeness = pixels @ positions.transpose(2, 3) / pixels.shape[3] ** 0.5  # (N, B, pixels, positions)
        values = self.values(pan, lrms).flatten(2)[..., None]
        expected = likeness.softmax(-1).to(values.dtype) @ values
        adjusted: Tensor = self.adjust(expected[..., 0].unflatten(2, pan.shape[2:]))
        return adjusted


class PanNetPGCU(DirectNetwork):
    """149,224 parameters at 4 bands.

    Args:
        bands: ms bands.
        nominal_pixels: Unused: the network has no statistics.
    """

    TRAITS: ClassVar[Traits] = Traits(
        summary="ms enlarged by likeness of pixels across the window, then residual blocks",
        paper='Zhu et al., "Probability-based global cross-modal upsampling for pansharpening", CVPR 2023',
        reconstruction="layers as in the authors' code; ours is that scenes are fused in windows of the "
        "training size, blended, and that more than 16 bands keep vectors of 8 numbers each",
        halo=127,
        align=_COARSE,
        ratio=_RATIO,
        window=128,
        workspace=430,
    )

    def __init__(self, bands: int = 4, nominal_pixels: int = 128 * 128) -> None:
        super().__init__(bands, nominal_pixels)
        self.upsampling = Upsampling(bands)
        self.head = nn.Conv2d(bands + 1, _WIDTH, 3, padding=1)
        self.blocks = nn.Sequential(*(ResidualBlock(_WIDTH) for _ in range(_BLOCKS)))
        self.last = nn.Conv2d(_WIDTH, bands, 3, padding=1)

    def fuse(self, inputs: Inputs) -> Outcome:
        """See :class:`pancli.networks.protocol.DirectNetwork`."""
        assert inputs.lrms is not None  # the traits name a ratio
        enlarged = self.upsampling(inputs.pan, inputs.lrms)
        seen = torch.cat((enlarged, high_pass(inputs.pan)), 1)
        fused = self.last(self.blocks(torch.relu(self.head(seen)))) + enlarged
        return Outcome(fused - inputs.bms)

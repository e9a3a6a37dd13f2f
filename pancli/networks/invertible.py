"""The parts that MSINN and SFINet are built of: invertible blocks, and the refinement after them.

Zhou, Huang, Fu, Zhao and Hong, IEEE TGRS 2022 (doi 10.1109/TGRS.2022.3199210), and Zhou et al., ECCV 2022,
after the affine coupling of Dinh et al., ICLR 2017, and the 1x1 convolution of Kingma and Dhariwal,
NeurIPS 2018.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, instance_norm, leaky_relu

_MOMENTUM = 0.01  # of tracked statistics: what a patch adds to them


class TrackedNorm(nn.InstanceNorm2d):
    """Instance normalisation that uses, in eval mode, what it tracked in training: nothing is global then.

    Args:
        channels: Of the map.
        scales: Sets of statistics. Layers that are shared between scales share weights, not statistics.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, scales: int = 1) -> None:
        super().__init__(channels, momentum=_MOMENTUM, affine=True, track_running_stats=True)
        self.running_mean = torch.zeros(scales, channels)
        self.running_var = torch.ones(scales, channels)

    def forward(self, x: Tensor, scale: int = 0) -> Tensor:
        """Normalise (N, channels, H, W), which is of a scale."""
        return instance_norm(
            x,
            self.running_mean[scale],
            self.running_var[scale],
            self.weight,
            self.bias,
            use_input_stats=self.training,
            momentum=_MOMENTUM,
            eps=self.eps,
        )


class TrackedMean(nn.modules.batchnorm._NormBase):
    """The mean over pixels, and in eval mode its average over training."""

    running_mean: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__(channels, affine=False, track_running_stats=False)
        self.register_buffer("running_mean", torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to (N or 1, channels)."""
        if not self.training:
            return self.running_mean[None]
        mean = x.float().mean((2, 3))
        self.running_mean.lerp_(mean.detach().mean(0), _MOMENTUM)
        return mean


class ImageMean(nn.Module):
    """The mean over the pixels of the image at hand."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to (N, channels)."""
        return x.float().mean((2, 3))


class InvertibleConv(nn.Module):
    """An invertible 1x1 convolution W = P L (U + diag(sign exp(log_scale))); starts as a rotation."""

    permutation: Tensor
    sign: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        rotation = torch.linalg.qr(torch.randn(width, width)).Q
        permutation, lower, upper = torch.linalg.lu(rotation)
        diagonal = upper.diagonal()
        self.register_buffer("permutation", permutation)
        self.register_buffer("sign", diagonal.sign())
        self.lower = nn.Parameter(lower.tril(-1))
        self.upper = nn.Parameter(upper.triu(1))
        self.log_scale = nn.Parameter(diagonal.abs().log())

    def weight(self) -> Tensor:
        """W, (width, width)."""
        lower = self.lower.tril(-1) + torch.eye(len(self.sign), device=self.sign.device)
        upper = self.upper.triu(1) + torch.diag(self.sign * self.log_scale.exp())
        weight: Tensor = self.permutation @ lower @ upper
        return weight

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, H, W) to the same shape."""
        return conv2d(x, self.weight()[:, :, None, None])


@dataclass(frozen=True)
class Dense:
    """How the three networks inside an invertible block are built.

    Attributes:
        growth: Channels that each of the two inner blocks adds.
        scales: Sets of tracked statistics that normalise half of the channels; 0 for no normalisation.
        kernel: Side of the last convolution.
        bias: Whether the last convolution has one.
    """

    growth: int = 16
    scales: int = 0
    kernel: int = 1
    bias: bool = False


class HalfNormBlock(nn.Module):
    """Two 3x3 convolutions beside a 1x1 one; half of the channels between them may be normalised."""

    def __init__(self, inner: int, outer: int, scales: int) -> None:
        super().__init__()
        self.identity = nn.Conv2d(inner, outer, 1)
        self.conv1 = nn.Conv2d(inner, outer, 3, padding=1)
        self.norm = TrackedNorm(outer // 2, scales) if scales else None
        self.conv2 = nn.Conv2d(outer, outer, 3, padding=1)

    def forward(self, x: Tensor, scale: int = 0) -> Tensor:
        """(N, inner, H, W) to (N, outer, H, W)."""
        deep = self.conv1(x)
        if self.norm is not None:
            first, second = deep.chunk(2, 1)
            deep = torch.cat((self.norm(first, scale), second), 1)
        beside: Tensor = self.identity(x)
        return leaky_relu(self.conv2(leaky_relu(deep, 0.1)), 0.1) + beside


class DenseBlock(nn.Module):
    """Two blocks in chain, and a convolution over the input and both."""

    def __init__(self, inner: int, outer: int, dense: Dense) -> None:
        super().__init__()
        self.block1 = HalfNormBlock(inner, dense.growth, dense.scales)
        self.block2 = HalfNormBlock(dense.growth, dense.growth, dense.scales)
        joined, padding = inner + 2 * dense.growth, dense.kernel // 2
        self.merge = nn.Conv2d(joined, outer, dense.kernel, padding=padding, bias=dense.bias)

    def forward(self, x: Tensor, scale: int = 0) -> Tensor:
        """(N, inner, H, W) to (N, outer, H, W)."""
        one = leaky_relu(self.block1(x, scale), 0.2)
        two = leaky_relu(self.block2(one, scale), 0.2)
        return leaky_relu(self.merge(torch.cat((x, one, two), 1)), 0.2)


class InvBlock(nn.Module):
    """An invertible 1x1 convolution and an affine coupling of the two halves of the channels.

    y1 = x1 + F(x2), y2 = x2 exp(s) + G(y1) with s = 0.8 (2 sigmoid(H(y1)) - 1).

    Args:
        width: Channels in and out.
        dense: How F, G and H are built.
    """

    def __init__(self, width: int, dense: Dense) -> None:
        super().__init__()
        half = width // 2
        self.mix = InvertibleConv(width)
        self.f = DenseBlock(half, half, dense)
        self.g = DenseBlock(half, half, dense)
        self.h = DenseBlock(half, half, dense)

    def log_gain(self, y1: Tensor, scale: int = 0) -> Tensor:
        """s, which is in [-0.8, 0.8]."""
        gain: Tensor = 0.8 * (2 * torch.sigmoid(self.h(y1, scale)) - 1)
        return gain

    def forward(self, x: Tensor, scale: int = 0) -> Tensor:
        """(N, width, H, W), which is of a scale, to the same shape."""
        x1, x2 = self.mix(x).chunk(2, 1)
        y1 = x1 + self.f(x2, scale)
        y2 = x2 * self.log_gain(y1, scale).exp() + self.g(y1, scale)
        return torch.cat((y1, y2), 1)


class ChannelAttention(nn.Module):
    """Adds to every channel a constant, its gated mean over the pixels of a small convolution network.

    The published layers replace the map by its mean before the product, so the map itself does not count.

    Args:
        width: Channels, a multiple of 4.
        mean: Makes means (N or 1, width) of a map.
    """

    def __init__(self, width: int, mean: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1)
        )
        self.mean = mean
        self.gate = nn.Sequential(
            nn.Conv2d(width, width // 4, 1), nn.ReLU(), nn.Conv2d(width // 4, width, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, H, W) to the same shape."""
        mean = self.mean(self.body(x))[:, :, None, None]
        added: Tensor = mean * self.gate(mean)
        return x + added


class Refine(nn.Module):
    """From features (N, width, H, W) to bands: convolution, channel attention, convolution.

    Args:
        width: Of the features, a multiple of 4.
        bands: ms bands.
        mean: As for :class:`ChannelAttention`.
    """

    def __init__(self, width: int, bands: int, mean: nn.Module) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.attention = ChannelAttention(width, mean)
        self.out = nn.Conv2d(width, bands, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, H, W) to (N, bands, H, W)."""
        bands: Tensor = self.out(self.attention(self.conv(x)))
        return bands

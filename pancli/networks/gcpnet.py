"""GCPNet: a residual CNN with graph convolutions over the pixels and over the bands.

Yan, Zhou et al., "When pansharpening meets graph convolution network and knowledge distillation", IEEE
TGRS 2022, doi 10.1109/TGRS.2022.3168192. Where paper and published layer sizes differ (nodes and states
of the band graph, activations after the graphs' sums), the sizes that give the published parameter
count are used.

Both graphs look at the whole image through small matrices that are sums over all pixels. Here each sum
is rescaled to the area of a training patch (``nominal_pixels``), so that it does not grow with the image,
and it may be given from outside (``context``), so that every tile of a scene uses the scene's own.
"""

from __future__ import annotations

from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from pancli.networks.protocol import Inputs, Network, Outcome, Product, Steps, Traits, UnitSteps


class SpatialGraph(nn.Module):
    """Graph convolution over pixels through a (n/2 x n/2) affinity of channels (the paper's SGCN).

    Cost is linear in the number of pixels: the pixels' graph is never built, only its channel products.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = width // 2
        self.phi = nn.Conv2d(width, inner, 1)
        self.theta = nn.Conv2d(width, inner, 1)
        self.delta = nn.Conv2d(width, inner, 1)
        self.mix = nn.Conv1d(inner, inner, 1, bias=False)
        self.norm = nn.BatchNorm1d(inner)
        self.out = nn.Conv2d(inner, width, 1)

    def gram(self, x: Tensor) -> Product:
        """The affinity G, rows delta and columns theta."""
        return Product(self.delta(x), self.theta(x))

    def forward(self, x: Tensor, gram: Tensor) -> Tensor:
        """Convolve (N, n, H, W), given the affinity G (N or 1, n/2, n/2), rescaled, before its softmax."""
        affinity = gram.softmax(-1)  # each row sums to one
        states = affinity.transpose(1, 2).to(x.dtype) @ self.phi(x).flatten(2)  # (N, n/2, H*W)
        states = self.norm(self.mix(states)).reshape(x.shape[0], -1, *x.shape[2:])
        graph: Tensor = self.out(states)
        return torch.relu(graph + x)


class MultiScale(nn.Module):
    """Four dilated convolutions side by side and in chain, receptive fields 3, 5, 7, 13 (ASPM)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.near = nn.Conv2d(width, width, 3, padding=1)
        self.near2 = nn.Conv2d(width, width, 3, padding=1)
        self.far = nn.Conv2d(width, width, 3, padding=3, dilation=3)
        self.far2 = nn.Conv2d(width, width, 3, padding=3, dilation=3)
        self.merge = nn.Conv2d(5 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, n, H, W) to the same shape."""
        near = torch.relu(self.near(x))
        near2 = torch.relu(self.near2(near))
        far = torch.relu(_dilated(self.far, x))
        far2 = torch.relu(_dilated(self.far2, far))
        return torch.relu(self.merge(torch.cat((x, near, near2, far, far2), 1)))


def _dilated(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """A dilated convolution, where gradients are wanted on a CPU in float32.

    torch 2.13's gradients of it in bfloat16 are no numbers there, or end the program, where there are more
    than 16 channels and no multiple of 16.
    """
    if not (torch.is_grad_enabled() and x.device.type == "cpu"):
        return cast(Tensor, conv(x))
    with torch.autocast("cpu", enabled=False):
        return cast(Tensor, conv(x.float()))


class BandGraph(nn.Module):
    """Graph convolution over n/4 learnt bands with states of n/2 numbers (the paper's BGCN)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        states, nodes = width // 2, width // 4
        self.phi = nn.Conv2d(width, states, 1, bias=False)
        self.phi_norm = nn.BatchNorm2d(states)
        self.theta = nn.Conv2d(width, nodes, 1, bias=False)
        self.theta_norm = nn.BatchNorm2d(nodes)
        self.adjacency = nn.Conv1d(nodes, nodes, 1, bias=False)
        self.adjacency_norm = nn.BatchNorm1d(nodes)
        self.weight = nn.Conv1d(states, states, 1, bias=False)
        self.weight_norm = nn.BatchNorm1d(states)
        self.out = nn.Conv2d(states, width, 1, bias=False)

    def states(self, x: Tensor) -> Product:
        """The node states S; its second factor says how much each pixel belongs to each node."""
        return Product(self.phi_norm(self.phi(x)), self.theta_norm(self.theta(x)))

    def forward(self, x: Tensor, nodes: Tensor, states: Tensor) -> Tensor:
        """Convolve (N, n, H, W).

        Args:
            x: Features.
            nodes: (N, n/4, H, W), how much each pixel belongs to each node: the second factor.
            states: (N or 1, n/2, n/4), the rescaled sum S.
        """
        with torch.autocast(x.device.type, enabled=False):  # sums of many pixels overflow half precision
            states = self.adjacency_norm(self.adjacency(states.transpose(1, 2))).transpose(1, 2) + states
            states = self.weight_norm(self.weight(states))
        mixed = (states.to(nodes.dtype) @ nodes.flatten(2)).reshape(x.shape[0], -1, *x.shape[2:])
        return torch.relu(x + self.out(mixed))


class GraphUnit(nn.Module):
    """Pixels' graph, scales, bands' graph, and a residual around the three."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.spatial = SpatialGraph(width)
        self.scales = MultiScale(width)
        self.spectral = BandGraph(width)

    def steps(self, x: Tensor) -> UnitSteps:
        """Yield G, be sent its value; yield S, be sent its value; return the features."""
        (gram,) = yield (self.spatial.gram(x),)
        deep = self.scales(self.spatial(x, gram))
        wanted = self.spectral.states(deep)
        (states,) = yield (wanted,)
        unit: Tensor = self.spectral(deep, wanted.right, states)
        return unit + x


class GCPNet(Network):
    """The student of the paper; 86,759 parameters at 4 bands. Its feature is the penultimate one.

    Args:
        bands: ms bands. The paper has 4; other numbers are the plain generalisation of first and last layer.
        nominal_pixels: Area, in pixels, that all statistics are rescaled to: that of a training patch.
    """

    TRAITS: ClassVar[Traits] = Traits(
        summary="graph-convolution network over pixels and bands",
        paper='Yan, Zhou et al., "When pansharpening meets graph convolution network and knowledge '
        'distillation", IEEE TGRS 2022',
        reconstruction="layers as published; ours are the rescaling of its sums to a nominal area, "
        "scene-wide statistics, the units of its inputs, and the encoder of its teacher",
        halo=25,
        stages=(10, 16, 16, 22),
        workspace=1200,
    )

    def __init__(self, bands: int = 4, nominal_pixels: int = 128 * 128) -> None:
        super().__init__(bands, nominal_pixels)
        self.head2 = nn.Sequential(nn.Conv2d(1, 3, 9, padding=4, bias=False), nn.PReLU())
        self.head = nn.Sequential(nn.Conv2d(bands + 4, 16, 9, padding=4, bias=False), nn.PReLU())
        self.conv1 = nn.Sequential(nn.Conv2d(16, 24, 5, padding=2, bias=False), nn.PReLU())
        self.unit1 = GraphUnit(24)
        self.unit2 = GraphUnit(24)
        self.conv2 = nn.Sequential(nn.Conv2d(48, 24, 3, padding=1, bias=False), nn.PReLU())
        self.output_conv = nn.Conv2d(40, bands, 5, padding=2, bias=False)

    @torch.no_grad()
    def start_near_interpolation(self) -> None:
        """See :class:`pancli.networks.protocol.Network`."""
        self.output_conv.weight.mul_(0.1)

    def steps(self, inputs: Inputs) -> Steps:
        """See :class:`pancli.networks.protocol.Network`: G and S of the first unit, G and S of the second."""
        pan = inputs.pan
        shallow = self.head(torch.cat((inputs.bms, pan, self.head2(pan)), 1))
        first = self.conv1(shallow)
        deep = yield from self.unit1.steps(first)
        deep = yield from self.unit2.steps(deep)
        penultimate = self.conv2(torch.cat((deep, first), 1))
        return Outcome(self.output_conv(torch.cat((penultimate, shallow), 1)), (penultimate,))

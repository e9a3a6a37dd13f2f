"""Other forms of bandset, to compare with it on the same budget: what it would be without a part of it, and
ideas of the literature's networks in the form that takes bands as a set.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, unfold

from pancli.methods.agreement import unknown_agreement
from pancli.networks.bandset import DETAILS, LEAK, Bands, BandSet, Seen, activated, by_image, fine
from pancli.networks.protocol import Inputs, Mean, Outcome, Steps, Traits


class Untold(BandSet):
    """Bandset that is not told how well pan and ms agree."""

    def steps(self, inputs: Inputs) -> Steps:
        """See :class:`pancli.networks.protocol.Network`."""
        samples, bands = inputs.bms.shape[:2]
        unknown = unknown_agreement(bands).to(inputs.pan).expand(samples, -1, -1)
        assert inputs.physics is not None
        return super().steps(inputs._replace(physics=inputs.physics._replace(agreement=unknown)))


class _Alone(Bands):
    """A block in which no band sees another."""

    def forward(self, x: Tensor, bands: int) -> Tensor:
        """(N B, n, h, w) to the same shape."""
        inner = activated(self.first(x), by_image(self.mean(x), 1)[:, 0], 1)
        out: Tensor = self.second(inner).add_(x)
        return out


class Alone(BandSet):
    """Bandset that fuses every band by itself, with as many weights."""

    def __init__(self, bands: int = 4, nominal_pixels: int = 128 * 128) -> None:
        super().__init__(bands, nominal_pixels)
        self.blocks = nn.ModuleList(_Alone(self.WIDTH) for _ in range(self.DEPTH))

    def _adapt(self, x: Tensor, means: Tensor, seen: Seen) -> Tensor:
        """See :class:`BandSet`: each band is told of its own means, in place of those of all."""
        sensor = seen.optics[:, None].expand(-1, means.shape[1], -1)
        own = means.expand(len(sensor), -1, -1)
        said = self.context(torch.cat((own, own, sensor, seen.agreement), 2))
        scale, shift = said.flatten(0, 1)[..., None, None].chunk(2, 1)
        return torch.addcmul(shift.to(x), x, 1 + scale.to(x))


class Filtering(BandSet):
    """Predicts, for every band and pixel, a filter of 3 x 3 taps of pan's detail in place of a correction.

    Predictive filtering is PreMix's (Cui et al., ISPRS Journal 219, 2025) and others', here per band.
    """

    TAPS: ClassVar[int] = 9

    def __init__(self, bands: int = 4, nominal_pixels: int = 128 * 128) -> None:
        super().__init__(bands, nominal_pixels)
        self.head = nn.Conv2d(self.WIDTH, DETAILS + self.TAPS + 1, 3, padding=1)

    def _outcome(self, x: Tensor, bands: int, seen: Seen) -> Outcome:
        mixture, taps, trust = self.head(leaky_relu(x, LEAK)).split((DETAILS, self.TAPS, 1), 1)
        around = unfold(seen.detail, 3, padding=1).view(
            len(seen.detail), 1, self.TAPS, *seen.detail.shape[2:]
        )
        filtered = (by_image(fine(taps), bands) * around).sum(2)
        residual = seen.mixed(fine(mixture)) + filtered
        return Outcome(residual, (x,), by_image(fine(trust.sigmoid())[:, 0], bands))


class _Coupling(nn.Module):
    """Two additive couplings of half the channels each, so that nothing is lost, with as many weights.

    Dinh et al., "NICE", ICLR workshop 2015; MSINN's and GPPNN's successors build on it.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.first = nn.ModuleList(nn.Conv2d(half, width, 3, padding=1) for _ in range(2))
        self.mean = nn.ModuleList(nn.Conv2d(half, width, 1, bias=False) for _ in range(2))
        self.second = nn.ModuleList(nn.Conv2d(width, half, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor, bands: int) -> Tensor:
        """(N B, n, h, w) to the same shape."""
        kept, moved = x.chunk(2, 1)
        for first, mean, second in zip(self.first, self.mean, self.second, strict=True):
            common = mean(by_image(kept, bands).mean(1))
            kept, moved = moved + second(activated(first(kept), common, bands)), kept
        return torch.cat((kept, moved), 1)


class Coupling(BandSet):
    """Bandset with invertible couplings for residual blocks."""

    def __init__(self, bands: int = 4, nominal_pixels: int = 128 * 128) -> None:
        super().__init__(bands, nominal_pixels)
        self.blocks = nn.ModuleList(_Coupling(self.WIDTH) for _ in range(self.DEPTH))


class Graph(BandSet):
    """Bandset with a graph of eight kinds of ground between its first layer and its blocks.

    Pixels are softly assigned to nodes, nodes are what their pixels have in mean, learn from one another and
    give back what they learnt, as in GCPNet (Yan, Zhou et al., IEEE TGRS 2022), whose nodes come by sums.
    """

    TRAITS: ClassVar[Traits] = replace(BandSet.TRAITS, stages=(10, 10))
    NODES: ClassVar[int] = 8

    def __init__(self, bands: int = 4, nominal_pixels: int = 128 * 128) -> None:
        super().__init__(bands, nominal_pixels)
        self.assign = nn.Conv2d(self.WIDTH, self.NODES, 1)
        self.edges = nn.Linear(self.NODES, self.NODES, bias=False)
        self.learn = nn.Linear(self.WIDTH, self.WIDTH)
        self.give = nn.Linear(self.WIDTH, self.WIDTH)

    def steps(self, inputs: Inputs) -> Steps:
        """See :class:`pancli.networks.protocol.Network`: means of first features, then of each node."""
        x, seen = yield from self._begin(inputs)
        share = self.assign(x).softmax(1)
        (sums, mass) = yield (Mean((share[:, :, None] * x[:, None]).flatten(1, 2)), Mean(share))
        nodes = sums.view(len(sums), self.NODES, -1) / mass.clamp_min(1e-4)[..., None]
        nodes = nodes + leaky_relu(self.learn(self.edges(nodes.transpose(1, 2)).transpose(1, 2)), LEAK)
        x = x + torch.einsum("nkhw,nkc->nchw", share.float(), self.give(nodes).float()).to(x)
        return self._end(x, inputs.bms.shape[1], seen)


VARIANTS: dict[str, type[BandSet]] = {
    "bandset-untold": Untold,
    "bandset-alone": Alone,
    "bandset-filtering": Filtering,
    "bandset-coupling": Coupling,
    "bandset-graph": Graph,
}

"""The adapter that makes a network a Method: units, groups of bands, statistics of the whole scene.

Networks see *detail units*: band b is (E_b - mean_b) / (r_b std_b), where r_b is the band's correlation with
pan on the ms grid, and pan is (P - mean) / std. In these units the detail of pan is, to first order, what
every band lacks, whatever the sensor, the bit depth and the band's contrast. Bands go in by falling
correlation, so the order of delivery does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from pancli.errors import MethodError
from pancli.methods.moments import Moments
from pancli.methods.protocol import Contract, PairInfo, Scene, TileImage
from pancli.networks.gcpnet import GCPNet
from pancli.networks.weights import Card, file_sha256, load_weights
from pancli.resampling import mtf_radius

STATISTIC_TILES = 16
"""Tiles of 512 x 512 that statistics are gathered on, evenly spread; all, in scenes that have no more."""

_LEAST_CORRELATION = 0.25  # a band pan says less about is not magnified further
_WORKSPACE = 300  # float32 values per pixel alive at once: the channels of the widest layers


@dataclass(frozen=True)
class Units:
    """Detail units of a scene; see the module.

    Attributes:
        mean: (B,), of the bands.
        scale: (B,), what one unit is; never zero.
        correlation: (B,), of the bands with pan.
        pan_mean: Of pan, on the ms grid.
        pan_std: The same; never zero.
    """

    mean: Tensor
    scale: Tensor
    correlation: Tensor
    pan_mean: float
    pan_std: float

    @classmethod
    def of(cls, moments: Moments) -> Units:
        """From the moments of the bands and, last, of pan, on the ms grid.

        A constant band or pan gets a unit so large that nothing is seen of it and nothing added to it.
        """
        covariance = moments.covariance
        std = covariance.diagonal().clamp_min(0).sqrt()
        floor = 1e-6 * moments.mean.abs() + 1e-12
        flat = std <= floor
        safe = torch.where(flat, torch.ones_like(std), std)
        correlation = covariance[:-1, -1] / (safe[:-1] * safe[-1])
        sign = torch.where(correlation < 0, -1.0, 1.0)
        scale = sign * safe[:-1] * correlation.abs().clamp(_LEAST_CORRELATION, 1)
        scale = torch.where(flat[:-1] | flat[-1], torch.full_like(scale, torch.inf), scale)
        return cls(
            moments.mean[:-1].float(),
            scale.float(),
            correlation.float(),
            float(moments.mean[-1]),
            torch.inf if bool(flat[-1]) else float(std[-1]),
        )

    def ordered(self, group: Sequence[int]) -> tuple[int, ...]:
        """A group of bands by falling correlation with pan; equal ones keep their order."""
        return tuple(sorted(group, key=lambda band: -float(self.correlation[band].abs())))

    def weight(self) -> Tensor:
        """(B,), units per standard deviation of a band; zero for a constant one."""
        return torch.where(self.scale.isinf(), 0.0, self.correlation.abs().clamp(_LEAST_CORRELATION, 1))

    def normalise(self, bands: Tensor, pan: Tensor) -> tuple[Tensor, Tensor]:
        """Bands (B, H, W) and pan (1, H, W) in units."""
        mean, scale = self.mean.to(bands)[:, None, None], self.scale.to(bands)[:, None, None]
        return (bands - mean) / scale, (pan - self.pan_mean) / self.pan_std

    def detail(self, residual: Tensor) -> Tensor:
        """What a residual (B, H, W) in units is in digital numbers; zero for a constant band."""
        scale = torch.where(self.scale.isinf(), torch.zeros_like(self.scale), self.scale)
        return residual * scale.to(residual)[:, None, None]


@dataclass(frozen=True)
class NetworkState:
    """What is global: units, the groups of bands as the network sees them, and its statistics for each."""

    units: Units
    groups: tuple[tuple[int, ...], ...]
    contexts: tuple[tuple[Tensor, ...], ...]


def to_channels_last(network: GCPNet, device: torch.device) -> GCPNet:
    """The network on a device, its convolutions laid out as they are fastest."""
    moved: GCPNet = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


def band_groups(bands: int, width: int) -> tuple[tuple[int, ...], ...]:
    """Which bands go through the network together: in order, ``width`` at a time.

    The last group takes the last ``width`` bands; fewer bands than that are repeated in turn.

    >>> band_groups(10, 4)
    ((0, 1, 2, 3), (4, 5, 6, 7), (6, 7, 8, 9))
    >>> band_groups(3, 4)
    ((0, 1, 2, 0),)
    """
    if bands < width:
        return (tuple(i % bands for i in range(width)),)
    starts = [*range(0, bands - width + 1, width)]
    if starts[-1] + width < bands:
        starts.append(bands - width)
    return tuple(tuple(range(start, start + width)) for start in starts)


def scene_units(scene: Scene) -> Units:
    """The units of a scene, from all its valid ms pixels.

    Raises:
        MethodError: There is none.
    """
    info = scene.info
    gain = info.mean_gain
    moments = Moments.empty(info.bands + 1)
    for image in scene.tiles(mtf_radius(info.placement.ratio, gain)):
        moments = moments.merge(Moments.of(torch.cat(image.ms_core_samples(gain))))
    if moments.count == 0:
        raise MethodError("there is no valid ms pixel to take statistics from; check nodata and overlap")
    return Units.of(moments)


@dataclass(frozen=True)
class NetworkMethod:
    """A network with its weights, as a Method.

    Attributes:
        network: In eval mode, on the device that computes.
        card: What the weights say of themselves.
        precision: ``auto`` and ``float32``, or what convolutions are computed in.
        weights_sha256: Of the weights file; empty where there is none.
    """

    network: GCPNet = field(repr=False)
    card: Card = field(repr=False)
    precision: str = "auto"
    weights_sha256: str = ""

    @classmethod
    def load(cls, path: Path, device: torch.device, precision: str = "auto") -> NetworkMethod:
        """Load weights onto a device.

        Raises:
            WeightsError: The file cannot be used.
        """
        network, card = load_weights(path)
        # Convolutions over channels-last images are 1.3 to 2 times as fast on CPUs.
        return cls(to_channels_last(network, device), card, precision, file_sha256(path))

    @property
    def name(self) -> str:
        """See :class:`pancli.methods.protocol.Method`."""
        return self.card.name

    @cached_property
    def contract(self) -> Contract:
        """From the card."""
        return Contract(
            summary="graph-convolution network trained on open and simulated scenes; the default",
            source=self.card.paper,
            bands=self.card.bands,
            ratios=self.card.ratios,
            workspace_fixed=_WORKSPACE,
        )

    def radius(self, info: PairInfo) -> int:
        """See :class:`pancli.methods.protocol.Method`."""
        return self.network.RADIUS

    @torch.no_grad()
    def fit(self, scene: Scene) -> NetworkState:
        """Units in one pass, then one pass per statistic, each of which needs those before it.

        Raises:
            MethodError: The scene has no valid pixel.
        """
        units = scene_units(scene)
        groups = tuple(map(units.ordered, band_groups(scene.info.bands, self.card.bands)))
        contexts: list[tuple[Tensor, ...]] = [() for _ in groups]
        for stage, radius in enumerate(self.network.STAGE_RADII):
            found = self._gather(scene, NetworkState(units, groups, tuple(contexts)), stage, radius)
            contexts = [(*context, new) for context, new in zip(contexts, found, strict=True)]
        return NetworkState(units, groups, tuple(contexts))

    def _gather(self, scene: Scene, state: NetworkState, stage: int, radius: int) -> list[Tensor]:
        """One statistic per group, summed over valid core pixels and rescaled to the nominal area."""
        sums: list[Tensor] = []
        count = 0
        for image in scene.tiles(radius, sample=STATISTIC_TILES):
            weight = torch.zeros_like(image.valid)
            weight[image.tile.inner] = image.valid[image.tile.inner]
            count += int(weight.sum())
            bands, pan = state.units.normalise(image.upsampled, image.pan)
            new = []
            for group, context in zip(state.groups, state.contexts, strict=True):
                inputs = _batch(bands[list(group)]), pan[None]
                new.append(self.network.statistics(stage, *inputs, context, weight))
            sums = [a + b for a, b in zip(sums, new, strict=True)] if sums else new
        if count == 0:
            raise MethodError("there is no valid pixel to take statistics from; check nodata and overlap")
        return [(total * (self.network.nominal_pixels / count)).float() for total in sums]

    @torch.no_grad()
    def fuse(self, image: TileImage, state: NetworkState) -> Tensor:
        """See :class:`pancli.methods.protocol.Method`."""
        bands, pan = state.units.normalise(image.upsampled, image.pan)
        residual = torch.empty_like(bands)
        for group, context in zip(state.groups, state.contexts, strict=True):
            found = self._residual(bands[list(group)], pan, context)[0]
            # Backwards: a band that is repeated takes its first result.
            for position in reversed(range(len(group))):
                residual[group[position]] = found[position]
        return image.upsampled + state.units.detail(residual)

    def _residual(self, bands: Tensor, pan: Tensor, context: tuple[Tensor, ...]) -> Tensor:
        low = self.precision not in ("auto", "float32")
        dtype = getattr(torch, self.precision) if low else None
        inputs = _batch(bands), pan[None]
        with torch.autocast(bands.device.type, dtype=dtype, enabled=low):
            residual: Tensor = self.network.residual(*inputs, context)
        detail: Tensor = residual.float()
        return detail


def _batch(bands: Tensor) -> Tensor:
    """A batch of one, laid out as the weights are."""
    return bands[None].contiguous(memory_format=torch.channels_last)

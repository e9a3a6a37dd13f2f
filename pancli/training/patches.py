"""Training examples: regions in the units that a scene has, cut into patches of some of their bands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pancli.methods.agreement import unknown_agreement
from pancli.methods.units import Units
from pancli.methods.views import block_ms, see_pan
from pancli.networks.protocol import Inputs, Physics, Traits
from pancli.placement import Placement
from pancli.resampling import CUBIC_TAPS
from pancli.tiling import Window
from pancli.training.regions import Region, integer, uniform

_WHOLE_GROUP = 0.85  # of examples see as many different bands as the network takes; the rest see repeats


class Observed(NamedTuple):
    """What a whole region was seen as, for back-projection.

    Attributes:
        ms: (K, m, m), in the network's units.
        placement: Where it is believed to lie.
        gain: What the pair shows of the MTF.
    """

    ms: Tensor
    placement: Placement
    gain: float


class Batch(NamedTuple):
    """Patches in the network's units.

    Attributes:
        inputs: What the network sees; every pixel is valid.
        target: (N, K, p, p), the truth.
        weight: (N, K, 1, 1), units per standard deviation of a band: what an error counts.
        scale: (N, K, 1, 1), digital numbers per unit; zero for a constant band.
        mean: (N, K, 1, 1), digital numbers where the unit is zero.
        observed: One per sample where patches are whole regions; else empty.
    """

    inputs: Inputs
    target: Tensor
    weight: Tensor
    scale: Tensor
    mean: Tensor
    observed: tuple[Observed, ...] = ()

    @classmethod
    def join(cls, batches: Sequence[Batch]) -> Batch:
        """One batch of several."""
        inputs = Inputs.join([batch.inputs for batch in batches])
        maps = zip(*((b.target, b.weight, b.scale, b.mean) for b in batches), strict=True)
        target, weight, scale, mean = map(torch.cat, maps)
        return cls(inputs, target, weight, scale, mean, tuple(o for batch in batches for o in batch.observed))

    def to(self, device: torch.device) -> Batch:
        """The batch on a device, its images laid out as networks are."""
        return Batch(
            self.inputs.each(lambda part: _placed(part, device)),
            _placed(self.target, device),
            self.weight.to(device),
            self.scale.to(device),
            self.mean.to(device),
            tuple(seen._replace(ms=seen.ms.to(device)) for seen in self.observed),
        )

    def turned(self, turns: int, *, mirror: bool) -> Batch:
        """The batch after so many quarter turns, then mirrored from left to right if asked.

        Whole regions stay as they are: their grids' placement would have to turn with them.
        """
        if self.observed:
            return self

        def turn(images: Tensor) -> Tensor:
            if images.ndim < 4:
                return images
            turned = images.rot90(turns, (2, 3))
            return turned.flip(3) if mirror else turned

        inputs = self.inputs.each(turn)
        if (physics := inputs.physics) is not None:
            agreement = turned_agreement(physics.agreement, turns, mirror=mirror)
            inputs = inputs._replace(physics=physics._replace(agreement=agreement))
        return self._replace(inputs=inputs, target=turn(self.target))


def turned_agreement(agreement: Tensor, turns: int, *, mirror: bool) -> Tensor:
    """Numbers of agreement (..., 8) after so many quarter turns, then mirrored: pan's shift turns with it."""
    down, right = agreement[..., 2], agreement[..., 3]
    for _ in range(turns % 4):
        down, right = -right, down
    right = -right if mirror else right
    return torch.cat((agreement[..., :2], torch.stack((down, right), -1), agreement[..., 4:]), -1)


def _placed(images: Tensor, device: torch.device) -> Tensor:
    layout = torch.channels_last if images.ndim == 4 else torch.contiguous_format
    return images.to(device).contiguous(memory_format=layout)


def random_group(bands: int, width: int, generator: torch.Generator) -> tuple[int, ...]:
    """``width`` bands of those there are; sometimes fewer, repeated in turn, as scenes of few bands are."""
    count = min(bands, width)
    if uniform(generator, 0.0, 1.0) > _WHOLE_GROUP:
        count = 1 + integer(generator, count)
    chosen = torch.randperm(bands, generator=generator)[:count].tolist()
    return tuple(chosen[i % count] for i in range(width))


def random_corners(
    region: Region, count_and_size: tuple[int, int], align: int, generator: torch.Generator
) -> list[Window]:
    """Where to cut patches, away from a region's rim where there is room, at multiples of ``align``."""
    count, size = count_and_size
    windows = []
    for _ in range(count):
        row, col = (_start(side, size, align, generator) for side in region.pan.shape[1:])
        windows.append(Window(row, col, size, size))
    return windows


def _start(side: int, size: int, align: int, generator: torch.Generator) -> int:
    rim = min(4 * CUBIC_TAPS, (side - size) // 2)
    start = rim + integer(generator, side - size - 2 * rim + 1)
    return start // align * align


def cut_patch(region: Region, group: tuple[int, ...], window: Window, traits: Traits) -> Batch:
    """One patch of a region, in the network's units: a batch of one.

    Args:
        region: What was observed.
        group: Bands to take; they are put in the order the network sees them.
        window: Which pixels; aligned as the network asks.
        traits: Of the network: what it sees.
    """
    units, members = region.units, list(region.units.ordered(group))
    whole = Window(0, 0, *region.pan.shape[1:])
    rows, cols = window.slices_in(whole)
    ms_whole = Window(0, 0, *region.ms.shape[1:])
    lrms = physics = None
    if traits.ratio is not None:
        coarse = block_ms(region.ms, region.placement, ms_whole, window, traits.ratio)
        lrms = units.of_bands(coarse)[members][None]
    pan = units.of_pan(region.pan)
    if traits.physics:
        chosen = sorted(set(group))  # the scene as it is seen has these bands alone
        own = Units.of(region.moments.select([*chosen, len(units.mean)]))
        intensity = own.intensity(own.of_bands(region.upsampled[chosen]))
        low, blunt, optics = see_pan(pan, region.placement, whole, region.shown, region.shown)
        seen = region.agreement
        numbers = unknown_agreement(len(chosen)) if seen is None else seen.of_bands(chosen).numbers()
        physics = Physics(
            low=low[:, rows, cols][None],
            intensity=intensity[:, rows, cols][None],
            correlation=units.weight()[None, members],
            origin=units.origin()[None, members],
            blunt=blunt[:, rows, cols][None],
            optics=optics[None],
            agreement=numbers[[chosen.index(band) for band in members]][None],
        )
    bms = units.of_bands(region.upsampled)[members, rows, cols][None]
    inputs = Inputs(bms, pan[:, rows, cols][None], lrms, physics=physics)
    target = units.of_bands(region.reference)[members, rows, cols][None]
    scale = torch.where(units.scale.isinf(), 0.0, units.scale)
    weight, scale, mean = (v[members, None, None][None] for v in (units.weight(), scale, units.mean))
    observed = Observed(units.of_bands(region.ms)[members], region.placement, region.shown)
    return Batch(inputs, target, weight, scale, mean, (observed,) if window == whole else ())

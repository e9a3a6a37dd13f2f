"""Training examples: a truth observed through a random sensor, standardised as a scene is, cut into patches.

The degradation is Wald's ("Fusion of satellite images of different spatial resolutions", PE&RS 1997) with
everything randomised that differs between sensors: ratio, phase of the grids, MTF of every band and of pan,
an unknown shift, noise, which bands there are. Gains, offsets and band order need no randomising: the
units of :mod:`pancli.methods.network` take them away.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from pancli.errors import TrainingError
from pancli.methods.moments import Moments
from pancli.methods.units import Units
from pancli.methods.views import block_ms
from pancli.networks.protocol import Inputs, Traits
from pancli.networks.registry import find_network
from pancli.placement import AxisMap, Placement
from pancli.resampling import CUBIC_TAPS, degrade, upsample
from pancli.sensors import GENERIC
from pancli.simulation.scenes import random_pair
from pancli.tiling import Window
from pancli.training.recipe import Degradation, Recipe, Source
from pancli.training.sources import Images, crop, load_images

_WHOLE_GROUP = 0.85  # of examples see as many different bands as the network takes; the rest see repeats
_UNEXPLAINED = 0.3  # most of a made pan that bands do not explain, relative to their standard deviation


class Region(NamedTuple):
    """Part of an observed scene and its units.

    Attributes:
        pan: (1, n, n).
        upsampled: (B, n, n), ms on the pan grid.
        reference: (B, n, n), the truth.
        units: Of the region.
        ms: (B, m, m).
        placement: Where ms is believed to lie.
    """

    pan: Tensor
    upsampled: Tensor
    reference: Tensor
    units: Units
    ms: Tensor
    placement: Placement


class Batch(NamedTuple):
    """Patches in the network's units.

    Attributes:
        inputs: What the network sees; every pixel is valid.
        target: (N, K, p, p), the truth.
        weight: (N, K, 1, 1), units per standard deviation of a band: what an error counts.
    """

    inputs: Inputs
    target: Tensor
    weight: Tensor

    @classmethod
    def join(cls, batches: Sequence[Batch]) -> Batch:
        """One batch of several."""
        bms, pan, lrms, _ = zip(*(batch.inputs for batch in batches), strict=True)
        coarse = None if lrms[0] is None else torch.cat([part for part in lrms if part is not None])
        return cls(
            Inputs(torch.cat(bms), torch.cat(pan), coarse),
            torch.cat([batch.target for batch in batches]),
            torch.cat([batch.weight for batch in batches]),
        )

    def to(self, device: torch.device) -> Batch:
        """The batch on a device, its images laid out as networks are."""
        bms, pan, lrms, _ = self.inputs
        coarse = None if lrms is None else _placed(lrms, device)
        inputs = Inputs(_placed(bms, device), _placed(pan, device), coarse)
        return Batch(inputs, _placed(self.target, device), self.weight.to(device))


def _placed(images: Tensor, device: torch.device) -> Tensor:
    return images.to(device).contiguous(memory_format=torch.channels_last)


def uniform(generator: torch.Generator, low: float, high: float) -> float:
    """One number between two."""
    return low + (high - low) * float(torch.rand((), generator=generator))


def integer(generator: torch.Generator, stop: int) -> int:
    """One of 0 .. stop - 1."""
    return int(torch.randint(stop, (), generator=generator))


@dataclass(frozen=True)
class Sampler:
    """Makes the batch of any step; which one follows from the recipe's seed and the step alone.

    Attributes:
        recipe: The run.
        images: Per source of the recipe, what it holds.
        traits: Of the network: its ratio and alignment.
    """

    recipe: Recipe
    images: tuple[Images, ...]
    traits: Traits

    @classmethod
    def load(cls, recipe: Recipe, data: Path) -> Sampler:
        """Read all images of a recipe.

        Raises:
            RecipeError: An array is missing or not as expected.
            TrainingError: An image is smaller than a region.
        """
        images = tuple(load_images(source, data) for source in recipe.sources)
        for source, held in zip(recipe.sources, images, strict=True):
            for name, array in zip(source.names, held.bands, strict=True):
                if min(array.shape[1:]) < recipe.schedule.patch:
                    side = recipe.schedule.patch
                    raise TrainingError(
                        f"no patch of {side} pixels fits into {name} of {array.shape[1:]} pixels"
                    )
        return cls(recipe, images, find_network(recipe.network).TRAITS)

    def batch(self, step: int) -> Batch:
        """The examples of one step."""
        generator = torch.Generator().manual_seed(self.recipe.seed * 1_000_003 + step)
        regions = [self._examples(generator) for _ in range(self.recipe.schedule.regions)]
        return Batch.join(regions)

    def _examples(self, generator: torch.Generator) -> Batch:
        weights = torch.tensor([source.weight for source in self.recipe.sources])
        index = int(torch.multinomial(weights, 1, generator=generator))
        schedule = self.recipe.schedule
        region = draw_region(
            self.recipe.sources[index],
            self.images[index],
            schedule.region,
            self.recipe.degradation,
            generator,
        )
        group = random_group(region.reference.shape[0], self.recipe.bands, generator)
        corners = random_corners(region, (schedule.patches, schedule.patch), self.traits.align, generator)
        return Batch.join([cut_patch(region, group, corner, self.traits.ratio) for corner in corners])


def draw_region(
    source: Source, images: Images, size: int, degradation: Degradation, generator: torch.Generator
) -> Region:
    """A random region of a source, observed at random; at most ``size`` pixels along a side."""
    if source.kind == "simulated":
        return simulated_region(size, degradation, generator)
    if source.kind == "pairs":
        pan, reference = _from_pair(images, size, degradation, generator)
    else:
        pan, reference = _from_truth(images, size, generator)
    turns, mirror = integer(generator, 4), integer(generator, 2)
    both = torch.rot90(torch.cat((pan, reference)), turns, (1, 2))
    both = both.flip(2) if mirror else both
    return observe(both[:1], both[1:], degradation, generator)


def simulated_region(size: int, degradation: Degradation, generator: torch.Generator) -> Region:
    """A simulated scene; its own sensor has blurred and shifted it."""
    ratio = degradation.ratios[integer(generator, len(degradation.ratios))]
    pair = random_pair(generator, size, 4 + integer(generator, 3), ratio)
    return _region(pair.pan, pair.ms, pair.reference, pair.placement)


def _from_pair(
    images: Images, size: int, degradation: Degradation, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    index = integer(generator, len(images.bands))
    bands, pan = images.bands[index], images.pans[index]
    height, width = (min(size, side) for side in bands.shape[1:])
    row, col = (
        integer(generator, side - part + 1)
        for side, part in zip(bands.shape[1:], (height, width), strict=True)
    )
    ratio = round(pan.shape[0] / bands.shape[1])
    fine = crop(pan, ratio * row, ratio * col, ratio * height, ratio * width)[None]
    placement = Placement(AxisMap(1 / ratio, 0.0, height), AxisMap(1 / ratio, 0.0, width))
    gain = uniform(generator, *degradation.pan_gains)
    reduced = degrade(fine, placement, Window(0, 0, *fine.shape[1:]), Window(0, 0, height, width), gain)
    return reduced, crop(bands, row, col, height, width)


def _from_truth(images: Images, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    bands = images.bands[integer(generator, len(images.bands))]
    height, width = (min(size, side) for side in bands.shape[1:])
    row, col = (
        integer(generator, side - part + 1)
        for side, part in zip(bands.shape[1:], (height, width), strict=True)
    )
    reference = crop(bands, row, col, height, width)
    return made_pan(reference, generator), reference


def made_pan(reference: Tensor, generator: torch.Generator) -> Tensor:
    """A pan (1, H, W) of random band weights, with a part that no linear mixture of bands explains.

    That part is the product of two standardised mixtures: it has the scene's edges, as a real pan's has.
    """
    count = reference.shape[0]
    mixtures = torch.randn(2, count, generator=generator)
    weights = torch.rand(count, generator=generator)
    spread = reference.std((1, 2), keepdim=True).clamp_min(1e-6)
    standard = (reference - reference.mean((1, 2), keepdim=True)) / spread
    product = torch.einsum("kb,bhw->khw", mixtures, standard).prod(0, keepdim=True) / count
    explained = torch.einsum("b,bhw->hw", weights / weights.sum(), standard)[None]
    part = uniform(generator, 0.0, _UNEXPLAINED)
    return explained + part * product * explained.std() / product.std().clamp_min(1e-6)


def observe(pan: Tensor, reference: Tensor, degradation: Degradation, generator: torch.Generator) -> Region:
    """Reduce a truth to ms, as a random sensor would, and interpolate it back where it is believed to lie."""
    ratio = degradation.ratios[integer(generator, len(degradation.ratios))]
    axes = []
    for side in reference.shape[1:]:
        phase = uniform(generator, -degradation.phase, degradation.phase)
        axes.append(AxisMap(1.0 / ratio, phase, math.floor(side / ratio + min(phase, 0.0))))
    believed = Placement(*axes)
    shift = [uniform(generator, -degradation.shift, degradation.shift) for _ in range(2)]
    true = believed.shifted(*shift)
    whole, ms_whole = Window(0, 0, *reference.shape[1:]), Window(0, 0, *believed.ms_shape)
    gain = uniform(generator, *degradation.ms_gains)
    bands = []
    for band in reference[:, None]:
        spread = uniform(generator, -degradation.gain_spread, degradation.gain_spread)
        bands.append(degrade(band, true, whole, ms_whole, min(max(gain + spread, 0.05), 0.9)))
    ms = _noisy(torch.cat(bands), uniform(generator, 0.0, degradation.noise), generator)
    pan = _noisy(pan, uniform(generator, 0.0, degradation.noise), generator)
    return _region(pan, ms, reference, believed)


def _region(pan: Tensor, ms: Tensor, reference: Tensor, placement: Placement) -> Region:
    """What was observed, with its units, taken on the ms grid as they are of a scene."""
    whole, ms_whole = Window(0, 0, *pan.shape[1:]), Window(0, 0, *placement.ms_shape)
    reduced = degrade(pan, placement, whole, ms_whole, GENERIC.ms_gains[0])
    units = Units.of(Moments.of(torch.cat((ms, reduced)).flatten(1)))
    return Region(pan, upsample(ms, placement, ms_whole, whole), reference, units, ms, placement)


def _noisy(image: Tensor, level: float, generator: torch.Generator) -> Tensor:
    noise = torch.randn(image.shape, generator=generator)
    return image + noise * level * image.std((1, 2), keepdim=True)


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


def cut_patch(region: Region, group: tuple[int, ...], window: Window, ratio: int | None = None) -> Batch:
    """One patch of a region, in the network's units: a batch of one.

    Args:
        region: What was observed.
        group: Bands to take; they are put in the order the network sees them.
        window: Which pixels.
        ratio: Pan pixels per pixel of ``lrms``, for networks that see it; the window is aligned to it.
    """
    units, members = region.units, list(region.units.ordered(group))
    rows, cols = window.slices_in(Window(0, 0, *region.pan.shape[1:]))
    lrms = None
    if ratio is not None:
        ms_window = Window(0, 0, *region.ms.shape[1:])
        coarse = block_ms(region.ms, region.placement, ms_window, window, ratio)
        lrms = units.of_bands(coarse)[members][None]
    inputs = Inputs(
        units.of_bands(region.upsampled)[members, rows, cols][None],
        units.of_pan(region.pan)[:, rows, cols][None],
        lrms,
    )
    target = units.of_bands(region.reference)[members, rows, cols][None]
    return Batch(inputs, target, units.weight()[members, None, None][None])

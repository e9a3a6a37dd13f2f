"""What a network can learn from a scene without a truth: its own ms a ratio coarser, or consistency."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from pancli.adaptation.samples import Sample, Samples, full_samples, reduced_samples
from pancli.methods.network import scene_units
from pancli.methods.statistics import coarsest_ratio
from pancli.methods.units import Units
from pancli.methods.views import cut
from pancli.metrics.structure import local_correlation
from pancli.resampling import degrade_bands, low_pass, mtf_radius
from pancli.scene import TiledScene
from pancli.tiling import Window

_STRUCTURE = 5.0
"""Weight of structure against spectrum. Ciotola et al. take 0.25 to 0.36 on numbers divided by 2048; ours are
divided by a band's standard deviation, which is about 150 there."""


@dataclass(frozen=True, slots=True)
class Patch:
    """What a network made of one window of a sample.

    Attributes:
        fused: (K, h, w), in units.
        members: Which bands these are.
        window: Where, in the coordinates of the sample's image.
    """

    fused: Tensor
    members: Sequence[int]
    window: Window


@dataclass(frozen=True, slots=True)
class Objective:
    """One way to learn.

    Attributes:
        gather: The samples of a scene.
        loss: What is to be made small, of one patch.
        side: Of a patch, in pixels, where the sample is large enough.
    """

    gather: Callable[[TiledScene], Samples]
    loss: Callable[[Patch, Sample, Units], Tensor]
    side: int


def _reduced_loss(patch: Patch, sample: Sample, units: Units) -> Tensor:
    """Mean absolute error in standard deviations of a band, over valid pixels."""
    if sample.truth is None:
        raise ValueError("a sample at reduced resolution has a truth")
    members = list(patch.members)
    have = sample.image.tile.window
    truth = cut(units.of_bands(sample.truth)[members], have, patch.window)
    valid = cut(sample.image.valid[None].to(truth), have, patch.window)
    return _mean_error(patch.fused - truth, units.weight()[members], valid)


def _full_loss(patch: Patch, sample: Sample, units: Units) -> Tensor:
    """Spectral consistency with ms, and local correlation with pan where it lacks.

    Ciotola, Vitale, Mazza, Poggi, Scarpa, "Pansharpening by convolutional neural networks in the full
    resolution framework", IEEE TGRS 2022, eqs. 7 to 12.
    """
    return _spectral(patch, sample, units) + _STRUCTURE * _structural(patch, sample, units)


def _spectral(patch: Patch, sample: Sample, units: Units) -> Tensor:
    image, members = sample.image, list(patch.members)
    placement, gains = image.info.placement, image.info.gains
    reach = max(mtf_radius(coarsest_ratio(placement), gain) for gain in gains)
    inside = patch.window.intersect(image.tile.window)
    window = placement.ms_inside(inside.grow(-reach)).intersect(image.ms_window)
    rows, cols = window.slices_in(image.ms_window)
    ms = units.of_bands(image.ms)[members, rows, cols]
    valid = image.ms_valid[None, rows, cols].to(ms)
    reduced = degrade_bands(patch.fused, placement, (patch.window, window), [gains[i] for i in members])
    return _mean_error(reduced - ms, units.weight()[members], valid)


def _mean_error(error: Tensor, weight: Tensor, valid: Tensor) -> Tensor:
    """Mean absolute value over bands and valid pixels, in standard deviations of a band."""
    total = (error.abs() * weight[:, None, None].to(error) * valid).sum()
    return total / (valid.sum() * len(error)).clamp_min(1.0)


def _structural(patch: Patch, sample: Sample, units: Units) -> Tensor:
    image = sample.image
    placement, have = image.info.placement, image.tile.window
    half = math.ceil(placement.ratio / 2)
    wide = 4 * half
    pan = cut(units.of_pan(image.pan), have, patch.window).double()
    bands = cut(units.of_bands(image.upsampled)[list(patch.members)], have, patch.window).double()
    coarse = low_pass(pan, placement, patch.window, image.info.mean_gain)
    bound = local_correlation(bands, coarse, wide)
    found = local_correlation(patch.fused.double(), pan, half)
    rim = 2 * (wide - half)
    rows, cols = (slice(rim, rim + n) for n in bound.shape[1:])
    found = found[:, rows, cols]
    valid = cut(image.valid[None].to(pan), have, patch.window)
    first = 2 * wide - 2
    rows, cols = (slice(first, first + n) for n in bound.shape[1:])
    lacking = (1 - found) * (found < bound) * valid[:, rows, cols]
    return lacking.mean().float()


LOSSES = {
    "reduced": Objective(reduced_samples, _reduced_loss, 64),
    "full": Objective(lambda scene: full_samples(scene, scene_units(scene)), _full_loss, 128),
}
"""Objectives by name."""

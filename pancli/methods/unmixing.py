"""Coupled unmixing: every pixel is a mixture of a few spectra, and pan moves the mixture.

Yokoya, Yairi, Iwasaki, "Coupled nonnegative matrix factorization unmixing for hyperspectral and
multispectral data fusion", IEEE TGRS 2012. Differences, all for the sake of whole scenes: the spectra are
learnt once from an evenly spread sample, starting from extreme pixels instead of random numbers, so that
the same scene always gives the same image; abundances are then solved pixel by pixel, so that no tile
matters; and what the spectra do not explain of a pixel stays as interpolated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pancli.methods.arithmetic import mix
from pancli.methods.moments import Moments
from pancli.methods.protocol import Contract, PairInfo, Scene, TileImage
from pancli.methods.statistics import (
    MOMENTS,
    gather,
    ms_grid_margin,
    ms_grid_samples,
    regress_nonnegative,
)

_PIXELS = 1024  # ms pixels kept of each block that is looked at
_LEARNING_STEPS = 100
_UNMIXING_STEPS = 20
_CLOSURE = 0.3  # weight of the abundances' sum beside pan: low enough for shadows to darken
_PRESENT = 0.05  # least abundance before pan is followed: what ms blurred away, pan may show
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Mixture:
    """Spectra, and how pan sees them, in units where a typical spectrum has norm 1.

    Attributes:
        spectra: (B, K), nonnegative.
        response: (B,), nonnegative: pan is response . ms + intercept, at ms resolution.
        intercept: In digital numbers.
        unit: Digital numbers per unit of the spectra.
    """

    spectra: Tensor
    response: Tensor
    intercept: float
    unit: float


@dataclass(frozen=True, slots=True)
class Cnmf:
    """CNMF with B + 1 spectra, abundances that sum to about one, and a fixed number of updates."""

    name: str
    contract: Contract

    def radius(self, info: PairInfo) -> int:
        """See :class:`pancli.methods.protocol.Method`: pointwise."""
        return 0

    def fit(self, scene: Scene) -> Mixture:
        """See :class:`pancli.methods.protocol.Method`."""
        bands, step = scene.info.bands, _step(scene.info)
        moments, pixels = _sampled(scene, step)
        if pixels.shape[1] <= bands and step > 1:  # masks may leave nothing where is looked
            moments, pixels = _sampled(scene, 1)
        response, intercept = regress_nonnegative(moments, bands, bands)
        unit = float(pixels.norm(dim=0).mean()) or 1.0
        return Mixture(learn_spectra(pixels / unit), response, intercept, unit)

    def fuse(self, image: TileImage, state: Mixture) -> Tensor:
        """See :class:`pancli.methods.protocol.Method`."""
        response = state.response.to(image.pan)
        spectra = state.spectra.to(image.pan)
        seen = mix(response, image.upsampled)
        missing = (image.pan[0] - state.intercept - seen) / state.unit
        before = unmix(spectra, image.upsampled / state.unit).clamp_min(_PRESENT)
        after = follow_pan(response @ spectra, before, missing)
        return image.upsampled + state.unit * mix(spectra, after - before)


def _step(info: PairInfo) -> int:
    """Every so many ms rows and columns one is kept: about :data:`_PIXELS` of a block that is looked at."""
    return max(round(MOMENTS.side / info.placement.ratio / math.sqrt(_PIXELS)), 1)


def _sampled(scene: Scene, step: int) -> tuple[Moments, Tensor]:
    """Moments of ms and pan on the ms grid, and (B, N) ms pixels of every so many of its rows and columns.

    Counted from the first on the scene's area, in pan's order, so that neither the tiles that there is memory
    for nor what a file holds beside that area, nor where its rows begin, say which these are.
    """
    info, kept = scene.info, [torch.zeros(scene.info.bands, 0, dtype=torch.float64)]
    placement = info.placement
    first = [
        start if axis.scale > 0 else stop - 1
        for axis, (start, stop) in zip(placement.axes, placement.ms_inside(scene.area).spans, strict=True)
    ]

    def sampler(image: TileImage) -> Tensor:
        rows, cols = (
            (torch.arange(*span, device=image.ms_valid.device) - start) % step == 0
            for span, start in zip(image.ms_window.spans, first, strict=True)
        )
        picked = replace(image, ms_valid=image.ms_valid & rows[:, None] & cols)
        kept.append(picked.ms_core_samples(info.mean_gain)[0].cpu())
        return ms_grid_samples(image)

    (moments,) = gather(scene, ms_grid_margin(info, info.mean_gain), sampler)
    return moments, torch.cat(kept, 1).clamp_min(0)


def learn_spectra(pixels: Tensor) -> Tensor:
    """Spectra that nonnegative mixtures of which explain the pixels: B + 1 of them.

    Starts from extreme pixels (each the farthest from the span of those before; Araujo et al., "The
    successive projections algorithm", 2001) and refines them by the multiplicative updates of Lee and
    Seung, "Algorithms for non-negative matrix factorization", 2001, eq. 4, abundances summing to about one.

    Args:
        pixels: (B, N) float64, nonnegative, N at least 1.

    Returns:
        (B, B + 1) float64, nonnegative.
    """
    lifted = _lift(pixels)
    residual = lifted.clone()
    chosen: list[int] = []
    for _ in range(len(lifted)):
        chosen.append(int(residual.square().sum(0).argmax()))
        axis = residual[:, chosen[-1]] / residual[:, chosen[-1]].norm().clamp_min(_TINY)
        residual = residual - torch.outer(axis, axis @ residual)
    spectra = pixels[:, chosen].clone()
    shares = unmix(spectra, pixels)
    for _ in range(_LEARNING_STEPS):
        shares = _update(_lift(spectra), shares, lifted)
        spectra = spectra * (pixels @ shares.T + _TINY) / (spectra @ shares @ shares.T + _TINY)
    return spectra


def unmix(spectra: Tensor, pixels: Tensor) -> Tensor:
    """Nonnegative abundances, summing to about one, that explain pixels.

    Args:
        spectra: (B, K).
        pixels: (B, ...); negative values count as zero.

    Returns:
        (K, ...) of the pixels' dtype.
    """
    lifted, target = _lift(spectra), _lift(pixels.clamp_min(0))
    inverse = torch.linalg.pinv(lifted.double(), rtol=1e-6).to(lifted)
    shares = mix(inverse, target).clamp_min(1e-3)
    for _ in range(_UNMIXING_STEPS):
        shares = _update(lifted, shares, target)
    return shares


def follow_pan(sight: Tensor, shares: Tensor, missing: Tensor) -> Tensor:
    """Abundances moved so that pan sees what it lacks, while their sum nearly stays.

    Args:
        sight: (K,), what pan sees of each spectrum.
        shares: (K, H, W), the abundances that ms explains.
        missing: (H, W), what pan shows beyond them.

    Returns:
        (K, H, W); ``shares`` itself where nothing is missing.
    """
    size = sight.norm()  # in pan's units, beside which _TINY must be tiny
    size = torch.where(size > 0, size, 1.0)
    sight, missing = sight / size, missing / size
    seen = mix(sight, shares)
    level = _CLOSURE * sight.square().mean().sqrt()
    rows = torch.stack([sight, level.expand_as(sight)])
    target = torch.stack([(seen + missing).clamp_min(0), level * shares.sum(0)])
    for _ in range(_UNMIXING_STEPS):
        shares = _update(rows, shares, target)
    return shares


def _lift(vectors: Tensor) -> Tensor:
    """One more row of ones: fitting it makes abundances sum to one."""
    return torch.cat([vectors, torch.ones_like(vectors[:1])])


def _update(spectra: Tensor, shares: Tensor, target: Tensor) -> Tensor:
    """One multiplicative step of nonnegative least squares on the abundances."""
    wanted = mix(spectra.T, target) + _TINY
    return shares * wanted / (mix(spectra.T @ spectra, shares) + _TINY)


CNMF = Cnmf(
    "cnmf",
    Contract(
        summary="spectral unmixing: detail goes to the materials present; meant for many bands, slow",
        source="Yokoya, Yairi, Iwasaki, Coupled nonnegative matrix factorization unmixing, TGRS 2012",
        workspace=36,
    ),
)

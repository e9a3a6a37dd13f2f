"""A truth as a random sensor sees it, or as it was seen already: what training examples are cut from.

The degradation is Wald's ("Fusion of satellite images of different spatial resolutions", PE&RS 1997) with
everything randomised that differs between sensors: ratio, phase of the grids, MTF of every band and of pan,
an unknown shift, noise. Gains, offsets and band order need no randomising: the units of
:mod:`pancli.methods.units` take them away.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from pancli.device import CPU
from pancli.methods.agreement import Agreement
from pancli.methods.alignment import NOWHERE, Shift, aligned, find_shift
from pancli.methods.crispness import PICKED, crisp, crispness_of
from pancli.methods.moments import Moments
from pancli.methods.mtf import LOWEST_GAIN, SHARPEST
from pancli.methods.units import Units
from pancli.networks.protocol import Traits
from pancli.placement import AxisMap, Placement
from pancli.resampling import degrade, upsample
from pancli.sensors import GENERIC
from pancli.simulation.scenes import random_pair
from pancli.tiling import Window
from pancli.training.images import Image, Room, crop, pan_under
from pancli.training.recipe import Degradation

_DECIMATED = (0.3, 0.7)  # MTF at the ms Nyquist frequency of ms that was made with hardly any low-pass
_UNEXPLAINED = 0.3  # most of a made pan that bands do not explain, relative to their standard deviation
_SOFTNESS = (0.35, 0.9)  # of a made pan against the truth, as _softened takes it: 0.68 to 1 is what is left
_AWAY = 1.5  # pixels along each axis by which a pan that does not fit lies elsewhere, at most
_FOREIGN = (0.2, 0.8)  # of what is not of this place in a pan that does not fit, against its own
_NARROW, _WIDE = 0.02, 0.12  # deviations of a made band's response, as parts of a spectrum
_PAN_FROM, _PAN_TO = (0.0, 0.3), (0.55, 1.0)  # of a spectrum: where a made pan's response is half
_PICKED = 0.97  # the same of ms whose pixels were picked
_BLUNT = (0.02, 0.9)  # of a truth that is less sharp than its pan, likewise: 0.06 to 1 is left


class Region(NamedTuple):
    """Part of an observed scene and its units.

    Attributes:
        pan: (1, n, n).
        upsampled: (B, n, n), ms on the pan grid.
        reference: (B, n, n), the truth.
        moments: Of the bands and, last, of pan, on the ms grid.
        ms: (B, m, m).
        placement: Where ms is believed to lie.
        shown: What the pair shows of the MTF at the ms Nyquist frequency, of all bands.
        agreement: Of pan and ms, where pan is aligned; else None.
    """

    pan: Tensor
    upsampled: Tensor
    reference: Tensor
    moments: Moments
    ms: Tensor
    placement: Placement
    shown: float
    agreement: Agreement | None = None

    @property
    def units(self) -> Units:
        """Of the region."""
        return Units.of(self.moments)


def uniform(generator: torch.Generator, low: float, high: float) -> float:
    """One number between two."""
    return low + (high - low) * float(torch.rand((), generator=generator))


def integer(generator: torch.Generator, stop: int) -> int:
    """One of 0 .. stop - 1."""
    return int(torch.randint(stop, (), generator=generator))


def choose_window(room: Room, generator: torch.Generator) -> Window:
    """One of the windows there is room for."""
    if room.free is None:
        row, col = (integer(generator, count) for count in room.count)
    else:
        row, col = divmod(int(room.free[integer(generator, len(room.free))]), room.count[1])
    return Window(row, col, *room.shape)


def draw_region(
    kind: str,
    image: Image,
    window: Window,
    degradation: Degradation,
    generator: torch.Generator,
    device: torch.device = CPU,
) -> Region:
    """A window of an image's bands, observed at random.

    Args:
        kind: Of source: "pairs", "truth" or "spectrum".
        image: Which.
        window: Where.
        degradation: How.
        generator: Where randomness comes from, on the CPU.
        device: Where to observe it, and where the region lies.
    """
    reference = crop(image.bands, window).to(device)
    if kind == "pairs":
        gain = uniform(generator, *degradation.pan_gains)
        pan = reduced_pan(image, window, gain, apart(degradation.shift, generator), device)
    else:
        softness = uniform(generator, *_SOFTNESS)
        if kind == "spectrum":
            pan, reference = through_camera(reference, generator)
        else:
            pan = made_pan(reference, generator)
        pan = _softened(pan, softness, apart(degradation.shift, generator))
    turns, mirror = integer(generator, 4), integer(generator, 2)
    both = torch.rot90(torch.cat((pan, reference)), turns, (1, 2))
    both = both.flip(2) if mirror else both
    return observe(both[:1], both[1:], degradation, generator)


def referenced_region(image: Image, window: Window, side: int, device: torch.device) -> Region:
    """A window of a referenced image's bands, as it was observed already.

    Args:
        image: Which.
        window: Where.
        side: Most pan pixels along an axis: the last ms pixels may reach beyond.
        device: Where the region lies.
    """
    pan, ms, reference, placement = referenced_parts(image, window)
    pan, reference = (part[:, :side, :side].to(device) for part in (pan, reference))
    return whole_region(pan, ms.to(device), reference, placement, image.shown)


def simulated_region(
    size: int, bands: int, degradation: Degradation, generator: torch.Generator, device: torch.device = CPU
) -> Region:
    """A simulated scene of at least so many bands, as its own sensor sees it; pan lies a little elsewhere."""
    ratio = degradation.ratios[integer(generator, len(degradation.ratios))]
    count = bands + integer(generator, 3)
    pair = random_pair(generator, size, count, ratio, registered=True, device=device)
    pan = pair.pan if integer(generator, 2) else aligned(pair.pan, apart(degradation.shift, generator))
    if _happens(degradation.blunt, generator):
        return observe(pan, pair.reference, degradation, generator, blunt=True)
    gains = pair.instrument.ms_gains
    gain = _estimated(sum(gains) / len(gains), degradation, generator)
    pan = _misfitting(pan, generator) if _happens(degradation.misfit, generator) else pan
    return whole_region(pan, pair.ms, pair.reference, pair.placement, gain)


def reduced_pan(
    image: Image, window: Window, gain: float, shift: Shift = NOWHERE, device: torch.device = CPU
) -> Tensor:
    """Pan (1, h, w) as an ms window of an image would have it.

    Args:
        image: A pair.
        window: Which of its ms pixels.
        gain: MTF at the ms Nyquist frequency.
        shift: (down, right), ms pixels by which what is seen lies elsewhere.
        device: Where to compute.
    """
    pan, placement = _pan_under(image, window)
    moved = placement.shifted(shift[0] * placement.rows.ratio, shift[1] * placement.cols.ratio)
    whole, ms_whole = Window(0, 0, *pan.shape[1:]), Window(0, 0, *window.shape)
    return degrade(pan.to(device), moved, whole, ms_whole, gain)


def _pan_under(image: Image, window: Window) -> tuple[Tensor, Placement]:
    if image.pan is None:
        raise ValueError(f"{image.name} has no pan")
    under, placement = pan_under(image.placement, window)
    return crop(image.pan, under)[None], placement


def referenced_parts(image: Image, window: Window) -> tuple[Tensor, Tensor, Tensor, Placement]:
    """The pan (1, H, W) on an ms window, that ms (B, h, w), their truth (B, H, W), and how ms lies on pan."""
    if image.reference is None:
        raise ValueError(f"{image.name} has no reference")
    pan, placement = _pan_under(image, window)
    reference = crop(image.reference, pan_under(image.placement, window)[0])
    return pan, crop(image.bands, window), reference, placement


def made_pan(reference: Tensor, generator: torch.Generator) -> Tensor:
    """A pan (1, H, W) of random band weights, with a part that no linear mixture of bands explains.

    That part is the product of two standardised mixtures: it has the scene's edges, as a real pan's has.
    """
    count = reference.shape[0]
    mixtures = torch.randn(2, count, generator=generator).to(reference)
    weights = torch.rand(count, generator=generator).to(reference)
    spread = reference.std((1, 2), keepdim=True).clamp_min(1e-6)
    standard = (reference - reference.mean((1, 2), keepdim=True)) / spread
    product = torch.einsum("kb,bhw->khw", mixtures, standard).prod(0, keepdim=True) / count
    explained = torch.einsum("b,bhw->hw", weights / weights.sum(), standard)[None]
    part = uniform(generator, 0.0, _UNEXPLAINED)
    return explained + part * product * explained.std() / product.std().clamp_min(1e-6)


def through_camera(spectrum: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Pan (1, H, W) and bands (B, H, W) of a random camera, of a spectrum (N, H, W) in order of wavelength.

    Bands respond as Gaussians of any width, 4 to 8 of them; pan to most of the range at once.
    """
    along = torch.linspace(0.0, 1.0, spectrum.shape[0])[None]
    bands = 4 + integer(generator, 5)
    centres = torch.rand(bands, 1, generator=generator)
    widths = _NARROW + (_WIDE - _NARROW) * torch.rand(bands, 1, generator=generator)
    edges = uniform(generator, *_PAN_FROM), uniform(generator, *_PAN_TO)
    pan = torch.sigmoid((along - edges[0]) / _NARROW) * torch.sigmoid((edges[1] - along) / _NARROW)
    responses = torch.cat((pan, (-0.5 * ((along - centres) / widths).square()).exp()))
    seen = torch.einsum("kn,nhw->khw", (responses / responses.sum(1, keepdim=True)).to(spectrum), spectrum)
    return seen[:1], seen[1:]


def observe(
    pan: Tensor,
    reference: Tensor,
    degradation: Degradation,
    generator: torch.Generator,
    *,
    blunt: bool = False,
) -> Region:
    """Reduce a truth to ms, as a random sensor would, and interpolate it back where it is believed to lie.

    Args:
        pan: (1, H, W).
        reference: (B, H, W), the truth.
        degradation: How.
        generator: Where randomness comes from.
        blunt: Whether the truth is made less sharp than pan, and ms of it by picking pixels.
    """
    ratio = degradation.ratios[integer(generator, len(degradation.ratios))]
    blunt = blunt or _happens(degradation.blunt, generator)
    misfits = _happens(degradation.misfit, generator)
    left, gains = 1.0, degradation.ms_gains
    if misfits:
        pan, gains = _misfitting(pan, generator), _DECIMATED
    if blunt:
        gains = _PICKED, _PICKED
    if blunt or (misfits and _happens(0.5, generator)):
        left = math.exp(uniform(generator, *map(math.log, _BLUNT)))
        reference = _softened(reference, left)
    axes = []
    for side in reference.shape[1:]:
        phase = uniform(generator, -degradation.phase, degradation.phase)
        axes.append(AxisMap(1.0 / ratio, phase, math.floor(side / ratio + min(phase, 0.0))))
    placement = Placement(*axes)
    whole, ms_whole = Window(0, 0, *reference.shape[1:]), Window(0, 0, *placement.ms_shape)
    gain = uniform(generator, *gains)
    bands = []
    for band in reference[:, None]:
        spread = uniform(generator, -degradation.gain_spread, degradation.gain_spread)
        bands.append(degrade(band, placement, whole, ms_whole, min(max(gain + spread, 0.05), _PICKED)))
    ms = _noisy(torch.cat(bands), uniform(generator, 0.0, degradation.noise), generator)
    pan = _noisy(pan, uniform(generator, 0.0, degradation.noise), generator)
    between = gain * left ** (1 / ratio**2)  # a Gaussian leaves so much at the ms Nyquist frequency
    return whole_region(pan, ms, reference, placement, _estimated(between, degradation, generator))


def _estimated(gain: float, degradation: Degradation, generator: torch.Generator) -> float:
    """The MTF gain between pan and ms as it is estimated of a scene."""
    if degradation.gain_error == 0:
        return gain
    error = uniform(generator, -degradation.gain_error, degradation.gain_error)
    # The less blur there is, the better it is known.
    return min(max(gain + error * min(1.0, 2 * (1 - gain)), LOWEST_GAIN), SHARPEST)


def _happens(chance: float, generator: torch.Generator) -> bool:
    return chance > 0 and uniform(generator, 0.0, 1.0) < chance


def _misfitting(pan: Tensor, generator: torch.Generator) -> Tensor:
    """Pan (1, h, w) from elsewhere, or with things in it that are not there, or both, or neither.

    What is not there is pan itself, upside down: it is as sharp and as bright as pan.
    """
    if uniform(generator, 0.0, 1.0) < 0.6:
        pan = aligned(pan, apart(_AWAY, generator))
    if uniform(generator, 0.0, 1.0) < 0.4:
        pan = pan + uniform(generator, *_FOREIGN) * (pan.flip(1) - pan.mean())
    return pan


def apart(most: float, generator: torch.Generator) -> Shift:
    """A displacement of at most so much along each axis."""
    return uniform(generator, -most, most), uniform(generator, -most, most)


def _softened(image: Tensor, gain: float, shift: Shift = NOWHERE) -> Tensor:
    """An image (C, h, w) through the samples of a Gaussian that leaves so much at its own Nyquist frequency.

    At so fine a grid the samples leave more than the Gaussian itself: 0.2 for a gain of 0.1, 0.68 for 0.35.
    """
    axes = (AxisMap(1.0, away, side) for away, side in zip(shift, image.shape[1:], strict=True))
    whole = Window(0, 0, *image.shape[1:])
    return degrade(image, Placement(*axes), whole, whole, gain)


def whole_region(pan: Tensor, ms: Tensor, reference: Tensor, placement: Placement, shown: float) -> Region:
    """What was observed and the gain it shows, with units taken on the ms grid as they are of a scene."""
    whole, ms_whole = Window(0, 0, *pan.shape[1:]), Window(0, 0, *placement.ms_shape)
    reduced = degrade(pan, placement, whole, ms_whole, GENERIC.ms_gains[0])
    moments = Moments.of(torch.cat((ms, reduced)).flatten(1))
    return Region(pan, upsample(ms, placement, ms_whole, whole), reference, moments, ms, placement, shown)


def shown_region(region: Region, traits: Traits) -> Region:
    """A region as a network is shown it: to one that sees physics with pan made crisp and laid on ms."""
    if not traits.physics:
        return region
    region = crisp_region(region)
    whole, ms_whole = Window(0, 0, *region.pan.shape[1:]), Window(0, 0, *region.placement.ms_shape)

    def reduced(shift: Shift) -> Tensor:
        return degrade(aligned(region.pan, shift), region.placement, whole, ms_whole, GENERIC.ms_gains[0])

    def measure(shift: Shift) -> Agreement:
        return Agreement.empty(len(region.ms), region.placement).seen(region.ms, reduced(shift))

    shift, agreement, _ = find_shift(measure)
    moments = Moments.of(torch.cat((region.ms, reduced(shift))).flatten(1))
    return region._replace(pan=aligned(region.pan, shift), moments=moments, agreement=agreement)


def crisp_region(region: Region) -> Region:
    """A region with its pan made as crisp as that of a scene is; with the moments that it had."""
    if region.shown > PICKED:
        return region
    everywhere = torch.ones_like(region.pan[0], dtype=torch.bool)
    missing = crispness_of([(region.pan[0], everywhere)], GENERIC)
    return region._replace(pan=crisp(region.pan, missing))


def _noisy(image: Tensor, level: float, generator: torch.Generator) -> Tensor:
    noise = torch.randn(image.shape, generator=generator).to(image)
    return image + noise * level * image.std((1, 2), keepdim=True)

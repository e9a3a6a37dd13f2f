"""Pairs with an exact answer: draw a ground, look at it through two cameras, keep what a perfect one sees."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pancli.device import CPU
from pancli.placement import AxisMap, Placement
from pancli.resampling import blur, degrade, mtf_radius
from pancli.simulation.ground import draw_ground
from pancli.simulation.instruments import Instrument, random_instrument
from pancli.tiling import Window

_SLACK = 1e-6  # of an ms pixel: 512 / 4.000000001 is still 128


@dataclass(frozen=True, slots=True)
class SimulatedPair:
    """What two cameras delivered, and the truth. All float32, all in digital numbers, 0 to ``peak``.

    All lie on the device they were drawn on. Randomness comes from the host, so that a seed means one scene:
    from device to device it differs by what arithmetic rounds, now and then by a digital number.

    Attributes:
        pan: (1, H, W), blurred, noisy, whole numbers.
        ms: (B, h, w), likewise.
        reference: (B, H, W), what a sharp ms camera without noise or rounding would have seen at pan's
            pixels. Degraded through ``placement.shifted`` by the instrument's shift and each band's own, with
            that band's gain, it is the ms before noise, rounding included up to half a number, but at the
            rim, where ms saw ground that the reference does not show.
        placement: How the files claim the ms grid lies on the pan grid: their corners meet.
        instrument: What saw it: responses, gains, shifts, noise, bits.
    """

    pan: Tensor
    ms: Tensor
    reference: Tensor
    placement: Placement
    instrument: Instrument

    @property
    def peak(self) -> float:
        """The largest digital number."""
        return self.instrument.peak


def random_pair(
    generator: torch.Generator,
    size: int,
    bands: int,
    ratio: float,
    *,
    registered: bool = False,
    device: torch.device = CPU,
) -> SimulatedPair:
    """A random ground seen by a random instrument, ``size`` pixels square.

    Args:
        generator: Where randomness comes from: the same state gives the same pair.
        size: Pan pixels along each side.
        bands: Number of ms bands, at least 1.
        ratio: Pan pixels per ms pixel, above 1; need not divide ``size``.
        registered: Whether ms as a whole lies where it claims to, so that the truth lies where ms does, too;
            its bands may still lie a little apart.
        device: Where to draw it.

    Raises:
        ValueError: The image would be empty, without bands, or sharper in ms than in pan.
    """
    rng = _numpy_generator(generator)
    if bands < 1:
        raise ValueError(f"a pair needs at least one band, got {bands}")
    instrument = random_instrument(rng, bands, ratio)
    if registered:
        instrument = replace(instrument, shift=(0.0, 0.0))
    return observe(rng, instrument, (size, size), ratio, device)


def seeded_pair(
    seed: int, instrument: Instrument, shape: tuple[int, int], ratio: float, device: torch.device = CPU
) -> SimulatedPair:
    """The random ground number ``seed`` seen by a given instrument; see :func:`observe`."""
    return observe(np.random.default_rng(seed), instrument, shape, ratio, device)


def observe(
    rng: np.random.Generator,
    instrument: Instrument,
    shape: tuple[int, int],
    ratio: float,
    device: torch.device = CPU,
) -> SimulatedPair:
    """Draw a ground and let an instrument see it.

    Args:
        rng: Where randomness comes from.
        instrument: What looks.
        shape: (H, W) of pan.
        ratio: Pan pixels per ms pixel, above 1.
        device: Where to draw.

    Raises:
        ValueError: The image would be empty, or sharper in ms than in pan.
    """
    if min(shape) < 1 or not ratio > 1:
        raise ValueError(f"a pair needs a size of 1 pixel and a ratio above 1, got {shape} and {ratio:g}")
    placement = _corner_placement(shape, ratio)
    margin = _margin(instrument, ratio)
    pan_window = Window(0, 0, *shape)
    around = pan_window.grow(margin)
    numbers = _digital_numbers(draw_ground(rng, around.shape, instrument, device), instrument)
    sharp = blur(numbers[1:], (instrument.reference_sigma,) * 2).clamp(0.0, instrument.peak)
    inner = pan_window.slices_in(around)
    pan = blur(numbers[:1], (instrument.pan_sigma,) * 2)[:, *inner]
    ms = _look(sharp, instrument, placement, around)
    return SimulatedPair(
        pan=_record(rng, pan, instrument, 0),
        ms=_record(rng, ms, instrument, 1),
        reference=sharp[:, *inner].contiguous(),
        placement=placement,
        instrument=instrument,
    )


def _numpy_generator(generator: torch.Generator) -> np.random.Generator:
    seed = torch.randint(0, 2**62, (2,), generator=generator, device=generator.device)
    return np.random.default_rng(seed.tolist())


def _corner_placement(shape: tuple[int, int], ratio: float) -> Placement:
    """The ms grid begins at pan's corner and covers all of pan."""
    rows, cols = (AxisMap(1 / ratio, 0.0, math.ceil(n / ratio - _SLACK)) for n in shape)
    return Placement(rows, cols)


def _margin(instrument: Instrument, ratio: float) -> int:
    """Pan pixels of ground around pan that some ms pixel, however shifted, can see."""
    shifts = [
        abs(a + b) for band in instrument.band_shifts for a, b in zip(band, instrument.shift, strict=True)
    ]
    blur = 4 * max(instrument.pan_sigma, instrument.reference_sigma)
    return mtf_radius(ratio, min(instrument.ms_gains)) + math.ceil(ratio + max(shifts) + blur)


def _digital_numbers(ground: Tensor, instrument: Instrument) -> Tensor:
    """Apparent reflectance (1 + B, H, W), plus what the air adds, as unrounded digital numbers."""
    of_channels = instrument.path_reflectance(), instrument.peak / np.asarray(instrument.full_scale)
    path, scale = (torch.from_numpy(numbers).to(ground)[:, None, None] for numbers in of_channels)
    return (ground + path) * scale


def _look(sharp: Tensor, instrument: Instrument, placement: Placement, around: Window) -> Tensor:
    """The ms image before noise, every band from where it truly lies."""
    bands = []
    whole = Window(0, 0, *placement.ms_shape)
    for band, (gain, own) in enumerate(zip(instrument.ms_gains, instrument.band_shifts, strict=True)):
        true = placement.shifted(instrument.shift[0] + own[0], instrument.shift[1] + own[1])
        bands.append(degrade(sharp[band], true, around, whole, gain))
    return torch.stack(bands)


def noise_deviation(numbers: Tensor, instrument: Instrument, camera: int) -> Tensor:
    """Standard deviation of read and shot noise together, in digital numbers.

    Args:
        numbers: Signal in digital numbers, any shape.
        instrument: Whose noise.
        camera: 0 for pan, 1 for ms.
    """
    signal = (numbers / instrument.peak).clamp_min(0)
    read, shot = instrument.read_noise[camera], instrument.shot_noise[camera]
    return (read**2 + shot * signal).sqrt() * instrument.peak


def _record(rng: np.random.Generator, numbers: Tensor, instrument: Instrument, camera: int) -> Tensor:
    """Add noise, round, saturate."""
    deviation = noise_deviation(numbers, instrument, camera)
    noise = torch.from_numpy(rng.standard_normal(tuple(numbers.shape), dtype=np.float32))
    return (numbers + deviation * noise.to(numbers.device)).round().clamp(0, instrument.peak)

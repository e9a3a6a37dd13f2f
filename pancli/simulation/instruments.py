"""Two cameras on one satellite: band responses, sharpness, noise, exposure, and how they are misaligned."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pancli.resampling import mtf_sigma
from pancli.sensors import Sensor
from pancli.simulation.responses import MEASURED, PAN_NODES
from pancli.simulation.spectra import WAVELENGTHS, Spectrum, response

Matrix = npt.NDArray[np.float64]

_COMMON = ((480.0, 60.0), (555.0, 70.0), (660.0, 60.0), (830.0, 120.0))
_EXTRA = ((425.0, 45.0), (605.0, 40.0), (725.0, 40.0), (950.0, 120.0), (1240.0, 60.0), (1610.0, 90.0))
_REAL = 0.4  # of random instruments see as a real sensor does
_NAMES = (
    (450.0, "coastal"),
    (510.0, "blue"),
    (590.0, "green"),
    (625.0, "yellow"),
    (690.0, "red"),
    (755.0, "red edge"),
    (900.0, "nir"),
    (1050.0, "nir2"),
    (math.inf, "swir"),
)


@dataclass(frozen=True, slots=True)
class Instrument:
    """A pan camera and a ms camera. Per-band fields follow the order the bands are delivered in.

    Attributes:
        centres: Band centres, nm.
        widths: Full widths at half maximum, nm.
        pan_range: Where pan's response is half its maximum, nm.
        pan_tilt: Pan's response grows by this fraction of itself from one end of its range to the other.
        pan_curve: Pan's response at :data:`pancli.simulation.responses.PAN_NODES`, instead of range and tilt.
        steepness: Of the bands' edges; see :func:`pancli.simulation.spectra.response`.
        ms_gains: MTF of each ms band at the ms Nyquist frequency.
        pan_sigma: Blur of pan, standard deviation in pan pixels.
        reference_sigma: Blur of the reference, likewise: what a sharp ms camera would have.
        shift: (down, right) in pan pixels; ``placement.shifted(*shift)`` is where ms truly lies.
        band_shifts: (down, right) of each band on top of ``shift``.
        bits: Bits per sample.
        full_scale: Apparent reflectance at which each channel saturates, pan first.
        haze: Apparent reflectance that the air adds at 550 nm.
        haze_power: Its fall with wavelength, ``(wavelength / 550 nm) ** -haze_power``.
        read_noise: Standard deviation at zero signal as a fraction of full scale, (pan, ms).
        shot_noise: Noise variance per signal, both as fractions of full scale, (pan, ms).
    """

    centres: tuple[float, ...]
    widths: tuple[float, ...]
    pan_range: tuple[float, float]
    ms_gains: tuple[float, ...]
    pan_tilt: float = 0.0
    pan_curve: tuple[float, ...] = ()
    steepness: float = 4.0
    pan_sigma: float = mtf_sigma(1.0, 0.15)
    reference_sigma: float = mtf_sigma(1.0, 0.3)
    shift: tuple[float, float] = (0.0, 0.0)
    band_shifts: tuple[tuple[float, float], ...] = ()
    bits: int = 11
    full_scale: tuple[float, ...] = ()
    haze: float = 0.02
    haze_power: float = 2.5
    read_noise: tuple[float, float] = (5e-4, 3e-4)
    shot_noise: tuple[float, float] = (1e-5, 3e-6)

    def __post_init__(self) -> None:
        bands = len(self.centres)
        if not self.band_shifts:
            object.__setattr__(self, "band_shifts", ((0.0, 0.0),) * bands)
        if not self.full_scale:
            object.__setattr__(self, "full_scale", (0.7,) * (bands + 1))

    @property
    def bands(self) -> int:
        """Number of ms bands."""
        return len(self.centres)

    @property
    def peak(self) -> float:
        """The largest digital number."""
        return float(2**self.bits - 1)

    @property
    def band_names(self) -> tuple[str, ...]:
        """What the bands are usually called, by their centres; repeated names are numbered."""
        names = [next(name for limit, name in _NAMES if centre < limit) for centre in self.centres]
        return tuple(
            name if names.count(name) == 1 else f"{name} {names[: i + 1].count(name)}"
            for i, name in enumerate(names)
        )

    def responses(self) -> Matrix:
        """(1 + bands, wavelengths), pan first; rows sum to one."""
        pairs = zip(self.centres, self.widths, strict=True)
        pan = self._pan_response()
        return np.stack([pan / pan.sum(), *(response(c, w, self.steepness) for c, w in pairs)])

    def _pan_response(self) -> Spectrum:
        if self.pan_curve:
            return np.interp(WAVELENGTHS, PAN_NODES, self.pan_curve, left=0.0, right=0.0)
        lo, hi = self.pan_range
        tilt = (1.0 + self.pan_tilt * (WAVELENGTHS - lo) / (hi - lo)).clip(0.05)
        return np.asarray(response((lo + hi) / 2, hi - lo, 8.0) * tilt)

    def path_reflectance(self) -> Spectrum:
        """(1 + bands,) apparent reflectance that haze adds to each channel."""
        return self.responses() @ (self.haze * (WAVELENGTHS / 550.0) ** -self.haze_power)


def _centres(rng: np.random.Generator, bands: int) -> list[tuple[float, float]]:
    if bands <= 4 and rng.random() < 0.3:
        return [(float(c), float(rng.uniform(20, 140))) for c in rng.uniform(430, 950, bands)]
    chosen = list(_COMMON)
    if bands < 4:
        first = 0 if bands > 1 and rng.random() < 0.6 else int(rng.integers(0, 5 - bands))
        chosen = chosen[first : first + bands]
    for i in rng.permutation(len(_EXTRA))[: max(bands - 4, 0)]:
        chosen.append(_EXTRA[i])
    while len(chosen) < bands:
        chosen.append((float(rng.uniform(430, 2250)), float(rng.uniform(15, 60))))
    return [(c + rng.normal(0, 8), w * rng.uniform(0.7, 1.3)) for c, w in chosen]


def _like_a_real_one(rng: np.random.Generator, instrument: Instrument) -> Instrument:
    """The same instrument with the bands and the pan of a real sensor, a little off; if one has so many."""
    sensors = [sensor for sensor in MEASURED.values() if len(sensor.bands) >= instrument.bands]
    if not sensors:
        return instrument
    sensor = sensors[int(rng.integers(len(sensors)))]
    chosen = np.sort(rng.permutation(len(sensor.bands))[: instrument.bands])
    edges = np.asarray(sensor.bands)[chosen]
    order = np.argsort(np.argsort(instrument.centres))  # delivered in order, or in no order, as before
    centres = (edges.mean(1) + rng.normal(0, 4, len(edges)))[order]
    widths = ((edges[:, 1] - edges[:, 0]) * rng.uniform(0.9, 1.1, len(edges)))[order]
    curve = np.asarray(sensor.pan) * np.exp(rng.normal(0, 0.05, len(sensor.pan)))
    return replace(
        instrument,
        centres=tuple(float(c) for c in centres),
        widths=tuple(float(w) for w in widths),
        pan_curve=tuple(float(v) for v in curve),
        steepness=sensor.steepness,
    )


def _pair(rng: np.random.Generator, spread: float) -> tuple[float, float]:
    down, right = rng.normal(0.0, spread, 2)
    return float(down), float(right)


def random_instrument(rng: np.random.Generator, bands: int, ratio: float) -> Instrument:
    """An instrument like none in particular, though two in five see as some real sensor does.

    Three in ten deliver their bands in no order; half are misaligned by a few tenths of a ms pixel or less.

    Args:
        rng: Where randomness comes from.
        bands: Number of ms bands, at least 1.
        ratio: Pan pixels per ms pixel; shifts are drawn in ms pixels.
    """
    (like_real,) = rng.spawn(1)  # draws of its own, so that whatever it draws, the others stay
    chosen = _centres(rng, bands)
    order = rng.permutation(bands) if rng.random() < 0.3 else np.argsort([c for c, _ in chosen])
    chosen = [chosen[i] for i in order]
    pan_lo = rng.uniform(440, 530)
    gain = rng.uniform(0.2, 0.45)
    aligned = rng.random() < 0.5
    spread = 0.02 if aligned else 0.12
    pan_sigma = rng.uniform(0.2, 0.65)
    scale = np.exp(rng.uniform(math.log(0.45), math.log(1.3)))
    snr = np.exp(rng.uniform(math.log(60), math.log(400)))
    instrument = Instrument(
        centres=tuple(float(c) for c, _ in chosen),
        widths=tuple(float(w) for _, w in chosen),
        pan_range=(float(pan_lo), float(rng.choice([rng.uniform(680, 760), rng.uniform(780, 900)]))),
        pan_tilt=float(rng.uniform(-0.6, 0.8)),
        ms_gains=tuple(float(g) for g in np.clip(gain + rng.normal(0, 0.04, bands), 0.15, 0.55)),
        pan_sigma=float(pan_sigma),
        reference_sigma=float(np.clip(0.4 * pan_sigma + 0.2 + rng.normal(0, 0.05), 0.25, 0.5)),
        shift=_pair(rng, spread * ratio),
        band_shifts=tuple(_pair(rng, 0.02 * ratio) for _ in range(bands)),
        bits=int(rng.choice([8, 10, 11, 11, 12, 14])),
        full_scale=tuple(float(s) for s in scale * np.exp(rng.normal(0, 0.15, bands + 1))),
        haze=float(rng.uniform(0.0, 0.1)),
        haze_power=float(rng.uniform(1.0, 4.0)),
        read_noise=(float(0.08 / snr), float(0.04 / snr)),
        shot_noise=(float(0.2 / snr**2), float(0.06 / snr**2)),
    )
    return _like_a_real_one(like_real, instrument) if like_real.random() < _REAL else instrument


def instrument_like(sensor: Sensor, bands: int, rng: np.random.Generator) -> Instrument:
    """An instrument with a known sensor's sharpness and bits, perfectly aligned; bands in rising wavelength.

    Four bands are blue, green, red, near infrared; eight add coastal, yellow, red edge and a second near
    infrared.

    Args:
        sensor: Gains at Nyquist and bits; without bits it counts in 11.
        bands: Number of ms bands, at least 1.
        rng: Draws exposure and haze.
    """
    chosen = [*_COMMON, *_EXTRA][:bands]
    for index in range(bands - len(chosen)):
        chosen.append((1650.0 + 600.0 * (index + 1) / (bands - len(_EXTRA) - 3), 50.0))
    chosen.sort()
    instrument = Instrument(
        centres=tuple(c for c, _ in chosen),
        widths=tuple(w for _, w in chosen),
        pan_range=(455.0, 805.0),
        ms_gains=(),
        pan_sigma=mtf_sigma(1.0, sensor.pan_gain),
        bits=sensor.bits or 11,
        full_scale=tuple(float(rng.uniform(0.55, 0.7)) for _ in range(bands + 1)),
        haze=float(rng.uniform(0.01, 0.04)),
    )
    known = sensor.of_bands(instrument.band_names, range(1, bands + 1), bands)
    return replace(instrument, ms_gains=known.gains(bands))

"""Simulated scenes as files: pan.tif, ms.tif and reference.tif in a folder, placed on the ground."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from pancli import __version__
from pancli.device import find_device
from pancli.errors import UsageError
from pancli.raster.commit import check_folder, prepare_folder
from pancli.raster.spec import PAIR_FILES
from pancli.raster.together import PlacedImage, write_together
from pancli.sensors import find_sensor
from pancli.simulation.instruments import Instrument, instrument_like, random_instrument
from pancli.simulation.scenes import SimulatedPair, seeded_pair

DTYPES = ("uint16", "uint8", "float32")
RANDOM_SENSOR = "random"
PAN_PIXEL = 0.5
"""Side of a pan pixel, metres."""
MIN_SIZE, MAX_SIZE = 16, 4096
MAX_BANDS = 256
MAX_RATIO = 64.0


@dataclass(frozen=True)
class SimulateOptions:
    """What to simulate.

    Attributes:
        size: Pan pixels along each side; a scene is held in memory, some 350 bytes per pan pixel with four
            bands.
        bands: Number of ms bands.
        ratio: Pan pixels per ms pixel, whole or not.
        seed: Number of the scene; the same number gives the same scene.
        sensor: Whose sharpness and bits: a name of :mod:`pancli.sensors`, aligned and in rising wavelength,
            or "random": anything, misaligned by a few tenths of an ms pixel.
        dtype: "uint16" and "uint8" hold digital numbers (of at most 8 bits in uint8), "float32" digital
            numbers times reflectance per number: apparent reflectance.
        overwrite: Replace files that exist.
        device: Where to draw: "auto", "cpu", "cuda" or "cuda:N". Devices round differently, so that a number
            may be another by one from device to device.
    """

    size: int = 512
    bands: int = 4
    ratio: float = 4.0
    seed: int = 0
    sensor: str = "generic"
    dtype: str = "uint16"
    overwrite: bool = False
    device: str = "cpu"

    def __post_init__(self) -> None:
        """Refuse what cannot be simulated.

        Raises:
            UsageError: An option is out of range, or there is no such device.
        """
        _check_range("--size", self.size, MIN_SIZE, MAX_SIZE)
        _check_range("--bands", self.bands, 1, MAX_BANDS)
        _check_range("--ratio", self.ratio, 1.5, min(MAX_RATIO, self.size / 4))
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed} is negative; scenes are numbered from 0")
        if self.dtype not in DTYPES:
            raise UsageError(f"--dtype {self.dtype} is not one of {', '.join(DTYPES)}")
        if self.sensor != RANDOM_SENSOR:
            find_sensor(self.sensor)
        find_device(self.device)


@dataclass(frozen=True)
class SimulatedFiles:
    """A scene that was written: where, and the pair itself."""

    folder: Path
    seed: int
    pair: SimulatedPair


def simulate_files(folder: Path, options: SimulateOptions, count: int = 1) -> Iterator[SimulatedFiles]:
    """Simulate and write scenes, one after the other.

    Args:
        folder: One scene goes straight into it; several go into one folder each, named by their seed:
            ``folder/seed-7``. Created where it does not exist.
        options: What to simulate; further scenes have the following seeds.
        count: How many.

    Yields:
        Each scene once its three files are complete.

    Raises:
        UsageError: ``count`` is below 1.
        OutputError: A file exists already, before anything is simulated, or cannot be written.
    """
    _check_range("--count", count, 1, 1_000_000)
    seeds = range(options.seed, options.seed + count)
    folders = [folder if count == 1 else folder / f"seed-{seed}" for seed in seeds]
    for target in folders:
        check_folder(target, PAIR_FILES, overwrite=options.overwrite)
    for target, seed in zip(folders, seeds, strict=True):
        pair = simulate(options, seed)
        prepare_folder(target, PAIR_FILES, overwrite=options.overwrite)
        write_together(_images(target, pair, options, seed), overwrite=options.overwrite)
        yield SimulatedFiles(target, seed, pair)


def simulate(options: SimulateOptions, seed: int) -> SimulatedPair:
    """Scene number ``seed`` in digital numbers, on the device that drew it."""
    shape, device = (options.size, options.size), find_device(options.device)
    return seeded_pair(seed, _instrument(options, seed), shape, options.ratio, device)


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise UsageError(f"{name} {value:g} is out of range; it must be {low:g} to {high:g}")


def _instrument(options: SimulateOptions, seed: int) -> Instrument:
    rng = np.random.default_rng([seed, 1])
    if options.sensor == RANDOM_SENSOR:
        instrument = random_instrument(rng, options.bands, options.ratio)
    else:
        instrument = instrument_like(find_sensor(options.sensor), options.bands, rng)
    return replace(instrument, bits=min(instrument.bits, 8)) if options.dtype == "uint8" else instrument


def _images(
    folder: Path, pair: SimulatedPair, options: SimulateOptions, seed: int
) -> tuple[PlacedImage, PlacedImage, PlacedImage]:
    instrument = pair.instrument
    told = {"seed": seed, "sensor": options.sensor, "ratio": options.ratio, "instrument": asdict(instrument)}
    tags = {"PANCLI_VERSION": __version__, "PANCLI_SIMULATED": json.dumps(told, sort_keys=True)}
    waves = [
        {"wavelength": f"{centre:.0f}", "wavelength_units": "nm", "fwhm": f"{width:.0f}"}
        for centre, width in zip(instrument.centres, instrument.widths, strict=True)
    ]
    names, scales = instrument.band_names, np.asarray(instrument.full_scale) / instrument.peak
    pan = _delivered(pair.pan, scales[:1], options.dtype)
    ms, reference = (_delivered(image, scales[1:], options.dtype) for image in (pair.ms, pair.reference))
    return (
        PlacedImage(folder / PAIR_FILES[0], pan, PAN_PIXEL, ("pan",), tags),
        PlacedImage(folder / PAIR_FILES[1], ms, PAN_PIXEL * options.ratio, names, tags, waves),
        PlacedImage(folder / PAIR_FILES[2], reference, PAN_PIXEL, names, tags, waves),
    )


def _delivered(image: Tensor, scales: npt.NDArray[np.float64], dtype: str) -> npt.NDArray[Any]:
    """(B, H, W) of the output's type: digital numbers rounded, or apparent reflectance."""
    numbers = image.cpu().numpy()
    if dtype == "float32":
        return np.asarray(numbers * scales[:, None, None], np.float32)
    return np.asarray(np.rint(numbers), dtype)

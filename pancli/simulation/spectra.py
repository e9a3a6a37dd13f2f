"""What materials reflect between 400 and 2300 nm, as smooth curves of our own making.

The curves follow textbook shapes (chlorophyll's absorption and red edge, liquid water's bands at 970, 1200,
1450 and 1940 nm, iron oxide's rise, clear water's fall) without reproducing any library's measurement. What
matters for pansharpening is that bands disagree about materials the way real ones do.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

Spectrum = npt.NDArray[np.float64]

WAVELENGTHS: Spectrum = np.arange(400.0, 2301.0, 20.0)
"""nm; every spectrum is sampled here."""


def _rise(centre: float, width: float) -> Spectrum:
    return 1.0 / (1.0 + np.exp(-(WAVELENGTHS - centre) / width))


def _bump(centre: float, width: float) -> Spectrum:
    return np.exp(-0.5 * ((WAVELENGTHS - centre) / width) ** 2)


def _leaf_water(depth: float) -> Spectrum:
    bands = 0.15 * _bump(970, 30) + 0.35 * _bump(1200, 50) + 1.2 * _bump(1450, 70) + 1.6 * _bump(1940, 110)
    return np.exp(-depth * (bands + 0.5 * _rise(1400, 60)))


def _leaves(green: float, red_edge: float, plateau: float, water: float) -> Spectrum:
    visible = 0.025 + green * _bump(552, 32) + 0.3 * green * _rise(600, 60) * (1 - _rise(660, 12))
    return (visible + plateau * _rise(red_edge, 14)) * _leaf_water(water)


def _flat(level: float, slope: float) -> Spectrum:
    return level + slope * (WAVELENGTHS - 400.0) / 1000.0


MATERIALS: Mapping[str, Spectrum] = MappingProxyType(
    {
        "grass": _leaves(0.075, 715, 0.42, 1.0),
        "crop": _leaves(0.055, 722, 0.52, 1.2),
        "broadleaf": _leaves(0.040, 718, 0.36, 1.1),
        "conifer": _leaves(0.022, 716, 0.21, 1.3),
        "dry grass": 0.06 + 0.14 * _rise(590, 70) + 0.12 * _rise(740, 60) - 0.06 * _bump(1940, 90),
        "loam": 0.035 + 0.13 * _rise(640, 130) + 0.12 * _rise(1000, 200) - 0.08 * _bump(1930, 60),
        "red soil": 0.045 + 0.15 * _rise(590, 55) + 0.14 * _rise(930, 180) - 0.03 * _bump(880, 50),
        "sand": 0.10 + 0.25 * _rise(540, 80) + 0.12 * _rise(900, 200) - 0.08 * _bump(1930, 60),
        "clear water": 0.004 + 0.035 * np.exp(-(WAVELENGTHS - 400) / 130),
        "turbid water": (0.03 + 0.07 * _bump(575, 70)) * (1 - _rise(730, 30)) + 0.002,
        "asphalt": _flat(0.065, 0.05),
        "worn asphalt": _flat(0.12, 0.06),
        "concrete": 0.15 + 0.15 * _rise(500, 80) + 0.03 * _rise(900, 200),
        "white roof": 0.62 * _rise(415, 18) - 0.15 * _rise(1600, 150),
        "gravel roof": _flat(0.22, 0.07),
        "red tile": 0.05 + 0.20 * _rise(592, 24) + 0.10 * _rise(900, 150),
        "brown tile": 0.06 + 0.08 * _rise(600, 60) + 0.05 * _rise(850, 100),
        "slate": _flat(0.07, -0.01) + 0.012 * _bump(470, 60),
        "metal roof": 0.36 + 0.05 * _rise(700, 200) - 0.05 * _bump(850, 60),
        "green paint": 0.05 + 0.13 * _bump(520, 38) + 0.30 * _rise(760, 40),
        "blue paint": 0.06 + 0.12 * _bump(455, 50) + 0.16 * _rise(790, 50),
        "red paint": 0.04 + 0.42 * _rise(612, 14),
        "yellow paint": 0.06 + 0.44 * _rise(512, 16),
        "dark plastic": _flat(0.035, 0.01),
    }
)
"""Reflectance in [0, 1] at :data:`WAVELENGTHS`, by name."""


def response(centre: float, width: float, steepness: float = 4.0) -> Spectrum:
    """Relative response of a band, summing to one: a bell with a flat top.

    Args:
        centre: nm.
        width: Full width at half maximum, nm.
        steepness: Exponent of the edges: 2 is a Gaussian, large is a box.
    """
    weight = np.exp(-np.log(2.0) * np.abs(2.0 * (WAVELENGTHS - centre) / width) ** steepness)
    return np.asarray(weight / weight.sum(), np.float64)


def sunlight() -> Spectrum:
    """Solar irradiance above the ground, relative to 550 nm: Planck's law at 5800 K."""
    metres = WAVELENGTHS * 1e-9
    planck = metres**-5 / np.expm1(0.0143878 / (metres * 5800.0))
    return planck / np.interp(550.0, WAVELENGTHS, planck)


def skylight() -> Spectrum:
    """What shadows are lit by, relative to 550 nm: sunlight scattered, so bluer than the sun."""
    return (WAVELENGTHS / 550.0) ** -1.6

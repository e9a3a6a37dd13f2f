"""A random piece of ground as an instrument's channels see it, before optics and noise."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from pancli.simulation import layouts
from pancli.simulation.instruments import Instrument
from pancli.simulation.palette import Palette
from pancli.simulation.shapes import Canvas
from pancli.simulation.textures import TextureBank, power_law

Field = npt.NDArray[np.float32]


def draw_ground(rng: np.random.Generator, shape: tuple[int, int], instrument: Instrument) -> Field:
    """Draw one of five kinds of landscape: town, suburb, farm land, wild land, or plain shapes.

    Args:
        rng: Where randomness comes from.
        shape: (H, W).
        instrument: Whose channels to paint.

    Returns:
        (1 + bands, H, W) apparent reflectance without haze, pan first, at least 0.
    """
    site = _site(rng, shape, instrument)
    layouts.open_land(site)
    kind = rng.choice(5, p=(0.25, 0.2, 0.2, 0.15, 0.2))
    (_town, _suburb, _farm, _wild, _shapes)[int(kind)](site)
    return _light(rng, site.canvas.pixels)


def _site(rng: np.random.Generator, shape: tuple[int, int], instrument: Instrument) -> layouts.Site:
    azimuth = rng.uniform(0, 2 * math.pi)
    dust = rng.uniform(0.1, 0.5) * rng.dirichlet(np.ones(5))
    sun = math.cos(azimuth), math.sin(azimuth)
    pixels = np.zeros((instrument.bands + 1, *shape), np.float32)
    return layouts.Site(
        rng=rng,
        canvas=Canvas(pixels),
        bank=TextureBank.random(rng, shape, sun),
        palette=Palette.of(instrument, float(rng.uniform(0.2, 0.5)), dust.tolist()),
        sun=sun,
        shadow=float(rng.uniform(0.2, 1.3)),
        heading=float(rng.uniform(0, 0.5 * math.pi)),
    )


def _town(site: layouts.Site) -> None:
    layouts.town(site, site.power_size(11.0, 60.0, 1.6))
    if site.rng.random() < 0.2:
        layouts.river(site)


def _suburb(site: layouts.Site) -> None:
    layouts.fields(site, 12.0)
    layouts.town(site, site.power_size(14.0, 50.0, 1.6))
    layouts.trees(site, float(site.rng.uniform(0.5, 3.0)))


def _farm(site: layouts.Site) -> None:
    layouts.fields(site, 6.0)
    for _ in range(int(site.rng.integers(0, 4))):
        layouts.road(site, site.somewhere(), site.turned(), site.power_size(0.6, 5.0))
    layouts.trees(site, float(site.rng.uniform(0.0, 3.0)))
    if site.rng.random() < 0.3:
        layouts.water(site)


def _wild(site: layouts.Site) -> None:
    layouts.trees(site, float(site.rng.uniform(1.0, 8.0)))
    if site.rng.random() < 0.6:
        layouts.water(site)
    layouts.road(site, site.somewhere(), float(site.rng.uniform(0, math.pi)), site.power_size(0.6, 4.0))


def _shapes(site: layouts.Site) -> None:
    layouts.leaves(site, float(site.rng.uniform(4.0, 12.0)), float(site.rng.uniform(0.8, 2.5)))


def _light(rng: np.random.Generator, pixels: Field) -> Field:
    """Uneven light on all channels alike, and texture that each channel has to itself."""
    light = power_law(rng, pixels.shape[1:], 3.0)[0]
    pixels *= np.exp(np.float32(rng.uniform(0.01, 0.08)) * light)
    common = power_law(rng, pixels.shape[1:], float(rng.uniform(0.3, 1.1)))[0]
    own = power_law(rng, pixels.shape[1:], float(rng.uniform(0.8, 1.6)), len(pixels))
    strength = np.float32(rng.uniform(0.03, 0.09)), np.float32(rng.uniform(0.002, 0.02))
    pixels *= np.maximum(1 + strength[0] * common + strength[1] * own, np.float32(0.3))
    return pixels

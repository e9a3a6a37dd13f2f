"""A random piece of ground as an instrument's channels see it, before optics and noise."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from pancli.simulation.built import road, town, works
from pancli.simulation.canvas import Canvas
from pancli.simulation.instruments import Instrument
from pancli.simulation.land import fields, hills, open_land, river, water
from pancli.simulation.leaves import glints, leaves
from pancli.simulation.palette import Palette
from pancli.simulation.plants import trees, woods
from pancli.simulation.site import Site
from pancli.simulation.textures import TextureBank

_SHARES = (0.22, 0.15, 0.1, 0.17, 0.13, 0.08, 0.15)


def draw_ground(
    rng: np.random.Generator, shape: tuple[int, int], instrument: Instrument, device: torch.device
) -> Tensor:
    """Draw a landscape: town, suburb, works, farm land, wild land, hills, or plain shapes.

    Args:
        rng: Where randomness comes from.
        shape: (H, W).
        instrument: Whose channels to paint.
        device: Where to paint.

    Returns:
        (1 + bands, H, W) apparent reflectance without haze, pan first, above 0.
    """
    site = _site(rng, shape, instrument, device)
    open_land(site)
    kind = int(rng.choice(len(_SHARES), p=_SHARES))
    (_town, _suburb, _works, _farm, _wild, _hills, _shapes)[kind](site)
    return _light(site)


def _site(
    rng: np.random.Generator, shape: tuple[int, int], instrument: Instrument, device: torch.device
) -> Site:
    azimuth = rng.uniform(0, 2 * math.pi)
    shadows = math.cos(azimuth), math.sin(azimuth)
    dust = rng.uniform(0.1, 0.5) * rng.dirichlet(np.ones(5))
    bank = TextureBank.random(rng, shape, shadows, device)
    return Site(
        rng=rng,
        canvas=Canvas(instrument.bands + 1, shape, bank.fields),
        bank=bank,
        palette=Palette.of(instrument, float(rng.uniform(0.2, 0.5)), dust.tolist()),
        sun=shadows,
        shadow=float(rng.uniform(0.2, 1.3)),
        heading=float(rng.uniform(0, 0.5 * math.pi)),
    )


def _town(site: Site) -> None:
    town(site, site.power_size(11.0, 60.0, 1.6))
    if site.rng.random() < 0.2:
        river(site)
    glints(site, float(site.rng.uniform(0, 20)))


def _suburb(site: Site) -> None:
    fields(site, 12.0)
    town(site, site.power_size(14.0, 50.0, 1.6))
    trees(site, float(site.rng.uniform(0.5, 3.0)))


def _works(site: Site) -> None:
    if site.rng.random() < 0.4:
        town(site, site.power_size(12.0, 30.0, 1.6))
    _roads(site, 3)
    works(site)
    glints(site, float(site.rng.uniform(0, 30)))


def _farm(site: Site) -> None:
    fields(site, 6.0)
    _roads(site, 3)
    trees(site, float(site.rng.uniform(0.0, 3.0)))
    if site.rng.random() < 0.3:
        water(site)
    glints(site, float(site.rng.uniform(0, 4)))


def _wild(site: Site) -> None:
    if site.rng.random() < 0.5:
        woods(site)
    trees(site, float(site.rng.uniform(0.0, 6.0)))
    if site.rng.random() < 0.6:
        water(site)
    _roads(site, 2)


def _hills(site: Site) -> None:
    if site.rng.random() < 0.3:
        fields(site, 4.0)
    hills(site)
    if site.rng.random() < 0.3:
        river(site)


def _shapes(site: Site) -> None:
    leaves(site, float(site.rng.uniform(4.0, 12.0)), float(site.rng.uniform(0.8, 2.5)))


def _roads(site: Site, most: int) -> None:
    for _ in range(int(site.rng.integers(0, most + 1))):
        road(site, site.somewhere(), site.turned(0.3), site.power_size(0.6, 5.0))


def _light(site: Site) -> Tensor:
    """The ground under uneven light on all channels alike, with texture that each channel has to itself."""
    pixels = site.canvas.pixels
    light = site.field(3.0)[0]
    common = site.field(float(site.rng.uniform(0.3, 1.1)))[0]
    own = site.field(float(site.rng.uniform(0.8, 1.6)), len(pixels))
    uneven, shared, apart = site.rng.uniform((0.01, 0.03, 0.002), (0.10, 0.09, 0.02)).tolist()
    lit: Tensor = pixels * torch.exp(uneven * light)
    lit *= (1 + shared * common + apart * own).clamp_min(0.3)
    return lit

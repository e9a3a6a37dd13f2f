"""Open country: patches of plants and bare ground, fields, lakes, rivers, hills."""

from __future__ import annotations

import math

import numpy as np

from pancli.simulation.shapes import Patch, bent_strip_distance, box_distance, coverage
from pancli.simulation.site import GROUND, PLANTS, WATER, Field, Site
from pancli.simulation.textures import power_law


def open_land(site: Site) -> None:
    """Cover everything with patches of plants and bare ground, some borders sharp and some gradual."""
    whole = site.whole()
    kinds = int(site.rng.integers(2, 5))
    masks = power_law(site.rng, site.canvas.shape, float(site.rng.uniform(2.2, 3.4)), kinds)
    masks += np.float32(site.rng.uniform(0.0, 0.25)) * site.bank.fine
    for index in range(kinds):
        sharp = np.float32(site.power_size(0.6, 8.0, 1.0001))
        edge = sharp * (masks[index] - np.float32(site.rng.uniform(-0.8, 0.8)))
        cover = np.ones(whole.shape, np.float32) if index == 0 else coverage(edge)
        site.paint(whole, cover, (*PLANTS, *GROUND))


def hills(site: Site) -> None:
    """Shade everything by a rough height field, with woods on the slopes that see less sun."""
    height = power_law(site.rng, site.canvas.shape, float(site.rng.uniform(2.6, 3.6)))[0]
    down, right = np.gradient(height)
    facing = np.asarray(-(site.sun[0] * down + site.sun[1] * right), np.float32)
    facing /= max(float(facing.std()), 1e-6)
    whole = site.whole()
    if site.rng.random() < 0.7:
        moist = np.float32(0.7) * site.bank.rough + facing - np.float32(site.rng.uniform(-0.5, 1.0))
        site.paint(
            whole, coverage(np.float32(site.power_size(0.7, 5.0, 1.5)) * moist), ("conifer", "broadleaf")
        )
    light = 1 - np.float32(site.rng.uniform(0.08, 0.35)) * facing
    site.canvas.pixels[:] *= np.clip(light, 0.2, 2.0)


def fields(site: Site, smallest: float) -> None:
    """Paint farm land: rectangles and polygons with rows and tracks, no larger than a third of the scene."""
    for _ in range(int(site.rng.integers(8, 24))):
        length = site.power_size(max(smallest, site.extent / 16), site.extent / 3, 1.8)
        half = length, length * float(site.rng.uniform(0.3, 1.0))
        patch = site.patch(site.somewhere(), half, site.turned())
        if patch is None:
            continue
        is_box = site.rng.random() < 0.7
        distance = box_distance(patch, half) if is_box else site.polygon(patch, half[1])
        if site.rng.random() < 0.4:
            site.paint(patch, coverage(distance), ("broadleaf", "dry grass", "loam"))
            distance = distance - np.float32(site.rng.uniform(1.0, 3.0))
        _crop(site, patch, coverage(distance))


def _crop(site: Site, patch: Patch, cover: Field) -> None:
    names = ("crop", "crop", "grass", "grass", "loam", "loam", "red soil", "dry grass", "dry grass")
    before = site.palette.pick(site.rng, names)
    shade = site.texture("rough", float(site.rng.uniform(0.03, 0.12)), patch.shape)
    if site.rng.random() < 0.7:
        shade = shade * _rows(site, patch, float(site.rng.uniform(0.03, 0.2)))
    other = site.palette.pick(site.rng, ("crop", "loam"))
    worn = np.clip(site.texture("smooth", 0.12, patch.shape) - np.float32(0.9), 0, 0.6)
    site.canvas.paint(patch, cover, before, shade * (1 - worn), other[:, None, None] * worn)


def _rows(site: Site, patch: Patch, strength: float) -> Field:
    period = site.power_size(2.2, 12.0, 1.5)
    phase = site.texture("smooth", 0.25, patch.shape)
    wave = np.sin(np.float32(2 * math.pi / period) * patch.across + 3 * phase)
    return np.asarray(1 + np.float32(strength) * wave, np.float32)


def water(site: Site) -> None:
    """Paint a lake or a bay with its shore: where a smooth random field is low."""
    whole = site.whole()
    height = power_law(site.rng, site.canvas.shape, float(site.rng.uniform(3.2, 4.4)))[0]
    shore = np.quantile(height[::4, ::4], float(site.rng.uniform(0.1, 0.4))) - height
    slope = np.float32(max(float(np.abs(np.diff(height, axis=0)).mean()), 1e-4))
    shore = np.asarray(shore / slope, np.float32)
    site.paint(whole, coverage(shore + np.float32(site.rng.uniform(0.5, 4.0))), ("sand", "loam", "grass"))
    site.paint(whole, coverage(shore), WATER, 0.4)


def river(site: Site) -> None:
    """Paint a bent band of water."""
    half = site.power_size(3.0, site.extent / 8, 1.5)
    bend = float(site.rng.normal(0, 0.5)) / site.extent
    patch = site.patch(site.somewhere(), (2.0 * site.extent,) * 2, float(site.rng.uniform(0, math.pi)))
    if patch is not None:
        wobble = np.float32(0.15 * half) * (site.texture("smooth", 1.0, patch.shape) - 1)
        distance = bent_strip_distance(patch, half, bend) + wobble
        site.paint(patch, coverage(distance + np.float32(0.2 * half)), ("grass", "broadleaf", "sand", "loam"))
        site.paint(patch, coverage(distance), WATER, 0.4)

"""Open country: patches of plants and bare ground, fields, lakes, rivers, hills."""

from __future__ import annotations

import math

import torch

from pancli.simulation.shapes import Shape, coverage, strip_inside
from pancli.simulation.site import GROUND, PLANTS, WATER, Site
from pancli.simulation.strokes import Cut, Shade, Stroke


def open_land(site: Site) -> None:
    """Cover everything with patches of plants and bare ground, some borders sharp and some gradual."""
    kinds = int(site.rng.integers(2, 5))
    masks = site.field(float(site.rng.uniform(2.2, 3.4)), kinds)
    masks += float(site.rng.uniform(0.0, 0.25)) * site.bank["fine"]
    for index in range(kinds):
        sharp = site.power_size(0.6, 8.0, 1.0001)
        edge = sharp * (masks[index] - float(site.rng.uniform(-0.8, 0.8)))
        site.wash(torch.ones_like(edge) if index == 0 else coverage(edge), (*PLANTS, *GROUND))


def hills(site: Site) -> None:
    """Shade everything by a rough height field, with woods on the slopes that see less sun."""
    down, right = torch.gradient(site.field(float(site.rng.uniform(2.6, 3.6)))[0])
    facing = -(site.sun[0] * down + site.sun[1] * right)
    facing /= facing.std().clamp_min(1e-6)
    if site.rng.random() < 0.7:
        moist = 0.7 * site.bank["rough"] + facing - float(site.rng.uniform(-0.5, 1.0))
        site.wash(coverage(site.power_size(0.7, 5.0, 1.5) * moist), ("conifer", "broadleaf"))
    light = 1 - float(site.rng.uniform(0.08, 0.35)) * facing
    site.canvas.pixels.mul_(light.clamp(0.2, 2.0))


def fields(site: Site, smallest: float) -> None:
    """Paint farm land: rectangles and polygons with rows and tracks, no larger than a third of the scene."""
    for _ in range(int(site.rng.integers(8, 24))):
        length = site.power_size(max(smallest, site.extent / 16), site.extent / 3, 1.8)
        half = length, length * float(site.rng.uniform(0.3, 1.0))
        shape = site.box(site.somewhere(), half, site.turned())
        if shape is None:
            continue
        if site.rng.random() >= 0.7:
            shape = site.polygon(shape, half[1])
        if site.rng.random() < 0.4:
            site.paint(shape, ("broadleaf", "dry grass", "loam"))
            shape = shape.grown(-float(site.rng.uniform(1.0, 3.0)))
        _crop(site, shape)


def _crop(site: Site, shape: Shape) -> None:
    names = ("crop", "crop", "grass", "grass", "loam", "loam", "red soil", "dry grass", "dry grass")
    colour = site.palette.pick(site.rng, names)
    grain = site.cut("rough", float(site.rng.uniform(0.03, 0.12)), shape.bounds)
    shade, phase = Shade(), Cut()
    if site.rng.random() < 0.7:
        strength = float(site.rng.uniform(0.03, 0.2))
        shade = Shade(furrows=strength, frequency=2 * math.pi / site.power_size(2.2, 12.0, 1.5))
        phase = site.cut("smooth", 0.25, shape.bounds)
    under = site.palette.pick(site.rng, ("crop", "loam"))
    wear = site.cut("smooth", 0.12, shape.bounds)
    site.canvas.lay(Stroke(shape, colour, None, shade, grain, phase, wear, under))


def water(site: Site) -> None:
    """Paint a lake or a bay with its shore: where a smooth random field is low."""
    height = site.field(float(site.rng.uniform(3.2, 4.4)))[0]
    shore = torch.quantile(height[::4, ::4].flatten(), float(site.rng.uniform(0.1, 0.4))) - height
    shore /= height.diff(dim=0).abs().mean().clamp_min(1e-4)
    site.wash(coverage(shore + float(site.rng.uniform(0.5, 4.0))), ("sand", "loam", "grass"))
    site.wash(coverage(shore), WATER, 0.4)


def river(site: Site) -> None:
    """Paint a bent band of water."""
    half = site.power_size(3.0, site.extent / 8, 1.5)
    bend = float(site.rng.normal(0, 0.5)) / site.extent
    row, col = site.somewhere()
    angle = float(site.rng.uniform(0, math.pi))
    wobble = 0.15 * half * (site.whole("smooth", 1.0) - 1)
    rows, cols = site.canvas.shape
    down = torch.arange(rows, device=site.canvas.device)[:, None] - row
    right = torch.arange(cols, device=site.canvas.device) - col
    c, s = math.cos(angle), math.sin(angle)
    distance = strip_inside(c * down + s * right, c * right - s * down, half, bend) + wobble
    site.wash(coverage(distance + 0.2 * half), ("grass", "broadleaf", "sand", "loam"))
    site.wash(coverage(distance), WATER, 0.4)

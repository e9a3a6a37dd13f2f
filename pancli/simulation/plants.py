"""Trees, one by one, in loose groups, and as woods."""

from __future__ import annotations

import numpy as np

from pancli.simulation.shapes import coverage, ellipse_distance
from pancli.simulation.site import TREES, Site
from pancli.simulation.textures import power_law


def tree(site: Site, centre: tuple[float, float], radius: float) -> None:
    """Paint one tree: a crown lit from one side, and its shadow."""
    half = radius, radius * float(site.rng.uniform(0.75, 1.0))
    patch = site.patch(centre, half, 0.0)
    if patch is None:
        return
    site.cast_shadow(centre, half, 0.0, 1.5 * radius, round_=True)
    lit = patch.along * np.float32(-site.sun[0] / radius) + patch.across * np.float32(-site.sun[1] / radius)
    shade = np.maximum(1 + np.float32(0.35) * lit, np.float32(0.2))
    if radius > 2:
        shade = shade * site.texture("fine", 0.15, patch.shape)
    colour = site.palette.pick(site.rng, TREES, 0.3)
    site.canvas.paint(patch, coverage(ellipse_distance(patch, half)), colour, shade)


def trees(site: Site, density: float) -> None:
    """Scatter trees: about ``density`` crowns per 1000 pixels, of one typical size, in loose groups."""
    typical = site.power_size(1.3, 6.0, 1.5)
    count = int(density * site.canvas.shape[0] * site.canvas.shape[1] / 1000 / max(typical / 2, 1))
    group = site.somewhere()
    for _ in range(count):
        if site.rng.random() < 0.2:
            group = site.somewhere()
        off = 4 * typical * site.rng.standard_normal(2)
        tree(site, (group[0] + off[0], group[1] + off[1]), typical * float(site.rng.uniform(0.6, 1.4)))


def woods(site: Site) -> None:
    """Cover much of the scene with closed woods: crowns side by side, one kind here, another there."""
    whole = site.whole()
    ground = power_law(site.rng, site.canvas.shape, float(site.rng.uniform(2.6, 3.4)), 2)
    edge = np.float32(6.0) * (ground[0] + np.float32(site.rng.uniform(0.2, 1.5)))
    bark = site.palette.shadow * site.palette.pick(site.rng, TREES)
    for index, cover in enumerate((coverage(edge), coverage(edge) * coverage(np.float32(4.0) * ground[1]))):
        colour = site.palette.pick(site.rng, ("conifer", "broadleaf"), 0.3)
        crowns = np.clip(1 + np.float32(site.rng.uniform(0.25, 0.5)) * site.bank.crowns, 0.1, None)
        gap = np.clip(-site.bank.crowns - np.float32(1.0 + 0.3 * index), 0, 1)
        site.canvas.paint(whole, cover, colour, crowns * (1 - gap), bark[:, None, None] * gap)

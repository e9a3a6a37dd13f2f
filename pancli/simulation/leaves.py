"""Plain shapes of any material over each other, and things smaller than a pixel that shine."""

from __future__ import annotations

import math

from pancli.simulation.site import ANYTHING, Site
from pancli.simulation.strokes import Stroke


def leaves(site: Site, density: float, smallest: float) -> None:
    """Scatter shapes of any material over each other, larger ones first; ``density`` per 1000 pixels."""
    count = int(density * site.canvas.shape[0] * site.canvas.shape[1] / 1000)
    sizes = sorted((site.power_size(smallest, site.extent / 4, 2.6) for _ in range(count)), reverse=True)
    for size in sizes:
        half = size, size * float(site.rng.uniform(0.25, 1.0))
        angle = site.turned() if site.rng.random() < 0.7 else float(site.rng.uniform(0, math.pi))
        centre = site.somewhere()
        shape = site.box(centre, half, angle)
        if shape is None:
            continue
        kind = site.rng.random()
        if kind > 0.8:
            shape = shape.rounded()
        if site.rng.random() < 0.4:
            site.cast_shadow(shape, 0.5 * min(half))
        site.paint(shape if kind > 0.25 else site.polygon(shape, half[1]), ANYTHING, 0.3)


def glints(site: Site, density: float) -> None:
    """Scatter bright things about a pixel large, ``density`` per 10,000 pixels: metal, glass, white cars."""
    for _ in range(int(density * site.canvas.shape[0] * site.canvas.shape[1] / 10_000)):
        half = site.power_size(0.3, 1.2), float(site.rng.uniform(0.3, 0.8))
        glint = site.box(site.somewhere(), half, site.turned())
        if glint is not None:
            colour = site.palette.pick(site.rng, ("white roof", "metal roof", "metal roof", "red paint"), 0.4)
            site.canvas.lay(Stroke(glint, colour))

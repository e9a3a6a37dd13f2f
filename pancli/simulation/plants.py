"""Trees, one by one, in loose groups, and as woods."""

from __future__ import annotations

from pancli.simulation.shapes import coverage
from pancli.simulation.site import TREES, Site
from pancli.simulation.strokes import Cut, Shade, Stroke


def tree(site: Site, centre: tuple[float, float], radius: float) -> None:
    """Paint one tree: a crown lit from one side, and its shadow."""
    half = radius, radius * float(site.rng.uniform(0.75, 1.0))
    box = site.box(centre, half, 0.0)
    if box is None:
        return
    crown = box.rounded()
    site.cast_shadow(crown, 1.5 * radius)
    lit = Shade(-0.35 * site.sun[0] / radius, -0.35 * site.sun[1] / radius, darkest=-0.8)
    grain = site.cut("fine", 0.15, crown.bounds) if radius > 2 else Cut()
    colour = site.palette.pick(site.rng, TREES, 0.3)
    site.canvas.lay(Stroke(crown, colour, shade=lit, grain=grain))


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
    ground, crowns = site.field(float(site.rng.uniform(2.6, 3.4)), 2), site.bank["crowns"]
    edge = 6.0 * (ground[0] + float(site.rng.uniform(0.2, 1.5)))
    bark = site.palette.shadow * site.palette.pick(site.rng, TREES)
    for index, cover in enumerate((coverage(edge), coverage(edge) * coverage(4.0 * ground[1]))):
        colour = site.palette.pick(site.rng, ("conifer", "broadleaf"), 0.3)
        lit = (1 + float(site.rng.uniform(0.25, 0.5)) * crowns).clamp_min(0.1)
        gap = (-crowns - (1.0 + 0.3 * index)).clamp(0, 1)
        site.canvas.wash(cover, colour, lit * (1 - gap), site.canvas.channels(bark) * gap)

"""What people build: roads and cars, houses, towns, works with large roofs, tanks and car parks."""

from __future__ import annotations

import math

import numpy as np

from pancli.simulation.plants import tree
from pancli.simulation.site import CARS, PAVING, ROOFS, Site
from pancli.simulation.strokes import Shade, Stroke


def road(site: Site, centre: tuple[float, float], angle: float, half: float) -> None:
    """Paint a road through a place across the whole scene, with a middle line and cars if it is wide."""
    bend = float(site.rng.normal(0, 0.15)) / site.extent if site.rng.random() < 0.3 else 0.0
    reach = 1.5 * site.extent
    around = site.box(centre, (reach, half + 2 + abs(bend) * reach**2), angle)
    if around is None:
        return
    strip = around.bent(half, bend)
    site.paint(strip.grown(min(0.4 * half, 3)), ("grass", "loam", "concrete"))
    site.paint(strip, PAVING)
    if half > 2.5:
        line = strip.grown(0.06 * half - half).dashed(3 / half)
        site.canvas.lay(Stroke(line, site.palette.pure("white roof")))
    if half > 1.2 and bend == 0.0:
        _cars(site, centre, angle, half)


def _cars(site: Site, centre: tuple[float, float], angle: float, half: float) -> None:
    size = 0.6 * half, 0.27 * half
    for _ in range(int(site.rng.integers(0, 2 + min(int(site.extent / (8 * half)), 24)))):
        along = float(site.rng.uniform(-0.7, 0.7)) * site.extent
        across = (0.5 if site.rng.random() < 0.5 else -0.5) * half
        _box(site, site.offset(centre, angle, along, across), size, angle)


def house(site: Site, centre: tuple[float, float], half: tuple[float, float], angle: float) -> None:
    """Paint a building: a flat roof with boxes on it or a gabled one, and its shadow."""
    roof = site.box(centre, half, angle)
    if roof is None:
        return
    site.cast_shadow(roof, min(half) * float(site.rng.uniform(0.4, 1.6)))
    colour = site.palette.pick(site.rng, ROOFS)
    if site.rng.random() < 0.6:
        lit = 0.35 * (math.sin(angle) * site.sun[0] - math.cos(angle) * site.sun[1])
        gable = Shade(lean_across=lit, darkest=-abs(lit), brightest=abs(lit))
        site.canvas.lay(Stroke(roof, colour, shade=gable, grain=site.cut("fine", 0.04, roof.bounds)))
        return
    site.canvas.lay(Stroke(roof, colour, grain=site.cut("fine", 0.05, roof.bounds)))
    if min(half) > 5:
        for _ in range(int(site.rng.integers(1, 6))):
            _roof_box(site, centre, half, angle)


def _roof_box(site: Site, centre: tuple[float, float], half: tuple[float, float], angle: float) -> None:
    along, across = site.rng.uniform(-0.7, 0.7, 2) * half
    place = site.offset(centre, angle, float(along), float(across))
    size = min(half) * float(site.rng.uniform(0.05, 0.2))
    box = size * float(site.rng.uniform(1.0, 2.0)), size
    top = site.box(place, box, angle)
    if top is not None:
        site.cast_shadow(top, size)
        site.paint(top, ROOFS)


def town(site: Site, lot: float) -> None:
    """Paint a town: streets along the heading, lots of ``lot`` pixels between them, houses and trees."""
    middle = site.canvas.shape[0] / 2, site.canvas.shape[1] / 2
    every = int(site.rng.integers(2, 4)), int(site.rng.integers(3, 8))
    share, green = float(site.rng.uniform(0.6, 0.98)), float(site.rng.uniform(0.0, 0.8))
    reach = math.ceil(0.75 * site.extent / lot)
    steps = np.arange(-reach, reach + 1)
    for step in steps[steps % every[0] == 0] * lot:
        place = site.offset(middle, site.heading, float(step), 0.0)
        road(site, place, site.heading + 0.5 * math.pi, lot * float(site.rng.uniform(0.12, 0.2)))
    for step in steps[steps % every[1] == 0] * lot:
        place = site.offset(middle, site.heading, 0.0, float(step))
        road(site, place, site.heading, lot * float(site.rng.uniform(0.12, 0.2)))
    for i in steps:
        for j in steps:
            place = site.offset(middle, site.heading, (i + 0.5) * lot, (j + 0.5) * lot)
            _lot(site, place, lot, share, green)


def _lot(site: Site, place: tuple[float, float], lot: float, share: float, green: float) -> None:
    rows, cols = site.canvas.shape
    if not (-lot < place[0] < rows + lot and -lot < place[1] < cols + lot):
        return
    draw = site.rng.random(6)
    if draw[0] < share:
        half = lot * (0.2 + 0.17 * draw[1]), lot * (0.13 + 0.15 * draw[2])
        house(site, (place[0] + (draw[3] - 0.5) * 0.15 * lot, place[1]), half, site.turned(0.03))
    if draw[4] < green:
        off = (site.rng.random(2) - 0.5) * 0.8 * lot
        tree(site, (place[0] + off[0], place[1] + off[1]), lot * (0.06 + 0.12 * draw[5]))


def works(site: Site) -> None:
    """Paint an industrial estate: paved ground, large roofs, tanks, car parks."""
    unit = site.power_size(site.extent / 20, site.extent / 7, 1.3)
    for _ in range(int(site.rng.integers(8, 20))):
        centre, angle = site.somewhere(), site.turned(0.01)
        half = unit * float(site.rng.uniform(0.6, 1.6)), unit * float(site.rng.uniform(0.4, 1.0))
        yard = half[0] * 1.3, half[1] * 1.4
        ground = site.box(centre, yard, angle)
        if ground is None:
            continue
        site.paint(ground, (*PAVING, "gravel roof", "loam"))
        kind = site.rng.random()
        if kind < 0.55:
            house(site, centre, half, angle)
        elif kind < 0.8:
            _car_park(site, centre, half, angle)
        else:
            _tanks(site, centre, half, angle)


def _car_park(site: Site, centre: tuple[float, float], half: tuple[float, float], angle: float) -> None:
    long = site.power_size(2.0, 6.0, 1.2)
    size, full = (0.45 * long, 0.2 * long), float(site.rng.uniform(0.2, 0.95))
    for along in np.arange(-half[0] + long, half[0], 2.2 * long)[:12]:
        for across in np.arange(-half[1] + long, half[1], 0.6 * long)[:24]:
            if site.rng.random() < full:
                _box(site, site.offset(centre, angle, float(along), float(across)), size, angle)


def _box(site: Site, centre: tuple[float, float], half: tuple[float, float], angle: float) -> None:
    box = site.box(centre, half, angle)
    if box is not None:
        site.paint(box, CARS)


def _tanks(site: Site, centre: tuple[float, float], half: tuple[float, float], angle: float) -> None:
    radius = 0.4 * min(half) * float(site.rng.uniform(0.6, 1.0))
    colour = site.palette.pick(site.rng, ("white roof", "metal roof", "concrete"))
    for along in np.arange(-half[0] + radius, half[0], 2.4 * radius)[:6]:
        place = site.offset(centre, angle, float(along), 0.0)
        box = site.box(place, (radius, radius), 0.0)
        if box is not None:
            tank = box.rounded()
            site.cast_shadow(tank, radius)
            lit = Shade(-0.08 * site.sun[0] / radius, -0.08 * site.sun[1] / radius)
            site.canvas.lay(Stroke(tank, colour, shade=lit))

"""Landscapes are lit from one side and paint what they name."""

import math

import numpy as np
import pytest
import torch

from pancli.device import CPU
from pancli.sensors import find_sensor
from pancli.simulation import ground, land
from pancli.simulation.built import house, road, town, works
from pancli.simulation.canvas import Canvas
from pancli.simulation.instruments import instrument_like
from pancli.simulation.land import fields, hills, open_land, river, water
from pancli.simulation.leaves import glints, leaves
from pancli.simulation.palette import Palette
from pancli.simulation.plants import tree, trees, woods
from pancli.simulation.site import Site
from pancli.simulation.textures import TextureBank

PAN, BLUE, GREEN, RED, NIR = range(5)
INSTRUMENT = instrument_like(find_sensor("generic"), 4, np.random.default_rng(0))
LANDSCAPES = (
    ground._town,
    ground._suburb,
    ground._works,
    ground._farm,
    ground._wild,
    ground._hills,
    ground._shapes,
)


def make_site(seed=0, shape=(72, 96), sun=(0.0, 1.0), level=0.3):
    rng = np.random.default_rng(seed)
    bank = TextureBank.random(rng, shape, sun, CPU)
    canvas = Canvas(5, shape, bank.fields)
    canvas.pixels.fill_(level)
    return Site(
        rng=rng,
        canvas=canvas,
        bank=bank,
        palette=Palette.of(INSTRUMENT, 0.3, (0.0,) * 5),
        sun=sun,
        shadow=1.0,
        heading=0.4,
    )


def seen(site):
    """(5, H, W) as painted so far."""
    return site.canvas.pixels.numpy()


@pytest.mark.parametrize("landscape", LANDSCAPES)
@pytest.mark.parametrize("shape", [(40, 90), (33, 17)])
def test_every_landscape_is_positive_and_not_flat_whatever_the_shape(landscape, shape):
    for seed in range(3):
        site = make_site(seed, shape)
        open_land(site)
        landscape(site)
        assert np.isfinite(seen(site)).all()
        assert seen(site).min() >= 0
        assert seen(site).max() < 3
        assert (seen(site).std((1, 2)) > 0.003).all()


def test_every_landscape_is_drawn_sometimes(monkeypatch):
    drawn = set()
    for landscape in LANDSCAPES:
        monkeypatch.setattr(ground, landscape.__name__, lambda _, name=landscape.__name__: drawn.add(name))
    for seed in range(80):
        ground.draw_ground(np.random.default_rng(seed), (16, 16), INSTRUMENT, CPU)
    assert drawn == {landscape.__name__ for landscape in LANDSCAPES}


def test_ground_has_pan_and_every_band_and_follows_its_generator():
    first, again = (ground.draw_ground(np.random.default_rng(5), (48, 60), INSTRUMENT, CPU) for _ in range(2))
    assert first.shape == (5, 48, 60)
    assert first.dtype == torch.float32
    assert torch.equal(first, again)


@pytest.mark.parametrize("sun", [(0.0, 1.0), (1.0, 0.0), (-0.6, -0.8)])
def test_a_house_and_a_tree_darken_the_ground_on_the_side_shadows_fall_to(sun):
    for paint in (lambda s: house(s, (40.0, 40.0), (8.0, 6.0), 0.0), lambda s: tree(s, (40.0, 40.0), 7.0)):
        site = make_site(1, (80, 80), sun)
        paint(site)
        reach = 9.5
        towards = seen(site)[PAN, round(40 + reach * sun[0]), round(40 + reach * sun[1])]
        away = seen(site)[PAN, round(40 - reach * sun[0]), round(40 - reach * sun[1])]
        assert away == pytest.approx(0.3)
        assert towards < 0.2


def test_a_crown_is_bright_on_the_other_side():
    sides = []
    for seed in range(10):
        sun = (0.0, 1.0) if seed % 2 else (1.0, 0.0)
        site = make_site(seed, (80, 80), sun)
        tree(site, (40.0, 40.0), 10.0)
        pan = seen(site)[PAN] if seed % 2 else seen(site)[PAN].T
        sides.append(pan[36:45, 33:38].mean() / pan[36:45, 43:48].mean())
    assert min(sides) > 1.1


@pytest.mark.parametrize("wooded", [True, False])
def test_hills_are_dark_where_they_fall_towards_the_shadows(monkeypatch, wooded):
    ridge = torch.exp(-0.5 * ((torch.arange(64.0) - 32) / 8) ** 2)[:, None].expand(64, 64)
    monkeypatch.setattr(Site, "field", lambda *_: ridge[None])
    if not wooded:
        monkeypatch.setattr(Site, "wash", lambda *_: None)
    for seed in range(5):
        site = make_site(seed, (64, 64), (1.0, 0.0))
        land.hills(site)
        rows = seen(site)[PAN].mean(1)
        assert rows[36:44].mean() < 0.8 * rows[20:28].mean()


def test_plants_shine_in_the_near_infrared_and_water_does_not():
    for seed in range(4):
        green = make_site(seed, level=0.1)
        woods(green)
        changed = np.abs(seen(green)[NIR] - 0.1) > 0.02
        assert changed.mean() > 0.3
        assert seen(green)[NIR][changed].mean() > 2 * seen(green)[RED][changed].mean()
        wet = make_site(seed, (64, 64))
        water(wet)
        dark = seen(wet)[NIR] < 0.08
        assert 0.05 < dark.mean() < 0.6
        assert (seen(wet)[BLUE][dark] > seen(wet)[NIR][dark]).mean() > 0.8


@pytest.mark.parametrize(
    "paint",
    [
        lambda s: town(s, 15.0),
        works,
        river,
        water,
        woods,
        hills,
        lambda s: fields(s, 6.0),
        lambda s: trees(s, 5.0),
        lambda s: leaves(s, 6.0, 1.0),
        lambda s: glints(s, 20.0),
        lambda s: road(s, (30.0, 40.0), 0.7, 3.0),
    ],
)
def test_every_painter_changes_the_ground_and_stays_positive(paint):
    changed = 0
    for seed in range(5):
        site = make_site(seed)
        paint(site)
        assert seen(site).min() >= 0
        changed += bool((np.abs(seen(site) - 0.3) > 0.02).mean() > 0.001)
    assert changed >= 3


def test_a_road_runs_where_and_as_broad_as_asked():
    site = make_site(3, (60, 60), level=0.9)
    site.rng.bit_generator.state = np.random.default_rng(1).bit_generator.state
    road(site, (30.0, 30.0), 0.0, 4.0)
    across = np.abs(seen(site)[PAN] - 0.9).mean(0) > 0.05
    assert across[27:34].all()
    assert not across[:24].any()  # half of 4 pixels, and a verge of 1.6
    assert not across[37:].any()


def test_going_along_and_across_turns_from_down_to_right():
    site = make_site()
    assert site.offset((1.0, 2.0), 0.0, 3.0, 4.0) == pytest.approx((4.0, 6.0))
    assert site.offset((0.0, 0.0), math.pi / 2, 3.0, 1.0) == pytest.approx((-1.0, 3.0))


def test_sizes_follow_their_power_law_between_their_bounds():
    site = make_site()
    sizes = np.array([site.power_size(2.0, 50.0, 2.5) for _ in range(4000)])
    assert 2.0 <= sizes.min() < sizes.max() <= 50.0
    beyond = (2.0**-1.5 - 8.0**-1.5) / (2.0**-1.5 - 50.0**-1.5)  # the share below 8, by the integral
    assert (sizes < 8).mean() == pytest.approx(beyond, abs=0.02)


def test_dust_brings_materials_closer_together():
    pure = Palette.of(INSTRUMENT, 0.3, (0.0,) * 5).colours
    dusty = Palette.of(INSTRUMENT, 0.3, (0.1, 0.1, 0.0, 0.1, 0.0)).colours
    np.testing.assert_allclose(dusty.std(0), 0.7 * pure.std(0), rtol=1e-4)

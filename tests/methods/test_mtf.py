"""The blur between pan and ms, found from the pair alone."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from pancli.methods.mtf import LOWEST_GAIN, SHARPEST, estimate_gain, pair_gains
from pancli.resampling import mtf_sigma
from pancli.sensors import SENSORS
from pancli.simulation.scenes import random_pair
from tests.methods.pairs import GRIDS, hide, make_case, reduce_by_mtf, scene_of


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("gain", [0.17, 0.26, 0.48])
def test_a_known_blur_is_found(gain, grid):
    case = make_case(4, grid)
    ms = reduce_by_mtf(case.truth, case.placement, gain)
    assert estimate_gain(scene_of(case.pan, ms, case.placement)) == pytest.approx(gain, abs=0.01)


@pytest.mark.parametrize(("gain", "found"), [(0.05, LOWEST_GAIN), (0.98, SHARPEST)])
def test_beyond_what_is_looked_for_the_nearest_end_is_taken(gain, found):
    case = make_case()
    ms = reduce_by_mtf(case.truth, case.placement, gain)
    assert estimate_gain(scene_of(case.pan, ms, case.placement)) == pytest.approx(found)


@pytest.mark.parametrize("gain", [0.65, 0.8, 0.9])
def test_a_blur_that_no_sensor_has_is_found_and_believed(gain):
    case = make_case(4)
    scene = scene_of(case.pan, reduce_by_mtf(case.truth, case.placement, gain), case.placement)
    assert estimate_gain(scene) == pytest.approx(gain, abs=0.02)
    assert pair_gains(scene) == pytest.approx((gain,) * 4, abs=0.02)


def test_cameras_with_noise_and_blur_of_their_own_are_told_to_a_tenth():
    """What is found is the blur between pan and the bands: theirs less pan's, as variances."""
    pair = random_pair(torch.Generator().manual_seed(3), 384, 3, 4.0)
    seen = pair.instrument
    variance = [
        mtf_sigma(4.0, gain) ** 2 + seen.reference_sigma**2 - seen.pan_sigma**2 for gain in seen.ms_gains
    ]
    between = [math.exp(-0.5 * math.pi**2 * v / 16) for v in variance]
    placement = pair.placement.shifted(*seen.shift)
    found = estimate_gain(scene_of(pair.pan[0].numpy(), pair.ms.numpy(), placement))
    assert found == pytest.approx(float(np.mean(between)), rel=0.1)


@pytest.mark.parametrize(("gain", "believed"), [(0.31, True), (0.25, True), (0.4, False), (0.17, False)])
def test_the_sensor_is_believed_unless_the_pair_speaks_for_another(gain, believed):
    case, ikonos = make_case(), SENSORS["ikonos"]
    ms = reduce_by_mtf(case.truth, case.placement, gain)
    found = pair_gains(scene_of(case.pan, ms, case.placement, ikonos))
    assert found == (ikonos.ms_gains if believed else pytest.approx((gain,) * 4, abs=0.01))


def test_the_sensor_named_does_not_matter():
    case = make_case()
    named = scene_of(case.pan, case.ms, case.placement, SENSORS["landsat8"])
    assert estimate_gain(named) == estimate_gain(case.scene())


@pytest.mark.parametrize(("of_pan", "of_a_band"), [(1e-6, 1.0), (1.0, 1e-8)])
def test_the_units_do_not_matter(of_pan, of_a_band):
    case = make_case()
    ms = reduce_by_mtf(case.truth, case.placement, 0.4)
    there = estimate_gain(scene_of(case.pan, ms, case.placement))
    ms[3] *= of_a_band
    assert estimate_gain(scene_of(case.pan * of_pan, ms, case.placement)) == pytest.approx(there, abs=1e-4)


def test_masked_pixels_do_not_count():
    """Under a hole in pan there is noise in ms; holes in ms hide different numbers."""
    case, found = make_case(), []
    for seed, hidden in ((0, 0.0), (1, 9999.0)):
        pan, ms = case.pan.copy(), reduce_by_mtf(case.truth, case.placement, 0.4).astype(np.float32)
        pan[100:148, 12:60] = np.nan
        ms[:, 27:35, 5:13] = np.random.default_rng(seed).normal(500, 300, (4, 8, 8))
        ms[1, 5:15, 5:30] = np.nan
        found.append(estimate_gain(hide(replace(case, pan=pan, ms=ms), hidden)))
    assert found[0] == found[1] == pytest.approx(0.4, abs=0.01)


def test_the_size_of_tiles_does_not_matter():
    """The blurs that are looked for reach further than most sensors' own."""
    case = make_case()
    scene = scene_of(case.pan, reduce_by_mtf(case.truth, case.placement, 0.15), case.placement)
    assert estimate_gain(replace(scene, fit_tile=24)) == pytest.approx(estimate_gain(scene), rel=1e-9)


def test_where_nothing_can_be_told_the_sensor_is_believed():
    case = make_case()
    noise = np.random.default_rng(0).normal(size=case.pan.shape)
    constant = np.full_like(case.pan, 433.0)
    invalid = np.full_like(case.pan, np.nan)
    few = invalid.copy()
    few[60:84, 60:84] = case.pan[60:84, 60:84]
    landsat = SENSORS["landsat8"]
    for pan in (noise, constant, invalid, few):
        found = estimate_gain(scene_of(pan, case.ms, case.placement, landsat))
        assert found == pytest.approx(sum(landsat.ms_gains) / 4)

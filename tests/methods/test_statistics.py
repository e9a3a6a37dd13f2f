from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from pancli.errors import MethodError
from pancli.methods import statistics
from pancli.methods.arithmetic import mix, modulation, ratio_or_zero
from pancli.methods.moments import Moments
from pancli.methods.protocol import Sample
from pancli.methods.statistics import (
    gather,
    ms_grid_margin,
    ms_grid_samples,
    pan_grid_margin,
    pan_grid_samples,
    regress_nonnegative,
)
from pancli.resampling import low_pass
from pancli.scene import TiledScene
from tests.methods.pairs import make_case, reduce_by_mtf, scene_of, whole_image


def test_pan_grid_moments_are_those_of_the_whole_image():
    """Two fit tiles, holes included: as one array of all valid pixels would give."""
    case = make_case(2, shape=(96, 560)).masked()
    scene = case.scene()
    image = whole_image(scene)
    coarse = low_pass(image.pan, case.placement, scene.area, scene.info.mean_gain)
    pixels = torch.cat([image.upsampled, image.pan, coarse])[:, image.valid].double().numpy()
    (moments,) = gather(scene, pan_grid_margin(scene.info), pan_grid_samples)
    assert moments.count == pixels.shape[1]
    np.testing.assert_allclose(moments.mean, pixels.mean(1), rtol=1e-6)
    np.testing.assert_allclose(moments.covariance, np.cov(pixels), rtol=1e-5)


@pytest.mark.parametrize("holes", [False, True])
def test_samples_of_a_core_are_its_valid_pixels_image_by_image(holes):
    case = make_case(2, shape=(96, 560))
    scene = case.masked().scene() if holes else case.scene()
    image = next(iter(scene.tiles(8)))
    got = image.core_samples(image.upsampled, image.pan)
    rows, cols = image.tile.inner
    expected = [
        [
            float(band[row, col])
            for row in range(rows.start, rows.stop)
            for col in range(cols.start, cols.stop)
            if image.valid[row, col]
        ]
        for band in (*image.upsampled.numpy(), image.pan[0].numpy())
    ]
    assert got.dtype == torch.float64
    assert got.tolist() == expected


def test_ms_grid_moments_are_those_of_ms_and_degraded_pan():
    case = make_case(3, shape=(96, 560))
    info = case.scene().info
    (moments,) = gather(case.scene(), ms_grid_margin(info, info.mean_gain), ms_grid_samples)
    reduced = reduce_by_mtf(case.pan, case.placement)
    expected = np.cov(np.concatenate([case.ms.reshape(3, -1), reduced.reshape(1, -1)]))
    np.testing.assert_allclose(moments.covariance, expected, rtol=1e-5)


def test_large_scenes_are_sampled(monkeypatch):
    """Their moments, of evenly spread blocks, are near those of all pixels."""
    monkeypatch.setattr(statistics, "MOMENTS", Sample(64, 16))
    scene = make_case(2, shape=(192, 256)).scene()
    margin = pan_grid_margin(scene.info)
    (sampled,) = gather(scene, margin, pan_grid_samples)
    assert sampled.count == 64 * 16 * 16
    monkeypatch.setattr(statistics, "MOMENTS", Sample(1000, 16))
    (everything,) = gather(scene, margin, pan_grid_samples)
    assert everything.count == 192 * 256
    spread = everything.std
    assert bool(((sampled.mean - everything.mean).abs() < 0.2 * spread).all())
    assert bool(((sampled.std / everything.std - 1).abs() < 0.2).all())


@pytest.mark.parametrize("whose", ["pan", "ms"])
def test_sampled_blocks_without_a_valid_pixel_are_replaced_by_their_neighbours(whose):
    """A scene that is valid in one corner alone, which no evenly spread block happens to meet."""
    case = make_case(2, shape=(128, 128))
    holes = np.full((128, 128), np.nan, np.float32)
    holes[:16, :16] = 0
    if whose == "pan":
        scene = replace(case, pan=case.pan + holes).scene()
    else:
        scene = replace(case, ms=case.ms + holes[::4, ::4]).scene()
    assert sum(int(image.valid.sum()) for image in scene.tiles(0, Sample(3, 16))) == 16 * 16


def test_sampled_blocks_are_looked_for_once(monkeypatch):
    case = make_case(2, shape=(128, 128))
    holes = np.full((128, 128), np.nan, np.float32)
    holes[:64] = 0
    scene = replace(case, pan=case.pan + holes).scene()
    first = [image.tile.core for image in scene.tiles(0, Sample(3, 16))]
    monkeypatch.setattr(TiledScene, "_has_valid", lambda *_: pytest.fail("looked for again"))
    assert [image.tile.core for image in scene.tiles(0, Sample(3, 16))] == first


def test_samplers_share_one_pass():
    scene = make_case(3).scene()
    margin = pan_grid_margin(scene.info)
    both = gather(scene, margin, pan_grid_samples, ms_grid_samples)
    assert [len(moments.mean) for moments in both] == [5, 4]
    assert both[1].count == scene.info.placement.rows.size * scene.info.placement.cols.size


def test_rounding_is_no_variation():
    scene = scene_of(np.full((64, 64), 1e4), np.full((2, 16, 16), 3333.3))
    (moments,) = gather(scene, pan_grid_margin(scene.info), pan_grid_samples)
    assert not moments.scatter.any()


def test_a_scene_with_valid_pan_but_no_whole_ms_pixel_is_refused():
    case = make_case(2)
    pan = case.pan.copy()
    pan[::3, ::3] = np.nan
    scene = replace(case, pan=pan).scene()
    with pytest.raises(MethodError, match="0 pixels"):
        gather(scene, ms_grid_margin(scene.info, 0.3), ms_grid_samples)


def test_mix_takes_one_or_many_rows_of_weights():
    image = torch.arange(12.0).reshape(2, 2, 3)
    one = mix(torch.tensor([1.0, 10.0], dtype=torch.float64), image)
    many = mix(torch.eye(2, dtype=torch.float64), image)
    torch.testing.assert_close(one, image[0] + 10 * image[1])
    torch.testing.assert_close(many, image)


def test_modulation_is_bounded_and_one_where_it_has_no_meaning():
    numerator = torch.tensor([4.0, -4.0, 400.0, 4.0, 4.0, 0.0])
    denominator = torch.tensor([2.0, 2.0, 2.0, 0.0, -2.0, 0.0])
    assert modulation(numerator, denominator).tolist() == [2.0, 0.0, 10.0, 1.0, 1.0, 1.0]


def test_a_constant_has_no_gain():
    gain = ratio_or_zero(torch.tensor([6.0, 6.0]), torch.tensor([3.0, 0.0]))
    assert gain.tolist() == [2.0, 0.0]


def test_a_regression_finds_nonnegative_weights():
    samples = np.random.default_rng(0).normal(size=(3, 500))
    pan = 0.4 * samples[0] + 0.6 * samples[2] + 7
    moments = Moments.of(torch.from_numpy(np.vstack([samples, pan])))
    weights, intercept = regress_nonnegative(moments, 3, 3)
    np.testing.assert_allclose(weights, [0.4, 0.0, 0.6], atol=1e-9)
    np.testing.assert_allclose(intercept, 7, atol=1e-9)


def test_a_variable_of_negative_weight_is_left_out_and_the_rest_fitted_again():
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(3, 500))
    samples[1] += samples[0]
    pan = 0.5 * samples[0] - 0.2 * samples[1] + 0.3 * samples[2]
    moments = Moments.of(torch.from_numpy(np.vstack([samples, pan])))
    weights, _ = regress_nonnegative(moments, 3, 3)
    regressors = np.stack([samples[0], samples[2], np.ones(500)], 1)
    expected = np.linalg.lstsq(regressors, pan, rcond=None)[0]
    np.testing.assert_allclose(weights, [expected[0], 0.0, expected[1]], atol=1e-9)


def test_nonnegative_weights_are_the_best_there_are_whatever_the_units():
    """Against every choice of variables, where the most negative weight was not the one to leave out."""
    rng = np.random.default_rng(7)
    for _ in range(20):
        samples = rng.normal(size=(4, 4)) @ rng.normal(size=(4, 300))
        pan = rng.normal(size=4) @ samples + rng.normal(size=300)
        best = best_nonnegative(samples, pan)
        for units in (np.ones(4), 10.0 ** rng.integers(-4, 5, 4)):
            stacked = np.vstack([samples * units[:, None], pan])
            weights, _ = regress_nonnegative(Moments.of(torch.from_numpy(stacked)), 4, 4)
            np.testing.assert_allclose(weights.numpy() * units, best, atol=1e-7)


def best_nonnegative(samples, target):
    """By trying all: of the least squares on some variables that have no negative weight, the nearest."""
    found = []
    centred, wanted = samples - samples.mean(1, keepdims=True), target - target.mean()
    for chosen in product((False, True), repeat=len(samples)):
        weights = np.zeros(len(samples))
        weights[list(chosen)] = np.linalg.lstsq(centred[list(chosen)].T, wanted, rcond=None)[0]
        if weights.min() >= 0:
            found.append((np.square(wanted - weights @ centred).sum(), weights))
    return min(found, key=lambda pair: pair[0])[1]


def test_a_constant_or_repeated_variable_has_no_weight_of_its_own():
    rng = np.random.default_rng(0)
    one = rng.normal(size=400)
    moments = Moments.of(torch.from_numpy(np.stack([one, np.full(400, 3.0), one, 2 * one + 1])))
    weights, intercept = regress_nonnegative(moments, 3, 3)
    np.testing.assert_allclose(weights, [2.0, 0.0, 0.0], atol=1e-9)
    np.testing.assert_allclose(intercept, 1, atol=1e-9)

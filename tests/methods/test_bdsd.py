import itertools
import math

import numpy as np
import pytest
import torch

from pancli.methods.registry import METHODS
from pancli.scene import fuse_scene
from pancli.sensors import find_sensor
from tests.methods.pairs import make_case, reduce_by_mtf, scene_of, whole_image


def gaussian_blur(image, sigma):
    """Along each axis, a Gaussian over whole pixels up to 4 sigma; the edge is repeated."""
    reach = math.ceil(4 * sigma)
    weight = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    for axis in (0, 1):
        padding = [(reach, reach) if a == axis else (0, 0) for a in (0, 1)]
        lines = np.pad(image, padding, mode="edge")
        image = np.apply_along_axis(np.convolve, axis, lines, weight / weight.sum(), "valid")
    return image


def signed_lstsq(known, target):
    """The best of all least-squares solutions over subsets of regressors that has no negative weight."""
    best, error = np.zeros(known.shape[1]), np.inf
    variables = range(known.shape[1] - 1)
    for size in range(len(variables) + 1):
        for subset in itertools.combinations(variables, size):
            columns = [*subset, known.shape[1] - 1]
            found = np.linalg.lstsq(known[:, columns], target, rcond=None)[0]
            rest = np.square(known[:, columns] @ found - target).sum()
            if (found[:-1] >= 0).all() and rest < error:
                best, error = np.zeros(known.shape[1]), rest
                best[columns] = found
    return best


@pytest.mark.parametrize("holed", [False, True])
def test_the_formula(holed):
    """Ms pixels whose blur reaches a hole do not count: it is not the MTF's there."""
    sensor = find_sensor("quickbird")
    case = make_case(4)
    ms = case.ms.copy()
    if holed:
        ms[1, 20, 17:19] = np.nan
    scene = scene_of(case.pan, ms, case.placement, sensor)
    valid = np.isfinite(ms).all(0)
    sigmas = [4 * math.sqrt(-2 * math.log(gain)) / math.pi for gain in sensor.ms_gains]
    share = np.stack([gaussian_blur(valid.astype(float), sigma) for sigma in sigmas])
    smooth = np.stack([gaussian_blur(b * valid, s) for b, s in zip(case.ms, sigmas, strict=True)]) / share
    whole = valid & (share > 0.99).all(0)
    pan = reduce_by_mtf(case.pan, case.placement, float(np.mean(sensor.ms_gains)))
    known = np.concatenate([-smooth, pan[None], np.ones_like(pan)[None]])[:, whole].T
    detail = (case.ms - smooth)[:, whole].T
    solution = np.stack([signed_lstsq(known, column) for column in detail.T], 1)
    image = whole_image(scene)
    e, p = image.upsampled.double().numpy(), image.pan.double().numpy()
    regressors = np.concatenate([-e, p, np.ones_like(p)])
    expected = e + np.tensordot(solution.T, regressors, 1)
    fused = fuse_scene(METHODS["bdsd"], scene, METHODS["bdsd"].fit(scene), 64).numpy()
    seen = image.valid.numpy()
    np.testing.assert_allclose(fused[:, seen], expected[:, seen], rtol=1e-4)


def test_an_offset_of_the_numbers_changes_nothing():
    case = make_case(3)
    method = METHODS["bdsd"]
    shifted = scene_of(case.pan + 500, case.ms + 1000, case.placement)
    plain = fuse_scene(method, case.scene(), method.fit(case.scene()))
    moved = fuse_scene(method, shifted, method.fit(shifted))
    torch.testing.assert_close(moved - 1000, plain, rtol=0, atol=2e-2)


def test_a_repeated_band_gets_the_same_detail():
    case = make_case(2)
    scene = scene_of(case.pan, case.ms[[0, 1, 1]], case.placement)
    fused = fuse_scene(METHODS["bdsd"], scene, METHODS["bdsd"].fit(scene))
    torch.testing.assert_close(fused[1], fused[2])


def test_a_hole_does_not_look_like_detail():
    """The blur leaves masked ms pixels out, so flat ground stays flat around them."""
    ms = np.full((1, 40, 40), 100.0)
    ms[0, 20, 20] = np.nan
    pan = np.random.default_rng(0).normal(300, 50, (160, 160))
    state = METHODS["bdsd"].fit(scene_of(pan, ms))
    assert float(state.intercept.abs().max()) < 1e-9
    assert not state.weights.any()


def test_pan_only_adds_and_bands_only_subtract():
    """Eight correlated bands, every other one half a pixel off: unbound, their weights take both signs."""
    case = make_case(8)
    ms = case.ms.copy()
    ms[::2] = (ms[::2] + np.roll(ms[::2], 1, axis=1)) / 2
    state = METHODS["bdsd"].fit(scene_of(case.pan, ms, case.placement))
    assert bool((state.weights[:, :-1] <= 0).all())
    assert bool((state.weights[:, -1] > 0).all())

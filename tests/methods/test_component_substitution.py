"""Each formula against its plain NumPy form on the whole image."""

import numpy as np
import pytest

from pancli.methods.registry import METHODS
from pancli.resampling import low_pass
from pancli.scene import fuse_scene
from tests.methods.pairs import make_case, reduce_by_mtf, scene_of, whole_image


def whole(scene):
    image = whole_image(scene)
    pan_low = low_pass(image.pan, scene.info.placement, scene.area, scene.info.mean_gain)
    return image.upsampled.double().numpy(), image.pan[0].double().numpy(), pan_low[0].double().numpy()


def flat(image):
    return image.reshape(len(image), -1)


def matched(pan, pan_low, target):
    return (pan - pan.mean()) * target.std(ddof=1) / pan_low.std(ddof=1) + target.mean()


def brovey(e, p, low, case):
    i = e.mean(0)
    return e * matched(p, low, i) / i


def ihs(e, p, low, case):
    i = e.mean(0)
    return np.stack([band + matched(p, low, i) - i for band in e])


def pca(e, p, low, case):
    centred = flat(e) - flat(e).mean(1, keepdims=True)
    axis = np.linalg.svd(centred, full_matrices=False)[0][:, 0]
    component = (axis @ centred).reshape(p.shape)
    if np.corrcoef(component.ravel(), p.ravel())[0, 1] < 0:
        axis, component = -axis, -component
    detail = matched(p, low, component) - component
    return np.stack([band + weight * detail for band, weight in zip(e, axis, strict=True)])


def gains(intensity, e):
    pairs = [np.cov(intensity.ravel(), band.ravel()) for band in e]
    return [pair[0, 1] / pair[0, 0] for pair in pairs]


def gs(e, p, low, case):
    i = e.mean(0) - e.mean()
    detail = (p - p.mean()) * i.std() / low.std() - i
    return np.stack([band + g * detail for band, g in zip(e, gains(i, e), strict=True)])


def gsa(e, p, low, case):
    reduced = reduce_by_mtf(p, case.placement).ravel()
    ones = np.ones(reduced.size)
    weights = np.linalg.lstsq(np.stack([*flat(case.ms), ones], 1), reduced, rcond=None)[0][:-1]
    i = sum(w * (band - band.mean()) for w, band in zip(weights, e, strict=True))
    return np.stack([b + g * (p - p.mean() - i) for b, g in zip(e, gains(i, e), strict=True)])


@pytest.mark.parametrize("formula", [brovey, ihs, pca, gs, gsa], ids=lambda f: f.__name__)
@pytest.mark.parametrize("bands", [1, 4])
def test_the_formula(formula, bands):
    case = make_case(bands)
    scene = case.scene()
    method = METHODS[formula.__name__]
    fused = fuse_scene(method, scene, method.fit(scene), 64).numpy()
    np.testing.assert_allclose(fused, formula(*whole(scene), case), rtol=1e-4)


def test_pca_injects_detail_upright_where_most_bands_run_against_pan():
    case = make_case(3)
    ms = case.ms.copy()
    ms[:2] = 1000 - ms[:2]
    scene = scene_of(case.pan, ms, case.placement)
    state = METHODS["pca"].fit(scene)
    assert state.weights[2] > 0 > state.weights[0]
    fused = fuse_scene(METHODS["pca"], scene, state).numpy()
    assert np.corrcoef(fused[2].ravel(), case.pan.ravel())[0, 1] > 0.9


def test_gsa_finds_the_weights_pan_was_made_with():
    """Pan is 1.1 (1 x band 1 + 4/3 x band 2 + ...) / 6 at every scale, so also at ms resolution."""
    state = METHODS["gsa"].fit(make_case(4).scene())
    expected = 1.1 * np.linspace(1, 2, 4) / 6
    np.testing.assert_allclose(state.weights.numpy(), expected, atol=2e-3)


def test_gsa_takes_a_repeated_and_a_constant_band():
    case = make_case(2)
    constant = np.full_like(case.ms[:1], 7.0)
    scene = scene_of(case.pan, np.concatenate([case.ms, case.ms[1:], constant]), case.placement)
    fused = fuse_scene(METHODS["gsa"], scene, METHODS["gsa"].fit(scene)).numpy()
    plain = fuse_scene(METHODS["gsa"], case.scene(), METHODS["gsa"].fit(case.scene())).numpy()
    np.testing.assert_allclose(fused[:3], plain[[0, 1, 1]], rtol=1e-4)
    np.testing.assert_allclose(fused[3], 7.0, atol=1e-3)


@pytest.mark.parametrize(("of_pan", "of_a_band"), [(1e-6, 1.0), (1.0, 1e-8)])
def test_gsa_takes_units_that_differ(of_pan, of_a_band):
    """One of pan, or of a band, beside which the others are large."""
    case = make_case(4)
    units = np.array([1.0, 1.0, of_a_band, 1.0])[:, None, None]
    scene = scene_of(case.pan * of_pan, case.ms * units, case.placement)
    fused = fuse_scene(METHODS["gsa"], scene, METHODS["gsa"].fit(scene)).numpy()
    plain = fuse_scene(METHODS["gsa"], case.scene(), METHODS["gsa"].fit(case.scene())).numpy()
    np.testing.assert_allclose(fused / units, plain, rtol=1e-4)


def test_brovey_keeps_the_ratio_of_bands():
    scene = make_case(3).scene()
    e, _, _ = whole(scene)
    fused = fuse_scene(METHODS["brovey"], scene, METHODS["brovey"].fit(scene)).numpy()
    np.testing.assert_allclose(fused[0] / fused[2], e[0] / e[2], rtol=1e-5)


def dark_scene():
    """Bands at and below zero, where a ratio has no meaning."""
    case = make_case(3)
    ms = case.ms - np.percentile(case.ms, 20, axis=(1, 2), keepdims=True).astype(np.float32)
    return scene_of(case.pan, ms, case.placement)


def test_brovey_stays_within_ten_times_a_dark_pixel():
    scene = dark_scene()
    e, _, _ = whole(scene)
    fused = fuse_scene(METHODS["brovey"], scene, METHODS["brovey"].fit(scene)).numpy()
    assert (np.abs(fused) <= 10.001 * np.abs(e) + 1e-3).all()
    assert np.isfinite(fused).all()


@pytest.mark.parametrize(("name", "adding"), [("sfim", "hpf"), ("mtf-glp-hpm", "mtf-glp")])
def test_ratio_methods_add_at_most_three_times_the_detail_to_a_dark_pixel(name, adding):
    scene = dark_scene()
    e, _, _ = whole(scene)
    fused, plain = (fuse_scene(METHODS[n], scene, METHODS[n].fit(scene)).numpy() for n in (name, adding))
    assert (np.abs(fused - e) <= 3.001 * np.abs(plain - e) + 1e-2).all()
    assert (fused[e >= 0] >= 0).all()

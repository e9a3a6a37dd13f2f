"""Each formula against its plain NumPy form on the whole image."""

import numpy as np
import pytest
import torch

from pancli.methods.registry import METHODS
from pancli.resampling import low_pass
from pancli.scene import fuse_scene
from pancli.sensors import find_sensor
from tests.methods.pairs import make_case, scene_of
from tests.methods.test_component_substitution import matched, whole


def box(pan, width):
    """The mean over an odd square, pixel by pixel."""
    half = width // 2
    padded = np.pad(pan, half, mode="edge")
    out = np.empty_like(pan)
    for r, c in np.ndindex(pan.shape):
        out[r, c] = padded[r : r + width, c : c + width].mean()
    return out


def cascade(pan):
    """Two B3-spline levels of the a-trous transform, along rows then columns."""
    for dilation in (1, 2):
        for axis in (0, 1):
            padded = np.pad(
                pan, [(2 * dilation, 2 * dilation) if a == axis else (0, 0) for a in (0, 1)], "edge"
            )
            steps = [
                weight * np.take(padded, range(start, start + pan.shape[axis]), axis)
                for weight, start in zip((1, 4, 6, 4, 1), range(0, 5 * dilation, dilation), strict=True)
            ]
            pan = sum(steps) / 16
    return pan


def fuse(name, scene):
    return fuse_scene(METHODS[name], scene, METHODS[name].fit(scene), 64).numpy()


def reference(scene, blurred, multiplies):
    """F_b from the formula; ``blurred`` gives the low-pass of pan for each band."""
    e, pan, pan_low = whole(scene)
    out = []
    for band, low in zip(e, blurred(pan), strict=True):
        pan_hat = matched(pan, pan_low, band)
        low_hat = (low - pan.mean()) * band.std(ddof=1) / pan_low.std(ddof=1) + band.mean()
        gain = np.clip(band / low_hat, 0, 3) if multiplies else 1
        out.append(band + gain * (pan_hat - low_hat))
    return np.stack(out)


@pytest.mark.parametrize(("name", "multiplies"), [("hpf", False), ("sfim", True)])
def test_box_methods(name, multiplies):
    scene = make_case(3).scene()
    expected = reference(scene, lambda pan: [box(pan, 5)] * 3, multiplies)
    np.testing.assert_allclose(fuse(name, scene), expected, rtol=1e-4)


def test_wavelet():
    scene = make_case(3).scene()
    expected = reference(scene, lambda pan: [cascade(pan)] * 3, False)
    inside = (slice(None), slice(6, -6), slice(6, -6))  # beyond, two passes and one see different edges
    np.testing.assert_allclose(fuse("wavelet", scene)[inside], expected[inside], rtol=1e-4)


@pytest.mark.parametrize(("name", "multiplies"), [("mtf-glp", False), ("mtf-glp-hpm", True)])
def test_each_band_has_its_own_mtf(name, multiplies):
    case, sensor = make_case(4), find_sensor("quickbird")
    scene = scene_of(case.pan, case.ms, case.placement, sensor)

    def per_band(pan):
        tensor = torch.from_numpy(pan)
        return [low_pass(tensor, case.placement, scene.area, gain).numpy() for gain in sensor.ms_gains]

    np.testing.assert_allclose(fuse(name, scene), reference(scene, per_band, multiplies), rtol=1e-4)


def test_a_scene_without_detail_is_left_as_it_is():
    """Pan that varies so slowly that ms shows all of it adds nothing."""
    ramp = np.linspace(100, 300, 160)[:, None] * np.ones(160)
    ms = np.stack([ramp[2::4, 2::4], 500 + ramp[2::4, 2::4]])
    scene = scene_of(ramp, ms)
    inside = (slice(None), slice(24, -24), slice(24, -24))
    for name in ("hpf", "wavelet", "mtf-glp"):
        np.testing.assert_allclose(fuse(name, scene)[inside], fuse("exp", scene)[inside], atol=0.02)

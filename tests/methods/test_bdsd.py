import math

import numpy as np
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


def test_the_formula():
    sensor = find_sensor("quickbird")
    case = make_case(4)
    scene = scene_of(case.pan, case.ms, case.placement, sensor)
    smooth = np.stack(
        [
            gaussian_blur(band.astype(float), 4 * math.sqrt(-2 * math.log(gain)) / math.pi)
            for band, gain in zip(case.ms, sensor.ms_gains, strict=True)
        ]
    )
    pan = reduce_by_mtf(case.pan, case.placement, sensor.pan_gain)
    known = np.concatenate([smooth, pan[None], np.ones_like(pan)[None]]).reshape(6, -1).T
    detail = (case.ms - smooth).reshape(4, -1).T
    solution = np.linalg.lstsq(known, detail, rcond=None)[0]
    image = whole_image(scene)
    e, p = image.upsampled.double().numpy(), image.pan.double().numpy()
    regressors = np.concatenate([e, p, np.ones_like(p)])
    expected = e + np.tensordot(solution.T, regressors, 1)
    fused = fuse_scene(METHODS["bdsd"], scene, METHODS["bdsd"].fit(scene), 64).numpy()
    np.testing.assert_allclose(fused, expected, rtol=1e-4)


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

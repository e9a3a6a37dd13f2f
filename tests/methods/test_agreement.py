"""How well pan and ms fit: eight numbers per band, against least squares of their own."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pancli.methods.agreement import Agreement, agreement_margin, agreement_of, unknown_agreement
from pancli.placement import AxisMap, Placement
from pancli.scene import array_scene

RATIO = 4.0
GRIDS = Placement(AxisMap(1 / RATIO, 0.0, 60), AxisMap(1 / RATIO, 0.0, 60))
SIDE = 60


def smooth(rng, count, side=SIDE, width=1.2):
    """Random images with a few pixels' correlation."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    white = np.fft.fft2(rng.standard_normal((count, side, side)))
    image = np.fft.ifft2(white * np.exp(-2 * (np.pi * width * frequency) ** 2)).real
    return image / image.std((1, 2), keepdims=True)


def made(noise=0.0, seed=0):
    """Three bands, and a pan that is their mixture but for what is added."""
    rng = np.random.default_rng(seed)
    parts = smooth(rng, 4)
    bands = np.stack([parts[0] + 0.3 * parts[1], 0.8 * parts[0] + 0.5 * parts[2], parts[3] - 0.5 * parts[0]])
    pan = np.tensordot([0.5, 0.4, 0.1], bands, 1)[None]
    bands = bands + noise * rng.standard_normal(bands.shape)
    return 100 * bands + 500, 70 * pan + 300


def numbers_of(ms, pan, valid=None):
    agreement = Agreement.empty(len(ms), GRIDS).seen(
        torch.from_numpy(ms), torch.from_numpy(pan), None if valid is None else torch.from_numpy(valid)
    )
    return agreement.numbers().numpy()


def neighbours(image):
    """The image and its four neighbours, where it has them."""
    return (
        image[..., 1:-1, 1:-1],
        image[..., :-2, 1:-1],
        image[..., 2:, 1:-1],
        image[..., 1:-1, :-2],
        image[..., 1:-1, 2:],
    )


def left(target, *others):
    """What least squares leave of one image, and the weights; adjusted for their number."""
    design = np.stack([np.ones(target.size), *(o.ravel() for o in others)], 1)
    weights, *_ = np.linalg.lstsq(design, target.ravel(), rcond=None)
    rest = target.ravel() - design @ weights
    share = (rest @ rest) / (target.size - 1 - len(others)) / target.var(ddof=1)
    return np.sqrt(share), weights[1:]


@pytest.mark.parametrize("noise", [0.02, 0.2])
def test_the_numbers_are_least_squares(noise):
    ms, pan = made(noise)
    found = numbers_of(ms, pan)
    middle, up, below, before, after = neighbours(pan[0])
    fine_pan = middle - (up + below + before + after) / 4
    down, right = (below - up) / 2, (after - before) / 2
    for band in range(3):
        others = [i for i in range(3) if i != band]
        own = neighbours(ms[band])
        fine = [m - (a + b + c + d) / 4 for m, a, b, c, d in map(neighbours, ms)]
        sign = np.sign(np.corrcoef(own[0].ravel(), middle.ravel())[0, 1])
        _, weights = left(own[0], middle, fine_pan, down, right)
        share = weights * middle.std() / own[0].std()
        sharper, *moved = share[1:] * share[0] / (share[0] ** 2 + 0.05)
        moved = np.clip(moved, -1, 1) * RATIO / 2
        expected = [
            sign * np.corrcoef(fine[band].ravel(), fine_pan.ravel())[0, 1],
            np.log2(fine[band].std() / own[0].std() / (fine_pan.std() / middle.std())),
            *moved,
            np.hypot(*moved),
            sharper,
            left(fine[band], *(fine[i] for i in others), fine_pan)[0],
            left(own[0], *(neighbours(ms[i])[0] for i in others), middle)[0],
        ]
        np.testing.assert_allclose(found[band], np.clip(expected, -3, 3), rtol=1e-3, atol=1e-3)


def test_noise_is_what_neither_pan_nor_other_bands_explain():
    quiet, loud = (numbers_of(*made(noise)) for noise in (0.0, 0.1))
    assert quiet[:, 6:].max() < 0.01
    assert (loud[:, 6] > 1.5 * loud[:, 7]).all()  # most of it is fine
    assert loud[:, 7].min() > 0.05


def test_bands_chosen_later_are_as_if_there_were_no_others():
    ms, pan = made(0.1)
    both = Agreement.empty(3, GRIDS).seen(torch.from_numpy(ms), torch.from_numpy(pan)).of_bands([2, 0])
    np.testing.assert_allclose(both.numbers().numpy(), numbers_of(ms[[2, 0]], pan), rtol=1e-6)


def test_gains_offsets_and_a_negative_band_change_nothing_but_what_they_must():
    ms, pan = made(0.1)
    before = numbers_of(ms, pan)
    np.testing.assert_allclose(numbers_of(7 * ms - 90, 0.2 * pan + 4), before, atol=1e-5)
    np.testing.assert_allclose(numbers_of(-ms, pan)[:, [0, 1, 2, 3]], before[:, [0, 1, 2, 3]], atol=1e-5)


def test_masked_pixels_and_their_neighbours_do_not_count():
    ms, pan = made(0.1)
    valid = np.ones((SIDE, SIDE), bool)
    valid[20:40, 30:] = False
    dirty, dirty_pan = ms.copy(), pan.copy()
    dirty[:, ~valid] = 9e6
    dirty_pan[:, ~valid] = -3e5
    found = numbers_of(dirty, dirty_pan, valid)
    np.testing.assert_allclose(found, numbers_of(ms, pan, valid), rtol=1e-9)
    assert np.abs(found - numbers_of(ms, pan)).max() > 1e-4


@pytest.mark.parametrize("side", [1, 2, 5])
def test_too_few_pixels_say_nothing(side):
    ms, pan = (image[:, :side, :side] for image in made())
    np.testing.assert_array_equal(numbers_of(ms, pan), unknown_agreement(3).numpy())
    assert Agreement.empty(3, GRIDS).seen(torch.from_numpy(ms), torch.from_numpy(pan)).shift() == (0.0, 0.0)


@pytest.mark.parametrize("flat", ["band", "pan"])
def test_constants_give_numbers(flat):
    ms, pan = made(0.1)
    (ms[1] if flat == "band" else pan)[...] = 5.0
    assert np.isfinite(numbers_of(ms, pan)).all()


@pytest.mark.parametrize("size", [60, 128])
def test_tiles_add_up(size):
    ms, pan = made(0.1)
    fine = np.kron(pan[0], np.ones((4, 4))).astype(np.float32)
    fine[100:110, 90:130] = np.nan
    scene = array_scene(fine, ms.astype(np.float32))
    margin = scene.margin(agreement_margin(scene.info))
    found = agreement_of(replace(scene, fit_tile=size).tiles(margin), scene.info)
    whole = agreement_of(scene.tiles(margin), scene.info)
    assert found.moments.count == whole.moments.count < 58 * 58
    np.testing.assert_allclose(found.numbers().numpy(), whole.numbers().numpy(), rtol=1e-5, atol=1e-5)

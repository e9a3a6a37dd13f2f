"""Pan laid on ms: shifts that are known are found, taken out, and leave no trace in the result."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pancli.methods.agreement import Agreement
from pancli.methods.alignment import (
    NOWHERE,
    aligned,
    aligned_scene,
    alignment_radius,
    find_shift,
    scene_shift,
)
from pancli.methods.back_projection import BackProjected
from pancli.methods.mtf import estimate_gain, pair_gains
from pancli.methods.network import NetworkMethod
from pancli.methods.registry import METHODS
from pancli.networks.bandset import BandSet
from pancli.placement import AxisMap, Placement
from pancli.resampling import degrade
from pancli.scene import array_scene, fuse_scene
from pancli.tiling import Window
from tests.networks.made import card_of, settled

SIDE = 144


def bumps(seed, count):
    """Random images of much in common, as sums of waves, which can be looked at from anywhere."""
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(1, 40)) + 0.2 * rng.normal(size=(count, 40))
    frequency, phase = rng.normal(0, 0.45, (40, 2)), rng.uniform(0, 6.28, 40)

    def at(down, right):
        rows, cols = np.meshgrid(np.arange(SIDE) + down, np.arange(SIDE) + right, indexing="ij")
        angle = np.tensordot(frequency, np.stack((rows, cols)), 1)
        return np.tensordot(weight, np.cos(angle + phase[:, None, None]), 1)

    return at


def pair(shift, ratio=4, seed=0, noise=0.0, gain=0.3):
    """pan whose things lie ``shift`` from where ms has them, ms reduced by an MTF, and the truth."""
    ground = bumps(seed, 4)
    truth = 500 + 20 * ground(0, 0)
    weights = np.array([0.3, 0.3, 0.2, 0.2])
    pan = np.tensordot(weights, 500 + 20 * ground(-shift[0], -shift[1]), 1)
    pan += noise * pan.std() * np.random.default_rng(seed).standard_normal(pan.shape)
    axis = AxisMap(1 / ratio, 0.0, SIDE // ratio)
    windows = Window(0, 0, SIDE, SIDE), Window(0, 0, SIDE // ratio, SIDE // ratio)
    ms = degrade(torch.from_numpy(truth), Placement(axis, axis), *windows, gain)
    return pan.astype(np.float32), ms.numpy().astype(np.float32), truth


@pytest.mark.parametrize("ratio", [2, 3, 4])
@pytest.mark.parametrize("shift", [(0.5, -0.3), (-1.2, 1.4), (1.9, 0.0)])
def test_a_shift_is_found_and_what_is_left_of_it_is_small(ratio, shift):
    found, agreement, told = scene_shift(array_scene(*pair(shift, ratio)[:2]))
    assert told
    assert agreement.shift() == pytest.approx(NOWHERE, abs=0.06)
    assert found == pytest.approx(shift, abs=0.06)


def test_a_shift_is_pans_own_where_the_rows_of_ms_run_upwards():
    pan, ms, _ = pair((0.9, -0.5))
    rows = AxisMap(-0.25, SIDE / 4, SIDE // 4)
    upwards = array_scene(pan, ms[:, ::-1].copy(), Placement(rows, AxisMap(0.25, 0.0, SIDE // 4)))
    assert scene_shift(upwards).shift == pytest.approx((0.9, -0.5), abs=0.06)


@pytest.mark.parametrize(("of_pan", "of_a_band"), [(1e-6, 1.0), (1.0, 1e-8), (1e5, 1.0)])
def test_units_do_not_hide_a_shift(of_pan, of_a_band):
    pan, ms, _ = pair((0.9, -0.5))
    there = scene_shift(array_scene(pan, ms)).shift
    ms[1] *= of_a_band
    assert scene_shift(array_scene(pan * np.float32(of_pan), ms)).shift == pytest.approx(there, abs=1e-3)


def test_rounding_of_a_constant_pair_is_no_shift():
    pan, ms = np.full((64, 64), 433.3, np.float32), np.full((3, 16, 16), 433.3, np.float32)
    assert scene_shift(array_scene(pan, ms)).shift == NOWHERE


def test_a_shift_is_not_taken_for_blur():
    scene = array_scene(*pair((0.9, -0.8), ratio=2)[:2])
    assert estimate_gain(scene) < 0.2
    assert pair_gains(scene) == scene.info.gains


def test_noise_in_pan_is_no_shift():
    there = scene_shift(array_scene(*pair((0.0, 0.0), noise=0.05)[:2]))
    assert there.shift == NOWHERE
    assert there.told
    found, *_ = scene_shift(array_scene(*pair((0.8, -0.6), noise=0.05)[:2]))
    assert found == pytest.approx((0.8, -0.6), abs=0.15)


@pytest.mark.parametrize("kind", ["elsewhere", "too far", "constant"])
def test_what_cannot_be_told_is_left_alone(kind):
    pan, ms, _ = pair((5.5, 0.0)) if kind == "too far" else pair((0.0, 0.0))
    if kind == "elsewhere":
        pan = pair((0.0, 0.0), seed=9)[0]
    if kind == "constant":
        pan[:] = 7
    scene = array_scene(pan, ms)
    found, agreement, told = scene_shift(scene)
    assert found == NOWHERE
    assert not told
    assert bool(agreement.numbers().isfinite().all())


def test_a_shift_that_does_not_settle_is_not_believed():
    """What is measured calls for a pixel more each time, and explains no more."""
    ms, pan = torch.randn(3, 30, 30), torch.randn(1, 30, 30)
    blank = Agreement.empty(3, Placement(AxisMap(0.25, 0.0, 30), AxisMap(0.25, 0.0, 30))).seen(ms, pan)

    class Restless(Agreement):
        def shift(self):
            return 0.5, 0.0

    asked = []

    def measure(shift):
        asked.append(shift)
        return Restless(*blank)

    assert find_shift(measure).shift == NOWHERE
    assert 2 < len(asked) < 8


@pytest.mark.parametrize("seen", [0.5, 1.0, 2.0])
def test_a_measure_that_sees_half_or_twice_the_shift_leads_to_it_all_the_same(seen):
    """As where ms is blunter or sharper than it is believed to be."""

    class Biased(Agreement):
        left: tuple[float, float]

        def shift(self):
            return seen * self.left[0], seen * self.left[1]

        def unexplained(self):
            return 0.01 + self.left[0] ** 2 + self.left[1] ** 2

    def measure(shift):
        agreement = Biased(*Agreement.empty(3, Placement(AxisMap(0.25, 0.0, 30), AxisMap(0.25, 0.0, 30))))
        agreement.left = 1.1 - shift[0], -0.4 - shift[1]
        return agreement

    assert find_shift(measure).shift == pytest.approx((1.1, -0.4), abs=0.05)


def test_whole_pixels_are_taken_as_they_are_and_fractions_keep_fine_detail():
    image = torch.randn(1, 40, 40)
    torch.testing.assert_close(aligned(image, (3.0, -2.0))[:, 6:30, 8:36], image[:, 9:33, 6:34])
    rows, cols = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    wave = torch.cos(2.2 * rows + 1.1 * cols)[None]  # 0.7 of the Nyquist frequency
    moved = torch.cos(2.2 * (rows + 0.5) + 1.1 * (cols + 0.3))[None]
    inner = slice(8, -8)
    found = aligned(wave, (0.5, 0.3))
    torch.testing.assert_close(found[:, inner, inner], moved[:, inner, inner], atol=0.05, rtol=0)
    torch.testing.assert_close(aligned(torch.full((1, 9, 9), 5.0), (0.4, 0.7)), torch.full((1, 9, 9), 5.0))


def mixing_network():
    """A network that adds pan's detail as it is."""
    network = BandSet()
    with torch.no_grad():
        for parameter in network.head.parameters():
            parameter.zero_()
        bias = network.head.bias
        assert bias is not None
        bias[0], bias[-1] = 1.0, 3.0
    return NetworkMethod(network.eval(), card_of(network))


def test_what_is_fused_follows_ms_as_if_pan_had_lain_there():
    method = BackProjected(mixing_network(), 1)
    inner = slice(16, -16)

    def error(shift):
        pan, ms, truth = pair(shift)
        scene = array_scene(pan, ms)
        state = method.fit(scene)
        assert state.method.measured.shift == pytest.approx(shift, abs=0.06)
        fused = fuse_scene(method, scene, state).numpy()
        return np.sqrt(np.mean((fused - truth)[:, inner, inner] ** 2)), state, scene

    there, elsewhere = error((0.0, 0.0))[0], error((0.7, -0.6))
    assert elsewhere[0] < 1.1 * there
    measured = replace(elsewhere[1].method.measured, shift=NOWHERE)
    method_state = replace(elsewhere[1], method=replace(elsewhere[1].method, measured=measured))
    left = fuse_scene(method, elsewhere[2], method_state).numpy() - pair((0.7, -0.6))[2]
    assert np.sqrt(np.mean(left[:, inner, inner] ** 2)) > 1.5 * there


def test_a_shift_that_would_show_is_not_taken_out_unasked_but_the_sensor_is_measured_without_it():
    method = mixing_network()
    together = method.fit(array_scene(*pair(NOWHERE)[:2]))
    state = method.fit(array_scene(*pair((1.9, -1.8))[:2]))
    assert state.measured.found == pytest.approx((1.9, -1.8), abs=0.06)
    assert state.measured.shift == NOWHERE
    assert state.measured.gains == pytest.approx(together.measured.gains, abs=0.02)
    torch.testing.assert_close(state.measured.agreement, together.measured.agreement, atol=0.15, rtol=0)
    torch.testing.assert_close(state.contexts[0][0], together.contexts[0][0], atol=0.1, rtol=0.1)


@pytest.mark.parametrize(("gain", "moved"), [(0.3, False), (0.9, True)])
def test_a_shift_that_would_show_is_taken_out_where_ms_was_made_by_picking_pixels(gain, moved):
    state = mixing_network().fit(array_scene(*pair((1.1, -0.8), gain=gain)[:2]))
    assert state.measured.found == pytest.approx((1.1, -0.8), abs=0.1)
    assert state.measured.shift == (state.measured.found if moved else NOWHERE)


@pytest.mark.parametrize("method", ["plain", "back-projected"])
def test_tiles_join_without_a_seam_where_pan_was_moved(method):
    network = NetworkMethod(settled(BandSet), card_of(settled(BandSet)))
    chosen = network if method == "plain" else BackProjected(network, 2)
    scene = array_scene(*pair((0.7, -0.6))[:2])
    state = chosen.fit(scene)
    whole = fuse_scene(chosen, scene, state, tile_size=SIDE)
    tiled = fuse_scene(chosen, scene, state, tile_size=56)
    torch.testing.assert_close(tiled, whole, rtol=0, atol=0.02)


def holed(shift):
    """pan with gaps, ms, and where both pan itself and what is laid on it from ``shift`` away are valid."""
    pan, ms, _ = pair(NOWHERE)
    gaps = pan.copy()
    gaps[40:52, 60:71] = gaps[:, :3] = gaps[-5:] = np.nan
    valid = np.isfinite(gaps)
    rows, cols = (np.clip(np.arange(SIDE) + away, 0, SIDE - 1) for away in shift)
    return pan, gaps, ms, valid & valid[rows][:, cols]


@pytest.mark.parametrize("tile", [24, SIDE])
def test_no_fill_is_laid_on_ms_as_if_it_were_pan(tile):
    """Moved by whole pixels, pan keeps its values: what is valid is as if there were no gaps."""
    method, shift = METHODS["gsa"], (3, -2)
    pan, gaps, ms, valid = holed(shift)
    whole, scene = (replace(array_scene(image, ms), pan_shift=shift) for image in (pan, gaps))
    state = method.fit(whole)
    fused = fuse_scene(method, scene, state, tile)
    np.testing.assert_array_equal(np.isfinite(fused[0].numpy()), valid)
    torch.testing.assert_close(fused[:, valid], fuse_scene(method, whole, state)[:, valid])


def test_what_is_laid_on_ms_from_a_gap_is_not_measured():
    _, gaps, ms, valid = holed((3, -2))
    (image,) = aligned_scene(array_scene(gaps, ms), (3.2, -1.6)).tiles(0)
    np.testing.assert_array_equal(image.valid[image.tile.inner].numpy(), valid)


@pytest.mark.parametrize("tile", [56, SIDE])
def test_a_network_that_moved_pan_adds_nothing_from_a_gap_of_it(tile):
    method, shift = mixing_network(), (3, -2)
    _, gaps, ms, valid = holed(shift)
    scene = array_scene(gaps, ms)
    state = method.fit(scene)
    state = replace(state, measured=replace(state.measured, shift=shift))
    fused = fuse_scene(method, scene, state, tile)
    np.testing.assert_array_equal(np.isfinite(fused[0].numpy()), np.isfinite(gaps))
    plain = (fused == fuse_scene(METHODS["exp"], scene, None)).all(0).numpy()
    np.testing.assert_array_equal(plain, np.isfinite(gaps) & ~valid)


def test_the_radius_provides_for_the_largest_shift():
    info = array_scene(*pair((0.0, 0.0))[:2]).info
    assert alignment_radius(info) == 5 + 12

"""What a pair shows a ratio coarser: Wald's protocol on its own parts, and what a network learns there."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pancli.device import CPU
from pancli.methods import coarser as coarser_module
from pancli.methods.coarser import CoarserScene, coarser
from pancli.methods.network import NetworkMethod
from pancli.networks.bandset import BandSet
from pancli.networks.weights import shipped
from pancli.placement import AxisMap, Placement
from pancli.resampling import degrade_bands
from pancli.scene import TiledScene, array_scene, fuse_scene
from pancli.tiling import Tile, Window
from tests.adaptation.made import waves

GAINS = (0.3, 0.25, 0.3, 0.35)


@pytest.fixture(scope="module")
def bandset():
    return NetworkMethod.load(shipped()["bandset"], CPU)


class Weaker(BandSet):
    """A network that adds a share of what bandset adds."""

    share = 1.0

    def _outcome(self, x, bands, seen):
        outcome = super()._outcome(x, bands, seen)
        return outcome._replace(residual=self.share * outcome.residual)


def weaker(method, share):
    network = Weaker(method.card.bands).eval()
    network.load_state_dict(method.network.state_dict())
    network.share = share
    return replace(method, network=network)


def scene_of(pair):
    pan, ms, _ = pair
    return array_scene(pan, ms)


def seen_by_a_camera(side, gain=0.3):
    """A scene alike at all scales, whose ms a camera made, and its truth."""
    pan, ms, truth = waves(side)
    placement = array_scene(pan, ms).info.placement
    windows = Window(0, 0, *pan.shape), Window(0, 0, *ms.shape[1:])
    reduced = degrade_bands(torch.from_numpy(truth), placement, windows, (gain,) * 4)
    return array_scene(pan, reduced.numpy()), torch.from_numpy(truth)


def whole(scene):
    return scene.load(Tile(scene.area, scene.area))


def test_ms_is_reduced_once_more_and_pan_lies_on_its_grid():
    scene = scene_of(waves(256))
    found = coarser(whole(scene), Window(4, 8, 48, 40), GAINS)
    assert found is not None
    image, truth = found
    assert torch.equal(truth, torch.from_numpy(scene.reader.ms[:, 4:52, 8:48]))
    axes = Placement(AxisMap(0.25, 0.0, 12), AxisMap(0.25, 0.0, 10))
    expected = degrade_bands(truth, axes, (Window(0, 0, 48, 40), Window(0, 0, 12, 10)), GAINS)
    torch.testing.assert_close(image.ms, expected)
    assert image.upsampled.shape == truth.shape
    assert (image.tile.core, image.info.placement) == (Window(0, 0, 48, 40), axes)
    matched = np.corrcoef(image.pan.flatten(), truth[0].flatten())[0, 1]
    assert matched > 0.99
    for axis in (1, 2):
        assert np.corrcoef(image.pan.roll(1, axis).flatten(), truth[0].flatten())[0, 1] < matched - 0.01


def test_what_is_masked_is_not_learnt_from():
    pan, ms, truth = waves(128)
    pan[40:44, 40:44] = np.nan
    ms[2, 20, 6] = np.nan
    scene, all_of_it = scene_of((pan, ms, truth)), Window(0, 0, 32, 32)
    found = coarser(whole(scene), all_of_it, GAINS)
    assert found is not None
    valid = found.image.valid
    assert not bool(valid[10, 10])
    assert not bool(valid[20, 6])
    assert 0.5 < float(valid.float().mean()) < 1
    nothing = replace(whole(scene), ms_valid=torch.zeros(32, 32, dtype=torch.bool))
    assert coarser(nothing, all_of_it, GAINS) is None
    assert CoarserScene.of(scene_of((pan, np.full_like(ms, np.nan), truth)), GAINS).samples == 0


def test_a_window_smaller_than_a_pixel_of_the_new_ms_says_nothing():
    assert coarser(whole(scene_of(waves(128))), Window(0, 0, 3, 9), GAINS) is None


def test_parts_are_spread_over_a_large_scene(monkeypatch):
    monkeypatch.setattr(coarser_module, "_SIDE", 8)
    seen, load = [], TiledScene.load

    def watched(self, tile):
        seen.append(tile.core)
        return load(self, tile)

    monkeypatch.setattr(TiledScene, "load", watched)
    coarse = CoarserScene.of(scene_of(waves(256)), GAINS)
    assert len(coarse.pairs) == len(list(coarse.tiles(99))) == 16
    assert {pair.truth.shape for pair in coarse.pairs} == {(4, 8, 8)}
    assert {core.row // 64 for core in seen} == {0, 1, 2, 3}
    assert len({core.col // 64 for core in seen}) > 1


@pytest.mark.parametrize("grid", [waves(256), waves(240, ratio=3)], ids=["4", "3"])
def test_parts_do_not_depend_on_the_tiles_there_is_memory_for(monkeypatch, grid):
    monkeypatch.setattr(coarser_module, "_SIDE", 24)
    pan, ms, _ = grid
    pan[50:60, 70:90] = np.nan
    scene = array_scene(pan, ms)
    whole, cut = (CoarserScene.of(replace(scene, fit_tile=side), GAINS).pairs for side in (512, 40))
    assert len(whole) == len(cut) > 4
    for pair in whole:
        (same,) = (other for other in cut if torch.equal(pair.truth, other.truth))
        torch.testing.assert_close(pair.image.pan, same.image.pan)
        torch.testing.assert_close(pair.image.ms, same.image.ms)
        assert torch.equal(pair.image.valid, same.image.valid)


def test_nor_on_which_tile_is_the_first_with_a_valid_pixel(monkeypatch):
    monkeypatch.setattr(coarser_module, "_SIDE", 32)
    pan, ms, _ = waves(256)
    pan[:64, :64] = np.nan
    scene = array_scene(pan, ms)
    whole, cut = (CoarserScene.of(replace(scene, fit_tile=side), GAINS).pairs for side in (512, 64))
    assert [pair.truth.shape for pair in whole] == [pair.truth.shape for pair in cut] == [(4, 32, 32)] * 4


def test_parts_are_exact_where_ratios_differ_by_axis():
    pan, ms, _ = waves(256, ratio=2)
    ms = ms.reshape(4, 128, 32, 4).mean(3)
    parts = []
    for side in (512, 40):
        (pair,) = CoarserScene.of(replace(array_scene(pan, ms), fit_tile=side), GAINS).pairs
        parts.append(pair.image.pan)
    torch.testing.assert_close(*parts)


def test_where_a_tile_has_no_valid_pixel_a_part_goes_on():
    pan, ms, truth = waves(256)
    pan[64:128, 64:128] = np.nan
    (whole,) = CoarserScene.of(array_scene(pan, ms), GAINS).pairs
    (cut,) = CoarserScene.of(replace(array_scene(pan, ms), fit_tile=64), GAINS).pairs
    assert torch.equal(whole.image.valid, cut.image.valid)
    apart = (whole.image.ms - cut.image.ms).abs().amax((1, 2)).numpy()
    assert (apart < 0.2 * np.ptp(truth, axis=(1, 2))).all()  # filled otherwise, but not with zeros


def test_fewer_parts_where_there_are_many_bands(monkeypatch):
    monkeypatch.setattr(coarser_module, "_SIDE", 8)
    pan, ms, _ = waves(256)
    many = array_scene(pan, np.repeat(ms, 3, axis=0))
    assert len(CoarserScene.of(many, GAINS * 3).pairs) == 5


@pytest.mark.parametrize("share", [0.8, 1.25])
def test_a_network_is_strengthened_by_what_it_lacks(bandset, share):
    scene, _ = seen_by_a_camera(512)
    asis, changed = (method.fit(scene).colours.strength for method in (bandset, weaker(bandset, share)))
    best, others = 2 * asis - 1, 2 * changed - 1
    assert bool((best > 0.3).all())
    torch.testing.assert_close(others, best / share, rtol=1e-3, atol=0)


def test_strength_brings_what_is_fused_nearer_to_the_truth(bandset):
    scene, truth = seen_by_a_camera(512)
    method = weaker(bandset, 0.7)
    state = method.fit(scene)
    assert bool((state.colours.strength > 1.05).all())
    errors = [
        float((fuse_scene(method, scene, fitted) - truth).abs().mean())
        for fitted in (state, replace(state, colours=None))
    ]
    assert errors[0] < 0.95 * errors[1]


def test_masked_pixels_do_not_count(bandset):
    scene, _ = seen_by_a_camera(512)
    pan, ms = scene.reader.pan.copy(), scene.reader.ms.copy()
    ms[:, 32:64] = np.nan
    learnt = []
    for fill in (0.0, 9000.0):
        pan[128:256] = fill
        learnt.append(bandset.fit(array_scene(pan, ms)).colours)
    strengths = [colours.strength for colours in learnt]
    assert torch.equal(*strengths)
    assert not torch.equal(strengths[0], bandset.fit(scene).colours.strength)
    assert torch.equal(*(colours.weights for colours in learnt))
    assert torch.equal(*(colours.palette.mean for colours in learnt))
    (pair,) = CoarserScene.of(array_scene(pan, ms), GAINS).pairs
    seen = pair.truth[:, pair.image.valid]
    assert 0 < seen.shape[1] < pair.image.valid.numel()
    torch.testing.assert_close(learnt[0].palette.mean, seen.mean(1), rtol=1e-5, atol=0)


def test_the_order_in_which_ms_has_its_rows_says_nothing(bandset):
    scene, _ = seen_by_a_camera(512)
    pan, ms = scene.reader.pan, scene.reader.ms
    upright = AxisMap(0.25, 0.0, 128)
    turned = array_scene(pan, ms[:, ::-1, ::-1], Placement(*[AxisMap(-0.25, 128.0, 128)] * 2))
    strengths = [
        bandset.fit(one).colours.strength
        for one in (array_scene(pan, ms, Placement(upright, upright)), turned)
    ]
    torch.testing.assert_close(*strengths, rtol=0, atol=1e-4)


def test_a_small_scene_says_nothing(bandset):
    scene, _ = seen_by_a_camera(192)
    assert weaker(bandset, 0.7).fit(scene).colours is None


def test_nothing_is_learnt_where_ms_was_made_by_picking_pixels(bandset):
    scene, _ = seen_by_a_camera(512, gain=0.9)
    state = weaker(bandset, 0.7).fit(scene)
    assert state.measured.shown > 0.6
    assert state.colours is None


def test_networks_that_see_no_physics_are_left_as_they_are():
    assert NetworkMethod.load(shipped()["gcpnet"], CPU).fit(scene_of(waves(256))).colours is None

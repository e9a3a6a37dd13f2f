"""Tiles that share what a network made of them: the image is the same, and no pixel is gone through twice."""

import numpy as np
import pytest
import torch

from pancli.device import CPU
from pancli.methods import turns
from pancli.methods.back_projection import BackProjected
from pancli.methods.component_substitution import GSA
from pancli.methods.network import NetworkMethod
from pancli.methods.turns import Turns, in_turn
from pancli.networks.weights import shipped
from pancli.scene import fuse_scene
from pancli.tiling import plan_tiles
from tests.methods.pairs import make_case

SIDE = 256


@pytest.fixture(scope="module")
def case():
    """A pair with holes, so that fill and what goes by masks are in what is shared."""
    return make_case(4, shape=(SIDE, SIDE)).masked()


def method_of(name, rounds=2):
    return BackProjected(NetworkMethod.load(shipped()[name], CPU), rounds)


def cores(patch):
    """The windows that a network goes through, in order."""
    original, seen = NetworkMethod.fuse_with_trust, []

    def watched(self, image, state):
        seen.append(image.tile.core)
        return original(self, image, state)

    patch.setattr(NetworkMethod, "fuse_with_trust", watched)
    return seen


def tiles_of(scene, method, side):
    return plan_tiles(scene.area, side, scene.margin(method.radius(scene.info)), scene.bounds)


def apart(scene, method, tiles):
    """How far tiles fused in turn lie from the same fused each for itself."""
    state = method.fit(scene)
    fuse, most = in_turn(method, state), 0.0
    for tile in tiles:
        image = scene.load(tile)
        ours, alone = (fused[:, *tile.inner] for fused in (fuse(image), method.fuse(image, state)))
        assert bool(ours.isfinite().all())
        most = max(most, float((ours - alone).abs().max()))
    return most


@pytest.mark.parametrize("side", [48, 84])  # of 84 the last are narrower than what is shared
@pytest.mark.parametrize("name", ["bandset-small", "pnn"])
def test_no_pixel_goes_through_a_network_twice(case, monkeypatch, name, side):
    scene, method = case.scene(), method_of(name)
    state = method.fit(scene)
    with monkeypatch.context() as patch:
        seen = cores(patch)
        shared = fuse_scene(method, scene, state, side)
    times = np.zeros((SIDE, SIDE), int)
    for core in seen:
        times[core.slices_in(scene.area)] += 1
    assert (times == 1).all()
    whole = fuse_scene(method, scene, state, SIDE)
    assert torch.equal(shared.isnan(), whole.isnan())
    assert float((shared - whole).nan_to_num().abs().max()) < 1e-4 * float(np.nanmax(case.ms))


@pytest.mark.parametrize("name", ["bandset-small", "pnn"])
def test_tiles_may_be_left_out_and_become_smaller(case, name):
    scene, method = case.scene(), method_of(name)
    large = [tile for index, tile in enumerate(tiles_of(scene, method, 64)) if index not in (2, 5)]
    small = [part for tile in large[7:9] for part in plan_tiles(tile.core, 32, 200, scene.bounds)]
    assert apart(scene, method, large[:7] + small + large[9:]) < 1e-4 * np.nanmax(case.ms)


def test_what_is_kept_is_bounded_and_of_a_wider_scene_the_rest_is_fused_again(case, monkeypatch):
    scene, method = case.scene(), method_of("bandset-small")
    tiles = tiles_of(scene, method, 64)
    gone_through = []
    for most in (0, 10**6, turns._MOST):
        with monkeypatch.context() as patch:
            patch.setattr(turns, "_MOST", most)
            seen, fuse = cores(patch), Turns(method, method.fit(scene))
            for tile in tiles:
                fuse(scene.load(tile))
                held = [known.fused.untyped_storage().nbytes() for known in (*fuse._above, *fuse._above)]
                assert sum(held) <= most  # with their trust, of which there is as much
            gone_through.append(sum(core.size for core in seen))
            assert apart(scene, method, tiles) < 1e-4 * np.nanmax(case.ms)
    assert gone_through[0] > gone_through[1] > gone_through[2] == SIDE**2


@pytest.mark.parametrize(("left_out", "kept"), [((), [4] * 12), ((5,), [4, 4, 4, 3, 4, 4, 4, 4, 4, 4, 4])])
def test_what_was_needed_for_the_last_time_is_let_go(case, left_out, kept):
    """What lies above a tile that is left out is not needed in the row after, where little is shared."""
    scene, method = case.scene(), method_of("bandset-small", rounds=1)
    fuse, counts = Turns(method, method.fit(scene)), []
    for index, tile in enumerate(tiles_of(scene, method, 64)):
        if index not in left_out:
            fuse(scene.load(tile))
            counts.append(len(fuse._above))
            assert all(known.fused.untyped_storage().nbytes() == known.fused.nbytes for known in fuse._left)
    assert counts == [1, 2, 3, 4, *kept]


def test_methods_that_share_nothing_are_left_as_they_are(case):
    scene = case.scene()
    for method in (GSA, BackProjected(GSA, 2), NetworkMethod.load(shipped()["pnn"], CPU)):
        assert apart(scene, method, tiles_of(scene, method, 96)) == 0

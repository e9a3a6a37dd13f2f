"""Pan as crisp as networks know it: its bluntness is seen, and made up for as far as is safe."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pancli.methods.crispness import (
    CRISP_RADIUS,
    PICKED,
    crisp,
    crisp_image,
    crisp_scene,
    missing_crispness,
    scene_crispness,
    shown_pan_gain,
)
from pancli.methods.measured import Measured
from pancli.methods.mtf import shown_gain
from pancli.methods.network import NetworkMethod
from pancli.networks.bandset import BandSet
from pancli.placement import AxisMap, Placement
from pancli.resampling import degrade
from pancli.scene import TiledScene, array_scene, fuse_scene
from pancli.tiling import Window
from tests.methods.natural import blunted, natural, seen_from_orbit
from tests.methods.pairs import HALF_PIXEL, make_case, scene_of
from tests.networks.made import card_of, settled


def scene(pan) -> TiledScene:
    """Of which ms is what a camera's MTF leaves."""
    return array_scene(pan[0].numpy(), seen_from_orbit(pan))


@pytest.mark.parametrize("slope", [1.6, 2.0, 2.4])
@pytest.mark.parametrize("gain", [0.15, 0.3, 0.6])
def test_the_mtf_of_a_natural_image_is_seen_in_its_spectrum(gain, slope):
    blunt = blunted(natural(slope=slope), gain)
    assert shown_pan_gain([(blunt[0], torch.ones(256, 256, dtype=torch.bool))]) == pytest.approx(
        gain, rel=0.25
    )


def test_masked_pixels_do_not_count():
    pan = blunted(natural(), 0.3)[0]
    valid, wild = torch.ones(256, 256, dtype=torch.bool), pan.clone()
    valid[70:80], wild[70:80] = False, 1e4 * torch.randn(10, 256)
    found = [shown_pan_gain([(part, valid)]) for part in (pan, wild)]
    assert found[0] == pytest.approx(0.3, rel=0.25)
    assert found[1] == pytest.approx(found[0], rel=1e-6)


def test_where_there_is_too_little_to_see_the_sensor_is_believed():
    for pan in (natural(32), torch.full((1, 128, 128), 7.0)):
        tiny = scene(pan)
        assert shown_pan_gain([(pan[0], torch.ones_like(pan[0], dtype=torch.bool))]) == 0.0
        assert missing_crispness(tiny.tiles(0), tiny.info) == pytest.approx(2.0)
        sharp = replace(tiny.info, sensor=replace(tiny.info.sensor, pan_gain=0.32))
        assert missing_crispness(tiny.tiles(0), sharp) == pytest.approx(1.25)


@pytest.mark.parametrize(("gain", "more"), [(0.01, 2.0), (0.25, 1.6), (0.6, 1.0)])
def test_what_is_missing_is_of_what_is_seen_within_bounds(gain, more):
    seen = scene(blunted(natural(), gain))
    assert missing_crispness(seen.tiles(0), seen.info) == pytest.approx(more, rel=0.15)


@pytest.mark.parametrize("more", [1.3, 2.0])
def test_crispness_is_the_inverse_of_a_gaussian(more):
    line = torch.arange(200.0)
    for share in (0.0, 0.3, 0.6, 0.85):
        wave = torch.cos(torch.pi * share * line)
        for image in (wave.expand(1, 200, 200), wave[:, None].expand(1, 200, 200)):
            inner = np.s_[:, 20:-20, 20:-20]
            ratio = (
                crisp(image, more)[inner].std() / image[inner].std() if share else crisp(image, more).mean()
            )
            assert float(ratio) == pytest.approx(more ** (share**2), rel=0.02)


def test_it_looks_no_farther_than_it_says():
    image = natural(64)
    other = image.clone()
    other[:, :20] += 1000
    clean = 20 + CRISP_RADIUS
    found, expected = crisp(other, 2.0), crisp(image, 2.0)
    torch.testing.assert_close(found[:, clean:], expected[:, clean:])
    assert (found[:, clean - 1] - expected[:, clean - 1]).abs().max() > 0.1


def test_tiles_of_a_crisp_scene_are_those_of_the_whole_made_crisp():
    case = make_case(3, HALF_PIXEL)
    whole = scene_of(case.pan, case.ms, case.placement)
    (large,) = whole.tiles(0)
    expected = crisp_image(large, 1.7).pan
    assert (expected - large.pan).abs().max() > 1e-3 * expected.std()
    for image in crisp_scene(replace(whole, fit_tile=64), 1.7).tiles(0):
        there = image.tile.core.slices_in(large.tile.window)
        torch.testing.assert_close(image.pan[:, *image.tile.inner], expected[:, *there])


def test_a_blunt_pan_is_measured_as_crisp_and_not_where_ms_was_picked():
    blunt = blunted(natural(), 0.2)
    assert Measured.of(scene(blunt)).missing == pytest.approx(2.0, rel=0.15)
    picked = array_scene(blunt[0].numpy(), blunt[:, 2::4, 2::4].repeat(3, 1, 1).numpy())
    assert Measured.of(picked).missing == scene_crispness(picked) == 1.0


def test_a_sharp_camera_beside_a_blunt_pan_does_not_look_as_if_ms_was_picked():
    pan, axis = natural(), AxisMap(0.5, 0.0, 128)
    on, fine, coarse = Placement(axis, axis), Window(0, 0, 256, 256), Window(0, 0, 128, 128)
    ms = degrade(pan, on, fine, coarse, 0.45).repeat(3, 1, 1).numpy()
    seen = array_scene(blunted(pan, 0.2)[0].numpy(), ms, on)
    assert shown_gain(seen) > PICKED > shown_gain(crisp_scene(seen, 2.0))
    found = Measured.of(seen).missing
    assert found == pytest.approx(2.0, rel=0.15)
    assert scene_crispness(seen) == pytest.approx(found, rel=1e-9)  # sums of spectra differ by a rounding
    # A ratio coarser, where only strength is learnt, it does.
    assert Measured.of_coarser(seen).missing == 1.0
    assert Measured.of_coarser(scene(blunted(pan, 0.2))).missing == pytest.approx(2.0, rel=0.15)


def test_what_a_network_sees_is_the_crisp_pan():
    pan = blunted(natural(), 0.25)
    network = settled(BandSet)
    method, blunt = NetworkMethod(network, card_of(network)), scene(pan)
    state = method.fit(blunt)
    assert state.measured is not None
    assert state.measured.missing > 1.3
    made = array_scene(crisp(pan, state.measured.missing)[0].numpy(), seen_from_orbit(pan))
    as_it_is = replace(state, measured=replace(state.measured, missing=1.0))
    with torch.inference_mode():
        fused, expected, soft = (
            fuse_scene(method, *given) for given in ((blunt, state), (made, as_it_is), (blunt, as_it_is))
        )
    inner = np.s_[:, 20:-20, 20:-20]
    torch.testing.assert_close(fused[inner], expected[inner], rtol=1e-4, atol=1e-2)
    assert (soft - expected)[inner].abs().max() > 1

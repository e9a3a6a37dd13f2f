from dataclasses import replace

import numpy as np
import pytest
import torch

from pancli.methods import unmixing
from pancli.methods.registry import METHODS
from pancli.methods.unmixing import Mixture, follow_pan, learn_spectra, unmix
from pancli.placement import AxisMap, Placement
from pancli.scene import fuse_scene
from pancli.tiling import Window
from tests.methods.pairs import make_case, scene_of

SPECTRA = torch.tensor([[0.9, 0.1, 0.2, 0.05], [0.2, 0.8, 0.3, 0.05], [0.1, 0.3, 0.9, 0.05]]).double()


def mixtures(count):
    """(4, N) abundances summing to one, pure pixels among them, and their spectra (3, N)."""
    rng = np.random.default_rng(0)
    shares = torch.from_numpy(rng.dirichlet([0.5] * 4, count).T)
    shares[:, :4] = torch.eye(4)
    return shares, SPECTRA @ shares


def test_unmixing_finds_the_abundances():
    shares, pixels = mixtures(300)
    torch.testing.assert_close(unmix(SPECTRA, pixels), shares, rtol=0, atol=0.02)


def test_abundances_are_never_negative():
    pixels = torch.randn(3, 8, 9, generator=torch.Generator().manual_seed(0))
    shares = unmix(SPECTRA.float(), pixels)
    assert shares.shape == (4, 8, 9)
    assert bool((shares >= 0).all())


def test_learnt_spectra_explain_the_pixels():
    _, pixels = mixtures(2000)
    spectra = learn_spectra(pixels)
    assert spectra.shape == (3, 4)
    assert bool((spectra >= 0).all())
    error = spectra @ unmix(spectra, pixels) - pixels
    assert float(error.square().mean().sqrt()) < 0.02 * float(pixels.std())


def test_learning_starts_from_the_pixels_alone():
    _, pixels = mixtures(500)
    torch.testing.assert_close(learn_spectra(pixels), learn_spectra(pixels), rtol=0, atol=0)


def test_following_pan_reaches_it_and_leaves_the_rest():
    shares = torch.rand(4, 20, 20, generator=torch.Generator().manual_seed(0)) + 0.05
    shares /= shares.sum(0)
    sight = SPECTRA.float().mean(0)
    missing = torch.linspace(-0.1, 0.15, 400).reshape(20, 20)
    moved = follow_pan(sight, shares, missing)
    reached = torch.tensordot(sight, moved - shares, 1)
    assert float((reached - missing).abs().max()) < 0.04
    torch.testing.assert_close(follow_pan(sight, shares, torch.zeros(20, 20)), shares)


def test_more_light_means_more_of_the_bright_and_less_of_the_dark():
    shares = torch.full((4, 1, 1), 0.25)
    moved = follow_pan(SPECTRA.float().mean(0), shares, torch.full((1, 1), 0.1))[:, 0, 0]
    assert moved[2] > 0.25 > moved[3]


@pytest.mark.parametrize("unit", [1e-6, 1e5])
def test_the_units_of_pan_do_not_matter(unit):
    case, method = make_case(4), METHODS["cnmf"]
    plain, scaled = (scene_of(pan, case.ms, case.placement) for pan in (case.pan, case.pan * unit))
    fused, same = (fuse_scene(method, scene, method.fit(scene)) for scene in (plain, scaled))
    torch.testing.assert_close(same, fused, rtol=1e-4, atol=0)


def test_pan_that_sees_nothing_moves_nothing():
    shares = torch.rand(4, 5, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(follow_pan(torch.zeros(4), shares, torch.ones(5, 6)), shares)


def test_the_fit_takes_a_bounded_sample():
    """The spectra come from at most 64 x 1024 pixels, whatever the scene."""
    state = METHODS["cnmf"].fit(make_case(4).scene())
    assert state.spectra.shape == (4, 5)
    assert bool((state.response >= 0).all())
    assert 0.9 < float(state.response.sum()) < 1.3


def test_the_spectra_do_not_depend_on_the_tiles_there_is_memory_for():
    scene = make_case(4).scene()
    state = METHODS["cnmf"].fit(scene)
    small = METHODS["cnmf"].fit(replace(scene, fit_tile=48))
    torch.testing.assert_close(small.spectra, state.spectra, rtol=1e-6, atol=1e-9)


def test_the_sample_does_not_depend_on_what_a_file_holds_beside_the_area():
    case = make_case(4)
    height, width = (4 * (side - 3) for side in case.ms.shape[1:])
    whole = scene_of(case.pan, case.ms)
    part = replace(whole, area=Window(12, 12, height, width), bounds=Window(12, 12, height, width))
    cut = scene_of(case.pan[12 : 12 + height, 12 : 12 + width], case.ms[:, 3:, 3:])
    sampled, alone = (unmixing._sampled(scene, 2)[1] for scene in (part, cut))
    assert alone.numel() > 0
    torch.testing.assert_close(sampled, alone, rtol=0, atol=0)


def test_the_spectra_do_not_depend_on_which_row_of_ms_a_file_begins_with():
    case = make_case(4)
    height, width = case.ms.shape[1:]
    turned = AxisMap(-0.25, float(height), height), AxisMap(-0.25, float(width), width)
    states = [
        METHODS["cnmf"].fit(scene)
        for scene in (case.scene(), scene_of(case.pan, case.ms[:, ::-1, ::-1], Placement(*turned)))
    ]
    torch.testing.assert_close(states[1].spectra, states[0].spectra, rtol=1e-5, atol=1e-9)


def test_where_masks_leave_nothing_of_the_sample_every_pixel_counts():
    case = make_case(4)
    ms = case.ms.copy()
    ms[:, :: unmixing._step(case.scene().info)] = np.nan
    scene = replace(case, ms=ms).scene()
    assert unmixing._sampled(scene, unmixing._step(scene.info))[1].shape[1] == 0
    state = METHODS["cnmf"].fit(scene)
    assert bool(torch.isfinite(state.spectra).all())
    assert float(state.spectra.min(0).values.max()) > 0


def test_what_ms_blurred_away_pan_may_show():
    """A bright spot on ground that ms shows dark and pure: no other spectrum is there, yet it appears."""
    response = torch.full((3,), 1 / 3, dtype=torch.float64)
    pan = np.full((32, 32), 0.05)
    pan[12:16, 12:16] = 0.3
    state = Mixture(SPECTRA, response, 0.0, 1.0)
    fused = fuse_scene(METHODS["cnmf"], scene_of(pan, np.full((3, 8, 8), 0.05)), state).numpy()
    np.testing.assert_allclose(fused.mean(0), pan, atol=0.01)
    np.testing.assert_allclose(fused[:, 13, 13], 0.3, atol=0.028)  # grey, not the colour of one spectrum

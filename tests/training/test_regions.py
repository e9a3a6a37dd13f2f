"""Truths observed at random: what was asked for is in the region, and lies where it should."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pancli.methods.crispness import crisp, missing_crispness
from pancli.methods.mtf import LOWEST_GAIN, SHARPEST
from pancli.networks.bandset import BandSet
from pancli.networks.gcpnet import GCPNet
from pancli.placement import AxisMap, Placement
from pancli.resampling import degrade, displace
from pancli.scene import array_scene
from pancli.tiling import Window
from pancli.training.images import Image, Room
from pancli.training.recipe import Source
from pancli.training.regions import (
    choose_window,
    crisp_region,
    draw_region,
    made_pan,
    observe,
    reduced_pan,
    shown_region,
    simulated_region,
    through_camera,
    whole_region,
)
from pancli.training.sources import load_images
from tests.methods.natural import blunted, natural
from tests.training.made import EXACT, generator, make_data, smooth, whole


def smooth_image(kind):
    """Bands of random waves on the finer grid that pan has of them, or without a pan."""
    rows, cols = torch.meshgrid(torch.arange(192.0), torch.arange(192.0), indexing="ij")
    frequency, phase = (
        torch.randn(50, 2, generator=generator(5)),
        torch.rand(50, 1, 1, generator=generator(6)),
    )
    waves = torch.cos(0.15 * (frequency[:, :1, None] * rows + frequency[:, 1:, None] * cols) + 6.28 * phase)
    weights = 1 + 0.3 * torch.randn(4, 50, generator=generator(7))
    bands, pan = (torch.einsum("kw,whc->khc", w, waves) for w in (weights, weights.mean(0, keepdim=True)))
    if kind == "truth":
        axes = AxisMap(1.0, 0.0, 192), AxisMap(1.0, 0.0, 192)
        return Image("made", (500 + 9 * bands).numpy(), np.ones((192, 192), bool), Placement(*axes))
    axis, whole, small = AxisMap(0.5, 0.0, 96), Window(0, 0, 192, 192), Window(0, 0, 96, 96)
    coarse = degrade(500 + 9 * bands, Placement(axis, axis), whole, small, 0.3).numpy()
    fine = (300 + 5 * pan[0]).numpy()
    return Image("made", coarse, np.ones((96, 96), bool), Placement(axis, axis), fine)


@pytest.mark.parametrize("kind", ["pairs", "truth"])
def test_an_unknown_shift_is_in_pan_and_neither_in_ms_nor_in_the_truth(kind):
    image = smooth_image(kind)
    found: dict[float, list[float]] = {0.0: [], 0.6: []}
    for most in found:
        degradation = replace(EXACT, shift=most)
        for seed in range(4):
            window = Window(0, 0, *image.bands.shape[1:])
            seen = draw_region(kind, image, window, degradation, generator(seed))
            whole, small = Window(0, 0, *window.shape), Window(0, 0, *seen.placement.ms_shape)
            expected = torch.cat(
                [degrade(b, seen.placement, whole, small, 0.3) for b in seen.reference[:, None]]
            )
            torch.testing.assert_close(seen.ms, expected)
            unmoved, shown = crisp_region(seen), shown_region(seen, BandSet.TRAITS)
            moved = float((shown.pan - unmoved.pan).abs().max())
            found[most].append(moved)
            if moved > 0:
                bare = crisp_region(draw_region(kind, image, window, EXACT, generator(seed)))
                inner = (..., slice(12, -12), slice(12, -12))
                before, after = ((part.pan - bare.pan)[inner].abs().mean() for part in (unmoved, shown))
                assert float(after) < 0.4 * float(before)
    assert max(found[0.0]) == 0.0
    assert max(found[0.6]) > 0.0  # where bands explain pan badly, small shifts are doubted


def test_a_camera_sees_mixtures_of_neighbouring_wavelengths():
    counts, seen = set(), []
    for seed in range(20):
        lines = torch.eye(40)[:, None] * 7.0  # at each pixel one wavelength alone is bright
        pan, bands = through_camera(lines, generator(seed))
        counts.add(len(bands))
        for response in (pan[0, 0], *bands[:, 0]):
            assert float(response.sum()) == pytest.approx(7.0, rel=1e-5)  # what is grey is seen as grey
            assert float(response.min()) >= 0
            top = int(response.argmax())
            assert bool((response[: top + 1].diff() >= -1e-5).all())
            assert bool((response[top:].diff() <= 1e-5).all())
        wide = (pan[0, 0] > pan.max() / 2).sum()
        assert wide >= max((band > band.max() / 2).sum() for band in bands[:, 0]) / 2
        seen.append(int(wide))
    assert counts == {4, 5, 6, 7, 8}
    assert max(seen) > min(seen) >= 8


def test_regions_of_a_spectrum_have_bands_of_a_camera():
    image = smooth_image("truth")
    spectrum = replace(image, bands=np.repeat(image.bands, 6, axis=0))
    window = Window(0, 0, 192, 192)
    region = draw_region("spectrum", spectrum, window, EXACT, generator(1))
    assert 4 <= len(region.reference) <= 8
    assert region.pan.shape == (1, 192, 192)
    assert len(region.ms) == len(region.upsampled) == len(region.reference)
    whole, small = Window(0, 0, 192, 192), Window(0, 0, *region.placement.ms_shape)
    expected = [degrade(b, region.placement, whole, small, 0.3) for b in region.reference[:, None]]
    torch.testing.assert_close(region.ms, torch.cat(expected))


def test_a_simulated_truth_lies_where_ms_does_and_pan_a_little_elsewhere():
    shifts = {}
    for most in (0.0, 0.6):
        degradation = replace(EXACT, shift=most)
        seen = [simulated_region(96, 4, degradation, generator(seed)) for seed in range(6)]
        shown = [shown_region(region, BandSet.TRAITS) for region in seen]
        unmoved = map(crisp_region, seen)
        shifts[most] = sum(not torch.equal(a.pan, b.pan) for a, b in zip(unmoved, shown, strict=True))
    assert shifts[0.0] <= 1 < shifts[0.6]


def test_other_networks_are_shown_pan_where_it_lies():
    region = observe(displace(smooth()[:1], (0.5, 0.0)), smooth(), EXACT, generator())
    assert shown_region(region, GCPNet.TRAITS) is region
    shown = shown_region(region, BandSet.TRAITS)
    assert not torch.equal(shown.pan, region.pan)
    anew = whole_region(shown.pan, region.ms, region.reference, region.placement, region.shown)
    torch.testing.assert_close(shown.moments.scatter, anew.moments.scatter)


def test_a_blunt_pan_is_made_as_crisp_as_that_of_a_scene():
    pan = blunted(natural(), 0.25)
    truth = pan + torch.arange(3.0)[:, None, None]
    region = observe(pan, truth, EXACT, generator())
    scene = array_scene(pan[0].numpy(), region.ms.numpy(), region.placement)
    missing = missing_crispness(scene.tiles(0), scene.info)
    assert 1.2 < missing < 2.0
    torch.testing.assert_close(crisp_region(region).pan, crisp(pan, missing))
    picked = observe(pan, truth, EXACT, generator(), blunt=True)
    torch.testing.assert_close(crisp_region(picked).pan, pan)


def test_made_pan_is_mostly_a_mixture_of_bands():
    truth = smooth() + 5 * torch.randn(4, 64, 64, generator=generator())
    for seed in range(5):
        pan = made_pan(truth, generator(seed))[0].flatten().numpy()
        design = np.concatenate([truth.flatten(1).numpy(), np.ones((1, 64 * 64))]).T
        left = pan - design @ np.linalg.lstsq(design, pan, rcond=None)[0]
        assert 0.9 < 1 - left.var() / pan.var() <= 1


def test_pan_of_a_pair_is_reduced_to_its_ms_grid(tmp_path):
    (image,) = load_images(Source("pairs", folder="real", names=("a",)), make_data(tmp_path))
    pan = reduced_pan(image, Window(0, 0, 40, 40), 0.3)
    assert pan.shape == (1, 40, 40)
    assert image.pan is not None
    fine = torch.from_numpy(image.pan).float()[None]
    axis = AxisMap(0.5, 0.0, 40)
    expected = degrade(fine, Placement(axis, axis), Window(0, 0, 80, 80), Window(0, 0, 40, 40), 0.3)
    torch.testing.assert_close(pan, expected)


def test_pan_is_moved_by_pixels_of_the_ms_grid(tmp_path):
    (image,) = load_images(Source("pairs", folder="real", names=("a",)), make_data(tmp_path))
    there, moved = (reduced_pan(image, Window(0, 0, 40, 40), 0.3, shift) for shift in ((0, 0), (1.0, -2.0)))
    inner = (..., slice(8, -8), slice(8, -8))
    torch.testing.assert_close(moved[inner], there.roll((-1, 2), (1, 2))[inner])


def test_pan_and_ms_of_a_region_are_of_one_place(tmp_path):
    (image,) = load_images(Source("pairs", folder="real", names=("a",)), make_data(tmp_path))
    room = Room.of(image, 20)
    for seed in range(5):
        window = choose_window(room, generator(seed))
        pan, band = reduced_pan(image, window, 0.3), image.bands[0][window.slices_in(Window(0, 0, 40, 40))]
        together = torch.stack((pan.flatten(), torch.from_numpy(band).float().flatten()))
        assert float(torch.corrcoef(together)[0, 1]) > 0.5  # pan was made of the first band


def test_the_mtf_that_is_told_is_a_little_wrong_where_asked():
    truth = smooth()
    told = [
        observe(truth[:1], truth, replace(EXACT, gain_error=error), generator(seed)).shown
        for error in (0.0, 0.1)
        for seed in range(8)
    ]
    assert told[:8] == [0.3] * 8
    assert len(set(told[8:])) == 8
    assert all(abs(gain - 0.3) <= 0.1 for gain in told[8:])
    wild = replace(EXACT, gain_error=2.0)
    told = [observe(truth[:1], truth, wild, generator(seed)).shown for seed in range(8)]
    assert (min(told), max(told)) == (LOWEST_GAIN, SHARPEST)


@pytest.mark.parametrize("ratio", [2.0, 2.2, 4.0, 8.0])
def test_the_least_region_has_two_ms_pixels_a_side_and_units(ratio):
    degradation = replace(EXACT, ratios=(ratio,))
    truth = smooth(side=degradation.least_side)
    seen = [observe(truth[:1], truth, degradation, generator(seed)) for seed in range(20)]
    assert min(min(region.placement.ms_shape) for region in seen) == 2
    for region in seen:
        assert region.ms.isfinite().all()
        assert region.moments.scatter.isfinite().all()


def test_pan_that_does_not_fit_lies_elsewhere_or_shows_what_is_not_there_and_a_truth_may_be_less_sharp():
    truth = torch.cat((smooth(), torch.randn(4, *smooth().shape[1:], generator=generator(1))))
    told = []
    for misfit in (0.0, 1.0):
        degradation = replace(EXACT, misfit=misfit)
        seen = [observe(truth[:1], truth, degradation, generator(seed)) for seed in range(12)]
        apart = [float((region.pan - truth[:1])[..., 4:-4, 4:-4].abs().mean()) for region in seen]
        sharpness = [float(region.reference[4:].std()) for region in seen]
        told.append((apart, sharpness))
    assert max(told[0][0]) < 1e-6
    assert sum(apart > 0.01 * float(truth[0].std()) for apart in told[1][0]) in range(6, 12)
    assert {round(sharpness, 4) for sharpness in told[0][1]} == {round(float(truth[4:].std()), 4)}
    blunt = sum(sharpness < 0.9 * float(truth[4:].std()) for sharpness in told[1][1])
    assert blunt in range(3, 10)


def test_a_blunt_truth_is_less_sharp_than_pan_and_shows_how_much_where_ms_is_made_of_it():
    """Of what a Gaussian leaves at the truth's own Nyquist frequency, the 16th root is left at that of ms."""
    truth = torch.randn(2, 64, 64, generator=generator(1))
    degradation = replace(EXACT, ratios=(4.0,), blunt=1.0)
    told = []
    for seed in range(8):
        region = observe(truth[:1], truth, degradation, generator(seed))
        assert torch.equal(region.pan, truth[:1])
        assert 0.97 * 0.02 ** (1 / 16) <= region.shown <= 0.97 * 0.9 ** (1 / 16)
        batch = whole(region, (0, 1))
        assert batch.inputs.physics is not None
        assert batch.inputs.physics.optics[0, :2].tolist() == pytest.approx([0.6, region.shown])
        assert batch.observed[0].gain == region.shown
        told.append((region.shown, float(region.reference.std() / truth.std())))
    assert [left for _, left in sorted(told)] == sorted(left for _, left in told)
    assert told[0][1] != told[1][1]


def test_simulated_truths_may_be_blunt_too():
    exact = replace(EXACT, ratios=(4.0,))
    plain, blunt = (
        [simulated_region(64, 3, replace(exact, blunt=share), generator(seed)) for seed in range(4)]
        for share in (0.0, 1.0)
    )
    for one, other in zip(plain, blunt, strict=True):
        sharp, soft = (float((r.reference[:, 1:] - r.reference[:, :-1]).std()) for r in (one, other))
        assert soft < sharp or other.shown > 0.5


def test_a_made_pan_is_softer_than_the_truth():
    """By an MTF that is another each time; what is left of white noise."""
    bands = torch.randn(3, 64, 64, generator=generator(0)) * 50 + 500
    axes = (AxisMap(1.0, 0.0, 64), AxisMap(1.0, 0.0, 64))
    image = Image("made", bands.numpy(), np.ones((64, 64), bool), Placement(*axes))
    left = []
    for seed in range(16):
        region = draw_region("truth", image, Window(0, 0, 64, 64), EXACT, generator(seed))
        neighbours = region.pan[0] - region.pan[0].mean()
        left.append(float((neighbours[:, 1:] * neighbours[:, :-1]).mean() / neighbours.var()))
    assert max(left) > 0.05
    assert min(left) < 0.01

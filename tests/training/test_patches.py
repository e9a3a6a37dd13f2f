"""Training examples: made by the step alone, in the units of a scene, with the truth in its place."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pancli.errors import RecipeError, TrainingError
from pancli.networks.bandset import BandSet
from pancli.networks.gcpnet import GCPNet
from pancli.networks.gppnn import GPPNN
from pancli.placement import AxisMap, Placement
from pancli.resampling import degrade, displace
from pancli.tiling import Window
from pancli.training import patches
from pancli.training.images import Image, Room
from pancli.training.patches import (
    choose_window,
    cut_patch,
    draw_region,
    made_pan,
    observe,
    random_corners,
    random_group,
    reduced_pan,
    shown_region,
    simulated_region,
)
from pancli.training.reading import read_recipe
from pancli.training.recipe import Degradation, Source
from pancli.training.sampling import Sampler, step_seed
from pancli.training.sources import load_images
from tests.training.made import TEXT, make_data, make_recipe

EXACT = Degradation(ratios=(2.0,), ms_gains=(0.3, 0.3), gain_spread=0.0, shift=0.0, noise=0.0)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def smooth(bands=4, side=64):
    """(bands, side, side): waves that survive a degradation by 2."""
    rows, cols = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    waves = [torch.sin(0.11 * rows * (1 + 0.2 * b) + b) + torch.cos(0.13 * cols - b) for b in range(bands)]
    return 100 + 20 * torch.stack(waves).float()


@pytest.fixture
def sampler(tmp_path):
    return Sampler.load(read_recipe(make_recipe(tmp_path)), make_data(tmp_path / "data"))


def test_a_batch_follows_from_its_step_alone(sampler):
    first, again, other = sampler.batch(2), sampler.batch(2), sampler.batch(3)
    assert torch.equal(first.inputs.bms, again.inputs.bms)
    assert torch.equal(first.inputs.pan, again.inputs.pan)
    assert torch.equal(first.target, again.target)
    assert not torch.equal(first.inputs.bms, other.inputs.bms)


def test_regions_of_a_step_are_not_alike(sampler):
    one, two = sampler.batch(0).target
    assert not torch.equal(one, two)


def test_shares_of_a_batch_are_the_batch(sampler):
    whole = sampler.batch(1)
    parts = [replace(sampler, share=(rank, 2)).batch(1) for rank in range(2)]
    assert torch.equal(torch.cat([part.target for part in parts]), whole.target)
    assert torch.equal(torch.cat([part.inputs.pan for part in parts]), whole.inputs.pan)


def test_sequences_of_random_numbers_never_meet():
    """Of 64 regions in each of two streams, over a million steps, whatever the recipe's seed."""
    starts = sorted(step_seed(9, 0, sequence) for sequence in range(128))
    gaps = np.diff([*starts, starts[0] + 2**32])
    assert gaps.min() > 10**7
    assert step_seed(9, 1, 5) == (step_seed(9, 0, 5) + 1) % 2**32
    assert step_seed(1, 3, 0) == 1_000_006


def test_a_batch_has_the_recipe_s_shape(sampler):
    batch = sampler.batch(0)
    assert batch.inputs.bms.shape == batch.target.shape == (2, 4, 16, 16)
    assert batch.inputs.pan.shape == (2, 1, 16, 16)
    assert batch.inputs.lrms is None
    assert batch.weight.shape == (2, 4, 1, 1)
    parts = (batch.inputs.bms, batch.inputs.pan, batch.target, batch.weight)
    assert all(bool(part.isfinite().all()) for part in parts)


def test_interpolated_ms_lies_where_the_truth_does():
    truth = smooth()
    region = observe(truth[:1], truth, EXACT, generator())
    inner = (slice(None), slice(12, -12), slice(12, -12))
    error = (region.upsampled - truth)[inner]
    assert float(error.abs().max()) < 1.0
    # An error of half a pixel would be eight times as large as what is left.
    moved = (region.upsampled - truth.roll(1, 2))[inner]
    assert float(moved.abs().mean()) > 4 * float(error.abs().mean())


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
            shown = shown_region(seen, BandSet.TRAITS)
            moved = float((shown.pan - seen.pan).abs().max())
            found[most].append(moved)
            if moved > 0:
                bare = draw_region(kind, image, window, EXACT, generator(seed))
                inner = (..., slice(12, -12), slice(12, -12))
                before, after = ((part.pan - bare.pan)[inner].abs().mean() for part in (seen, shown))
                assert float(after) < 0.4 * float(before)
    assert max(found[0.0]) == 0.0
    assert max(found[0.6]) > 0.0  # where bands explain pan badly, small shifts are doubted


def test_a_simulated_truth_lies_where_ms_does_and_pan_a_little_elsewhere():
    shifts = {}
    for most in (0.0, 0.6):
        degradation = replace(EXACT, shift=most)
        seen = [simulated_region(96, 4, degradation, generator(seed)) for seed in range(6)]
        shown = [shown_region(region, BandSet.TRAITS) for region in seen]
        shifts[most] = sum(not torch.equal(a.pan, b.pan) for a, b in zip(seen, shown, strict=True))
    assert shifts[0.0] <= 1 < shifts[0.6]


def test_other_networks_are_shown_pan_where_it_lies():
    region = observe(displace(smooth()[:1], (0.5, 0.0)), smooth(), EXACT, generator())
    assert shown_region(region, GCPNet.TRAITS) is region
    assert not torch.equal(shown_region(region, BandSet.TRAITS).pan, region.pan)


def test_units_are_those_of_the_whole_region():
    truth = smooth()
    region = observe(truth[:1], truth, EXACT, generator())
    corners = random_corners(region, (3, 16), 1, generator(1))
    batch = patches.Batch.join([cut_patch(region, (0, 1, 2, 3), corner, GCPNet.TRAITS) for corner in corners])
    order = list(region.units.ordered((0, 1, 2, 3)))
    scale = region.units.scale[order][:, None, None]
    digital = batch.target * scale + region.units.mean[order][:, None, None]
    for patch in digital:
        distances = [
            float((truth[order][:, r : r + 16, c : c + 16] - patch).abs().max())
            for r in range(49)
            for c in range(49)
        ]
        assert min(distances) < 1e-3


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


def test_pan_and_ms_of_a_region_are_of_one_place(tmp_path):
    (image,) = load_images(Source("pairs", folder="real", names=("a",)), make_data(tmp_path))
    room = Room.of(image, 20)
    for seed in range(5):
        window = choose_window(room, generator(seed))
        pan, band = reduced_pan(image, window, 0.3), image.bands[0][window.slices_in(Window(0, 0, 40, 40))]
        together = torch.stack((pan.flatten(), torch.from_numpy(band).float().flatten()))
        assert float(torch.corrcoef(together)[0, 1]) > 0.5  # pan was made of the first band


@pytest.mark.parametrize("bands", [1, 3, 4, 6])
def test_groups_are_of_distinct_bands_or_repeat_in_turn(bands):
    source = generator()
    whole = 0
    for _ in range(50):
        group = random_group(bands, 4, source)
        assert len(group) == 4
        distinct = len(set(group))
        assert group == tuple(group[i % distinct] for i in range(4))
        assert set(group) <= set(range(bands))
        whole += distinct == min(bands, 4)
    assert whole > 35


def test_missing_images_are_named(tmp_path):
    recipe = read_recipe(make_recipe(tmp_path))
    with pytest.raises(RecipeError, match="a-pan.npy.*--data"):
        Sampler.load(recipe, tmp_path)


def test_arrays_of_objects_are_not_unpickled(tmp_path):
    data = make_data(tmp_path / "data")
    np.save(data / "real" / "b-truth.npy", np.array([{}], dtype=object))
    with pytest.raises(RecipeError, match="b-truth.npy"):
        Sampler.load(read_recipe(make_recipe(tmp_path)), data)


def test_pairs_without_a_whole_ratio_are_refused(tmp_path):
    data = make_data(tmp_path / "data")
    np.save(data / "real" / "a-pan.npy", np.zeros((79, 80), np.uint8))
    with pytest.raises(RecipeError, match="whole ratio"):
        Sampler.load(read_recipe(make_recipe(tmp_path)), data)


def test_images_smaller_than_a_patch_are_refused(tmp_path):
    data = make_data(tmp_path / "data")
    np.save(data / "real" / "b-truth.npy", np.zeros((4, 15, 90), np.uint8))
    with pytest.raises(TrainingError, match="no patch of 16 pixels fits into .*b of"):
        Sampler.load(read_recipe(make_recipe(tmp_path)), data)


def test_simulated_scenes_make_patches(tmp_path):
    text = (
        TEXT.split("[[sources]]")[0] + '[[sources]]\nkind = "simulated"\n' + TEXT[TEXT.index("[schedule]") :]
    )
    recipe = read_recipe(make_recipe(tmp_path, text.replace("region = 32", "region = 48")))
    batch = Sampler.load(recipe, tmp_path).batch(0)
    assert batch.inputs.bms.shape == (2, 4, 16, 16)
    assert bool(batch.inputs.bms.isfinite().all())


def test_coarse_ms_of_a_patch_lies_on_its_blocks():
    truth = smooth()
    aligned = replace(EXACT, ratios=(4.0,), phase=0.0)
    region = observe(truth[:1], truth, aligned, generator())
    corners = random_corners(region, (4, 16), 4, generator(1))
    assert all(corner.row % 4 == corner.col % 4 == 0 for corner in corners)
    order = list(region.units.ordered((0, 1, 2, 3)))
    for corner in corners:
        lrms = cut_patch(region, (0, 1, 2, 3), corner, GPPNN.TRAITS).inputs.lrms
        assert lrms is not None
        rows, cols = (slice(n // 4, n // 4 + 4) for n in (corner.row, corner.col))
        torch.testing.assert_close(lrms[0], region.units.of_bands(region.ms)[order, rows, cols])


def whole(region, group=(0, 1, 2, 3)):
    """The one patch that is a whole region, as a band-set network sees it."""
    return cut_patch(region, group, Window(0, 0, *region.pan.shape[1:]), BandSet.TRAITS)


def test_pan_at_ms_resolution_and_what_bands_explain_of_it_are_told():
    truth = smooth()
    truth[0] += truth[1]  # bands that differ
    region = observe(truth.mean(0, keepdim=True), truth, EXACT, generator())
    inputs = whole(region).inputs
    assert inputs.low is not None
    assert inputs.intensity is not None
    inner = (slice(12, -12), slice(12, -12))
    # Pan is a mixture of the bands: at ms resolution they explain all of it.
    apart = (inputs.low - inputs.intensity)[0, 0][inner]
    assert float(apart.std()) < 0.05 * float(inputs.low.std())
    some = whole(region, (1, 2, 1, 2)).inputs.intensity
    assert some is not None
    assert float((some - inputs.low)[0, 0][inner].std()) > 2 * float(apart.std())


def test_a_region_tells_what_it_was_seen_as():
    truth = smooth()
    region = observe(truth[:1], truth, EXACT, generator())
    batch = whole(region)
    (seen,) = batch.observed
    order = list(region.units.ordered((0, 1, 2, 3)))
    torch.testing.assert_close(seen.ms, region.units.of_bands(region.ms)[order])
    assert seen.placement == region.placement
    assert batch.turned(1, mirror=True) is batch
    part = cut_patch(region, (0, 1, 2, 3), Window(0, 0, 32, 32), BandSet.TRAITS)
    assert part.observed == ()


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
        assert batch.inputs.optics is not None
        assert batch.inputs.optics[0, :2].tolist() == pytest.approx([0.6, region.shown])
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

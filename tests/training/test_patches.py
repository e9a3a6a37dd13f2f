"""Training examples: made by the step alone, in the units of a scene, with the truth in its place."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pancli.errors import RecipeError, TrainingError
from pancli.networks.bandset import BandSet
from pancli.networks.gcpnet import GCPNet
from pancli.networks.gppnn import GPPNN
from pancli.tiling import Window
from pancli.training.patches import Batch, cut_patch, random_corners, random_group
from pancli.training.reading import read_recipe
from pancli.training.regions import observe, shown_region
from pancli.training.sampling import Sampler, step_seed
from tests.training.made import EXACT, TEXT, generator, make_data, make_recipe, smooth, whole


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


def test_units_are_those_of_the_whole_region():
    truth = smooth()
    region = observe(truth[:1], truth, EXACT, generator())
    corners = random_corners(region, (3, 16), 1, generator(1))
    batch = Batch.join([cut_patch(region, (0, 1, 2, 3), corner, GCPNet.TRAITS) for corner in corners])
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


def test_patches_are_cut_everywhere_but_at_the_rim():
    region = observe(smooth()[:1], smooth(), EXACT, generator())
    corners = random_corners(region, (400, 46), 1, generator(1))
    assert {corner.row for corner in corners} == {corner.col for corner in corners} == {8, 9, 10}


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


def test_pan_at_ms_resolution_and_what_bands_explain_of_it_are_told():
    truth = smooth()
    truth[0] += truth[1]  # bands that differ
    region = observe(truth.mean(0, keepdim=True), truth, EXACT, generator())
    inputs = whole(region).inputs
    assert inputs.physics is not None
    inner = (slice(12, -12), slice(12, -12))
    # Pan is a mixture of the bands: at ms resolution they explain all of it.
    apart = (inputs.physics.low - inputs.physics.intensity)[0, 0][inner]
    assert float(apart.std()) < 0.05 * float(inputs.physics.low.std())
    some = whole(region, (1, 2, 1, 2)).inputs.physics.intensity
    assert float((some - inputs.physics.low)[0, 0][inner].std()) > 2 * float(apart.std())


def test_what_is_told_of_a_band_does_not_depend_on_the_order_of_its_group():
    truth = smooth()
    region = shown_region(observe(truth[:1], truth, EXACT, generator()), BandSet.TRAITS)
    first, second = (whole(region, group).inputs.physics for group in ((0, 1, 2, 3), (2, 0, 3, 1)))
    assert torch.equal(first.agreement, second.agreement)
    assert len(first.agreement[0].unique(dim=0)) == 4


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

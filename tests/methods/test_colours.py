"""How what is added depends on colour, where the truth is known."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import torch

from pancli.methods import colours as module
from pancli.methods.colours import Colours, directions, term_count


class Seen(NamedTuple):
    upsampled: torch.Tensor
    added: torch.Tensor
    truth: torch.Tensor


def learn(one, samples=1000):
    upsampled, added, truth = (part.flatten(1) for part in one)
    return Colours.learn(upsampled, added, truth, samples)


def smooth(bands, side, seed):
    """Bands of different brightness and contrast that go together only in part."""
    noise = torch.randn(bands + 1, side, side, generator=torch.Generator().manual_seed(seed))
    image = torch.nn.functional.avg_pool2d(noise[None], 5, 1, 2, count_include_pad=False)[0]
    image = image / image.std((1, 2), keepdim=True)
    scale = 30.0 * torch.arange(1, bands + 1)[:, None, None]
    return 500.0 + scale * (image[1:] + image[:1])


def seen_of(truth_of, bands=4, side=96, seed=1):
    """What a network adds, and a truth that is a function of what it fuses."""
    fused = smooth(bands, side, seed)
    upsampled = torch.nn.functional.avg_pool2d(fused[None], 9, 1, 4, count_include_pad=False)[0]
    truth = upsampled + truth_of(fused) - truth_of(upsampled)
    return Seen(upsampled, fused - upsampled, truth)


def curved(bands):
    """The brighter the first band, the less of the second there is, and the other way round."""
    z = (bands - bands.new_tensor(500.0)) / (30.0 * torch.arange(1, len(bands) + 1)[:, None, None])
    other = z.roll(1, 0)
    return bands + 30.0 * (0.1 * z * other - 0.02 * z**3)


def off(colours, one):
    found = one.upsampled + colours.detail(one.upsampled, one.added)
    return float((found - one.truth).square().mean().sqrt())


def alone(colours):
    """The strength without the colours."""
    palette = replace(colours.palette, axes=colours.palette.axes[:0])
    return replace(colours, palette=palette, weights=colours.weights[:, :0])


def test_what_depends_on_colour_is_learnt_and_taken_over(monkeypatch):
    for bound, far in (("_BELIEVED", 1.0), ("_FARTHEST", 99.0), ("_LARGEST", 99.0)):
        monkeypatch.setattr(module, bound, far)
    learnt_of, other = seen_of(curved), seen_of(curved, seed=2)
    colours = learn(learnt_of)
    assert colours.weights.shape == (4, term_count(4))
    assert off(colours, other) < 0.1 * off(alone(colours), other)


def test_half_of_it_is_taken_for_true(monkeypatch):
    one = seen_of(curved)
    half = learn(one)
    monkeypatch.setattr(module, "_BELIEVED", 1.0)
    whole = learn(one)
    torch.testing.assert_close(2 * half.weights, whole.weights)
    torch.testing.assert_close(2 * (half.strength - 1), whole.strength - 1, rtol=1e-4, atol=1e-6)


def test_the_order_of_bands_says_nothing():
    one, order = seen_of(curved), [2, 0, 3, 1]
    turned = Seen(one.upsampled[order], one.added[order], one.truth[order])
    asis, found = (learn(s).detail(s.upsampled, s.added) for s in (one, turned))
    torch.testing.assert_close(found, asis[order], rtol=1e-3, atol=1e-2)


def test_nothing_is_added_where_the_network_adds_nothing():
    one = seen_of(curved)
    added = one.added.clone()
    added[:, 10:20] = 0
    found = learn(one).detail(one.upsampled, added)
    assert not found[:, 10:20].any()
    assert found[:, 20:].any()


def test_colour_changes_no_more_than_half_of_what_is_added():
    one = seen_of(curved)
    colours = learn(one)
    much = replace(colours, weights=50 * colours.weights)
    change = much.detail(one.upsampled, one.added) - one.added * colours.strength[:, None, None]
    change, whole = (part / colours.palette.spread[:, None, None] for part in (change, one.added))
    share = change.abs() / whole.square().mean(0).sqrt()
    assert float(share.median()) == pytest.approx(0.5, abs=1e-3)
    assert float(share.max()) < 0.51


@pytest.mark.parametrize("bands", [1, 8, 12])
def test_any_number_of_bands(bands):
    one = seen_of(curved, bands=bands)
    colours = learn(one, 10_000)
    assert colours.weights.shape == (bands, term_count(directions(bands, 10_000)))
    assert off(colours, one) <= off(alone(colours), one)


def test_bands_that_are_constant_or_twice_the_same_are_no_trouble():
    one = seen_of(curved)
    for part in one:
        part[3] = part[0]
    for part, value in zip(one, (7.0, 0.0, 7.0), strict=True):
        part[1] = value
    colours = learn(one)
    found = colours.detail(one.upsampled, one.added)
    assert bool(torch.isfinite(found).all())
    torch.testing.assert_close(found[3], found[0], rtol=1e-3, atol=1e-2)
    assert not found[1].any()


def test_fewer_directions_where_little_is_seen():
    one = seen_of(curved)
    assert [len(learn(one, samples).palette.axes) for samples in (10, 80, 300)] == [0, 2, 4]
    assert learn(one, 10).detail(one.upsampled, one.added).shape == one.added.shape


def test_parts_of_an_image_give_what_the_whole_gives(monkeypatch):
    one = seen_of(curved)
    colours = learn(one)
    whole = colours.detail(one.upsampled, one.added)
    monkeypatch.setattr(module, "_PART", 20_000)
    np.testing.assert_allclose(colours.detail(one.upsampled, one.added), whole, rtol=1e-4, atol=1e-3)

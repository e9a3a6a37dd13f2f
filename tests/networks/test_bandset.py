"""Band-set networks: bands are a set, and the details that are mixed are the classical ones."""

import weakref
from functools import partial

import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d, pixel_unshuffle

from pancli.networks import bandset
from pancli.networks.bandset import DETAILS, Bands, BandSet, BandSetLarge, BandSetSmall
from pancli.networks.protocol import Mean
from tests.networks.made import random_inputs, settled

HEIGHT, WIDTH = 24, 20


def of_bands(inputs, order):
    """The inputs with their bands in some order, or some of them repeated."""
    names = ("correlation", "origin", "agreement")
    physics = {name: getattr(inputs.physics, name)[:, order] for name in names}
    return told(inputs._replace(bms=inputs.bms[:, order]), **physics)


def told(inputs, **physics):
    """The inputs with some of what is told of the pair replaced."""
    return inputs._replace(physics=inputs.physics._replace(**physics))


def mixing(detail):
    """A network that adds one of the details as it is, and nothing else."""
    network = BandSet()
    with torch.no_grad():
        for parameter in network.head.parameters():
            parameter.zero_()
        assert network.head.bias is not None
        network.head.bias[detail] = 1.0
    return network.eval()


@pytest.mark.parametrize("kind", [BandSet, BandSetSmall, BandSetLarge])
@torch.no_grad()
def test_the_order_of_bands_is_the_order_of_what_comes_out(kind):
    network = settled(kind, 5)
    inputs = random_inputs(kind, 5, (HEIGHT, WIDTH), samples=2)
    order = [3, 0, 4, 2, 1]
    permuted = network(of_bands(inputs, order)).residual
    torch.testing.assert_close(permuted, network(inputs).residual[:, order], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_bands_that_are_all_there_twice_are_fused_as_if_once():
    network = settled(BandSet, 3)
    inputs = random_inputs(BandSet, 3, (HEIGHT, WIDTH))
    twice = network(of_bands(inputs, [0, 1, 2, 0, 1, 2])).residual
    torch.testing.assert_close(twice[:, :3], network(inputs).residual, rtol=1e-4, atol=1e-5)


def test_what_a_run_begins_with_is_what_torch_would_make_of_it():
    inputs = random_inputs(BandSet, 3, (HEIGHT, WIDTH), samples=2)
    own, shared, seen = bandset.see(inputs)
    low, intensity = inputs.physics.low, inputs.physics.intensity
    bms, coarse = avg_pool2d(inputs.bms, 2), avg_pool2d(low, 2)

    def box(image):
        return avg_pool2d(image, 7, 1, 3, count_include_pad=False)

    spread = box(coarse**2) - box(coarse) ** 2
    slope = (box(bms * coarse) - box(bms) * box(coarse) + 0.02) / (spread + 0.02)
    close = partial(torch.testing.assert_close, rtol=1e-4, atol=1e-5)
    close(seen.slope, bandset.fine(slope.clamp(-2, 4)))
    torch.testing.assert_close(own[:, :4], pixel_unshuffle(inputs.bms.flatten(0, 1)[:, None], 2))
    close(own[:, 10], avg_pool2d(seen.factor, 2).flatten(0, 1))
    torch.testing.assert_close(shared[:, :4], pixel_unshuffle(inputs.pan - low, 2))
    close(shared[:, 5:6], avg_pool2d(low - intensity, 2))


@torch.no_grad()
def test_four_corrections_are_four_pixels():
    network = mixing(0)
    network.head.bias.zero_()
    network.head.bias[DETAILS : DETAILS + 4] = torch.tensor([1.0, 2.0, 3.0, 4.0])
    residual = network(random_inputs(BandSet, 2, (HEIGHT, WIDTH))).residual
    assert torch.equal(residual[0, 1, 4:6, 8:10], torch.tensor([[1.0, 2.0], [3.0, 4.0]]))


@pytest.mark.parametrize("bands", [1, 3, 8, 10, 47])
@torch.no_grad()
def test_one_set_of_weights_takes_any_number_of_bands(bands):
    network = settled(BandSet, 4)
    inputs = random_inputs(BandSet, bands, (HEIGHT, WIDTH))
    residual = network(inputs).residual
    assert residual.shape == inputs.bms.shape
    assert bool(residual.isfinite().all())


@torch.no_grad()
def test_bands_and_scene_are_seen():
    """What is injected into a band depends on the other bands, and on what the scene is like elsewhere."""
    network = settled(BandSet, 3)
    inputs = random_inputs(BandSet, 3, (HEIGHT, WIDTH))
    before = network(inputs).residual
    other = inputs.bms.clone()
    other[:, 2] += torch.linspace(-1, 1, WIDTH)
    assert float((network(inputs._replace(bms=other)).residual[:, 0] - before[:, 0]).abs().max()) > 1e-4
    context = [[torch.ones(3, BandSet.WIDTH)]]
    assert float((network(inputs, context).residual - before).abs().max()) > 1e-4


@torch.no_grad()
def test_what_the_sensor_is_like_and_how_well_pan_fits_is_seen():
    """At one ratio, MTF gain believed or shown, or agreement, more is added than at another."""
    network, inputs = settled(BandSet, 3), random_inputs(BandSet, 3, (HEIGHT, WIDTH))
    before = network(inputs).residual
    for other in ([0.5, 0.35, 2.0], [0.3, 0.8, 2.0], [0.3, 0.35, 1.0]):
        after = network(told(inputs, optics=torch.tensor([other]))).residual
        assert float((after - before).abs().max()) > 1e-3
    agreement = inputs.physics.agreement.clone()
    agreement[:, 1] = 0
    after = network(told(inputs, agreement=agreement)).residual
    assert float((after - before)[:, 1].abs().max()) > 1e-3


@torch.no_grad()
def test_trust_is_a_share_of_its_own_at_every_pixel_and_high_at_first():
    network, inputs = settled(BandSet, 3), random_inputs(BandSet, 3, (HEIGHT, WIDTH), samples=2)
    trust = network(inputs).trust
    assert trust.shape == inputs.bms.shape
    assert 0 < float(trust.min()) < float(trust.max()) < 1
    assert float(trust.std((2, 3)).min()) > 0.01
    network.start_near_interpolation()
    assert 0.8 < float(network(inputs).trust.mean()) < 0.95


@torch.no_grad()
def test_details_are_those_of_the_papers():
    inputs = random_inputs(BandSet, 2, (HEIGHT, WIDTH))
    added = [mixing(detail)(inputs).residual[0].numpy() for detail in range(5)]
    bms, pan, low, intensity = (
        part[0].double().numpy()
        for part in (inputs.bms, inputs.pan, inputs.physics.low, inputs.physics.intensity)
    )
    np.testing.assert_allclose(added[0], np.broadcast_to(pan - low, bms.shape), atol=1e-5)
    np.testing.assert_allclose(added[3], np.broadcast_to(pan - intensity, bms.shape), atol=1e-5)
    np.testing.assert_allclose(added[4], np.broadcast_to(inputs.physics.blunt[0], bms.shape), atol=1e-5)
    for band in range(2):
        strength, origin = (
            float(part[0, band]) for part in (inputs.physics.correlation, inputs.physics.origin)
        )
        # In digital numbers: a band of deviation 7, its zero where the unit's is -origin deviations.
        ms = 7 * (bms[band] * strength + origin)
        matched = 7 * (low[0] + origin)
        factor = np.where(matched > 0, ms / np.where(matched > 0, matched, 1), 1).clip(0, 3)
        np.testing.assert_allclose(added[1][band], factor * (pan - low)[0], rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_the_local_detail_follows_the_local_slope():
    """Where a band goes with pan three times as steeply as on the whole, three times as much is added."""
    inputs = random_inputs(BandSet, 1, (64, 64))
    steep = 3.0 * torch.nn.functional.avg_pool2d(inputs.physics.low, 2).repeat_interleave(
        2, 2
    ).repeat_interleave(2, 3)
    added = mixing(2)(inputs._replace(bms=steep)).residual
    share = (added / (inputs.pan - inputs.physics.low))[..., 16:-16, 16:-16]
    assert 2.6 < float(share.median()) < 3.0


@pytest.mark.parametrize("kind", [BandSet, BandSetSmall, BandSetLarge])
@torch.no_grad()
def test_a_fresh_network_begins_near_the_mean_of_the_details_a_little_damped(kind):
    network, inputs = settled(kind, 2), random_inputs(kind, 2, (HEIGHT, WIDTH))
    details = torch.stack([mixing(detail)(inputs).residual for detail in range(4)])
    network.start_near_interpolation()
    apart = network(inputs).residual - 0.9 * details.mean(0)
    assert float(apart.std()) < 0.3 * float(details.mean(0).std())


@torch.no_grad()
def test_a_large_one_begins_as_the_small_one_it_grows_from():
    small = settled(BandSet, 4)
    large = settled(BandSetLarge, 4)
    inputs = random_inputs(BandSet, 4, (HEIGHT, WIDTH))
    before, expected = large(inputs), small(inputs)
    assert float((before.residual - expected.residual).abs().max()) > 1e-2
    large.begin_from(small.state_dict())
    outcome = large(inputs)
    torch.testing.assert_close(outcome.residual, expected.residual, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(outcome.trust, expected.trust, rtol=1e-4, atol=1e-5)


def test_all_of_a_grown_network_learns():
    """What is new has no part in the outcome at first, so that it learns from the second step on."""
    large = settled(BandSetLarge, 4)
    large.begin_from(settled(BandSet, 4).state_dict())
    inputs = random_inputs(BandSet, 4, (HEIGHT, WIDTH))
    before = {name: parameter.clone() for name, parameter in large.named_parameters()}
    optimizer = torch.optim.SGD(large.parameters(), 1e-3)
    for _ in range(3):
        optimizer.zero_grad()
        outcome = large(inputs)
        (outcome.residual.square().mean() + outcome.trust.mean()).backward()
        optimizer.step()
    still = [name for name, parameter in large.named_parameters() if torch.equal(parameter, before[name])]
    assert still == []


def test_a_large_one_goes_on_from_its_own_weights():
    weights = settled(BandSetLarge, 4).state_dict()
    network = BandSetLarge()
    network.begin_from(weights)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in network.state_dict().items())


@torch.no_grad()
def test_first_features_are_let_go_once_they_are_adapted(monkeypatch):
    asked, alive = [], []

    def mean(image):
        asked.append(weakref.ref(image))
        return Mean(image)

    class Watched(BandSet):
        def _end(self, x, bands, seen):
            alive.append(asked[0]() is not None)
            return super()._end(x, bands, seen)

    monkeypatch.setattr(bandset, "Mean", mean)
    Watched().eval()(random_inputs(BandSet, 4, (HEIGHT, WIDTH)))
    assert alive == [False]


def test_a_block_works_in_place_where_nothing_is_learnt_and_makes_the_same():
    torch.manual_seed(5)
    block, features = Bands(8), torch.randn(6, 8, 12, 10)
    for name, parameter in block.named_parameters():
        assert parameter.abs().max() > 0, name
    learning = block(features.clone(), 3)
    with torch.no_grad():
        given = features.clone()
        made = block(given, 3)
    assert made is given
    torch.testing.assert_close(made, learning.detach(), rtol=1e-6, atol=1e-6)
    loss = block(features, 3).square().sum()
    loss.backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in block.parameters())

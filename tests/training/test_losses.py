"""Losses, against loops written from their formulas."""

import math

import numpy as np
import pytest
import torch

from pancli.networks.protocol import Inputs
from pancli.training.losses import distance, gradient_distance, spectral_angle, supervised_terms
from pancli.training.patches import Batch
from pancli.training.recipe import Loss


def made(seed=0, samples=2, bands=3, side=5):
    """A batch whose weight, scale and mean are all odd numbers, and an image near its truth."""
    source = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(shape, generator=source)

    target = draw(samples, bands, side, side)
    inputs = Inputs(draw(samples, bands, side, side), draw(samples, 1, side, side))
    shape = (samples, bands, 1, 1)
    batch = Batch(inputs, target, 0.2 + draw(*shape).abs(), 3 + draw(*shape), 50 + 5 * draw(*shape))
    return batch, target + 0.3 * draw(samples, bands, side, side)


def test_the_sum_form_is_half_the_size_of_a_patch_times_the_mean_square():
    error = torch.randn(3, 4, 6, 7)
    expected = 0.5 * 4 * 6 * 7 * float(error.square().mean())
    assert float(distance("mse", error, "sum")) == pytest.approx(expected, rel=1e-5)


def test_sums_are_over_each_patch_and_means_over_patches():
    error = np.random.default_rng(0).normal(size=(3, 2, 4, 5))
    total = sum(abs(v) for patch in error for v in patch.ravel()) / 3
    halves = sum(v * v for patch in error for v in patch.ravel()) / (2 * 3)
    tensor = torch.from_numpy(error)
    assert float(distance("l1", tensor, "sum")) == pytest.approx(total)
    assert float(distance("mse", tensor, "sum")) == pytest.approx(halves)
    assert float(distance("l1", tensor, "mean")) == pytest.approx(total * 3 / error.size)
    assert float(distance("mse", tensor, "mean")) == pytest.approx(2 * halves * 3 / error.size)


def test_terms_are_those_with_a_weight_in_standard_deviations_of_a_band():
    batch, fused = made()
    assert list(supervised_terms(Loss(l1=1.0), fused, batch)) == ["l1"]
    terms = supervised_terms(Loss(l1=2.0, mse=0.5, sam=0.1, gradient=3.0), fused, batch)
    error = ((fused - batch.target) * batch.weight).numpy()
    assert float(terms["l1"]) == pytest.approx(2 * np.mean(np.abs(error)), rel=1e-5)
    assert float(terms["mse"]) == pytest.approx(0.5 * np.mean(error**2), rel=1e-5)
    down, right = error[:, :, 1:] - error[:, :, :-1], error[..., 1:] - error[..., :-1]
    assert float(terms["gradient"]) == pytest.approx(
        3 * (np.abs(down).mean() + np.abs(right).mean()), rel=1e-5
    )


def test_the_spectral_angle_is_that_of_digital_numbers():
    batch, fused = made()
    found = spectral_angle(fused, batch.target, batch).numpy()
    one, two = ((image * batch.scale + batch.mean).double().numpy() for image in (fused, batch.target))
    for n in range(2):
        for row in range(5):
            for col in range(5):
                x, y = one[n, :, row, col], two[n, :, row, col]
                angle = math.acos(np.dot(x, y) / math.sqrt(np.dot(x, x) * np.dot(y, y)))
                assert found[n, row, col] == pytest.approx(angle, abs=2e-3)


def test_no_loss_where_nothing_is_wrong_and_its_slope_is_finite():
    batch, _ = made()
    fused = batch.target.clone().requires_grad_()
    terms = supervised_terms(Loss(l1=1, mse=1, sam=1, gradient=1), fused, batch)
    assert [float(terms[name].detach()) for name in ("l1", "mse", "gradient")] == [0, 0, 0]
    assert float(terms["sam"].detach()) < 2e-3  # the angle is bounded away from zero, where it has no slope
    torch.stack(list(terms.values())).sum().backward()
    assert bool(fused.grad.isfinite().all())


def test_gradients_do_not_see_an_offset():
    error = torch.full((1, 2, 4, 4), 3.0)
    assert float(gradient_distance(error)) == 0

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


def gaussian(centre, count, ratio):
    """Weights of pixels around a place: MTF 0.3 at the Nyquist frequency of a grid ``ratio`` coarser."""
    sigma = ratio * math.sqrt(-2 * math.log(0.3)) / math.pi
    weights = [math.exp(-0.5 * ((i - centre) / sigma) ** 2) for i in range(count)]
    kept = [w if abs(i - centre) <= 4 * sigma else 0.0 for i, w in enumerate(weights)]
    assert kept[0] == kept[-1] == 0, "the blur lies within the patch"
    return np.array(kept) / sum(kept)


def reduced(image, ratio, inner):
    """What a camera a ratio coarser sees of (H, W), of some of its rows and columns."""
    side = image.shape[0]
    blur = [gaussian(ratio * (k + 0.5) - 0.5, side, ratio) for k in inner]
    return np.array([[rows @ image @ cols for cols in blur] for rows in blur])


def coarse(samples=2, bands=3, side=36):
    """A batch whose network sees ms at ratio 4, and an image; the ms pixels whose blur lies within."""
    batch, fused = made(1, samples, bands, side)
    lrms = torch.randn(samples, bands, side // 4, side // 4, generator=torch.Generator().manual_seed(5))
    return batch._replace(inputs=batch.inputs._replace(lrms=lrms)), fused, range(2, side // 4 - 2)


def test_consistency_is_that_of_the_imaging_model():
    batch, fused, inner = coarse()
    terms = supervised_terms(Loss(ms=0.1, pan=0.2), fused, batch)
    assert list(terms) == ["ms", "pan"]
    found: dict[str, list[float]] = {"ms": [], "pan": []}
    for n in range(2):
        image, pan, lrms = (part[n].double().numpy() for part in (fused, batch.inputs.pan, batch.inputs.lrms))
        known = lrms[:, inner.start : inner.stop, inner.start : inner.stop]
        for band in range(3):
            apart = reduced(image[band], 4, inner) - known[band]
            found["ms"].append(np.abs(apart * float(batch.weight[n, band])).mean())
        equations = np.stack([*known.reshape(3, -1), np.ones(known[0].size)], 1)
        solved = np.linalg.lstsq(equations, reduced(pan[0], 4, inner).ravel(), rcond=None)[0]
        mixed = solved[3] + sum(weight * band for weight, band in zip(solved[:3], image, strict=True))
        found["pan"].append(np.abs(mixed - pan[0]).mean())
    assert float(terms["ms"]) == pytest.approx(0.1 * np.mean(found["ms"]), rel=1e-5)
    assert float(terms["pan"]) == pytest.approx(0.2 * np.mean(found["pan"]), rel=1e-5)


def test_an_image_that_ms_and_pan_are_seen_of_is_consistent():
    batch, fused, inner = coarse()
    lrms = batch.inputs.lrms.clone()
    for n in range(2):
        for band in range(3):
            seen = reduced(fused[n, band].double().numpy(), 4, inner)
            lrms[n, band, inner.start : inner.stop, inner.start : inner.stop] = torch.from_numpy(seen)
    pan = (fused * torch.tensor([0.2, -0.5, 0.9])[:, None, None]).sum(1, keepdim=True) + 0.7
    seen = batch._replace(inputs=batch.inputs._replace(pan=pan, lrms=lrms))
    fused.requires_grad_()
    terms = supervised_terms(Loss(ms=1.0, pan=1.0), fused, seen)
    assert float(terms["ms"].detach()) < 1e-5
    assert float(terms["pan"].detach()) < 1e-5
    worse = supervised_terms(Loss(ms=1.0, pan=1.0), fused.detach() + torch.randn_like(fused), seen)
    assert min(float(term) for term in worse.values()) > 0.05
    (terms["ms"] + terms["pan"]).backward()
    assert bool(fused.grad.isfinite().all())


def test_bands_that_are_repeated_are_mixed_as_one():
    batch, fused, _ = coarse()

    def told(*chosen):
        few = [part[:, chosen] for part in (batch.target, batch.weight, batch.scale, batch.mean)]
        inputs = batch.inputs._replace(lrms=batch.inputs.lrms[:, chosen])
        return float(supervised_terms(Loss(pan=1.0), fused[:, chosen], Batch(inputs, *few))["pan"])

    assert told(0, 0, 1) == pytest.approx(told(0, 1), rel=1e-5)
    assert told(0, 1) != pytest.approx(told(0, 2), rel=1e-4)


def test_gradients_do_not_see_an_offset():
    error = torch.full((1, 2, 4, 4), 3.0)
    assert float(gradient_distance(error)) == 0

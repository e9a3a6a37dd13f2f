from __future__ import annotations

import numpy as np
import pytest
import torch

from pancli.metrics.quality_index import block_quality, sliding_quality
from pancli.metrics.windows import gaussian, weighted_means, whole_windows, window_sums


def plain_q(x, y):
    """The index of two arrays by its formula, with NumPy's own moments."""
    covariance = np.cov(x.ravel(), y.ravel())
    top = 4 * covariance[0, 1] * x.mean() * y.mean()
    return top / ((covariance[0, 0] + covariance[1, 1]) * (x.mean() ** 2 + y.mean() ** 2))


@pytest.fixture
def images():
    generator = np.random.default_rng(3)
    base = generator.normal(400, 60, (21, 26))
    return np.stack(
        [base, 0.7 * base + generator.normal(0, 20, base.shape), generator.normal(90, 9, base.shape)]
    )


def test_blocks_equal_the_formula(images):
    found = block_quality(torch.from_numpy(images), 8)
    assert found.shape == (2, 3, 3, 3)
    for row in range(2):
        for col in range(3):
            block = images[:, 8 * row : 8 * row + 8, 8 * col : 8 * col + 8]
            for i in range(3):
                for j in range(3):
                    assert float(found[row, col, i, j]) == pytest.approx(
                        plain_q(block[i], block[j]), abs=1e-12
                    )


def test_every_window_equals_the_formula(images):
    found = sliding_quality(torch.from_numpy(images[:1]), torch.from_numpy(images[1:2]), 7)[0]
    assert found.shape == (15, 20)
    for row in range(15):
        for col in range(20):
            window = images[:2, row : row + 7, col : col + 7]
            assert float(found[row, col]) == pytest.approx(plain_q(*window), abs=1e-11)


def test_a_large_mean_costs_no_digits():
    x, y = 1e6 + np.random.default_rng(3).normal(0, 1, (2, 1, 9, 9))
    found = sliding_quality(torch.from_numpy(x), torch.from_numpy(y), 9)
    assert float(found) == pytest.approx(plain_q(x, y), abs=1e-11)


def test_windows_that_are_nearly_flat_stay_within_bounds_beside_high_contrast():
    noise = np.random.default_rng(3).normal(0, 0.005, (1, 40, 40))
    image = torch.from_numpy(np.where(np.arange(40) < 20, 0.0, 1e4) + noise)
    found = sliding_quality(image, image + 1e-6 * torch.from_numpy(noise), 7)
    assert float(found.abs().max()) < 1 + 1e-9


@pytest.mark.parametrize("size", [3, 8])
def test_constants_beside_texture_are_compared_by_their_means(size):
    """Reflectance: bright ground, and to its right still water in both images."""
    image = torch.full((1, 60, 200), 0.0123, dtype=torch.float64)
    image[:, :, :100] = torch.from_numpy(np.random.default_rng(0).uniform(0.2, 1.0, (1, 60, 100)))
    found = sliding_quality(image, 1.1 * image, size)[:, :, 100:]
    torch.testing.assert_close(found, torch.full_like(found, 2.2 / 2.21))


def test_sums_over_windows_round_as_their_own_numbers_do():
    image = torch.full((1, 9, 200), 0.0123, dtype=torch.float64)
    image[:, :, :100] = torch.from_numpy(np.random.default_rng(0).uniform(0.2, 1.0, (1, 9, 100)))
    sums = window_sums(image, 5, 7)[:, :, 100:]
    torch.testing.assert_close(sums, torch.full_like(sums, 35 * 0.0123), rtol=1e-15, atol=0)


@pytest.mark.parametrize("values", [(7, 7), (0, 0)])
def test_equal_constants_have_quality_one(values):
    x, y = (torch.full((1, 8, 8), float(v), dtype=torch.float64) for v in values)
    assert bool((block_quality(torch.cat([x, y]), 4) == 1).all())
    assert bool((sliding_quality(x, y, 4) == 1).all())


def test_different_constants_are_compared_by_their_means():
    x, y = (torch.full((1, 8, 8), v, dtype=torch.float64) for v in (0.1, 0.3))
    expected = 2 * 0.1 * 0.3 / (0.1**2 + 0.3**2)
    assert block_quality(torch.cat([x, y]), 4)[..., 0, 1].numpy() == pytest.approx(expected)
    assert sliding_quality(x, y, 4).numpy() == pytest.approx(expected)


def test_windows_that_do_not_fit_are_none():
    assert window_sums(torch.ones(2, 3, 9).double(), 4, 4).numel() == 0


def test_a_window_with_one_invalid_pixel_is_not_whole():
    valid = torch.ones(6, 7, dtype=torch.bool)
    valid[2, 3] = False
    whole = whole_windows(valid, 3, 2)
    for row in range(4):
        for col in range(6):
            assert bool(whole[row, col]) == bool(valid[row : row + 3, col : col + 2].all())


@pytest.mark.parametrize("shape", [(5, 40), (40, 5), (5, 5)])
def test_windows_of_a_slim_image_are_as_many_in_sums_as_in_means(shape):
    image = torch.ones(1, *shape, dtype=torch.float64)
    means = weighted_means(image, gaussian(11, 1.5))
    assert means.shape == window_sums(image, 11, 11).shape
    assert means.numel() == 0

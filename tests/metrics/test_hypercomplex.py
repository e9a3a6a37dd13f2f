from __future__ import annotations

import numpy as np
import pytest
import torch

from pancli.metrics.hypercomplex import hypercomplex_product, q2n_blocks


def hamilton(a, b):
    """Product of two quaternions by its table."""
    return np.array(
        [
            a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3],
            a[0] * b[1] + a[1] * b[0] + a[2] * b[3] - a[3] * b[2],
            a[0] * b[2] - a[1] * b[3] + a[2] * b[0] + a[3] * b[1],
            a[0] * b[3] + a[1] * b[2] - a[2] * b[1] + a[3] * b[0],
        ]
    )


def plain_q4(reference, image):
    """Q4 of one block, pixel by pixel."""
    mean = reference.reshape(4, -1).mean(1)[:, None, None]
    std = reference.reshape(4, -1).std(1, ddof=1)[:, None, None]
    a = ((reference - mean) / std + 1).reshape(4, -1)
    b = ((image - mean) / std + 1).reshape(4, -1) * np.array([1, -1, -1, -1])[:, None]
    count = a.shape[1]
    product = sum(hamilton(a[:, k], b[:, k]) for k in range(count)) / count
    means = a.mean(1), b.mean(1)
    unbiased = count / (count - 1)
    cross = unbiased * (product - hamilton(*means))
    power = [float(m @ m) for m in means]
    spread = unbiased * ((a**2).sum() / count + (b**2).sum() / count - power[0] - power[1])
    return np.linalg.norm(cross) * 2 / spread * 2 * np.sqrt(power[0] * power[1]) / (power[0] + power[1])


@pytest.fixture
def pair():
    generator = np.random.default_rng(5)
    reference = generator.normal(500, 80, (4, 16, 16))
    return reference, 0.9 * reference + generator.normal(30, 40, reference.shape)


def test_four_bands_equal_quaternions_pixel_by_pixel(pair):
    found = q2n_blocks(torch.from_numpy(pair[0]), torch.from_numpy(pair[1]), 8)
    for row in range(2):
        for col in range(2):
            blocks = (v[:, 8 * row : 8 * row + 8, 8 * col : 8 * col + 8] for v in pair)
            assert float(found[row, col]) == pytest.approx(plain_q4(*blocks), rel=1e-10)


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 5, 8])
def test_the_norm_of_a_product_is_the_product_of_norms(bands):
    size = 1 << (bands - 1).bit_length()
    x, y = torch.randn(2, size, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = hypercomplex_product(x, y).norm(dim=0)
    assert found.numpy() == pytest.approx((x.norm(dim=0) * y.norm(dim=0)).numpy())


@pytest.mark.parametrize("bands", [1, 2, 3, 5])
def test_equal_images_have_quality_one_and_order_of_bands_is_free(bands):
    generator = np.random.default_rng(bands)
    image = torch.from_numpy(generator.normal(300, 30, (bands, 16, 16)))
    assert q2n_blocks(image, image, 8).numpy() == pytest.approx(1)
    noisy = image + torch.from_numpy(generator.normal(0, 20, image.shape))
    found = q2n_blocks(image, noisy, 8).numpy()
    assert (found < 0.99).all()
    assert (found > 0).all()


def test_a_constant_block_stays_defined():
    flat = torch.full((4, 8, 8), 0.1, dtype=torch.float64)
    assert float(q2n_blocks(flat, flat, 8)) == pytest.approx(1)
    assert 0 <= float(q2n_blocks(flat, flat + 5, 8)) < 1
    assert bool(torch.isfinite(q2n_blocks(flat * 0, flat * 0, 8)).all())


def test_rounding_in_a_constant_block_does_not_magnify_a_difference():
    block = torch.from_numpy(500 + 1e-9 * np.random.default_rng(0).normal(size=(4, 8, 8)))
    assert float(q2n_blocks(block, block + 1e-7, 8)) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("bands", [1, 3, 4])
def test_two_blocks_that_are_constant_but_for_rounding_are_alike(bands):
    """As of a lake or a cloud in float32, where what is left is noise of the last digit."""
    generator = torch.Generator().manual_seed(0)

    def noise():
        return torch.rand(bands, 16, 16, generator=generator, dtype=torch.float64) - 0.5

    level = torch.full((bands, 16, 16), 500.0, dtype=torch.float64)
    assert float(q2n_blocks(level + 1e-4 * noise(), level + 1e-4 * noise(), 16)) == pytest.approx(1, abs=1e-4)
    # What varies by more than rounding is compared, however little that is.
    assert float(q2n_blocks(level + 1e-4 * noise(), level + noise(), 16)) < 0.5
    assert float(q2n_blocks(level + noise(), level + noise(), 16)) < 0.5

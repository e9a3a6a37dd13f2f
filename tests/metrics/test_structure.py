from __future__ import annotations

import numpy as np
import pytest
import torch

from pancli.metrics.structure import edge_strength, local_correlation, ssim_map


@pytest.fixture
def pair():
    generator = np.random.default_rng(11)
    x = generator.normal(600, 50, (2, 20, 22))
    return x, 0.8 * x + generator.normal(100, 30, x.shape)


def test_ssim_equals_the_formula_in_every_window(pair):
    found = ssim_map(torch.from_numpy(pair[0]), torch.from_numpy(pair[1]), 2047.0)
    assert found.shape == (2, 10, 12)
    distance = np.arange(-5, 6)
    weights = np.exp(-(distance[:, None] ** 2 + distance[None] ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    c1, c2 = (0.01 * 2047) ** 2, (0.03 * 2047) ** 2
    for row, col in ((0, 0), (3, 7), (9, 11)):
        x, y = (v[1, row : row + 11, col : col + 11] for v in pair)
        mx, my = (weights * x).sum(), (weights * y).sum()
        vx, vy = (weights * (x - mx) ** 2).sum(), (weights * (y - my) ** 2).sum()
        cross = (weights * (x - mx) * (y - my)).sum()
        expected = (2 * mx * my + c1) * (2 * cross + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
        assert float(found[1, row, col]) == pytest.approx(expected, rel=1e-10)


def test_ssim_is_one_on_equal_images_and_symmetric(pair):
    x, y = (torch.from_numpy(v) for v in pair)
    assert ssim_map(x, x, 255.0).numpy() == pytest.approx(1)
    assert torch.allclose(ssim_map(x, y, 255.0), ssim_map(y, x, 255.0))


def test_edges_of_a_ramp_are_its_slope():
    rows, cols = torch.meshgrid(torch.arange(6.0), torch.arange(7.0), indexing="ij")
    found = edge_strength((3 * rows + 4 * cols)[None].double())
    assert found.shape == (1, 4, 5)
    assert found.numpy() == pytest.approx(8 * 5)


def plain_local_correlation(x, y, row, col, half):
    """Each pixel less the mean of its own window, then the correlation over one window of those."""

    def centred(image, r, c):
        window = image[r - half + 1 : r + half + 1, c - half + 1 : c + half + 1]
        return image[r, c] - window.mean()

    spots = [
        (r, c) for r in range(row - half + 1, row + half + 1) for c in range(col - half + 1, col + half + 1)
    ]
    a, b = (np.array([centred(v, *spot) for spot in spots]) for v in (x, y))
    return (a @ b) / np.sqrt((a @ a) * (b @ b))


@pytest.mark.parametrize("half", [1, 2])
def test_local_correlation_equals_plain_loops(pair, half):
    x, pan = pair[0], pair[1][:1]
    found = local_correlation(torch.from_numpy(x), torch.from_numpy(pan), half)
    first = 2 * half - 2
    assert found.shape == (2, 20 - 4 * half + 2, 22 - 4 * half + 2)
    for row, col in ((0, 0), (5, 3), tuple(n - 1 for n in found.shape[1:])):
        expected = plain_local_correlation(x[1], pan[0], row + first, col + first, half)
        assert float(found[1, row, col]) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("scale", [1e-60, 1e-12, 1e-8, 1e9])
def test_local_correlation_does_not_depend_on_units(pair, scale):
    x, pan = (torch.from_numpy(v) for v in (pair[0], pair[1][:1]))
    found = local_correlation(scale * x, scale**0.5 * pan, 2)
    torch.testing.assert_close(found, local_correlation(x, pan, 2), rtol=0, atol=1e-9)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e9])
def test_local_correlation_with_what_is_flat_but_for_rounding_is_none(pair, scale):
    x, pan = (scale * torch.from_numpy(v) for v in (pair[0], pair[1][:1]))
    x = torch.cat([torch.full_like(x[:, :, :11], 0.3 * scale), x[:, :, 11:]], 2)
    found = local_correlation(x, pan, 2)
    assert bool((found[:, :, :5] == 0).all())
    assert bool((found[:, :, 8:] != 0).all())

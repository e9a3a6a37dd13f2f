from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from pancli import resampling
from pancli.placement import AxisMap, Placement
from pancli.resampling import (
    CUBIC_TAPS,
    blur,
    degradation_matrix,
    degrade,
    displace,
    interpolation_matrix,
    low_pass,
    low_pass_radius,
    mtf_sigma,
    upsample,
)
from pancli.tiling import Window


def keys(x: float) -> float:
    x = abs(x)
    if x < 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


@pytest.mark.parametrize(
    ("scale", "offset"), [(0.25, 0.0), (0.25, 0.125), (14.99 / 29.9, 0.3), (-0.25, 10.0)]
)
def test_interpolation_equals_the_plain_loop(scale, offset):
    values = np.random.default_rng(0).normal(size=10)
    axis = AxisMap(scale, offset, 10)
    got = interpolation_matrix(axis, (0, 30), (0, 10)) @ torch.from_numpy(values)
    for index in range(30):
        position = scale * (index + 0.5) + offset - 0.5
        base = math.floor(position)
        expected = sum(values[min(max(base + t, 0), 9)] * keys(position - base - t) for t in (-1, 0, 1, 2))
        assert float(got[index]) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("learns", [False, True])
@pytest.mark.parametrize(("scale", "offset"), [(0.25, 0.0), (14.99 / 29.9, 0.3), (-0.25, 50.0)])
def test_upsampling_a_large_window_equals_the_plain_loop(scale, offset, learns):
    """Larger than what one product interpolates, so that its parts must meet."""
    values = np.random.default_rng(1).normal(size=(2, 50, 50))
    axis, window = AxisMap(scale, offset, 50), Window(20, 30, 140, 70)
    ms = torch.from_numpy(values).requires_grad_(learns)
    got = upsample(ms, Placement(axis, axis), Window(0, 0, 50, 50), window).detach().numpy()
    assert got.shape == (2, 140, 70)

    def taps(index):
        position = scale * (index + 0.5) + offset - 0.5
        base = math.floor(position)
        return [(min(max(base + t, 0), 49), keys(position - base - t)) for t in (-1, 0, 1, 2)]

    for row, col in [(0, 0), (63, 63), (64, 64), (63, 64), (64, 63), (127, 1), (128, 69), (139, 69)]:
        rows, cols = taps(window.row + row), taps(window.col + col)
        expected = sum(values[:, i, j] * a * b for i, a in rows for j, b in cols)
        np.testing.assert_allclose(got[:, row, col], expected, atol=1e-12)


def test_interpolation_keeps_a_straight_line_and_its_place():
    axis = AxisMap(0.25, 0.0, 20)
    line = torch.arange(20, dtype=torch.float64)
    got = interpolation_matrix(axis, (16, 60), (0, 20)) @ line
    expected = torch.tensor([axis.to_ms(i) for i in range(16, 60)], dtype=torch.float64)
    assert torch.allclose(got, expected, atol=1e-12)


@pytest.mark.parametrize("ratio", [2.0, 29.9 / 14.99, 4.0, 6.0])
@pytest.mark.parametrize("gain", [0.15, 0.3, 0.5])
def test_degradation_has_the_gain_asked_for_at_the_ms_nyquist(ratio, gain):
    axis = AxisMap(1 / ratio, 0.0, 80)
    pan = np.arange(int(80 * ratio))
    frequency = 1 / (2 * ratio)
    low, high = 30, 50
    matrix = degradation_matrix(axis, (low, high), (0, len(pan)), gain).numpy()
    wave = np.exp(2j * np.pi * frequency * pan)
    centres = np.array([axis.to_pan(j) for j in range(low, high)])
    response = matrix @ wave / np.exp(2j * np.pi * frequency * centres)
    assert np.abs(response) == pytest.approx(gain, rel=0.02)
    assert np.abs(response.imag).max() < 0.01 * gain  # no phase: pixels stay where they are


@pytest.mark.parametrize(("scale", "offset"), [(0.25, 0.0), (14.99 / 29.9, 0.3), (-0.25, 10.0)])
def test_degradation_equals_the_plain_loop(scale, offset):
    axis, gain, first, last = AxisMap(scale, offset, 10), 0.3, 3, 40
    got = degradation_matrix(axis, (-1, 12), (first, last), gain)
    sigma = math.sqrt(-2 * math.log(gain)) / (math.pi * abs(scale))
    assert got.shape == (13, last - first)
    for row, ms_index in enumerate(range(-1, 12)):
        away = [pan - ((ms_index + 0.5 - offset) / scale - 0.5) for pan in range(first, last)]
        weights = [math.exp(-((d / sigma) ** 2) / 2) if abs(d) <= 4 * sigma else 0.0 for d in away]
        expected = [weight / max(sum(weights), 1e-300) for weight in weights]
        np.testing.assert_allclose(got[row], expected, atol=1e-15)


def test_degradation_keeps_a_constant_up_to_the_border():
    axis = AxisMap(0.25, 0.0, 10)
    matrix = degradation_matrix(axis, (0, 10), (0, 40), 0.3)
    assert torch.allclose(matrix.sum(1), torch.ones(10, dtype=torch.float64))


@pytest.mark.parametrize("gain", [0.98, 0.982, 0.996, 0.9999, 1 - 2**-53])
@pytest.mark.parametrize(
    ("ratio", "offset"), [(2.0, 0.0), (2.0, 1e-9), (3.0, 0.0), (4.0, 0.0), (4.0, 0.1), (29.9 / 14.99, 0.3)]
)
def test_a_constant_stays_constant_whatever_the_gain(ratio, offset, gain):
    axis = AxisMap(1 / ratio, offset, 10)
    matrix = degradation_matrix(axis, (1, 9), (0, int(10 * ratio)), gain)
    assert torch.allclose(matrix.sum(1), torch.ones(8, dtype=torch.float64), atol=1e-15)


def test_the_sharpest_gain_takes_both_pixels_beside_a_centre_between_them():
    matrix = degradation_matrix(AxisMap(0.5, 1e-9, 10), (1, 9), (0, 20), 1 - 2**-53)
    assert torch.allclose(matrix.topk(2).values, torch.full((8, 2), 0.5, dtype=torch.float64), atol=1e-6)


def test_sigma_is_that_of_a_gaussian_with_this_transfer_function():
    sigma = mtf_sigma(4.0, 0.3)
    assert math.exp(-2 * (math.pi * sigma / 8) ** 2) == pytest.approx(0.3)


@pytest.mark.parametrize("offset", [0.0, 0.125, 0.31])
def test_windows_see_what_the_whole_image_sees(offset):
    placement = Placement(AxisMap(0.25, offset, 40), AxisMap(14.99 / 29.9, 0.2, 80))
    generator = torch.Generator().manual_seed(1)
    ms = torch.rand(3, 40, 80, generator=generator, dtype=torch.float64)
    pan = torch.rand(1, 150, 150, generator=generator, dtype=torch.float64)
    whole, part = Window(0, 0, 150, 150), Window(40, 50, 60, 55)
    all_ms = Window(0, 0, 40, 80)
    ms_window = placement.ms_window(part, CUBIC_TAPS)
    cut = ms[:, *ms_window.slices_in(all_ms)]
    expected = upsample(ms, placement, all_ms, whole)[:, *part.slices_in(whole)]
    assert torch.allclose(upsample(cut, placement, ms_window, part), expected, atol=1e-12)

    margin = low_pass_radius(placement.rows.ratio, 0.3)
    core = Window(60, 65, 20, 20)
    window = core.grow(margin)
    expected = low_pass(pan, placement, whole, 0.3)[:, *core.slices_in(whole)]
    got = low_pass(pan[:, *window.slices_in(whole)], placement, window, 0.3)[:, *core.slices_in(window)]
    assert torch.allclose(got, expected, atol=1e-12)


def test_low_pass_keeps_a_constant_where_ms_reaches_beyond_pan():
    placement = Placement(AxisMap(0.25, 5.0, 60), AxisMap(0.25, 5.0, 60))
    image = torch.full((1, 80, 80), 7.0, dtype=torch.float64)
    got = low_pass(image, placement, Window(0, 0, 80, 80), 0.55)
    assert torch.allclose(got, image)


@pytest.mark.parametrize("sigmas", [(0.8, 0.8), (2.0, 1.0)])
def test_a_blur_leaves_of_a_wave_what_a_gaussian_over_pixels_leaves(sigmas):
    """Its transfer function times a pixel's."""
    waves = 0.21, 0.13
    rows, cols = (torch.cos(2 * math.pi * wave * torch.arange(64.0)) for wave in waves)
    image = (rows[:, None] * cols[None, :])[None]
    left = 1.0
    for wave, sigma in zip(waves, sigmas, strict=True):
        left *= math.exp(-2 * (math.pi * sigma * wave) ** 2) * math.sin(math.pi * wave) / (math.pi * wave)
    inner = slice(10, -10)
    got = blur(image, sigmas)[:, inner, inner]
    torch.testing.assert_close(got, left * image[:, inner, inner], rtol=0, atol=2e-3)


@pytest.mark.parametrize("away", [0.1, 0.3, 0.5, 1.7])
def test_displacing_leaves_fine_detail(away):
    """Of waves 2.2 pixels long, and of all that are longer, at least 0.97."""
    position = torch.arange(200, dtype=torch.float64)
    for frequency in (0.02, 0.2, 0.4, 0.45):
        here, there = (torch.sin(2 * math.pi * frequency * (position + d)).float() for d in (0.0, away))
        rows, cols = (
            displace(image, shift)
            for image, shift in (
                (here[:, None].expand(200, 8), (away, 0.0)),
                (here[None].expand(8, 200), (0.0, away)),
            )
        )
        torch.testing.assert_close(rows.T, cols)
        error = (cols - there)[4, 20:-20]
        assert float(error.square().mean().sqrt()) < 0.03 * 0.5**0.5


def test_away_from_the_cpu_weights_are_made_once(monkeypatch):
    """But not those of a product that has a gradient, which what was made in inference mode cannot have."""
    made = []

    def counted(*asked):
        made.append(asked)
        return degradation_matrix(*asked)

    monkeypatch.setattr(resampling, "degradation_matrix", counted)
    placement = Placement(AxisMap(0.25, 0.0, 8), AxisMap(0.25, 0.0, 9))
    image = torch.zeros(32, 36, device="meta")
    asked = placement, Window(0, 0, 32, 36), Window(0, 0, 8, 9)
    for _ in range(3):
        with torch.inference_mode():
            assert degrade(image, *asked, 0.25).shape == (8, 9)
    assert len(made) == 2
    degrade(image.requires_grad_(), *asked, 0.25)
    assert len(made) == 4


def test_degrading_puts_nothing_where_no_pan_pixel_is_in_reach():
    placement = Placement(AxisMap(0.25, 0.0, 30), AxisMap(0.25, 0.0, 30))
    got = degrade(torch.ones(1, 8, 8), placement, Window(0, 0, 8, 8), Window(20, 20, 2, 2), 0.3)
    assert (got == 0).all()

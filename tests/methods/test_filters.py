import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pancli.methods.filters import Box, BSpline, SensorMtf, b3_kernel, box_kernel, convolve, gaussian_kernel
from pancli.methods.protocol import PairInfo
from pancli.resampling import low_pass_radius
from pancli.sensors import find_sensor
from tests.methods.pairs import LANDSAT, Grid

ratios = st.floats(1.0, 20.0)


def variance(kernel):
    offset = torch.arange(len(kernel), dtype=torch.float64) - len(kernel) // 2
    return float((kernel * offset**2).sum())


@given(ratios)
@pytest.mark.parametrize("kernel", [box_kernel, b3_kernel])
def test_a_kernel_is_a_symmetric_mean(kernel, ratio):
    weights = kernel(ratio)
    assert len(weights) % 2 == 1
    assert float(weights.sum()) == pytest.approx(1.0, abs=1e-12)
    assert bool((weights >= 0).all())
    torch.testing.assert_close(weights, weights.flip(0))


@given(ratios)
def test_the_b3_cascade_follows_the_ratio(ratio):
    assert variance(b3_kernel(ratio)) == pytest.approx((ratio**2 - 1) / 3, abs=1e-6)


@given(ratios)
def test_the_box_is_as_wide_as_asked(ratio):
    weights = box_kernel(ratio)
    assert float(weights.max()) == pytest.approx(1 / ratio)
    assert len(weights) >= ratio > len(weights) - 2 - 1e-9


def test_an_odd_box_has_equal_weights():
    assert box_kernel(5.0).tolist() == pytest.approx([0.2] * 5)


def test_the_b3_cascade_at_2_and_4_is_the_classical_one():
    spline = np.array([1, 4, 6, 4, 1]) / 16
    dilated = np.zeros(9)
    dilated[::2] = spline
    np.testing.assert_allclose(b3_kernel(2.0), spline)
    np.testing.assert_allclose(b3_kernel(4.0), np.convolve(spline, dilated), atol=1e-15)


def test_the_b3_cascade_does_not_jump_at_a_power_of_two():
    below, above = b3_kernel(4.0 - 1e-6), b3_kernel(4.0 + 1e-6)
    assert len(above) > len(below)
    trim = (len(above) - len(below)) // 2
    torch.testing.assert_close(above[trim:-trim], below, rtol=0, atol=1e-5)


def test_a_gaussian_has_its_standard_deviation():
    assert variance(gaussian_kernel(2.0, 12)) == pytest.approx(4.0, rel=1e-4)


def test_convolve_repeats_the_edge():
    rng = np.random.default_rng(0)
    image = rng.random((2, 6, 7))
    rows, cols = box_kernel(3.0), b3_kernel(2.0)
    expected = np.zeros_like(image)
    for r in range(6):
        for c in range(7):
            for i in range(-1, 2):
                for j in range(-2, 3):
                    pixel = image[:, min(max(r + i, 0), 5), min(max(c + j, 0), 6)]
                    expected[:, r, c] += float(rows[i + 1]) * float(cols[j + 2]) * pixel
    result = convolve(torch.from_numpy(image), rows, cols)
    np.testing.assert_allclose(result.numpy(), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("ratio", "box", "spline"), [(4.0, 2, 6), (2.0, 1, 2), (3.0, 2, 6), (29.9 / 14.99, 1, 2), (8.0, 4, 14)]
)
def test_radii_follow_the_ratio(ratio, box, spline):
    info = PairInfo(4, Grid(ratio, 0.0).placement((160, 160)))
    assert Box().radius(info) == box
    assert BSpline().radius(info) == spline


def test_the_mtf_radius_is_that_of_the_blurriest_band():
    sensor = find_sensor("quickbird")
    info = PairInfo(4, LANDSAT.placement((160, 160)), sensor)
    assert SensorMtf().radius(info) == low_pass_radius(29.9 / 14.99, min(sensor.ms_gains))

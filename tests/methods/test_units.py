"""Detail units: where zero lies, and what the bands explain of pan."""

import numpy as np
import pytest
import torch

from pancli.methods.moments import Moments
from pancli.methods.units import Units


def made(samples=400, seed=0):
    """Three bands, one of them falling where pan rises, and pan: (4, N) digital numbers."""
    draw = np.random.default_rng(seed)
    ground, noise = draw.normal(size=samples), draw.normal(size=(4, samples))
    gains = np.array([30.0, 12.0, -20.0, 40.0])[:, None]
    return np.array([400.0, 150.0, 300.0, 500.0])[:, None] + gains * (ground + 0.4 * noise)


@pytest.fixture
def samples():
    return made()


@pytest.fixture
def units(samples):
    return Units.of(Moments.of(torch.from_numpy(samples)))


def test_origin_is_digital_number_zero_in_deviations_of_the_band(samples, units):
    signs = np.array([1, 1, -1])
    expected = signs * samples[:3].mean(1) / samples[:3].std(1, ddof=1)
    np.testing.assert_allclose(units.origin().numpy(), expected, rtol=1e-5)


def test_intensity_is_what_least_squares_explain_of_pan(samples, units):
    bands = torch.from_numpy(samples[:3]).float().reshape(3, 20, 20)
    found = units.intensity(units.of_bands(bands)).flatten().numpy()
    design = np.vstack([samples[:3], np.ones(samples.shape[1])]).T
    fitted = design @ np.linalg.lstsq(design, samples[3], rcond=None)[0]
    np.testing.assert_allclose(found, (fitted - samples[3].mean()) / samples[3].std(ddof=1), atol=1e-4)


def test_a_constant_band_explains_nothing_and_has_no_origin(samples):
    samples[1] = 7.0
    units = Units.of(Moments.of(torch.from_numpy(samples)))
    bands = torch.from_numpy(samples[:3]).float().reshape(3, 20, 20)
    assert float(units.origin()[1]) == 0.0
    assert bool(units.intensity(units.of_bands(bands)).isfinite().all())


def test_moments_of_some_variables_are_theirs(samples):
    chosen = Moments.of(torch.from_numpy(samples)).select([3, 0])
    alone = Moments.of(torch.from_numpy(samples[[3, 0]]))
    torch.testing.assert_close(chosen.scatter, alone.scatter)
    torch.testing.assert_close(chosen.mean, alone.mean)

"""Least squares from moments: by what variables say, not by the units they say it in."""

import numpy as np
import pytest
import torch

from pancli.methods.moments import Moments, least_squares

UNITS = np.array([1.0, 1e-8, 1e5, 1e-3])


def made(samples=300):
    """Four variables that have something in common, and what they make with noise: (5, N)."""
    rng = np.random.default_rng(0)
    known = 10 + rng.normal(size=(4, 4)) @ rng.normal(size=(4, samples))
    return np.vstack([known, np.array([0.4, -0.3, 0.2, 0.6]) @ known + 7 + 0.5 * rng.normal(size=samples)])


@pytest.mark.parametrize("target", [1.0, 1e-6])
def test_units_change_a_weight_by_as_much_and_nothing_else(target):
    samples = made()
    design = np.vstack([samples[:4], np.ones(samples.shape[1])]).T
    *expected, level = np.linalg.lstsq(design, samples[4], rcond=None)[0]
    samples *= np.append(UNITS, target)[:, None]
    weights, intercept = Moments.of(torch.from_numpy(samples)).regress(4, [0, 1, 2, 3])
    np.testing.assert_allclose(weights.numpy() * UNITS / target, expected, rtol=1e-6)
    assert intercept / target == pytest.approx(level, rel=1e-6)


def test_several_targets_are_each_explained_by_themselves():
    scatter = Moments.of(torch.from_numpy(made() * np.append(UNITS, 1.0)[:, None])).scatter
    both = least_squares(scatter[:3, :3], scatter[:3, 3:])
    each = [least_squares(scatter[:3, :3], scatter[:3, target]) for target in (3, 4)]
    torch.testing.assert_close(both, torch.stack(each, 1))


def test_what_is_constant_but_for_rounding_has_no_weight_and_needs_none():
    samples = made()
    samples[1] = 433.3 + 1e-5 * samples[4]
    moments = Moments.of(torch.from_numpy(samples))
    assert float(moments.regress(4, [0, 1, 2, 3])[0][1]) == 0
    weights, intercept = moments.regress(1, [0, 2, 3, 4])
    assert weights.tolist() == [0, 0, 0, 0]
    assert intercept == pytest.approx(433.3, rel=1e-6)


def test_a_repeated_variable_shares_its_weight_whatever_its_units():
    samples = made()
    alone, _ = Moments.of(torch.from_numpy(samples)).regress(4, [0, 1])
    samples[2] = 1e-8 * (samples[0] + 3)
    weights, _ = Moments.of(torch.from_numpy(samples)).regress(4, [0, 1, 2])
    shared = [alone[0] / 2, alone[1], 1e8 * alone[0] / 2]
    np.testing.assert_allclose(weights, shared, rtol=1e-5)


@pytest.mark.parametrize("unit", [1.0, 1e-4, 1e-8])
def test_an_image_explains_its_own_mixture_though_bands_have_units_of_their_own(unit):
    """D_S of R-QNR is 0."""
    samples = made()
    samples[4] = np.array([0.4, 0.3, 0.2, 0.1]) @ samples[:4]
    samples[3] *= unit
    assert Moments.of(torch.from_numpy(samples)).unexplained() == pytest.approx(0, abs=1e-9)

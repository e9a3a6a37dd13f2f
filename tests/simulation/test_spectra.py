"""Materials reflect light, and differ where real ones do."""

import numpy as np
import pytest

from pancli.simulation.spectra import MATERIALS, WAVELENGTHS, response, skylight, sunlight


def at(name, wavelength):
    return np.interp(wavelength, WAVELENGTHS, MATERIALS[name])


@pytest.mark.parametrize("name", MATERIALS)
def test_reflectance_is_a_share_of_the_light(name):
    assert MATERIALS[name].shape == WAVELENGTHS.shape
    assert MATERIALS[name].min() >= 0
    assert MATERIALS[name].max() <= 1


def test_leaves_have_a_green_peak_and_a_red_edge():
    for name in ("grass", "crop", "broadleaf", "conifer"):
        assert at(name, 550) > at(name, 480)
        assert at(name, 550) > at(name, 670)
        assert at(name, 800) > 5 * at(name, 670)


def test_water_is_dark_where_leaves_are_bright():
    assert at("clear water", 850) < 0.01 < at("clear water", 450)


def test_a_response_sums_to_one_and_is_half_at_half_its_width():
    weight = response(660.0, 80.0)
    assert weight.sum() == pytest.approx(1)
    peak = np.interp(660, WAVELENGTHS, weight)
    assert np.interp(620, WAVELENGTHS, weight) == pytest.approx(peak / 2, rel=0.01)
    assert np.interp(700, WAVELENGTHS, weight) == pytest.approx(peak / 2, rel=0.01)
    assert np.interp(800, WAVELENGTHS, weight) < 1e-3 * peak


def test_the_sky_is_bluer_than_the_sun():
    ratio = skylight() / sunlight()
    assert ratio[0] > 1.2 * np.interp(800, WAVELENGTHS, ratio)

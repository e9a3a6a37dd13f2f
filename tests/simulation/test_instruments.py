"""Instruments are possible ones."""

import numpy as np
import pytest

from pancli.sensors import find_sensor
from pancli.simulation.instruments import instrument_like, random_instrument
from pancli.simulation.responses import MEASURED, PAN_NODES
from pancli.simulation.spectra import WAVELENGTHS


@pytest.mark.parametrize("bands", [1, 3, 4, 8, 13])
def test_a_random_instrument_is_within_its_ranges(bands):
    for seed in range(20):
        instrument = random_instrument(np.random.default_rng(seed), bands, 4.0)
        assert instrument.bands == len(instrument.widths) == len(instrument.ms_gains) == bands
        assert len(instrument.band_shifts) == bands
        assert len(instrument.full_scale) == bands + 1
        assert all(0.15 <= gain <= 0.55 for gain in instrument.ms_gains)
        assert all(380 < centre < 2300 for centre in instrument.centres)
        assert len(set(instrument.band_names)) == bands
        responses = instrument.responses()
        assert responses.shape == (bands + 1, len(WAVELENGTHS))
        np.testing.assert_allclose(responses.sum(1), 1)
        assert responses.min() >= 0


def test_a_known_sensor_keeps_its_gains_and_bits_and_names_its_bands():
    instrument = instrument_like(find_sensor("quickbird"), 4, np.random.default_rng(0))
    assert instrument.ms_gains == (0.34, 0.32, 0.30, 0.22)
    assert instrument.bits == 11
    assert instrument.shift == (0.0, 0.0)
    assert instrument.band_names == ("blue", "green", "red", "nir")


def test_haze_is_blue():
    instrument = instrument_like(find_sensor("generic"), 4, np.random.default_rng(0))
    path = instrument.path_reflectance()[1:]
    assert (np.diff(path) < 0).all()


@pytest.mark.parametrize("bands", [1, 2, 8, 12, 40])
def test_a_known_sensor_may_have_any_number_of_bands_in_rising_wavelength(bands):
    instrument = instrument_like(find_sensor("worldview2"), bands, np.random.default_rng(0))
    assert instrument.bands == bands
    assert list(instrument.centres) == sorted(instrument.centres)
    assert max(instrument.centres) < 2300


def real_instruments(bands):
    found = [random_instrument(np.random.default_rng(seed), bands, 4.0) for seed in range(60)]
    return [instrument for instrument in found if instrument.steepness != 4.0]


@pytest.mark.parametrize("bands", [1, 4, 8, 12])
def test_some_random_instruments_see_as_real_ones_do(bands):
    instruments = real_instruments(bands)
    assert 10 < len(instruments) < 40
    for instrument in instruments:
        assert any(
            all(
                any(abs(centre - (low + high) / 2) < 20 for low, high in sensor.bands)
                for centre in instrument.centres
            )
            for sensor in MEASURED.values()
        )
        assert instrument.responses().min() >= 0
        np.testing.assert_allclose(instrument.responses().sum(1), 1)


def test_a_measured_pan_is_seen_as_it_was_measured():
    curves = {sensor.pan for sensor in MEASURED.values() if sensor.pan}
    curved = [instrument for instrument in real_instruments(4) if instrument.pan_curve]
    assert curved
    for instrument in curved:
        pan = instrument.responses()[0]
        nearest = min(
            np.abs(pan / pan.max() - np.interp(WAVELENGTHS, PAN_NODES, curve, 0, 0)).max() for curve in curves
        )
        assert nearest < 0.2


def test_no_sensor_has_so_many_bands():
    assert real_instruments(13) == []


def test_pan_responds_within_its_range_and_hardly_outside():
    for seed in range(10):
        instrument = random_instrument(np.random.default_rng(seed), 4, 4.0)
        if instrument.pan_curve:
            continue
        lo, hi = instrument.pan_range
        pan = instrument.responses()[0]
        assert pan[(lo < WAVELENGTHS) & (hi > WAVELENGTHS)].sum() > 0.85
        assert pan[(lo - 60 > WAVELENGTHS) | (hi + 60 < WAVELENGTHS)].sum() < 0.02


@pytest.mark.parametrize(
    ("name", "bands"), [("worldview3", 4), ("quickbird", 3), ("worldview2", 8), ("landsat8", 4)]
)
def test_bands_have_the_gains_that_others_know_them_by(name, bands):
    """Files name their bands, and by these names the rest of pancli takes their gains."""
    sensor = find_sensor(name)
    instrument = instrument_like(sensor, bands, np.random.default_rng(0))
    assert instrument.ms_gains == sensor.of_bands(instrument.band_names, range(1, bands + 1), bands).gains(
        bands
    )
    assert instrument.ms_gains == sensor.named_gains(instrument.band_names)

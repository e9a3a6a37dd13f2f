"""Sensors as data: every number is there, plausible, and says where it comes from."""

import pytest

from pancli.errors import UsageError
from pancli.sensors import GENERIC, SENSORS, find_sensor

REAL = [sensor for sensor in SENSORS.values() if sensor is not GENERIC]
real = pytest.mark.parametrize("sensor", REAL, ids=lambda sensor: sensor.name)


@real
def test_every_band_has_its_gain(sensor):
    assert len(sensor.bands) == len(sensor.ms_gains)
    assert len({band.name for band in sensor.bands}) == len(sensor.bands)
    for gain in (*sensor.ms_gains, sensor.pan_gain):
        assert 0.05 < gain < 0.6
    assert sensor.pan_gain < min(sensor.ms_gains)  # smaller detectors, the same optics


@real
def test_bands_rise_and_keep_to_what_silicon_sees(sensor):
    red_first = sensor.name in ("pleiades", "spot6", "spot7")  # as Airbus delivers them
    rising = [sensor.bands[i] for i in ((2, 1, 0, 3) if red_first else range(len(sensor.bands)))]
    centres = [band.low + band.high for band in rising]
    assert centres == sorted(set(centres))
    for low, high in (*((band.low, band.high) for band in sensor.bands), sensor.pan_range):
        assert 400 <= low < high <= 1040


@real
def test_pixels_and_bits_are_those_of_a_satellite(sensor):
    assert 0.3 <= sensor.pan_gsd < sensor.ms_gsd <= 30
    assert sensor.ratio == pytest.approx(2 if sensor.name.startswith("landsat") else 4)
    assert sensor.bits in (8, 10, 11, 12, 16)


@real
def test_every_number_has_a_source(sensor):
    assert sensor.gains_source
    assert sensor.bands_source
    assumed = set(sensor.ms_gains) == {0.3} and sensor.pan_gain == 0.15
    assert ("assumed: no measurement" in sensor.gains_source) == assumed


def test_gains_follow_the_published_table():
    assert find_sensor("quickbird").ms_gains == (0.34, 0.32, 0.30, 0.22)
    assert find_sensor("ikonos").ms_gains == (0.26, 0.28, 0.29, 0.28)
    assert find_sensor("worldview2").ms_gains == (0.35,) * 7 + (0.27,)
    assert [find_sensor(n).pan_gain for n in ("ikonos", "geoeye1", "worldview2")] == [0.17, 0.16, 0.11]


def test_no_sensor_in_particular_has_no_bands():
    assert GENERIC.ratio is None
    assert GENERIC.bands == ()
    assert GENERIC.gains(3) == pytest.approx((0.3,) * 3)


def test_another_number_of_bands_gets_the_mean():
    sensor = find_sensor("quickbird")
    assert sensor.gains(4) is sensor.ms_gains
    assert sensor.gains(3) == pytest.approx((0.295,) * 3)


def test_names_pick_gains_in_any_order_and_number():
    sensor = find_sensor("worldview3")
    assert sensor.named_gains(["NIR2", " blue"]) == (0.315, 0.355)
    assert sensor.named_gains(["blue", "band 2"]) is None
    assert sensor.named_gains(["blue", None]) is None


def test_bands_are_known_by_what_files_call_them():
    assert find_sensor("landsat8").named_gains(["B5", "b4", "Blue"]) == (0.53, 0.55, 0.55)
    assert find_sensor("landsat9").named_gains(["B6"]) is None
    assert find_sensor("ikonos").named_gains(["B2"]) is None
    assert not find_sensor("landsat8").doubts(["B4", "B3", "B2"], [1, 2, 3], 3)


@pytest.mark.parametrize("name", ["WorldView-3", "worldview 3", "WORLDVIEW_3"])
def test_a_name_may_be_written_in_many_ways(name):
    assert find_sensor(name) is SENSORS["worldview3"]


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UsageError, match="unknown sensor 'sputnik'; known: .*ikonos.*worldview4"):
        find_sensor("sputnik")


def test_bands_that_cannot_be_told_get_the_mean_though_they_be_as_many():
    """Four of eight bands without names: nobody says which."""
    sensor = find_sensor("quickbird").of_bands([None] * 4, [7, 5, 3, 2], 8)
    assert sensor.gains(4) == pytest.approx((0.295,) * 4)

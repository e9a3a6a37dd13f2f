from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from matplotlib.image import imread

from pancli.comparing.pictures import heat, heat_bar, round_up, stretch
from pancli.pictures import false_colour, limits, true_colour
from pancli.sensors import find_sensor

GENERIC = find_sensor("generic")


def decode(uri):
    """(h, w, 4) in [0, 255]."""
    head, _, body = uri.partition(",")
    assert head == "data:image/png;base64"
    return np.rint(255 * imread(io.BytesIO(base64.b64decode(body))))


def test_a_picture_is_black_and_white_at_the_limits_and_linear_between():
    values = np.array([[[0.0, 10, 20, 30]], [[5, 5, 5, 5]], [[-9, 0, 1, 99]]])
    black_white = np.array([[10.0, 30.0], [0.0, 10.0], [0.0, 1.0]])
    shown = decode(stretch(values, np.ones((1, 4), bool), black_white, (2, 1, 0)))
    assert shown[0, :, :3].tolist() == [[0, 128, 0], [0, 128, 0], [255, 128, 128], [255, 128, 255]]


def test_masked_pixels_are_transparent_and_count_for_no_limit():
    values = np.arange(100.0).reshape(1, 10, 10)
    values[0, 0, 0] = np.nan
    valid = np.isfinite(values[0])
    found = limits(values, valid)
    assert found[0] == pytest.approx(np.percentile(values[0][valid], (2, 98)))
    shown = decode(stretch(values, valid, found, (0,)))
    assert shown[0, 0].tolist() == [0, 0, 0, 0]
    assert (shown[valid][:, 3] == 255).all()
    assert (shown[..., 0] == shown[..., 2]).all()


@pytest.mark.parametrize("fill", [7.0, np.nan])
def test_a_flat_or_empty_image_has_limits_too(fill):
    values = np.full((2, 3, 3), fill)
    low, high = limits(values, np.isfinite(values[0])).T
    assert (high > low).all()


def test_worse_is_brighter_up_to_the_top():
    values = np.array([[0.0, 0.5, 1.0, 5.0, np.nan]])
    shown = decode(heat(values, np.isfinite(values), 1.0))
    light = shown[0, :4].sum(1)
    assert light[0] < light[1] < light[2] == light[3]
    assert shown[0, 4, 3] == 0
    bar = decode(heat_bar())
    assert bar.shape[:2] == (1, 256)
    assert (bar[0, 0] == shown[0, 0]).all()
    assert (bar[0, -1] == shown[0, 3]).all()


@pytest.mark.parametrize(("value", "top"), [(0.4123, 0.42), (1234.0, 1300.0), (0.42, 0.42), (0.0, 1.0)])
def test_scales_end_at_two_digits(value, top):
    assert round_up(value) == top


@pytest.mark.parametrize(
    ("sensor", "names", "numbers", "true", "false"),
    [
        ("generic", [None] * 4, [1, 2, 3, 4], (2, 1, 0), (3, 2, 1)),
        ("ikonos", [None] * 4, [1, 2, 3, 4], (2, 1, 0), (3, 2, 1)),
        ("ikonos", [None] * 4, [4, 3, 2, 1], (1, 2, 3), (0, 1, 2)),
        ("pleiades", [None] * 4, [1, 2, 3, 4], (0, 1, 2), (3, 0, 1)),
        ("spot7", [None] * 4, [1, 2, 3, 4], (0, 1, 2), (3, 0, 1)),
        ("worldview2", [None] * 8, range(1, 9), (4, 2, 1), (6, 4, 2)),
        ("worldview2", [None] * 4, [1, 2, 3, 4], (2, 1, 0), (3, 2, 1)),
        ("ikonos", ["NIR1", "Red", "green", "blue"], [1, 2, 3, 4], (1, 2, 3), (0, 1, 2)),
        ("landsat8", ["B4", "B3", "B2"], [1, 2, 3], (0, 1, 2), ()),
        ("landsat7", ["B4", "B3", "B2", "B1"], [1, 2, 3, 4], (1, 2, 3), (0, 1, 2)),
        ("ikonos", [None] * 9, range(1, 10), (2, 1, 0), (3, 2, 1)),
        ("generic", [None] * 3, [1, 2, 3], (2, 1, 0), ()),
        ("generic", [None], [1], (0,), ()),
    ],
)
def test_colours_follow_names_then_the_sensor_then_the_usual_order(sensor, names, numbers, true, false):
    instrument = find_sensor(sensor)
    assert true_colour(instrument, names, numbers) == true
    assert false_colour(instrument, names, numbers) == false

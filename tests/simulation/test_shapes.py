"""Shapes cover what geometry says, to a part of a pixel."""

import math

import numpy as np
import pytest

from pancli.simulation.shapes import (
    Canvas,
    bent_strip_distance,
    box_distance,
    coverage,
    ellipse_distance,
    patch_at,
    polygon_distance,
)


def patch_on(shape, centre, half, angle):
    patch = patch_at(shape, centre, half, angle)
    assert patch is not None
    return patch


def area(distance):
    return float(coverage(distance).sum(dtype=np.float64))


@pytest.mark.parametrize("angle", [0.0, 0.4, math.pi / 2, 2.5])
@pytest.mark.parametrize("centre", [(40.0, 40.0), (39.3, 41.8)])
def test_a_box_has_its_area_however_it_is_turned_and_placed(angle, centre):
    half = 11.0, 6.5
    patch = patch_on((80, 80), centre, half, angle)
    assert area(box_distance(patch, half)) == pytest.approx(4 * 11 * 6.5, rel=0.01)


@pytest.mark.parametrize("half", [(9.0, 9.0), (14.0, 6.0)])
def test_an_ellipse_has_its_area(half):
    patch = patch_on((80, 80), (40.2, 39.6), half, 0.7)
    assert area(ellipse_distance(patch, half)) == pytest.approx(math.pi * half[0] * half[1], rel=0.03)


def test_a_square_polygon_is_the_box():
    patch = patch_on((64, 64), (30.0, 33.5), (12.0, 12.0), 0.3)
    square = polygon_distance(patch, np.arange(4) * math.pi / 2, np.full(4, 7.0, np.float32))
    np.testing.assert_allclose(square, box_distance(patch, (7.0, 7.0)), atol=1e-4)


def test_a_straight_strip_is_as_broad_as_it_says():
    patch = patch_on((64, 64), (32.0, 32.0), (200.0, 200.0), 0.0)
    across = coverage(bent_strip_distance(patch, 3.25, 0.0)).sum(1)
    np.testing.assert_allclose(across, 6.5, atol=1e-4)


def test_rows_come_before_columns_and_angles_turn_from_down_to_right():
    patch = patch_on((64, 64), (10.0, 50.0), (8.0, 2.0), 0.0)
    cover = np.zeros((64, 64), np.float32)
    cover[patch.rows, patch.cols] = coverage(box_distance(patch, (8.0, 2.0)))
    assert cover[17, 50] == 1
    assert cover[10, 53] == 0
    turned = patch_on((64, 64), (10.0, 50.0), (8.0, 2.0), math.pi / 4)
    cover[:] = 0
    cover[turned.rows, turned.cols] = coverage(box_distance(turned, (8.0, 2.0)))
    assert cover[14, 54] > 0.99
    assert cover[14, 46] < 0.01


def test_a_box_beside_the_canvas_has_no_patch():
    assert patch_at((64, 64), (-20.0, 30.0), (5.0, 5.0), 0.3) is None


def test_paint_covers_partly_where_the_shape_does_and_nothing_elsewhere():
    canvas = Canvas(np.full((2, 20, 20), 0.5, np.float32))
    patch = patch_on((20, 20), (10.0, 10.0), (3.0, 3.25), 0.0)
    canvas.paint(patch, coverage(box_distance(patch, (3.0, 3.25))), np.array([0.1, 0.9], np.float32))
    np.testing.assert_allclose(canvas.pixels[:, 10, 10], (0.1, 0.9), atol=1e-6)
    np.testing.assert_allclose(canvas.pixels[:, 10, 13], (0.5 - 0.75 * 0.4, 0.5 + 0.75 * 0.4), atol=1e-6)
    np.testing.assert_allclose(canvas.pixels[:, 10, 13 + 2], 0.5)
    assert canvas.pixels[0].sum(dtype=np.float64) == pytest.approx(200 - 0.4 * 6 * 6.5, abs=0.25)  # corners


def test_a_shadow_leaves_its_share_of_the_light():
    canvas = Canvas(np.full((2, 20, 20), 0.5, np.float32))
    patch = patch_on((20, 20), (10.0, 10.0), (3.0, 3.0), 0.0)
    canvas.darken(patch, coverage(box_distance(patch, (3.0, 3.0))), np.array([0.4, 0.2], np.float32))
    np.testing.assert_allclose(canvas.pixels[:, 10, 10], (0.2, 0.1), atol=1e-6)
    np.testing.assert_allclose(canvas.pixels[:, 0, 0], 0.5)


def test_a_disc_s_distance_is_a_distance():
    patch = patch_on((80, 80), (40.0, 40.0), (12.0, 12.0), 0.0)
    np.testing.assert_allclose(
        ellipse_distance(patch, (12.0, 12.0)), 12.0 - np.hypot(patch.along, patch.across), atol=1e-4
    )

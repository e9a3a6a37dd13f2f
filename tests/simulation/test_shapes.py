"""Shapes cover what geometry says, to a part of a pixel, wherever they lie and however many there are."""

import math

import numpy as np
import pytest
import torch

from pancli.simulation.canvas import Canvas
from pancli.simulation.shapes import Bounds, Kind, Outline, Shape, find_bounds
from pancli.simulation.strokes import Cut, Shade, Stroke

WHITE = np.ones(2, np.float32)
FLAT = torch.zeros(4, 80, 80)


def box_at(centre, half, angle, shape=(80, 80)):
    bounds = find_bounds(shape, centre, half, angle)
    assert bounds is not None
    outline = Outline(centre[0], centre[1], math.cos(angle), math.sin(angle), half[0], half[1])
    return Shape(Kind.BOX, outline, bounds)


def painted(*strokes, shape=(80, 80), textures=FLAT, level=0.0):
    canvas = Canvas(2, shape, textures)
    canvas.pixels.fill_(level)
    for stroke in strokes:
        canvas.lay(stroke)
    return canvas.pixels.numpy()


def cover(shape):
    """(80, 80) how much of a black canvas a white shape covers."""
    return painted(Stroke(shape, WHITE))[0]


def area(shape):
    return float(cover(shape).sum(dtype=np.float64))


@pytest.mark.parametrize("angle", [0.0, 0.4, math.pi / 2, 2.5])
@pytest.mark.parametrize("centre", [(40.0, 40.0), (39.3, 41.8)])
def test_a_box_has_its_area_however_it_is_turned_and_placed(angle, centre):
    assert area(box_at(centre, (11.0, 6.5), angle)) == pytest.approx(4 * 11 * 6.5, rel=0.01)


@pytest.mark.parametrize("half", [(9.0, 9.0), (14.0, 6.0)])
def test_an_ellipse_has_its_area(half):
    ellipse = box_at((40.2, 39.6), half, 0.7).rounded()
    assert area(ellipse) == pytest.approx(math.pi * half[0] * half[1], rel=0.03)


def test_a_disc_is_round():
    disc = box_at((40.0, 40.0), (12.0, 12.0), 0.0).rounded()
    away = np.hypot(*(np.mgrid[:80, :80] - 40.0))
    np.testing.assert_allclose(cover(disc), np.clip(12.5 - away, 0, 1), atol=1e-4)


def test_a_square_polygon_is_the_box_and_a_triangle_stays_in_its_box():
    box = box_at((30.0, 33.5), (7.0, 7.0), 0.3)
    square = box._replace(kind=Kind.POLYGON, edges=tuple((i * math.pi / 2, 7.0) for i in range(4)))
    np.testing.assert_allclose(cover(square), cover(box), atol=1e-4)
    triangle = box._replace(kind=Kind.POLYGON, edges=tuple((i * 2 * math.pi / 3, 3.0) for i in range(3)))
    inscribed = 3 * math.sqrt(3) * 3.0**2  # of the triangle about a circle of radius 3
    assert area(triangle) == pytest.approx(inscribed, rel=0.02)
    blunt = box._replace(kind=Kind.POLYGON, edges=tuple((i * 2 * math.pi / 3, 6.0) for i in range(3)))
    assert (cover(blunt) <= cover(box) + 1e-5).all()


def test_a_straight_strip_is_as_broad_as_it_says():
    strip = box_at((32.0, 32.0), (200.0, 200.0), 0.0).bent(3.25, 0.0)
    np.testing.assert_allclose(cover(strip).sum(1), 6.5, atol=1e-4)


def test_a_bent_strip_leaves_its_axis_and_keeps_its_breadth():
    strip = box_at((40.0, 20.0), (60.0, 60.0), 0.0).bent(3.0, 0.01)
    seen = cover(strip)
    for row in (40, 60, 79):
        middle = (seen[row] * np.arange(80)).sum() / seen[row].sum()
        assert middle == pytest.approx(20 + 0.01 * (row - 40) ** 2, abs=0.2)
        slope = math.hypot(1, 0.02 * (row - 40))
        assert seen[row].sum() == pytest.approx(6 * slope, rel=0.1)


def test_a_dashed_line_is_there_half_of_the_way_and_covers_most():
    line = box_at((40.0, 40.0), (30.0, 2.0), 0.0).dashed(2 * math.pi / 10)
    along = cover(line)[:, 40]
    np.testing.assert_allclose(along[41:45], 0.7, atol=1e-6)
    np.testing.assert_allclose(along[46:50], 0)


def test_a_grown_shape_has_its_edges_further_out():
    box = box_at((40.0, 40.0), (8.0, 5.0), 0.4)
    np.testing.assert_allclose(
        cover(box.grown(2.5)), cover(box_at((40.0, 40.0), (10.5, 7.5), 0.4)), atol=1e-5
    )
    square = box._replace(kind=Kind.POLYGON, edges=tuple((i * math.pi / 2, 4.0) for i in range(4)))
    assert area(square.grown(-1.0)) == pytest.approx(36, rel=0.01)


def test_rows_come_before_columns_and_angles_turn_from_down_to_right():
    seen = cover(box_at((10.0, 50.0), (8.0, 2.0), 0.0))
    assert seen[17, 50] == 1
    assert seen[10, 53] == 0
    turned = cover(box_at((10.0, 50.0), (8.0, 2.0), math.pi / 4))
    assert turned[14, 54] > 0.99
    assert turned[14, 46] < 0.01


def test_a_box_beside_the_canvas_has_no_bounds():
    assert find_bounds((64, 64), (-20.0, 30.0), (5.0, 5.0), 0.3) is None
    assert find_bounds((64, 64), (-3.0, 30.0), (5.0, 5.0), 0.0) == Bounds(0, 4, 24, 37)


def test_paint_covers_partly_where_the_shape_does_and_nothing_elsewhere():
    box = box_at((10.0, 10.0), (3.0, 3.25), 0.0, (20, 20))
    seen = painted(Stroke(box, np.array([0.1, 0.9], np.float32)), shape=(20, 20), level=0.5)
    np.testing.assert_allclose(seen[:, 10, 10], (0.1, 0.9), atol=1e-6)
    np.testing.assert_allclose(seen[:, 10, 13], (0.5 - 0.75 * 0.4, 0.5 + 0.75 * 0.4), atol=1e-6)
    np.testing.assert_allclose(seen[:, 10, 13 + 2], 0.5)
    assert seen[0].sum(dtype=np.float64) == pytest.approx(200 - 0.4 * 6 * 6.5, abs=0.25)  # corners


def test_a_shadow_leaves_its_share_of_the_light_where_its_copies_lie():
    hides = 1 - np.array([0.4, 0.2], np.float32)
    box = box_at((10.0, 10.0), (3.0, 3.0), 0.0, (20, 40))
    shadow = Stroke(box.drawn_out(0.0, 12.0, 2), np.zeros(2, np.float32), hides)
    seen = painted(shadow, shape=(20, 40), level=0.5)
    for col in (14, 18, 20, 24):  # copies 6 and 12 to the right
        np.testing.assert_allclose(seen[:, 10, col], (0.2, 0.1), atol=1e-6)
    np.testing.assert_allclose(seen[:, 10, 10], 0.5)  # where the thing itself stands
    np.testing.assert_allclose(seen[:, 0, 0], 0.5)
    three = painted(shadow._replace(shape=box.drawn_out(0.0, 27.0, 3)), shape=(20, 40), level=0.5)[0, 10]
    np.testing.assert_allclose(three[[19, 28, 37]], 0.2, atol=1e-6)
    np.testing.assert_allclose(three[[10, 14, 23, 32]], 0.5)


def test_a_texture_is_cut_where_it_is_told_to_and_goes_on_beyond_its_end():
    textures = torch.rand(4, 24, 30, generator=torch.Generator().manual_seed(0))
    grain = Cut(2.0, 0.5, 11.0, -7.0)
    whole = box_at((12.0, 15.0), (40.0, 40.0), 0.0, (24, 30))
    seen = painted(Stroke(whole, WHITE, grain=grain), shape=(24, 30), textures=textures)[1]
    np.testing.assert_allclose(seen, 1 + 0.5 * textures[2].roll((-11, 7), (0, 1)).numpy(), atol=1e-6)


def test_a_lean_is_brighter_along_the_shape_between_its_limits():
    box = box_at((40.0, 40.0), (20.0, 20.0), math.pi / 2)  # along is to the right, across is up
    lean = Shade(lean_along=0.1, lean_across=0.02, darkest=-0.5, brightest=0.8)
    seen = painted(Stroke(box, WHITE, shade=lean))[0]
    assert seen[40, 42] == pytest.approx(1.2, abs=1e-5)
    assert seen[35, 40] == pytest.approx(1.1, abs=1e-5)
    assert seen[40, 55] == pytest.approx(1.8, abs=1e-5)
    assert seen[40, 30] == pytest.approx(0.5, abs=1e-5)


def test_rows_of_crops_run_along_and_wear_shows_what_is_under():
    textures = torch.zeros(4, 80, 80)
    textures[2, :, 40:] = 5.0
    box = box_at((40.0, 40.0), (30.0, 30.0), 0.0)
    rows = Shade(furrows=0.2, frequency=math.pi / 4)
    flat = Cut(0.0, 0.25)
    crops = Stroke(
        box, WHITE, None, rows, phase=flat, wear=Cut(2.0, 0.12), under=np.array([0, 3], np.float32)
    )
    left, right = painted(crops, textures=textures)[:, 40, 20:60].reshape(2, 2, 20).swapaxes(0, 1)
    across = np.arange(-20, 20)
    wave = 1 + 0.2 * np.sin(math.pi / 4 * across + 3)
    np.testing.assert_allclose(left[0], wave[:20] * 0.9, atol=1e-5)  # a tenth is worn by an even texture
    np.testing.assert_allclose(right[0], wave[20:] * 0.4, atol=1e-5)  # and no more than six tenths
    np.testing.assert_allclose(right[1] - right[0], 1.8, atol=1e-5)


def slowly(strokes, shape, level):
    """The same strokes one after the other, every one on a canvas of its own."""
    canvas = np.full((2, *shape), level, np.float32)
    for stroke in strokes:
        alone = painted(stroke._replace(colour=WHITE), shape=shape)[0]
        canvas += alone * (stroke.colour[:, None, None] - canvas)
    return canvas


def test_many_strokes_at_once_are_the_same_as_one_after_the_other(monkeypatch):
    monkeypatch.setitem(Canvas._paint.__globals__["_TOUCHES"], "cpu", 50)  # rounds are cut in two
    rng = np.random.default_rng(2)
    shape, strokes = (50, 70), []
    for index in range(120):
        centre, half = rng.uniform(0, shape), rng.uniform(0.5, 12, 2)
        box = box_at(tuple(map(float, centre)), tuple(map(float, half)), float(rng.uniform(0, 3)), shape)
        colour = rng.uniform(0, 1, 2).astype(np.float32)
        strokes.append(Stroke(box.rounded() if index % 2 else box, colour))
    seen = painted(*strokes, shape=shape, level=0.5)
    np.testing.assert_allclose(seen, slowly(strokes, shape, 0.5), atol=1e-5)

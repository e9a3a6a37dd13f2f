from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pancli.placement import AxisMap, Placement
from pancli.tiling import Window

axes = st.builds(
    AxisMap,
    scale=st.sampled_from([0.25, 1 / 3, 14.99 / 29.9, 0.5, 0.1, -0.25, -14.99 / 29.9]),
    offset=st.floats(-5, 60),
    size=st.integers(1, 60),
)


def test_shared_corners_put_the_first_ms_centre_between_pan_pixels_one_and_two():
    axis = AxisMap(0.25, 0.0, 10)
    assert axis.to_pan(0) == 1.5
    assert axis.to_ms(1.5) == 0.0
    assert axis.ratio == 4


@given(axes, st.floats(-100, 100))
def test_to_pan_inverts_to_ms(axis, position):
    assert axis.to_pan(axis.to_ms(position)) == pytest.approx(position, abs=1e-9)


@given(axes, st.integers(0, 100), st.integers(1, 40), st.integers(1, 40))
def test_ms_pixels_are_counted_once_by_neighbouring_spans(axis, start, first, second):
    middle, stop = start + first, start + first + second
    parts = [range(*axis.ms_inside(start, middle)), range(*axis.ms_inside(middle, stop))]
    together = sorted(i for part in parts for i in part)
    assert together == list(range(*axis.ms_inside(start, stop)))


@given(axes, st.integers(0, 100), st.integers(1, 40))
def test_ms_span_holds_what_interpolation_needs(axis, start, length):
    low, high = axis.ms_span(start, start + length, 2)
    assert 0 <= low < high <= axis.size
    for index in (start, start + length - 1):
        position = min(max(axis.to_ms(index), 0), axis.size - 1)
        assert low <= position <= high - 1


@given(axes, st.integers(1, 300))
def test_pan_inside_is_where_the_nearest_ms_pixel_exists(axis, pan_size):
    low, high = axis.pan_inside(pan_size)
    nearest = axis.nearest(0, pan_size)
    inside = [i for i in range(pan_size) if 0 <= nearest[i] < axis.size]
    assert list(range(low, high)) == inside


@given(axes, st.integers(0, 50), st.integers(1, 10), st.integers(0, 5))
def test_pan_span_holds_what_reduction_needs_and_no_more(axis, start, length, margin):
    low, high = axis.pan_span(start, start + length, margin)
    ends = sorted((axis.to_pan(start), axis.to_pan(start + length - 1)))
    assert 0 <= ends[0] - margin - low < 1
    assert 0 <= high - 1 - (ends[1] + margin) < 1


@given(axes, st.integers(1, 60), st.integers(1, 60))
def test_pan_pixels_lie_on_the_ms_pixel_that_is_nearest(axis, start, length):
    start = start % axis.size
    stop = min(start + length, axis.size)
    low, high = axis.pan_on(start, stop)
    around = range(low - 3, high + 3)
    centres = axis.scale * (np.array(around) + 0.5) + axis.offset
    on = (centres > start - 1e-6) & (centres < stop + 1e-6)
    assert [index for index, is_on in zip(around, on, strict=True) if is_on] == list(range(low, high))


@given(axes)
def test_footprints_hold_what_ms_pixels_touch_and_no_more(axis):
    first, last = axis.footprints()
    edges = np.sort([axis.to_pan(np.arange(axis.size) + half) + 0.5 for half in (-0.5, 0.5)], axis=0)
    assert ((first <= edges[0] + 1e-5) & (edges[0] < first + 1)).all()
    assert ((last - 1 <= edges[1]) & (edges[1] - 1e-5 <= last)).all()
    whole = Placement(axis, AxisMap(0.25, 0.0, 10)).footprint()
    assert whole == Window.from_bounds(first.min(), last.max(), 0, 40)


def test_edges_shared_up_to_rounding_add_no_pan_pixel():
    for off in (-1e-9, 0.0, 1e-9):
        first, last = AxisMap(0.25, off, 3).footprints()
        assert (first.tolist(), last.tolist()) == ([0, 4, 8], [4, 8, 12])
        axis = AxisMap(-0.25, 3.125 + off, 3)  # edges of ms lie on centres of pan, and both belong to it
        assert axis.pan_on(1, 2) == (4, 9)
        assert Placement(axis, axis).pan_on(Window(1, 1, 1, 1)) == Window(4, 4, 5, 5)


@pytest.mark.parametrize("off", [-1e-9, 0.0, 1e-9])
def test_what_lies_on_an_edge_up_to_rounding_lies_on_it(off):
    for pixels in range(1, 60):
        for ratio in (29.9 / 14.99, 3.0, 2.0):
            assert AxisMap(1 / ratio, -0.5 / ratio + off, pixels).nearest(0, 1)[0] == 0
            assert AxisMap(-1 / ratio, pixels + 0.5 / ratio + off, pixels).nearest(0, 1)[0] == pixels - 1
    assert AxisMap(0.25, -0.125 + off, 10).pan_inside(60)[0] == 0
    assert AxisMap(0.25, 0.125 + off, 10).pan_inside(60)[1] == 40


def test_an_ms_pixel_centred_between_two_spans_is_the_second_ones():
    axis = AxisMap(0.25, 0.0, 10)
    assert (axis.ms_inside(0, 2), axis.ms_inside(2, 6), axis.ms_inside(6, 10)) == ((0, 0), (0, 1), (1, 2))


def test_shifting_moves_ms_down_and_right():
    placement = Placement(AxisMap(0.25, 0.0, 10), AxisMap(0.25, 0.0, 20)).shifted(2.0, -3.0)
    assert placement.rows.to_pan(0) == 3.5
    assert placement.cols.to_pan(0) == -1.5


def test_ratio_is_the_mean_of_both_axes():
    placement = Placement(AxisMap(0.25, 0, 10), AxisMap(-1 / 9, 0, 10))
    assert placement.ratio == pytest.approx(6.0)
    assert placement.ms_shape == (10, 10)


def test_window_beyond_the_ms_image_gives_its_nearest_edge():
    placement = Placement(AxisMap(0.25, 0.0, 10), AxisMap(0.25, 0.0, 10))
    assert placement.ms_window(Window(100, 100, 8, 8), 2).shape == (1, 1)
    assert placement.ms_inside(Window(100, 100, 8, 8)).size == 0

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pancli.tiling import Window, plan_tiles


@given(
    st.integers(0, 40),
    st.integers(0, 40),
    st.integers(1, 90),
    st.integers(1, 90),
    st.integers(1, 50),
    st.integers(0, 20),
)
def test_cores_cover_the_area_once_and_windows_stay_inside(row, col, height, width, size, margin):
    area = Window(row, col, height, width)
    bounds = Window(0, 0, 140, 140)
    count = np.zeros(bounds.shape, int)
    for tile in plan_tiles(area, size, margin, bounds):
        count[tile.core.slices_in(bounds)] += 1
        assert tile.window.intersect(bounds) == tile.window
        assert tile.core.intersect(tile.window) == tile.core
        for side in ("row", "col"):
            assert getattr(tile.core, side) - getattr(tile.window, side) == min(
                margin, getattr(tile.core, side)
            )
    expected = np.zeros(bounds.shape, int)
    expected[area.slices_in(bounds)] = 1
    assert (count == expected).all()


def test_inner_cuts_the_core_out_of_the_window():
    tile = plan_tiles(Window(0, 0, 10, 10), 4, 3, Window(0, 0, 10, 10))[4]
    window = np.arange(100).reshape(10, 10)[tile.window.slices_in(Window(0, 0, 10, 10))]
    assert window[tile.inner][0, 0] == 44


def test_a_tile_needs_a_size():
    with pytest.raises(ValueError, match="got 0 and 1"):
        plan_tiles(Window(0, 0, 4, 4), 0, 1, Window(0, 0, 4, 4))

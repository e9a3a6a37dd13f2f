from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pancli.tiling import Window, plan_tiles, spread


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


@given(st.integers(-9, 9), st.integers(-9, 9), st.integers(-30, 50), st.integers(0, 40), st.integers(1, 12))
def test_blocks_under_a_window_are_those_that_meet_it(row, col, start, length, side):
    whole, other = Window(row, col, 23, 31), Window(start, start // 2, length, length // 2)
    met = [block for block in whole.blocks(side) if block.intersect(other).size]
    assert list(whole.blocks_under(other, side)) == met


def test_a_tile_needs_a_size():
    with pytest.raises(ValueError, match="got 0 and 1"):
        plan_tiles(Window(0, 0, 4, 4), 0, 1, Window(0, 0, 4, 4))


SHAPES = [(16, 16), (32, 32), (64, 16), (16, 64), (24, 24), (31, 33), (40, 40), (9, 100)]


@pytest.mark.parametrize("count", [16, 64])
@pytest.mark.parametrize("shape", SHAPES)
def test_what_stands_for_an_area_lies_in_all_its_rows_and_columns(shape, count):
    """Of every quarter of the columns, and of the rows, about as many; powers of two are no exception."""
    blocks = list(Window(3, 5, 10 * shape[0] - 4, 10 * shape[1] - 7).blocks(10))
    leaders = [stretch[0] for stretch in spread(blocks, count)]
    for places, size in zip(([b.row - 3 for b in leaders], [b.col - 5 for b in leaders]), shape, strict=True):
        quarters = [place // 10 * 4 // size for place in places]
        shares = [quarters.count(quarter) / count for quarter in range(4)]
        assert min(shares) > 0.1
        assert max(shares) < 0.4
        assert len(set(places)) >= min(size, count**0.5)


@given(st.integers(1, 300), st.integers(1, 40), st.integers(1, 64))
def test_every_window_is_in_one_stretch_however_few_there_are(windows, cols, count):
    blocks = [Window(k // cols, k % cols, 1, 1) for k in range(windows)]
    stretches = spread(blocks, min(count, windows))
    assert len(stretches) == min(count, windows)
    assert all(stretches)
    assert sorted((w for stretch in stretches for w in stretch), key=blocks.index) == blocks

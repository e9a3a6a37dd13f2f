from __future__ import annotations

import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS

from pancli.errors import PairError
from pancli.raster.grid import Grid, crs_name, place, same_crs
from pancli.tiling import Window

UTM31, UTM32 = CRS.from_epsg(32631), CRS.from_epsg(32632)
NORTH_UP = Affine(0.5, 0, 300000, 0, -0.5, 5000000)


def grid(transform=NORTH_UP, shape=(80, 100), crs=UTM31):
    return Grid(crs, transform, shape)


def ms_of(pan, ratio=4.0, right=0.0, down=0.0, shape=(20, 25), crs=UTM31):
    return Grid(crs, pan.transform * Affine.translation(right, down) * Affine.scale(ratio), shape)


@given(st.floats(-50, 50), st.floats(-50, 50), st.floats(1.6, 9))
def test_a_point_on_the_ground_has_the_same_place_in_both(right, down, ratio):
    pan = grid()
    ms = ms_of(pan, ratio, right, down)
    placement, warnings = place(pan, ms)
    x, y = pan.transform * (33.5, 12.5)  # the centre of pan row 12, column 33
    col, row = ~ms.transform * (x, y)
    assert placement.rows.to_ms(12) == pytest.approx(row - 0.5, abs=1e-5)
    assert placement.cols.to_ms(33) == pytest.approx(col - 0.5, abs=1e-5)
    assert warnings == []


def test_south_up_pan_and_rotated_grids_are_placed():
    south_up = grid(Affine(0.5, 0, 300000, 0, 0.5, 4999960))
    placement, _ = place(south_up, ms_of(grid()))
    assert placement.rows.scale == pytest.approx(-0.25)
    assert placement.rows.to_ms(0) == pytest.approx(19 + 0.375)
    turned = grid(NORTH_UP * Affine.rotation(30))
    placement, _ = place(turned, ms_of(turned))
    assert placement.rows.scale == pytest.approx(0.25)


def test_two_rotations_are_refused_by_name():
    pan = grid()
    ms = Grid(UTM31, pan.transform * Affine.rotation(10) * Affine.scale(4), (20, 25))
    with pytest.raises(PairError, match=r"turned by .*10 degrees.*--reproject"):
        place(pan, ms)


@pytest.mark.parametrize("shape", [(8, 4000), (4000, 8)])
def test_a_slight_turn_is_seen_along_the_longer_side(shape):
    pan = grid(shape=shape)
    turned = pan.transform * Affine.rotation(0.01) * Affine.scale(4)
    with pytest.raises(PairError, match="turned by"):
        place(pan, Grid(UTM31, turned, (shape[0] // 4, shape[1] // 4)))


def test_different_crs_are_refused_with_both_names():
    pan = grid()
    with pytest.raises(PairError, match=r"EPSG:32631.*EPSG:32632.*--reproject"):
        place(pan, ms_of(pan, crs=UTM32))


@pytest.mark.parametrize("lacking", ["PAN", "MS"])
def test_a_crs_on_one_side_only_is_refused(lacking):
    pan = grid(crs=None if lacking == "PAN" else UTM31)
    ms = ms_of(pan, crs=None if lacking == "MS" else UTM31)
    with pytest.raises(PairError, match=f"{lacking} has no CRS.*EPSG:32631"):
        place(pan, ms)


def test_without_any_crs_the_geotransforms_count_and_a_warning_says_so():
    pan = grid(crs=None)
    placement, warnings = place(pan, ms_of(pan, right=2.0, crs=None))
    assert placement.cols.to_ms(3.5) == pytest.approx(0.0)
    assert "neither PAN nor MS has a CRS" in warnings[0]


def test_without_any_georeferencing_the_corners_count():
    placement, warnings = place(
        Grid(None, Affine.identity(), (80, 100)), Grid(None, Affine.identity(), (20, 25))
    )
    assert (placement.rows.ratio, placement.rows.offset) == (4.0, 0.0)
    assert "common corners" in warnings[0]


@pytest.mark.parametrize(
    ("shape", "said"), [((20, 25), False), ((21, 24), False), ((10, 25), True), ((20, 28), True)]
)
def test_sizes_that_are_not_of_one_ground_are_told(shape, said):
    _, (warning,) = place(Grid(None, Affine.identity(), (80, 100)), Grid(None, Affine.identity(), shape))
    assert ("do they show the same ground?" in warning) is said
    assert not said or f"{80 / shape[0]:.4g} times as high and {100 / shape[1]:.4g} as wide" in warning


def test_a_geotransform_on_one_side_only_is_refused():
    with pytest.raises(PairError, match="MS has no geotransform"):
        place(grid(crs=None), Grid(None, Affine.identity(), (20, 25)))


@pytest.mark.parametrize(("ratio", "hint"), [(1.2, "nothing to sharpen"), (0.25, "swapped")])
def test_a_ratio_below_one_and_a_half_is_refused(ratio, hint):
    pan = grid()
    with pytest.raises(PairError, match=hint):
        place(pan, ms_of(pan, ratio))


@pytest.mark.parametrize("ratios", [(4, 1), (1, 4)])
def test_a_ratio_below_one_and_a_half_along_one_axis_is_refused(ratios):
    pan = grid()
    with pytest.raises(PairError, match="nothing to sharpen"):
        place(pan, Grid(UTM31, pan.transform * Affine.scale(*ratios), (20, 25)))


def test_cropping_keeps_the_transform_bit_for_bit_at_the_corner():
    pan = grid(Affine(0.1, 0, 1 / 3, 0, -0.1, 2 / 3))
    assert pan.crop(Window(0, 0, 10, 10)).transform is pan.transform
    assert pan.crop(Window(2, 3, 10, 10)).transform * (0, 0) == pan.transform * (3, 2)


def test_crs_are_compared_by_meaning():
    assert same_crs(UTM31, CRS.from_wkt(UTM31.to_wkt(version="WKT1_GDAL")))
    assert not same_crs(UTM31, UTM32)
    assert not same_crs(UTM31, None)
    assert crs_name(None) == "none"


@pytest.mark.parametrize(
    "broken",
    [
        Affine(2, 0, 1e300, 0, -2, 5e6),
        Affine(1e-300, 0, 3e5, 0, -2, 5e6),
        Affine(1e200, 0, 3e5, 0, -1e-200, 5e6),
        Affine(float("nan"), 0, 3e5, 0, -2, 5e6),
    ],
)
def test_numbers_beyond_all_measure_are_refused(broken):
    for pan, ms in ((grid(), Grid(UTM31, broken, (20, 25))), (grid(broken), ms_of(grid()))):
        with pytest.raises(PairError, match=r"corrupt|without area"):
            place(pan, ms)

from __future__ import annotations

import json

import numpy as np
import pyproj
import pytest
import rasterio.features
import shapely
from affine import Affine
from rasterio.crs import CRS
from shapely.geometry import Point, box, mapping

from pancli.errors import InputError, PairError, UsageError
from pancli.raster.area import Area, box_area, polygon_area
from pancli.raster.grid import Grid
from pancli.tiling import Window

GRID = Grid(CRS.from_epsg(32633), Affine(0.5, 0, 500000, 0, -0.5, 4000000), (200, 300))


def save(path, geometry, **members):
    path.write_text(
        json.dumps({"type": "Feature", "geometry": mapping(geometry), "properties": {}, **members})
    )
    return path


def test_a_box_becomes_the_pixels_it_touches():
    area = box_area((500010, 3999950, 500020, 3999990), GRID)
    assert area.window == Window(20, 20, 80, 20)
    assert area.inside(area.window).all()
    assert box_area((500010.1, 3999950, 500020.1, 3999990), GRID).window == Window(20, 20, 80, 21)


def test_a_side_on_a_pixel_edge_up_to_rounding_takes_no_pixel_more():
    grid = Grid(GRID.crs, Affine(0.3, 0, 500000.1, 0, -0.3, 4000000.7), (400, 400))
    for i in range(1, 200):
        corners = 500000.1 + 0.3 * i, 4000000.7 - 0.3 * (i + 5), 500000.1 + 0.3 * (i + 7), 4000000.7 - 0.3 * i
        west, south, east, north = (round(side, 1) for side in corners)
        assert box_area((west, south, east, north), grid).window == Window(i, i, 5, 7)


def test_a_polygon_in_degrees_lands_on_the_same_pixels(tmp_path):
    disc = Point(500050, 3999960).buffer(15, quad_segs=64)
    to_degrees = pyproj.Transformer.from_crs(32633, 4326, always_xy=True)
    degrees = shapely.transform(disc, lambda xy: np.column_stack(to_degrees.transform(xy[:, 0], xy[:, 1])))
    path = save(tmp_path / "a.geojson", degrees)
    area = polygon_area(path, GRID)
    rows, cols = np.mgrid[0:200, 0:300] + 0.5
    expected = np.hypot(500000 + cols * 0.5 - 500050, 4000000 - rows * 0.5 - 3999960) < 15
    got = np.zeros(GRID.shape, bool)
    got[area.window.slices_in(GRID.window)] = area.inside(area.window)
    assert (got != expected).sum() <= 8  # pixels whose centre is on the chord of a segment


def test_only_blocks_on_the_outline_are_drawn(monkeypatch):
    shape = (
        Point(150.3, 100.2)
        .buffer(90)
        .difference(Point(160, 80).buffer(9.7))
        .difference(box(60, 99, 140, 99.2))
    )
    area = Area(GRID.window, shape)
    whole, drawn = area.inside(GRID.window), []
    draw = rasterio.features.geometry_mask

    def noted(*args, **named):
        drawn.append(args)
        return draw(*args, **named)

    monkeypatch.setattr(rasterio.features, "geometry_mask", noted)
    blocks = list(GRID.window.blocks(10))
    for block in blocks:
        np.testing.assert_array_equal(area.inside(block), whole[block.slices_in(GRID.window)])
    full = sum(shape.contains_properly(box(b.col, b.row, b.col_stop, b.row_stop)) for b in blocks)
    assert len(drawn) == len(blocks) - full < len(blocks) - 100


def mask(area, grid):
    """Which pixels of the grid are inside."""
    got = np.zeros(grid.shape, bool)
    got[area.window.slices_in(grid.window)] = area.inside(area.window)
    return got


def degrees_of(grid):
    """(H, W) longitudes and latitudes of pixel centres."""
    rows, cols = np.mgrid[0 : grid.shape[0], 0 : grid.shape[1]] + 0.5
    transformer = pyproj.Transformer.from_crs(grid.crs.to_wkt(), 4326, always_xy=True)
    return transformer.transform(*(grid.transform * (cols, rows)))


@pytest.mark.parametrize("bounds", [(5, 20, 25, 36.1442), (-15, 20, 45, 36.1442), (15.0005, -89, 120, 80)])
@pytest.mark.parametrize("turns", [0, 1])
def test_sides_however_long_run_along_degrees(tmp_path, bounds, turns):
    """Cut into pieces of a degree and more, a parallel would run many pixels beside itself."""
    west, south, east, north = bounds
    lon, lat = degrees_of(GRID)
    expected = (lon > west) & (lon < east) & (lat > south) & (lat < north)
    assert 0 < expected.sum() < expected.size
    path = save(tmp_path / "a.geojson", box(west + 360 * turns, south, east + 360 * turns, north))
    assert (mask(polygon_area(path, GRID), GRID) != expected).sum() <= 2


@pytest.mark.parametrize("bounds", [(-180, -90, 180, 90), (-60, -60, 100, 80)])
def test_what_lies_on_the_far_side_does_not_fold_over_onto_the_image(tmp_path, bounds):
    assert mask(polygon_area(save(tmp_path / "a.geojson", box(*bounds)), GRID), GRID).all()
    hole = box(*bounds) - box(14, 36, 16, 37)
    with pytest.raises(PairError, match="does not meet the PAN image .* taken for WGS 84"):
        polygon_area(save(tmp_path / "b.geojson", hole), GRID)


def test_an_image_across_the_antimeridian_is_met_from_both_sides(tmp_path):
    grid = Grid(CRS.from_epsg(32601), Affine(500, 0, 290000, 0, -500, 7000000), (200, 200))
    lon, lat = degrees_of(grid)
    assert lon.min() < -179.5 and lon.max() > 179.5
    world = polygon_area(save(tmp_path / "w.geojson", box(-180, -90, 180, 90)), grid)
    assert mask(world, grid).mean() > 0.99  # a pixel wide seam may be open
    sides = box(-180, 60, -179.5, 62.5) | box(179.5, 60, 180, 62.5)
    got = mask(polygon_area(save(tmp_path / "a.geojson", sides), grid), grid)
    assert (got != ((abs(lon) > 179.5) & (lat > 60) & (lat < 62.5))).mean() < 0.01


def test_an_image_over_a_pole_has_no_box_in_degrees_and_is_met_all_the_same(tmp_path):
    grid = Grid(CRS.from_epsg(3413), Affine(1000, 0, -50000, 0, -1000, 50000), (100, 100))
    lon, _ = degrees_of(grid)
    got = mask(polygon_area(save(tmp_path / "a.geojson", box(0, 80, 90, 90)), grid), grid)
    assert (got != ((lon > 0) & (lon < 90))).mean() < 0.02


def test_the_crs_member_is_obeyed(tmp_path):
    named = {"crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}}
    path = save(tmp_path / "a.geojson", box(500010, 3999950, 500020, 3999990), **named)
    assert polygon_area(path, GRID).window == Window(20, 20, 80, 20)


@pytest.mark.parametrize("member", [{"properties": None}, {"properties": "x"}, "x", None])
def test_a_crs_member_that_says_nothing_is_none(tmp_path, member):
    west, north = GRID.transform * (20, 20)
    to_degrees = pyproj.Transformer.from_crs(32633, 4326, always_xy=True)
    corners = [to_degrees.transform(west + x, north - y) for x, y in ((0, 0), (9, 0), (9, 9))]
    path = save(tmp_path / "a.geojson", shapely.Polygon(corners), crs=member)
    assert polygon_area(path, GRID).window.size > 0


def test_rotated_grids_follow_the_ground(tmp_path):
    turned = Grid(GRID.crs, GRID.transform * Affine.rotation(-30), GRID.shape)
    area = box_area((500020, 3999965, 500030, 3999975), turned)
    inside = area.inside(area.window)
    rows, cols = np.nonzero(inside)
    t = turned.transform
    across, down = cols + area.window.col + 0.5, rows + area.window.row + 0.5
    x, y = t.a * across + t.b * down + t.c, t.d * across + t.e * down + t.f
    assert inside.sum() == pytest.approx(400, rel=0.05)
    assert (x > 500020).all() and (x < 500030).all() and (y > 3999965).all() and (y < 3999975).all()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{not json", "is not GeoJSON"),
        ("<kml/>", "is not GeoJSON .* ogr2ogr -f GeoJSON"),
        ("\x00GPKG\udcd8", "is not GeoJSON .* ogr2ogr -f GeoJSON"),
        ("[1, 2]", "no type member"),
        ("[" * 100_000, "is not GeoJSON"),
        ('{"type": "FeatureCollection", "features": []}', "is not GeoJSON|holds no polygon"),
        ('{"type": "Point", "coordinates": [1, 2]}', "holds no polygon"),
        ('{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": "x"}}', "is not GeoJSON"),
    ],
)
def test_what_is_not_an_area_is_refused(tmp_path, text, says):
    path = tmp_path / "a.geojson"
    path.write_text(text, errors="surrogateescape")
    with pytest.raises(InputError, match=says):
        polygon_area(path, GRID)


def test_areas_elsewhere_missing_or_empty_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        polygon_area(tmp_path / "none.geojson", GRID)
    with pytest.raises(InputError, match=r"cannot be read .Is a directory"):
        polygon_area(tmp_path, GRID)
    with pytest.raises(PairError, match="does not meet the PAN image"):
        polygon_area(save(tmp_path / "far.geojson", box(0, 0, 1, 1)), GRID)
    with pytest.raises(UsageError, match="west south east north"):
        box_area((5, 5, 1, 1), GRID)
    with pytest.raises(PairError, match="no CRS"):
        polygon_area(save(tmp_path / "b.geojson", box(0, 0, 1, 1)), Grid(None, GRID.transform, GRID.shape))


def test_what_cannot_be_placed_is_refused_in_one_line(tmp_path):
    site = CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1]]')
    path = save(tmp_path / "a.geojson", box(14.9, 36.1, 15.1, 36.2))
    with pytest.raises(PairError, match="cannot be placed in the image's CRS; use --bbox"):
        polygon_area(path, Grid(site, GRID.transform, GRID.shape))
    with pytest.raises(UsageError, match="four finite numbers"):
        box_area((-np.inf, -np.inf, np.inf, np.inf), GRID)


def test_files_of_other_programs_are_read_and_empty_ones_told(tmp_path):
    path = save(tmp_path / "a.geojson", box(14.999, 36.13, 15.001, 36.15))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert polygon_area(path, GRID).window.size > 0
    path.write_text('{"type": "FeatureCollection", "features": []}')
    with pytest.raises(InputError, match="holds no polygon"):
        polygon_area(path, GRID)


def test_an_area_between_the_centres_of_pixels_is_refused(tmp_path):
    named = {"crs": {"type": "name", "properties": {"name": "EPSG:32633"}}}
    for side, there in ((0.2, False), (0.3, True)):  # a centre lies a quarter of a metre off the corner
        path = save(tmp_path / "a.geojson", box(500010, 3999990 - side, 500010 + side, 3999990), **named)
        if there:
            assert polygon_area(path, GRID).window == Window(20, 20, 1, 1)
            continue
        with pytest.raises(PairError, match=r"--aoi .*a.geojson lies between the centres of PAN's pixels"):
            polygon_area(path, GRID)
    turned = Grid(GRID.crs, GRID.transform * Affine.rotation(-30), GRID.shape)
    x, y = turned.transform * (20, 20)
    with pytest.raises(PairError, match="--bbox lies between"):
        box_area((x - 0.05, y - 0.05, x + 0.05, y + 0.05), turned)
    assert box_area((500010.1, 3999990.1, 500010.2, 3999990.2), GRID).window == Window(19, 20, 1, 1)

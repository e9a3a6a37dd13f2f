"""The STAC item: what the specification requires, and the numbers that GDAL and hand-worked cases give."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import UTC, datetime

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from shapely.geometry import Point, box, shape

from pancli.raster.grid import Grid
from pancli.raster.stac import acquired, footprint, stac_item
from tests.scenes import write

NOW = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)
TAGS = {
    "PANCLI_VERSION": "9.8.7",
    "PANCLI_METHOD": "gcpnet",
    "PANCLI_PAN": "P.tif",
    "PANCLI_MS": "B1.tif, B2.tif",
    "PANCLI_OPTIONS": '{"dtype": null}',
    "PANCLI_SHIFT": "0,0",
    "PANCLI_WEIGHTS_SHA256": "ab" * 32,
}
NORTH_UP = Affine(0.5, 0, 500000, 0, -0.5, 4000000)


def make(folder, imagery=None, **profile):
    path = write(
        folder / "hidden.tif",
        np.ones((2, 160, 192), "uint16"),
        NORTH_UP,
        tags=TAGS,
        names=("Red Edge", "x"),
        **profile,
    )
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(ns="IMAGERY", **imagery or {})
        dataset.update_tags(1, ns="IMAGERY", CENTRAL_WAVELENGTH_UM="0.725", FWHM_UM="0.04")
        dataset.colorinterp = [ColorInterp.undefined, ColorInterp.red]
        dataset.scales, dataset.offsets = (1e-4, 1.0), (-0.1, 0.0)
        dataset.units = ("reflectance", None)
    return path


def outline_of(grid):
    outline = footprint(grid)
    assert outline is not None
    return outline


def item_of(path, quicklook=None):
    item = stac_item(path, path.with_name("fused.tif"), quicklook, NOW)
    return json.loads(json.dumps(item, allow_nan=False))


def test_the_item_says_all_that_is_known(tmp_path):
    imagery = {"ACQUISITIONDATETIME": "2020-05-01 10:00:00", "SATELLITEID": "QB02", "CLOUDCOVER": "3.5"}
    item = item_of(make(tmp_path, imagery, nodata=0), tmp_path / "looks" / "fused.png")
    assert (item["type"], item["stac_version"], item["id"]) == ("Feature", "1.1.0", "fused")
    assert item["links"] == []
    properties = item["properties"]
    assert properties["datetime"] == "2020-05-01T10:00:00Z"
    assert properties["created"] == "2026-11-21T12:30:00Z"
    assert (properties["platform"], properties["eo:cloud_cover"]) == ("QB02", 3.5)
    assert properties["processing:software"] == {"pancli": "9.8.7"}
    for part in ("gcpnet", "P.tif", "B1.tif, B2.tif", "ab" * 32):
        assert part in properties["processing:lineage"]
    assert properties["proj:code"] == "EPSG:32633"
    assert properties["proj:shape"] == [160, 192]
    assert properties["proj:transform"] == list(NORTH_UP)[:6]
    assert properties["proj:bbox"] == [500000, 3999920, 500096, 4000000]
    assert properties["gsd"] == 0.5
    image, look = item["assets"]["image"], item["assets"]["quicklook"]
    assert image["href"] == "./fused.tif"
    assert (image["type"], image["roles"]) == ("image/tiff; application=geotiff", ["data"])
    assert look == {"href": "./looks/fused.png", "type": "image/png", "roles": ["overview"]}
    assert image["bands"] == [
        {
            "name": "Red Edge",
            "data_type": "uint16",
            "nodata": 0,
            "unit": "reflectance",
            "raster:scale": 1e-4,
            "raster:offset": -0.1,
            "eo:common_name": "rededge",
            "eo:center_wavelength": 0.725,
            "eo:full_width_half_max": 0.04,
        },
        {"name": "x", "data_type": "uint16", "nodata": 0, "eo:common_name": "red"},
    ]
    told = [url.split("/")[3] for url in item["stac_extensions"]]
    assert told == ["eo", "processing", "projection", "raster"]


def test_a_time_that_is_not_known_is_null_within_an_interval(tmp_path):
    properties = item_of(make(tmp_path, {"ACQUISITIONDATETIME": "last week", "CLOUDCOVER": "999"}))[
        "properties"
    ]
    assert properties["datetime"] is None
    assert properties["start_datetime"] < properties["end_datetime"] == "2026-11-21T12:30:00Z"
    assert "eo:cloud_cover" not in properties
    for never in ("0001-01-01T00:00:00+10:00", "9999-12-31T23:59:59-10:00"):
        assert acquired({"ACQUISITIONDATETIME": never}) is None
    assert acquired({"ACQUISITIONDATETIME": "2020-05-01T12:00:00+02:00"}) == datetime(
        2020, 5, 1, 10, tzinfo=UTC
    )


def test_the_footprint_is_what_gdal_says(tmp_path):
    if shutil.which("gdalinfo") is None:
        pytest.skip("gdalinfo, the outside judge, is not installed")
    path = make(tmp_path)
    told = json.loads(subprocess.run(["gdalinfo", "-json", path], capture_output=True, check=True).stdout)
    item = item_of(path)
    ours, theirs = shape(item["geometry"]), shape(told["wgs84Extent"])
    assert ours.symmetric_difference(theirs).area < 1e-4 * theirs.area
    assert item["bbox"] == pytest.approx(theirs.bounds, abs=2e-7)
    assert ours.exterior.is_ccw


def test_a_large_footprint_bends_with_the_globe():
    """A parallel of UTM is no parallel of the globe: 500 km east of the meridian it lies 0.19 degrees off."""
    grid = Grid(CRS.from_epsg(32633), Affine(1000, 0, 500000, 0, -1000, 6650000), (10, 500))
    outline = outline_of(grid)
    corners = box(*outline.bounds)
    assert outline.area < 0.5 * corners.area
    assert len(outline.exterior.coords) > 12
    assert outline.covers(Point(15.0001, 59.95))


def test_an_outline_across_the_antimeridian_comes_in_two_parts():
    grid = Grid(CRS.from_epsg(4326), Affine(0.01, 0, 179.5, 0, -0.01, -16), (100, 150))
    west, east = outline_of(grid).geoms
    assert west.bounds == pytest.approx((179.5, -17, 180, -16))
    assert east.bounds == pytest.approx((-180, -17, -179, -16))


def test_an_outline_that_ends_at_the_antimeridian_is_whole():
    for west in (-180, 179, 0):
        grid = Grid(CRS.from_epsg(4326), Affine(0.01, 0, west, 0, -0.01, -16), (100, 100))
        assert outline_of(grid).bounds == pytest.approx((west, -17, west + 1, -16))
    world = Grid(CRS.from_epsg(4326), Affine(1, 0, -180, 0, -1, 90), (180, 360))
    assert outline_of(world).bounds == pytest.approx((-180, -90, 180, 90))


def test_the_bbox_across_the_antimeridian_runs_from_west_to_east(tmp_path):
    path = write(
        tmp_path / "a.tif",
        np.ones((9, 9), "uint8"),
        Affine(2e4, 0, 7e5, 0, -2e4, 8e6),
        "EPSG:32760",
        tags=TAGS,
    )
    item = item_of(path)
    west, south, east, north = item["bbox"]
    assert item["geometry"]["type"] == "MultiPolygon"
    assert 178 < west < 180
    assert -180 < east < -178
    assert south < north


def test_a_pole_lies_inside_what_goes_round_it():
    grid = Grid(CRS.from_epsg(3413), Affine(1000, 0, -5e5, 0, -1000, 5e5), (1000, 1000))
    west, south, east, north = outline_of(grid).bounds
    assert (west, east, north) == (-180, 180, 90)
    assert 83 < south < 84.5  # the corners lie 707 km from the pole


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("where", [{"transform": None, "crs": None}, {"transform": NORTH_UP, "crs": None}])
def test_an_image_of_nowhere_has_no_geometry_and_no_bbox(tmp_path, where):
    item = item_of(write(tmp_path / "a.tif", np.ones((9, 9), "uint8"), **where, tags=TAGS))
    assert item["geometry"] is None
    assert "bbox" not in item
    assert item["properties"]["proj:code"] is None


def test_a_crs_without_a_code_is_spelt_out(tmp_path):
    crs = CRS.from_proj4("+proj=laea +lat_0=47.123 +lon_0=8.5 +ellps=bessel +units=us-ft")
    path = write(tmp_path / "a.tif", np.ones((9, 9), "float32"), NORTH_UP, crs, tags=TAGS, nodata=np.nan)
    item = item_of(path)
    assert item["properties"]["proj:code"] is None
    assert item["properties"]["proj:wkt2"].startswith("PROJCRS")
    assert item["properties"]["gsd"] == pytest.approx(0.5 * 1200 / 3937)
    assert item["assets"]["image"]["bands"][0]["nodata"] == "nan"


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_pystac_takes_it_for_an_item(tmp_path):
    """Its object model, and its own copy of the schema; the extensions' schemas lie on the network."""
    pystac = pytest.importorskip("pystac")
    pytest.importorskip("jsonschema")
    known = {"ACQUISITIONDATETIME": "2020-05-01 10:00:00", "CLOUDCOVER": "3"}
    nowhere = write(tmp_path / "nowhere.tif", np.ones((9, 9), "uint8"), None, None, tags=TAGS)
    for said, path in ((known, None), ({}, None), ({}, nowhere)):
        told = item_of(path or make(tmp_path, said), tmp_path / "fused.png")
        item = pystac.Item.from_dict(told)
        assert item.datetime == acquired(said)
        assert item.ext.proj.code == told["properties"]["proj:code"]
        assert item.assets["image"].media_type == pystac.MediaType.GEOTIFF
        again = item.to_dict(include_self_link=False, transform_hrefs=False)
        assert again["properties"] == told["properties"]
        assert again.get("bbox") == told.get("bbox")
        pystac.Item.from_dict(told | {"stac_extensions": []}).validate()


def test_a_plan_of_a_building_site_has_no_place_on_the_globe():
    site = CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1]]')
    assert footprint(Grid(site, Affine(1, 0, 0, 0, -1, 0), (20, 30))) is None

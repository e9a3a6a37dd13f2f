"""Invariant 1: the output has pan's grid bit for bit; ms lies where its geotransform puts it."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio import warp
from rasterio.crs import CRS
from rasterio.transform import array_bounds

from pancli.errors import PairError, PancliError
from pancli.raster.grid import Grid
from pancli.raster.pair import PairOptions
from pancli.raster.warping import _warp_target
from pancli.sharpening import SharpenOptions, plan_sharpening, sharpen
from tests.scenes import SAME, UTM, displacement, make_scene, read, write

EXP = SharpenOptions(method="exp", dtype="float32")


def fuse(scene, out, options=EXP):
    sharpen(str(scene.pan), [str(scene.ms)], out, options)
    return read(out)


@pytest.mark.parametrize(
    "case",
    [
        {},
        {"ratio": 2.0},
        {"ratio": 3.0, "size": (159, 201)},
        {"ratio": 29.9 / 14.99},
        {"ms_offset": (-2.0, -6.0), "ms_size": (44, 52)},
        {"ms_offset": (0.5, 0.5), "ms_size": (40, 48)},
        {"ms_offset": (-0.5, -0.5), "ratio": 2.0, "ms_size": (81, 97)},
        {"ms_offset": (-13.37, -5.91), "ms_size": (46, 54)},
        {"base": Affine(0.5, 0, 500000, 0, 0.5, 4000000)},
        {"base": Affine(0.5, 0, 500000, 0, -0.5, 4000000) * Affine.rotation(25)},
        {"base": Affine(0.5, 0, 500000, 0, -0.4, 4000000)},
    ],
    ids=lambda case: "-".join(case) or "plain",
)
@pytest.mark.parametrize("method", ["exp", "gsa", "mtf-glp"])
def test_a_known_function_stays_in_its_place(tmp_path, case, method):
    scene = make_scene(tmp_path, dtype="float32", bands=2, mixes=[SAME, 0.7 * SAME], **case)
    out = tmp_path / "out.tif"
    fused = fuse(scene, out, SharpenOptions(method=method, dtype="float32"))
    with plan_sharpening(str(scene.pan), [str(scene.ms)], tmp_path / "x.tif", EXP) as plan:
        rows, cols = plan.window.slices_in(plan.scene.bounds.__class__(0, 0, *scene.pan_image.shape))
    for band in range(2):
        down, right = displacement(fused[band], scene.truth[band][rows, cols])
        assert abs(down) < 0.05
        assert abs(right) < 0.05


def test_ms_that_runs_the_other_way_is_turned(tmp_path):
    scene = make_scene(tmp_path, dtype="float32")
    upside_down = scene.ms_transform * Affine.translation(0, 40) * Affine.scale(1, -1)
    write(scene.ms, scene.ms_image[:, ::-1], upside_down)
    straight = make_scene(tmp_path / "straight", dtype="float32")
    assert np.allclose(fuse(scene, tmp_path / "a.tif"), fuse(straight, tmp_path / "b.tif"), atol=1e-3)


@pytest.mark.parametrize(
    "base",
    [
        Affine(1 / 3, 0, 500000.1, 0, -1 / 3, 4000000.7),
        Affine(0.3, 0.1, 500000.1, 0.1, -0.3, 4000000.7),
        Affine(0.3, 0, 500000.1, 0, 0.3, 4000000.7),
    ],
)
def test_the_grid_is_pans_bit_for_bit(tmp_path, base):
    scene = make_scene(tmp_path, base=base)
    out = tmp_path / "out.tif"
    fuse(scene, out)
    with rasterio.open(out) as fused, rasterio.open(scene.pan) as pan:
        assert tuple(fused.transform) == tuple(pan.transform)
        assert fused.crs == pan.crs
        assert fused.shape == pan.shape


def test_pixel_is_point_comes_out_as_it_went_in(tmp_path):
    scene = make_scene(tmp_path)
    write(scene.pan, scene.pan_image, scene.pan_transform, tags={"AREA_OR_POINT": "Point"})
    out = tmp_path / "out.tif"
    fuse(scene, out)
    with rasterio.open(out) as fused:
        assert fused.transform == scene.pan_transform
        assert fused.tags()["AREA_OR_POINT"] == "Point"


def test_extents_are_intersected_united_or_kept(tmp_path):
    scene = make_scene(tmp_path, ms_offset=(8.0, -8.0), ms_size=(60, 20))
    shapes = {}
    for extent in ("intersection", "none", "union"):
        out = tmp_path / f"{extent}.tif"
        sharpen(str(scene.pan), [str(scene.ms)], out, SharpenOptions(method="exp", extent=extent))
        with rasterio.open(out) as fused:
            shapes[extent] = fused.shape
            row, col = fused.index(*(scene.pan_transform * (0.5, 8.5)))
            valid = fused.dataset_mask() > 0
            assert valid[row, col]
            assert valid.sum() == 152 * 72
            assert (fused.read(1)[valid] > 0).all()
    assert shapes == {"intersection": (152, 72), "none": (160, 192), "union": (248, 200)}


@pytest.mark.parametrize("pixel", [0.1, 0.3, 0.7])
def test_the_union_of_grids_whose_numbers_are_rounded_takes_no_pixel_more(tmp_path, pixel):
    scene = make_scene(tmp_path, pixel=pixel, origin=(500000.1, 4000000.7), ms_offset=(-8.0, 12.0))
    options = SharpenOptions(method="exp", extent="union")
    with plan_sharpening(str(scene.pan), [str(scene.ms)], tmp_path / "o.tif", options) as plan:
        assert (plan.window.row, plan.window.col, *plan.window.shape) == (-8, 0, 168, 204)


def test_a_box_is_the_same_part_of_the_whole(tmp_path):
    scene = make_scene(tmp_path)
    whole, part = tmp_path / "whole.tif", tmp_path / "part.tif"
    fuse(scene, whole)
    west, north = scene.pan_transform * (40, 24)
    east, south = scene.pan_transform * (140, 100)
    options = SharpenOptions(method="exp", dtype="float32", bbox=(west, south, east, north))
    got = fuse(scene, part, options)
    assert np.allclose(got, read(whole)[:, 24:100, 40:140], atol=1e-3)
    with rasterio.open(part) as dataset:
        assert dataset.transform * (0, 0) == (west, north)


def triangle(scene):
    """A file of a triangle over the upper left of pan."""
    ring = [scene.pan_transform * corner for corner in ((20, 20), (120, 20), (20, 120), (20, 20))]
    crs = {"type": "name", "properties": {"name": "EPSG:32633"}}
    area = scene.pan.with_name("area.geojson")
    area.write_text(json.dumps({"type": "Polygon", "coordinates": [ring], "crs": crs}))
    return area


def test_polygons_that_meet_pan_where_ms_is_not_are_refused(tmp_path):
    scene = make_scene(tmp_path)
    write(scene.ms, scene.ms_image, scene.ms_transform * Affine.translation(20, 20))
    with pytest.raises(PairError, match="lies where PAN and MS do not overlap"):
        fuse(scene, tmp_path / "out.tif", SharpenOptions(method="exp", aoi=triangle(scene)))


def test_polygons_leave_the_rest_invalid(tmp_path):
    scene = make_scene(tmp_path)
    area, out = triangle(scene), tmp_path / "out.tif"
    sharpen(str(scene.pan), [str(scene.ms)], out, SharpenOptions(method="exp", aoi=area))
    with rasterio.open(out) as fused:
        assert fused.shape == (100, 100)
        valid = fused.dataset_mask() > 0
    rows, cols = np.mgrid[0:100, 0:100] + 0.5
    assert (valid != (rows + cols < 100)).mean() < 0.01


def test_a_shift_moves_ms_onto_pan_and_is_told(tmp_path):
    scene = make_scene(tmp_path, dtype="float32", bands=1, mixes=[SAME])
    moved = scene.ms_transform * Affine.translation(-2 / 4, 3 / 4)
    write(scene.ms, scene.ms_image, moved)
    out = tmp_path / "out.tif"
    # The tag puts ms 3 pan pixels too far down and 2 too far left; put it back.
    fused = fuse(scene, out, SharpenOptions(method="exp", dtype="float32", coregister=(-3.0, 2.0)))
    with rasterio.open(out) as dataset:
        assert dataset.tags()["PANCLI_SHIFT"] == "-3,2"
        col, row = (round(v) for v in ~scene.pan_transform * (dataset.transform * (0, 0)))
    assert (row, col, fused.shape) == (3, 0, (1, 157, 190))
    got = displacement(fused[0], scene.truth[0][3:, :190])
    assert max(map(abs, got)) < 0.05


def misplaced(tmp_path, below=0.3, left=0.4):
    """A scene whose ms lies so many ms pixels below and left of where it says, blurred as by a camera."""
    scene = make_scene(tmp_path, dtype="float32", size=(200, 240))
    ms = np.pad(scene.ms_image, [(0, 0), (1, 1), (1, 1)], mode="edge")
    ms = 0.2 * ms[:, :-2] + 0.6 * ms[:, 1:-1] + 0.2 * ms[:, 2:]
    ms = 0.2 * ms[..., :-2] + 0.6 * ms[..., 1:-1] + 0.2 * ms[..., 2:]
    write(scene.ms, ms.astype(np.float32), scene.ms_transform * Affine.translation(left, -below))
    return scene


@pytest.mark.parametrize("method", ["gsa", "bandset"])
def test_pan_is_laid_on_ms_where_that_is_asked_for(tmp_path, method):
    scene, out = misplaced(tmp_path), tmp_path / "out.tif"
    bare, asked = (SharpenOptions(method=method, dtype="float32", coregister=c) for c in ("none", "pan"))
    report = sharpen(str(scene.pan), [str(scene.ms)], out, replace(asked, tile=64))
    assert report.pan_shift == pytest.approx((1.2, -1.6), abs=0.15)
    with rasterio.open(out) as dataset:
        told = tuple(map(float, dataset.tags()["PANCLI_PAN_SHIFT"].split(",")))
        assert told == report.pan_shift
        assert dataset.tags()["PANCLI_SHIFT"] == "0,0"
    fused = read(out)
    expected = fuse(scene, tmp_path / "interpolated.tif", SharpenOptions(method="exp", dtype="float32"))
    assert max(map(abs, displacement(fused[0], expected[0]))) < 0.1
    whole = fuse(scene, tmp_path / "whole.tif", replace(asked, tile=512))
    assert np.abs(fused - whole).max() < 1e-3 * np.ptp(whole)
    plain = sharpen(str(scene.pan), [str(scene.ms)], tmp_path / "plain.tif", bare)
    assert plain.pan_shift == (None if method == "gsa" else (0.0, 0.0))
    told_of = any(line.startswith("PAN lies 1.") and "--coregister pan" in line for line in plain.warnings)
    assert told_of == (method == "bandset")


def test_a_little_shift_that_a_network_takes_out_unasked_is_told(tmp_path):
    scene, out = misplaced(tmp_path, 0.1, 0.12), tmp_path / "out.tif"
    report = sharpen(str(scene.pan), [str(scene.ms)], out, SharpenOptions(method="bandset"))
    assert report.pan_shift == pytest.approx((0.4, -0.48), abs=0.1)
    with rasterio.open(out) as dataset:
        assert tuple(map(float, dataset.tags()["PANCLI_PAN_SHIFT"].split(","))) == report.pan_shift


def test_the_shift_that_a_warning_names_registers_the_pair(tmp_path):
    scene = misplaced(tmp_path)

    def left(out, *shift):
        """What is warned of, given what was asked for, and where the result lies."""
        asked = SharpenOptions(method="bandset", dtype="float32", coregister=shift)
        report = sharpen(str(scene.pan), [str(scene.ms)], tmp_path / out, asked)
        told = [re.search(r"PAN lies.* --coregister (\S+),(\S+) moves MS", line) for line in report.warnings]
        return [tuple(map(float, found.groups())) for found in told if found], report.pan_shift

    (named,), _ = left("worse.tif", -1.0, 0.5)  # what is named is all of it, not what is left
    assert named == pytest.approx((1.2, -1.6), abs=0.15)
    told, rest = left("moved.tif", *named)
    assert not told
    assert rest == pytest.approx((0, 0), abs=0.15)
    assert max(map(abs, displacement(read(tmp_path / "moved.tif")[0], scene.truth[0][:199, 2:]))) < 0.15


def test_a_part_too_small_to_measure_a_shift_of_is_told_of_the_whole(tmp_path):
    scene = make_scene(tmp_path)
    west, north = scene.pan_transform * (40, 24)
    east, south = scene.pan_transform * (100, 84)
    for area, told in ((None, False), ((west, south, east, north), True)):
        if area is None:
            write(scene.pan, np.full((160, 192), 7, np.uint16), scene.pan_transform)
        options = SharpenOptions(method="exp", bbox=area, coregister="auto", overwrite=True)
        report = sharpen(str(scene.pan), [str(scene.ms)], tmp_path / "out.tif", options)
        (warning,) = [line for line in report.warnings if "none applied" in line]
        assert ("pancli check measures the whole scene" in warning) == told


@pytest.mark.parametrize(("method", "asked"), [("gsa", "pan"), ("bandset", "pan"), ("bandset", "none")])
@pytest.mark.parametrize("below", [0, 10])
def test_a_shift_too_large_to_be_measured_is_told_once(tmp_path, method, asked, below):
    scene, out = misplaced(tmp_path, below, 0), tmp_path / "out.tif"
    report = sharpen(str(scene.pan), [str(scene.ms)], out, SharpenOptions(method=method, coregister=asked))
    assert report.pan_shift == (0.0, 0.0)
    told = [line for line in report.warnings if "where PAN lies on MS could not be measured" in line]
    assert len(told) == (below > 0)
    assert all(line.startswith("--coregister pan moves nothing: ") == (asked == "pan") for line in told)


@pytest.mark.parametrize("shift", [(4.0, -3.0), (-4.5, 4.5)])
def test_a_shift_of_an_ms_pixel_takes_no_pixel_away(tmp_path, shift):
    """Nor does the half of a pan pixel more by which the outermost centres lie on the edge then."""
    scene = make_scene(tmp_path)
    out = tmp_path / "out.tif"
    sharpen(str(scene.pan), [str(scene.ms)], out, SharpenOptions(method="exp", coregister=shift))
    with rasterio.open(out) as dataset:
        assert dataset.shape == (160, 192)
        assert (dataset.dataset_mask() > 0).all()
        assert (dataset.read() > 0).all()
    beyond = scene.ms_transform * Affine.translation(0, 2)
    write(scene.ms, scene.ms_image, beyond, nodata=0)
    sharpen(str(scene.pan), [str(scene.ms)], tmp_path / "b.tif", SharpenOptions(method="exp", extent="none"))
    with rasterio.open(tmp_path / "b.tif") as dataset:
        assert not (dataset.dataset_mask()[:8] > 0).any()


@pytest.mark.parametrize("told", [{}, {"nodata": 0}])
@pytest.mark.parametrize("method", ["exp", "bandset"])
def test_where_a_shift_leaves_no_ms_nothing_is_valid(tmp_path, told, method):
    """But for one ms pixel, 4 of pan, past its border."""
    scene, out = make_scene(tmp_path, **told), tmp_path / "out.tif"
    options = SharpenOptions(method=method, coregister=(-60.0, 10.0), tile=64)
    sharpen(str(scene.pan), [str(scene.ms)], out, options)
    with rasterio.open(out) as dataset:
        assert dataset.nodata == told.get("nodata")
        valid = dataset.dataset_mask() > 0
    expected = np.zeros((160, 192), bool)
    expected[: 100 + 4, 10 - 4 :] = True
    np.testing.assert_array_equal(valid, expected)


def test_a_shift_that_takes_ms_off_what_is_asked_for_is_refused(tmp_path):
    scene = make_scene(tmp_path)
    options = SharpenOptions(method="exp", aoi=triangle(scene), coregister=(80.0, 70.0))
    with pytest.raises(PairError, match="--coregister 80,70 moves MS off PAN, or off the part of it asked"):
        fuse(scene, tmp_path / "out.tif", options)


def test_what_lies_elsewhere_is_refused_with_both_places(tmp_path):
    scene = make_scene(tmp_path, ms_offset=(5000.0, 0.0))
    with pytest.raises(PairError, match=r"do not overlap.*\[.*\].*\["):
        fuse(scene, tmp_path / "out.tif")


def test_reprojected_ms_lands_in_its_place(tmp_path):
    scene = make_scene(tmp_path, size=(320, 320), dtype="float32", bands=1, mixes=[SAME])
    warped = tmp_path / "warped.tif"
    if shutil.which("gdalwarp") is None:
        pytest.skip("gdalwarp, the outside judge, is not installed")
    command = ["gdalwarp", "-q", "-r", "cubic", "-t_srs", "EPSG:32634", "-dstnodata", "0", scene.ms, warped]
    subprocess.run(command, check=True)
    scene.ms = warped
    with pytest.raises(PairError, match="--reproject"):
        fuse(scene, tmp_path / "no.tif")
    options = SharpenOptions(method="exp", dtype="float32", pair=PairOptions(reproject=True))
    fused = fuse(scene, tmp_path / "out.tif", options)
    inner = slice(60, 260)
    got = displacement(fused[0][inner, inner], scene.truth[0][inner, inner])
    assert max(map(abs, got)) < 0.1  # two cubic resamplings on the way


def test_gdalinfo_agrees_with_what_went_in(tmp_path):
    if shutil.which("gdalinfo") is None:
        pytest.skip("gdalinfo, the outside judge, is not installed")
    scene = make_scene(tmp_path, nodata=0, names=("blue", "green", "red", "nir"))
    out = tmp_path / "out.tif"
    sharpen(str(scene.pan), [str(scene.ms)], out, SharpenOptions(method="exp"))
    pan, fused = (
        json.loads(subprocess.run(["gdalinfo", "-json", p], capture_output=True, check=True).stdout)
        for p in (scene.pan, out)
    )
    assert fused["geoTransform"] == pan["geoTransform"]
    assert fused["coordinateSystem"]["wkt"] == pan["coordinateSystem"]["wkt"]
    assert fused["size"] == pan["size"]
    assert [band["description"] for band in fused["bands"]] == ["blue", "green", "red", "nir"]
    assert {band["noDataValue"] for band in fused["bands"]} == {0}
    assert {band["type"] for band in fused["bands"]} == {"UInt16"}


def planned(scene, folder, **pair):
    options = SharpenOptions(method="exp", pair=PairOptions(reproject=True, **pair))
    with plan_sharpening(str(scene.pan), [str(scene.ms)], folder / "out.tif", options) as plan:
        return plan


@pytest.mark.parametrize("degrees", [20, 45, 90])
def test_reprojection_keeps_the_size_of_ms_pixels_however_ms_is_turned(tmp_path, degrees):
    scene = make_scene(tmp_path, size=(320, 320))
    middle = scene.pan_transform * (160, 160)
    turned = Affine.rotation(degrees, middle) * scene.ms_transform
    write(scene.ms, scene.ms_image, turned)
    plan = planned(scene, tmp_path)
    assert plan.scene.info.placement.ratio == pytest.approx(4, rel=0.01)


def test_reprojected_ms_on_a_part_of_pan_makes_that_part(tmp_path):
    scene = make_scene(tmp_path, size=(320, 320), ms_offset=(160, 200), ms_size=(20, 25), crs=UTM)
    to_34 = warp.calculate_default_transform(
        UTM, "EPSG:32634", 25, 20, *array_bounds(20, 25, scene.ms_transform)
    )
    image = np.zeros((4, to_34[2], to_34[1]), np.uint16)
    warp.reproject(
        scene.ms_image, image, src_transform=scene.ms_transform, src_crs=UTM,
        dst_transform=to_34[0], dst_crs="EPSG:32634",
    )  # fmt: skip
    write(scene.ms, image, to_34[0], CRS.from_epsg(32634), nodata=0)
    window = planned(scene, tmp_path).window
    assert abs(window.row - 160) < 12 and abs(window.col - 200) < 12
    assert abs(window.height - 80) < 24 and abs(window.width - 100) < 24


def test_reprojected_ms_elsewhere_is_refused(tmp_path):
    scene = make_scene(tmp_path)
    write(scene.ms, scene.ms_image, Affine(2, 0, 200000, 0, -2, 5000000), CRS.from_epsg(32634))
    with pytest.raises(PairError, match="do not overlap"):
        planned(scene, tmp_path)


def test_a_crs_that_cannot_be_reached_is_refused(tmp_path):
    scene = make_scene(tmp_path)
    site = CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1]]')
    write(scene.ms, scene.ms_image, scene.ms_transform, site)
    with pytest.raises(PairError, match="--reproject: MS cannot be brought"):
        planned(scene, tmp_path)


@pytest.mark.parametrize("nodata", ["none", 0.0])
def test_what_reprojection_leaves_empty_is_not_valid_and_keeps_the_type(tmp_path, nodata):
    scene = make_scene(tmp_path, size=(320, 320))
    middle = scene.pan_transform * (160, 160)
    write(scene.ms, scene.ms_image, Affine.rotation(45, middle) * scene.ms_transform, nodata=0)
    options = SharpenOptions(method="exp", pair=PairOptions(reproject=True, nodata=nodata))
    fuse(scene, tmp_path / "out.tif", options)
    with rasterio.open(tmp_path / "out.tif") as dataset:
        mask = dataset.dataset_mask() > 0
        assert dataset.dtypes[0] == "uint16"
        assert dataset.read()[:, mask].min() > 0
    assert not mask[0, 0] and mask[160, 160]


def test_what_reprojection_leaves_empty_is_not_valid_where_the_type_cannot_hold_nodata(tmp_path):
    scene = make_scene(tmp_path, size=(320, 320))
    middle = scene.pan_transform * (160, 160)
    write(scene.ms, scene.ms_image, Affine.rotation(45, middle) * scene.ms_transform, nodata=0)
    pair = PairOptions(reproject=True, nodata=-9999.0)
    fused = fuse(scene, tmp_path / "out.tif", SharpenOptions(method="exp", pair=pair, dtype="float32"))
    assert (fused[:, 0, 0] == -9999).all()
    assert fused[fused != -9999].min() > 0


def test_nodata_given_without_a_tag_is_not_blended_in_by_reprojection(tmp_path):
    scene = make_scene(tmp_path, size=(320, 320))
    image = scene.ms_image.copy()
    image[:, 30:40] = 0
    write(scene.ms, image, Affine.rotation(45, scene.pan_transform * (160, 160)) * scene.ms_transform)
    options = SharpenOptions(method="exp", pair=PairOptions(reproject=True, nodata=0.0))
    fused = fuse(scene, tmp_path / "out.tif", options)
    with rasterio.open(tmp_path / "out.tif") as dataset:
        mask = dataset.dataset_mask() > 0
    assert fused[:, mask].min() > 0.8 * image[image > 0].min()


def test_a_nodata_value_the_type_cannot_hold_is_refused_with_reprojection_too(tmp_path):
    scene = make_scene(tmp_path)
    turned = Affine.rotation(45, scene.pan_transform * (80, 80)) * scene.ms_transform
    write(scene.ms, scene.ms_image, turned)
    with pytest.raises(PancliError, match="--nodata -9999 does not fit the output's type uint16"):
        planned(scene, tmp_path, nodata=-9999.0)


@pytest.mark.parametrize(
    ("crs", "transform", "shape", "true"),
    [
        ("EPSG:3857", Affine(80, 0, -2.0e7, 0, -80, 2.0e7), (500_000, 500_000), 30.0),
        ("EPSG:4326", Affine(5e-4, 0, -180, 0, -5e-4, 90), (360_000, 720_000), 34.0),
    ],
)
def test_of_ms_of_the_globe_only_what_lies_under_pan_counts(crs, transform, shape, true):
    pan = Grid(CRS.from_epsg(32634), Affine(15, 0, 500000, 0, -15, 7600000), (1000, 1000))
    warped, size = _warp_target(Grid(CRS.from_string(crs), transform, shape), pan)
    assert warped.a == pytest.approx(true, rel=0.1)
    assert size == (math.ceil(15000 / warped.a), math.ceil(15000 / warped.a))

"""Invariant 4: masks combine, nothing masked leaks, nothing valid is lost, empty tiles are skipped."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio

from pancli.errors import MethodError
from pancli.raster.pair import PairOptions
from pancli.sharpening import SharpenOptions, sharpen
from pancli.sharpening.catalog import method_names
from tests.scenes import Waves, make_scene, read, spoil, write

LOCAL = [name for name in method_names() if name != "gdal"]  # GDAL reads its own pixels, by its own rules


def run(scene, out, method="gsa", **options):
    options.setdefault("tile", 64)
    sharpen(str(scene.pan), [str(scene.ms)], out, SharpenOptions(method=method, **options))
    with rasterio.open(out) as dataset:
        return dataset.read().astype(float), dataset.dataset_mask() > 0, dataset


def expected_mask():
    valid = np.ones((160, 192), bool)
    valid[:32] = False
    valid[:, 100:104] = False
    valid[80:84, 40:44] = False
    return valid


@pytest.mark.parametrize("method", LOCAL)
def test_masks_combine_and_masked_values_do_not_leak(tmp_path, method):
    low, mask, dataset = run(spoil(tmp_path / "a", 0, 0.0), tmp_path / "a.tif", method, tile=96)
    high, same, _ = run(spoil(tmp_path / "b", 60000, 60000.0), tmp_path / "b.tif", method, tile=96)
    assert (mask == expected_mask()).all()
    assert (same == mask).all()
    assert np.abs(low - high)[:, mask].max() <= 1
    assert dataset.nodata == 0


def test_nothing_rings_at_the_rim(tmp_path):
    clean, _, _ = run(make_scene(tmp_path / "clean"), tmp_path / "clean.tif")
    masked, mask, _ = run(spoil(tmp_path / "a", 0), tmp_path / "a.tif")
    assert np.abs(clean - masked)[:, mask].max() < 60  # of a range of about 1200


def test_nan_is_masked_without_a_tag(tmp_path):
    scene = spoil(tmp_path / "a", np.nan, nodata=None, dtype="float32")
    fused, mask, dataset = run(scene, tmp_path / "a.tif")
    assert (mask == expected_mask()).all()
    assert dataset.nodata is None
    assert np.isfinite(fused).all()


@pytest.mark.parametrize("driver", ["GTiff", "COG"])
@pytest.mark.parametrize(
    "creation",
    [
        {"COMPRESS": "JPEG"},
        {"compress": "webp"},
        {"NBITS": "16"},
        {"compress": "lerc_deflate", "MAX_Z_ERROR": "2"},
    ],
)
def test_where_numbers_are_rounded_a_mask_keeps_what_is_invalid(tmp_path, creation, driver):
    nodata, dtype = (-9999.0, "float32") if "NBITS" in creation else (0.0, "uint8")
    scene = make_scene(tmp_path, bands=3, dtype=dtype, waves=Waves(mean=130.0, amplitude=20.0))
    scene.ms_image[:, 10:20, 12:30] = nodata
    write(scene.ms, scene.ms_image, scene.ms_transform, nodata=nodata)
    options = SharpenOptions(method="exp", creation=creation, driver=driver)
    report = sharpen(str(scene.pan), [str(scene.ms)], tmp_path / "a.tif", options)
    expected = np.ones((160, 192), bool)
    expected[40:80, 48:120] = False
    with rasterio.open(tmp_path / "a.tif") as dataset:
        assert dataset.nodata is None
        assert ((dataset.dataset_mask() > 0) == expected).all()
    assert [told for told in report.warnings if f"a mask, not nodata {nodata:g}" in told]


@pytest.mark.parametrize(
    ("dtype", "creation", "nodata"),
    [
        ("uint8", {"COMPRESS": "WEBP", "WEBP_LOSSLESS": "YES"}, 0.0),
        ("float32", {"NBITS": "16"}, np.nan),
        ("uint8", {"COMPRESS": "LERC"}, 0.0),
        ("float32", {"COMPRESS": "LERC", "MAX_Z_ERROR": "0.1"}, np.nan),
    ],
)
def test_nodata_stays_where_it_is_kept_as_it_is(tmp_path, dtype, creation, nodata):
    scene = make_scene(tmp_path, bands=3, dtype=dtype, waves=Waves(mean=130.0, amplitude=20.0))
    write(scene.ms, scene.ms_image, scene.ms_transform, nodata=nodata)
    _, mask, dataset = run(scene, tmp_path / "a.tif", "exp", creation=creation)
    assert str(dataset.nodata) == str(nodata)
    assert mask.all()


@pytest.mark.parametrize("nodata", [None, np.nan])
def test_gdal_which_spreads_nan_says_what_to_do(tmp_path, nodata):
    scene = spoil(tmp_path / "a", np.nan, nodata=nodata, dtype="float32")
    with pytest.raises(MethodError, match=r"gdalwarp .* --method brovey"):
        run(scene, tmp_path / "a.tif", "gdal")
    numbered = spoil(tmp_path / "b", -9999, nodata=-9999, dtype="float32")
    fused, mask, _ = run(numbered, tmp_path / "b.tif", "gdal")
    assert (mask == expected_mask()).all()
    assert fused[:, mask].min() > 0


def test_gdal_which_knows_one_number_for_all_files_is_not_given_masks_or_several(tmp_path):
    scene = spoil(tmp_path / "a", 0)
    with rasterio.open(scene.ms, "r+") as dataset:
        dataset.nodata = 9999
    with pytest.raises(MethodError, match=r"by one number for all files, .* by 0, 9999; use --method brovey"):
        run(scene, tmp_path / "a.tif", "gdal")
    masked = make_scene(tmp_path / "b")
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(masked.ms, "r+") as dataset:
        dataset.write_mask(np.arange(dataset.width) > np.zeros((dataset.height, 1)))
    with pytest.raises(MethodError, match="by mask; use --method brovey"):
        run(masked, tmp_path / "b.tif", "gdal")


def test_nodata_values_told_of_the_whole_file_do_not_leak(tmp_path):
    scene = make_scene(tmp_path)
    image = scene.ms_image.copy()
    image[:, :5, :10] = 0
    fused = {}
    for name, told in (("tag", {"nodata": 0}), ("values", {"tags": {"NODATA_VALUES": "0 0 0 0"}})):
        write(scene.ms, image, scene.ms_transform, **told)
        out = tmp_path / f"{name}.tif"
        sharpen(str(scene.pan), [str(scene.ms)], out, SharpenOptions(method="gsa"))
        with rasterio.open(out) as dataset:
            assert "NODATA_VALUES" not in dataset.tags()
            fused[name] = np.where(dataset.dataset_mask() > 0, dataset.read(), 0)
    assert (fused["values"] == 0).all(0).sum() == 20 * 40
    assert (fused["values"] == fused["tag"]).all()


def test_nodata_given_counts_without_a_tag(tmp_path):
    scene = spoil(tmp_path / "a", 0, nodata=None)
    _, mask, _ = run(scene, tmp_path / "plain.tif")
    assert mask.all()
    _, mask, dataset = run(scene, tmp_path / "told.tif", pair=PairOptions(nodata=0.0))
    assert (mask == expected_mask()).all()
    assert dataset.nodata == 0


def test_a_valid_pixel_never_lands_on_nodata(tmp_path):
    scene = make_scene(tmp_path)
    nodata = float(np.median(scene.ms_image))
    pan, ms = scene.pan_image.copy(), scene.ms_image.copy()
    pan[pan == nodata] += 1
    ms[ms == nodata] += 1
    write(scene.pan, pan, scene.pan_transform, nodata=nodata)
    write(scene.ms, ms, scene.ms_transform, nodata=nodata)
    fused, mask, dataset = run(scene, tmp_path / "a.tif", "exp")
    assert dataset.nodata == nodata
    assert mask.all()
    assert (fused != nodata).all()
    assert (np.abs(fused - nodata) == 1).any()


def test_empty_tiles_are_not_in_the_file(tmp_path):
    scene = make_scene(tmp_path, size=(1536, 512))
    pan = scene.pan_image.copy()
    pan[512:] = 0
    write(scene.pan, pan, scene.pan_transform, nodata=0)
    out = tmp_path / "out.tif"
    sharpen(str(scene.pan), [str(scene.ms)], out, SharpenOptions(method="exp"))
    with rasterio.open(out) as dataset:
        assert dataset.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1) is not None
        assert dataset.get_tag_item("BLOCK_OFFSET_0_2", "TIFF", bidx=1) is None
        assert not (dataset.read_masks(1)[512:] > 0).any()


def test_a_scene_without_a_valid_pixel_says_so(tmp_path):
    scene = make_scene(tmp_path)
    write(scene.pan, np.zeros_like(scene.pan_image), scene.pan_transform, nodata=0)
    from pancli.errors import PancliError

    with pytest.raises(PancliError, match="valid"):
        run(scene, tmp_path / "a.tif", "gsa")
    assert not (tmp_path / "a.tif").exists()
    assert read(scene.pan).max() == 0


@pytest.mark.parametrize("nodata", ["-9999.9", "-3.40282346639e+38"])
def test_nodata_given_in_decimal_is_that_of_the_pixels(tmp_path, nodata):
    """No decimal is a float32."""
    scene = make_scene(tmp_path)
    image = scene.ms_image.astype(np.float32)
    image[:, :8] = np.float32(float(nodata))
    write(scene.ms, image, scene.ms_transform)
    fused, mask, _ = run(scene, tmp_path / "out.tif", pair=PairOptions(nodata=float(nodata)), tile=None)
    assert (~mask[:32]).all() and mask[32:].all()
    assert fused[:, mask].min() > 0


def collared(folder, **profile):
    scene = make_scene(folder, size=(1216, 640))
    scene.pan_image[:20] = scene.pan_image[:, -20:] = 0
    scene.ms_image[:, :5] = scene.ms_image[:, :, -5:] = 0
    write(scene.pan, scene.pan_image, scene.pan_transform, **profile)
    write(scene.ms, scene.ms_image, scene.ms_transform, **profile)
    return scene


def fill_told(scene, out, **options):
    report = sharpen(str(scene.pan), [str(scene.ms)], out, SharpenOptions(method="brovey", **options))
    return [warning for warning in report.warnings if "is exactly" in warning]


def test_fill_that_nobody_speaks_of_is_one_warning(tmp_path):
    (warning,) = fill_told(collared(tmp_path / "s"), tmp_path / "a.tif")
    assert warning.startswith("PAN is exactly zero on 5")
    assert "of its frame" in warning
    assert "use --nodata 0" in warning


def test_fill_of_floating_point_images_is_told_too(tmp_path):
    scene = collared(tmp_path / "s")
    write(scene.pan, scene.pan_image.astype("float32"), scene.pan_transform)
    (warning,) = fill_told(scene, tmp_path / "a.tif")
    assert warning.startswith("PAN is exactly zero on 5")


@pytest.mark.parametrize(("fill", "dtype"), [(-9999, "int16"), (-9999.9, "float32")])
def test_fill_with_a_negative_number_is_told_as_nodata_takes_it(tmp_path, fill, dtype):
    scene = collared(tmp_path / "s")
    pan = np.where(scene.pan_image == 0, fill, scene.pan_image).astype(dtype)
    write(scene.pan, pan, scene.pan_transform)
    (warning,) = fill_told(scene, tmp_path / "a.tif")
    assert warning.startswith(f"PAN is exactly {fill} on 5")
    assert f"use --nodata {fill} " in warning
    assert not fill_told(scene, tmp_path / "b.tif", pair=PairOptions(nodata=fill), dtype=dtype)


def test_fill_of_ms_alone_is_told_too(tmp_path):
    scene = collared(tmp_path / "s")
    scene.pan_image[scene.pan_image == 0] = 1
    write(scene.pan, scene.pan_image, scene.pan_transform)
    (warning,) = fill_told(scene, tmp_path / "a.tif")
    assert warning.startswith("MS is exactly zero")


@pytest.mark.parametrize("tagged", ["pan", "ms"])
def test_a_tag_of_the_one_image_does_not_speak_of_the_other(tmp_path, tagged):
    scene = collared(tmp_path / "s")
    image, transform = getattr(scene, f"{tagged}_image"), getattr(scene, f"{tagged}_transform")
    write(getattr(scene, tagged), image, transform, nodata=0)
    (warning,) = fill_told(scene, tmp_path / "a.tif")
    assert warning.startswith("MS is" if tagged == "pan" else "PAN is")


def test_fill_that_somebody_speaks_of_is_no_warning(tmp_path):
    scene = collared(tmp_path / "s")
    assert not fill_told(scene, tmp_path / "0.tif", pair=PairOptions(nodata=0.0))
    assert not fill_told(scene, tmp_path / "none.tif", pair=PairOptions(nodata="none"))
    assert not fill_told(collared(tmp_path / "tagged", nodata=0), tmp_path / "tagged.tif")


def test_fill_is_looked_for_around_what_is_sharpened(tmp_path):
    scene = collared(tmp_path / "s")
    west, north = scene.pan_transform * (100, 100)
    assert not fill_told(scene, tmp_path / "in.tif", bbox=(west, north - 100, west + 100, north))
    (warning,) = fill_told(scene, tmp_path / "rim.tif", bbox=(west, north - 100, west + 100, north + 50))
    assert "of the frame of what is sharpened" in warning

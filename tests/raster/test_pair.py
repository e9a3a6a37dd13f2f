from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio._err import CPLE_AppDefinedError
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader

from pancli.errors import InputError, PairError, UsageError
from pancli.raster.names import SourceName
from pancli.raster.pair import PairOptions, open_pair
from pancli.tiling import Window
from tests.disks import bar
from tests.scenes import UTM, Waves, make_scene, write


def test_windows_are_read_as_float32_in_digital_numbers(scene):
    with open_pair(str(scene.pan), [str(scene.ms)]) as pair:
        pan, valid = pair.read_pan(Window(10, 20, 30, 40))
        ms, _ = pair.read_ms(Window(3, 4, 5, 6))
        assert not pair.masked
    assert pan.dtype == np.float32
    assert valid.all()
    assert (pan == scene.pan_image[10:40, 20:60]).all()
    assert (ms == scene.ms_image[:, 3:8, 4:10]).all()


def test_files_are_stacked_in_order_and_bands_picked(scene, tmp_path):
    first = write(tmp_path / "one.tif", scene.ms_image[2], scene.ms_transform)
    names = [str(first), f"{scene.ms},band=4", f"{scene.ms},band=1,band=2"]
    with open_pair(str(scene.pan), names) as pair:
        ms, _ = pair.read_ms(Window(0, 0, 9, 9))
    assert (ms == scene.ms_image[[2, 3, 0, 1]][:, :9, :9]).all()
    with open_pair(str(scene.pan), names, PairOptions(bidx=(4, 1))) as pair:
        assert (pair.read_ms(Window(0, 0, 9, 9))[0] == scene.ms_image[[1, 2]][:, :9, :9]).all()
        assert [band.index for band in pair.bands] == [2, 1]


def test_one_name_for_ms_is_not_taken_letter_by_letter(scene):
    with (
        pytest.raises(UsageError, match="one name: give names in a sequence"),
        open_pair("pan", str(scene.ms)),
    ):
        pass


def test_band_names_with_commas_in_the_path():
    assert SourceName.parse("a,band=b.tif") == SourceName("a,band=b.tif")
    assert SourceName.parse("/vsizip/x.zip/a.tif,band=2") == SourceName("/vsizip/x.zip/a.tif", (2,))
    for text in ("a.tif", "a,band=b.tif", "a.tif,band=3,band=1", "/vsizip/x.zip/a.tif,band=2"):
        assert str(SourceName.parse(text)) == text
    long = "a.tif,band=" + "9" * 5000  # more digits than Python makes a number of
    assert SourceName.parse(long) == SourceName(long)


def masks_agree(pair, expected_pan, expected_ms):
    whole = Window(0, 0, *pair.pan_grid.shape)
    assert (pair.read_pan(whole)[1] == expected_pan).all()
    assert (pair.read_ms(Window(0, 0, *pair.ms_grid.shape))[1] == expected_ms).all()


def test_nodata_tags_nan_masks_and_alpha_all_count(tmp_path):
    scene = make_scene(tmp_path, dtype="float32")
    pan = scene.pan_image.copy()
    pan[:5] = -9999
    pan[20, 20] = np.nan
    ms = scene.ms_image.copy()
    ms[1, 3, 3] = np.inf
    alpha = np.full((1, *ms.shape[1:]), 255, np.float32)
    alpha[0, 7] = 0
    write(scene.pan, pan, scene.pan_transform, nodata=-9999)
    write(scene.ms, np.concatenate([ms, alpha]), scene.ms_transform)
    with rasterio.open(scene.ms, "r+") as dataset:
        dataset.colorinterp = [ColorInterp.undefined] * 4 + [ColorInterp.alpha]
    expected_pan = np.ones(pan.shape, bool)
    expected_pan[:5] = False
    expected_pan[20, 20] = False
    expected_ms = np.ones(ms.shape[1:], bool)
    expected_ms[3, 3] = expected_ms[7] = False
    with open_pair(str(scene.pan), [str(scene.ms)]) as pair:
        assert len(pair.bands) == 4
        masks_agree(pair, expected_pan, expected_ms)


def test_a_band_tagged_alpha_can_be_named_as_an_image_band(tmp_path):
    scene = make_scene(tmp_path, dtype="uint8")
    write(scene.ms, scene.ms_image, scene.ms_transform, photometric="RGB", alpha="YES")
    with open_pair(str(scene.pan), [str(scene.ms)]) as pair:
        assert len(pair.bands) == 3
        assert "tagged alpha" in pair.warnings[0]
    with open_pair(str(scene.pan), [f"{scene.ms},band=1,band=2,band=3,band=4"]) as pair:
        assert (pair.read_ms(Window(0, 0, 9, 9))[0] == scene.ms_image[:, :9, :9]).all()
        assert not pair.masked
        assert pair.warnings == ()


@pytest.mark.parametrize(("dtype", "bands"), [("uint16", 4), ("uint8", 5), ("uint8", 2)])
def test_an_alpha_band_that_nobody_tags_unasked_is_no_warning(tmp_path, dtype, bands):
    scene = make_scene(tmp_path, bands=bands, dtype=dtype)
    with rasterio.open(scene.ms, "r+") as dataset:
        dataset.colorinterp = [ColorInterp.undefined] * (bands - 1) + [ColorInterp.alpha]
    with open_pair(str(scene.pan), [str(scene.ms)]) as pair:
        assert len(pair.bands) == bands - 1
        assert pair.masked
        assert pair.warnings == ()


def test_bands_keep_their_places_where_one_tagged_alpha_is_named(tmp_path):
    scene = make_scene(tmp_path)
    write(scene.ms, scene.ms_image, scene.ms_transform, photometric="RGB", alpha="YES")
    for bands in ((4, 3, 2, 1), (4, 1), (2,)):
        named = str(scene.ms) + "".join(f",band={number}" for number in bands)
        with open_pair(str(scene.pan), [named]) as pair:
            assert (pair.numbers, pair.available) == (bands, 4 if 4 in bands else 3)


def test_a_mask_file_counts(scene):
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(scene.pan, "r+") as dataset:
        mask = np.full(dataset.shape, 255, np.uint8)
        mask[:, 7] = 0
        dataset.write_mask(mask)
    assert scene.pan.with_name("pan.tif.msk").exists()
    with open_pair(str(scene.pan), [str(scene.ms)]) as pair:
        valid = pair.read_pan(Window(0, 0, 20, 20))[1]
    assert not valid[:, 7].any()
    assert valid.sum() == 19 * 20


@pytest.mark.parametrize(
    ("override", "invalid", "told"),
    [(None, 5, False), ("none", 0, False), (0.0, 5, False), (3.0, 7, True), (float("nan"), 0, True)],
)
@pytest.mark.parametrize("reproject", [False, True])
def test_nodata_can_be_overridden_and_what_then_is_data_is_told(tmp_path, override, invalid, told, reproject):
    scene = make_scene(tmp_path)
    pan = scene.pan_image.copy()
    pan[0, :5], pan[1, :7] = 0, 3
    write(scene.pan, pan, scene.pan_transform, nodata=0)
    write(scene.ms, scene.ms_image, scene.ms_transform, nodata=0)
    asked = PairOptions(nodata=override, reproject=reproject)
    with open_pair(str(scene.pan), [str(scene.ms)], asked) as pair:
        assert (~pair.read_pan(Window(0, 0, 40, 40))[1]).sum() == invalid
        warning = f"0, the nodata value of {scene.pan}, is taken for data"
        assert [warning in said for said in pair.warnings] == [True] * told


def test_what_is_no_number_is_never_taken_for_data(tmp_path):
    scene = make_scene(tmp_path, dtype="float32")
    write(scene.ms, scene.ms_image.astype("float32"), scene.ms_transform, nodata=float("nan"))
    with open_pair(str(scene.pan), [str(scene.ms)], PairOptions(nodata=0.0)) as pair:
        assert not pair.warnings


def test_nodata_values_told_of_the_whole_file_count_unless_overridden(tmp_path):
    scene = make_scene(tmp_path)
    image = scene.ms_image.copy()
    image[:, :5, :4] = np.arange(4)[:, None, None]
    image[0, 9, 9] = 0  # of one band alone it is a number like others
    write(scene.ms, image, scene.ms_transform, tags={"NODATA_VALUES": "0 1 2 3"})
    options: tuple[tuple[PairOptions, int], ...] = (
        (PairOptions(), 20),
        (PairOptions(reproject=True), 20),
        (PairOptions("none"), 0),
        (PairOptions(3), 20),
        (PairOptions(7), 0),
    )
    for asked, gaps in options:
        with open_pair(str(scene.pan), [str(scene.ms)], asked) as pair:
            assert (~pair.read_ms(pair.ms_grid.window)[1]).sum() == gaps
    write(scene.ms, image, scene.ms_transform, CRS.from_epsg(25833), tags={"NODATA_VALUES": "0 1 2 3"})
    with open_pair(str(scene.pan), [str(scene.ms)], PairOptions(reproject=True)) as pair:
        assert (~pair.read_ms(pair.ms_grid.window)[1]).sum() == 20


def test_refusals_name_the_file(scene, tmp_path):
    def opening(pan, *ms):
        with open_pair(str(pan), [str(m) for m in ms]):
            pass

    with pytest.raises(InputError, match="missing.tif: no such file"):
        opening(tmp_path / "missing.tif", scene.ms)
    with pytest.raises(InputError, match="is a directory"):
        opening(scene.pan.parent, scene.ms)
    text = tmp_path / "notes.tif"
    text.write_text("not a raster")
    with pytest.raises(InputError, match="not a raster"):
        opening(text, scene.ms)
    with pytest.raises(InputError, match="no band 9; it has 4"):
        opening(scene.pan, f"{scene.ms},band=9")
    with pytest.raises(PairError, match="PAN .* has 4 bands but must have 1"):
        opening(scene.ms, scene.pan)
    other = write(tmp_path / "other.tif", scene.ms_image[0][:-1], scene.ms_transform)
    with pytest.raises(PairError, match=r"must share one grid.*other\.tif is 48 x 39"):
        opening(scene.pan, scene.ms, other)
    wave = write(tmp_path / "complex.tif", scene.ms_image.astype("complex64"), scene.ms_transform)
    with pytest.raises(InputError, match="complex64"):
        opening(scene.pan, wave)
    with (
        pytest.raises(UsageError, match="--bidx 5: MS has bands 1 to 4"),
        open_pair(str(scene.pan), [str(scene.ms)], PairOptions(bidx=(5,))),
    ):
        pass


@pytest.mark.parametrize("name", ["/vsistdin/", "/vsistdin", "/vsistdin/a.tif", "/vsigzip//vsistdin/", "-"])
def test_a_pipe_is_refused_as_it_cannot_be_read_back_and_forth(scene, name):
    with pytest.raises(InputError, match=rf"^{name}: .*a pipe cannot be read.* /vsistdin\?buffer_limit=-1, "):
        with open_pair(str(scene.pan), [f"{name},band=1"]):
            pass


def test_a_pipe_is_read_where_all_of_it_is_held_in_memory(tmp_path):
    image = np.arange(2 * 1200 * 1200, dtype="uint16").reshape(2, 1200, 1200)
    path = write(tmp_path / "large.tif", image, Affine.scale(2, -2), interleave="band")
    script = (
        "import sys\n"
        "from pancli.raster.names import SourceName\n"
        "from pancli.raster.source import open_source\n"
        "dataset = open_source(SourceName(sys.argv[1]))\n"
        "sys.stdout.buffer.write(dataset.read([2, 1]).tobytes())"
    )
    command = [sys.executable, "-c", script, "/vsistdin?buffer_limit=-1"]
    done = subprocess.run(command, input=path.read_bytes(), capture_output=True, check=True)
    assert done.stdout == image[::-1].tobytes()


def test_a_folder_may_be_called_as_a_pipe(scene, tmp_path):
    (tmp_path / "vsistdin").mkdir()
    ms = shutil.copy(scene.ms, tmp_path / "vsistdin")
    with open_pair(str(scene.pan), [str(ms)]) as pair:
        assert len(pair.bands) == 4


def test_what_may_not_be_seen_is_not_said_to_be_missing(scene, tmp_path, monkeypatch):
    def opening(pan):
        with open_pair(str(pan), [str(scene.ms)]):
            pass

    (tmp_path / "listed").mkdir()
    monkeypatch.setattr(Path, "iterdir", bar(tmp_path / "closed", monkeypatch).joinpath("x").stat)
    with pytest.raises(InputError, match="listed: is a directory"):
        opening(tmp_path / "listed")
    with pytest.raises(InputError, match=r"a\.tif: cannot be opened \(Permission denied\)"):
        opening(tmp_path / "closed" / "a.tif")


def test_ms_files_of_two_crs_are_refused_with_both(scene, tmp_path):
    other = write(tmp_path / "other.tif", scene.ms_image[0], scene.ms_transform, CRS.from_epsg(32634))
    with pytest.raises(PairError, match=r"must share one grid.*EPSG:32633.*EPSG:32634"):
        with open_pair(str(scene.pan), [str(scene.ms), str(other)]):
            pass


def test_greys_that_fall_are_no_brightness(scene):
    indices = (scene.pan_image // 8).astype("uint8")
    write(scene.pan, indices, scene.pan_transform, photometric="palette")
    with rasterio.open(scene.pan, "r+") as dataset:
        dataset.write_colormap(1, {i: (255 - i, 255 - i, 255 - i, 255) for i in range(256)})
    with pytest.raises(InputError, match="colour table"), open_pair(str(scene.pan), [str(scene.ms)]):
        pass


def test_a_truncated_file_is_named_when_it_is_read(scene):
    data = scene.pan.read_bytes()
    scene.pan.write_bytes(data[: len(data) // 2])
    with (
        pytest.raises(InputError, match=r"pan\.tif: cannot be (read|opened)"),
        open_pair(str(scene.pan), [str(scene.ms)]) as pair,
    ):
        pair.read_pan(pair.pan_grid.window)


def test_damage_that_gdal_tells_when_colours_are_asked_for_is_refused_in_one_line(scene, monkeypatch):
    def tell(_dataset):
        raise CPLE_AppDefinedError(1, 1, "a key points beyond the header")

    monkeypatch.setattr(DatasetReader, "colorinterp", property(tell))
    with pytest.raises(InputError, match=r"pan\.tif: cannot be opened \(a key points beyond the header\)"):
        with open_pair(str(scene.pan), [str(scene.ms)]):
            pass


def test_a_band_may_have_a_mask_of_its_own(tmp_path):
    scene = make_scene(tmp_path)
    rasterio.shutil.copy(scene.ms, tmp_path / "ms.vrt", driver="VRT")
    masked = np.zeros(scene.ms_image.shape, np.uint8)
    masked[1, 3:] = 255
    masked[[0, 2, 3], :, 5:] = 255
    write(tmp_path / "masks.tif", masked, scene.ms_transform)
    text = (tmp_path / "ms.vrt").read_text()
    for band in range(1, 5):
        mask = f"""<MaskBand><VRTRasterBand dataType="Byte"><SimpleSource>
            <SourceFilename relativeToVRT="1">masks.tif</SourceFilename><SourceBand>{band}</SourceBand>
            </SimpleSource></VRTRasterBand></MaskBand></VRTRasterBand"""
        head, tail = text.split(f'band="{band}"')
        text = f'{head}band="{band}"' + tail.replace("</VRTRasterBand", mask, 1)
    (tmp_path / "ms.vrt").write_text(text)
    with open_pair(str(scene.pan), [str(tmp_path / "ms.vrt")]) as pair:
        assert pair.masked
        _, valid = pair.read_ms(Window(0, 0, 9, 9))
    assert (valid == (np.arange(9)[:, None] >= 3) & (np.arange(9) >= 5)).all()


def test_reproject_looks_at_every_ms_file(tmp_path):
    scene = make_scene(tmp_path)
    other = write(tmp_path / "other.tif", scene.ms_image, scene.ms_transform, crs=CRS.from_epsg(25833))
    for names in ([str(scene.ms), str(other)], [str(other), str(scene.ms)]):
        with open_pair(str(scene.pan), names, PairOptions(reproject=True)) as pair:
            assert len(pair.bands) == 8
        with pytest.raises(PairError, match=r"share one grid.* in EPSG:\d+, .* in EPSG:\d+"):
            with open_pair(str(scene.pan), names):
                pass


def test_reproject_does_not_take_an_image_band_for_a_mask(tmp_path):
    scene = make_scene(tmp_path, dtype="uint8")
    write(scene.ms, scene.ms_image, scene.ms_transform, CRS.from_epsg(25833), photometric="RGB", alpha="YES")
    named = f"{scene.ms},band=1,band=2,band=3,band=4"
    with pytest.raises(PairError, match="tagged alpha"):
        with open_pair(str(scene.pan), [named], PairOptions(reproject=True)):
            pass
    with open_pair(str(scene.pan), [f"{scene.ms},band=1"], PairOptions(reproject=True)) as pair:
        assert len(pair.bands) == 1
    with open_pair(str(scene.pan), [str(scene.ms)], PairOptions(reproject=True)) as pair:
        assert len(pair.bands) == 3
        assert f"name it: {named}" in pair.warnings[-1]
    write(scene.ms, scene.ms_image, scene.ms_transform, CRS.from_epsg(25833))
    with open_pair(str(scene.pan), [str(scene.ms)], PairOptions(reproject=True)) as pair:
        assert pair.warnings == ()


def test_reproject_leaves_gaps_as_wide_as_they_are(tmp_path):
    scene = make_scene(tmp_path, dtype="float32")
    image = scene.ms_image.copy()
    image[:, 10:20, 10:20] = np.nan
    for tag, options in (
        (None, PairOptions(reproject=True)),
        (None, PairOptions("none", reproject=True)),
        (np.nan, PairOptions(reproject=True)),
    ):
        write(scene.ms, image, scene.ms_transform, crs=CRS.from_epsg(25833), nodata=tag)
        with open_pair(str(scene.pan), [str(scene.ms)], options) as pair:
            assert (~pair.read_ms(pair.ms_grid.window)[1]).sum() == 100


@pytest.mark.parametrize(
    ("dtype", "fill", "options"),
    [
        ("uint16", 0, PairOptions(reproject=True)),
        ("uint16", 0, PairOptions(0.0, reproject=True)),
        ("int16", -9999, PairOptions(reproject=True)),
        ("float32", -9999, PairOptions(reproject=True)),
        ("float32", np.nan, PairOptions(reproject=True)),
        ("float32", 1e20, PairOptions("none", reproject=True)),
    ],
)
def test_reproject_mixes_no_gap_of_one_band_into_its_neighbours(tmp_path, dtype, fill, options):
    scene = make_scene(tmp_path, dtype=dtype)
    image = scene.ms_image.copy()
    image[0, 10:20, 10:20] = fill
    turned = scene.ms_transform * Affine.rotation(3)
    tag = fill if options.nodata is None else None
    write(scene.ms, image, turned, nodata=tag)
    with open_pair(str(scene.pan), [str(scene.ms)], options) as pair:
        values, valid = pair.read_ms(pair.ms_grid.window)
        assert {band.dtype for band in pair.bands} == {dtype}
    outside = valid.size - valid.sum() - 100
    write(scene.ms, scene.ms_image, turned)
    with open_pair(str(scene.pan), [str(scene.ms)], PairOptions(reproject=True)) as pair:
        clean, whole = pair.read_ms(pair.ms_grid.window)
    assert -40 < outside - (~whole).sum() < 90
    spread = np.ptp(scene.ms_image)
    assert np.abs(values - clean)[:, valid & whole].max() < 0.15 * spread


def test_reproject_leaves_small_numbers_with_a_sign_what_they_are(tmp_path):
    scene = make_scene(tmp_path, dtype="int8", waves=Waves(mean=0.0, amplitude=20.0))
    write(scene.ms, scene.ms_image, scene.ms_transform, CRS.from_epsg(25833))
    with open_pair(str(scene.pan), [str(scene.ms)], PairOptions(reproject=True)) as pair:
        assert {band.dtype for band in pair.bands} == {"int8"}
        assert np.abs(pair.read_ms(pair.ms_grid.window)[0] - scene.ms_image).max() == 0


def test_reproject_refuses_bands_with_nodata_of_their_own(tmp_path):
    scene = make_scene(tmp_path, bands=2)
    bands = "".join(
        f'<VRTRasterBand dataType="UInt16" band="{band}"><NoDataValue>{nodata}</NoDataValue><SimpleSource>'
        f'<SourceFilename relativeToVRT="1">{scene.ms.name}</SourceFilename><SourceBand>{band}</SourceBand>'
        "</SimpleSource></VRTRasterBand>"
        for band, nodata in ((1, 0), (2, 65535))
    )
    place = "<SRS>EPSG:25833</SRS><GeoTransform>" + ",".join(map(str, scene.ms_transform.to_gdal()))
    height, width = scene.ms_image.shape[1:]
    vrt = tmp_path / "ms.vrt"
    vrt.write_text(
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">{place}</GeoTransform>{bands}</VRTDataset>'
    )
    with pytest.raises(PairError, match="ms.vrt have nodata values that differ; give one"):
        with open_pair(str(scene.pan), [str(vrt)], PairOptions(reproject=True)):
            pass
    masked = vrt.read_text().replace("<NoDataValue>65535</NoDataValue>", "<ColorInterp>Alpha</ColorInterp>")
    (tmp_path / "alpha.vrt").write_text(masked)
    with open_pair(str(scene.pan), [str(tmp_path / "alpha.vrt")], PairOptions(reproject=True)) as pair:
        assert [band.nodata for band in pair.bands] == [0]
    for ms, options in ((f"{vrt},band=2", None), (str(vrt), 0.0)):
        with open_pair(str(scene.pan), [ms], PairOptions(options, reproject=True)) as pair:
            assert pair.bands[0].nodata == (65535 if options is None else 0)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32"])
def test_reproject_takes_little_alpha_for_as_much_as_a_mask_can_say(tmp_path, dtype):
    scene = make_scene(tmp_path, bands=3, dtype=dtype)
    image = np.concatenate([scene.ms_image, np.ones_like(scene.ms_image[:1])])
    image[3, 10:20, 10:20] = 0
    write(scene.ms, image, scene.ms_transform, CRS.from_epsg(25833), photometric="RGB", alpha="YES")
    with open_pair(str(scene.pan), [str(scene.ms)], PairOptions(reproject=True)) as pair:
        assert (~pair.read_ms(pair.ms_grid.window)[1]).sum() == 100


@pytest.mark.parametrize("nodata", [-9999.9, 1e20])
def test_reproject_knows_nodata_in_decimal_as_pixels_have_it(tmp_path, nodata):
    scene = make_scene(tmp_path, dtype="float32")
    image = scene.ms_image.copy()
    image[:, 10:20, 10:20] = nodata
    turned = scene.ms_transform * Affine.rotation(1)
    write(scene.ms, image, turned)
    with open_pair(str(scene.pan), [str(scene.ms)], PairOptions(nodata, reproject=True)) as pair:
        values, valid = pair.read_ms(pair.ms_grid.window)
    low, high = scene.ms_image.min(), scene.ms_image.max()
    assert low - 50 < values[:, valid].min() < values[:, valid].max() < high + 50


def test_reproject_puts_ms_on_pans_axes(tmp_path):
    scene = make_scene(tmp_path, size=(320, 320))
    other = CRS.from_epsg(32634)
    transform, width, height = rasterio.warp.calculate_default_transform(
        UTM, other, 80, 80, *rasterio.transform.array_bounds(80, 80, scene.ms_transform)
    )
    warped = np.zeros((4, height, width), np.float32)
    rasterio.warp.reproject(
        scene.ms_image.astype(np.float32),
        warped,
        src_transform=scene.ms_transform,
        src_crs=UTM,
        dst_transform=transform,
        dst_crs=other,
        resampling=rasterio.enums.Resampling.cubic,
        dst_nodata=0,
    )
    write(scene.ms, warped, transform, crs=other, nodata=0)
    with open_pair(str(scene.pan), [str(scene.ms)], PairOptions(reproject=True)) as pair:
        assert pair.ms_grid.crs == UTM
        assert pair.placement.ratio == pytest.approx(4, rel=0.05)
        ms, valid = pair.read_ms(pair.ms_grid.window)
        rows = np.array([pair.placement.rows.to_pan(i) for i in range(ms.shape[1])])
        cols = np.array([pair.placement.cols.to_pan(i) for i in range(ms.shape[2])])
    truth = scene.truth[0]
    inner = np.ix_((rows > 40) & (rows < 280), (cols > 40) & (cols < 280))
    expected = truth[np.rint(rows[inner[0]]).astype(int), np.rint(cols[inner[1]]).astype(int)]
    assert valid[inner].all()
    assert np.corrcoef(ms[0][inner].ravel(), expected.ravel())[0, 1] > 0.99


def test_reading_after_closing_is_refused(scene):
    with open_pair(str(scene.pan), [str(scene.ms)]) as pair:
        pass
    with pytest.raises(InputError, match="closed"):
        pair.read_pan(Window(0, 0, 4, 4))


def test_placement_follows_pixel_is_point(tmp_path):
    scene = make_scene(tmp_path, ms_offset=(-0.5, -0.5))
    point = write(
        tmp_path / "point.tif", scene.pan_image, scene.pan_transform, tags={"AREA_OR_POINT": "Point"}
    )
    with open_pair(str(point), [str(scene.ms)]) as pair:
        assert pair.point
        assert pair.pan_grid.transform == scene.pan_transform
        assert pair.placement.rows.to_ms(0) == pytest.approx((0.5 + 0.5) / 4 - 0.5)


def test_a_degenerate_geotransform_is_refused(tmp_path):
    scene = make_scene(tmp_path)
    flat = write(tmp_path / "flat.tif", scene.ms_image, Affine(1, 1, 0, 1, 1, 0))
    with pytest.raises(PairError, match="degenerate"), open_pair(str(scene.pan), [str(flat)]):
        pass

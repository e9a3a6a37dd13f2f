"""What appears beside the output: a picture of it, and a STAC item."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import rasterio
from affine import Affine
from matplotlib.image import imread
from rasterio.enums import ColorInterp

from pancli.errors import OutputError, UsageError
from pancli.pictures import limits
from pancli.raster.output import Output
from pancli.sensors import find_sensor
from pancli.sharpening import SharpenOptions, plan_sharpening, sharpen
from pancli.sharpening.beside import draw_quicklook
from tests.scenes import make_scene, read, write


def look(path):
    """(h, w, 4) in [0, 255]."""
    return np.rint(255 * imread(path))


def fuse(scene, **changes):
    out, png = scene.pan.with_name("out.tif"), scene.pan.with_name("out.png")
    options = SharpenOptions(**{"method": "exp", "quicklook": png, "overwrite": True} | changes)
    sharpen(str(scene.pan), [str(scene.ms)], out, options)
    return out, png


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("driver", ["GTiff", "COG"])
def test_a_quicklook_is_the_output_in_its_stretch(tmp_path, driver):
    scene = make_scene(tmp_path, names=("blue", "green", "red", "nir"))
    out, png = fuse(scene, driver=driver)
    fused = read(out)[[2, 1, 0]]
    low, high = np.percentile(fused, (2, 98), axis=(1, 2))[..., None, None]
    expected = 255 * np.clip((fused - low) / (high - low), 0, 1)
    shown = look(png)
    assert np.abs(np.moveaxis(shown[..., :3], -1, 0) - expected).max() <= 0.51
    assert (shown[..., 3] == 255).all()
    assert names(tmp_path) == ["ms.tif", "out.png", "out.tif", "pan.tif"]


@pytest.mark.parametrize("steps", [(-1, 1), (1, -1), (-1, -1)])
def test_a_quicklook_is_no_mirror_image_of_the_ground(tmp_path, steps):
    scene = make_scene(tmp_path)
    _, png = fuse(scene)
    expected = look(png)
    down, across = steps
    turned = np.s_[..., ::down, ::across]
    far = [side if step < 0 else 0 for step, side in zip(steps, scene.pan_image.shape, strict=True)]
    transform = scene.pan_transform * Affine.translation(*far[::-1]) * Affine.scale(across, down)
    write(scene.pan, scene.pan_image[turned], transform)
    np.testing.assert_array_equal(look(fuse(scene)[1]), expected)


def test_a_quicklook_of_bands_named_in_any_order_has_the_sensors_colours(tmp_path):
    scene = make_scene(tmp_path)
    plain, png = fuse(scene, sensor="ikonos")
    expected = look(png)
    options = SharpenOptions(method="exp", quicklook=png, overwrite=True, sensor="ikonos")
    sharpen(str(scene.pan), [f"{scene.ms},band=4,band=3,band=2,band=1"], plain, options)
    np.testing.assert_array_equal(look(png), expected)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(
    ("told", "sensor", "bands", "chosen"),
    [
        ({"names": ("red", "green", "blue", "nir")}, "generic", 4, (0, 1, 2)),
        ({"names": ()}, "generic", 4, (2, 1, 0)),
        ({"names": ()}, "worldview2", 8, (4, 2, 1)),
        ({"names": ()}, "generic", 2, (0, 0, 0)),
        ({"names": ("red", "green", "blue", "x"), "colours": "x blue green red"}, "generic", 4, (3, 2, 1)),
    ],
)
def test_bands_are_chosen_by_colour_then_name_then_sensor_then_order(tmp_path, told, sensor, bands, chosen):
    """Every band is a ramp of its own steepness, so that its place on the scale tells which it is."""
    ramps = np.linspace(0, 1, 100)[None, None] ** np.arange(1, bands + 1)[:, None, None]
    path = write(tmp_path / "a.tif", (60000 * ramps).astype("uint16"), None, names=told["names"])
    if "colours" in told:
        with rasterio.open(path, "r+") as dataset:
            dataset.colorinterp = [
                getattr(ColorInterp, c, ColorInterp.undefined) for c in told["colours"].split()
            ]
    draw_quicklook(find_sensor(sensor), path, tmp_path / "a.png")
    values = read(path)
    black_white = limits(values, np.ones((1, 100), bool))
    low, high = black_white.T[..., None, None]
    expected = np.rint(255 * np.clip((values - low) / (high - low), 0, 1))
    shown = look(tmp_path / "a.png")
    for channel, band in enumerate(chosen):
        assert np.abs(shown[..., channel] - expected[band]).max() <= 1


def test_a_large_output_is_shrunk_by_means_and_masks_are_transparent(tmp_path, monkeypatch):
    scene = make_scene(tmp_path, bands=3, nodata=0)
    hole = scene.pan_image.copy()
    hole[40:80, 60:120] = 0
    write(scene.pan, hole, scene.pan_transform, nodata=0)
    monkeypatch.setattr("pancli.sharpening.beside._QUICKLOOK", 48)
    out, png = fuse(scene)
    with rasterio.open(out) as dataset:
        image = dataset.read(masked=True).astype(float)
    cells = np.ma.mean(image.reshape(3, 40, 4, 48, 4), axis=(2, 4))
    low, high = np.array([np.percentile(band.compressed(), (2, 98)) for band in cells]).T[..., None, None]
    expected = 255 * np.clip((cells - low) / (high - low), 0, 1)
    shown = look(png)
    assert shown.shape == (40, 48, 4)
    opaque = shown[..., 3] == 255
    assert (opaque == ~cells.mask[0]).all()
    error = np.abs(np.moveaxis(shown[..., :3], -1, 0) - expected[::-1])
    assert error[:, opaque].max() < 4  # means were rounded to whole numbers first, of about 600


def test_neither_file_appears_without_the_other(tmp_path, monkeypatch):
    scene = make_scene(tmp_path)

    def fail(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pancli.sharpening.beside.write_png", fail)
        with pytest.raises(OutputError, match=r"out\.png: cannot be written"):
            fuse(scene)
    with monkeypatch.context() as patch:
        patch.setattr(Output, "write", fail)
        with pytest.raises(OSError, match="No space"):
            fuse(scene)
    assert names(tmp_path) == ["ms.tif", "pan.tif"]


def test_what_stands_there_is_kept_or_replaced_with_the_output(tmp_path, monkeypatch):
    scene = make_scene(tmp_path)
    png = tmp_path / "out.png"
    png.write_text("old")
    with pytest.raises(OutputError, match=r"out\.png: exists already"):
        fuse(scene, overwrite=False)
    assert names(tmp_path) == ["ms.tif", "out.png", "pan.tif"]
    write_output = Output.write

    def meanwhile(self, *args):
        (tmp_path / "out.tif").write_text("theirs")
        return write_output(self, *args)

    png.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(Output, "write", meanwhile)
        with pytest.raises(OutputError, match="appeared"):
            fuse(scene, overwrite=False)
    assert (tmp_path / "out.tif").read_text() == "theirs"
    assert names(tmp_path) == ["ms.tif", "out.tif", "pan.tif"]
    png.write_text("old")
    fuse(scene)
    assert look(png).shape == (160, 192, 4)


def test_what_stood_beside_an_output_is_made_anew_with_it(tmp_path):
    """Else a catalogue would have the item of another image. What pancli did not write stays."""
    scene = make_scene(tmp_path)
    out, png = fuse(scene, stac=True)
    item, old = out.with_suffix(".json"), png.read_bytes()
    fuse(scene, method="brovey", quicklook=False)
    assert "brovey fused" in item.read_text()
    assert png.read_bytes() != old
    item.write_text("{}")
    png.write_text("theirs")
    fuse(scene, quicklook=False)
    assert (item.read_text(), png.read_text()) == ("{}", "theirs")
    item.unlink()
    png.unlink()
    fuse(scene, quicklook=False)
    assert names(tmp_path) == ["ms.tif", "out.tif", "pan.tif"]


def test_names_that_cannot_be_are_refused_before_anything_is_done(tmp_path):
    scene = make_scene(tmp_path)
    with pytest.raises(UsageError, match=r"--quicklook .*q\.jpg"):
        SharpenOptions(quicklook=tmp_path / "q.jpg")
    twice = SharpenOptions(method="exp", stac=True)
    with pytest.raises(UsageError, match="one name"):
        with plan_sharpening(str(scene.pan), [str(scene.ms)], tmp_path / "out.json", twice):
            pass
    nowhere = SharpenOptions(method="exp", quicklook=tmp_path / "none" / "out.png")
    with pytest.raises(OutputError, match="does not exist"):
        with plan_sharpening(str(scene.pan), [str(scene.ms)], tmp_path / "out.tif", nowhere):
            pass


@pytest.mark.slow
def test_a_picture_of_gigabytes_takes_megabytes(tmp_path):
    """3.2 GB of pixels, sparse on disk: the file is read block by block."""
    code = """
        import resource, sys
        import rasterio
        from pancli.raster.quicklook import read_small
        from pancli.raster.env import gdal_env

        profile = {"driver": "GTiff", "width": 20000, "height": 20000, "count": 4, "dtype": "uint16"}
        layout = {"tiled": True, "blockxsize": 512, "blockysize": 512, "sparse_ok": True}
        with rasterio.open(sys.argv[1], "w", **profile, **layout, interleave="pixel", bigtiff="YES"):
            pass
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with gdal_env():
            assert read_small(sys.argv[1], (1, 2, 3), 1024).values.shape == (3, 1024, 1024)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code), tmp_path / "a.tif"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 200 * 1024  # KB; it takes 80 MB, whatever the size


@pytest.mark.parametrize(("method", "driver"), [("gsa", "GTiff"), ("gcpnet", "COG")])
def test_a_stac_item_tells_of_the_output(tmp_path, method, driver):
    scene = make_scene(tmp_path, size=(64, 64))
    with rasterio.open(scene.ms, "r+") as dataset:
        dataset.update_tags(ns="IMAGERY", ACQUISITIONDATETIME="2020-05-01 10:00:00")
    out, _ = fuse(scene, method=method, driver=driver, stac=True)
    assert names(tmp_path) == ["ms.tif", "out.json", "out.png", "out.tif", "pan.tif"]
    item = json.loads((tmp_path / "out.json").read_text())
    assert item["id"] == "out"
    assert item["properties"]["datetime"] == "2020-05-01T10:00:00Z"
    assert [item["assets"][name]["href"] for name in ("image", "quicklook")] == ["./out.tif", "./out.png"]
    assert ("cloud-optimized" in item["assets"]["image"]["type"]) == (driver == "COG")
    with rasterio.open(out) as dataset:
        weights = dataset.tags().get("PANCLI_WEIGHTS_SHA256")
        assert item["properties"]["proj:transform"] == list(dataset.transform)[:6]
    assert (weights is None) == (method == "gsa")
    assert (weights or method) in item["properties"]["processing:lineage"]


def test_a_time_that_nobody_knows_is_a_warning(tmp_path):
    scene = make_scene(tmp_path, size=(64, 64))
    out = tmp_path / "out.tif"
    report = sharpen(str(scene.pan), [str(scene.ms)], out, SharpenOptions(method="exp", stac=True))
    assert [w for w in report.warnings if "datetime is null" in w]
    assert json.loads((tmp_path / "out.json").read_text())["properties"]["datetime"] is None


@pytest.mark.parametrize("crs", [None, 'LOCAL_CS["site",UNIT["metre",1]]'])
def test_a_place_that_nobody_can_tell_is_a_warning(tmp_path, crs):
    scene = make_scene(tmp_path, crs=crs)
    out = tmp_path / "out.tif"
    report = sharpen(str(scene.pan), [str(scene.ms)], out, SharpenOptions(method="exp", stac=True))
    assert json.loads(out.with_suffix(".json").read_text())["geometry"] is None
    assert [told for told in report.warnings if "where on the globe PAN lies cannot be told" in told]

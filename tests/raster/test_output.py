from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp

from pancli.errors import OutputError
from pancli.raster.commit import check_output, commit_all, remove_leftovers
from pancli.raster.creation import check_choice, check_creation, create
from pancli.raster.grid import Grid
from pancli.raster.output import atomic_output
from pancli.raster.spec import Companion, OutputBand, OutputSpec
from pancli.tiling import Window
from tests.disks import bar, small_files

GRID = Grid(CRS.from_epsg(32631), Affine(1 / 3, 0, 500000.1, 0, -1 / 3, 4000000.7), (700, 600))
BANDS = (OutputBand("blue", 0.5, 2.0, "DN", ColorInterp.blue, {"K": "v"}), OutputBand("red"))


def spec(path, **changes):
    fields = {"path": path, "grid": GRID, "bands": BANDS, "dtype": "uint16", "nodata": 0.0, "masked": True}
    return OutputSpec(**(fields | changes))


def fill(output, stop=None):
    generator = np.random.default_rng(0)
    for window in GRID.window.blocks(256):
        if stop is not None and window.row >= stop:
            break
        values = generator.integers(1, 2000, (2, *window.shape)).astype("uint16")
        output.write(window, values, np.ones(window.shape, bool))


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_what_is_asked_for_is_in_the_file(tmp_path):
    path = tmp_path / "a.tif"
    with atomic_output(spec(path, tags={"AREA_OR_POINT": "Point", "PANCLI_METHOD": "x"})) as output:
        fill(output)
    with rasterio.open(path) as dataset:
        assert dataset.transform == GRID.transform
        assert dataset.crs == GRID.crs
        assert dataset.descriptions == ("blue", "red")
        assert dataset.scales == (0.5, 1.0)
        assert dataset.offsets == (2.0, 0.0)
        assert dataset.units[0] == "DN"
        assert dataset.colorinterp[0] == ColorInterp.blue
        assert dataset.nodata == 0
        assert dataset.tags(1)["K"] == "v"
        assert dataset.tags()["AREA_OR_POINT"] == "Point"
        assert dataset.read().min() > 0
    assert names(tmp_path) == ["a.tif"]


@pytest.mark.parametrize("driver", ["GTiff", "COG"])
@pytest.mark.parametrize("crs", ["+proj=tpers +h=5500000 +lat_0=40", "+proj=utm +zone=31 +vunits=m"])
def test_a_file_that_would_lose_its_crs_is_refused(tmp_path, crs, driver):
    grid = replace(GRID, crs=CRS.from_user_input(crs))
    with pytest.raises(OutputError, match=r"a\.tif: a GeoTIFF cannot hold PAN's CRS \(unknown\)"):
        with atomic_output(spec(tmp_path / "a.tif", grid=grid, driver=driver)) as output:
            fill(output)
    assert names(tmp_path) == []


@pytest.mark.parametrize("driver", ["GTiff", "COG"])
def test_a_file_that_would_lie_elsewhere_is_refused(tmp_path, monkeypatch, driver):
    asked = spec(tmp_path / "a.tif", driver=driver)
    elsewhere = replace(GRID, transform=GRID.transform * Affine.translation(0.5, 0))
    monkeypatch.setattr(
        "pancli.raster.output.create", lambda tiff, spec: create(tiff, replace(spec, grid=elsewhere))
    )
    with pytest.raises(OutputError, match="lies elsewhere than PAN"), atomic_output(asked) as output:
        fill(output)
    assert names(tmp_path) == []


def test_pixels_never_written_are_invalid(tmp_path):
    for nodata in (None, 7.0):
        path = tmp_path / f"{nodata}.tif"
        with atomic_output(spec(path, nodata=nodata)) as output:
            fill(output, stop=512)
        with rasterio.open(path) as dataset:
            valid = dataset.dataset_mask() > 0
        assert valid[:512].all()
        assert not valid[512:].any()


def test_where_nothing_is_valid_the_mask_says_so(tmp_path):
    path = tmp_path / "a.tif"
    with atomic_output(spec(path, nodata=None)):
        pass
    with rasterio.open(path) as dataset:
        assert not dataset.dataset_mask().any()


def test_invalid_pixels_are_never_passed_off_as_valid(tmp_path):
    with pytest.raises(OutputError, match="nowhere to say so"):
        with atomic_output(spec(tmp_path / "a.tif", nodata=None, masked=False)) as output:
            output.write(Window(0, 0, 4, 4), np.ones((2, 4, 4), "uint16"), np.eye(4) > 0)
    assert names(tmp_path) == []


def test_nothing_is_left_when_the_body_fails(tmp_path):
    with pytest.raises(RuntimeError), atomic_output(spec(tmp_path / "a.tif")) as output:
        fill(output, stop=300)
        raise RuntimeError
    assert names(tmp_path) == []


def test_an_existing_file_survives_and_is_replaced_only_when_told(tmp_path):
    path = tmp_path / "a.tif"
    path.write_text("old")
    with pytest.raises(OutputError, match="--overwrite"), atomic_output(spec(path)):
        pass
    with pytest.raises(RuntimeError), atomic_output(spec(path, overwrite=True)) as output:
        fill(output)
        raise RuntimeError
    assert path.read_text() == "old"
    with atomic_output(spec(path, overwrite=True)) as output:
        assert path.read_text() == "old"
        fill(output)
    assert rasterio.open(path).count == 2
    assert names(tmp_path) == ["a.tif"]


def test_what_gdal_would_take_for_a_part_of_it_goes_with_the_file_it_belonged_to(tmp_path):
    path = tmp_path / "a.tif"
    beside = [tmp_path / f"a.tif{ending}" for ending in (".aux.xml", ".ovr", ".msk", ".msk.ovr")]
    for old in beside:
        old.write_text("of another image")
        with pytest.raises(OutputError, match=f"{old.name} lies there"), atomic_output(spec(path)):
            pass
        old.unlink()
    for old in (path, *beside):
        old.write_text("of another image")
    with atomic_output(spec(path, overwrite=True)) as output:
        fill(output)
    assert names(tmp_path) == ["a.tif"]


@pytest.mark.parametrize("ending", [".RPB", "_rpc.txt", ".IMD"])
def test_what_gdal_would_believe_of_the_output_before_the_output_itself_is_refused_and_left(tmp_path, ending):
    beside = tmp_path / f"a{ending}"
    beside.write_text("of another image")
    for overwrite in (False, True):
        with (
            pytest.raises(OutputError, match=f"{beside.name} lies there"),
            atomic_output(spec(tmp_path / "a.tif", overwrite=overwrite)),
        ):
            pass
    with atomic_output(spec(tmp_path / f"b{ending}.tif")) as output:
        fill(output)
    assert names(tmp_path) == sorted([beside.name, f"b{ending}.tif"])


def test_a_name_for_which_there_is_no_room_is_refused(tmp_path):
    for name in ("a" * 250, "ä" * 125, "a" * 300, f"{'a' * 300}/a"):
        with pytest.raises(OutputError, match="its name is too long"), atomic_output(spec(tmp_path / name)):
            pass
    with atomic_output(spec(tmp_path / ("a" * 200))) as output:
        fill(output)
    assert names(tmp_path) == ["a" * 200]


def test_a_name_that_is_not_utf_8_is_refused_at_once(tmp_path):
    folder = tmp_path / "\udcff"
    folder.mkdir()
    for name in (tmp_path / "\udcff.tif", folder / "out.tif", folder / "out.png"):
        with pytest.raises(OutputError, match="not UTF-8"):
            check_output(name, overwrite=True)


def test_a_server_is_no_folder_but_a_folder_may_have_such_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("s3://bucket/a.tif", "https://host/a.tif", "/vsimem/a.tif", "/vsis3/bucket/a.tif"):
        with pytest.raises(OutputError, match="outputs are local files"), atomic_output(spec(Path(name))):
            pass
    for name in ("/vsistdout/", "/vsistdout", "/vsimem/", "/vsigzip"):  # nothing but their names is in /
        with pytest.raises(OutputError, match=f"{name.rstrip('/')}: outputs are local files"):
            check_output(Path(name), overwrite=False)
    (tmp_path / "odd:").mkdir()
    with atomic_output(spec(Path("odd:/a.tif"))) as output:
        fill(output)
    assert names(tmp_path / "odd:") == ["a.tif"]


def test_a_file_that_appears_meanwhile_is_kept(tmp_path):
    path = tmp_path / "a.tif"
    with pytest.raises(OutputError, match="appeared"), atomic_output(spec(path)) as output:
        fill(output)
        path.write_text("theirs")
    assert path.read_text() == "theirs"
    assert names(tmp_path) == ["a.tif"]


def test_without_hard_links_a_file_that_appears_meanwhile_is_kept_too(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    test_a_file_that_appears_meanwhile_is_kept(tmp_path)
    (tmp_path / "a.tif").unlink()
    with atomic_output(spec(tmp_path / "a.tif")) as output:
        fill(output)
    assert names(tmp_path) == ["a.tif"]


def test_what_a_companion_replaced_stays_when_the_output_fails(tmp_path):
    picture, hidden = tmp_path / "a.png", tmp_path / "hidden"
    picture.write_text("old")
    hidden.write_text("new")
    with pytest.raises(OutputError):
        commit_all([(hidden, picture), (tmp_path / "gone", tmp_path / "a.tif")], overwrite=True)
    assert names(tmp_path) == ["a.png"]
    assert picture.read_text() == "old"


def test_nothing_hidden_is_left_where_a_file_could_not_be_replaced(tmp_path):
    (tmp_path / "a.tif").write_text("old")
    with pytest.raises(OutputError):
        commit_all([(tmp_path / "gone", tmp_path / "a.tif")], overwrite=True)
    assert names(tmp_path) == ["a.tif"]


@pytest.mark.parametrize(
    ("dtype", "bits"),
    [
        ("uint16", "0"),
        ("uint16", "8"),
        ("uint16", "17"),
        ("int16", "12"),
        ("uint8", "x"),
        ("float32", "24"),
        ("float64", "16"),
    ],
)
def test_bits_that_a_file_cannot_have_are_refused(tmp_path, dtype, bits):
    with pytest.raises(OutputError, match=f"--co NBITS={bits}: for {dtype} must be"):
        with atomic_output(spec(tmp_path / "a.tif", dtype=dtype, creation={"nbits": bits})):
            pass


@pytest.mark.parametrize("driver", ["GTiff", "COG"])
def test_fewer_bits_must_hold_nodata_in_every_format(tmp_path, driver):
    asked = spec(tmp_path / "a.tif", driver=driver, creation={"NBITS": "12"})
    with atomic_output(asked) as output:
        fill(output)
    with rasterio.open(tmp_path / "a.tif") as dataset:
        assert dataset.tags(1, ns="IMAGE_STRUCTURE")["NBITS"] == "12"
    with pytest.raises(OutputError, match="cannot hold nodata 4096"):
        with atomic_output(replace(asked, nodata=4096.0, overwrite=True)):
            pass


@pytest.mark.parametrize(
    ("dtype", "creation"), [("float32", {"NBITS": "16"}), ("uint8", {"COMPRESS": "JPEG"})]
)
def test_what_rounds_numbers_cannot_have_a_nodata_value(tmp_path, dtype, creation):
    with pytest.raises(OutputError, match="does not keep nodata 7 .*--nodata none"):
        with atomic_output(spec(tmp_path / "a.tif", dtype=dtype, nodata=7.0, creation=creation)):
            pass


def test_an_old_output_survives_when_what_goes_beside_it_fails(tmp_path):
    path, picture = tmp_path / "a.tif", tmp_path / "a.png"
    path.write_text("old")
    beside = Companion(picture, lambda finished, target: target.touch())
    with pytest.raises(OutputError, match=r"a\.png: cannot be written"):
        with atomic_output(spec(path, overwrite=True, companions=(beside,))) as output:
            fill(output)
            picture.mkdir()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.png", "a.tif"]


def test_places_that_cannot_be_written_are_refused_at_once(tmp_path):
    for path, says in (
        (tmp_path, "is a directory"),
        (tmp_path / "none" / "a.tif", "does not exist"),
        ("/vsimem/a.tif", "local files"),
    ):
        with pytest.raises(OutputError, match=says), atomic_output(spec(type(tmp_path)(path))):
            pass


def test_an_unwritable_folder_is_refused(tmp_path, monkeypatch):
    # A folder of mode 0500 would do, but not where root runs the tests.
    monkeypatch.setattr("os.access", lambda path, mode: not (path == tmp_path and mode & os.W_OK))
    with (
        pytest.raises(OutputError, match="not readable and writable"),
        atomic_output(spec(tmp_path / "a.tif")),
    ):
        pass


def test_a_folder_that_may_not_be_entered_is_refused(tmp_path, monkeypatch):
    folder = bar(tmp_path / "closed", monkeypatch)
    for path in (folder / "a.tif", folder / "in" / "a.tif"):
        for overwrite in (False, True):
            with pytest.raises(OutputError, match=r"a\.tif: its folder .* may not be entered"):
                check_output(path, overwrite=overwrite)


def test_an_option_gdal_does_not_know_is_refused(tmp_path):
    for driver, option in (("GTiff", "COMPRESS"), ("GTiff", "FOO"), ("COG", "COMPRESS")):
        with pytest.raises(OutputError, match=f"--co: .*{option}"):
            with atomic_output(
                spec(tmp_path / "a.tif", driver=driver, creation={option: "SQUEEZE"})
            ) as output:
                fill(output)
    assert names(tmp_path) == []


@pytest.mark.parametrize("driver", ["GTiff", "COG"])
def test_what_an_output_cannot_be_is_known_before_there_is_one(tmp_path, driver):
    asked = spec(tmp_path / "none" / "a.tif", driver=driver)
    check_creation(asked)
    check_creation(replace(asked, creation={"COMPRESS": "LZW"}))
    for change in (
        {"creation": {"FOO": "1"}},
        {"grid": replace(GRID, crs=CRS.from_string("+proj=tpers +h=5e6"))},
    ):
        with pytest.raises(OutputError, match=r"option FOO|hold PAN's CRS"):
            check_creation(replace(asked, **change))
    assert names(tmp_path) == []


@pytest.mark.parametrize("side", ["0", "-16", "abc", "64", "200"])
def test_blocks_that_end_gdal_or_are_no_tiffs_are_refused(tmp_path, side):
    with pytest.raises(OutputError, match=f"BLOCKSIZE={side}: must be a multiple of 16 from 128"):
        check_creation(spec(tmp_path / "a.tif", driver="COG", creation={"BLOCKSIZE": side}))


def test_options_of_overviews_are_known_before_there_is_one(tmp_path):
    asked = spec(tmp_path / "a.tif", driver="COG", creation={"OVERVIEW_COUNT": "1"})
    for shape, overviews in (((2, 2), [2]), ((1, 1), [])):
        small = replace(asked, grid=replace(GRID, shape=shape), overwrite=True)
        check_creation(small)
        with atomic_output(small) as output:
            output.write(Window(0, 0, *shape), np.ones((2, *shape), np.uint16), np.ones(shape, np.bool_))
        with rasterio.open(asked.path) as dataset:
            assert dataset.overviews(1) == overviews
    with pytest.raises(OutputError, match="cannot be written .*FOO"):
        check_creation(replace(asked, creation={"RESAMPLING": "FOO"}))


@pytest.mark.parametrize("driver", ["GTiff", "COG"])
def test_only_what_no_output_could_have_is_refused_of_a_choice(tmp_path, driver):
    path = tmp_path / "a.tif"
    for creation in ({"NBITS": "12"}, {"COMPRESS": "JPEG"}, {"PREDICTOR": "3"}):
        check_choice(path, driver, creation, None)
    for creation, dtype in (({"FOO": "1"}, None), ({"NBITS": "12"}, "int16")):
        with pytest.raises(OutputError, match="FOO|NBITS"):
            check_choice(path, driver, creation, dtype)


@pytest.mark.parametrize("name", ["CRS", "dtype", "NODATA", "COUNT", "TRANSFORM", "MODE", "FP", "DRIVER"])
def test_what_is_no_option_of_gdals_does_not_reach_the_file(tmp_path, name):
    with pytest.raises(OutputError, match=f"--co {name.upper()}: is no creation option"):
        with atomic_output(spec(tmp_path / "a.tif", creation={name: "1"})):
            pass


@pytest.mark.parametrize("name", ["TILING_SCHEME", "TARGET_SRS", "res", "EXTENT"])
def test_a_cog_stays_on_its_grid(tmp_path, name):
    with pytest.raises(OutputError, match="lies on PAN's grid"):
        with atomic_output(spec(tmp_path / "a.tif", driver="COG", creation={name: "x"})):
            pytest.fail("refused too late")
    assert names(tmp_path) == []


def test_a_cog_may_be_told_that_it_stays_on_its_grid(tmp_path):
    asked = spec(tmp_path / "a.tif", driver="COG", creation={"TILING_SCHEME": "CUSTOM"})
    with atomic_output(asked) as output:
        fill(output)
    assert names(tmp_path) == ["a.tif"]


@pytest.mark.parametrize("driver", ["GTiff", "COG"])
@pytest.mark.parametrize("compress", ["NONE", "DEFLATE"])
@pytest.mark.parametrize("limit", [0, 3_000, 400_000, 1_200_000])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, driver, compress, limit):
    path = tmp_path / "a.tif"
    path.write_text("old")
    asked = spec(path, driver=driver, overwrite=True, creation={"COMPRESS": compress})
    with small_files(limit), pytest.raises(OutputError), atomic_output(asked) as output:
        fill(output)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.tif"]


@pytest.mark.parametrize("creation", [{}, {"COMPRESS": "NONE"}])
@pytest.mark.parametrize("driver", ["GTiff", "COG"])
def test_a_disk_too_small_for_the_mask_alone_is_an_error(tmp_path, driver, creation):
    """GDAL writes it when the pixels are all there, and only warns."""
    path = tmp_path / "a.tif"
    asked = spec(path, nodata=None, driver=driver, creation=creation, threads="1")

    def make():
        with atomic_output(asked) as output:
            valid = np.random.default_rng(1).random(GRID.shape) > 0.3
            output.write(GRID.window, np.where(valid, 7, 0)[None].repeat(2, 0).astype("uint16"), valid)

    make()
    size = path.stat().st_size
    path.unlink()
    for missing in (1, 100, 1000, 4000, 8000):
        with small_files(size - missing), pytest.raises(OutputError):
            make()
        assert names(tmp_path) == []


@pytest.mark.parametrize(("creation", "version"), [({}, 43), ({"BIGTIFF": "NO"}, 42)])
def test_what_may_pass_4_gb_is_a_bigtiff_unless_told_otherwise(tmp_path, creation, version):
    """Nothing is written into it, so that 6.4 GB of pixels are a file of some hundred KB."""
    path = tmp_path / "a.tif"
    grid = Grid(GRID.crs, GRID.transform, (40_000, 40_000))
    with atomic_output(spec(path, grid=grid, creation=creation)):
        pass
    assert path.read_bytes()[:4] == b"II" + bytes([version, 0])


def test_what_fits_is_a_plain_tiff(tmp_path):
    path = tmp_path / "a.tif"
    with atomic_output(spec(path)) as output:
        fill(output)
    assert path.read_bytes()[:4] == b"II*\0"


def test_a_cog_that_may_pass_4_gb_is_asked_for_as_bigtiff(tmp_path, monkeypatch):
    asked = {}
    copy = rasterio.shutil.copy
    monkeypatch.setattr(rasterio.shutil, "copy", lambda *a, **k: (asked.update(k), copy(*a, **k)))
    with atomic_output(spec(tmp_path / "a.tif", driver="COG")) as output:
        fill(output)
    assert asked["BIGTIFF"] == "IF_SAFER"


@pytest.mark.parametrize("nodata", [None, 0.0])
def test_the_overviews_of_a_cog_show_the_image_and_its_mask(tmp_path, nodata):
    path = tmp_path / "a.tif"
    with atomic_output(spec(path, driver="COG", nodata=nodata)) as output:
        flat = np.full((2, 512, 600), 900, "uint16")
        output.write(Window(0, 0, 512, 600), flat, np.ones((512, 600), bool))
    with rasterio.open(path) as dataset:
        assert dataset.overviews(1) == [2]
        small = dataset.read(1, out_shape=(350, 300), masked=True)
    assert (small[:256] == 900).all()
    assert small.mask[256:].all()
    assert not small.mask[:256].any()


def test_a_cog_satisfies_the_validator(tmp_path):
    from rio_cogeo.cogeo import cog_validate

    path = tmp_path / "a.tif"
    with atomic_output(spec(path, driver="COG")) as output:
        fill(output)
    valid, errors, warnings = cog_validate(path, strict=True, quiet=True)
    assert (valid, errors, warnings) == (True, [], [])
    assert names(tmp_path) == ["a.tif"]


@pytest.mark.parametrize("name", ["[1]*.tif", "$(id); a?.tif", "a|b>c`d`.tif"])
@pytest.mark.parametrize("stop", [None, 256])
def test_names_are_names_whatever_characters_they_have(tmp_path, name, stop):
    with pytest.raises(KeyboardInterrupt) if stop else nullcontext():
        with atomic_output(spec(tmp_path / name)) as output:
            fill(output, stop)
            if stop:
                raise KeyboardInterrupt
    assert names(tmp_path) == ([] if stop else [name])


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    others = (".a.tif.1234-0badcafe.tmp.tif", ".b.tif.123-0badcafe.tmp.tif", "a.tif")
    for name in (*others, ".a.tif.123-0badcafe.tmp.tif", ".a.tif.123-0badcafe.tmp.tif.msk"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path / "a.tif", 123)
    assert names(tmp_path) == sorted(others)
    remove_leftovers(tmp_path / "gone" / "a.tif", 123)


@pytest.mark.parametrize("nodata", [float("nan"), -9999.9, -3.40282346639e38, 7.0])
def test_blocks_of_nodata_alone_need_not_be_in_the_file(tmp_path, nodata):
    """GDAL writes no block that is all nodata; a window may hold such blocks beside others."""
    values = np.full((2, *GRID.shape), nodata, np.float32)
    values[:, 600:, 550:] = 5
    path = tmp_path / "a.tif"
    with atomic_output(spec(path, dtype="float32", nodata=nodata)) as output:
        output.write(GRID.window, values, values[0] == 5)
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(), values)
        assert (dataset.dataset_mask() > 0).sum() == (values[0] == 5).sum()


@pytest.mark.parametrize(
    "creation", [{"TILED": "NO"}, {"TILED": "no", "BLOCKYSIZE": "16", "COMPRESS": "NONE"}]
)
def test_strips_are_written_where_they_are_asked_for(tmp_path, creation):
    path = tmp_path / "a.tif"
    with atomic_output(spec(path, creation=creation)) as output:
        fill(output)
    with rasterio.open(path) as dataset:
        assert dataset.block_shapes[0][1] == GRID.shape[1]
        assert dataset.read().min() > 0


@pytest.mark.parametrize("option", ["TFW", "WORLDFILE", "RPB", "PROFILE"])
def test_options_whose_files_would_be_lost_are_refused(tmp_path, option):
    value = "BASELINE" if option == "PROFILE" else "YES"
    with pytest.raises(OutputError, match=f"--co {option}={value}"):
        with atomic_output(spec(tmp_path / "a.tif", creation={option: value})) as output:
            fill(output)
    assert names(tmp_path) == []


def test_three_colours_are_an_rgb_image(tmp_path):
    colours = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    bands = tuple(OutputBand(colour.name, colorinterp=colour) for colour in colours)
    path = tmp_path / "a.tif"
    with atomic_output(spec(path, dtype="float32", bands=bands, nodata=None, masked=False)) as output:
        output.write(GRID.window, np.ones((3, *GRID.shape), np.float32), np.ones(GRID.shape, bool))
    with rasterio.open(path) as dataset:
        assert dataset.colorinterp == colours

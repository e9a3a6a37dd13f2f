"""Tiles, consistency, all-or-nothing, self-description: what must hold for every method."""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import tarfile
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import torch
from affine import Affine
from shapely import affinity
from shapely.geometry import MultiPolygon, box, mapping

from pancli import __version__
from pancli.device import CPU
from pancli.encoding import Encoding
from pancli.errors import InputError, MethodError, OutputError, PancliError, UsageError
from pancli.methods.protocol import Sample
from pancli.raster.names import spare_inputs
from pancli.raster.output import Output
from pancli.raster.pair import Pair, PairOptions, open_pair
from pancli.sharpening import SharpenOptions, plan_sharpening, sharpen
from pancli.sharpening import run as running
from pancli.sharpening.catalog import describe_methods, method_names, open_method
from tests.scenes import make_scene, read, write

METHODS = method_names()
TAKEN = {row["name"]: (row["ratios"][0], row["ratios"][1] or math.inf) for row in describe_methods()}


@pytest.mark.parametrize(
    ("method", "ratio"),
    [
        (name, ratio)
        for name in METHODS
        for ratio in (4.0, 29.9 / 14.99)
        if TAKEN[name][0] <= ratio <= TAKEN[name][1]
    ]
    + [("bandset", 6.0)],
)
def test_tile_size_does_not_show(tmp_path, method, ratio):
    scene = make_scene(tmp_path, size=(72, 230), ratio=ratio, ms_offset=(-3.3, -1.7), ms_size=(44, 130))
    fused = {}
    for size in (64, 512):
        out = tmp_path / f"{size}.tif"
        options = SharpenOptions(method=method, tile=size, dtype="float32")
        sharpen(str(scene.pan), [str(scene.ms)], out, options)
        fused[size] = read(out)
    whole = fused[512]
    assert np.abs(fused[64] - whole).max() < 1e-4 * np.ptp(whole)
    steps = np.abs(np.rint(fused[64]) - np.rint(whole))  # as whole numbers would be stored
    assert steps.max() <= 1
    assert (steps > 0).mean() <= 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_a_constant_pair_stays_constant(tmp_path, method):
    scene = make_scene(tmp_path)
    write(scene.pan, np.full_like(scene.pan_image, 700), scene.pan_transform)
    levels = np.array([300, 500, 900, 1200], np.uint16)[:, None, None]
    write(scene.ms, np.broadcast_to(levels, scene.ms_image.shape), scene.ms_transform)
    out = tmp_path / "out.tif"
    sharpen(str(scene.pan), [str(scene.ms)], out, SharpenOptions(method=method))
    fused = read(out)
    assert np.ptp(fused, axis=(1, 2)).max() == 0
    if method != "gdal":  # GDAL's Brovey takes pan's level for the bands' level
        assert fused[:, 0, 0].tolist() == [300, 500, 900, 1200]


def test_bands_keep_what_they_say_of_themselves(tmp_path):
    scene = make_scene(tmp_path)
    with rasterio.open(scene.ms, "r+") as dataset:
        dataset.scales, dataset.offsets = (0.1, 0.2, 0.3, 0.4), (1, 2, 3, 4)
        dataset.colorinterp = [rasterio.enums.ColorInterp[c] for c in ("blue", "green", "red", "undefined")]
        dataset.update_tags(ACQUIRED="2026-05-04")
        dataset.update_tags(2, WAVELENGTH="560")
        dataset.set_band_unit(1, "DN")
        before = dataset.colorinterp
    out = tmp_path / "out.tif"
    sharpen(str(scene.pan), [str(scene.ms)], out, SharpenOptions(method="brovey"))
    with rasterio.open(out) as dataset:
        assert dataset.descriptions == ("band 1", "band 2", "band 3", "band 4")
        assert dataset.scales == (0.1, 0.2, 0.3, 0.4)
        assert dataset.offsets == (1, 2, 3, 4)
        assert dataset.colorinterp == before
        assert dataset.units[0] == "DN"
        assert dataset.tags(2)["WAVELENGTH"] == "560"
        assert dataset.tags()["ACQUIRED"] == "2026-05-04"
        assert set(dataset.dtypes) == {"uint16"}


def test_the_file_explains_itself(scene, tmp_path):
    out = tmp_path / "out.tif"
    options = SharpenOptions(sensor="ikonos", pair=PairOptions(bidx=(3, 2, 1)), coregister=(0.5, -1.0))
    sharpen(str(scene.pan), [str(scene.ms)], out, options)
    with rasterio.open(out) as dataset:
        tags = dataset.tags()
        assert dataset.descriptions == ("band 3", "band 2", "band 1")
    assert tags["PANCLI_VERSION"] == __version__
    assert tags["PANCLI_METHOD"] == "bandset"
    weights = next(row for row in describe_methods() if row["name"] == "bandset")
    assert weights["kind"] == "network"
    assert len(tags["PANCLI_WEIGHTS_SHA256"]) == 64
    told = json.loads(tags["PANCLI_OPTIONS"])
    assert (told["sensor"], told["bidx"]) == ("ikonos", [3, 2, 1])
    assert tags["PANCLI_SHIFT"] == "0.5,-1"
    assert (tags["PANCLI_PAN"], tags["PANCLI_MS"]) == ("pan.tif", "ms.tif")


def test_the_same_call_makes_the_same_bytes(scene, tmp_path):
    digests = set()
    for name in ("a.tif", "b.tif"):
        sharpen(str(scene.pan), [str(scene.ms)], tmp_path / name, SharpenOptions(method="gsa", tile=64))
        digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert len(digests) == 1


def break_at(monkeypatch, stage, error):
    """Make a stage of the pipeline fail at its second tile."""
    calls = []

    def failing(original):
        def wrapper(*args, **kwargs):
            calls.append(1)
            if len(calls) >= 2:
                raise error
            return original(*args, **kwargs)

        return wrapper

    owner, name = {
        "read": (Pair, "read_pan"),
        "fuse": (running, "_fuse_one"),
        "encode": (Encoding, "__call__"),
        "write": (Output, "write"),
    }[stage]
    monkeypatch.setattr(owner, name, failing(getattr(owner, name)))


@pytest.mark.parametrize("stage", ["read", "fuse", "encode", "write"])
@pytest.mark.parametrize(
    "error", [InputError("bad"), OutputError("full"), KeyboardInterrupt(), MemoryError(), RuntimeError("bug")]
)
def test_a_failure_anywhere_leaves_the_old_output_alone(monkeypatch, tmp_path, stage, error):
    scene = make_scene(tmp_path / "scene")
    folder = tmp_path / "out"
    folder.mkdir()
    out = folder / "out.tif"
    out.write_text("old")
    break_at(monkeypatch, stage, error)
    with pytest.raises(type(error)):
        options = SharpenOptions(method="brovey", tile=64, overwrite=True)
        sharpen(str(scene.pan), [str(scene.ms)], out, options)
    assert out.read_text() == "old"
    assert [p.name for p in folder.iterdir()] == ["out.tif"]
    assert not [t for t in threading.enumerate() if t.name.startswith("pancli") and t.is_alive()]


def test_a_plan_says_what_will_be_done(scene, tmp_path):
    options = SharpenOptions(method="gsa", tile=64)
    with plan_sharpening(str(scene.pan), [str(scene.ms)], tmp_path / "out.tif", options) as plan:
        told = json.loads(json.dumps(plan.as_dict(), allow_nan=False))
    assert told["grid"]["crs"] == "EPSG:32633"
    assert told["grid"]["transform"] == list(scene.pan_transform)[:6]
    assert told["tiles"]["count"] == 9
    assert told["output_bytes_uncompressed"] == 160 * 192 * 4 * 2
    assert told["ratio"] == [4, 4]
    assert not (tmp_path / "out.tif").exists()


def test_memory_decides_the_tile(scene, tmp_path):
    def tile(megabytes):
        options = SharpenOptions(method="mtf-glp", max_memory=megabytes)
        with plan_sharpening(str(scene.pan), [str(scene.ms)], tmp_path / "out.tif", options) as plan:
            return plan.tile_size

    assert tile(4096) == 512
    assert tile(80) < 512
    with pytest.raises(UsageError, match=r"--max-memory 65: mtf-glp needs at least \d+ MB"):
        tile(65)


@pytest.mark.parametrize(("method", "asked"), [("gsa", {}), ("mtf-glp", {"tile": 64}), ("bandset", {})])
@pytest.mark.parametrize("given", [1024, 200])
def test_the_memory_a_plan_asks_for_is_what_it_needs(scene, tmp_path, method, asked, given):
    def told(megabytes):
        options = SharpenOptions(method=method, max_memory=megabytes, device="cpu", **asked)
        with plan_sharpening(str(scene.pan), [str(scene.ms)], tmp_path / "out.tif", options) as plan:
            return plan.as_dict()

    plan = told(given)
    assert told(plan["memory_mb"]) == plan
    if asked:
        with pytest.raises(UsageError, match=f"needs at least {plan['memory_mb']} MB"):
            told(plan["memory_mb"] - 1)
    else:
        assert told(plan["memory_mb"] - 1)["tiles"]["size"] < plan["tiles"]["size"]


@pytest.mark.parametrize(
    ("method", "rounds", "side"), [("gsa", 3, 512), ("bandset", 3, 1024), ("gsa", 5, 1024)]
)
def test_wide_margins_ask_for_large_tiles(scene, tmp_path, method, rounds, side):
    options = SharpenOptions(method=method, back_project=rounds)
    with plan_sharpening(str(scene.pan), [str(scene.ms)], tmp_path / "out.tif", options) as plan:
        assert plan.tile_size == side


@pytest.mark.parametrize(
    ("method", "rounds", "asked", "computing"),
    [("brovey", None, 4, 2), ("brovey", 1, 4, 2), ("brovey", None, 1, 1), ("bandset", None, 4, 4)],
)
def test_threads_are_left_to_compression_where_little_is_computed(
    scene, tmp_path, monkeypatch, method, rounds, asked, computing
):
    before, seen = torch.get_num_threads(), []
    encode = Encoding.__call__

    def watched(self, fused, valid):
        seen.append(torch.get_num_threads())
        return encode(self, fused, valid)

    monkeypatch.setattr(Encoding, "__call__", watched)
    options = SharpenOptions(method=method, back_project=rounds, threads=asked, device="cpu")
    sharpen(str(scene.pan), [str(scene.ms)], tmp_path / "fused.tif", options)
    assert set(seen) == {computing}
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(("method", "little"), [("gsa", 70), ("gcpnet", 200), ("bandset", 165)])
def test_little_memory_makes_the_same_image(scene, tmp_path, method, little):
    images = {}
    for megabytes in (little, 1024):
        out = tmp_path / f"{megabytes}.tif"
        options = SharpenOptions(method=method, max_memory=megabytes, dtype="float32")
        with plan_sharpening(str(scene.pan), [str(scene.ms)], out, options) as plan:
            assert (plan.scene.fit_tile < 160) == (megabytes == little)
        sharpen(str(scene.pan), [str(scene.ms)], out, options)
        images[megabytes] = read(out)
    assert np.abs(images[little] - images[1024]).max() < 1e-4 * np.ptp(images[1024])


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"method": "magic"}, UsageError, "--method magic.*gsa"),
        ({"device": "tpu"}, UsageError, "--device tpu"),
        ({"device": "cuda:99"}, UsageError, "CUDA devices"),
        ({"precision": "float8"}, UsageError, "--precision"),
        ({"method": "gsa", "precision": "bfloat16"}, UsageError, "for networks"),
        ({"driver": "PNG"}, UsageError, "--of PNG"),
        ({"dtype": "complex64"}, UsageError, "--dtype"),
        ({"tile": 8}, UsageError, "--tile 8"),
        ({"max_memory": 0}, UsageError, "--max-memory"),
        ({"threads": 0}, UsageError, "--num-threads"),
        ({"extent": "all"}, UsageError, "--spatial-extent"),
        ({"sensor": "hubble"}, UsageError, "unknown sensor.*ikonos"),
        ({"bbox": (0, 0, 1, 1), "aoi": "x"}, UsageError, "give one"),
        ({"bbox": (0, 0, 1, 1)}, PancliError, "does not meet"),
        ({"pair": PairOptions(nodata=-1.0)}, UsageError, "does not fit"),
        ({"pair": PairOptions(nodata=float("nan"))}, UsageError, "does not fit"),
        ({"method": "gdal", "coregister": (1.0, 0.0)}, UsageError, "--coregister"),
        ({"coregister": "Auto"}, UsageError, "--coregister Auto: must be none, auto, pan"),
        ({"coregister": [1.0, 0.0]}, UsageError, "--coregister .1.0, 0.0.: must be"),
        ({"coregister": (1.0,)}, UsageError, "--coregister .1.0,.: must be"),
        ({"coregister": ("1", "0")}, UsageError, "--coregister .*: must be"),
        ({"coregister": (float("nan"), 0.0)}, UsageError, "--coregister .nan, 0.0.: must be"),
    ],
)
def test_bad_options_are_refused_before_anything_is_written(scene, tmp_path, changes, error, says):
    out = tmp_path / "out.tif"
    with pytest.raises(error, match=says):
        sharpen(str(scene.pan), [str(scene.ms)], out, SharpenOptions(**({"method": "exp"} | changes)))
    assert not out.exists()


@pytest.mark.parametrize("name", ["out.png", "out.JP2", "out.vrt"])
def test_a_name_that_says_another_format_is_refused(scene, tmp_path, name):
    with pytest.raises(OutputError, match=r"name it \.tif"):
        sharpen(str(scene.pan), [str(scene.ms)], tmp_path / name, SharpenOptions(method="exp"))
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("name", ["out.TIFF", "out", "scene.2026-11-22"])
def test_a_name_that_says_no_other_format_is_taken(scene, tmp_path, name):
    sharpen(str(scene.pan), [str(scene.ms)], tmp_path / name, SharpenOptions(method="exp"))
    with rasterio.open(tmp_path / name) as image:
        assert image.driver == "GTiff"


@pytest.mark.parametrize(("method", "ratio"), [("bandset", 16), ("pannet", 2)])
def test_a_ratio_the_network_was_not_made_for_is_refused(tmp_path, method, ratio):
    scene = make_scene(tmp_path, ratio=float(ratio))
    with pytest.raises(MethodError, match=rf"{method} takes ratios .* this pair has {ratio}"):
        sharpen(str(scene.pan), [str(scene.ms)], tmp_path / "out.tif", SharpenOptions(method=method))


@pytest.mark.parametrize(("method", "ratio"), [("exp", 1.5), ("bandset", 1.9), ("bandset", 6.1)])
def test_the_smallest_and_the_largest_ratio_are_taken_however_geotransforms_round(tmp_path, method, ratio):
    for pixel in (15.0, 30.0, 0.3):
        scene = make_scene(tmp_path, size=(48, 48), ratio=ratio, pixel=pixel, origin=(123456.7, 4567890.1))
        a, b, c, d, e, f = scene.ms_transform[:6]
        for nudge in (1 - 1e-9, 1 + 1e-9):
            write(scene.ms, scene.ms_image, Affine(a * nudge, b, c, d, e * nudge, f))
            options = SharpenOptions(method=method)
            with plan_sharpening(str(scene.pan), [str(scene.ms)], tmp_path / "out.tif", options) as plan:
                assert plan.scene.info.placement.ratio == pytest.approx(ratio)


def test_every_method_is_listed_with_what_it_takes(scene):
    rows = {row["name"]: row for row in describe_methods()}
    assert list(rows) == METHODS
    for row in rows.values():
        assert row["summary"]
        assert row["source"]
        assert row["radius"] >= 0
    with open_pair(str(scene.pan), [str(scene.ms)]) as pair:
        for name in METHODS:
            with open_method(replace(SharpenOptions(), method=name), pair, CPU) as method:
                assert method.name == name


@pytest.mark.parametrize("bands", [1, 3, 8])
def test_any_number_of_bands(tmp_path, bands):
    scene = make_scene(tmp_path, size=(48, 64), bands=bands)
    for method in METHODS:
        out = tmp_path / f"{method}.tif"
        sharpen(str(scene.pan), [str(scene.ms)], out, SharpenOptions(method=method))
        assert read(out).shape == (bands, 48, 64)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_types_come_out_as_they_went_in(tmp_path, dtype):
    scene = make_scene(tmp_path / "a", dtype="float32")
    scale = {"uint8": 0.1, "int16": 1.0, "float32": 1e-4}[dtype]
    shift = -1200 if dtype == "int16" else 0
    pan, ms = (image * scale + shift for image in (scene.pan_image, scene.ms_image))
    write(scene.pan, pan.astype(dtype), scene.pan_transform)
    write(scene.ms, ms.astype(dtype), scene.ms_transform)
    out = tmp_path / "out.tif"
    sharpen(str(scene.pan), [str(scene.ms)], out, SharpenOptions(method="gsa"))
    with rasterio.open(out) as dataset:
        assert set(dataset.dtypes) == {dtype}
    error = np.abs(read(out) - (scene.truth * scale + shift))
    assert error.mean() < 0.05 * np.std(scene.truth) * scale + 1


def test_bands_of_several_types_come_out_in_one_that_holds_them_all(tmp_path):
    scene = make_scene(tmp_path)
    small = write(tmp_path / "small.tif", (scene.ms_image[:1] / 16).astype(np.uint8), scene.ms_transform)
    large = write(tmp_path / "large.tif", scene.ms_image[1:2], scene.ms_transform)
    out = tmp_path / "out.tif"
    report = sharpen(str(scene.pan), [str(small), str(large)], out, SharpenOptions(method="exp"))
    assert report.dtype == "uint16"
    assert read(out)[1].max() > 255


def test_nothing_that_goes_in_is_written_over(scene, tmp_path):
    area = tmp_path / "farm.json"
    ring = [[500010, 3999990], [500060, 3999990], [500060, 3999940], [500010, 3999990]]
    told = {"type": "Polygon", "coordinates": [ring]}
    area.write_text(json.dumps(told | {"crs": {"type": "name", "properties": {"name": "EPSG:32633"}}}))
    asked = SharpenOptions(method="exp", overwrite=True)
    for out, options in (
        (scene.ms, asked),
        (scene.pan.parent / "x" / ".." / "pan.tif", asked),
        (tmp_path / "farm.tif", replace(asked, aoi=area, stac=True)),
    ):
        (scene.pan.parent / "x").mkdir(exist_ok=True)
        before = {path: path.read_bytes() for path in (scene.pan, scene.ms, area)}
        with pytest.raises(OutputError, match="is an input; name another output"):
            sharpen(str(scene.pan), [str(scene.ms)], out, options)
        assert before == {path: path.read_bytes() for path in before}


def test_gdal_is_not_given_images_that_run_northwards(tmp_path):
    base = Affine(0.5, 0, 500000, 0, 0.5, 4000000)
    scene = make_scene(tmp_path, base=base)
    with pytest.raises(MethodError, match="run northwards; use --method brovey"):
        sharpen(str(scene.pan), [str(scene.ms)], tmp_path / "o.tif", SharpenOptions(method="gdal"))


def test_where_gdal_leaves_pixels_out_they_are_not_taken_for_black(tmp_path):
    """Its extent is cut to whole pan pixels from where ms begins."""
    scene = make_scene(tmp_path, size=(192, 192), ms_size=(20, 20), ms_offset=(0.5, 0.5))
    with pytest.raises(MethodError, match=r"in common, the rest would be empty; use --method brovey"):
        sharpen(str(scene.pan), [str(scene.ms)], tmp_path / "o.tif", SharpenOptions(method="gdal"))


@pytest.mark.parametrize(
    ("pan", "ms", "lost", "negative"),
    [
        (("uint16", 1, 0), ("int16", 1, -3000), "PAN", True),
        (("uint16", 1, 0), ("float32", 4000, 0), "PAN", False),
        (("float32", 10000, 0), ("uint16", 1, 0), "MS", False),
        (("uint16", 1, 0), ("uint8", 8, 0), "MS", False),
        (("int16", 1, -900), ("int16", 1, -900), "", True),
        (("int16", 1, 0), ("int16", 1, 0), "", False),
        (("uint16", 1, 0), ("float32", 1, 0), "", False),
        (("float32", 1, -3000), ("int16", 1, -3000), "", False),
    ],
)
def test_what_gdal_makes_nothing_of_is_told(tmp_path, pan, ms, lost, negative):
    scene = make_scene(tmp_path)
    images = {"pan": scene.pan_image, "ms": scene.ms_image}
    for name, (dtype, divided, moved) in (("pan", pan), ("ms", ms)):
        image = (images[name] / divided + moved).astype(dtype)
        write(getattr(scene, name), image, getattr(scene, f"{name}_transform"))
    report = sharpen(str(scene.pan), [str(scene.ms)], tmp_path / "o.tif", SharpenOptions(method="gdal"))
    told = " ".join(report.warnings)
    assert ("the type of PAN, which does not hold them" in told) == (lost == "PAN")
    assert ("not hold them; convert MS" in told) == (lost == "MS")
    assert ("is negative in places" in told) == negative
    if not lost and not negative:  # GDAL does well, and not only by its own word
        sharpen(str(scene.pan), [str(scene.ms)], tmp_path / "b.tif", SharpenOptions(method="brovey"))
        assert np.isclose(read(tmp_path / "o.tif"), read(tmp_path / "b.tif"), atol=30).mean() > 0.99


def test_what_an_input_is_made_of_is_not_written_over(scene, tmp_path):
    part, inner, outer = (tmp_path / name for name in ("part.tif", "inner.vrt", "outer.vrt"))
    part.write_bytes(scene.ms.read_bytes())
    for vrt, of in ((inner, part), (outer, inner)):
        rasterio.shutil.copy(of, vrt, driver="VRT")
    before = part.read_bytes()
    # What GDAL would take for a part of an output is removed with the file that is replaced.
    beside = tmp_path / "part.tif.msk"
    beside.write_bytes(before)
    with pytest.raises(OutputError, match=r"part\.tif\.msk: is an input"):
        sharpen(str(scene.pan), [str(beside)], part, SharpenOptions(method="exp", overwrite=True))
    beside.unlink()
    named = [str(inner), str(outer), f"vrt://{part}?bands=1,2", f"file://{part}", f"GTIFF_DIR:1:{part}"]
    xml = inner.read_text().replace('relativeToVRT="1">part.tif', f'relativeToVRT="0">{part}')
    for ms in (*named, xml):
        with pytest.raises(OutputError, match="part.tif: is an input; name another output"):
            sharpen(str(scene.pan), [ms], part, SharpenOptions(method="exp", overwrite=True))
    assert part.read_bytes() == before


def test_an_archive_that_holds_an_input_is_not_written_over(scene, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("d.zip", "w") as archive:
        archive.write(scene.ms, "in/ms.tif")
    with zipfile.ZipFile("o.zip", "w") as archive:
        archive.write("d.zip")
    with tarfile.open("d.tar", "w") as archive:
        archive.add(scene.ms, "ms.tif")
    Path("ms.gz").write_bytes(gzip.compress(scene.ms.read_bytes(), 1))
    rasterio.shutil.copy("/vsizip/d.zip/in/ms.tif", "ms.vrt", driver="VRT")
    for ms, holder in (
        ("/vsizip/d.zip/in/ms.tif", "d.zip"),
        (f"/vsizip/{tmp_path}/d.zip/in/ms.tif", "d.zip"),
        ("/vsizip/{d.zip}/in/ms.tif,band=1", "d.zip"),
        ("/vsizip/{/vsizip/o.zip/d.zip}/in/ms.tif", "o.zip"),
        (f"zip://{tmp_path}/d.zip!in/ms.tif", "d.zip"),
        ("vrt:///vsizip/d.zip/in/ms.tif?bands=1,2", "d.zip"),
        ("ms.vrt", "d.zip"),
        ("/vsitar/d.tar/ms.tif", "d.tar"),
        (f"tar://{tmp_path}/d.tar!ms.tif", "d.tar"),
        ("/vsigzip/ms.gz", "ms.gz"),
        ("/vsisubfile/0_99999999,ms.gz", "ms.gz"),
        ("/vsicached?file=ms.gz&chunk_size=65536", "ms.gz"),
    ):
        with pytest.raises(OutputError, match=f"{holder}: is an input; name another output"):
            spare_inputs([Path(holder)], [ms])
        spare_inputs([scene.pan], [ms])
    with pytest.raises(OutputError, match=r"d\.zip: is an input"):
        asked = SharpenOptions(method="exp", overwrite=True)
        sharpen(str(scene.pan), ["/vsizip/d.zip/in/ms.tif"], "d.zip", asked)


@pytest.mark.parametrize("fill", [-1.7976931348623157e308, -3.4e38, 1e300, np.inf])
def test_fill_values_without_a_tag_are_not_valid(tmp_path, fill, recwarn):
    scene = make_scene(tmp_path, dtype="float64")
    ms = scene.ms_image.copy()
    ms[:, :8, :8] = fill
    write(scene.ms, ms, scene.ms_transform)
    out = tmp_path / "out.tif"
    sharpen(str(scene.pan), [str(scene.ms)], out, SharpenOptions(method="gsa"))
    with rasterio.open(out) as dataset:
        valid = dataset.dataset_mask() > 0
    assert not valid[:32, :32].any() and valid[32:].all() and valid[:, 32:].all()
    assert not [str(w.message) for w in recwarn if "overflow" in str(w.message)]


def polygons(path, transform, *boxes):
    """GeoJSON of (row, col, height, width) boxes."""
    shapes = [box(col, row, col + width, row + height) for row, col, height, width in boxes]
    ground = affinity.affine_transform(MultiPolygon(shapes), transform.to_shapely())
    crs = {"type": "name", "properties": {"name": "EPSG:32633"}}
    path.write_text(json.dumps(mapping(ground) | {"crs": crs}))
    return path


def test_statistics_are_of_the_blocks_that_polygons_touch_and_not_of_what_lies_between(tmp_path):
    """Two corners of a scene with something bright between them; only tiles that they touch are fused."""
    scene = make_scene(tmp_path, size=(1200, 600))
    pan = scene.pan_image.copy()
    pan[520:1000] = 30000
    write(scene.pan, pan, scene.pan_transform)
    area = polygons(tmp_path / "corners.json", scene.pan_transform, (0, 0, 40, 40), (1100, 550, 40, 40))
    options = SharpenOptions(method="gsa", aoi=area, tile=64)
    with plan_sharpening(str(scene.pan), [str(scene.ms)], tmp_path / "out.tif", options) as plan:
        assert len(plan.tiles) == 3
        seen = [image.tile.core for image in plan.scene.tiles(0)]
        seen += [image.tile.core for image in plan.scene.tiles(0, Sample(2, 100))]
        assert not any(core.row >= 512 and core.row_stop <= 1024 for core in seen)
    sharpen(str(scene.pan), [str(scene.ms)], tmp_path / "out.tif", options)
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert (dataset.dataset_mask() > 0).sum() == 2 * 40 * 40


@pytest.mark.parametrize("method", ["gsa", "bandset"])
def test_a_polygon_may_be_narrower_than_an_ms_pixel(scene, tmp_path, method):
    area = tmp_path / "path.json"
    corners = [(10 + 2 * side, 20 - 2 * side, 1, 1) for side in range(3)]
    strip = MultiPolygon([box(c, r, c + 2, r + 2) for r, c, _, _ in corners]).convex_hull
    strip = strip.union(affinity.translate(strip, 100, 100)).convex_hull
    ground = affinity.affine_transform(strip, scene.pan_transform.to_shapely())
    crs = {"type": "name", "properties": {"name": "EPSG:32633"}}
    area.write_text(json.dumps(mapping(ground) | {"crs": crs}))
    out = tmp_path / "out.tif"
    sharpen(str(scene.pan), [str(scene.ms)], out, SharpenOptions(method=method, aoi=area))
    with rasterio.open(out) as dataset:
        assert (dataset.dataset_mask() > 0).sum() > 100


@pytest.mark.parametrize(("bidx", "gains"), [((), (0.34, 0.32, 0.30, 0.22)), ((4, 1), (0.22, 0.34))])
def test_a_band_has_its_own_gain_wherever_it_is_put(scene, tmp_path, bidx, gains):
    options = SharpenOptions(method="gsa", sensor="quickbird", pair=PairOptions(bidx=bidx))
    with plan_sharpening(str(scene.pan), [str(scene.ms)], tmp_path / "out.tif", options) as plan:
        assert plan.scene.info.gains == gains
    options = replace(options, pair=PairOptions())
    together = [f"{scene.ms}{''.join(f',band={number}' for number in bidx)}"]
    apart = [f"{scene.ms},band={number}" for number in bidx] or together
    for ms in (together, apart):
        with plan_sharpening(str(scene.pan), ms, tmp_path / "out.tif", options) as plan:
            assert plan.scene.info.gains == gains


@pytest.mark.parametrize(("sensor", "told"), [("worldview2", 1), ("quickbird", 0), ("generic", 0)])
def test_a_mean_gain_is_not_taken_without_a_word(scene, tmp_path, sensor, told):
    options = SharpenOptions(method="gsa", sensor=sensor)
    said = sharpen(str(scene.pan), [str(scene.ms)], tmp_path / "out.tif", options).warnings
    assert sum("not named as its own; their mean gain" in warning for warning in said) == told

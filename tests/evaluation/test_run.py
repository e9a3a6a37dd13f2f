from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillWaiting
from dataclasses import replace
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine

from pancli.errors import DeviceError, OutputError, PairError, UsageError
from pancli.evaluation import EvaluateOptions, evaluate
from pancli.evaluation.images import EvaluationTile
from pancli.evaluation.measure import _reduced
from pancli.evaluation.report import append_row, check_csv, csv_columns
from pancli.metrics.quality_index import sliding_quality
from pancli.metrics.structure import edge_strength, local_correlation, ssim_map
from pancli.metrics.windows import whole_windows
from pancli.raster import env
from pancli.raster.env import without_georeferencing
from pancli.raster.pair import PairOptions
from pancli.scene import array_scene
from pancli.sharpening import SharpenOptions, sharpen
from pancli.tiling import plan_tiles
from tests.scenes import Waves, make_scene, read, write
from tests.strips import COUNTED, bytes_read, in_strips


def values(report):
    return {key: figure.value for key, figure in report.figures.items()}


@pytest.fixture
def fused(scene, tmp_path):
    """The truth with errors, so that no figure is perfect."""
    noise = np.random.default_rng(2).normal(0, 12, scene.truth.shape)
    return write(tmp_path / "fused.tif", (1.02 * scene.truth + noise).astype("float32"), scene.pan_transform)


@pytest.fixture
def truth(scene, tmp_path):
    return write(tmp_path / "truth.tif", scene.truth.astype("float32"), scene.pan_transform)


def run(scene, fused, reference=None, **options):
    chosen: dict[str, Any] = {"block": 16, "peak": 2047.0, "device": "cpu", **options}
    asked = EvaluateOptions(**chosen)
    reference = None if reference is None else str(reference)
    return evaluate(str(fused), str(scene.pan), [str(scene.ms)], reference, asked)


@pytest.mark.parametrize(
    ("holes", "block"), [(True, 16), (False, 8), (False, 24)]
)  # 24: half a block is left
def test_no_figure_depends_on_the_tile_size(scene, fused, truth, holes, block):
    if holes:
        image = scene.pan_image.astype("float32")
        image[40:43, 70:75] = np.nan
        write(scene.pan, image, scene.pan_transform)
    whole = run(scene, fused, truth, tile=4096, block=block)
    tiled = run(scene, fused, truth, tile=50, block=block)
    assert None not in values(whole).values()
    assert values(tiled) == pytest.approx(values(whole), rel=1e-9, abs=1e-12)
    assert tiled.valid_pixels == whole.valid_pixels == 160 * 192 - 15 * holes
    every = (160 // block) * (192 // block)
    assert tiled.blocks == whole.blocks == (every - holes, every)


def test_every_window_counts_once(scene, fused, truth):
    x, y = (torch.from_numpy(read(path)) for path in (fused, truth))
    pan = torch.from_numpy(scene.pan_image[None].astype(float))
    a, b = edge_strength(x), edge_strength(y)
    expected = {
        "ssim": float(ssim_map(x, y, 2047.0).mean()),
        "q": float(sliding_quality(x, y, 16).mean()),
        "d_rho": float((1 - local_correlation(x, pan, 2)).mean()),
        "scc": float((a * b).sum() / (a.norm() * b.norm())),
    }
    found = values(run(scene, fused, truth, tile=48))
    assert {key: found[key] for key in expected} == pytest.approx(expected, rel=1e-9)


def test_a_perfect_image_is_perfect(scene, truth):
    found = values(run(scene, truth, truth))
    assert found["psnr"] is None
    assert (found["rmse"], found["sam"], found["ergas"]) == pytest.approx((0, 0, 0), abs=1e-9)
    for key in ("ssim", "q", "q2n", "scc", "cc"):
        assert found[key] == pytest.approx(1, abs=1e-9)


def test_what_ms_averages_from_is_consistent_with_it(tmp_path):
    waves = Waves(wavelengths=(137.0, 161.0, 123.0, 190.0))
    scene = make_scene(tmp_path, waves=waves, dtype="float32")
    good = write(tmp_path / "good.tif", scene.truth.astype("float32"), scene.pan_transform)
    bad = write(tmp_path / "bad.tif", np.roll(scene.truth, 8, 1).astype("float32"), scene.pan_transform)
    right, wrong = values(run(scene, good)), values(run(scene, bad))
    assert right["d_lambda_k"] < 1e-3 < wrong["d_lambda_k"]
    # What the MTF sees beyond the frame is not known: counting the frame would make this 0.013.
    assert right["consistency_ergas"] < 0.003 < wrong["consistency_ergas"] / 5
    assert right["hqnr"] > wrong["hqnr"]


def test_masked_pixels_have_no_weight_in_what_is_reduced_to_ms(scene):
    pair = array_scene(scene.pan_image, scene.ms_image)
    image = pair.load(plan_tiles(pair.area, 4096, 0, pair.bounds)[0])
    assert image is not None
    fused, valid = torch.full_like(image.upsampled, 100.0), torch.ones_like(image.valid)
    places = image.ms, image.ms_valid, image.ms_window
    whole = EvaluationTile(image.tile, fused, image.pan, image.upsampled, None, valid, *places)
    holed = replace(whole, fused=fused.clone(), valid=valid.clone())
    holed.fused[:, 80, 96], holed.valid[80, 96] = 9e6, False
    (every, _), (found, _) = (_reduced(tile, pair.info, pair.area) for tile in (whole, holed))
    assert every.shape[1] - 16 < found.shape[1] < every.shape[1]
    assert float((found - 100).abs().max()) < 1e-9


def test_upsampled_ms_has_no_spectral_but_all_spatial_distortion(scene, truth, tmp_path):
    pair = array_scene(scene.pan_image, scene.ms_image)
    image = pair.load(plan_tiles(pair.area, 4096, 0, pair.bounds)[0])
    assert image is not None
    exp = write(tmp_path / "exp.tif", image.upsampled.numpy(), scene.pan_transform)
    found, real = values(run(scene, exp)), values(run(scene, truth))
    assert found["d_lambda"] < 1e-6
    assert found["d_s_r"] > real["d_s_r"]
    assert found["d_rho"] > real["d_rho"]


def test_figures_against_a_reference_follow_their_formulas(scene, fused, truth):
    found = values(run(scene, fused, truth))
    with rasterio.open(fused) as a, rasterio.open(truth) as b:
        x, y = a.read().astype(float).reshape(4, -1), b.read().astype(float).reshape(4, -1)
    error = ((x - y) ** 2).mean()
    relative = ((x - y) ** 2).mean(1) / y.mean(1) ** 2
    cosine = (x * y).sum(0) / np.sqrt((x * x).sum(0) * (y * y).sum(0))
    expected = {
        "psnr": 10 * np.log10(2047**2 / error),
        "rmse": np.sqrt(error),
        "ergas": 25 * np.sqrt(relative.mean()),
        "sam": np.degrees(np.arccos(cosine)).mean(),
        "cc": np.mean([np.corrcoef(p, q)[0, 1] for p, q in zip(x, y, strict=True)]),
    }
    assert {key: found[key] for key in expected} == pytest.approx(expected, rel=1e-7)
    radians = values(run(scene, fused, truth, radians=True))["sam"]
    assert radians == pytest.approx(np.radians(found["sam"]))


def test_unexplained_variance_is_that_of_a_regression(scene, fused):
    with rasterio.open(fused) as dataset:
        bands = dataset.read().astype(float).reshape(4, -1)
    design = np.vstack([bands, np.ones(bands.shape[1])]).T
    pan = scene.pan_image.astype(float).ravel()
    rest = pan - design @ np.linalg.lstsq(design, pan, rcond=None)[0]
    assert values(run(scene, fused))["d_s_r"] == pytest.approx(rest.var() / pan.var(), rel=1e-6)


def test_georeferencing_says_which_pixels_meet(scene, fused, tmp_path):
    with rasterio.open(fused) as dataset:
        image = dataset.read()[:, 32:128, 48:176]
    part = write(tmp_path / "part.tif", image, scene.pan_transform * Affine.translation(48, 32))
    masked = np.full((4, 160, 192), np.nan, "float32")
    masked[:, 32:128, 48:176] = image
    whole = write(tmp_path / "masked.tif", masked, scene.pan_transform)
    a, b = run(scene, part), run(scene, whole)
    assert a.shapes["evaluated"] == (96, 128)
    assert a.valid_pixels == b.valid_pixels == 96 * 128
    for key in ("d_lambda", "d_s_r"):
        assert a.figures[key].value == pytest.approx(b.figures[key].value, rel=1e-3)


@pytest.fixture
def holed(scene, tmp_path):
    """The truth without 20 x 25 of its pixels."""
    image = scene.truth.astype("float32")
    image[:, 40:60, 70:95] = np.nan
    return write(tmp_path / "holed.tif", image, scene.pan_transform)


def test_what_is_masked_in_the_reference_alone_does_not_count(scene, fused, holed, tmp_path):
    found = run(scene, fused, holed)
    assert found.valid_pixels == 160 * 192 - 20 * 25
    other = write(tmp_path / "5.tif", np.nan_to_num(read(holed), nan=5), scene.pan_transform, nodata=5)
    assert values(run(scene, fused, other)) == pytest.approx(values(found))


def test_nodata_given_counts_in_the_reference_too(scene, fused, holed, tmp_path):
    untagged = write(tmp_path / "u.tif", np.nan_to_num(read(holed), nan=-1), scene.pan_transform)
    report = run(scene, fused, untagged, pair=PairOptions(nodata=-1.0))
    assert report.valid_pixels == 160 * 192 - 20 * 25


def test_edges_beside_masked_pixels_do_not_count(scene, fused, truth, holed):
    whole = whole_windows(torch.from_numpy(~np.isnan(read(holed)[0])), 3, 3)
    a, b = (edge_strength(torch.from_numpy(read(path)))[:, whole] for path in (fused, truth))
    expected = float((a * b).sum() / (a.norm() * b.norm()))
    assert values(run(scene, fused, holed))["scc"] == pytest.approx(expected, rel=1e-9)


def test_the_map_has_one_pixel_per_block(scene, fused, tmp_path):
    image = scene.pan_image.astype("float32")
    image[20, 50] = np.nan
    write(scene.pan, image, scene.pan_transform)
    target = tmp_path / "map.tif"
    run(scene, fused, map_path=target)
    with rasterio.open(target) as dataset:
        assert dataset.transform == scene.pan_transform * Affine.scale(16)
        assert dataset.descriptions == ("D_lambda", "D_S", "QNR")
        values = dataset.read()
    assert values.shape == (3, 10, 12)
    assert np.argwhere(np.isnan(values[2])).tolist() == [[1, 3]]
    assert np.nanmax(np.abs(values[2] - (1 - values[0]) * (1 - values[1]))) < 1e-6
    with pytest.raises(OutputError, match="exists already"):
        run(scene, fused, map_path=target)


def test_the_map_of_a_part_lies_on_that_part(scene, tmp_path):
    corner = scene.pan_transform * Affine.translation(48, 32)
    part = write(tmp_path / "part.tif", (1.02 * scene.truth[:, 32:, 48:]).astype("float32"), corner)
    run(scene, part, map_path=tmp_path / "map.tif")
    with rasterio.open(tmp_path / "map.tif") as dataset:
        assert dataset.transform == corner * Affine.scale(16)
        assert dataset.shape == (8, 9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda image: image[:3], "3 bands but MS has 4"),
        (lambda image: np.full_like(image, np.nan), "no pixel is valid in all images"),
        (lambda image: np.full_like(image, 7), "is constant"),
    ],
)
def test_images_that_cannot_be_measured_are_refused(scene, fused, tmp_path, change, message):
    with rasterio.open(fused) as dataset:
        image = dataset.read()
    bad = write(tmp_path / "bad.tif", change(image), scene.pan_transform)
    with pytest.raises(PairError, match=message):
        run(scene, bad)


@pytest.mark.parametrize(
    ("right", "down", "message"),
    [
        (0, 0.5, "does not lie on PAN's pixels"),
        (0, 0.05, "does not lie on PAN's pixels"),
        (-0.05, 0, "does not lie on PAN's pixels"),
        (0, 4000, "does not meet PAN and MS"),
    ],
)
def test_images_elsewhere_are_refused(scene, tmp_path, right, down, message):
    moved = scene.pan_transform * Affine.translation(right, down)
    bad = write(tmp_path / "bad.tif", scene.truth.astype("float32"), moved)
    with pytest.raises(PairError, match=message):
        run(scene, bad)


def test_an_image_of_other_pixels_is_told_apart_by_their_size(scene):
    with pytest.raises(PairError, match=r"its pixels are 2 x 2 in ground units and PAN's 0\.5 x 0\.5"):
        run(scene, scene.ms)


def test_a_block_larger_than_the_image_is_refused(scene, fused):
    with pytest.raises(PairError, match="smaller --block"):
        run(scene, fused, block=512)


@pytest.mark.parametrize(
    "options", [{"block": 1}, {"peak": 0.0}, {"mtf_gain": (1.5,)}, {"mtf_gain": (0.3, 0.3)}, {"sensor": "x"}]
)
def test_options_are_checked(scene, fused, options):
    with pytest.raises(UsageError):
        run(scene, fused, **options)


def test_what_is_not_defined_is_said(scene, truth, tmp_path):
    with rasterio.open(truth) as dataset:
        image = dataset.read()
    image[1] = 5
    image[2, :40] = -3
    odd = write(tmp_path / "odd.tif", image, scene.pan_transform)
    report = run(scene, odd, truth, peak=None)
    assert values(report)["psnr"] is values(report)["cc"] is None
    said = " ".join(report.warnings)
    assert "psnr is not defined: the largest digital number is not known" in said
    assert "cc is not defined: a band is constant" in said
    assert "25 % of the valid pixels of FUSED are negative" in said
    json.dumps(report.as_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, True),
        ({"profile": "dlpan", "peak": None}, True),
        ({"mtf_gain": (0.3,)}, False),
        ({"profile": "torchmetrics", "block": EvaluateOptions.block}, False),  # takes no gains
        ({"sensor": "quickbird"}, False),
        ({"sensor": "pleiades"}, False),
    ],
)
def test_gains_of_bands_that_cannot_be_told_are_doubted(scene, truth, options, told):
    said = run(scene, truth, **{"sensor": "worldview2", **options}).warnings
    doubt = (
        "worldview2 has 8 bands but MS has 4, not named as its own; their mean gain 0.34 is taken for each"
    )
    assert said.count(doubt) == sum("mean gain" in warning for warning in said) == told


@pytest.mark.parametrize(("rows", "share"), [(160, "100"), (159, "99"), (12, "7.5")])
def test_the_share_of_negative_pixels_is_a_plain_number(scene, truth, rows, share):
    image = read(truth)
    image[:, :rows] -= 5000
    write(truth, image, scene.pan_transform)
    assert f"{share} % of the valid pixels of FUSED are negative" in " ".join(run(scene, truth).warnings)


@pytest.mark.parametrize(
    ("factor", "told"), [(1e-4, "less than a fifth"), (1, None), (0.25, None), (200, "more than 5 times")]
)
def test_pan_in_units_of_its_own_is_told_where_figures_depend_on_them(scene, fused, factor, told):
    write(scene.pan, (scene.pan_image * factor).astype("float32"), scene.pan_transform)
    said = [warning for warning in run(scene, fused).warnings if "d_s is small" in warning]
    assert len(said) == (told is not None) and all(told in warning for warning in said)


def test_a_device_without_enough_memory_is_told(scene, fused, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. GPU 0 has none left")

    monkeypatch.setattr("pancli.evaluation.run.open_images", full)
    with pytest.raises(DeviceError, match="cpu: not enough memory .CUDA out of memory"):
        run(scene, fused, device="cpu")


def test_rows_are_appended_under_one_header(tmp_path):
    path = tmp_path / "rows.csv"
    append_row(path, {"a": "1", "b": "x,y"})
    append_row(path, {"a": "2", "b": ""})
    assert path.read_text() == 'a,b\n1,"x,y"\n2,\n'
    with pytest.raises(OutputError, match="has the columns a, b but this row a, c"):
        append_row(path, {"a": "1", "c": ""})


def test_processes_that_append_to_one_file_take_turns(tmp_path):
    path = tmp_path / "rows.csv"
    with ThreadPoolExecutor(1) as other, path.open("w", encoding="utf-8") as first:
        flock(first, LOCK_EX)
        second = other.submit(append_row, path, {"a": "2"})
        with pytest.raises(StillWaiting):
            second.result(timeout=0.3)
        first.write("a\n1\n")
        first.close()
        second.result(timeout=30)
    assert path.read_text() == "a\n1\n2\n"


def test_a_last_line_without_an_end_is_ended(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n1,2")
    append_row(path, {"a": "3", "b": "4"})
    assert path.read_text() == "a,b\n1,2\n3,4\n"


def test_a_file_of_other_columns_is_refused_before_anything_is_measured(tmp_path):
    path, alone = tmp_path / "rows.csv", csv_columns("pancli", reference=False)
    check_csv(path, alone)
    path.write_text("method,foo\n")
    with pytest.raises(OutputError, match="has the columns method, foo, not fused, pan"):
        check_csv(path, alone)
    check_csv(path, ("method", "foo"))
    with pytest.raises(OutputError, match="has the columns method, foo, not method;"):
        check_csv(path, ("method",))
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(OutputError, match="cannot be read"):
        check_csv(path, alone)


def test_columns_are_known_before_they_are_filled(scene, fused, truth):
    for reference in (None, truth):
        row = run(scene, fused, reference).as_row()
        assert list(row) == csv_columns("pancli", reference=reference is not None)


def test_a_row_tells_by_what_it_was_measured(scene, fused, truth):
    rows = [
        run(scene, fused, truth, **options).as_row()
        for options in ({}, {"peak": 255.0, "radians": True, "mtf_gain": (0.15,)})
    ]
    told = [{key: row[key] for key in ("peak", "radians", "mtf_gains")} for row in rows]
    assert told[1] == {"peak": "255", "radians": "true", "mtf_gains": "0.15 0.15 0.15 0.15"}
    assert all(told[0][key] != told[1][key] for key in told[0])
    wide = run(scene, fused, truth, peak=1048575.0)
    assert wide.as_row()["peak"] == "1048575"
    assert wide.figures["psnr"].variant.endswith("peak 1048575")


def test_the_map_takes_the_place_of_no_input(scene, fused, truth):
    before = {path: Path(path).read_bytes() for path in (scene.pan, scene.ms, fused, truth)}
    for path in before:
        with pytest.raises(OutputError, match="is an input"):
            run(scene, fused, truth, map_path=Path(path), overwrite=True)
    assert before == {path: Path(path).read_bytes() for path in before}


def test_a_reference_beyond_the_peak_is_told(scene, fused, truth):
    assert not [w for w in run(scene, fused, truth, peak=65535.0).warnings if "beyond the peak" in w]
    (told,) = [w for w in run(scene, fused, truth, peak=100.0).warnings if "beyond the peak" in w]
    assert "beyond the peak of 100" in told


def test_a_part_is_measured_as_the_whole_with_the_rest_masked(scene, tmp_path):
    """Filters see PAN and MS beyond the part: its rim is not worse than its middle."""
    image = (1.02 * scene.truth + np.random.default_rng(2).normal(0, 12, scene.truth.shape)).astype("float32")
    rows, cols = slice(32, 80), slice(16, 96)
    corner = scene.pan_transform * Affine.translation(cols.start, rows.start)
    part = write(tmp_path / "part.tif", image[:, rows, cols], corner)
    rest = np.full_like(image, np.nan)
    rest[:, rows, cols] = image[:, rows, cols]
    masked = run(scene, write(tmp_path / "rest.tif", rest, scene.pan_transform)).figures
    for tile in (16, 512):
        figures = run(scene, part, tile=tile).figures
        for key in ("d_lambda", "d_s", "d_lambda_k", "d_s_r", "d_rho"):
            assert figures[key].value == pytest.approx(masked[key].value, rel=1e-6), key


@pytest.mark.parametrize(
    ("peak", "told"), [({"sensor": "worldview3", "peak": None}, True), ({"peak": 1.0}, False)]
)
def test_a_reference_far_below_the_peak_is_told(scene, fused, truth, tmp_path, peak, told):
    """Reflectance measured with a sensor's bits: 60 dB too much, and an SSIM of one."""
    numbers = scene.truth / (1.1 * scene.truth.max())
    small = write(tmp_path / "small.tif", numbers.astype("float32"), scene.pan_transform)
    said = " ".join(run(scene, fused, small, **peak).warnings)
    assert ("the reference goes up to 0.909091, less than a hundredth of the peak of 2047" in said) is told
    assert "hundredth" not in " ".join(run(scene, fused, truth, peak=65535.0).warnings)


def test_one_bright_pixel_in_one_tile_of_the_reference_is_told(scene, fused, tmp_path):
    image = scene.truth.astype("float32")
    image[1, 30, 30] = 5000
    bright = write(tmp_path / "bright.tif", image, scene.pan_transform)
    assert "the reference goes up to 5000" in " ".join(run(scene, fused, bright, tile=48).warnings)


def test_the_peak_is_that_of_the_references_type(scene, tmp_path):
    image = np.clip(scene.truth / 8, 0, 255)
    fused = write(tmp_path / "fused.tif", (image + 1).astype("float32"), scene.pan_transform)
    truth = write(tmp_path / "truth.tif", image.astype("uint8"), scene.pan_transform)
    assert run(scene, fused, truth, peak=None).peak == 255


def test_it_is_told_where_images_were_placed_by_guess(scene, fused):
    for path, transform in ((scene.pan, scene.pan_transform), (scene.ms, scene.ms_transform)):
        write(path, read(path).astype("float32"), transform, None)
    write(fused, read(fused).astype("float32"), scene.pan_transform, None)
    assert "placed by their geotransforms alone" in " ".join(run(scene, fused).warnings)


def test_premix_refuses_images_it_would_cut(scene, fused):
    with pytest.raises(UsageError, match="cuts images at the largest digital number, 100, and these go"):
        run(scene, fused, profile="premix", peak=100.0, block=32)


def test_a_constant_that_arithmetic_blurs_is_a_constant(scene, fused, truth, tmp_path):
    with rasterio.open(fused) as dataset:
        values, transform = dataset.read().astype("float64"), dataset.transform
    values[1] = 273.15
    found = run(scene, str(write(tmp_path / "flat.tif", values, transform)), truth)
    assert found.figures["cc"].value is None
    values[:] = 273.15
    with pytest.raises(PairError, match="FUSED .* is constant"):
        run(scene, str(write(tmp_path / "flat.tif", values, transform)), truth)


def test_a_csv_file_that_may_not_be_written_is_refused_early(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(OutputError, match="cannot be written; its owner does not let you"):
        check_csv(tmp_path / "rows.csv", ["a"])


def test_fill_that_nobody_speaks_of_is_told_as_it_is_measured_with_the_rest(scene, fused):
    scene.pan_image[:20] = 0
    write(scene.pan, scene.pan_image, scene.pan_transform)
    (told,) = [warning for warning in run(scene, fused).warnings if "as fill" in warning]
    assert told.startswith("PAN is exactly zero on ")
    zero = run(scene, fused, pair=PairOptions(nodata=0.0))
    assert zero.valid_pixels == 140 * 192
    assert not [warning for warning in zero.warnings if "as fill" in warning]


def test_a_part_of_images_without_georeferencing_is_measured_where_it_lies(scene, tmp_path):
    with without_georeferencing():
        for path, image in ((scene.pan, scene.pan_image), (scene.ms, scene.ms_image)):
            write(path, image, None, None)
        options = SharpenOptions(method="exp", bbox=(64.0, 32.0, 160.0, 128.0))
        sharpen(str(scene.pan), [str(scene.ms)], tmp_path / "part.tif", options)
        report = run(scene, tmp_path / "part.tif")
        assert report.shapes["evaluated"] == (96, 96)
        moved = write(tmp_path / "moved.tif", read(tmp_path / "part.tif"), Affine(1, 0, 60, 0, 1, 32), None)
        ergas = [
            run(scene, path).figures["consistency_ergas"].value for path in (tmp_path / "part.tif", moved)
        ]
        assert ergas[0] < 0.5 * ergas[1]
        for other in (Affine(1, 0, 64.5, 0, 1, 32), Affine(1, 0, 64, 0, -1, 32)):
            write(moved, read(tmp_path / "part.tif"), other, None)
            with pytest.raises(PairError, match="does not lie on PAN's pixels"):
                run(scene, moved)
        write(moved, read(tmp_path / "part.tif"), Affine(2, 0, 64, 0, 2, 32), None)
        with pytest.raises(PairError, match="has a geotransform and PAN lacks one"):
            run(scene, moved)


@COUNTED
def test_files_in_strips_are_not_decoded_anew_for_every_tile(tmp_path, monkeypatch):
    monkeypatch.setattr(env, "GDAL_CACHE_BYTES", 2**16)
    scene, read = in_strips(tmp_path, 64, 2048), []
    size = 3 * scene.pan.stat().st_size + scene.ms.stat().st_size
    for most in (2**30, 0):
        monkeypatch.setattr(env, "MOST_STRIPS", most)
        before = bytes_read()
        run(scene, scene.pan, scene.pan, tile=64)
        read.append((bytes_read() - before) / size)
    assert read[0] < 2 < 4 < read[1]

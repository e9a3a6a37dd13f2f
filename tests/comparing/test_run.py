from __future__ import annotations

import importlib
import sys
import tempfile
from dataclasses import replace

import numpy as np
import pytest
from affine import Affine

import pancli.comparing
from pancli.comparing import CompareOptions, compare
from pancli.comparing.report import HIGHER_IS_BETTER
from pancli.degrading import DegradeOptions, degrade_pair
from pancli.errors import InputError, OutputError, PairError
from pancli.evaluation import EvaluateOptions, evaluate
from pancli.raster.pair import PairOptions
from pancli.sharpening import SharpenOptions, sharpen
from tests.scenes import make_scene, read, write


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """Where temporary files go when no folder is named."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def truth(scene, tmp_path):
    return str(write(tmp_path / "truth.tif", scene.truth.astype("float32"), scene.pan_transform))


def run(scene, progress=None, **options):
    asked = CompareOptions(**{"methods": ["exp", "gsa"], "sensor": "quickbird", "block": 8, **options})
    return compare(str(scene.pan), [str(scene.ms)], asked, progress)


def figures(report):
    return {row.method: row.figures for row in report.rows}


def by_hand(pan, ms, reference, folder, methods=("exp", "gsa")):
    """What sharpen and eval say one after the other."""
    found = {}
    for method in methods:
        out = folder / f"hand-{method}.tif"
        sharpen(str(pan), [str(ms)], out, SharpenOptions(method=method, sensor="quickbird"))
        options = EvaluateOptions(sensor="quickbird", block=8)
        report = evaluate(str(out), str(pan), [str(ms)], reference, options)
        found[method] = {key: figure.value for key, figure in report.figures.items()}
    return found


def test_figures_are_those_of_sharpen_and_eval(scene, tmp_path, scratch):
    report = run(scene)
    assert figures(report) == by_hand(scene.pan, scene.ms, None, tmp_path)
    assert report.mode == "full"
    assert set(figures(report)["gsa"]) == {k for k in HIGHER_IS_BETTER if k not in _REFERENCE_KEYS}
    assert report.shape == (160, 192)
    assert all(row.seconds["total"] >= row.seconds["fuse"] > 0 for row in report.rows)


_REFERENCE_KEYS = {"psnr", "ssim", "sam", "ergas", "scc", "q", "q2n", "rmse", "cc"}


@pytest.mark.slow
def test_reduced_figures_are_those_of_degrade_sharpen_and_eval(scene, tmp_path, scratch):
    report = run(scene, reduced=True)
    degrade_pair(str(scene.pan), [str(scene.ms)], tmp_path / "r", DegradeOptions(sensor="quickbird"))
    pan, ms, reference = (tmp_path / "r" / f"{name}.tif" for name in ("pan", "ms", "reference"))
    assert figures(report) == by_hand(pan, ms, str(reference), tmp_path)
    assert (report.mode, report.ranked_by) == ("reduced", "q2n")
    assert set(figures(report)["gsa"]) == set(HIGHER_IS_BETTER)
    assert [row.method for row in report.rows] == ["gsa", "exp"]


def test_a_reference_is_taken(scene, truth, tmp_path, scratch):
    report = run(scene, reference=truth)
    assert figures(report) == by_hand(scene.pan, scene.ms, truth, tmp_path)
    assert report.mode == "reference"


@pytest.mark.slow
def test_the_reduced_pair_is_read_as_it_was_asked_for(scene, tmp_path, scratch):
    """Bands and nodata are settled while reducing; asking twice would pick wrong bands or drop pixels."""
    pan = scene.pan_image.copy()
    pan[:8] = 0
    write(scene.pan, pan, scene.pan_transform)
    report = run(scene, reduced=True, pair=PairOptions(nodata=0.0, bidx=(4, 2)), keep=tmp_path / "kept")
    assert [row.error for row in report.rows] == [None, None]
    reference = read(tmp_path / "kept" / "reference.tif")
    rows = slice(3, None)  # the first rows lie near masked pan
    assert (reference[:, rows] == scene.ms_image[[3, 1]][:, rows]).all()
    assert (read(tmp_path / "kept" / "gsa.tif")[:, 0] == 0).all()


def test_figures_of_a_reduced_pair_do_not_depend_on_the_order_of_its_bands(scene, scratch):
    """Bands without names are the sensor's by their place in MS; each keeps the gain it was blurred to."""
    asked = CompareOptions(["mtf-glp"], reduced=True, sensor="quickbird", block=8)
    named = "".join(f",band={number}" for number in (4, 3, 2, 1))
    found = [
        compare(str(scene.pan), [f"{scene.ms}{bands}"], replace(asked, pair=PairOptions(bidx=bidx)))
        for bands, bidx in (("", ()), ("", (4, 3, 2, 1)), (named, ()))
    ]
    first, *others = (figures(report)["mtf-glp"]["psnr"] for report in found)
    assert others == pytest.approx([first] * 2, rel=1e-6)


@pytest.mark.parametrize("reduced", [False, True])
def test_an_alpha_band_that_was_named_is_an_image_band_throughout(scene, tmp_path, scratch, reduced):
    """Four bands of 8 bits are often tagged so; the images made of them keep the tag."""
    image = (scene.ms_image // 8).astype("uint8")
    write(scene.ms, image, scene.ms_transform, photometric="RGB", alpha="YES")
    named = [f"{scene.ms},band=1,band=2,band=3,band=4"]
    asked = CompareOptions(
        ["gsa"], reduced=reduced, block=8, report=tmp_path / "report", keep=tmp_path / "kept"
    )
    (row,) = compare(str(scene.pan), named, asked).rows
    assert row.error is None
    assert read(tmp_path / "kept" / "gsa.tif").shape[0] == 4
    page = (tmp_path / "report" / "index.html").read_text()
    assert page.count("False colour (band 4, band 3, band 2)") > 0


def test_kept_images_are_those_that_were_measured(scene, tmp_path, scratch):
    keep = tmp_path / "kept"
    report = run(scene, reduced=True, keep=keep)
    assert sorted(p.name for p in keep.iterdir()) == [
        "exp.tif",
        "gsa.tif",
        "ms.tif",
        "pan.tif",
        "reference.tif",
    ]
    reference = str(keep / "reference.tif")
    assert figures(report) == by_hand(keep / "pan.tif", keep / "ms.tif", reference, tmp_path)
    assert (read(keep / "gsa.tif") == read(tmp_path / "hand-gsa.tif")).all()


def test_back_projection_is_measured_beside_what_it_is_done_to(scene, tmp_path, scratch):
    report = run(scene, methods=["gsa"], back_project=1, keep=tmp_path / "kept")
    assert {row.method for row in report.rows} == {"gsa", "gsa+bp1"}
    assert figures(report)["gsa"] == by_hand(scene.pan, scene.ms, None, tmp_path, ["gsa"])["gsa"]
    out = tmp_path / "hand.tif"
    asked = SharpenOptions(method="gsa", sensor="quickbird", back_project=1)
    sharpen(str(scene.pan), [str(scene.ms)], out, asked)
    assert (read(tmp_path / "kept" / "gsa+bp1.tif") == read(out)).all()
    assert (read(tmp_path / "kept" / "gsa.tif") != read(out)).any()


def test_back_projection_brings_a_reduced_pair_nearer_to_its_ms(scene, scratch):
    """Reduced by the MTF of the sensor, which so is the blur that evaluation takes it to be."""
    found = figures(run(scene, methods=["gsa"], back_project=1, reduced=True))
    assert found["gsa+bp1"]["consistency_ergas"] < found["gsa"]["consistency_ergas"]


def test_nothing_is_left_and_one_image_at_a_time_is_on_disk(scene, scratch):
    most = 0

    def look(*_):
        nonlocal most
        most = max(most, len(list(scratch.rglob("*.tif"))))

    run(scene, look, methods=["exp", "gsa", "brovey"])
    assert most == 1
    assert list(scratch.iterdir()) == []


def test_an_interrupted_comparison_leaves_nothing_behind(scene, tmp_path, scratch):
    def stop(method, done, total):
        if method == "gsa" and done > 160:  # it is being measured
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(scene, stop, report=tmp_path / "report")
    assert list(scratch.iterdir()) == list((tmp_path / "report").iterdir()) == []


def test_progress_never_goes_back_and_ends(scene, scratch):
    seen = []
    run(scene, lambda *step: seen.append(step))
    done = [step[1] for step in seen]
    assert done == sorted(done)
    assert seen[-1] == ("gsa", 200, 200)


def test_one_failure_is_a_row_that_says_why(scene, scratch):
    report = run(scene, methods=["gdal", "gsa"], coregister=(0.5, 0.0))
    gsa, gdal = report.rows
    assert (report.coregister, report.crisp_pan) == ("0.5,0", False)
    assert (gdal.method, gdal.figures, gsa.error) == ("gdal", {}, None)
    assert "--coregister cannot be used with --method gdal" in gdal.error
    assert any("figures that compare with MS take it where it lies" in w for w in report.warnings)


def test_a_warning_is_told_once(scene, scratch):
    found = run(scene, reduced=True, sensor="generic").warnings
    assert sum("psnr is not defined" in warning for warning in found) == 1


def test_gains_that_are_doubted_while_reducing_and_measuring_are_told_once(scene, scratch):
    asked = {"reduced": True, "sensor": "worldview3", "pair": PairOptions(bidx=(4, 2))}
    found = [warning for warning in run(scene, **asked).warnings if "mean gain" in warning]
    assert [warning.partition(",")[0] for warning in found] == ["worldview3 has 8 bands but MS has 4"]


def test_what_stops_every_method_is_refused_before_any_runs(scene, truth, tmp_path, scratch):
    def never(*_):
        raise AssertionError("something ran")

    elsewhere = make_scene(tmp_path / "elsewhere", origin=(600000.0, 4000000.0))
    wide = write(tmp_path / "wide.tif", np.concatenate([scene.truth] * 2), scene.pan_transform)
    with pytest.raises(PairError, match="do not overlap"):
        compare(str(scene.pan), [str(elsewhere.ms)], CompareOptions(), never)
    with pytest.raises(InputError, match="no such file"):
        run(scene, never, reference="none.tif")
    with pytest.raises(PairError, match="has 8 bands but MS has 4"):
        run(scene, never, reference=str(wide))
    beyond = scene.pan_transform * Affine.translation(1000, 0)
    apart = write(tmp_path / "apart.tif", scene.truth, beyond)
    with pytest.raises(PairError, match="does not meet PAN and MS"):
        run(scene, never, reference=str(apart))
    with pytest.raises(PairError, match="too few"):
        run(scene, never, reduced=True, ratio=100.0)


def test_what_exists_is_kept_unless_it_may_be_replaced(scene, tmp_path, scratch):
    keep = tmp_path / "kept"
    keep.mkdir()
    (keep / "gsa.tif").write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        run(scene, keep=keep)
    assert (keep / "gsa.tif").read_text() == "mine"
    assert run(scene, keep=keep, overwrite=True).succeeded
    assert read(keep / "gsa.tif").shape == (4, 160, 192)


def test_an_input_is_never_replaced(scene, tmp_path, scratch):
    folder = scene.pan.parent
    scene.ms.rename(folder / "gsa.tif")
    asked = CompareOptions(methods=["gsa"], keep=folder, overwrite=True)
    with pytest.raises(OutputError, match="is an input"):
        compare(str(scene.pan), [f"{folder / 'gsa.tif'},band=1"], asked)


@pytest.mark.parametrize("missing", ["matplotlib", "jinja2"])
def test_a_report_without_its_extra_is_refused_at_the_start(scene, tmp_path, scratch, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(OutputError, match=rf"needs {missing}.*pip install jinja2 matplotlib"):
        run(scene, report=tmp_path / "report", keep=tmp_path / "kept")
    assert not (tmp_path / "report").exists()
    assert not (tmp_path / "kept").exists()


def test_without_a_report_the_extra_is_not_needed(scene, scratch, monkeypatch):
    monkeypatch.setattr(pancli, "comparing", pancli.comparing)  # what is imported anew takes its place
    for name in [n for n in sys.modules if n.split(".")[0] in ("matplotlib", "jinja2")]:
        monkeypatch.delitem(sys.modules, name)
    for name in [n for n in sys.modules if n.startswith("pancli.comparing")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    anew = importlib.import_module("pancli.comparing")
    assert anew.compare is not compare
    assert anew.compare(str(scene.pan), [str(scene.ms)], anew.CompareOptions(["exp"])).succeeded


def test_a_reference_is_not_written_over(scene, tmp_path):
    """Else the method of its name would be measured against itself."""
    run(scene, methods=["gsa"], keep=tmp_path / "k")
    kept = tmp_path / "k" / "gsa.tif"
    before = kept.read_bytes()
    with pytest.raises(OutputError, match="gsa.tif: is an input"):
        run(scene, methods=["gsa"], reference=str(kept), keep=tmp_path / "k", overwrite=True)
    assert kept.read_bytes() == before


@pytest.mark.parametrize("reduced", [False, True])
def test_blocks_larger_than_the_images_are_refused_before_anything_is_sharpened(
    scene, tmp_path, monkeypatch, reduced
):
    monkeypatch.setattr("pancli.comparing.run.sharpen", lambda *_: pytest.fail("sharpened"))
    with pytest.raises(PairError, match="less than one block of 4096 x 4096"):
        run(scene, block=4096, reduced=reduced, keep=tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_a_warning_names_its_method_unless_it_is_of_all(scene, tmp_path):
    dark = scene.ms_image - scene.ms_image.min((1, 2), keepdims=True) + 5.0
    ms = write(tmp_path / "dark.tif", dark.astype("float32"), scene.ms_transform)
    options = CompareOptions(methods=["exp", "ihs", "pca"], sensor="worldview2", block=8)
    warnings = compare(str(scene.pan), [str(ms)], options).warnings
    negative = [warning for warning in warnings if "negative" in warning]
    assert {warning.partition(":")[0] for warning in negative} == {"ihs", "pca"}
    (gains,) = [warning for warning in warnings if "mean gain" in warning]
    assert gains.startswith("worldview2 has 8 bands")

"""``pancli compare`` as a user meets it."""

from __future__ import annotations

import csv
import json
import sys

import pytest

from tests.networks.made import weights_file
from tests.programs import pancli
from tests.scenes import read, write

FULL = ("QNR", "D_lambda", "D_S", "HQNR", "RQNR", "D_rho", "SAM to MS")
REFERENCE = ("PSNR", "SAM", "ERGAS", "SSIM", "SCC", "Q2n")


@pytest.fixture
def run(scene):
    def call(*extra, methods="exp,gsa,brovey"):
        return pancli("compare", *scene.args(), "--methods", methods, "--block", 8, *extra)

    return call


@pytest.mark.slow
def test_the_table_fits_and_marks_the_best(run):
    for extra, titles in (((), FULL), (("--reduced", "--sensor", "quickbird"), REFERENCE)):
        result = run(*extra)
        assert result.exit_code == 0, result.output
        head, *rows = result.stdout.splitlines()
        assert head.split() == ["method", *" ".join(titles).split(), "s"]
        assert [row.split()[0] for row in rows[:3]] == sorted(("exp", "gsa", "brovey"), key=_first(rows))
        assert max(map(len, result.stdout.splitlines())) <= 100
        marked = [row.count("*") for row in rows[:3]]
        assert sum(marked) == len(titles)
        assert next(row for row in rows if row.startswith("exp")).count("*") == 0
        assert "compare: " in result.stderr
        assert "100 %" in result.stderr


def test_without_progress_the_table_is_printed_all_the_same(run):
    result = run("-q", methods="exp")
    assert result.exit_code == 0
    assert result.stderr == ""
    assert result.stdout.splitlines()[1].startswith("exp ")


@pytest.mark.slow
def test_the_table_fits_with_the_longest_name(run):
    head, *rows = run("--back-project", 2, methods="mtf-glp-hpm").stdout.splitlines()
    assert {row.split()[0] for row in rows[:2]} == {"mtf-glp-hpm", "mtf-glp-hpm+bp2"}
    assert head.split()[-1] == "s"
    assert all(len(row.split()) == len(FULL) + 2 for row in rows[:2])


def _first(rows):
    return lambda name: next(i for i, row in enumerate(rows) if row.startswith(name))


@pytest.mark.slow
def test_json_is_one_object_with_every_figure(run):
    result = run("--json", "--reduced", "--sensor", "quickbird", "--peak", 4095)
    found = json.loads(result.stdout)
    assert (found["mode"], found["sensor"], found["block"]) == ("reduced", "quickbird", 8)
    assert {row["method"] for row in found["methods"]} == {"exp", "gsa", "brovey"}
    for row in found["methods"]:
        assert set(row["figures"]) == set(found["variants"])
        assert {"fit", "fuse", "total"} == set(row["seconds"])
    assert "4095" in found["variants"]["psnr"]
    assert found["check"]["can_sharpen"] is True
    full = json.loads(run("--json").stdout)
    assert full["mode"] == "full"
    assert "psnr" not in full["methods"][0]["figures"]
    assert "exp" not in full["best"].values()


def test_rows_are_appended_to_a_csv_file_failures_too(run, tmp_path):
    path = tmp_path / "rows.csv"
    assert run("-q", "--csv", path).exit_code == 0
    assert run("-q", "--csv", path, "--coregister", "0.5,0", methods="gdal,gsa").exit_code == 0
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert {row["method"] for row in rows[:3]} == {"exp", "gsa", "brovey"}
    assert [(row["method"], row["qnr"] == "", row["error"] == "") for row in rows[3:]] == [
        ("gsa", False, True),
        ("gdal", True, False),
    ]


@pytest.mark.parametrize("asked", [("--coregister", "0.5,0"), ("--crisp-pan",)])
def test_a_failure_is_a_row_and_the_rest_goes_on(run, asked):
    result = run(*asked, methods="gdal,gsa")
    assert result.exit_code == 0
    assert next(line for line in result.stdout.splitlines() if line.startswith("gdal")).count("failed") == 7
    assert f"pancli: gdal failed: {asked[0]} cannot be used" in result.stderr


def test_when_all_fail_the_exit_code_says_so(run):
    result = run("--json", "--coregister", "0.5,0", methods="gdal")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["methods"][0]["error"]
    assert "every method failed" in result.stderr


@pytest.mark.slow
def test_every_option_is_taken(run, scene, tmp_path):
    truth = write(tmp_path / "truth.tif", scene.truth[[1, 0]].astype("float32"), scene.pan_transform)
    result = run(
        *("--reference", truth, "--sensor", "ikonos", "-b", "2,1", "--nodata", 0, "--reproject"),
        *("--coregister", "auto", "--device", "cpu", "--keep", tmp_path / "kept", "--overwrite", "-q"),
        *("--report", tmp_path / "report", "--peak", 2047, "--back-project", 1),
        methods="exp, gsa",
    )
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == [
        *("exp+bp1.tif", "exp.tif", "gsa+bp1.tif", "gsa.tif")
    ]
    page = (tmp_path / "report" / "index.html").read_text()
    assert "gsa+bp1" in page
    assert "--back-project 1" in page
    reduced = run("--reduced", "--ratio", 2.5, "--keep", tmp_path / "reduced", "-q", methods="exp")
    assert reduced.exit_code == 0
    assert read(tmp_path / "reduced" / "ms.tif").shape == (4, 16, 19)


@pytest.mark.parametrize(
    ("extra", "code", "message"),
    [
        (("--methods", "gsa+bp2"), 2, "--methods gsa+bp2: gsa+bp2 is gsa with --back-project 2"),
        (("--methods", "gsa,sharper"), 2, "--methods sharper: not known; known are all, classical, networks"),
        (("--back-project", "6"), 2, "--back-project 6: must be from 0 to 5"),
        (("--back-project", "two"), 2, "--back-project"),
        (("--sensor", "sputnik"), 2, "unknown sensor"),
        (("--ratio", "4"), 2, "--ratio goes with --reduced"),
        (("--coregister", "left"), 2, "--coregister"),
        (("--nodata", "x"), 2, "--nodata"),
        (("--bidx", "9"), 2, "--bidx 9"),
        (("--reference", "none.tif"), 1, "no such file"),
        (("--csv", "no/such/folder.csv"), 1, "does not exist"),
    ],
)
def test_mistakes_are_one_line_and_an_exit_code(run, extra, code, message):
    result = run("-q", *extra)
    assert result.exit_code == code
    assert message in result.stderr
    assert isinstance(result.exception, SystemExit)


def test_one_name_is_too_few(scene):
    result = pancli("compare", scene.pan)
    assert result.exit_code == 2
    assert "the order is PAN MS" in result.stderr


def test_weights_of_ones_own_are_compared_by_the_name_on_their_card(run, tmp_path):
    weights, keep = weights_file(tmp_path), tmp_path / "kept"
    result = run("--keep", keep, "--json", methods=f"exp,{weights}")
    assert result.exit_code == 0, result.output
    assert {row["method"] for row in json.loads(result.stdout)["methods"]} == {"exp", "mine"}
    assert sorted(path.name for path in keep.iterdir()) == ["exp.tif", "mine.tif"]


def test_weights_that_cannot_be_told_apart_or_are_none_are_refused(run, tmp_path):
    weights = weights_file(tmp_path, "gsa")
    result = run(methods=f"gsa,{weights}")
    assert result.exit_code == 2
    assert f"gsa and {weights} are both named gsa" in result.stderr
    result = run(methods="gsa,none.safetensors")
    assert result.exit_code == 1
    assert "none.safetensors: no such weights file" in result.stderr


def test_a_report_without_its_extra_says_how_to_get_it(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    result = run("--report", tmp_path / "report")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line == "pancli: --report needs jinja2, which is not installed: pip install jinja2 matplotlib"

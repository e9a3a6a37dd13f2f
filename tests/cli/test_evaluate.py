from __future__ import annotations

import csv
import json

import pytest

from pancli.evaluation import evaluate
from pancli.metrics.profiles import PROFILES
from tests.programs import pancli
from tests.scenes import write

KEYS = ("qnr", "d_lambda", "d_s", "hqnr", "d_lambda_k", "d_rho")
REFERENCE_KEYS = ("psnr", "ssim", "sam", "ergas", "scc", "q", "q2n", "rmse", "cc")


@pytest.fixture
def fused(scene, tmp_path):
    return write(tmp_path / "fused.tif", scene.truth.astype("float32"), scene.pan_transform)


@pytest.fixture
def run(scene, fused):
    def call(*extra):
        return pancli("eval", fused, "--pan", scene.pan, "--ms", scene.ms, *extra)

    return call


def test_the_table_names_every_figure_and_its_definition(run, fused):
    result = run("--sensor", "quickbird", "--reference", fused)
    assert result.exit_code == 0, result.output
    for key in (*KEYS, *REFERENCE_KEYS):
        assert f"\n{key} " in result.stdout
    assert "blocks of 32" in result.stdout
    last = "\n30720 valid of 192 x 160 pixels, 30 of 30 blocks; sensor quickbird, profile pancli\n"
    assert result.stdout.endswith(last)


def test_without_progress_the_table_is_printed_all_the_same(run):
    result = run("-q")
    assert result.exit_code == 0
    assert result.stderr == ""
    assert "\nqnr " in result.stdout


def test_json_is_one_object_with_every_key(run, fused):
    result = run("--json", "--sensor", "quickbird", "--reference", fused, "--block", 16)
    found = json.loads(result.stdout)
    assert set(found["variants"]) >= {*KEYS, *REFERENCE_KEYS}
    assert all(found[key] is not None for key in KEYS)
    assert found["psnr"] is None
    assert found["shapes"]["ms"] == [40, 48]
    assert (found["valid_pixels"], found["block"], found["sensor"]) == (30720, 16, "quickbird")
    assert "2047" in found["variants"]["psnr"]


def test_gains_replace_the_sensors(run):
    found = json.loads(run("--json", "--mtf-gain", "0.4").stdout)
    assert found["mtf_gains"] == [0.4] * 4
    other = json.loads(run("--json", "--mtf-gain", "0.2,0.2,0.2,0.2").stdout)
    assert found["hqnr"] != other["hqnr"]


def test_rows_are_appended_to_a_csv_file(run, tmp_path):
    path = tmp_path / "rows.csv"
    for block in (16, 32):
        assert run("-q", "--csv", path, "--block", block).exit_code == 0
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [row["block"] for row in rows] == ["16", "32"]
    assert 0 < float(rows[0]["qnr"]) <= 1


def test_a_map_is_written(run, tmp_path):
    assert run("-q", "--map", tmp_path / "map.tif").exit_code == 0
    assert (tmp_path / "map.tif").exists()


def test_of_one_band_it_is_said_what_a_map_shows(scene, fused, tmp_path):
    files = [f"{fused},band=1", "--pan", scene.pan, "--ms", f"{scene.ms},band=1"]
    for extra, told in (([], 0), (["--map", tmp_path / "map.tif"], 1)):
        result = pancli("eval", *files, *extra, "--json")
        assert result.stderr.count("the map of one shows D_S alone") == told
        assert sum("--map" in warning for warning in json.loads(result.stdout)["warnings"]) == told


def test_help_names_every_profile():
    shown = pancli("eval", "--help").stdout
    assert f"--profile {'|'.join(PROFILES)}" in shown
    assert all(profile.whose in " ".join(shown.split()) for profile in PROFILES.values())


@pytest.mark.parametrize(
    ("extra", "code", "message"),
    [
        (("--sensor", "landsat99"), 2, "unknown sensor"),
        (("--mtf-gain", "much"), 2, "--mtf-gain"),
        (("--mtf-gain", "2"), 2, "between 0 and 1"),
        (("--block", "1"), 2, "--block 1"),
        (("--profile", "sewar"), 2, "must be one of pancli, dlpan"),
        (
            ("--profile", "dlpan", "--map", "m.tif"),
            2,
            "--map does nothing with --profile dlpan; it goes with pancli",
        ),
        (("--block", "1000"), 1, "smaller --block"),
        (("--reference", "none.tif"), 1, "no such file"),
        (("--csv", "no/such/folder.csv"), 1, "does not exist"),
        (("--map", "no/such/folder.tif"), 1, "does not exist"),
    ],
)
def test_mistakes_are_one_line_and_an_exit_code(run, extra, code, message):
    result = run("-q", *extra)
    assert result.exit_code == code
    assert message in result.stderr
    assert isinstance(result.exception, SystemExit)


@pytest.mark.parametrize(("first", "second"), [(False, True), (True, False)])
def test_a_csv_file_of_other_figures_is_refused_before_anything_is_measured(
    run, fused, tmp_path, monkeypatch, first, second
):
    path, against = tmp_path / "rows.csv", ["--reference", fused]
    assert run("-q", "--csv", path, *(against if first else ())).exit_code == 0
    before = path.read_bytes()
    monkeypatch.setattr("pancli.evaluation.evaluate", lambda *_: pytest.fail("measured"))
    result = run("-q", "--csv", path, *(against if second else ()))
    assert result.exit_code == 1 and "has the columns fused, pan" in result.stderr
    assert path.read_bytes() == before


def test_figures_are_shown_even_where_the_csv_file_gets_other_columns_meanwhile(run, tmp_path, monkeypatch):
    path = tmp_path / "rows.csv"

    def measure(*arguments):
        path.write_text("others\n")
        return evaluate(*arguments)

    monkeypatch.setattr("pancli.evaluation.evaluate", measure)
    result = run("--json", "--csv", path)
    assert result.exit_code == 1 and "has the columns others but this row" in result.stderr
    assert json.loads(result.stdout)["qnr"] is not None

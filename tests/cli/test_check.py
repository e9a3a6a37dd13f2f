"""``pancli check`` as a user meets it: exit codes, stdout, stderr."""

import json
import os
import subprocess
import sys
from functools import partial

import numpy as np
import pytest

from pancli.cli import check
from tests import programs
from tests.scenes import make_scene, write


@pytest.fixture
def pancli(monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    return partial(programs.pancli, "check")


@pytest.fixture
def pair(tmp_path):
    return make_scene(tmp_path / "pair", size=(256, 320), dtype="float32")


def test_a_good_pair_exits_zero_and_prints_what_it_found(pancli, pair):
    result = pancli(pair.pan, pair.ms)
    assert result.exit_code == 0
    assert result.stderr == ""
    for words in (
        "EPSG:32633",
        "320 x 256",
        "80 x 64",
        "4 x 4",
        "100 % of PAN",
        "can be sharpened",
        "band 4",
    ):
        assert words in result.stdout
    assert "sample" not in result.stdout


def test_json_is_one_object_on_stdout(pancli, pair):
    result = pancli(pair.pan, pair.ms, "--json")
    report = json.loads(result.stdout)
    assert list(report) == [
        "can_sharpen",
        "files",
        "refusal",
        "ratio",
        "bands",
        "coverage",
        "shift",
        "warnings",
    ]
    assert report["can_sharpen"] is True
    assert report["refusal"] is None
    assert set(report["shift"]) == {"down", "right", "confidence", "confident", "windows", "used"}


def test_a_refused_pair_exits_one_with_the_reason_on_stderr(pancli, pair):
    result = pancli(pair.ms, pair.pan)
    assert result.exit_code == 1
    assert "must have 1" in result.stderr
    assert "can be sharpened" not in result.stdout
    as_json = pancli(pair.ms, pair.pan, "--json")
    assert as_json.exit_code == 1
    assert json.loads(as_json.stdout)["refusal"] in as_json.stderr


def test_a_pair_of_which_masks_leave_nothing_exits_one_and_tells_what_it_found(pancli, pair):
    write(pair.ms, np.full_like(pair.ms_image, np.nan), pair.ms_transform)
    result = pancli(pair.pan, pair.ms)
    assert result.exit_code == 1
    assert "pancli: nothing to fit: 0 pixels are valid" in result.stderr
    assert "valid    100 % of PAN, 0 % of MS\n" in result.stdout
    assert "can be sharpened" not in result.stdout


def test_a_missing_file_exits_one_without_a_traceback(pancli, pair, tmp_path):
    result = pancli(tmp_path / "none.tif", pair.ms)
    assert result.exit_code == 1
    assert "none.tif: no such file" in result.stderr
    assert isinstance(result.exception, SystemExit)


def test_warnings_go_to_stderr_and_do_not_fail(pancli, pair):
    pair.pan_image[:40] = 0
    write(pair.pan, pair.pan_image, pair.pan_transform)
    result = pancli(pair.pan, pair.ms)
    assert result.exit_code == 0
    assert "pancli: warning: PAN is exactly zero" in result.stderr
    assert "pancli: warning" not in result.stdout
    assert "exactly zero" not in pancli(pair.pan, pair.ms, "--nodata", "0").stderr


def test_shares_of_a_sample_are_said_to_be_about(pancli, tmp_path):
    scene = make_scene(tmp_path / "large", size=(600, 600))
    scene.pan_image[:, :300] = 0
    write(scene.pan, scene.pan_image, scene.pan_transform)
    printed = pancli(scene.pan, scene.ms, "--nodata", "0").stdout
    assert "valid    about 50 % of PAN, 100 % of MS; this and the range are of a sample" in printed


def test_files_may_be_named_by_options_and_stacked(pancli, pair):
    positions = json.loads(pancli(pair.pan, pair.ms, pair.ms, "-b", "5,1", "--json").stdout)
    options = json.loads(
        pancli("--pan", pair.pan, "--ms", pair.ms, "--ms", pair.ms, "--bidx", "5,1", "--json").stdout
    )
    assert options == positions
    assert [b["name"] for b in options["bands"]] == ["pan", "band 1", "band 1"]
    single = json.loads(pancli(pair.pan, f"{pair.ms},band=3", "--json").stdout)
    assert [b["name"] for b in single["bands"]] == ["pan", "band 3"]


def test_sensor_and_reproject_are_taken(pancli, pair, tmp_path):
    assert pancli(pair.pan, pair.ms, "--sensor", "ikonos").exit_code == 0
    other = write(tmp_path / "o.tif", pair.ms_image, pair.ms_transform, crs="EPSG:32634")
    refused = pancli(pair.pan, other)
    assert refused.exit_code == 1
    assert "--reproject" in refused.stderr
    assert "--reproject" not in pancli(pair.pan, other, "--reproject").stderr


@pytest.mark.parametrize(
    ("args", "word"),
    [
        ((), "PAN is missing"),
        (("a.tif",), "MS is missing"),
        (("a.tif", "--pan", "b.tif", "--ms", "c.tif"), "one file too many"),
        (("a.tif", "b.tif", "--nodata", "x"), "--nodata"),
        (("a.tif", "b.tif", "-b", "0"), "--bidx"),
        (("a.tif", "b.tif", "--sensor", "sputnik"), "sputnik"),
    ],
)
def test_usage_errors_exit_two_and_name_the_option(pancli, args, word):
    result = pancli(*args)
    assert result.exit_code == 2
    assert word in result.stderr


def test_numbers_and_lines_are_whole_where_nobody_looks(pancli, tmp_path, monkeypatch):
    monkeypatch.delenv("COLUMNS")
    scene = make_scene(tmp_path / "small", size=(256, 256), dtype="float32")
    for path, image, transform in (
        (scene.pan, scene.pan_image, scene.pan_transform),
        (scene.ms, scene.ms_image, scene.ms_transform),
    ):
        least = float(np.finfo(np.float32).min)
        write(path, image * np.float32(-1.23456e-9), transform, nodata=least, names=["a long name of a band"])
    printed = pancli(scene.pan, scene.ms).stdout
    (row,) = (line for line in printed.splitlines() if line.startswith("pan "))
    assert row.split()[2] == "-3.40282e+38"
    numbers = [float(word) for word in row.split()[3:]]
    assert numbers == pytest.approx(sorted(numbers))
    assert numbers[0] == pytest.approx(-1.23456e-9 * scene.pan_image.max(), rel=1e-5)
    (shift,) = (line for line in printed.splitlines() if line.startswith("shift "))
    assert shift.endswith("windows")


def test_names_are_told_in_what_stdout_can_say(pair):
    named = pair.pan.rename(pair.pan.with_name("p\xfc.tif"))
    command = [sys.executable, "-m", "pancli", "check", str(named), str(pair.ms)]
    ascii_alone = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, env=ascii_alone, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert r"p\xfc.tif" in done.stdout


def test_names_like_markup_or_emoji_are_printed_as_they_are(pancli, pair, tmp_path):
    odd = write(tmp_path / "a:rocket:[red]b.tif", np.asarray(pair.ms_image), pair.ms_transform)
    assert "a:rocket:[red]b.tif" in pancli(pair.pan, odd).stdout.replace("\n", "")


@pytest.mark.parametrize(
    ("part", "said"),
    [(0.0, "0 %"), (0.0123, "about 1.2 %"), (0.866, "about 87 %"), (0.998, "about 99 %"), (1.0, "100 %")],
)
def test_a_share_of_a_sample_is_never_said_to_be_all_of_it_where_it_is_not(part, said):
    assert check._share(part, sampled=True) == said

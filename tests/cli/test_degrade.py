"""``pancli degrade`` as a user meets it."""

import json
from functools import partial

import pytest

from tests import programs
from tests.scenes import make_scene

NAMES = ["ms.tif", "pan.tif", "reference.tif"]


@pytest.fixture
def pancli(monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    return partial(programs.pancli, "degrade")


@pytest.fixture
def scene(tmp_path):
    return make_scene(tmp_path / "in")


def made(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_pair_becomes_three_files_and_one_line(pancli, scene, tmp_path):
    result = pancli(*scene.args(), tmp_path / "out", "--sensor", "quickbird")
    assert result.exit_code == 0
    (line,) = result.stdout.splitlines()
    for words in (
        "out: PAN and reference 48 x 40, MS 12 x 10, 4 bands",
        "0.34, 0.32, 0.3, 0.22 and 0.15 for PAN",
    ):
        assert words in line
    assert "degrade: reduce 100 %" in result.stderr
    assert made(tmp_path / "out") == NAMES


def test_every_option_is_taken(pancli, scene, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "ms.tif").touch()
    result = pancli(
        scene.pan,
        f"{scene.ms},band=1,band=2",
        scene.ms,
        tmp_path / "out",
        *("--ratio", 2.5, "--sensor", "landsat-8", "-b", "2,1,6", "--nodata", 0, "--tile", 64),
        *("--reproject", "--overwrite", "--json", "-q"),
    )
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert report["ratio"] == [2.5, 2.5]
    assert report["pan_ratio"] == [4.0, 4.0]
    assert (report["reference"], report["ms"], report["bands"]) == ([40, 48], [16, 19], 3)
    assert (report["sensor"], report["pan_gain"]) == ("landsat8", 0.15)
    assert report["ms_gains"] == [0.55, 0.55, 0.53]  # of bands 2, 1 and 4 of the one file
    warnings = result.stderr.splitlines()
    assert [line.removeprefix("pancli: warning: ") for line in warnings] == report["warnings"]
    assert len(warnings) == 1
    assert made(tmp_path / "out") == NAMES


def test_quiet_says_nothing(pancli, scene, tmp_path):
    result = pancli(*scene.args(), tmp_path / "out", "-q")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--ratio", 1), "--ratio 1: must be a number from 1.5"),
        (("--ratio", "four"), "--ratio"),
        (("--sensor", "sputnik"), "sputnik"),
        (("--tile", 1), "--tile 1"),
        (("--nodata", "x"), "--nodata"),
        (("--bidx", "0"), "--bidx"),
        (("--bidx", "7"), "--bidx 7: MS has bands 1 to 4"),
    ],
)
def test_wrong_options_exit_two_and_make_nothing(pancli, scene, tmp_path, args, words):
    result = pancli(*scene.args(), tmp_path / "out", *args)
    assert result.exit_code == 2
    assert words in result.stderr
    assert made(tmp_path / "out") == []


def test_two_names_are_too_few(pancli, scene):
    result = pancli(*scene.args())
    assert result.exit_code == 2
    assert "the order is PAN MS [MS ...] OUTDIR" in result.stderr


def test_refusals_are_one_line_and_exit_one(pancli, scene, tmp_path):
    ms, pan = scene.ms, scene.pan
    for args, words in (
        ((ms, pan, tmp_path / "out"), "MS"),
        ((pan, tmp_path / "none.tif", tmp_path / "out"), "no such file"),
        ((pan, ms, scene.pan.parent, "--overwrite"), "is an input; name another output"),
        ((pan, ms, tmp_path / "out", "--ratio", 60), "too few for one of 60"),
        ((pan, ms, scene.pan), "cannot create folder"),
    ):
        result = pancli(*args)
        assert result.exit_code == 1
        (line,) = result.stderr.splitlines()
        assert line.startswith("pancli: ")
        assert words in line
    assert made(tmp_path / "out") == []


def test_what_exists_is_kept(pancli, scene, tmp_path):
    assert pancli(*scene.args(), tmp_path / "out").exit_code == 0
    before = (tmp_path / "out" / "ms.tif").read_bytes()
    refused = pancli(*scene.args(), tmp_path / "out", "--sensor", "quickbird")
    assert refused.exit_code == 1
    assert "exists already; use --overwrite" in refused.stderr
    assert (tmp_path / "out" / "ms.tif").read_bytes() == before

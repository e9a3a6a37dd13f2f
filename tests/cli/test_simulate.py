"""``pancli simulate`` as a user meets it."""

from functools import partial

import pytest

from tests import programs


@pytest.fixture
def pancli(monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    return partial(programs.pancli, "simulate")


def test_one_scene_is_three_files_and_one_line(pancli, tmp_path):
    result = pancli(tmp_path / "out", "--size", 64)
    assert result.exit_code == 0
    assert result.stderr == ""
    (line,) = result.stdout.splitlines()
    for words in (
        str(tmp_path / "out"),
        "seed 0",
        "PAN 64 x 64",
        "MS 16 x 16",
        "11 bits in uint16",
        "blue, green, red",
    ):
        assert words in line
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["ms.tif", "pan.tif", "reference.tif"]


def test_quiet_says_nothing_and_makes_the_same(pancli, tmp_path):
    result = pancli(tmp_path, "--size", 32, "-q")
    assert (result.exit_code, result.output) == (0, "")
    assert len(list(tmp_path.iterdir())) == 3


def test_every_option_is_taken(pancli, tmp_path):
    args = (
        "--size",
        48,
        "--bands",
        8,
        "--ratio",
        2.5,
        "--seed",
        7,
        "--sensor",
        "worldview3",
        "--dtype",
        "float32",
    )
    result = pancli(tmp_path, *args, "--count", 2)
    assert result.exit_code == 0
    first, second = result.stdout.splitlines()
    assert "seed-7: seed 7, PAN 48 x 48, MS 20 x 20, reflectance in float32, counted in 11 bits, " in first
    assert "seed-8: seed 8" in second
    assert "coastal" in first


def test_an_existing_output_is_refused_and_replaced_with_overwrite(pancli, tmp_path):
    assert pancli(tmp_path, "--size", 32).exit_code == 0
    refused = pancli(tmp_path, "--size", 32)
    assert refused.exit_code == 1
    assert refused.stdout == ""
    assert refused.stderr.startswith("pancli: ")
    assert "exists already; use --overwrite" in refused.stderr
    assert pancli(tmp_path, "--size", 32, "--overwrite").exit_code == 0


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--ratio", 1), "--ratio 1 "),
        (("--size", 1), "--size 1 "),
        (("--bands", 0), "--bands 0 "),
        (("--dtype", "int64"), "--dtype int64"),
        (("--sensor", "sputnik"), "sputnik"),
        (("--device", "tpu"), "--device tpu"),
        (("--count", 0), "--count 0 "),
        (("--seed", "x"), "--seed"),
    ],
)
def test_wrong_options_exit_two_and_make_nothing(pancli, tmp_path, args, words):
    result = pancli(tmp_path / "out", *args)
    assert result.exit_code == 2
    assert words in result.stderr
    assert not (tmp_path / "out").exists()

"""The benchmark of SSML: what it makes of a scene, what the students see of it, and its table."""

import math

import numpy as np
import pytest
import torch
from affine import Affine

from tests.benchmarks import hyperspectral
from tests.benchmarks.hyperspectral import GAIN, Kind, make_pair
from tests.scenes import write


def test_ms_is_seen_through_a_gaussian_as_wide_as_its_pixels():
    """A sine at the ms Nyquist frequency, by plain sums over a Gaussian of that width."""
    offsets = np.arange(-40, 40.01, 0.01)
    gaussian = np.exp(-4 * math.log(2) * (offsets / 4) ** 2)  # half its height at 2 pixels from the middle
    passed = (gaussian * np.cos(2 * math.pi * offsets / 8)).sum() / gaussian.sum()
    assert pytest.approx(passed, abs=1e-6) == GAIN


def test_pan_is_the_mean_of_visible_bands_and_ms_keeps_means():
    truth = torch.rand(5, 42, 35)
    pair = make_pair(truth, slice(1, 3))
    assert (pair.pan.shape, pair.ms.shape, pair.truth.shape) == ((1, 40, 32), (5, 10, 8), (5, 40, 32))
    torch.testing.assert_close(pair.pan[0], (truth[1, :40, :32] + truth[2, :40, :32]) / 2)
    torch.testing.assert_close(pair.ms.mean((1, 2)), pair.truth.mean((1, 2)), rtol=0, atol=0.05)
    assert pair.scene().info.gains == pytest.approx((GAIN,) * 5)


@pytest.mark.slow
def test_it_trains_on_the_upper_rows_and_measures_on_the_lower(tmp_path, monkeypatch, capsys):
    scene = np.random.default_rng(0).integers(100, 2000, (6, 96, 64)).astype(np.uint16)
    folder = tmp_path / "hyperspectral" / "made"
    folder.mkdir(parents=True)
    write(folder / "hs.tif", scene, Affine(30.0, 0.0, 5e5, 0.0, -30.0, 5e6))
    kind = Kind((0, 1, 2, 4, 5), slice(0, 3), (2, 1, 0), 48)
    monkeypatch.setattr(hyperspectral, "SCENES", {"made": kind})
    out = tmp_path / "out"
    given = ["--data", tmp_path, "--out", out, "--steps", 1, "--pictures", tmp_path / "seen"]
    hyperspectral.main([str(argument) for argument in given])
    part = np.load(out / "made" / "data" / "part-reference.npy")
    np.testing.assert_array_equal(part, scene[[0, 1, 2, 4, 5], :48])
    told = capsys.readouterr().out
    assert "made: 5 bands, measured on (40, 64); " in told
    rows = [line.split(" | ")[0] for line in told.splitlines() if line.startswith("| ")]
    methods = ["exp", "gsa", "mtf-glp-hpm", "bandset", "ssml-spectral", "ssml-spatial", "mean of both"]
    assert rows == [f"| {method}" for method in ["method", *methods]]
    assert (tmp_path / "seen" / "made.png").stat().st_size > 0

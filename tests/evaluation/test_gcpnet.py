from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from affine import Affine

from pancli.evaluation import EvaluateOptions, evaluate
from pancli.evaluation.profiles.gcpnet import _quality
from tests.evaluation.landscape import AT, brovey, landscape, landscape_files, reduce, write_files
from tests.scenes import write

# What the code itself printed for two fused images of the landscape.
PRINTED = {
    "interpolated": {
        "psnr": 35.4419291951509,
        "ssim": 0.851752428278142,
        "sam": 0.0295936339348419,
        "ergas": 1.98615302495812,
        "scc": 0.948796197631013,
        "q": 0.611812674071235,
        "d_lambda": 0.00804779477467132,
        "d_s": 0.0779047160217373,
        "qnr": 0.914674450370113,
    },
    "brovey": {
        "psnr": 40.9555743244979,
        "ssim": 0.970068287021683,
        "sam": 0.0295936339350233,
        "ergas": 1.07613091880256,
        "scc": 0.989769993724488,
        "q": 0.916144562400291,
        "d_lambda": 0.0180602378845943,
        "d_s": 0.0314260572026039,
        "qnr": 0.951081266981656,
    },
}
# The same for Brovey, once all images were cut to 8 bits as its scripts do.
PRINTED_8_BIT = {
    "psnr": 40.824911184774,
    "ssim": 0.968351760998905,
    "sam": 0.0305481140387844,
    "ergas": 1.10612921336162,
    "scc": 0.98910595409482,
    "q": 0.911460368179662,
    "d_lambda": 0.0184510691306427,
    "d_s": 0.0309824760532478,
    "qnr": 0.951138114623606,
}


def run(files, **options):
    report = evaluate(**files, options=EvaluateOptions(profile="gcpnet", device="cpu", **options))
    return report.figures


def values(figures):
    return {key: figure.value for key, figure in figures.items()}


@pytest.fixture
def files(tmp_path):
    return landscape_files(tmp_path)


@pytest.mark.parametrize("image", PRINTED)
def test_it_prints_what_the_code_prints(tmp_path, image):
    found = run(landscape_files(tmp_path, image), sensor="quickbird")
    assert values(found) == pytest.approx(PRINTED[image], rel=1e-9)


def test_images_cut_to_8_bits_give_what_its_scripts_print(tmp_path):
    reference, pan = landscape()
    ms = reduce(reference)
    fused = brovey(ms, pan)
    fused, pan, ms, reference = (np.clip(v / 2047, 0, 1) * 255 for v in (fused, pan, ms, reference))
    found = run(write_files(tmp_path, fused.astype("uint8"), pan, ms, reference, "uint8"))
    assert "peak 255" in found["psnr"].variant
    assert values(found) == pytest.approx(PRINTED_8_BIT, rel=1e-9)


def test_the_peak_scales_psnr_and_ssim_alone(files):
    known, other = values(run(files, peak=2047.0)), values(run(files, peak=4094.0))
    assert other["psnr"] == pytest.approx(known["psnr"] + 20 * math.log10(2))
    assert other["ssim"] > known["ssim"]
    unknown = run(files)
    for key in ("psnr", "ssim"):
        assert unknown[key].value is None
        assert "--peak" in unknown[key].note
    assert {k: v for k, v in known.items() if k not in ("psnr", "ssim")} == {
        k: f.value for k, f in unknown.items() if k not in ("psnr", "ssim")
    }


def plain_q(x, y):
    """The code's index of one window: four cases by what is next to nothing."""
    mx, my = x.mean(), y.mean()
    power, spread = mx**2 + my**2, x.var() + y.var()
    covariance = ((x - mx) * (y - my)).mean()
    if spread < 1e-8:
        return 2 * mx * my / power if power > 1e-8 else 1.0
    if power < 1e-8:
        return 2 * covariance / spread
    return 4 * mx * my * covariance / (power * spread)


def test_its_index_equals_plain_loops_where_windows_are_flat_or_dark():
    generator = np.random.default_rng(5)
    x = generator.normal(0.5, 0.1, (1, 12, 14))
    y = x + generator.normal(0, 0.05, x.shape)
    x[:, :6], y[:, :6] = 0.2, 0.3 + 1e-6 * y[:, :6]  # flat
    x[:, 6:, :5], y[:, 6:, :5] = 0.0, 0.0  # empty
    weave = np.where(np.indices((6, 4)).sum(0) % 2 == 0, 0.01, -0.01)
    x[:, 6:, 10:], y[:, 6:, 10:] = weave, 0.5 * weave  # dark: no mean, but contrast
    found = _quality(torch.from_numpy(x), torch.from_numpy(y), 4)[0]
    assert found.shape == (9, 11)
    expected = [
        [plain_q(x[0, r : r + 4, c : c + 4], y[0, r : r + 4, c : c + 4]) for c in range(11)] for r in range(9)
    ]
    assert found.numpy() == pytest.approx(np.array(expected), abs=1e-9)


def test_spectra_of_zeros_and_opposite_ones_are_at_a_right_angle(files, tmp_path):
    reference, _ = landscape()
    image = reference.copy()
    image[:, 30:40, 50:60] = 0
    image[:, 70:80, 50:60] *= -1
    files["fused"] = str(write(tmp_path / "holes.tif", image, AT))
    # 1e-7 rad: arccos loses half the digits of a cosine near one, in the code as here.
    assert run(files)["sam"].value == pytest.approx(200 / 128**2 * math.pi / 2, abs=1e-7)


def test_no_reference_figures_need_a_window_of_ms(files):
    found = run(files, block=48, peak=2047.0)
    for key in ("qnr", "d_lambda", "d_s"):
        assert found[key].value is None
        assert found[key].note == "no window of 48 x 48 pixels fits into MS"
    assert found["psnr"].value is not None


def test_one_band_has_no_angle_and_no_relations(files, tmp_path):
    for role in ("fused", "reference"):
        files[role] += ",band=1"
    files["ms"] = [files["ms"][0] + ",band=1"]
    found = run(files)
    for key in ("sam", "d_lambda", "qnr"):
        assert (found[key].value, found[key].note) == (None, "it takes two bands")
    assert found["d_s"].value is not None


def test_other_ratios_enter_ergas_and_the_filter(tmp_path):
    reference, pan = landscape()
    ms = reference.reshape(4, 64, 2, 64, 2).mean((2, 4)).round()
    files = write_files(tmp_path, reference + 5, pan, ms, reference)
    files["ms"] = [str(write(tmp_path / "ms2.tif", ms.astype("uint16"), AT * Affine.scale(2)))]
    found = run(files)
    means = reference.mean((1, 2))
    assert found["ergas"].value == pytest.approx(50 * np.sqrt((25 / means**2).mean()))
    assert "100 / 2" in found["ergas"].variant
    assert "one pixel in 2 from the first" in found["d_s"].variant

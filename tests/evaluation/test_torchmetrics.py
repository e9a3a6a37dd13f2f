"""The profile against the library itself, on the same arrays, and against what it printed elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torchmetrics.functional.image as library
from affine import Affine

from pancli.evaluation import EvaluateOptions, evaluate
from pancli.evaluation.profiles.torchmetrics import _local_correlation, gaussian_quality
from tests.evaluation.landscape import AT, landscape, landscape_files, reduce, write_files
from tests.scenes import read, write

# What 1.9.0 printed for two fused images of the landscape, in float64.
PRINTED = {
    "interpolated": {
        "psnr": 35.4419288052872,
        "ssim": 0.859719171183396,
        "sam": 0.0295936339348419,
        "ergas": 1.98615302495812,
        "scc": 0.14113162457943,
        "q": 0.487171601306301,
        "rmse": 32.4190944482668,
        "d_lambda": 0.067319318652153,
        "d_s": 0.442054063081741,
        "qnr": 0.520385444164276,
    },
    "brovey": {
        "psnr": 40.9555736845394,
        "ssim": 0.969885439046648,
        "sam": 0.0295936339350233,
        "ergas": 1.07613091880256,
        "scc": 0.813876390457153,
        "q": 0.885503516404438,
        "rmse": 17.2564078828712,
        "d_lambda": 0.038260780274868,
        "d_s": 0.0211434215307236,
        "qnr": 0.941404759883881,
    },
}


def run(files, **options):
    report = evaluate(**files, options=EvaluateOptions(profile="torchmetrics", device="cpu", **options))
    return report.figures


@pytest.fixture
def files(tmp_path):
    return landscape_files(tmp_path, columns=96)


@pytest.mark.parametrize("image", PRINTED)
def test_it_prints_what_the_library_prints(tmp_path, image):
    found = run(landscape_files(tmp_path, image), peak=2047.0)
    # 1e-6: the library keeps its matrices of Q, the Laplacians and the logarithm of the peak in float32.
    assert {k: f.value for k, f in found.items()} == pytest.approx(PRINTED[image], rel=1e-6)


def plain_reduction(pan):
    """Pan by the library's words: 7 x 7 mean, borders mirrored with the last pixel twice, central 2 x 2."""
    height, width = pan.shape
    grown = np.pad(pan, 3, mode="symmetric")
    smooth = np.array([[grown[r : r + 7, c : c + 7].mean() for c in range(width)] for r in range(height)])
    return np.array(
        [
            [smooth[4 * r + 1 : 4 * r + 3, 4 * c + 1 : 4 * c + 3].mean() for c in range(width // 4)]
            for r in range(height // 4)
        ]
    )


def test_it_equals_the_library(files):
    found = {key: figure.value for key, figure in run(files, peak=2047.0).items()}
    paths = (files["fused"], files["reference"], files["ms"][0], files["pan"])
    fused, reference, ms, pan = (torch.from_numpy(read(path))[None] for path in paths)
    low_pan = torch.from_numpy(plain_reduction(pan[0, 0].numpy()))[None, None]
    pan, low_pan = (image.expand(-1, 4, -1, -1) for image in (pan, low_pan))
    judged: dict[str, Any] = {
        "psnr": library.peak_signal_noise_ratio(fused, reference, 2047.0),
        "ssim": library.structural_similarity_index_measure(fused, reference, data_range=2047.0),
        "sam": library.spectral_angle_mapper(fused, reference),
        "ergas": library.error_relative_global_dimensionless_synthesis(fused, reference, 4),
        "scc": library.spatial_correlation_coefficient(fused, reference),
        "q": library.universal_image_quality_index(fused, reference),
        "rmse": library.root_mean_squared_error_using_sliding_window(fused, reference),
        "d_lambda": library.spectral_distortion_index(ms, fused),
        "d_s": library.spatial_distortion_index(fused, ms, pan, low_pan),
        "qnr": library.quality_with_no_reference(fused, ms, pan, low_pan),
    }
    assert found == pytest.approx({key: float(value) for key, value in judged.items()}, rel=2e-6)


def test_other_ratios_reach_ergas_and_the_reduction_of_pan(tmp_path):
    reference, pan = landscape()
    ms = reference.reshape(4, 64, 2, 64, 2).mean((2, 4)).round()
    files = write_files(tmp_path, reference + 5, pan, ms, reference)
    files["ms"] = [str(write(tmp_path / "ms2.tif", ms.astype("uint16"), AT * Affine.scale(2)))]
    found = run(files)
    x, y = (torch.from_numpy(read(files[role]))[None] for role in ("fused", "reference"))
    ergas = library.error_relative_global_dimensionless_synthesis(x, y, 2)
    assert found["ergas"].value == pytest.approx(float(ergas))
    assert found["d_s"].value is not None


def test_a_spectrum_of_zeros_leaves_no_angle_in_the_library_either(files):
    image = read(files["fused"])
    image[:, 3, 4] = 0
    write(files["fused"], image, AT)
    assert run(files)["sam"].value is None
    reference = torch.from_numpy(read(files["reference"]))
    assert bool(library.spectral_angle_mapper(torch.from_numpy(image)[None], reference[None]).isnan())


def test_flat_windows_count_as_zero():
    generator = np.random.default_rng(8)
    x = torch.from_numpy(generator.normal(700.3, 40, (1, 20, 40)))
    y = x + torch.from_numpy(generator.normal(0, 20, (1, 20, 40)))
    x[..., :20], y[..., :20] = 700.1, 512.7
    assert bool((gaussian_quality(x, y, 2.2e-16)[..., :10] == 0).all())
    assert bool((gaussian_quality(x, y, 2.2e-16)[..., 20:] != 0).all())
    # Laplacians reach one pixel further, and zeros stand around the image.
    assert bool((_local_correlation(x, y)[:, 5:16, 5:15] == 0).all())
    assert bool((_local_correlation(x, y)[:, :, 25:] != 0).all())


def test_no_reference_figures_need_a_window_of_ms(files, tmp_path):
    reference, pan = landscape()
    part = np.s_[..., :40, :40]
    small = write_files(
        tmp_path, reference[part], pan[:40, :40], reduce(reference)[..., :10, :10], reference[part]
    )
    found = run(small)
    for key in ("qnr", "d_lambda", "d_s"):
        assert (found[key].value, found[key].note) == (None, "no window of 11 x 11 pixels fits into MS")
    assert found["q"].value == pytest.approx(1)

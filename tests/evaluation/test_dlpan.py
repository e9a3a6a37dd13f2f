from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from affine import Affine

from pancli.errors import PairError
from pancli.evaluation import EvaluateOptions, evaluate
from pancli.evaluation.toolbox_filters import interpolate_23_taps, mtf_filter, mtf_kernel, shrink_bicubic
from tests.scenes import write

GAINS = (0.34, 0.32, 0.30, 0.22)  # QuickBird, as the toolbox lists them
# What the toolbox itself printed for the interpolated ms of the scene below, run in GNU Octave.
PRINTED = {
    "qnr": 0.918809529615315,
    "d_s": 0.0811904703846849,
    "hqnr": 0.907072373782369,
    "d_lambda_k": 0.0127743079002026,
    "q2n": 0.884743823324034,
    "q": 0.858376685812927,
    "sam": 1.73329853350415,
    "ergas": 2.15688684354983,
    "scc": 0.924578860087238,
}


def field(generator: Any, size: int, slope: float) -> Any:
    """Noise whose spectrum falls with a power of frequency; mean 0, deviation 1."""
    frequency = np.sqrt(np.fft.fftfreq(size)[:, None] ** 2 + np.fft.rfftfreq(size)[None, :] ** 2)
    frequency[0, 0] = 1
    noise = np.fft.rfft2(generator.standard_normal((size, size)))
    image = np.fft.irfft2(noise * frequency**-slope, s=(size, size))
    image -= image.mean()
    return image / image.std()


def landscape(size: int = 128) -> tuple[Any, Any]:
    """(reference, pan) that the printed numbers are of; they need every draw in this order."""
    generator = np.random.default_rng(0)
    common = field(generator, size, 1.6)
    parcels, own_parcels = np.zeros((size, size)), np.zeros((4, size, size))
    for _ in range(40):
        row, col = generator.integers(0, size - 8, 2)
        height, width = generator.integers(6, size // 4, 2)
        patch = np.s_[row : row + height, col : col + width]
        parcels[patch] += generator.normal()
        band = generator.integers(0, 4)
        own_parcels[band][patch] += 0.7 * generator.normal()
    parcels = (parcels - parcels.mean()) / parcels.std()
    bands = []
    means, shared, alone = (320, 410, 360, 620), (70, 95, 105, 120), (12, 18, 22, 70)
    for mean, gain, own_gain, own_parcel in zip(means, shared, alone, own_parcels, strict=True):
        own, texture = field(generator, size, 1.4), field(generator, size, 0.6)
        image = mean + gain * (0.7 * common + 0.7 * parcels) + own_gain * (own + own_parcel)
        bands.append(image + 0.12 * gain * texture)
    reference = np.clip(np.rint(bands), 1, 2047)
    noise = field(generator, size, 0.3)
    pan = np.tensordot(np.array([0.12, 0.27, 0.30, 0.31]), reference, 1)
    return reference, np.clip(np.rint(1.05 * pan + 10 + 4 * noise), 1, 2047)


@pytest.fixture
def files(tmp_path):
    reference, pan = landscape()
    reduced = [
        mtf_filter(torch.from_numpy(b), g, 4)[2::4, 2::4] for b, g in zip(reference, GAINS, strict=True)
    ]
    ms = torch.stack(reduced).round()
    fused = interpolate_23_taps(ms, 4)
    at = Affine(0.5, 0, 500000, 0, -0.5, 4000000)
    return {
        "fused": str(write(tmp_path / "fused.tif", fused.numpy(), at)),
        "pan": str(write(tmp_path / "pan.tif", pan.astype("uint16"), at)),
        "ms": [str(write(tmp_path / "ms.tif", ms.numpy().astype("uint16"), at * Affine.scale(4)))],
        "reference": str(write(tmp_path / "truth.tif", reference.astype("uint16"), at)),
    }


def test_it_prints_what_the_toolbox_prints(files):
    options = EvaluateOptions(profile="dlpan", sensor="quickbird", device="cpu")
    report = evaluate(**files, options=options)
    found = {key: figure.value for key, figure in report.figures.items()}
    assert found.pop("d_lambda") == pytest.approx(0, abs=1e-7)
    assert found == pytest.approx(PRINTED, rel=1e-6)
    assert all("toolbox" in figure.variant for figure in report.figures.values())


@pytest.mark.parametrize(
    ("options", "message"), [({"block": 48}, "multiples of 48"), ({"block": 128}, "less than a block of 128")]
)
def test_what_the_toolbox_does_not_take_is_refused(files, options, message):
    with pytest.raises(PairError, match=message):
        evaluate(**files, options=EvaluateOptions(profile="dlpan", device="cpu", **options))


def test_masks_and_parts_are_refused(files, tmp_path):
    options = EvaluateOptions(profile="dlpan", device="cpu")
    reference, _ = landscape()
    at = Affine(0.5, 0, 500000, 0, -0.5, 4000000)
    part = str(write(tmp_path / "part.tif", reference[:, :96], at))
    with pytest.raises(PairError, match="compares whole images"):
        evaluate(**{**files, "fused": part}, options=options)
    reference[0, 5, 5] = np.nan
    masked = str(write(tmp_path / "masked.tif", reference, at))
    with pytest.raises(PairError, match="knows no masks"):
        evaluate(**{**files, "fused": masked}, options=options)


@pytest.mark.parametrize("ratio", [2, 4])
def test_interpolation_keeps_the_samples_and_constants(ratio):
    image = torch.rand(2, 12, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = interpolate_23_taps(image, ratio)
    assert torch.allclose(found[:, ratio // 2 :: ratio, ratio // 2 :: ratio], image)
    assert torch.allclose(interpolate_23_taps(torch.ones_like(image), ratio), torch.tensor(1.0).double())


def test_shrinking_keeps_a_ramp_inside():
    ramp = torch.arange(64, dtype=torch.float64).repeat(64, 1)
    inside = shrink_bicubic(ramp, 4)[:, 3:-3]
    assert torch.allclose(inside, (4 * torch.arange(16) + 1.5).double()[3:-3].expand(16, -1))


def test_the_kernel_is_symmetric_and_sums_to_a_little_less_than_one():
    kernel = mtf_kernel(0.3, 4)
    assert torch.allclose(kernel, kernel.T, atol=1e-15)
    assert torch.allclose(kernel, kernel.flip(0, 1), atol=1e-15)
    assert float(kernel.sum()) == pytest.approx(0.9987, abs=1e-4)

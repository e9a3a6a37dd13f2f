from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from pancli.errors import PairError
from pancli.evaluation import EvaluateOptions, evaluate
from pancli.evaluation.profiles.toolbox_filters import (
    interpolate_23_taps,
    mtf_filter,
    mtf_kernel,
    shrink_bicubic,
)
from tests.evaluation.landscape import landscape_files

# What the toolbox itself printed for two fused images of the landscape, run in GNU Octave.
PRINTED = {
    "interpolated": {
        "qnr": 0.918809529615315,
        "d_lambda": 0.0,
        "d_s": 0.0811904703846849,
        "hqnr": 0.907072373782369,
        "d_lambda_k": 0.0127743079002026,
        "q2n": 0.884743823324034,
        "q": 0.858376685812927,
        "sam": 1.73329853350415,
        "ergas": 2.15688684354983,
        "scc": 0.924578860087238,
    },
    "brovey": {
        "qnr": 0.96221670251258,
        "d_lambda": 0.0168239937052777,
        "d_s": 0.0213179569557759,
        "hqnr": 0.962178512320233,
        "d_lambda_k": 0.0168630157682838,
        "q2n": 0.976229523559138,
        "q": 0.974601762671073,
        "sam": 1.73329853370302,
        "ergas": 1.04726689425809,
        "scc": 0.990576626467329,
    },
}


@pytest.fixture
def files(tmp_path):
    return landscape_files(tmp_path, "interpolated")


@pytest.mark.parametrize("image", PRINTED)
def test_it_prints_what_the_toolbox_prints(tmp_path, image):
    files = landscape_files(tmp_path, image)
    options = EvaluateOptions(profile="dlpan", sensor="quickbird", device="cpu")
    report = evaluate(**files, options=options)
    found = {key: figure.value for key, figure in report.figures.items()}
    # 1e-8: the toolbox was given interpolated ms rounded to 2 ** -20, and we interpolate anew. Q2n rounds
    # what it measures: a fused image read in less than its own precision would be 4e-6 off here.
    assert found == pytest.approx(PRINTED[image], rel=1e-8, abs=1e-10)
    assert all("toolbox" in figure.variant for figure in report.figures.values())


@pytest.mark.parametrize(
    ("options", "message"), [({"block": 48}, "multiples of 48"), ({"block": 128}, "less than a block of 128")]
)
def test_what_the_toolbox_does_not_take_is_refused(files, options, message):
    with pytest.raises(PairError, match=message):
        evaluate(**files, options=EvaluateOptions(profile="dlpan", device="cpu", **options))


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


def test_the_filter_weighs_each_pixel_s_neighbours_and_repeats_borders():
    image = np.random.default_rng(4).normal(600, 80, (50, 63))
    found = mtf_filter(torch.from_numpy(image), 0.22, 4).numpy()
    assert found.shape == image.shape
    kernel, grown = mtf_kernel(0.22, 4).numpy(), np.pad(image, 20, mode="edge")
    for row, col in ((0, 0), (0, 62), (49, 0), (49, 62), (25, 31), (3, 47)):
        expected = (kernel * grown[row : row + 41, col : col + 41]).sum()
        assert found[row, col] == pytest.approx(expected, rel=1e-12)


@pytest.mark.slow
def test_filtering_a_large_image_copies_it_a_few_times_only():
    """A convolution that unrolls its windows takes 3.5 GB here, and 220 GB at the largest size allowed."""
    code = (
        "import resource, torch\n"
        "from pancli.evaluation.profiles.toolbox_filters import mtf_filter\n"
        "image = torch.rand(512, 512, dtype=torch.float64)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "mtf_filter(image, 0.3, 4)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100e6

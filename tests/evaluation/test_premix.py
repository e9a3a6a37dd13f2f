from __future__ import annotations

import numpy as np
import pytest
import torch

from pancli.errors import UsageError
from pancli.evaluation import EvaluateOptions, evaluate
from tests.evaluation.landscape import AT, brovey, landscape, landscape_files, reduce, write_files
from tests.scenes import read, write

# What the code itself printed for two fused images of the landscape.
PRINTED = {
    "interpolated": {
        "psnr": 35.4419288635254,
        "ssim": 0.851753950119019,
        "sam": 0.0295936819165945,
        "ergas": 31.7784519195557,
        "q": 0.483096867799759,
        "rmse": 0.0158373694866896,
        "cc": 0.948796212673187,
        "d_lambda": 5.40812798135448e-05,
        "d_s": 0.00744624435901642,
        "qnr": 0.992500126361847,
    },
    "brovey": {
        "psnr": 40.9555702209473,
        "ssim": 0.9700688123703,
        "sam": 0.029593612998724,
        "ergas": 17.2180976867676,
        "q": 0.879670739173889,
        "rmse": 0.00843009632080793,
        "cc": 0.989769876003265,
        "d_lambda": 0.00763001525774598,
        "d_s": 0.0469921827316284,
        "qnr": 0.945736348628998,
    },
}
FLOAT32 = 5e-6
"""What another order of adding up may move Q by: 1e-7 of a mean of squares, over a variance 25 times less."""


def run(files, **options):
    return evaluate(**files, options=EvaluateOptions(profile="premix", device="cpu", **options)).figures


def values(files, **options):
    return {key: figure.value for key, figure in run(files, **options).items()}


@pytest.fixture
def files(tmp_path):
    return landscape_files(tmp_path, columns=96)


@pytest.mark.parametrize("image", PRINTED)
def test_it_prints_what_the_code_prints(tmp_path, image):
    found = values(landscape_files(tmp_path, image), peak=2047.0)
    distortions = {key: found.pop(key) for key in ("d_lambda", "d_s", "qnr")}
    printed = PRINTED[image]
    # 1e-4: the code works in float32.
    assert found == pytest.approx({key: printed[key] for key in found}, rel=1e-4)
    assert distortions == pytest.approx({key: printed[key] for key in distortions}, rel=1e-4, abs=FLOAT32)


def global_q(x, y, mean):
    mx, my = mean(x), mean(y)
    spread = (mean(x * x) - mx * mx) + (mean(y * y) - my * my)
    return 4 * (mean(x * y) - mx * my) * mx * my / (spread * (mx * mx + my * my) + 1e-8)


def distortions(fused, pan, ms, low_pan, mean):
    """(D_lambda, D_S) by their definitions, every ordered pair of bands."""
    bands = range(len(fused))
    pairs = [(i, j) for i in bands for j in bands if i != j]
    spectral = [
        abs(float(global_q(fused[i], fused[j], mean) - global_q(ms[i], ms[j], mean))) for i, j in pairs
    ]
    spatial = [abs(float(global_q(fused[b], pan, mean) - global_q(ms[b], low_pan, mean))) for b in bands]
    return np.mean(spectral), np.mean(spatial)


def cubic(x):
    """Cubic convolution with a = -0.75."""
    x = abs(x)
    if x < 1:
        return (1.25 * x - 2.25) * x * x + 1
    return ((-0.75 * x + 3.75) * x - 6) * x + 3 if x < 2 else 0.0


def plain_sampling(length, count):
    """(count, length): cubic weights at points from the first to the last pixel, borders repeated."""
    weights = np.zeros((count, length))
    for i in range(count):
        at = i * (length - 1) / (count - 1)
        for tap in range(int(at) - 1, int(at) + 3):
            weights[i, min(max(tap, 0), length - 1)] += cubic(at - tap)
    return weights


def unit(path):
    return np.clip(read(path) / 2047, 0, 1)


def test_distortions_equal_plain_loops(files):
    fused, pan, ms = unit(files["fused"]), unit(files["pan"])[0], unit(files["ms"][0])
    low_pan = plain_sampling(128, 32) @ pan @ plain_sampling(96, 24).T
    expected = distortions(fused, pan, ms, low_pan, np.mean)
    found = values(files, peak=2047.0)
    assert (found["d_lambda"], found["d_s"]) == pytest.approx(expected, abs=FLOAT32)


def test_distortions_are_of_float32(files):
    fused, pan, ms = (
        torch.from_numpy(unit(path)).float() for path in (files["fused"], files["pan"], files["ms"][0])
    )
    low_pan = torch.nn.functional.interpolate(pan[None], (32, 24), mode="bicubic", align_corners=True)[0]

    def mean(image):
        return image.reshape(1, *image.shape[-2:]).mean((1, 2))

    expected = distortions(fused, pan[0], ms, low_pan[0], mean)
    found = values(files, peak=2047.0)
    # 1e-6: a bit of Q, because the code takes pan in one order only and the profile in both.
    assert (found["d_lambda"], found["d_s"]) == pytest.approx(expected, rel=1e-6)
    exact = distortions(fused.double(), pan[0].double(), ms.double(), low_pan[0].double(), mean)
    assert found["d_lambda"] != pytest.approx(exact[0], rel=1e-5)


def test_numbers_beyond_the_peak_are_cut(files):
    image = read(files["fused"])
    image[1, 40:60], image[2, 70:90] = 5000, -300
    write(files["fused"], image, AT)
    odd = values(files, peak=2047.0)
    write(files["fused"], image.clip(0, 2047), AT)
    assert values(files, peak=2047.0) == odd


def test_the_peak_is_needed_and_named(files):
    with pytest.raises(UsageError, match="--peak, or --sensor"):
        run(files)
    found = run(files, sensor="quickbird")
    assert all("/ 2047" in figure.variant for key, figure in found.items() if key != "qnr")


def test_ergas_is_the_square_of_the_ratio_too_large(files):
    x, y = unit(files["fused"]), unit(files["reference"])
    relative = ((x - y) ** 2).mean((1, 2)) / y.mean((1, 2)) ** 2
    found = run(files, peak=2047.0)["ergas"]
    assert found.value == pytest.approx(400 * np.sqrt(relative.mean()), rel=1e-6)
    assert "16 times 100 / 4" in found.variant


def test_images_of_8_bits_say_their_peak_without_a_reference(tmp_path):
    reference, pan = landscape()
    ms = reduce(reference)
    fused, pan, ms, reference = (v / 2047 * 255 for v in (brovey(ms, pan), pan, ms, reference))
    files = write_files(tmp_path, fused.astype("uint8"), pan, ms, reference, "uint8")
    assert "/ 255" in run({**files, "reference": None})["d_lambda"].variant

"""What holds for every profile that repeats a published code on whole images."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine

from pancli.errors import PairError, UsageError
from pancli.evaluation import EvaluateOptions, evaluate
from pancli.evaluation.profiles import WHOLE_PROFILES
from pancli.evaluation.profiles import whole as whole_images
from pancli.evaluation.report import csv_columns
from pancli.metrics.profiles import PROFILES
from tests.evaluation.landscape import AT, landscape, landscape_files, reduce
from tests.scenes import write

KEYS = {"qnr", "d_lambda", "d_s", "hqnr", "d_lambda_k", "d_rho"}
REFERENCE_KEYS = {"psnr", "ssim", "sam", "ergas", "scc", "q", "q2n", "rmse", "cc"}


@pytest.fixture(params=WHOLE_PROFILES)
def profile(request):
    return request.param


@pytest.fixture
def files(tmp_path):
    return landscape_files(tmp_path)


def run(files, profile, **options):
    return evaluate(
        **files, options=EvaluateOptions(profile=profile, sensor="quickbird", device="cpu", **options)
    )


def test_every_name_has_its_code():
    assert ["pancli", *WHOLE_PROFILES] == list(PROFILES)


def test_figures_have_known_keys_and_say_whose_they_are(files, profile):
    report = run(files, profile)
    assert report.profile == profile
    assert set(report.figures) <= KEYS | REFERENCE_KEYS
    own = {"dlpan": "toolbox"}.get(profile, profile)
    assert all(figure.variant.startswith(own) for figure in report.figures.values())
    assert all(np.isfinite(figure.value) for figure in report.figures.values())
    alone = run({**files, "reference": None}, profile)
    assert set(alone.figures) == set(report.figures) & KEYS
    assert list(report.as_row()) == csv_columns(profile, reference=True)
    assert list(alone.as_row()) == csv_columns(profile, reference=False)


def test_the_truth_is_perfect_against_itself(files, profile):
    found = {key: f.value for key, f in run({**files, "fused": files["reference"]}, profile).figures.items()}
    best = {"ssim": 1, "scc": 1, "cc": 1, "q": 1, "q2n": 1, "sam": 0, "ergas": 0, "rmse": 0, "psnr": None}
    shared = set(best) & set(found)
    assert shared
    for key in shared:
        # 1e-3: arccos of a cosine near one, in float32 where the code has it so. 1e-2: the epsilon of float32
        # in PreMix's Q, which is no longer small beside variances of numbers in [0, 1].
        close = 1e-2 if (profile, key) == ("premix", "q") else 1e-3
        assert found[key] == pytest.approx(best[key], abs=close), key


@pytest.mark.parametrize(("peak", "told"), [(2047.0, False), (1e6, True)])
def test_a_peak_that_cannot_be_the_references_is_told_where_it_counts(files, profile, peak, told):
    takes = "--peak" in PROFILES[profile].takes
    warnings = run(files, profile, **({"peak": peak} if takes else {})).warnings
    assert any("the peak of 1000000" in warning for warning in warnings) is (told and takes)


def test_parts_are_refused(files, profile, tmp_path):
    reference, _ = landscape()
    part = str(write(tmp_path / "part.tif", reference[:, :96], AT))
    with pytest.raises(PairError, match=f"--profile {profile} compares whole images"):
        run({**files, "fused": part}, profile)


def test_masks_are_refused(files, profile, tmp_path):
    reference, _ = landscape()
    reference[0, 5, 5] = np.nan
    masked = str(write(tmp_path / "masked.tif", reference, AT))
    with pytest.raises(PairError, match="knows no masks"):
        run({**files, "fused": masked}, profile)


@pytest.mark.parametrize(
    "change", [Affine.translation(0.01, 0), Affine.scale(1.001, 1)], ids=["moved", "stretched"]
)
def test_corners_apart_are_refused(files, profile, tmp_path, change):
    ms = reduce(landscape()[0])
    moved = str(write(tmp_path / "moved.tif", ms.astype("uint16"), AT * Affine.scale(4) * change))
    with pytest.raises(PairError, match="needs corners in common"):
        run({**files, "ms": [moved]}, profile)


def test_large_images_are_refused(files, profile, monkeypatch):
    monkeypatch.setattr(whole_images, "MAX_SIDE", 100)
    with pytest.raises(UsageError, match="stops at 100 pixels a side"):
        run(files, profile)


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("--block", {"block": 16}),
        ("--mtf-gain", {"mtf_gain": (0.3,)}),
        ("--peak", {"peak": 2047.0}),
        ("--map", {"map_path": "map.tif"}),
    ],
)
@pytest.mark.parametrize("name", PROFILES)
def test_an_option_without_effect_is_refused(name, option, values):
    if option in PROFILES[name].takes:
        EvaluateOptions(profile=name, **values)
        return
    with pytest.raises(UsageError, match=f"{option} does nothing with --profile {name}; it goes with pancli"):
        EvaluateOptions(profile=name, **values)

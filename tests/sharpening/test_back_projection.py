"""Back-projection of files: no seam, nothing leaks, the file says what was done."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import rasterio

from pancli.methods.back_projection import BackProjected
from pancli.methods.component_substitution import GSA
from pancli.methods.registry import METHODS
from pancli.sharpening import SharpenOptions, plan_sharpening, sharpen
from tests.scenes import make_scene, read, spoil, write
from tests.sharpening.test_masks import expected_mask, run

LIKELY = ["exp", "gsa", "bandset", "gcpnet", "gdal"]


@pytest.mark.parametrize("method", LIKELY)
@pytest.mark.parametrize("sensor", ["generic", "ikonos"])
def test_tile_size_does_not_show(tmp_path, method, sensor):
    scene = make_scene(tmp_path, size=(104, 230), ratio=3.3, ms_offset=(-3.3, -1.7), ms_size=(40, 75))
    fused = {}
    for size in (64, 512):
        out = tmp_path / f"{size}.tif"
        options = SharpenOptions(method=method, tile=size, dtype="float32", back_project=3, sensor=sensor)
        sharpen(str(scene.pan), [str(scene.ms)], out, options)
        fused[size] = read(out)
    assert np.abs(fused[64] - fused[512]).max() < 1e-4 * np.ptp(fused[512])


@pytest.mark.parametrize("method", ["exp", "gsa", "gcpnet"])
def test_masked_values_do_not_leak(tmp_path, method):
    asked = {"method": method, "back_project": 2}
    low, mask, _ = run(spoil(tmp_path / "a", 0, 0.0), tmp_path / "a.tif", **asked)
    high, same, _ = run(spoil(tmp_path / "b", 60000, 60000.0), tmp_path / "b.tif", **asked)
    assert (mask == expected_mask()).all()
    assert (same == mask).all()
    assert np.abs(low - high)[:, mask].max() <= 1


@pytest.mark.parametrize("method", LIKELY[:4])
def test_a_constant_pair_stays_constant(tmp_path, method):
    scene = make_scene(tmp_path)
    write(scene.pan, np.full_like(scene.pan_image, 700), scene.pan_transform)
    levels = np.array([300, 500, 900, 1200], np.uint16)[:, None, None]
    write(scene.ms, np.broadcast_to(levels, scene.ms_image.shape), scene.ms_transform)
    out = tmp_path / "out.tif"
    sharpen(str(scene.pan), [str(scene.ms)], out, SharpenOptions(method=method, back_project=2))
    assert (read(out) == levels).all()


def tags(path):
    with rasterio.open(path) as dataset:
        return dataset.tags()


def test_the_file_says_what_was_done(scene, tmp_path):
    known, blind, network = (tmp_path / f"{name}.tif" for name in ("known", "blind", "network"))
    pair = str(scene.pan), [str(scene.ms)]
    sharpen(*pair, known, SharpenOptions(method="gsa", back_project=2, sensor="ikonos"))
    sharpen(*pair, blind, SharpenOptions(method="gsa", back_project=1))
    sharpen(*pair, network, SharpenOptions(back_project=1))
    assert tags(known)["PANCLI_METHOD"] == "gsa+bp2"
    assert json.loads(tags(known)["PANCLI_OPTIONS"])["back_project"] == 2
    first, *others = (float(gain) for gain in tags(blind)["PANCLI_MTF_GAINS"].split(","))
    assert 0.6 < first < 0.95  # ms of this scene are means of pan pixels: hardly blurred beyond that
    assert others == [first] * 3
    assert tags(known)["PANCLI_MTF_GAINS"] == tags(blind)["PANCLI_MTF_GAINS"]  # not what the sensor says
    assert tags(known)["PANCLI_BACK_PROJECTIONS"] == "2"
    assert tags(network)["PANCLI_METHOD"] == "bandset+bp1"
    assert len(tags(network)["PANCLI_WEIGHTS_SHA256"]) == 64
    learnt = {"PANCLI_DETAIL_STRENGTH", "PANCLI_COLOUR_TERMS"}
    assert not learnt & tags(network).keys()  # of picked pixels nothing is
    assert tags(network)["PANCLI_PAN_CRISPER"] == "1"
    assert not {"PANCLI_DETAIL_STRENGTH", "PANCLI_PAN_CRISPER"} & tags(known).keys()


def test_a_method_may_ask_for_it(scene, tmp_path, monkeypatch):
    asking = replace(GSA, contract=replace(GSA.contract, back_projections=2))
    monkeypatch.setitem(METHODS, "gsa", asking)
    for rounds, wrapped, name in ((None, True, "gsa"), (0, False, "gsa"), (1, True, "gsa+bp1")):
        options = SharpenOptions(method="gsa", back_project=rounds)
        with plan_sharpening(str(scene.pan), [str(scene.ms)], tmp_path / "out.tif", options) as plan:
            assert isinstance(plan.method, BackProjected) == wrapped
            assert plan.method.name == name


@pytest.mark.slow
def test_a_network_is_adapted_first(tmp_path):
    scene = make_scene(tmp_path, size=(256, 256))
    out = tmp_path / "out.tif"
    options = SharpenOptions(adapt=0.5, device="cpu", back_project=1)
    report = sharpen(str(scene.pan), [str(scene.ms)], out, options)
    assert report.adaptation is not None
    assert report.method == "bandset+bp1"
    assert tags(out)["PANCLI_ADAPTATION"] == report.adaptation.describe()

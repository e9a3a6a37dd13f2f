"""--crisp-pan: any method is given a pan whose blur is undone, and nothing else changes."""

from dataclasses import replace

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine

from pancli.errors import UsageError
from pancli.methods.alignment import NOWHERE
from pancli.methods.crispness import crisp
from pancli.sharpening import SharpenOptions, plan_sharpening, sharpen
from tests.methods.natural import blunted, natural, seen_from_orbit
from tests.scenes import UTM, read, write

AT = Affine(0.5, 0, 500000, 0, -0.5, 4000000)
GSA = SharpenOptions(method="gsa", dtype="float32", crisp_pan=True)


@pytest.fixture
def pair(tmp_path):
    """A pan that its camera left blunt, and ms of three bands."""
    pan = blunted(natural(), 0.25)
    write(tmp_path / "pan.tif", pan.numpy(), AT, UTM)
    write(tmp_path / "ms.tif", seen_from_orbit(natural()), AT * Affine.scale(4), UTM)
    return f"{tmp_path / 'pan.tif'}", f"{tmp_path / 'ms.tif'}"


def tags(path):
    with rasterio.open(path) as dataset:
        return dataset.tags()


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"tile": 64},
        {"method": "pannet", "tile": 64},
        {"back_project": 2},
        {"coregister": "pan", "method": "wavelet"},
    ],
)
def test_it_is_what_a_crisp_pan_gives(pair, tmp_path, change):
    asked = replace(GSA, **change)
    sharpen(pair[0], [pair[1]], tmp_path / "asked.tif", asked)
    more = float(tags(tmp_path / "asked.tif")["PANCLI_PAN_CRISPER"])
    assert more == pytest.approx(1.6, rel=0.15)
    pan = crisp(torch.from_numpy(read(pair[0])), more)
    write(tmp_path / "crisp.tif", pan.numpy(), AT, UTM)
    sharpen(f"{tmp_path / 'crisp.tif'}", [pair[1]], tmp_path / "given.tif", replace(asked, crisp_pan=False))
    assert "PANCLI_PAN_CRISPER" not in tags(tmp_path / "given.tif")
    found, expected = read(tmp_path / "asked.tif"), read(tmp_path / "given.tif")
    # The tag has four digits; where pan lies was measured before it was made crisp.
    np.testing.assert_allclose(found, expected, atol=1e-3 * expected.std())
    sharpen(pair[0], [pair[1]], tmp_path / "blunt.tif", replace(asked, crisp_pan=False))
    assert np.abs(read(tmp_path / "blunt.tif") - expected).max() > 0.05 * expected.std()


def test_bandset_does_so_unasked_and_once(pair, tmp_path):
    made = []
    for asked in (True, False):
        out = tmp_path / f"{asked}.tif"
        sharpen(pair[0], [pair[1]], out, replace(GSA, method="bandset", crisp_pan=asked))
        made.append((read(out), tags(out)["PANCLI_PAN_CRISPER"]))
    np.testing.assert_array_equal(made[0][0], made[1][0])
    assert made[0][1] == made[1][1] != "1"


def test_the_tags_tell_what_was_asked_for(pair, tmp_path):
    sharpen(pair[0], [pair[1]], tmp_path / "out.tif", GSA)
    assert '"crisp_pan": true' in tags(tmp_path / "out.tif")["PANCLI_OPTIONS"]


def test_where_nothing_is_blunt_nothing_changes(pair, tmp_path):
    write(tmp_path / "pan.tif", natural().numpy(), AT, UTM)
    for asked in (True, False):
        sharpen(pair[0], [pair[1]], tmp_path / f"{asked}.tif", replace(GSA, crisp_pan=asked))
    assert tags(tmp_path / "True.tif")["PANCLI_PAN_CRISPER"] == "1"
    np.testing.assert_array_equal(read(tmp_path / "True.tif"), read(tmp_path / "False.tif"))


@pytest.mark.parametrize("method", ["gsa", "bandset-small"])
def test_a_plan_that_measures_nothing_has_room_for_whatever_is_found(pair, tmp_path, method):
    off = AT * Affine.translation(1.5, -1.0) * Affine.scale(4)
    write(tmp_path / "ms.tif", seen_from_orbit(natural()), off, UTM)
    options, told = replace(GSA, method=method, coregister="pan"), []
    for measure in (True, False):
        with plan_sharpening(pair[0], [pair[1]], tmp_path / "out.tif", options, measure=measure) as plan:
            assert plan.scene.pan_shift != NOWHERE
            assert (plan.scene.pan_crisper > 1.0) == (method == "gsa")
            told.append(plan.as_dict())
    measured, planned = told
    assert measured["tiles"] == planned["tiles"] and measured["memory_mb"] == planned["memory_mb"]


def test_gdal_cannot_be_given_another_pan(pair, tmp_path):
    with (
        pytest.raises(UsageError, match="--crisp-pan cannot be used with --method gdal"),
        plan_sharpening(pair[0], [pair[1]], tmp_path / "out.tif", replace(GSA, method="gdal")),
    ):
        pass

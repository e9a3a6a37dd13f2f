"""What networks that see physics are given of pan."""

import math

import pytest
import torch

from pancli.methods.views import blend_weights, blended_windows, see_pan
from pancli.placement import AxisMap, Placement
from pancli.resampling import blur, low_pass, mtf_sigma, upsample
from pancli.tiling import Tile, Window


@pytest.mark.parametrize("first", range(8))
@pytest.mark.parametrize("length", [1, 3, 4, 9, 20])
def test_blended_windows_cover_a_scene_wherever_it_begins_and_however_short(first, length):
    scene = Window(first, 0, length, 16)
    canvas = scene.grow(8)
    weights = torch.zeros(canvas.shape)
    for window in blended_windows(Tile(scene, scene), 8):
        assert window.row % 4 == window.col % 4 == 0
        weights[window.slices_in(canvas)] += blend_weights(8)[0]
    assert float(weights[scene.slices_in(canvas)].min()) > 0


def test_the_detail_of_a_blunt_pan_is_what_pixels_picked_of_it_lack():
    """Each ms pixel is one of a blurred pan's: interpolated, with that detail, they are the blurred pan."""
    generator = torch.Generator().manual_seed(0)
    pan = blur(torch.randn(1, 96, 96, generator=generator), (0.8, 0.8))
    whole, gain = Window(0, 0, 96, 96), 0.8
    placement = Placement(AxisMap(1 / 3, 0.0, 32), AxisMap(1 / 3, 0.0, 32))
    truth = blur(pan, (mtf_sigma(3.0, gain),) * 2)
    ms = truth[:, 1::3, 1::3]
    interpolated = upsample(ms, placement, Window(0, 0, 32, 32), whole)
    inner = slice(12, -12)

    def error(image: torch.Tensor) -> float:
        return float((image - truth)[:, inner, inner].std() / truth.std())

    _, blunt, _ = see_pan(pan, placement, whole, gain, gain)
    sharp = pan - low_pass(pan, placement, whole, gain)
    assert error(interpolated + blunt) < 0.15 * min(error(interpolated), error(interpolated + sharp))


@pytest.mark.parametrize(("gain", "shown", "told"), [(0.3, 0.3, 0.3), (0.3, 0.35, 0.3), (0.8, 0.8, 0.6)])
def test_pan_is_reduced_by_the_gain_that_is_believed_and_no_more_than_sensors_have(gain, shown, told):
    pan, whole = torch.randn(1, 64, 64, generator=torch.Generator().manual_seed(0)), Window(0, 0, 64, 64)
    placement = Placement(AxisMap(0.25, 0.0, 16), AxisMap(0.25, 0.0, 16))
    low, blunt, optics = see_pan(pan, placement, whole, gain, shown)
    torch.testing.assert_close(low, low_pass(pan, placement, whole, told))
    blurred = blur(pan, (mtf_sigma(4.0, shown),) * 2)
    torch.testing.assert_close(blunt, blurred - low_pass(pan, placement, whole, shown))
    assert optics.tolist() == pytest.approx([told, shown, math.log2(4)])

"""PNN: layers as published, the whole in plain NumPy, and its band ratios by hand."""

import numpy as np
import pytest
import torch

from pancli.networks.band_ratios import band_ratios
from pancli.networks.pnn import PNN
from tests.networks.made import random_inputs
from tests.networks.plain import array, bicubic, convolve, ratios_by_hand, rectify, weights_of


def test_layers_have_their_published_shapes():
    shapes = {name: tuple(p.shape) for name, p in PNN().named_parameters() if name.endswith("weight")}
    assert shapes == {
        "first.weight": (48, 7, 9, 9),
        "second.weight": (32, 48, 5, 5),
        "last.weight": (4, 32, 5, 5),
    }


def test_agrees_with_plain_numpy():
    network = PNN()
    inputs = random_inputs(PNN, 4, (16, 20))
    weights = weights_of(network)
    ratios = ratios_by_hand(array(inputs.lrms))
    bms = array(inputs.bms)
    x = np.concatenate((0.5 + bms / 8, 0.5 + array(inputs.pan) / 8, bicubic(ratios, 4)))
    for layer in ("first", "second"):
        x = rectify(convolve(x, weights[f"{layer}.weight"], weights[f"{layer}.bias"]))
    x = convolve(x, weights["last.weight"], weights["last.bias"])
    np.testing.assert_allclose(array(network(inputs).residual), 8 * (x - 0.5) - bms, atol=1e-4)


def ratio_by_hand(one, other):
    """Of values in units, one pixel at a time."""
    one, other = max(0.5 + one / 8, 0), max(0.5 + other / 8, 0)
    return 0 if one + other == 0 else (one - other) / (one + other)


@pytest.mark.parametrize(
    ("bands", "members"), [(1, (0, 0, 0)), (2, (1, 0, 1)), (3, (1, 2, 0)), (8, (1, 2, 3))]
)
def test_ratios_are_of_the_second_third_and_fourth_band(bands, members):
    """Constant images keep enlargement out of the matter."""
    values = np.linspace(-5, 6, bands)
    lrms = torch.tensor(values, dtype=torch.float32)[None, :, None, None].expand(1, bands, 3, 3)
    second, third, fourth = (float(values[member]) for member in members)
    expected = [ratio_by_hand(second, fourth), ratio_by_hand(fourth, third)]
    found = band_ratios(lrms, 4)
    assert found.shape == (1, 2, 12, 12)
    np.testing.assert_allclose(found[0, :, 5, 5], expected, atol=1e-5)


def test_ratios_stay_bounded_where_nothing_is_left_of_a_band():
    """Values far below zero, as bands that pan says little about have, divide by nothing."""
    lrms = torch.full((1, 4, 3, 3), -40.0)
    lrms[:, 1] = torch.linspace(-40, 40, 9).reshape(3, 3)
    found = band_ratios(lrms, 1)
    assert bool(found.isfinite().all())
    assert float(found.abs().max()) <= 1


def test_output_goes_as_far_down_as_bands_do():
    """Nothing is held at the bottom of the range, where a published last ReLU would hold it."""
    network = PNN()
    inputs = random_inputs(PNN, 4, (32, 32))
    assert network.last.bias is not None
    with torch.no_grad():
        before = network(inputs).residual
        network.last.bias.sub_(2)
        torch.testing.assert_close(network(inputs).residual, before - 16, atol=1e-5, rtol=0)

"""Residual PNN: layers as published, and the whole in plain NumPy."""

import numpy as np

from pancli.networks.residual_pnn import ResidualPNN
from tests.networks.made import random_inputs
from tests.networks.plain import array, bicubic, convolve, ratios_by_hand, rectify, weights_of


def test_layers_have_their_published_shapes():
    assert {name: tuple(p.shape) for name, p in ResidualPNN().named_parameters()} == {
        "first.weight": (48, 7, 9, 9),
        "second.weight": (32, 48, 5, 5),
        "last.weight": (4, 32, 5, 5),
    }


def test_agrees_with_plain_numpy():
    network = ResidualPNN()
    inputs = random_inputs(ResidualPNN, 4, (16, 20))
    weights = weights_of(network)
    ratios = ratios_by_hand(array(inputs.lrms))
    x = np.concatenate((array(inputs.bms), array(inputs.pan), bicubic(ratios, 4)))
    deep = convolve(rectify(convolve(x, weights["first.weight"])), weights["second.weight"])
    expected = convolve(deep, weights["last.weight"])
    np.testing.assert_allclose(array(network(inputs).residual), expected, atol=1e-5)

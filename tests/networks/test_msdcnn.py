"""MSDCNN: layers as published, and the whole in plain NumPy."""

import numpy as np
import torch

from pancli.networks.msdcnn import MSDCNN
from tests.networks.made import random_inputs
from tests.networks.plain import array, convolve, rectify, weights_of


def test_layers_have_their_published_shapes():
    def shapes(module):
        return [tuple(p.shape) for name, p in module.named_parameters() if name.endswith("weight")]

    network = MSDCNN()
    assert shapes(network.deep) == [
        (60, 5, 7, 7),
        (20, 60, 3, 3),
        (20, 60, 5, 5),
        (20, 60, 7, 7),
        (30, 60, 3, 3),
        (10, 30, 3, 3),
        (10, 30, 5, 5),
        (10, 30, 7, 7),
        (4, 30, 5, 5),
    ]
    assert shapes(network.shallow) == [(64, 5, 9, 9), (32, 64, 5, 5), (4, 32, 5, 5)]


def test_agrees_with_plain_numpy():
    network = MSDCNN()
    inputs = random_inputs(MSDCNN, 4, (16, 20))
    weights = weights_of(network)

    def layer(name, x):
        return rectify(convolve(x, weights[f"{name}.weight"], weights[f"{name}.bias"]))

    bms = array(inputs.bms)
    seen = 0.5 + np.concatenate((bms, array(inputs.pan))) / 8
    x = layer("deep.0.0", seen)
    x = np.concatenate([layer(f"deep.1.scales.{i}.0", x) for i in range(3)]) + x
    x = layer("deep.2.0", x)
    x = np.concatenate([layer(f"deep.3.scales.{i}.0", x) for i in range(3)]) + x
    deep = convolve(x, weights["deep.4.weight"], weights["deep.4.bias"])
    x = layer("shallow.1.0", layer("shallow.0.0", seen))
    shallow = convolve(x, weights["shallow.2.weight"], weights["shallow.2.bias"])
    expected = 8 * (deep + shallow - 0.5) - bms
    np.testing.assert_allclose(array(network(inputs).residual), expected, atol=1e-4)


def test_output_goes_as_far_down_as_bands_do():
    """Nothing is held at the bottom of the range, where published last ReLUs would hold it."""
    inputs = random_inputs(MSDCNN, 4, (32, 32))
    network = MSDCNN()
    with torch.no_grad():
        before = network(inputs).residual
        for chain in (network.deep, network.shallow):
            *_, bias = chain.parameters()
            bias.sub_(1)
        torch.testing.assert_close(network(inputs).residual, before - 16, atol=1e-5, rtol=0)

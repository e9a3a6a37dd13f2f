"""SRPPNN: layers as published, the whole in plain NumPy, and what is added without any learning."""

import numpy as np
import torch

from pancli.networks.protocol import Inputs
from pancli.networks.srppnn import SRPPNN, Stage
from tests.networks.made import random_inputs
from tests.networks.plain import array, bicubic, convolve, rectify, weights_of


def test_layers_have_their_published_shapes():
    def shapes(stage):
        return [tuple(p.shape) for p in stage.parameters()]

    block = [(32, 32, 3, 3), (32,), (32, 32, 3, 3), (32,), (1,)]
    expected = [(32, 5, 3, 3), (1,), *11 * block, (4, 32, 3, 3), (1,)]
    assert sorted(shapes(Stage(5, 4, doubling=False))) == sorted(expected)
    doubled = [(32, 4, 3, 3), (1,), *11 * block, (128, 32, 3, 3), (128,), (1,), (4, 32, 3, 3), (1,)]
    assert sorted(shapes(Stage(4, 4, doubling=True))) == sorted(doubled)


def shuffle(image):
    """Four maps to the four pixels of a doubled one, row after row."""
    count, rows, cols = image.shape
    out = np.zeros((count // 4, 2 * rows, 2 * cols))
    for index in range(count):
        out[index // 4, index % 4 // 2 :: 2, index % 2 :: 2] = image[index]
    return out


def stage(weights, name, x):
    """One of the four, in plain NumPy."""
    found = {
        key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")
    }
    x = rectify(convolve(x, found["0.0.weight"]), found["0.1.weight"])
    for block in range(1, 12):
        slope, deep = found[f"{block}.activation.weight"], x
        for layer in ("first", "second"):
            deep = convolve(deep, found[f"{block}.{layer}.weight"], found[f"{block}.{layer}.bias"])
            deep = rectify(deep, slope)
        x = x + 0.1 * deep
    last = 12
    if "12.bias" in found:
        x = rectify(shuffle(convolve(x, found["12.weight"], found["12.bias"])), found["14.weight"])
        last = 15
    return rectify(convolve(x, found[f"{last}.0.weight"]), found[f"{last}.1.weight"])


def test_agrees_with_plain_numpy():
    network = SRPPNN()
    for name, parameter in network.named_parameters():
        if "activation" in name:
            torch.nn.init.uniform_(parameter, 0.1, 0.9)
    inputs = random_inputs(SRPPNN, 4, (16, 20))
    weights = weights_of(network)
    pan, lrms, bms = array(inputs.pan), array(inputs.lrms), array(inputs.bms)
    half_pan, half_ms = bicubic(pan, 1 / 2), bicubic(lrms, 2)
    half = stage(weights, "enlarge_ms", lrms) + half_ms
    half = stage(weights, "inject_half", np.concatenate((half, half_pan))) + half_ms
    half = half + half_pan - bicubic(bicubic(half_pan, 1 / 2), 2)
    full = stage(weights, "enlarge_half", half) + bms
    expected = stage(weights, "inject", np.concatenate((full, pan))) + pan - bicubic(bicubic(pan, 1 / 4), 4)
    np.testing.assert_allclose(array(network(inputs).residual), expected, atol=1e-5)


def test_without_learnt_layers_every_band_gets_the_detail_of_pan():
    """Of a pan that is bright in one pixel: all of it but what blocks of 4 x 4 pixels show."""
    network = SRPPNN()
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    pan = torch.zeros(1, 1, 32, 32)
    pan[..., 13, 14] = 1
    given = random_inputs(SRPPNN, 4, (32, 32))
    added = network(Inputs(given.bms, pan, given.lrms)).residual
    expected = array(pan) - bicubic(bicubic(array(pan), 1 / 4), 4)
    np.testing.assert_allclose(array(added), np.repeat(expected, 4, 0), atol=1e-6)

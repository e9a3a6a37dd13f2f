"""PanNet: layers as published, the whole in plain NumPy, and what it does not see."""

import numpy as np
import torch

from pancli.networks.pannet import PanNet, high_pass
from pancli.networks.protocol import Inputs
from tests.networks.made import random_inputs
from tests.networks.plain import array, box_mean, convolve, rectify, transposed, weights_of


def test_layers_have_their_published_shapes():
    shapes = {name: tuple(p.shape) for name, p in PanNet().named_parameters() if name.endswith("weight")}
    blocks = {
        f"blocks.{block}.{layer}.weight": (32, 32, 3, 3)
        for block in range(4)
        for layer in ("first", "second")
    }
    ends = {"enlarge.weight": (4, 4, 8, 8), "head.weight": (32, 5, 3, 3), "last.weight": (4, 32, 3, 3)}
    assert shapes == ends | blocks


def test_high_pass_takes_off_the_mean_of_the_pixels_that_exist():
    image = random_inputs(PanNet, 3, (8, 12)).bms
    np.testing.assert_allclose(array(high_pass(image)), array(image) - box_mean(array(image), 5), atol=1e-6)


def test_agrees_with_plain_numpy():
    network = PanNet()
    inputs = random_inputs(PanNet, 4, (16, 20))
    weights = weights_of(network)

    def layer(name, x):
        return convolve(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    pan, lrms = array(inputs.pan), array(inputs.lrms)
    ms = transposed(lrms - box_mean(lrms, 5), weights["enlarge.weight"], weights["enlarge.bias"], 4, 2)
    x = rectify(layer("head", np.concatenate((ms, pan - box_mean(pan, 5)))))
    for block in range(4):
        x = x + layer(f"blocks.{block}.second", rectify(layer(f"blocks.{block}.first", x)))
    np.testing.assert_allclose(array(network(inputs).residual), layer("last", x), atol=1e-5)


def test_brightness_changes_nothing():
    """Only high-pass parts go in: a constant added to pan and each band leaves what is added as it was."""
    network = PanNet()
    inputs = random_inputs(PanNet, 4, (16, 20))
    assert inputs.lrms is not None
    offset = torch.tensor([3.0, -2, 1, 5])[None, :, None, None]
    brighter = Inputs(inputs.bms + offset, inputs.pan - 4, inputs.lrms + offset)
    torch.testing.assert_close(network(brighter).residual, network(inputs).residual, atol=1e-5, rtol=0)

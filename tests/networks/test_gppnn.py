"""GPPNN: layers as published, the whole in plain NumPy, and fresh weights that pass the image on."""

import numpy as np
import torch

from pancli.networks.gppnn import GPPNN
from tests.networks.made import random_inputs
from tests.networks.plain import array, bicubic, convolve, rectify, weights_of


def test_layers_have_their_published_shapes():
    network = GPPNN()
    units = {"observe": (4, 4), "correct": (4, 4), "project": (4, 4)}
    grey = units | {"observe": (4, 1), "correct": (1, 4)}
    expected = {}
    for index in range(8):
        for kind, sizes, kernel in (("ms_steps", units, 3), ("pan_steps", grey, 1)):
            for unit, (before, after) in sizes.items():
                name = f"{kind}.{index}.{unit}"
                expected[f"{name}.first.weight"] = (64, before, kernel, kernel)
                expected[f"{name}.second.weight"] = (after, 64, kernel, kernel)
    assert {name: tuple(p.shape) for name, p in network.named_parameters()} == expected


def brightened(network):
    """Weights so large that all eight stages show in the output."""
    for parameter in network.parameters():
        torch.nn.init.kaiming_normal_(parameter)
    return network


def test_agrees_with_plain_numpy():
    network = brightened(GPPNN())
    inputs = random_inputs(GPPNN, 4, (16, 20))
    weights = weights_of(network)
    pan, lrms, bms = array(inputs.pan), array(inputs.lrms), array(inputs.bms)

    def unit(name, x):
        return convolve(
            rectify(convolve(x, weights[f"{name}.first.weight"])), weights[f"{name}.second.weight"]
        )

    x = bms
    for index in range(8):
        step = f"ms_steps.{index}"
        error = lrms - bicubic(unit(f"{step}.observe", x), 1 / 4)
        x = unit(f"{step}.project", x + bicubic(unit(f"{step}.correct", error), 4))
        step = f"pan_steps.{index}"
        x = unit(f"{step}.project", x + unit(f"{step}.correct", pan - unit(f"{step}.observe", x)))
    found = array(network(inputs).residual)
    np.testing.assert_allclose(found, x - bms, atol=1e-5 * np.abs(x).max())


def test_a_fresh_image_passes_all_stages():
    """With nothing to correct, the projections give back what goes in, whatever its sign."""
    network = GPPNN()
    with torch.no_grad():
        network.start_near_interpolation()
        for name, parameter in network.named_parameters():
            if "correct" in name:
                parameter.zero_()
            if "project.second" in name:
                parameter[:, 8:] = 0  # all but the maps that pass the four bands on
    inputs = random_inputs(GPPNN, 4, (16, 20))
    residual = network(inputs).residual
    torch.testing.assert_close(residual, torch.zeros_like(residual), atol=1e-5, rtol=0)

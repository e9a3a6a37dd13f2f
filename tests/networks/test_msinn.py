"""MSINN: its published layers, their order, and its two resamplings, by plain loops."""

import numpy as np
import torch

from pancli.networks.costs import count_parameters
from pancli.networks.msinn import MSINN, Extract, ImagingUnit, MSINNRefined, MultiScale
from tests.networks.made import count, noise, random_inputs
from tests.networks.plain import array, bicubic, convolve, rectify, weights_of


def test_has_the_published_numbers_of_parameters():
    assert [count_parameters(MSINN(4, 1, width)) for width in (8, 16, 32)] == [75_978, 92_272, 142_812]
    network = MSINNRefined(4, 1)
    sizes = {
        "of_pan": 8,
        "of_ms": 20,
        "extract.scales1": 24_576,
        "extract.scales1.merge": 200,
        "extract.merge": 136,
        "refine": 2_086,
        "unit1": 1_808,
        "unit2": 1_808,
    }
    assert {n: count(network.get_submodule(n)) for n in sizes} == sizes


def test_starts_as_the_released_network_does():
    network = MSINNRefined(4, 1)
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Conv2d):
            fan = sum(module.weight.shape[:2]) * module.weight[0, 0].numel()
            bound = (6 / fan) ** 0.5
            largest = float(module.weight.detach().abs().max())
            assert 0.5 * bound < largest <= bound, name
            assert module.bias is None or not bool(module.bias.any()), name


def shrunk(image, factor):
    """Between the two middle pixels of each block, along both axes."""
    first = factor // 2 - 1
    out = np.zeros((len(image), image.shape[1] // factor, image.shape[2] // factor))
    for row in range(out.shape[1]):
        for col in range(out.shape[2]):
            top, left = factor * row + first, factor * col + first
            out[:, row, col] = image[:, top : top + 2, left : left + 2].mean((1, 2))
    return out


def enlarged(image, factor):
    """Bilinear between pixel centres; rim pixels go on."""
    for axis in (1, 2):
        size = image.shape[axis]
        matrix = np.zeros((size * factor, size))
        for i in range(len(matrix)):
            at = (i + 0.5) / factor - 0.5
            for j in range(-1, size + 1):
                matrix[i, min(max(j, 0), size - 1)] += max(0, 1 - abs(at - j))
        image = np.moveaxis(np.tensordot(matrix, image, (1, axis)), 0, axis)
    return image


@torch.no_grad()
def test_scales_agree_with_plain_loops():
    module = MultiScale(8).eval()
    for name, buffer in module.named_buffers():
        if "running" in name:  # each scale has statistics of its own
            buffer.add_(torch.rand(buffer.shape))
    x = noise(1, 8, 8, 12)
    maps = []
    for scale, factor in enumerate((1, 2, 4)):
        small = array(x) if factor == 1 else shrunk(array(x), factor)
        deep = array(module.block(torch.tensor(small, dtype=torch.float32)[None], scale))
        maps.append(deep if factor == 1 else enlarged(deep, factor))
    weights = weights_of(module.merge)
    expected = convolve(np.concatenate(maps), weights["weight"], weights["bias"])
    np.testing.assert_allclose(array(module(x)), expected, atol=1e-5)


class Times(torch.nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x


@torch.no_grad()
def test_blocks_are_joined_as_published():
    extract = Extract(8)
    for name, factor in (("scales1", 2), ("scales2", 3), ("scales3", 5)):
        setattr(extract, name, Times(factor))
    x = noise(1, 8, 4, 4)
    weights = weights_of(extract.merge)
    second = 3 * (2 + 1)
    third = 5 * (second + 1)
    expected = convolve(
        np.concatenate((second * array(x), third * array(x))), weights["weight"], weights["bias"]
    )
    np.testing.assert_allclose(array(extract(x)), expected, rtol=1e-5, atol=1e-4)


@torch.no_grad()
def test_features_are_those_before_and_after_the_scales():
    network = MSINN(4, 1).eval()
    inputs = random_inputs(MSINN, 4, (16, 16))
    residual, (start, middle), _ = network(inputs)
    weights = weights_of(network)
    halves = [
        convolve(array(image), weights[f"{name}.weight"], weights[f"{name}.bias"])
        for name, image in (("of_pan", inputs.pan), ("of_ms", inputs.bms))
    ]
    np.testing.assert_allclose(array(start), np.concatenate(halves), atol=1e-5)
    torch.testing.assert_close(middle, network.extract(start))
    torch.testing.assert_close(residual, network.refine(middle))


def pair(image, weights, name):
    """Two convolutions around a ReLU."""
    return convolve(rectify(convolve(image, weights[f"{name}.0.weight"])), weights[f"{name}.2.weight"])


@torch.no_grad()
def test_an_imaging_unit_agrees_with_plain_loops():
    unit = ImagingUnit(4)
    fused, pan, lrms = noise(1, 4, 12, 16), noise(1, 1, 12, 16, seed=1), noise(1, 4, 3, 4, seed=2)
    weights = weights_of(unit)
    spectral = pair(array(pan) - pair(array(fused), weights, "mix"), weights, "unmix")
    seen = bicubic(pair(array(fused), weights, "blur"), 1 / 4)
    spatial = bicubic(pair(array(lrms) - seen, weights, "unblur"), 4)
    corrected = rectify(convolve(array(fused) + spectral + spatial, weights["proximal.weight"]))
    expected = convolve(corrected, weights["out.weight"])
    np.testing.assert_allclose(array(unit(fused, pan, lrms)), expected, atol=1e-5)


@torch.no_grad()
def test_units_refine_one_after_the_other():
    network = MSINNRefined(4, 1).eval()
    inputs = random_inputs(MSINNRefined, 4, (16, 16))
    bms, pan, lrms = inputs.bms, inputs.pan, inputs.lrms
    plain, features, _ = MSINN.fuse(network, inputs)
    fused = bms + plain
    for unit in (network.unit1, network.unit2):
        fused = fused + unit(fused, pan, lrms)
    outcome = network(inputs)
    torch.testing.assert_close(outcome.residual, fused - bms, rtol=1e-4, atol=1e-5)
    assert all(map(torch.equal, outcome.features, features))

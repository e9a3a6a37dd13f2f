"""MDCUN: sizes as published for any number of stages, and its parts and all of it against plain loops."""

import numpy as np
import pytest
import torch

from pancli.networks import mdcun
from pancli.networks.costs import count_parameters
from pancli.networks.mdcun import MDCUN, NonLocal
from tests.networks.made import noise, random_inputs
from tests.networks.plain import bicubic_matrix, max_pool, numbers, rectify, sigmoid, softmax, through


@pytest.mark.parametrize(("stages", "parameters"), [(3, 86_755), (4, 98_347), (6, 128_443), (7, 146_947)])
def test_size_grows_with_the_stages_as_published(stages, parameters, monkeypatch):
    monkeypatch.setattr(mdcun, "_STAGES", stages)
    assert count_parameters(MDCUN()) == parameters


def non_local_by_hand(block, image):
    query, key, value = (through(layer, image) for layer in (block.query, block.key, block.value))
    bands, rows, cols = image.shape
    mixed = np.zeros_like(image)
    for row in range(rows):
        for col in range(cols):
            likeness, values = np.zeros(225), np.zeros((bands, 225))  # beyond the border both stay zero
            for y in range(max(row - 7, 0), min(row + 8, rows)):
                for x in range(max(col - 7, 0), min(col + 8, cols)):
                    place = 15 * (y - row + 7) + x - col + 7
                    likeness[place] = query[:, row, col] @ key[:, y, x]
                    values[:, place] = value[:, y, x]
            mixed[:, row, col] = values @ softmax(likeness)
    return image + through(block.out, mixed)


@pytest.fixture
def non_local():
    torch.manual_seed(0)
    block = NonLocal(3)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.mul_(3)  # so that some neighbours count much more than others
    return block


def test_non_local_block_agrees_with_plain_loops(non_local):
    x = noise(1, 3, 19, 17)
    np.testing.assert_allclose(
        numbers(non_local(x)[0]), non_local_by_hand(non_local, numbers(x[0])), atol=1e-5
    )


@pytest.mark.parametrize("strip", [1, 100, 200])
def test_strips_leave_no_trace(non_local, strip, monkeypatch):
    x = noise(2, 3, 19, 17)
    expected = non_local(x)
    monkeypatch.setattr(mdcun, "_STRIP", strip)
    torch.testing.assert_close(non_local(x), expected)


def test_likeness_never_overflows(non_local):
    with torch.autocast("cpu", torch.bfloat16):
        found = non_local(1e4 * noise(1, 3, 8, 8))
    assert bool(found.isfinite().all())


def prelu(layer, image):
    return np.where(image > 0, image, numbers(layer.weight)[0] * image)


def down_by_hand(layers, image):
    pooled = max_pool(rectify(through(layers[0], image)), 4)
    return through(layers[4], through(layers[3], pooled))


def up_by_hand(layers, image):
    wide = rectify(through(layers[0], image)).repeat(4, 1).repeat(4, 2)
    return through(layers[4], through(layers[3], wide))


def condition_by_hand(network, band, pan):
    deep = prelu(network.head[1], through(network.head[0], np.stack([band, pan])))
    for block in network.blocks:
        inner = prelu(block.activation, through(block.first, deep))
        deep = deep + 0.1 * prelu(block.activation, through(block.second, inner))
    summary = through(network.last[0], np.stack([deep.max(0), deep.mean(0)]))
    return sigmoid(prelu(network.last[1], summary))[0]


def detail_by_hand(layer, pan):
    parts = []
    for factor in (2, 4, 8):
        low = pan
        for axis, size in enumerate(pan.shape):
            there, back = bicubic_matrix(size, size // factor), bicubic_matrix(size // factor, size)
            low = np.moveaxis(back @ there @ np.moveaxis(low, axis, 0), 0, axis)
        parts.append(pan - low)
    return through(layer, np.stack(parts))


def fused_by_hand(network, bms, pan, lrms):
    """The iteration of the paper: x is the image, u and v the local and the non-local prior."""
    x, detail = bms, detail_by_hand(network.detail, pan)
    us: list[np.ndarray] = []
    vs: list[np.ndarray] = []
    for stage in network.stages:
        z = non_local_by_hand(network.non_local, x)
        priors = []
        for memory, image in ((us, x), (vs, z)):
            seen = np.concatenate([*memory, image])
            memory.append(through(stage.prior[1], through(stage.prior[0], seen)))
            masks = [condition_by_hand(network.condition, band, pan) for band in memory[-1]]
            priors.append(memory[-1] + detail * (1 + np.stack(masks)))
        weight = {name: float(numbers(p)) for name, p in stage.named_parameters(recurse=False)}
        data = down_by_hand(network.down, x) - lrms
        data = data + weight["non_local_data"] * (down_by_hand(network.down, z) - lrms)
        slope = up_by_hand(network.up, data) + weight["local_prior"] * (x - priors[0])
        slope = slope + weight["non_local_prior"] * (z - priors[1])
        x = x - weight["step"] * slope
    return x


def test_network_agrees_with_plain_loops(monkeypatch):
    monkeypatch.setattr(mdcun, "_STAGES", 2)
    torch.manual_seed(0)
    network, inputs = MDCUN(2), random_inputs(MDCUN, 2, (8, 16))
    with torch.no_grad():
        for stage in network.stages:
            for parameter in stage.parameters(recurse=False):
                parameter.add_(torch.rand(()))  # four weights that differ
    assert inputs.lrms is not None
    bms, pan, lrms = (numbers(image[0]) for image in (inputs.bms, inputs.pan, inputs.lrms))
    expected = fused_by_hand(network, bms, pan[0], lrms)
    np.testing.assert_allclose(numbers(network(inputs).residual + inputs.bms)[0], expected, atol=1e-4)

"""lambda-PNN: layers as published, and its attention against plain loops."""

import numpy as np
import pytest
import torch

from pancli.networks.lambda_pnn import Attention, LambdaPNN, ResidualBlock
from tests.networks.made import count, noise, random_inputs, settled
from tests.networks.plain import channel_gate, numbers, pixel_gate

WIDTH = 16


def test_modules_have_their_published_sizes():
    network = LambdaPNN()
    sizes = {"head": 2_944, "conv": 36_928, "attention1": 2_227, "attention2": 2_227, "last": 6_404}
    assert {name: count(network.get_submodule(name)) for name in sizes} == sizes
    assert count(network.blocks) == 4 * 36_928
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    assert {conv.padding_mode for conv in convolutions} == {"reflect"}


def test_attention_agrees_with_plain_loops():
    attention, x = Attention(WIDTH), noise(1, WIDTH, 5, 6)
    steps = attention.steps(x)
    wanted = next(steps)
    with pytest.raises(StopIteration) as done:
        steps.send([statistic.local(1) for statistic in wanted])
    image = numbers(x[0])
    mean = np.array([sum(channel.flat) / 30 for channel in image])
    maximum = np.array([max(channel.flat) for channel in image])
    gated = image * channel_gate(attention.channels, mean, maximum)
    expected = image + gated * pixel_gate(attention.pixels, gated)
    np.testing.assert_allclose(numbers(done.value.value[0]), expected, atol=1e-5)


def test_without_its_convolutions_a_block_is_its_input():
    block, x = ResidualBlock(WIDTH), noise(1, WIDTH, 8, 8)
    for parameter in block.conv2.parameters():
        torch.nn.init.zeros_(parameter)
    assert torch.equal(block(x), x)


def test_an_image_of_four_pixels_can_be_fused():
    """The least that alignment leaves of a scene."""
    residual = settled(LambdaPNN)(random_inputs(LambdaPNN, 4, (4, 4))).residual
    assert bool(residual.isfinite().all())

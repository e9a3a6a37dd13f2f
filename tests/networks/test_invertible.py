"""Invertible blocks: what they promise, by the inverse and by plain loops."""

import math

import numpy as np
import pytest
import torch

from pancli.networks.invertible import (
    ChannelAttention,
    Dense,
    DenseBlock,
    HalfNormBlock,
    ImageMean,
    InvBlock,
    InvertibleConv,
    Refine,
    TrackedMean,
    TrackedNorm,
)
from tests.networks.made import count, noise
from tests.networks.plain import convolve, rectify

SFINET = Dense(growth=8, kernel=3, bias=True)
MSINN = Dense(scales=3)


def test_parts_have_the_sizes_of_the_published_layers():
    block = InvBlock(8, MSINN)
    assert [count(m) for m in (block, block.mix, block.f, block.f.block1, block.f.block2, block.f.merge)] == [
        24_376, 136, 8_080, 3_008, 4_928, 144,
    ]  # fmt: skip
    assert count(Refine(8, 4, TrackedMean(8))) == 584 + 1_210 + 292
    # SFINet: 609,628 less what lies around its five blocks and before its refinement.
    assert count(InvBlock(64, SFINET)) == 63_024
    assert count(Refine(32, 4, ImageMean())) == 29_452


@pytest.mark.parametrize(("width", "dense"), [(8, MSINN), (64, SFINET)])
@torch.no_grad()
def test_a_block_can_be_inverted(width, dense):
    block = InvBlock(width, dense).eval()
    x = noise(2, width, 9, 7)
    y = block(x)
    assert float((y - x).abs().mean()) > 0.1
    y1, y2 = y.chunk(2, 1)
    x2 = (y2 - block.g(y1)) * (-block.log_gain(y1)).exp()
    mixed = torch.cat((y1 - block.f(x2), x2), 1)
    back = torch.linalg.solve(block.mix.weight(), mixed.flatten(2)).reshape(x.shape)
    torch.testing.assert_close(back, x, rtol=0, atol=1e-5)


@torch.no_grad()
def test_the_gain_of_a_block_is_bounded():
    block = InvBlock(8, MSINN)
    for parameter in block.h.parameters():
        parameter.mul_(30)
    gain = block.log_gain(100 * noise(1, 4, 16, 16))
    assert float(gain.abs().max()) <= np.float32(0.8)
    assert float(gain.max()) > 0.79


@torch.no_grad()
def test_a_convolution_starts_as_a_rotation_and_stays_regular():
    conv = InvertibleConv(8)
    weight = conv.weight()
    torch.testing.assert_close(weight @ weight.T, torch.eye(8), rtol=0, atol=1e-5)
    for parameter in conv.parameters():
        parameter.add_(0.5 * torch.randn(parameter.shape))
    # Whatever a step does to the factors, the determinant is that of the diagonal.
    _, log_determinant = torch.linalg.slogdet(conv.weight().double())
    assert float(log_determinant) == pytest.approx(float(conv.log_scale.sum()), abs=1e-4)


def convolved(x, layer):
    """(channels, H, W) through a convolution with zero padding."""
    return convolve(x, *(p.detach().double().numpy() for p in layer.parameters()))


def half_normed(x, block, statistics=None):
    """The half-norm block in NumPy; by default with the image's own statistics."""
    deep = convolved(x, block.conv1)
    own = list(zip(deep.mean((1, 2)), deep.var((1, 2)), strict=True))
    gains, offsets = (p.detach().tolist() for p in (block.norm.weight, block.norm.bias))
    for channel in range(len(deep) // 2):
        mean, var = (statistics or own)[channel]
        deep[channel] = (deep[channel] - mean) / math.sqrt(var + 1e-5) * gains[channel] + offsets[channel]
    return rectify(convolved(rectify(deep, 0.1), block.conv2), 0.1) + convolved(x, block.identity)


def test_a_half_norm_block_agrees_with_plain_loops():
    block = HalfNormBlock(3, 6, scales=2)
    norm = block.norm
    assert norm is not None
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x = noise(1, 3, 6, 5)
    np.testing.assert_allclose(block(x)[0].detach(), half_normed(x[0].numpy(), block), atol=1e-5)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    block.eval()
    for scale in (0, 1):
        own = list(zip(norm.running_mean[scale].tolist(), norm.running_var[scale].tolist(), strict=True))
        expected = half_normed(x[0].numpy(), block, own)
        np.testing.assert_allclose(block(x, scale)[0].detach(), expected, atol=1e-5)


def test_a_dense_block_agrees_with_plain_loops():
    block = DenseBlock(4, 4, MSINN)
    x = noise(1, 4, 5, 6)[0].numpy()
    one = rectify(half_normed(x, block.block1), 0.2)
    two = rectify(half_normed(one, block.block2), 0.2)
    expected = rectify(convolved(np.concatenate((x, one, two)), block.merge), 0.2)
    np.testing.assert_allclose(block(torch.tensor(x)[None])[0].detach(), expected, atol=1e-5)


def test_channel_attention_adds_one_number_per_channel():
    attention = ChannelAttention(8, ImageMean())
    x = noise(2, 8, 6, 5)
    added = (attention(x) - x).detach()
    torch.testing.assert_close(added, added[:, :, :1, :1].expand_as(added), rtol=0, atol=1e-5)
    for sample in range(2):
        deep = np.maximum(convolved(x[sample].numpy(), attention.body[0]), 0)
        mean = convolved(deep, attention.body[2]).mean((1, 2), keepdims=True)
        hidden = np.maximum(convolved(mean, attention.gate[0]), 0)
        gate = 1 / (1 + np.exp(-convolved(hidden, attention.gate[2])))
        np.testing.assert_allclose(added[sample, :, :1, :1], mean * gate, atol=1e-5)


def test_statistics_are_tracked_per_scale_and_then_left_alone():
    norm, mean = TrackedNorm(3, scales=2), TrackedMean(3)
    x = 2 + 3 * noise(4, 3, 8, 8)
    for _ in range(3):
        norm(x, scale=1)
        mean(x)
    kept = 0.99**3
    own = (1 - kept) * x.mean((2, 3)).mean(0)
    torch.testing.assert_close(norm.running_mean, torch.stack((torch.zeros(3), own)))
    spread = kept + (1 - kept) * x.var((2, 3)).mean(0)
    torch.testing.assert_close(norm.running_var, torch.stack((torch.ones(3), spread)))
    torch.testing.assert_close(mean.running_mean, own)
    before = [norm.running_mean.clone(), norm.running_var.clone(), mean.running_mean.clone()]
    for module in (norm, mean):
        # What training settles, and what made networks settle by, goes by this type.
        assert isinstance(module, torch.nn.modules.batchnorm._NormBase)
        module.eval()
    norm(x, scale=1)
    assert torch.equal(mean(x), before[2][None])
    assert all(map(torch.equal, before, [norm.running_mean, norm.running_var, mean.running_mean]))


def test_statistics_are_never_of_half_precision():
    mean = TrackedMean(1)
    half = torch.full((1, 1, 256, 256), 1.0078125).bfloat16()
    assert mean(half).dtype == torch.float32
    assert float(mean(half)) == pytest.approx(1.0078125, abs=1e-6)

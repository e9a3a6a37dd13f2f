"""SFINet: sizes as published for any width, and its blocks against plain sums over pixels."""

import numpy as np
import pytest
import torch

from pancli.networks import sfinet
from pancli.networks.costs import count_parameters
from pancli.networks.sfinet import FrequencyFusion, SFINet, SpaFre
from tests.networks.made import noise
from tests.networks.plain import channel_gate, numbers, sigmoid, through

WIDTH = 4


@pytest.mark.parametrize(("width", "parameters"), [(4, 49_117), (8, 85_270), (16, 201_496), (32, 609_628)])
def test_size_follows_the_width_as_published(width, parameters, monkeypatch):
    monkeypatch.setattr(sfinet, "_WIDTH", width)
    assert count_parameters(SFINet()) == parameters


def leaky(image):
    return np.where(image > 0, image, 0.1 * image)


def waves(size, sign):
    steps = np.arange(size)
    return np.exp(sign * 2j * np.pi * np.outer(steps, steps) / size)


def spectrum_by_hand(image):
    """All frequencies: every pixel times every wave."""
    found = np.einsum("ur,crk,vk->cuv", waves(image.shape[1], -1), image, waves(image.shape[2], -1))
    return found.real + 1j * np.where(abs(found.imag) < 1e-9, 0, found.imag)  # rounding must not turn -1


def image_by_hand(half, cols):
    """The real image of which these are the frequencies up to half of the columns'."""
    rows = half.shape[1]
    image = np.zeros((len(half), rows, cols))
    for v in range(half.shape[2]):
        twice = 1 if v in (0, cols / 2) else 2  # the other half of the columns is their mirror image
        along = np.einsum("ru,cu->cr", waves(rows, 1), half[:, :, v])
        image += twice * (along[:, :, None] * waves(cols, 1)[v]).real
    return image / (rows * cols)


def frequency_by_hand(fusion, ms, pan):
    seen = [spectrum_by_hand(through(*pair)) for pair in ((fusion.of_ms, ms), (fusion.of_pan, pan))]
    half = ms.shape[2] // 2 + 1
    fused = []
    for layers, part in ((fusion.amplitude, np.abs), (fusion.phase, np.angle)):
        joined = np.concatenate([part(spectrum[:, :, :half]) for spectrum in seen])
        fused.append(through(layers[2], leaky(through(layers[0], joined))))
    return through(fusion.out, np.abs(image_by_hand(fused[0] * np.exp(1j * fused[1]), ms.shape[2])))


@pytest.mark.parametrize("shape", [(6, 8), (5, 7)])
def test_frequency_fusion_agrees_with_plain_sums(shape):
    fusion, ms, pan = FrequencyFusion(WIDTH), noise(1, WIDTH, *shape), noise(1, WIDTH, *shape, seed=1)
    expected = frequency_by_hand(fusion, numbers(ms[0]), numbers(pan[0]))
    np.testing.assert_allclose(numbers(fusion(ms, pan)[0]), expected, atol=1e-4)


def test_block_agrees_with_plain_loops():
    block, ms, pan = SpaFre(WIDTH), noise(1, WIDTH, 6, 8), noise(1, WIDTH, 6, 8, seed=1)
    torch.nn.init.normal_(block.gate.squeeze.weight)
    torch.nn.init.normal_(block.gate.excite.weight)
    ms_out, pan_out = block(ms, pan)
    x, passed = numbers(ms[0]), through(block.pan, numbers(pan[0]))
    seen = through(block.pan_seen, passed)
    pair = torch.tensor(np.concatenate([x, seen]), dtype=torch.float32)
    spatial = through(block.spatial, numbers(block.invertible(pair[None])[0]))
    frequency = frequency_by_hand(block.frequency, x, seen)
    inner = leaky(through(block.attention[0], spatial - frequency))
    spatial = spatial + sigmoid(through(block.attention[2], inner)) * frequency
    both = np.concatenate([spatial, frequency])
    contrast = both.mean((1, 2)) + both.std((1, 2))
    expected = through(block.merge, both * channel_gate(block.gate, contrast)) + x
    np.testing.assert_allclose(numbers(pan_out[0]), passed, atol=1e-5)
    np.testing.assert_allclose(numbers(ms_out[0]), expected, atol=1e-4)


def test_the_sign_of_a_zero_does_not_turn_a_phase(monkeypatch):
    """Real frequencies below zero have the phase pi, also where a transform leaves -0 beside them."""
    fusion, image = FrequencyFusion(WIDTH), noise(1, WIDTH, 6, 8) - 2
    expected = fusion(image, image)
    transform = torch.fft.rfft2

    def other_zeros(x):
        spectrum = transform(x)
        imaginary = torch.where(spectrum.imag == 0, -0.0, spectrum.imag)
        return torch.complex(spectrum.real, imaginary)

    monkeypatch.setattr(torch.fft, "rfft2", other_zeros)
    torch.testing.assert_close(fusion(image, image), expected)


def test_constant_maps_have_gradients():
    """Nearly all of their frequencies are exactly zero, and so is their deviation."""
    fusion, flat = FrequencyFusion(WIDTH), torch.full((1, WIDTH, 6, 8), 3.0, requires_grad=True)
    (fusion(flat, flat).square().sum() + sfinet._contrast(flat).sum()).backward()
    assert flat.grad is not None
    assert bool(flat.grad.isfinite().all())


def test_amplitudes_are_never_of_half_precision():
    fusion, image = FrequencyFusion(WIDTH), noise(1, WIDTH, 32, 32) + 3
    expected = fusion(image, image)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(fusion(image, image), expected)

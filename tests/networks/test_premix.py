"""PreMix: published sizes, mixing and filtering by plain loops, and the order of its nine parts."""

import numpy as np
import pytest
import torch

from pancli.networks import clahe
from pancli.networks.premix import Base, Layer, Mixing, PixelFilter, PreMixB, PreMixH, high_pass
from pancli.networks.protocol import Inputs
from tests.networks.made import count, noise, random_inputs
from tests.networks.plain import array, convolve, rectify, weights_of


def test_parts_have_the_published_sizes():
    layer = Layer(4, 1)
    assert [count(m) for m in (layer.ms, layer.pan, layer.mixing)] == [19_616, 18_752, 18_433]
    assert count(Layer(32, 32)) == 73_793
    assert count(PixelFilter(4)) == 10_404
    # As published, and the thresholds, one a layer.
    assert [count(Base(4, layers)) for layers in (1, 2, 3)] == [77_608 + 1, 151_400 + 2, 225_192 + 3]
    assert [count(Base(4, 1, scale)) for scale in (1, 2, 4)] == [77_609, 96_105, 114_601]
    assert count(PreMixH(4, 1)) == 864_936 + 9


@torch.no_grad()
def test_mixing_agrees_with_plain_arithmetic():
    mixing = Mixing()
    ms, pan = noise(1, 32, 6, 5), 2 * noise(1, 32, 6, 5, seed=1)
    total = array(ms) + array(pan)
    weights = weights_of(mixing.block)
    deep = convolve(rectify(convolve(total, weights["conv1.weight"])), weights["conv2.weight"]) + total
    mask = 1 / (1 + np.exp(-20 * (np.tanh(np.clip(deep, 0, 6)) - 0.5)))
    np.testing.assert_allclose(array(mixing.mask(ms, pan)), mask, atol=1e-4)
    assert 0.05 < mask.mean() < 0.95
    new_ms, new_pan = mixing(ms, pan)
    np.testing.assert_allclose(array(new_ms), (1 - mask) * array(ms) + mask * array(pan), atol=1e-3)
    np.testing.assert_allclose(array(new_pan), (1 - mask) * array(pan) + mask * array(ms), atol=1e-3)


@torch.no_grad()
def test_masks_of_nothing_keep_and_of_one_swap():
    mixing = Mixing()
    ms, pan = noise(1, 32, 4, 4), noise(1, 32, 4, 4, seed=1)
    mixing.threshold.fill_(9)
    assert all(map(torch.equal, mixing(ms, pan), (ms, pan)))
    mixing.threshold.fill_(-9)
    assert all(map(torch.equal, mixing(ms, pan), (pan, ms)))


@pytest.mark.parametrize("channels", [1, 3])
@torch.no_grad()
def test_filters_agree_with_plain_loops(channels):
    module = PixelFilter(3)
    features, image = noise(1, 32, 5, 7), noise(1, channels, 5, 7, seed=1)
    weights = weights_of(module.kernels)
    kernels = convolve(array(features), weights["weight"], weights["bias"])
    padded = np.pad(array(image), ((0, 0), (1, 1), (1, 1)), mode="reflect")
    expected = np.zeros((3, 5, 7))
    for band, row, col in np.ndindex(expected.shape):
        for i in range(3):
            for j in range(3):
                tap = kernels[9 * band + 3 * i + j, row, col]
                expected[band, row, col] += tap * padded[band % channels, row + i, col + j]
    np.testing.assert_allclose(array(module(features, image)), expected, atol=1e-5)


def make_delta(base):
    """Let a base return the ms image as it is."""
    for filters in (base.filter_ms, base.filter_pan):
        for parameter in filters.parameters():
            torch.nn.init.zeros_(parameter)
    base.filter_ms.kernels.bias.unflatten(0, (-1, 9))[:, 4] = 1


@torch.no_grad()
def test_filters_that_change_nothing_give_ms_back():
    inputs = random_inputs(PreMixH, 4, (32, 32))
    small, large = PreMixB(4, 1), PreMixH(4, 1)
    make_delta(small.base)
    for chain in (large.high_passed, large.equalised, large.original):
        for base in chain:
            make_delta(base)
    assert torch.equal(small(inputs).residual, torch.zeros_like(inputs.bms))
    # What the nine parts pass on is added to ms once more: the published network ends so.
    assert torch.equal(large(inputs).residual, inputs.bms)


@torch.no_grad()
def test_features_return_to_the_pixels_they_were_taken_from():
    base = Base(4, 1, scale=4)
    for part in base.enlarge_ms:
        assert isinstance(part, torch.nn.ConvTranspose2d)
        for parameter in part.parameters():
            torch.nn.init.zeros_(parameter)
        part.weight[:, :, 1, 1] = torch.eye(32)
    seen = noise(1, 4, 16, 24), noise(1, 1, 16, 24, seed=1)
    expected, _ = base.layers[0](tuple(image[..., ::4, ::4] for image in seen))
    _, (features, _) = base(seen, seen)
    torch.testing.assert_close(features[..., ::4, ::4], expected)
    features[..., ::4, ::4] = 0
    assert not bool(features.any())


@torch.no_grad()
def test_features_passed_on_are_added_after_the_first_layer():
    base = Base(4, 2, scale=2)
    seen = noise(1, 4, 8, 8), noise(1, 1, 8, 8, seed=1)
    passed = noise(1, 32, 8, 8, seed=2), noise(1, 32, 8, 8, seed=3)
    first = base.layers[0](tuple(image[..., ::2, ::2] for image in seen))
    second = base.layers[1](tuple(own + new[..., ::2, ::2] for own, new in zip(first, passed, strict=True)))
    expected = base.enlarge_ms(second[0]), base.enlarge_pan(second[1])
    _, features = base(seen, seen, passed)
    for found, wanted in zip(features, expected, strict=True):
        torch.testing.assert_close(found, wanted)


@torch.no_grad()
def test_nine_parts_follow_each_other(monkeypatch):
    """High-passed, equalised, original; scales 4, 2, 1; each filters what the one before it made, and pan."""
    calls = []

    def noted(base, seen, images, passed=None):
        calls.append((base.scale, seen, images, passed))
        return images[0] + 1, (torch.tensor(len(calls)), torch.tensor(-len(calls)))

    monkeypatch.setattr(Base, "forward", noted)
    inputs = random_inputs(PreMixH, 4, (32, 32))
    outcome = PreMixH(4, 1)(inputs)
    originals = inputs.bms, inputs.pan
    branches = [
        [high_pass(image) for image in originals],
        [8 * (clahe.equalise(0.5 + image / 8) - 0.5) for image in originals],
        originals,
    ]
    assert [scale for scale, *_ in calls] == [4, 2, 1] * 3
    for index, (_, seen, (image, pan), passed) in enumerate(calls):
        for found, expected in zip(seen, branches[index // 3], strict=True):
            torch.testing.assert_close(found, expected)
        torch.testing.assert_close(image, inputs.bms + index)
        assert torch.equal(pan, inputs.pan)
        assert (passed is None) if index == 0 else [int(p) for p in passed] == [index, -index]
    torch.testing.assert_close(outcome.residual, inputs.bms + 9)


def test_high_pass_takes_the_published_blur_away():
    image = noise(1, 2, 5, 6)
    taps = np.array([0.3078, 0.3844, 0.3078])
    padded = np.pad(array(image), ((0, 0), (1, 1), (1, 1)), mode="reflect")
    blurred = np.zeros((2, 5, 6))
    for i in range(3):
        for j in range(3):
            blurred += taps[i] * taps[j] * padded[:, i : i + 5, j : j + 6]
    np.testing.assert_allclose(array(high_pass(image)), array(image) - blurred, atol=5e-4)
    flat = torch.ones(1, 1, 4, 4)
    torch.testing.assert_close(high_pass(flat), torch.zeros_like(flat))


@torch.no_grad()
def test_histograms_do_not_count_invalid_pixels():
    """What fills them reaches as far as convolutions do, but not as far as histograms."""
    network = PreMixH(4, 1).eval()
    bms, pan, *_ = random_inputs(PreMixH, 4, (64, 128))
    valid = torch.ones(1, 1, 64, 128)
    valid[..., 44:] = 0
    other = torch.where(valid > 0, bms, 3.0)
    near = network(Inputs(bms, pan, None, valid)).residual, network(Inputs(other, pan, None, valid)).residual
    assert torch.equal(near[0][..., :10], near[1][..., :10])
    counted = [network(Inputs(image, pan)).residual for image in (bms, other)]
    assert not torch.equal(counted[0][..., :10], counted[1][..., :10])


def test_the_halo_is_what_layers_and_histograms_need(monkeypatch):
    """Gradients do not pass equalisation, so its part of the halo is measured here."""
    network = PreMixH(4, 1).eval()
    seen = []

    def leaf(image, valid):
        seen.append(image.detach().clone().requires_grad_())
        return seen[-1]

    monkeypatch.setattr(clahe, "equalise", leaf)
    residual = network(random_inputs(PreMixH, 4, (96, 96))).residual
    reach = 0
    for at in range(48, 52):  # the coarsest scale has four phases
        gradients = torch.autograd.grad(residual[:, :, at, at].sum(), seen, retain_graph=True)
        for gradient in gradients:
            rows = gradient.abs().sum((0, 1, 3)).nonzero()
            reach = max(reach, at - int(rows.min()), int(rows.max()) - at)
    assert reach + clahe.REACH == PreMixH.TRAITS.halo

"""SSML's two networks: sizes at the bands of known sensors, and both against plain loops."""

import numpy as np
import pytest
import torch

from pancli.networks.costs import count_parameters, macs_per_pixel
from pancli.networks.ssml import SpatialBlock, SSMLSpatial, SSMLSpectral
from tests.networks.made import random_inputs, settled
from tests.networks.plain import channel_gate, numbers, pixel_gate, rectify, through

# Of CAVE, Pavia Centre, Pavia University, Chikusei, Botswana and KSC.
PARAMETERS = {
    31: (157_279, 332_203),
    102: (175_526, 414_066),
    103: (175_783, 415_219),
    128: (182_208, 444_044),
    145: (186_577, 463_645),
    176: (194_544, 499_388),
}


@pytest.mark.parametrize("bands", PARAMETERS)
def test_sizes_with_many_bands(bands):
    found = (count_parameters(SSMLSpectral(bands)), count_parameters(SSMLSpatial(bands)))
    assert found == PARAMETERS[bands]


@pytest.mark.parametrize(("kind", "macs"), [(SSMLSpectral, 2.577), (SSMLSpatial, 6.773)])
def test_costs_at_102_bands(kind, macs):
    assert macs_per_pixel(kind, 102, 128) * 128**2 / 1e9 == pytest.approx(macs, rel=2e-4)


@pytest.mark.parametrize("kind", [SSMLSpectral, SSMLSpatial])
@pytest.mark.parametrize("bands", [1, 256])
@torch.no_grad()
def test_any_number_of_bands(kind, bands):
    inputs = random_inputs(kind, bands, (8, 12))
    residual = kind(bands)(inputs).residual
    assert residual.shape == inputs.bms.shape
    assert bool(residual.isfinite().all())


def spectral_by_hand(network, bms, pan):
    shallow = rectify(through(network.head, np.concatenate([bms, pan])))
    deep = shallow
    for block in network.blocks:
        y = through(block.conv2, rectify(through(block.conv1, deep)))
        mean = np.array([sum(channel.flat) / channel.size for channel in y])
        deep = deep + channel_gate(block.gate, mean) * y
    return through(network.last, deep + shallow)


def test_spectral_network_agrees_with_plain_loops():
    network = settled(SSMLSpectral, 5)
    inputs = random_inputs(SSMLSpectral, 5, (3, 4))
    expected = spectral_by_hand(network, numbers(inputs.bms[0]), numbers(inputs.pan[0]))
    np.testing.assert_allclose(numbers(network(inputs).residual[0]), expected, atol=1e-5)


def test_spectral_network_does_not_care_where_pixels_are():
    network = settled(SSMLSpectral)
    inputs = random_inputs(SSMLSpectral, 4, (6, 8))
    order = torch.randperm(48, generator=torch.Generator().manual_seed(3))
    shuffled = inputs._replace(
        bms=inputs.bms.flatten(2)[:, :, order].unflatten(2, (6, 8)),
        pan=inputs.pan.flatten(2)[:, :, order].unflatten(2, (6, 8)),
    )
    one, other = network(inputs).residual, network(shuffled).residual
    torch.testing.assert_close(other.flatten(2), one.flatten(2)[:, :, order])


def test_spatial_block_agrees_with_plain_loops():
    block = SpatialBlock(6)
    x = torch.randn(1, 6, 5, 7)
    image = numbers(x[0])
    y = through(block.conv2, rectify(through(block.conv1, image)))
    np.testing.assert_allclose(numbers(block(x)[0]), image + pixel_gate(block.gate, y) * y, atol=1e-5)


def test_spatial_network_passes_the_head_around_its_blocks():
    network = settled(SSMLSpatial, 3)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "conv2" in name:
                parameter.zero_()
    inputs = random_inputs(SSMLSpatial, 3, (4, 5))
    shallow = rectify(through(network.head, np.concatenate([numbers(inputs.bms[0]), numbers(inputs.pan[0])])))
    expected = through(network.last, 2 * shallow)
    np.testing.assert_allclose(numbers(network(inputs).residual[0]), expected, atol=1e-5)

"""UTSN: sizes as published, and both of its networks against plain loops."""

import numpy as np
import pytest
import torch

from pancli.networks.utsn import UTSN, SpatialNet, SpectralNet
from tests.networks.made import count, noise, random_inputs
from tests.networks.plain import channel_gate, numbers, rectify, through


def test_networks_have_their_published_sizes():
    network = UTSN()
    assert (count(network.spatial), count(network.spectral)) == (422_148, 3_412)
    layers = network.spatial.dense.named_parameters()
    assert [tuple(p.shape) for name, p in layers if name.endswith("weight")] == [
        (32, 32 * i, 3, 3) for i in range(1, 7)
    ]
    assert network.spatial.merge.weight.shape == (32, 224, 5, 5)


def spatial_by_hand(network, bms, pan):
    features, feature = [], pan
    for layer in network.pan:
        feature = rectify(through(layer, feature))
        features.append(feature)
    maps = [rectify(through(network.head, np.concatenate([bms, pan])))]
    for k, layer in enumerate(network.dense):
        difference = features[k] - sum(features[:k])
        maps.append(rectify(through(layer, np.concatenate(maps))) + difference)
    return through(network.last, rectify(through(network.merge, np.concatenate(maps)))) + pan


def test_spatial_network_agrees_with_plain_loops():
    network = SpatialNet(3)
    bms, pan = noise(1, 3, 4, 5), noise(1, 1, 4, 5, seed=1)
    with torch.no_grad():
        for parameter in network.pan.parameters():
            parameter.mul_(3)  # else what pan's layers see fades away along the chain
    expected = spatial_by_hand(network, numbers(bms[0]), numbers(pan[0]))
    np.testing.assert_allclose(numbers(network(bms, pan)[0]), expected, atol=1e-4)


def test_spectral_network_agrees_with_plain_loops():
    network, x = SpectralNet(3), noise(1, 3, 4, 5)
    torch.nn.init.normal_(network.gain.weight)  # some gains are cut off at zero
    steps = network.steps(x)
    (wanted,) = next(steps)
    with pytest.raises(StopIteration) as done:
        steps.send([wanted.local(1)])
    image = numbers(x[0])
    deep = rectify(through(network.head, image))
    mean = np.array([sum(channel.flat) / 20 for channel in deep])
    gain = rectify(through(network.gain, deep * channel_gate(network.gate, mean)))
    assert 0 < (gain == 0).mean() < 1
    np.testing.assert_allclose(numbers(done.value.value[0]), image * gain, atol=1e-4)


def test_pan_is_what_is_added_to():
    """Without its last convolutions the network gives pan in every band, through a gain of one."""
    network = UTSN()
    with torch.no_grad():
        for parameter in (*network.spatial.last.parameters(), network.spectral.gain.weight):
            parameter.zero_()
    inputs = random_inputs(UTSN, 4, (8, 8))
    fused = network(inputs).residual + inputs.bms
    torch.testing.assert_close(fused, inputs.pan.expand_as(fused), rtol=0, atol=1e-5)

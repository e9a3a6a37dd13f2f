"""PanNet with PGCU: sizes as published, and its upsampling against plain loops."""

import numpy as np
import pytest
import torch

from pancli.networks import pannet_pgcu
from pancli.networks.costs import count_parameters, macs_per_pixel
from pancli.networks.pannet_pgcu import BandVectors, PanNetPGCU, Upsampling
from tests.networks.made import count, random_inputs
from tests.networks.plain import linear, max_pool, numbers, softmax, through


@pytest.mark.parametrize(("vector", "parameters", "macs"), [(64, 114_920, 6.803), (128, 149_224, 7.911)])
def test_size_follows_the_vectors_as_published(vector, parameters, macs, monkeypatch):
    monkeypatch.setattr(pannet_pgcu, "_VECTOR", vector)
    assert count_parameters(PanNetPGCU()) == parameters
    assert macs_per_pixel(PanNetPGCU, 4, 256) * 256**2 / 1e9 == pytest.approx(macs, rel=2e-4)


def test_upsampling_has_its_published_size():
    assert count(Upsampling(4)) == 54_116


def positions_by_hand(block, pan, ms):
    for layers in block.pan:
        pan = max_pool(through(layers[0], pan), 2)
    for layers in block.ms:
        ms = max_pool(through(layers[0], ms), 2)
    return through(block.merge, np.concatenate([ms, pan]))


def vectors_by_hand(block, column):
    """The vector of each band at one place: (bands, length)."""
    vectors = []
    for band, raw in enumerate(linear(block.linear, column).reshape(block.shape)):
        centred = raw - raw.mean()
        normal = centred / np.sqrt((centred**2).mean() + 1e-5)
        vectors.append(normal * numbers(block.gain)[band, 0] + numbers(block.offset)[band, 0])
    return np.stack(vectors)


def upsampled_by_hand(block, pan, ms):
    bands = len(ms)
    near = ms.repeat(4, 1).repeat(4, 2)
    seen = through(block.merge, np.concatenate([through(block.ms, near), through(block.pan, pan)]))
    coarse = positions_by_hand(block.positions, pan, ms).reshape(len(seen), -1)
    positions = np.stack([vectors_by_hand(block.position_vectors, column) for column in coarse.T], 1)
    values = positions_by_hand(block.values, pan, ms).reshape(bands, -1)
    expected = np.zeros((bands, *pan.shape[1:]))
    for row in range(pan.shape[1]):
        for col in range(pan.shape[2]):
            pixel = vectors_by_hand(block.pixel_vectors, seen[:, row, col])
            for band in range(bands):
                likeness = positions[band] @ pixel[band] / np.sqrt(len(pixel[band]))
                expected[band, row, col] = softmax(likeness) @ values[band]
    return through(block.adjust, expected)


@torch.no_grad()
def test_upsampling_agrees_with_plain_loops(monkeypatch):
    monkeypatch.setattr(pannet_pgcu, "_VECTOR", 24)
    torch.manual_seed(0)
    block, inputs = Upsampling(2), random_inputs(PanNetPGCU, 2, (64, 128))
    for vectors in (block.pixel_vectors, block.position_vectors):
        vectors.gain.add_(torch.randn(vectors.gain.shape))
        vectors.offset.add_(torch.randn(vectors.offset.shape))
    assert inputs.lrms is not None
    expected = upsampled_by_hand(block, numbers(inputs.pan[0]), numbers(inputs.lrms[0]))
    found = numbers(block(inputs.pan, inputs.lrms)[0])
    assert expected.std() > 0.05
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_many_bands_still_have_vectors_to_tell_pixels_apart():
    length = Upsampling(200).pixel_vectors.shape[1]
    vectors = BandVectors(200, length)(torch.randn(1, 128, 1, 2))
    assert not torch.allclose(vectors[:, :, 0], vectors[:, :, 1], atol=0.5)


def high_pass_by_hand(image):
    """Less the mean of the 5 x 5 pixels around each, as many as there are."""
    found = np.zeros_like(image)
    for row in range(image.shape[0]):
        for col in range(image.shape[1]):
            around = image[max(row - 2, 0) : row + 3, max(col - 2, 0) : col + 3]
            found[row, col] = image[row, col] - around.mean()
    return found


@torch.no_grad()
def test_blocks_see_detail_of_pan_and_add_to_the_enlarged_image():
    network, inputs = PanNetPGCU(), random_inputs(PanNetPGCU, 4, (64, 64))
    assert inputs.lrms is not None
    detail = torch.tensor(high_pass_by_hand(numbers(inputs.pan[0, 0])), dtype=torch.float32)
    enlarged = network.upsampling(inputs.pan, inputs.lrms)
    head = torch.relu(network.head(torch.cat((enlarged, detail[None, None]), 1)))
    expected = network.last(network.blocks(head)) + enlarged
    torch.testing.assert_close(network(inputs).residual + inputs.bms, expected, rtol=0, atol=1e-4)

"""Equalised histograms: bit for bit what a slow loop makes, and local."""

import numpy as np
import pytest
import torch

from pancli.networks.clahe import CELL, REACH, equalise


def looped_table(values):
    """What each of 256 levels becomes, from the valid values of one cell in one channel."""
    histogram = [0] * 256
    for value in values:
        histogram[min(int(np.floor(np.float32(256) * value)), 255)] += 1
    limit = max(40 * len(values) // 256, 1)
    excess = sum(max(held - limit, 0) for held in histogram)
    table, so_far = [], 0
    for level in range(256):
        so_far += min(histogram[level], limit) + excess // 256 + (level < excess % 256)
        table.append(255 * so_far // len(values))
    return table


def looped(image, valid):
    """Pixel after pixel, for an image (C, H, W)."""
    image = np.clip(image, np.float32(0), np.float32(1))
    channels, height, width = image.shape
    tables = {}
    for channel in range(channels):
        for row in range(height // 32):
            for col in range(width // 32):
                cell = np.s_[32 * row : 32 * row + 32, 32 * col : 32 * col + 32]
                values = image[channel][cell][valid[cell]]
                if len(values):
                    tables[channel, row, col] = looped_table(values)
    out = image.copy()
    for channel, row, col in np.ndindex(image.shape):
        level = int(np.float32(255) * image[channel, row, col])
        total = weights = 0
        # Between the centres of two cells, weights run from 31 to 0 and from 0 to 31.
        for y, of_y in (((row - 16) // 32, 31 - (row - 16) % 32), ((row - 16) // 32 + 1, (row - 16) % 32)):
            for x, of_x in (
                ((col - 16) // 32, 31 - (col - 16) % 32),
                ((col - 16) // 32 + 1, (col - 16) % 32),
            ):
                if (channel, y, x) in tables:
                    total += of_y * of_x * tables[channel, y, x][level]
                    weights += of_y * of_x
        if weights:
            out[channel, row, col] = np.float32(total) / np.float32(255 * weights)
    return out


def scene(shape, seed=0):
    """A smooth ramp with flat patches, some of it beyond [0, 1], so that histograms have peaks to clip."""
    random = np.random.default_rng(seed)
    image = np.linspace(-0.1, 1.1, shape[-1]) + 0.05 * random.standard_normal(shape)
    image[..., 10:40, 20:50] = random.random((*shape[:-2], 1, 1))
    image[..., 5, 5] = 1
    return image.astype(np.float32)


def made_valid(height, width):
    """A cell without valid pixels, one with three, and a stripe."""
    valid = np.ones((height, width), bool)
    valid[32:64, :32] = False
    valid[:32, 64:96] = False
    valid[[3, 9, 30], [64, 70, 95]] = True
    valid[70:75] = False
    return valid


@pytest.mark.parametrize("masked", [False, True])
def test_agrees_with_a_slow_loop_bit_for_bit(masked):
    image = scene((2, 96, 128))
    valid = made_valid(96, 128) if masked else np.ones((96, 128), bool)
    mask = torch.tensor(valid)[None, None].float() if masked else None
    found = equalise(torch.tensor(image)[None], mask)[0].numpy()
    assert np.array_equal(found, looped(image, valid))
    assert found.dtype == np.float32
    assert 0 <= found.min() < found.max() <= 1


def test_gives_a_dull_image_contrast():
    dull = torch.tensor(0.4 + 0.02 * np.random.default_rng(1).random((1, 1, 64, 64)), dtype=torch.float32)
    assert float(equalise(dull).std()) > 3 * float(dull.std())


def test_samples_and_channels_do_not_mix():
    images = torch.tensor(scene((2, 3, 64, 64)))
    valid = torch.ones(2, 1, 64, 64)
    valid[1, :, 20:40] = 0
    found = equalise(images, valid)
    for sample in range(2):
        for channel in range(3):
            one = equalise(images[sample, channel][None, None], valid[sample][None])
            assert torch.equal(found[sample, channel], one[0, 0])


def test_invalid_pixels_change_nothing_of_valid_ones():
    image, valid = torch.tensor(scene((1, 1, 96, 128))), made_valid(96, 128)
    mask = torch.tensor(valid)[None, None]
    other = torch.where(mask, image, 0.9)
    assert not torch.equal(image, other)
    assert torch.equal(equalise(image, mask)[mask], equalise(other, mask)[mask])


def is_found(image, at, reach):
    """Whether a pixel and so many around it, outwards to whole cells, suffice."""
    start, stop = (at - reach) // CELL * CELL, -(-(at + 1 + reach) // CELL) * CELL
    found = equalise(image[:, :, start:stop, start:stop])[:, :, at - start, at - start]
    return torch.equal(found, equalise(image)[:, :, at, at])


def test_looks_as_far_as_its_reach_and_no_further():
    image = torch.tensor(scene((1, 1, 160, 160)))
    cell = range(2 * CELL, 3 * CELL)
    assert all(is_found(image, at, REACH) for at in cell)
    assert not all(is_found(image, at, REACH - 1) for at in cell)

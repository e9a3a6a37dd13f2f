"""What holds for any images: bounds, symmetry, and that the order of bands is nobody's business."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pancli.methods.moments import Moments
from pancli.metrics.correlation import cosine, mean_correlation
from pancli.metrics.hypercomplex import q2n_blocks
from pancli.metrics.no_reference import local_distortions, spatial_distortion, spectral_distortion
from pancli.metrics.quality_index import block_quality, sliding_quality
from pancli.metrics.reference import ReferenceSums
from pancli.metrics.structure import edge_strength, local_correlation, ssim_map

SIDE = 20
SLACK = 1e-9  # rounding at the bounds themselves


@st.composite
def pairs(draw):
    """Two images (B, 20, 20): noise, flat parts, zeros, negative numbers, equal bands."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    bands = draw(st.integers(2, 5))
    images = rng.normal(
        draw(st.sampled_from([0, 5, 400])), draw(st.sampled_from([1e-3, 1, 90])), (2, bands, SIDE, SIDE)
    )
    if draw(st.booleans()):
        images[:, :, :9, :9] = draw(st.sampled_from([0, 7, -3]))
    if draw(st.booleans()):
        images[1] = images[0] + draw(st.sampled_from([0, 1e-12, 3])) * rng.normal(0, 1, images[0].shape)
    if draw(st.booleans()):
        images[:, 1] = images[:, 0]
    return tuple(torch.from_numpy(image) for image in images)


def edges(x, y):
    a, b = edge_strength(x), edge_strength(y)
    return torch.stack([(a * b).sum(), a.square().sum(), b.square().sum()])


def moments(x, y):
    return Moments.of(torch.cat([x, y]).flatten(1))


def covariance(x, y):
    return moments(x, y).covariance


def within(value, low, high):
    assert bool(torch.isfinite(torch.as_tensor(value)).all())
    assert float(torch.as_tensor(value).min()) >= low - SLACK
    assert float(torch.as_tensor(value).max()) <= high + SLACK


@given(pairs())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_every_figure_stays_within_its_bounds(pair):
    x, y = pair
    within(block_quality(torch.cat([x, y]), 8), -1, 1)
    within(sliding_quality(x, y, 8), -1, 1)
    within(ssim_map(x, y, 2047.0), -1, 1)
    within(local_correlation(x, y[:1], 2), -1, 1)
    within(q2n_blocks(x, y, 8), 0, 1 + 1e-6)
    for value, low in ((mean_correlation(covariance(x, y)), -1), (cosine(edges(x, y)), 0)):
        assert value is None or low - SLACK <= value <= 1 + SLACK
    share = moments(x, y[:1]).unexplained()
    assert share is None or 0 <= share <= 1
    sums = ReferenceSums.of(x, y)
    within(sums.sam(), 0, 180)
    assert sums.rmse() >= 0


@given(pairs())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_what_compares_two_images_alike_is_symmetric(pair):
    x, y = pair
    torch.testing.assert_close(sliding_quality(x, y, 8), sliding_quality(y, x, 8), rtol=0, atol=1e-9)
    torch.testing.assert_close(ssim_map(x, y, 255.0), ssim_map(y, x, 255.0), rtol=0, atol=1e-9)
    one, other = ReferenceSums.of(x, y), ReferenceSums.of(y, x)
    assert one.rmse() == pytest.approx(other.rmse())
    assert one.sam() == pytest.approx(other.sam(), abs=1e-9)
    assert cosine(edges(x, y)) == pytest.approx(cosine(edges(y, x)))


@given(pairs(), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_the_order_of_bands_does_not_matter(pair, seed):
    x, y = pair
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(x)))
    with_pan = torch.cat([order, torch.tensor([len(x)])])
    pan = x.mean(0, keepdim=True) + 0.1 * y[:1]
    high, low = (block_quality(torch.cat([image, pan]), 8) for image in (x, y))
    turned = [q[..., with_pan, :][..., with_pan] for q in (high, low)]
    again = [block_quality(torch.cat([image[order], pan]), 8) for image in (x, y)]
    torch.testing.assert_close(turned, again, rtol=0, atol=1e-9)
    torch.testing.assert_close(local_distortions(high, low), local_distortions(*again), rtol=0, atol=1e-9)
    means, means_again = ([q.mean((0, 1)) for q in both] for both in ((high, low), again))
    assert spectral_distortion(*means) == pytest.approx(spectral_distortion(*means_again), abs=1e-9)
    assert spatial_distortion(*means) == pytest.approx(spatial_distortion(*means_again), abs=1e-9)
    one, other = ReferenceSums.of(x, y), ReferenceSums.of(x[order], y[order])
    assert one.sam() == pytest.approx(other.sam(), abs=1e-7)
    assert one.rmse() == pytest.approx(other.rmse())
    assert moments(x, pan).unexplained() == pytest.approx(moments(x[order], pan).unexplained(), abs=1e-6)


@given(pairs())
@settings(max_examples=30, deadline=None, derandomize=True)
def test_an_image_is_the_best_likeness_of_itself(pair):
    x, _ = pair
    torch.testing.assert_close(
        sliding_quality(x, x, 8), torch.ones(len(x), 13, 13).double(), rtol=0, atol=1e-9
    )
    torch.testing.assert_close(ssim_map(x, x, 255.0), torch.ones(len(x), 10, 10).double(), rtol=0, atol=1e-9)
    torch.testing.assert_close(q2n_blocks(x, x, 8), torch.ones(2, 2).double(), rtol=0, atol=1e-6)
    sums = ReferenceSums.of(x, x)
    assert (sums.rmse(), sums.sam()) == (0, 0)

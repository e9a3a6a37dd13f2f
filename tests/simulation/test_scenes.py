"""A simulated pair is what its instrument says it is."""

import math

import numpy as np
import pytest
import torch

from pancli.simulation.instruments import Instrument
from pancli.simulation.scenes import random_pair, seeded_pair

CALM = Instrument(
    centres=(480.0, 555.0, 660.0, 830.0),
    widths=(60.0, 70.0, 60.0, 120.0),
    pan_range=(455.0, 805.0),
    ms_gains=(0.34, 0.32, 0.30, 0.22),
    shift=(0.7, -1.3),
    band_shifts=((0.1, 0.0), (0.0, 0.0), (0.0, -0.2), (0.0, 0.0)),
    bits=12,
    full_scale=(2.0,) * 5,  # nothing saturates
)


def pair_of(seed, size=96, bands=4, ratio=4.0):
    return random_pair(torch.Generator().manual_seed(seed), size, bands, ratio)


def slow_ms_value(reference, row, col, ratio, gain, shift):
    """One ms pixel: a Gaussian whose transform at the ms Nyquist is ``gain``, cut at four deviations."""
    sigma = ratio * math.sqrt(-2.0 * math.log(gain)) / math.pi
    centre = [(i + 0.5) * ratio - 0.5 + s for i, s in zip((row, col), shift, strict=True)]
    total = weights = 0.0
    for y in range(math.ceil(centre[0] - 4 * sigma), math.floor(centre[0] + 4 * sigma) + 1):
        for x in range(math.ceil(centre[1] - 4 * sigma), math.floor(centre[1] + 4 * sigma) + 1):
            weight = math.exp(-0.5 * ((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / sigma**2)
            total += weight * reference[y, x]
            weights += weight
    return total / weights


def test_a_seed_gives_one_pair_and_another_seed_another():
    first, again, other = pair_of(3), pair_of(3), pair_of(4)
    for name in ("pan", "ms", "reference"):
        assert torch.equal(getattr(first, name), getattr(again, name))
    assert first.instrument == again.instrument
    assert not torch.equal(first.pan, other.pan)


def test_the_generator_moves_on():
    generator = torch.Generator().manual_seed(0)
    pairs = [random_pair(generator, 48, 3, 2.0) for _ in range(2)]
    assert not torch.equal(pairs[0].pan, pairs[1].pan)


@pytest.mark.parametrize(
    ("size", "bands", "ratio", "low"),
    [(64, 4, 4.0, 16), (60, 1, 3.0, 20), (65, 8, 2.0, 33), (90, 13, 29.9 / 14.99, 46), (50, 3, 3.7, 14)],
)
def test_images_have_their_shapes_for_any_ratio_and_band_count(size, bands, ratio, low):
    pair = pair_of(1, size, bands, ratio)
    assert pair.pan.shape == (1, size, size)
    assert pair.reference.shape == (bands, size, size)
    assert pair.ms.shape == (bands, low, low)
    assert pair.placement.ms_shape == (low, low)
    assert pair.placement.ratio == pytest.approx(ratio)
    assert pair.instrument.bands == bands


def test_a_pair_need_not_be_square():
    pair = seeded_pair(0, CALM, (48, 90), 4.0)
    assert pair.pan.shape == (1, 48, 90)
    assert pair.ms.shape == (4, 12, 23)


@pytest.mark.parametrize(("bands", "ratio"), [(0, 4.0), (4, 1.0)])
def test_a_pair_without_bands_or_without_detail_is_refused(bands, ratio):
    with pytest.raises(ValueError, match="a pair needs"):
        pair_of(0, 32, bands, ratio)


@pytest.mark.parametrize("seed", range(6))
def test_values_are_digital_numbers_of_the_stated_bits(seed):
    pair = pair_of(seed)
    assert pair.peak == 2**pair.instrument.bits - 1
    for image in (pair.pan, pair.ms, pair.reference):
        assert image.dtype == torch.float32
        assert torch.isfinite(image).all()
        assert image.min() >= 0
        assert image.max() <= pair.peak
    assert torch.equal(pair.pan, pair.pan.round())
    assert torch.equal(pair.ms, pair.ms.round())
    assert not torch.equal(pair.reference, pair.reference.round())


def test_the_reference_through_gains_and_shifts_is_the_ms_up_to_noise():
    pair = seeded_pair(5, CALM, (128, 128), 4.0)
    errors, allowed = [], []
    for band in range(4):
        own = [a + b for a, b in zip(CALM.shift, CALM.band_shifts[band], strict=True)]
        reference = pair.reference[band].numpy().astype(np.float64)
        for row in range(6, 26, 3):
            for col in range(6, 26, 3):
                seen = slow_ms_value(reference, row, col, 4.0, CALM.ms_gains[band], own)
                errors.append(pair.ms[band, row, col].item() - seen)
                level = seen / pair.peak
                noise = pair.peak**2 * (CALM.read_noise[1] ** 2 + CALM.shot_noise[1] * level)
                allowed.append(math.sqrt(noise + 1 / 12))
    scaled = np.array(errors) / np.array(allowed)
    assert np.abs(scaled).max() < 5
    assert 0.8 < scaled.std() < 1.2
    assert abs(scaled.mean()) < 0.3


def test_pan_is_nearly_but_not_wholly_explained_by_the_bands():
    explained = []
    for seed in range(12):
        pair = pair_of(seed, 128)
        columns = np.c_[pair.reference.numpy().reshape(4, -1).T, np.ones(128 * 128)]
        pan = pair.pan.numpy().ravel()
        residual = pan - columns @ np.linalg.lstsq(columns, pan, rcond=None)[0]
        explained.append(1 - residual.var() / pan.var())
    assert 0.9 < np.median(explained) < 0.9995
    assert min(explained) > 0.6
    assert max(explained) < 0.9999


def test_there_is_as_much_power_near_nyquist_as_in_real_scenes():
    """Open Landsat-7 and sharp NAIP images lie between -2.65 and -2.35 by this measure."""
    window = np.outer(np.hanning(128), np.hanning(128))
    frequency = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.fftfreq(128)[None])
    levels = []
    for seed in range(16):
        for band in pair_of(seed, 128).reference.numpy().astype(np.float64):
            power = np.abs(np.fft.fft2((band - band.mean()) * window)) ** 2
            top = power[(frequency > 0.4) & (frequency < 0.5)].mean()
            levels.append(np.log10(top / power[(frequency > 0.02) & (frequency < 0.06)].mean()))
    assert -3.0 < np.median(levels) < -2.1


def test_bands_correlate_as_real_ones_do():
    correlations = []
    for seed in range(12):
        bands = pair_of(seed, 64).reference.numpy().reshape(4, -1)
        correlations.append(np.corrcoef(bands)[~np.eye(4, dtype=bool)].mean())
    assert 0.5 < np.median(correlations) < 0.95

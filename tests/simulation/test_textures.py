"""Textures have the spectrum they are named for."""

import itertools

import numpy as np
import pytest
import torch

from pancli.device import CPU
from pancli.simulation.textures import TextureBank, band_pass, power_law, relief, textured

FREQUENCY = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.fftfreq(128)[None])


def spectrum(field):
    return np.abs(np.fft.fft2(field.astype(np.float64))) ** 2


@pytest.mark.parametrize("beta", [0.0, 1.0, 2.0, 3.0])
def test_power_falls_with_the_stated_exponent(beta):
    edges = np.geomspace(0.03, 0.45, 9)
    fields = power_law(np.random.default_rng(0), (128, 128), beta, CPU, 4).numpy()
    power = np.mean([spectrum(field) for field in fields], axis=0)
    rings = [power[(lo <= FREQUENCY) & (hi > FREQUENCY)].mean() for lo, hi in itertools.pairwise(edges)]
    slope = np.polyfit(np.log(np.sqrt(edges[:-1] * edges[1:])), np.log(rings), 1)[0]
    assert slope == pytest.approx(-beta, abs=0.15)


@pytest.mark.parametrize("shape", [(64, 48), (33, 77), (1, 20)])
def test_fields_are_normalised_whatever_their_shape(shape):
    fields = power_law(np.random.default_rng(1), shape, 1.5, CPU, 3).numpy()
    assert fields.shape == (3, *shape)
    assert fields.dtype == np.float32
    np.testing.assert_allclose(fields.mean((1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(fields.std((1, 2)), 1, atol=0.05)


def test_bumps_are_a_period_apart():
    power = spectrum(band_pass(np.random.default_rng(2), (128, 128), 8.0, CPU).numpy())
    centre = (power * FREQUENCY).sum() / power.sum()
    assert 1 / 16 < centre < 1 / 5


def test_the_side_towards_the_sun_is_bright():
    down = torch.arange(32.0)[:, None].expand(32, 32)
    ridge = torch.exp(-0.5 * ((down - 16) / 4) ** 2)
    shade = relief(ridge - ridge.mean(), (1.0, 0.0))  # shadows fall downwards: the light comes from above
    assert shade[13, 5] > shade[19, 5] + 0.5


def test_a_bank_has_its_fields_by_name_and_follows_its_generator():
    first, again = (TextureBank.random(np.random.default_rng(3), (40, 50), (0.6, 0.8), CPU) for _ in range(2))
    assert torch.equal(first.fields, again.fields)
    assert torch.equal(first["rough"], first.fields[1])
    np.testing.assert_allclose(first.fields.std((1, 2)), 1, atol=0.1)


def test_texture_is_brightness_that_never_goes_out():
    pieces = torch.tensor([-20.0, 0.0, 2.0])
    assert textured(pieces, 0.1).tolist() == pytest.approx([0.15, 1.0, 1.2])

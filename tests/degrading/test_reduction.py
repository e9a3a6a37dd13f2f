"""Blurring and sampling: against plain loops, and what the blur must do to a wave."""

import math

import numpy as np
import pytest
import torch

from pancli.degrading.reduction import _plan_axis, reach
from pancli.placement import AxisMap, Placement
from pancli.resampling import VALID_WEIGHT, mtf_radius, reduce_masked
from pancli.simulating import SimulateOptions, simulate
from pancli.tiling import Window

GAINS = (0.22, 0.35)


def cells_of(ratio, cells, first=0.0):
    axis = AxisMap(1 / ratio, -first / ratio, cells)
    return Placement(axis, axis)


def loop(band, valid, ratio, gain, row, col):
    """One coarse pixel, and the share of its weight on valid pixels."""
    sigma = ratio * math.sqrt(-2 * math.log(gain)) / math.pi
    total = known = value = 0.0
    for i in range(band.shape[0]):
        for j in range(band.shape[1]):
            down, right = i - ((row + 0.5) * ratio - 0.5), j - ((col + 0.5) * ratio - 0.5)
            if max(abs(down), abs(right)) > 4 * sigma:
                continue
            weight = math.exp(-(down**2 + right**2) / (2 * sigma**2))
            total += weight
            if valid[i, j]:
                known += weight
                value += weight * band[i, j]
    return (value / known if known else 0.0), known / total


@pytest.fixture
def image():
    rng = np.random.default_rng(5)
    valid = np.ones((30, 34), bool)
    valid[:9, 20:] = False
    valid[25, 3] = False
    return rng.uniform(100, 900, (2, 30, 34)), valid


@pytest.mark.parametrize("ratio", [2.0, 2.5, 29.9 / 14.99, 4.0])
def test_it_is_the_loop(image, ratio):
    values, valid = image
    count = int(30 / ratio)
    windows = Window(0, 0, 30, 34), Window(0, 0, count, count)
    got, ok = reduce_masked(torch.tensor(values), torch.tensor(valid), cells_of(ratio, count), windows, GAINS)
    some = [(0, 0), (count - 1, 0), (count // 2, count // 2), (0, count - 1), (2, count - 3)]
    for row, col in np.ndindex(count, count) if count < 10 else some:
        answers = [loop(band, valid, ratio, gain, row, col) for band, gain in zip(values, GAINS, strict=True)]
        assert ok[row, col] == (min(share for _, share in answers) >= VALID_WEIGHT)
        if ok[row, col]:
            assert got[:, row, col].tolist() == pytest.approx([value for value, _ in answers], rel=1e-9)
    assert ok.any()
    assert not ok.all()


@pytest.mark.parametrize("ratio", [2.0, 3.0, 4.5])
def test_a_wave_at_the_new_nyquist_keeps_the_gain(ratio):
    size, count = 96, int(96 / ratio)
    centre = (ratio - 1) / 2
    wave = torch.cos(math.pi * (torch.arange(size, dtype=torch.float64) - centre) / ratio)
    image = wave.expand(2, size, size)
    windows = Window(0, 0, size, size), Window(0, 0, count, count)
    got, _ = reduce_masked(
        image, torch.ones(size, size, dtype=torch.bool), cells_of(ratio, count), windows, GAINS
    )
    middle = got[:, count // 2, 8:-8]
    for band, gain in enumerate(GAINS):
        np.testing.assert_allclose(middle[band].abs(), gain, atol=2e-3)


@pytest.mark.parametrize("poison", [float("nan"), 1e9, -1e9])
def test_what_is_masked_does_not_matter(image, poison):
    values, valid = image
    windows = Window(0, 0, 30, 34), Window(0, 0, 7, 7)
    clean, mask = reduce_masked(torch.tensor(values), torch.tensor(valid), cells_of(4.0, 7), windows, GAINS)
    values = np.where(valid, values, poison)
    got, same = reduce_masked(torch.tensor(values), torch.tensor(valid), cells_of(4.0, 7), windows, GAINS)
    assert torch.equal(same, mask)
    assert torch.equal(got[:, mask], clean[:, mask])


def test_a_constant_stays_constant_beside_holes(image):
    _, valid = image
    constant = torch.full((2, 30, 34), 737.0)
    windows = Window(0, 0, 30, 34), Window(0, 0, 7, 7)
    got, ok = reduce_masked(constant, torch.tensor(valid), cells_of(4.0, 7), windows, GAINS)
    np.testing.assert_allclose(got[:, ok], 737.0, rtol=1e-12)


@pytest.mark.parametrize("first", [0.0, 3.0])
def test_parts_are_those_of_the_whole(image, first):
    values, valid = map(torch.tensor, image)
    cells, whole = cells_of(2.5, 10, first), Window(0, 0, 30, 34)
    wanted, mask = reduce_masked(values, valid, cells, (whole, Window(0, 0, 10, 10)), GAINS)
    for part in Window(0, 0, 10, 10).blocks(3):
        source = reach(cells, part, min(GAINS), whole)
        rows, cols = source.slices_in(whole)
        got, ok = reduce_masked(values[:, rows, cols], valid[rows, cols], cells, (source, part), GAINS)
        rows, cols = part.slices_in(Window(0, 0, 10, 10))
        np.testing.assert_allclose(got, wanted[:, rows, cols], rtol=1e-12)
        assert torch.equal(ok, mask[rows, cols])


def test_the_reach_is_the_blur_and_no_more():
    source = reach(cells_of(4.0, 100), Window(50, 50, 1, 1), 0.3, Window(0, 0, 400, 400))
    assert source.height <= 2 * (mtf_radius(4.0, 0.3) + 1) + 2
    assert reach(cells_of(4.0, 100), Window(0, 0, 1, 1), 0.3, Window(0, 0, 400, 400)).row == 0


@pytest.mark.parametrize("off", [-1e-7, 1e-7])
def test_an_edge_up_to_rounding_is_one_edge(off):
    first, count, cells = _plan_axis(AxisMap(0.25, off, 40), 160, 4.0, by_corners=False)
    assert (first, count, cells.size) == (0, 40, 10)


def test_a_simulated_truth_reduces_to_its_ms():
    pair = simulate(SimulateOptions(size=128, seed=2, sensor="quickbird"), 2)
    truth = pair.reference.double()
    windows = Window(0, 0, 128, 128), Window(0, 0, 32, 32)
    got, _ = reduce_masked(
        truth,
        torch.ones(128, 128, dtype=torch.bool),
        pair.placement,
        windows,
        pair.instrument.ms_gains,
    )
    inner = (..., slice(3, -3), slice(3, -3))
    error = (got - pair.ms)[inner]
    assert float(error.std() / pair.ms[inner].std()) < 0.05
    wrong, _ = reduce_masked(
        truth, torch.ones(128, 128, dtype=torch.bool), pair.placement, windows, (0.8,) * 4
    )
    assert float((wrong - pair.ms)[inner].std()) > 3 * float(error.std())

"""The benchmark on held-back images: what it makes of one, and what it says."""

import numpy as np
import pytest
import torch

from tests.benchmarks import heldback
from tests.benchmarks.heldback import NAMES, ROWS, Reduction, displaced, observe, sharpness


def image(side=48):
    return torch.from_numpy(np.random.default_rng(1).integers(20, 220, (4, side, side))).float()


def test_a_pair_is_reduced_as_told():
    truth = image()
    scene, same = observe(truth, Reduction(ratio=6))
    assert scene.info.placement.ratio == pytest.approx(6)
    assert torch.equal(same, truth)
    blunt = observe(truth, Reduction(blunter=0.1))[1]
    assert sharpness(blunt, truth) < 0.6
    near, off = (
        scene.reader.read_pan(scene.area)[0]
        for scene, _ in (observe(truth, how) for how in (Reduction(), Reduction(shift=(0.0, 2.0))))
    )
    assert np.abs(off[8:-8, 10:-8] - near[8:-8, 8:-10]).max() <= 1  # whole numbers


def test_what_is_moved_by_half_a_pixel_loses_nothing():
    fast = torch.cos(torch.pi * (45 / 48) * (torch.arange(48) + 0.5)).expand(1, 48, 48)  # near Nyquist
    assert displaced(fast, (0.5, 0.0)).allclose(fast, atol=1e-4)
    assert displaced(fast, (0.0, 0.5)).square().mean() == pytest.approx(float(fast.square().mean()), rel=0.05)


def test_sharpness_is_the_share_of_detail():
    truth = image()
    assert sharpness(truth, truth) == pytest.approx(1)
    assert sharpness(0.5 * truth + 30, truth) == pytest.approx(0.5)


def test_every_row_is_measured_for_every_method(tmp_path, capsys):
    (tmp_path / "naip").mkdir()
    for name in NAMES:
        np.save(tmp_path / "naip" / f"{name}-truth.npy", image(60).numpy())
    rows = ["4", "6", "noise"]
    assert set(rows) <= set(ROWS)
    arguments = ["--data", f"{tmp_path}", "--methods", "exp,exp+bp1", "--rows", ",".join(rows)]
    heldback.main(arguments)
    said = capsys.readouterr().out.splitlines()[4:]
    assert [line.split(" | ")[0] for line in said] == [f"| {row}" for row in rows]
    for line in said:
        plain, closer = (float(cell.split(" / ")[0]) for cell in line.split(" | ")[1:3])
        assert closer > plain

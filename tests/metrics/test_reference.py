"""PSNR, SAM and ERGAS against plain loops, and what must hold of their sums."""

import math

import numpy as np
import pytest
import torch

from pancli.metrics.reference import ReferenceSums

SHAPE = (3, 9, 7)


def images(seed=0):
    generator = np.random.default_rng(seed)
    reference = 100 + 50 * generator.random(SHAPE)
    return reference + 5 * generator.standard_normal(SHAPE), reference


def sums(fused, reference, valid=None):
    return ReferenceSums.of(
        torch.from_numpy(fused),
        torch.from_numpy(reference),
        None if valid is None else torch.from_numpy(valid),
    )


def loop_angle(fused, reference, valid):
    angles = []
    for row in range(SHAPE[1]):
        for col in range(SHAPE[2]):
            a, b = fused[:, row, col], reference[:, row, col]
            lengths = math.sqrt((a * a).sum()) * math.sqrt((b * b).sum())
            if valid[row, col] and lengths > 0:
                angles.append(math.degrees(math.acos(min(1.0, (a * b).sum() / lengths))))
    return sum(angles) / len(angles)


def test_agrees_with_plain_loops_over_the_valid_pixels():
    fused, reference = images()
    valid = np.random.default_rng(1).random(SHAPE[1:]) > 0.3
    error = (fused - reference)[:, valid] ** 2
    means = reference[:, valid].mean(1)
    found = sums(fused, reference, valid)
    assert found.psnr(255) == pytest.approx(10 * math.log10(255**2 / error.mean()), abs=1e-10)
    assert found.sam() == pytest.approx(loop_angle(fused, reference, valid), abs=1e-8)
    relative = sum(e.mean() / m**2 for e, m in zip(error, means, strict=True)) / len(means)
    assert found.ergas(4) == pytest.approx(25 * math.sqrt(relative), abs=1e-10)


def test_identical_images_are_perfect():
    _, reference = images()
    found = sums(reference, reference)
    assert found.psnr(255) == math.inf
    assert found.sam() == 0
    assert found.ergas(2) == 0


def test_windows_add_up_to_the_whole():
    fused, reference = images()
    whole = sums(fused, reference)
    parts = sums(fused[:, :4], reference[:, :4]) + sums(fused[:, 4:], reference[:, 4:])
    for measure in (lambda s: s.psnr(2047), lambda s: s.sam(), lambda s: s.ergas(3)):
        assert measure(parts) == pytest.approx(measure(whole), rel=1e-12)


def test_known_values():
    reference = np.full((2, 4, 4), 10.0)
    fused = reference + np.array([2.0, -2.0])[:, None, None]
    found = sums(fused, reference)
    assert found.psnr(20) == pytest.approx(20.0)
    assert found.ergas(4) == pytest.approx(5.0)
    assert found.sam() == pytest.approx(45 - math.degrees(math.atan2(8, 12)))


def test_angle_does_not_depend_on_brightness():
    fused, reference = images()
    gain = 0.5 + np.random.default_rng(2).random(SHAPE[1:])
    assert sums(fused * gain, reference).sam() == pytest.approx(sums(fused, reference).sam(), rel=1e-10)


def test_small_angles_keep_their_digits():
    reference = np.full(SHAPE, 1000.0)
    fused = reference.copy()
    fused[0] += 1e-6
    exact = math.degrees(1e-9 * math.sqrt(2 / 9))
    assert sums(fused, reference).sam() == pytest.approx(exact, rel=1e-3)


def test_pixels_without_a_spectrum_have_no_angle():
    fused, reference = images()
    plain = sums(fused[:, 1:], reference[:, 1:]).sam()
    dark = reference.copy()
    dark[:, 0] = 0
    assert sums(fused, dark).sam() == pytest.approx(plain)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"\(3, 9, 7\).*\(3, 9, 6\)"):
        ReferenceSums.of(torch.zeros(3, 9, 7), torch.zeros(3, 9, 6))

"""The measured shift against scenes whose shift is known, built from waves integrated over each pixel."""

from dataclasses import replace

import numpy as np
import pytest

from pancli.placement import AxisMap, Placement
from pancli.registration import CONFIDENT, MIN_SIDE, REACH, measure_shift
from pancli.scene import ArrayReader, array_scene


class Texture:
    """A sum of random plane waves, which can be averaged exactly over any rectangle."""

    def __init__(self, rng, waves=250):
        frequency = np.exp(rng.uniform(np.log(0.01), np.log(0.4), waves))  # cycles per pan pixel
        angle = rng.uniform(0, 2 * np.pi, waves)
        self.rows, self.cols = frequency * np.sin(angle), frequency * np.cos(angle)
        self.phase = rng.uniform(0, 2 * np.pi, waves)

    def averaged(self, shape, pixel, origin=(0.0, 0.0)):
        """Pixel means of a grid whose pixels are ``pixel`` wide and whose first corner is ``origin``."""
        y = (np.arange(shape[0]) + 0.5) * pixel[0] + origin[0]
        x = (np.arange(shape[1]) + 0.5) * pixel[1] + origin[1]
        height = np.sinc(self.rows * pixel[0]) * np.sinc(self.cols * pixel[1])
        waves = np.exp(2j * np.pi * np.outer(y, self.rows)) * height * np.exp(1j * self.phase)
        return (waves @ np.exp(2j * np.pi * np.outer(self.cols, x))).real


def textured_pair(ms_shape, ratio, shift, noise=0.05, seed=0, waves=250):
    """(pan, ms) with pan(x) = ms(x - shift), shift in pan pixels; bands share most of their texture."""
    rng = np.random.default_rng(seed)
    pan_shape = tuple(round(n * ratio) for n in ms_shape)
    pixel = tuple(large / small for large, small in zip(pan_shape, ms_shape, strict=True))
    common, *own = (Texture(rng, waves) for _ in range(4))
    ms = np.array(
        [common.averaged(ms_shape, pixel, shift) + 0.4 * o.averaged(ms_shape, pixel, shift) for o in own]
    )
    pan = common.averaged(pan_shape, (1, 1)) + 0.4 * np.mean(
        [o.averaged(pan_shape, (1, 1)) for o in own], axis=0
    )
    spread = noise * ms.std()
    return (
        300 + pan + spread * rng.standard_normal(pan.shape),
        200 + ms + spread * rng.standard_normal(ms.shape),
    )


@pytest.mark.parametrize("ratio", [2, 4, 29.9 / 14.99, 2.5])
@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.35, -0.8), (2.0, -2.0)])
def test_known_shifts_are_found_within_a_twentieth_of_an_ms_pixel(ratio, shift):
    truth = np.array(shift) * ratio
    report = measure_shift(array_scene(*textured_pair((96, 80), ratio, truth)))
    np.testing.assert_allclose((report.down, report.right), truth, atol=0.05 * ratio)
    assert report.confident
    assert report.confidence > 0.8


def test_a_shift_counts_in_ms_pixels_of_its_own_axis():
    """Of pan pixels twice as high as wide, 4.5 ms pixels across are within reach, too."""
    pan, ms = textured_pair((96, 96), 4, np.array((0.0, 18.0)))
    report = measure_shift(array_scene(pan.reshape(-1, 2, pan.shape[1]).mean(1), ms))
    np.testing.assert_allclose((report.down, report.right), (0.0, 18.0), atol=0.2)


def test_down_is_rows_and_positive_moves_ms_towards_larger_indices():
    report = measure_shift(array_scene(*textured_pair((64, 64), 4, (0.7, -1.9))))
    np.testing.assert_allclose((report.down, report.right), (0.7, -1.9), atol=0.2)


def test_the_placement_shifted_by_the_report_has_no_shift_left():
    scene = array_scene(*textured_pair((96, 96), 4, (3.1, -5.3)))
    found = measure_shift(scene)
    moved = scene.info.placement.shifted(found.down, found.right)
    again = measure_shift(replace(scene, info=replace(scene.info, placement=moved)))
    assert again.confident
    assert again.distance < 0.1


def test_frequencies_that_hold_only_rounding_do_not_pull():
    pan, ms = textured_pair((64, 64), 4, (1.1, -2.3), noise=0, waves=3)
    report = measure_shift(array_scene(np.rint(30 * pan), np.rint(30 * ms)))
    np.testing.assert_allclose((report.down, report.right), (1.1, -2.3), atol=0.2)


def test_grids_that_run_in_opposite_directions_give_the_shift_of_the_pan_grid():
    pan, ms = textured_pair((64, 64), 4, (0.7, -1.9))
    placement = Placement(AxisMap(-0.25, 64.0, 64), AxisMap(0.25, 0.0, 64))
    report = measure_shift(array_scene(pan, ms[:, ::-1], placement))
    np.testing.assert_allclose((report.down, report.right), (0.7, -1.9), atol=0.2)


def test_offset_grids_are_not_taken_for_a_shift():
    pan, _ = textured_pair((72, 72), 4, (0.0, 0.0))
    placement = Placement(AxisMap(0.25, -0.375, 70), AxisMap(0.25, -1.125, 70))  # pan lost 1.5 and 4.5 pixels
    scene = array_scene(*textured_pair((72, 72), 4, (-1.5, -4.5)))
    assert measure_shift(scene).distance == pytest.approx(np.hypot(1.5, 4.5), abs=0.2)
    cut = array_scene(pan, textured_pair((72, 72), 4, (1.5, 4.5))[1][:, :70, :70], placement)
    assert measure_shift(cut).distance < 0.2


def test_masked_pixels_do_not_move_the_shift():
    pan, ms = textured_pair((128, 128), 4, (1.3, -2.2))
    pan[100:160] = np.nan
    for start in range(0, 512, 120):
        pan[:, start : start + 30] = np.nan
    ms[1, 60:75, 60:90] = np.nan
    report = measure_shift(array_scene(pan, ms))
    np.testing.assert_allclose((report.down, report.right), (1.3, -2.2), atol=0.2)
    assert report.confident


@pytest.mark.parametrize("masked", ["pan", "ms"])
def test_a_mask_of_either_image_does_not_pull_a_large_shift_towards_it(masked):
    pan, ms = textured_pair((128, 128), 4, (6.3, -7.2))
    image, side = (pan, 40) if masked == "pan" else (ms, 10)
    for start in range(0, 12 * side, 3 * side):
        image[..., start : start + side] = np.nan
    report = measure_shift(array_scene(pan, ms))
    np.testing.assert_allclose((report.down, report.right), (6.3, -7.2), atol=0.2)
    assert report.confident


def test_windows_without_valid_pixels_are_left_out():
    pan, ms = textured_pair((128, 128), 4, (1.0, 2.0))
    ms[:, :64, :64] = np.nan
    report = measure_shift(array_scene(pan, ms))
    assert len(report.windows) == report.used == 3
    assert min(w.row + w.col for w in report.windows) > 256
    np.testing.assert_allclose((report.down, report.right), (1.0, 2.0), atol=0.2)


def test_windows_lie_where_they_say_and_those_that_disagree_do_not_count():
    pan, ms = textured_pair((192, 192), 4, (0.8, 0.4))
    elsewhere = textured_pair((192, 192), 4, (-6.0, 8.0))[1]
    ms[:, 128:, 128:] = elsewhere[:, 128:, 128:]
    report = measure_shift(array_scene(pan, ms))
    centres = [(w.row, w.col) for w in report.windows]
    assert centres == [(r, c) for r in (127.5, 383.5, 639.5) for c in (127.5, 383.5, 639.5)]
    odd = report.windows[-1]
    assert not odd.used
    np.testing.assert_allclose((odd.down, odd.right), (-6.0, 8.0), atol=0.3)
    np.testing.assert_allclose((report.down, report.right), (0.8, 0.4), atol=0.1)
    assert report.used == 8
    assert report.confidence == pytest.approx(8 / 9, abs=0.05)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("side", [MIN_SIDE, 100])
def test_unrelated_images_are_not_confident(seed, side):
    pan, _ = textured_pair((side, side), 4, (0, 0), seed=seed)
    _, ms = textured_pair((side, side), 4, (0, 0), seed=seed + 100)
    assert measure_shift(array_scene(pan, ms)).confidence < CONFIDENT
    rng = np.random.default_rng(seed)
    assert not measure_shift(array_scene(rng.random(pan.shape), rng.random(ms.shape))).confident


@pytest.mark.parametrize("shift", [(0.0, 60.0), (24.0, 0.0), (0.0, 24.0), (-24.0, 0.0), (0.0, -24.0)])
@pytest.mark.parametrize("seed", range(2))
def test_a_shift_out_of_reach_however_little_is_neither_confident_nor_reported(shift, seed):
    report = measure_shift(array_scene(*textured_pair((64, 64), 4, shift, seed=seed)))
    assert not report.confident
    assert max(abs(report.down), abs(report.right)) <= 4 * REACH


@pytest.mark.parametrize("flat", ["pan", "ms", "both", "nan"])
def test_constant_and_empty_images_are_not_confident_and_give_no_nan(flat):
    pan, ms = textured_pair((64, 64), 2, (0, 0))
    if flat in ("pan", "both"):
        pan[:] = 1234.5
    if flat in ("ms", "both"):
        ms[:] = 0.1
    if flat == "nan":
        pan[1:] = np.nan
    report = measure_shift(array_scene(pan, ms))
    assert (report.down, report.right, report.confidence) == (0, 0, 0)
    assert report.windows == ()
    assert not report.confident


def test_a_scene_too_small_is_not_measured():
    report = measure_shift(array_scene(*textured_pair((MIN_SIDE - 1, 80), 4, (0, 0))))
    assert report.windows == ()
    assert not report.confident


def test_pixels_read_do_not_grow_with_the_scene(monkeypatch):
    rng = np.random.default_rng(0)
    read_pan, sizes, totals = ArrayReader.read_pan, [], []

    def counted(reader, window):
        sizes.append(window.size)
        return read_pan(reader, window)

    monkeypatch.setattr(ArrayReader, "read_pan", counted)
    for side in (1100, 1700):
        ms = rng.random((1, side, side), np.float32)
        pan = np.broadcast_to(np.float32(1), (2 * side, 2 * side))
        sizes.clear()
        measure_shift(array_scene(pan, ms))
        totals.append(sum(sizes))
    assert 0 < totals[1] < 1.05 * totals[0]

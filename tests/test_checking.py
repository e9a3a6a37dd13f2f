"""What the check says of pairs whose faults are known."""

import json
import math

import numpy as np
import pyproj
import pytest
from affine import Affine

from pancli.checking import check_pair
from pancli.errors import MethodError, UsageError
from pancli.raster.pair import Pair, PairOptions
from pancli.sharpening import SharpenOptions, sharpen
from tests.scenes import UTM, make_scene, write


def checked(scene, **options):
    return check_pair(str(scene.pan), [str(scene.ms)], PairOptions(**options))


@pytest.fixture
def aligned(tmp_path):
    return make_scene(tmp_path / "aligned", size=(256, 320), dtype="float32")


def warned(report, *words):
    return [w for w in report.warnings if all(word in w for word in words)]


def test_a_good_pair_has_nothing_to_say(aligned):
    report = checked(aligned)
    assert report.refusal is None
    assert report.warnings == ()
    assert report.ratio == pytest.approx((4, 4))
    assert [(f.role, f.crs, f.height, f.width, f.pixel_size) for f in report.files] == [
        ("pan", "EPSG:32633", 256, 320, (0.5, 0.5)),
        ("ms", "EPSG:32633", 64, 80, (2.0, 2.0)),
    ]
    assert report.files[0].transform == tuple(aligned.pan_transform)[:6]
    assert report.shift.confident
    assert report.shift.distance < 0.1


def test_bands_say_what_they_hold(aligned):
    report = checked(aligned, bidx=(3, 1))
    assert [b.name for b in report.bands] == ["pan", "band 3", "band 1"]
    for band, image in zip(report.bands, (aligned.pan_image, *aligned.ms_image[[2, 0]]), strict=True):
        ordered = np.sort(image.ravel())
        assert (band.minimum, band.maximum) == (ordered[0], ordered[-1])
        assert band.low == pytest.approx(ordered[len(ordered) // 100], rel=0.01)
        assert band.high == pytest.approx(ordered[-len(ordered) // 100], rel=0.01)
        assert (band.dtype, band.nodata) == ("float32", None)


def test_overlap_counts_pan_pixels_inside_ms(tmp_path):
    scene = make_scene(tmp_path / "s", size=(200, 240), ms_offset=(40, -24), ms_size=(50, 40))
    coverage = checked(scene).coverage
    # ms covers pan rows 40 to 240 and columns -24 to 136
    assert (coverage.height, coverage.width) == (160, 136)
    assert coverage.pan == pytest.approx(160 * 136 / (200 * 240))
    assert coverage.ms == pytest.approx(40 * 34 / (50 * 40))


def test_a_shift_is_a_warning_that_says_how_to_undo_it(aligned):
    moved = aligned.ms_transform * Affine.translation(1.9 / 4, -0.7 / 4)
    write(aligned.ms, aligned.ms_image, moved)
    report = checked(aligned)
    (warning,) = warned(report, "2.0 PAN pixels", "--coregister auto")
    assert f"moved by {report.shift.down:.2f},{report.shift.right:.2f} (down,right)" in warning
    assert (report.shift.down, report.shift.right) == pytest.approx((0.7, -1.9), abs=0.05)


def test_of_a_shift_below_a_pixel_it_is_said_who_mends_it_unasked(aligned):
    moved = aligned.ms_transform * Affine.translation(0, 0.7 / 4)
    write(aligned.ms, aligned.ms_image, moved)
    assert warned(
        checked(aligned), "0.7 PAN pixels", "bandset lays PAN on MS itself", "--coregister auto or pan"
    )


def test_images_of_different_places_are_not_measured_with_confidence(aligned):
    rng = np.random.default_rng(0)
    write(aligned.ms, rng.random(aligned.ms_image.shape, np.float32), aligned.ms_transform)
    report = checked(aligned)
    assert report.refusal is None
    assert warned(report, "with confidence", "same ground")


def test_images_too_small_to_measure_say_so(tmp_path):
    report = checked(make_scene(tmp_path / "s", size=(80, 80)))
    assert warned(report, "cannot be measured", "small")


def collar(scene, rows):
    scene.pan_image[: 4 * rows] = 0
    scene.ms_image[:, :rows] = 0
    write(scene.pan, scene.pan_image, scene.pan_transform)
    write(scene.ms, scene.ms_image, scene.ms_transform)


def test_a_collar_of_zeros_suggests_nodata(aligned):
    collar(aligned, 10)
    report = checked(aligned)
    assert len(warned(report, "PAN", "exactly zero", "--nodata 0")) == 1
    assert len(warned(report, "MS", "exactly zero", "--nodata 0")) == 1
    assert report.coverage.pan_valid == report.coverage.ms_valid == 1


def test_with_nodata_the_collar_is_masked_and_not_mentioned(aligned):
    collar(aligned, 16)
    report = checked(aligned, nodata=0.0)
    assert report.warnings == ()
    assert report.coverage.pan_valid == pytest.approx(1 - 64 / 256)
    assert report.coverage.ms_valid == pytest.approx(1 - 16 / 64)
    assert all(band.minimum > 0 for band in report.bands)


def test_zeros_inside_the_image_are_not_a_collar(aligned):
    aligned.pan_image[100:150, 100:200] = 0
    write(aligned.pan, aligned.pan_image, aligned.pan_transform)
    assert not warned(checked(aligned), "exactly zero")


def test_masks_without_valid_pixels_ask_for_nodata(tmp_path):
    scene = make_scene(tmp_path / "s")
    write(scene.pan, np.full_like(scene.pan_image, 7), scene.pan_transform, nodata=7)
    report = checked(scene)
    assert warned(report, "no valid pixel of PAN", "--nodata")
    assert report.bands[0].minimum is None
    assert report.coverage.pan_valid == 0
    json.dumps(report.as_dict(), allow_nan=False)


def valid_halves(scene, *, pan, ms):
    """Rewrite a float32 scene with NaN outside these columns, as shares of the width."""
    for path, image, transform, (first, stop) in (
        (scene.pan, scene.pan_image, scene.pan_transform, pan),
        (scene.ms, scene.ms_image, scene.ms_transform, ms),
    ):
        columns = (np.arange(image.shape[-1]) + 0.5) / image.shape[-1]
        write(path, np.where((columns > first) & (columns < stop), image, np.float32(np.nan)), transform)


@pytest.mark.parametrize(
    ("pan", "ms", "refused"),
    [
        ((0, 0.5), (0.5, 1), True),
        ((0, 1), (1, 1), True),
        ((1, 1), (0, 1), True),
        ((0, 0.52), (0.5, 1), True),  # valid together, but no ms pixel has all the pan it was made of
        ((0, 0.6), (0.4, 1), False),
    ],
)
def test_masks_that_leave_nothing_are_refused_as_sharpen_does(tmp_path, pan, ms, refused):
    scene = make_scene(tmp_path / "s", size=(96, 128), dtype="float32")
    valid_halves(scene, pan=pan, ms=ms)
    report = checked(scene)
    assert report.coverage.pan_valid == pytest.approx(pan[1] - pan[0], abs=0.01)
    said = None
    try:
        sharpen(str(scene.pan), [str(scene.ms)], tmp_path / "o.tif", SharpenOptions(method="bandset"))
    except MethodError as error:
        said = str(error)
    assert (said is not None) == refused
    assert report.refusal == said


def test_masks_that_leave_nothing_of_a_sample_are_a_warning(tmp_path):
    scene = make_scene(tmp_path / "s", size=(520, 640), dtype="float32")
    valid_halves(scene, pan=(0, 0.5), ms=(0.5, 1))
    report = checked(scene)
    assert report.refusal is None
    assert warned(report, "valid in PAN and in MS", "sample")
    valid_halves(scene, pan=(0, 0.6), ms=(0.4, 1))
    assert not warned(checked(scene), "valid in PAN and in MS")
    valid_halves(scene, pan=(0, 1), ms=(1, 1))
    assert "nothing to fit" in checked(scene).refusal


def test_pixels_at_full_scale_are_reported_as_saturated(tmp_path):
    scene = make_scene(tmp_path / "s")
    clipped = np.minimum(scene.ms_image, 1023)
    write(scene.ms, clipped, scene.ms_transform, names=("blue", "green", "red", "nir"))
    report = checked(scene)
    share = (clipped[2] == 1023).mean()
    assert share > 0.1
    assert report.bands[3].saturated == pytest.approx(share)
    assert warned(report, "red", f"{100 * share:.1f} %", "1023")
    assert not warned(report, "pan:")


def test_pairs_without_a_crs_are_placed_with_a_warning(tmp_path):
    report = checked(make_scene(tmp_path / "s", crs=None))
    assert report.refusal is None
    assert warned(report, "CRS")
    assert {f.crs for f in report.files} == {"none"}


def apart(scene, folder):
    return write(folder / "far.tif", scene.ms_image, Affine.translation(9e3, 0) * scene.ms_transform)


def elsewhere(scene, folder):
    return write(folder / "zone.tif", scene.ms_image, scene.ms_transform, crs="EPSG:32634")


def fine(scene, folder):
    return write(folder / "fine.tif", scene.pan_image, scene.pan_transform)


def torn(scene, folder):
    path = write(folder / "torn.tif", scene.ms_image, scene.ms_transform, compress="deflate")
    content = bytearray(path.read_bytes())
    content[1000:5000] = b"\xff" * 4000
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("change", "words", "files"),
    [
        (apart, ("do not overlap", "PAN is at", "MS at"), 2),
        (elsewhere, ("EPSG:32633", "EPSG:32634", "--reproject"), 2),
        (fine, ("1 x 1", "1.5"), 2),
        (torn, ("torn.tif", "cannot be read", "corrupt"), 2),
        (lambda scene, folder: folder / "missing.tif", ("missing.tif", "no such file"), 1),
    ],
)
def test_what_sharpen_would_refuse_is_a_refusal(tmp_path, change, words, files):
    scene = make_scene(tmp_path / "s")
    report = check_pair(str(scene.pan), [str(change(scene, tmp_path))])
    assert report.refusal is not None
    assert all(word in report.refusal for word in words), report.refusal
    assert len(report.files) == files
    assert (report.shift, report.coverage, report.ratio) == (None, None, None)
    assert report.as_dict()["can_sharpen"] is False


def test_reprojection_makes_a_pair_of_two_crs_one_that_can_be_sharpened(tmp_path):
    scene = make_scene(tmp_path / "s", size=(256, 256), origin=(800000.0, 4000000.0))
    to_other = pyproj.Transformer.from_crs("EPSG:32633", "EPSG:32634", always_xy=True)
    x, y = to_other.transform(800000.0, 4000000.0)
    grid = Affine(2, 0, round(x) - 50, 0, -2, round(y) + 50)
    other = write(tmp_path / "o.tif", np.full((2, 130, 130), 9, np.uint8), grid, crs="EPSG:32634")
    report = check_pair(str(scene.pan), [str(other)], PairOptions(reproject=True))
    assert report.refusal is None
    assert [f.crs for f in report.files] == ["EPSG:32633", "EPSG:32634"]
    assert report.coverage is not None
    assert report.coverage.pan == pytest.approx(1, abs=0.02)
    assert report.ratio == pytest.approx((4, 4), rel=0.01)
    assert not warned(report, "saturated")  # 9 is not the full scale of anything


def test_unknown_sensors_and_bands_are_usage_errors(scene):
    with pytest.raises(UsageError, match="sputnik"):
        check_pair(str(scene.pan), [str(scene.ms)], sensor="sputnik")
    with pytest.raises(UsageError, match="--bidx 9"):
        checked(scene, bidx=(9,))


def test_nan_as_nodata_can_be_written_as_json(aligned):
    aligned.ms_image[:, :5] = np.nan
    write(aligned.ms, aligned.ms_image, aligned.ms_transform, UTM, nodata=math.nan)
    plain = json.loads(json.dumps(checked(aligned).as_dict(), allow_nan=False))
    assert plain["bands"][1]["nodata"] == "nan"
    assert plain["shift"]["used"] == len(plain["shift"]["windows"])


def test_large_images_are_sampled(tmp_path, monkeypatch):
    scene = make_scene(tmp_path / "s", size=(64, 64))
    whole = write(tmp_path / "p.tif", np.ones((2400, 64), np.uint8), scene.pan_transform)
    read_pan, reads = Pair.read_pan, []

    def recorded(pair, window):
        reads.append(window)
        return read_pan(pair, window)

    monkeypatch.setattr(Pair, "read_pan", recorded)
    check_pair(str(whole), [str(scene.ms)])
    sampled = [w for w in reads if w.shape == (32, 32)]
    assert len(sampled) == 16 * 2
    assert {w.row for w in sampled} == {150 * i + 75 - 16 for i in range(16)}


def test_fill_at_the_edges_of_a_large_image_counts_as_much_as_it_covers(tmp_path):
    scene = make_scene(tmp_path / "s", size=(1200, 1600), dtype="float32")
    rows, cols = np.mgrid[:1200, :1600]
    fill = (cols < 150 + rows // 10) | (cols > 1350 + rows // 10) | (rows < 90)
    scene.pan_image[fill] = 0
    scene.ms_image[:, fill[2::4, 2::4]] = 0
    write(scene.pan, scene.pan_image, scene.pan_transform)
    write(scene.ms, scene.ms_image, scene.ms_transform)
    coverage = checked(scene, nodata=0.0).coverage
    assert coverage.pan_valid == pytest.approx(1 - fill.mean(), abs=0.02)
    assert coverage.ms_valid == pytest.approx(1 - fill.mean(), abs=0.02)
    assert (coverage.pan_sampled, coverage.ms_sampled) == (True, False)


def test_a_frame_of_zeros_is_seen_in_a_large_image(tmp_path):
    scene = make_scene(tmp_path / "s", size=(1200, 640), dtype="float32")
    scene.pan_image[0] = scene.pan_image[:, -1] = 0
    write(scene.pan, scene.pan_image, scene.pan_transform)
    assert warned(checked(scene), "PAN", "exactly zero on 50 % of its frame")

"""Reduced pairs as files: where they lie, what they say, and that all appear or none."""

import json

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp

from pancli.degrading import DegradeOptions, degrade_pair
from pancli.errors import InputError, OutputError, PairError, UsageError
from pancli.raster import env
from pancli.raster.env import without_georeferencing
from pancli.raster.output import Output
from pancli.raster.pair import Pair, PairOptions, open_pair
from pancli.raster.spec import PAIR_FILES
from pancli.sharpening import SharpenOptions, sharpen
from tests.degrading.test_reduction import loop
from tests.scenes import SAME, Waves, displacement, make_scene, read, write
from tests.strips import COUNTED, bytes_read, in_strips

LONG = Waves(wavelengths=(296.0, 488.0, 184.0, 720.0))
FINE = Affine(0.5, 0, 500000, 0, -0.5, 4000000)


def run(scene, folder, **options):
    return degrade_pair(str(scene.pan), [str(scene.ms)], folder, DegradeOptions(**options))


def grid(path):
    with rasterio.open(path) as dataset:
        return dataset.crs, dataset.transform, dataset.shape


@pytest.mark.parametrize(
    "case",
    [
        {"size": (482, 570)},
        {"size": (300, 340), "ratio": 2.0, "ms_offset": (-0.5, -0.5), "ms_size": (151, 171)},
        {"size": (300, 330), "ratio": 29.9 / 14.99},
        {"size": (400, 480), "ratio": 3.0, "ms_offset": (-13.37, 5.91), "ms_size": (150, 150)},
        {"size": (480, 560), "base": FINE * Affine.rotation(25)},
        {"size": (480, 560), "base": Affine(0.5, 0, 500000, 0, 0.5, 4000000)},
        {"size": (480, 560), "base": Affine(0.5, 0, 500000, 0, -0.4, 4000000)},
    ],
    ids=["plain", "half-pixel", "landsat", "offset", "rotated", "south-up", "oblong"],
)
def test_both_images_lie_where_they_should(tmp_path, case):
    scene = make_scene(tmp_path, dtype="float32", bands=2, mixes=[SAME, 0.7 * SAME], waves=LONG, **case)
    report = run(scene, tmp_path / "low")
    pan, ms, reference = (tmp_path / "low" / name for name in PAIR_FILES)
    crs, fine, shape = grid(reference)
    assert grid(pan) == (crs, fine, shape)
    assert shape == report.reference

    inverse = ~scene.ms_transform * fine
    row, col = round(inverse.f), round(inverse.c)
    np.testing.assert_array_equal(
        read(reference), scene.ms_image[:, row : row + shape[0], col : col + shape[1]]
    )
    on_pan = ~scene.pan_transform * fine
    for start, stop, size in zip(
        (on_pan.f, on_pan.c), np.multiply(shape, report.pan_ratio), case["size"], strict=True
    ):
        assert start > -0.01
        assert start + stop < size + 0.01
    down, right = report.ratio
    assert grid(ms) == (crs, fine * Affine.scale(right, down), report.ms)
    assert report.ratio == pytest.approx(report.pan_ratio, rel=1e-4)

    for path, mixes, border in ((pan, [0.85 * SAME], 8), (ms, [SAME, 0.7 * SAME], 3)):
        _, transform, size = grid(path)
        for band, mix in zip(read(path), mixes, strict=True):
            off = displacement(band, LONG.average(transform, size, mix), border)
            assert np.abs(off).max() < 0.05

    sharpen(str(pan), [str(ms)], tmp_path / "fused.tif", SharpenOptions(method="exp"))
    assert grid(tmp_path / "fused.tif") == (crs, fine, shape)


def test_whole_ratios_are_exact_and_grids_end_on_whole_cells(tmp_path):
    report = run(make_scene(tmp_path, size=(172, 204)), tmp_path / "low")
    assert report.reference == (40, 48)
    assert report.ms == (10, 12)
    assert grid(tmp_path / "low" / "ms.tif")[1] == Affine(8.0, 0, 500000, 0, -8.0, 4000000)


@pytest.mark.parametrize("pixel", [0.1, 0.3, 1 / 3])
@pytest.mark.parametrize("origin", [(500000.1, 4000000.7), (399999.9, 5234567.3)])
def test_grids_whose_numbers_are_rounded_end_on_whole_cells_too(tmp_path, pixel, origin):
    report = run(make_scene(tmp_path, pixel=pixel, origin=origin), tmp_path / "low")
    assert (report.reference, report.ms, report.ratio) == ((40, 48), (10, 12), (4.0, 4.0))


def test_each_axis_has_its_own_ratio(tmp_path):
    scene = make_scene(tmp_path)
    oblong = scene.pan_transform * Affine.scale(2, 4)
    ms = np.stack([Waves().average(oblong, (40, 96), SAME)] * 4)
    write(scene.ms, ms.astype("uint16"), oblong)
    assert run(scene, tmp_path / "low").ratio == (4.0, 2.0)
    assert grid(tmp_path / "low" / "ms.tif")[1:] == (oblong * Affine.scale(2, 4), (10, 48))


@pytest.mark.parametrize(
    ("ratio", "reference", "low"), [(2.0, (40, 48), (20, 24)), (2.5, (40, 48), (16, 19))]
)
def test_the_ratio_of_the_new_pair_can_be_chosen(tmp_path, ratio, reference, low):
    report = run(make_scene(tmp_path), tmp_path / "low", ratio=ratio)
    assert (report.reference, report.ms) == (reference, low)
    assert report.ratio == (ratio, ratio)
    assert report.pan_ratio == (4.0, 4.0)


@pytest.mark.parametrize(
    ("size", "ms_size"), [((160, 192), (40, 48)), ((105, 120), (42, 48)), ((75, 90), (25, 30))]
)
def test_images_without_georeferencing_meet_at_their_corners(tmp_path, size, ms_size):
    rng, low = np.random.default_rng(3), tmp_path / "low"
    with without_georeferencing():
        pan = write(tmp_path / "pan.tif", rng.integers(0, 999, size, np.uint16), None, None)
        ms = write(tmp_path / "ms.tif", rng.integers(0, 999, (3, *ms_size), np.uint16), None, None)
    report = degrade_pair(str(pan), [str(ms)], low)
    assert report.reference == pytest.approx(np.multiply(report.ms, report.ratio))
    assert report.warnings == ("neither PAN nor MS is georeferenced; placed by their common corners",)
    sharpen(str(low / "pan.tif"), [str(low / "ms.tif")], tmp_path / "f.tif", SharpenOptions(method="exp"))
    with without_georeferencing():
        assert grid(tmp_path / "f.tif") == grid(low / "reference.tif")


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_the_size_of_tiles_does_not_matter(tmp_path, dtype):
    scene = make_scene(tmp_path, size=(640, 680), dtype=dtype, nodata=0)
    noise = np.random.default_rng(4).integers(1, 2047, scene.ms_image.shape)
    write(scene.ms, noise.astype(dtype), scene.ms_transform, nodata=0)
    run(scene, tmp_path / "a", sensor="quickbird", ratio=8.0)  # gains differ, and so do radii
    run(scene, tmp_path / "b", sensor="quickbird", ratio=8.0, tile=64)
    for name in PAIR_FILES:
        np.testing.assert_allclose(read(tmp_path / "a" / name), read(tmp_path / "b" / name), rtol=2e-7)


def test_no_read_is_much_larger_than_a_tile(tmp_path, monkeypatch):
    sides = []

    def watched(read):
        def call(self, window):
            sides.append(max(window.shape))
            return read(self, window)

        return call

    for name in ("read_pan", "read_ms"):
        monkeypatch.setattr(Pair, name, watched(getattr(Pair, name)))
    run(make_scene(tmp_path, size=(640, 680)), tmp_path / "low", tile=64)
    assert 64 <= max(sides) < 64 + 2 * 12 + 4


def test_every_file_is_blurred_by_its_own_gain(tmp_path):
    scene, rng = make_scene(tmp_path, size=(64, 64), dtype="float32"), np.random.default_rng(8)
    pan, ms = rng.random((1, 64, 64), np.float32), rng.random((4, 16, 16), np.float32)
    write(scene.pan, pan, scene.pan_transform)
    write(scene.ms, ms, scene.ms_transform)
    run(scene, tmp_path / "low", sensor="quickbird")
    for name, image, gains, row in (("pan.tif", pan, [0.15], 7), ("ms.tif", ms, [0.34, 0.32, 0.30, 0.22], 1)):
        for band, low, gain in zip(image, read(tmp_path / "low" / name), gains, strict=True):
            value, _ = loop(band, np.ones(band.shape, bool), 4.0, gain, row, 2)
            assert low[row, 2] == pytest.approx(value, rel=1e-6)


def test_a_constant_pair_stays_constant(tmp_path):
    scene = make_scene(tmp_path)
    write(scene.pan, np.full_like(scene.pan_image, 431), scene.pan_transform)
    write(scene.ms, np.full_like(scene.ms_image, 77), scene.ms_transform)
    run(scene, tmp_path / "low")
    for name, value in zip(PAIR_FILES, (431, 77, 77), strict=True):
        assert (read(tmp_path / "low" / name) == value).all()


def spoiled(folder, value):
    """A scene with a masked pan corner and one masked ms pixel in one band."""
    scene = make_scene(folder)
    pan, ms = scene.pan_image.copy(), scene.ms_image.copy()
    pan[:60, :80] = value
    ms[2, 30, 40] = value
    write(scene.pan, pan, scene.pan_transform, nodata=value)
    write(scene.ms, ms, scene.ms_transform, nodata=value)
    return scene


def test_masks_are_kept_and_do_not_leak(tmp_path):
    masks = {}
    for value in (0, 60000):
        run(spoiled(tmp_path / str(value), value), tmp_path / str(value) / "low")
        for name in PAIR_FILES:
            with rasterio.open(tmp_path / str(value) / "low" / name) as dataset:
                assert dataset.nodata == value
                masks[value, name] = dataset.dataset_mask() > 0
    for name in PAIR_FILES:
        valid = masks[0, name]
        np.testing.assert_array_equal(valid, masks[60000, name])
        low, high = (read(tmp_path / str(value) / "low" / name)[:, valid] for value in (0, 60000))
        np.testing.assert_array_equal(low, high)
        assert low.min() > 100
    assert np.argwhere(~masks[0, "reference.tif"]).tolist() == [[30, 40]]
    assert not masks[0, "ms.tif"][7, 10]
    assert masks[0, "ms.tif"].sum() > 90
    assert not masks[0, "pan.tif"][:15, :20].any()  # the corner, in ms pixels
    assert masks[0, "pan.tif"][18:].all()
    assert masks[0, "pan.tif"][:, 23:].all()


def test_valid_pixels_step_off_the_nodata_value(tmp_path):
    scene = make_scene(tmp_path)
    flat = np.full_like(scene.pan_image, 500)
    flat[:, ::2], flat[:, 1::2] = 499, 501
    write(scene.pan, flat, scene.pan_transform, nodata=500)
    run(scene, tmp_path / "low")
    assert (read(tmp_path / "low" / "pan.tif") == 501).all()


def test_without_a_nodata_value_a_mask_says_what_is_invalid(tmp_path):
    scene = make_scene(tmp_path, dtype="float32")
    scene.ms_image[0, 5, 6] = np.nan
    write(scene.ms, scene.ms_image, scene.ms_transform)
    run(scene, tmp_path / "low")
    with rasterio.open(tmp_path / "low" / "reference.tif") as dataset:
        assert dataset.nodata is None
        assert np.argwhere(dataset.dataset_mask() == 0).tolist() == [[5, 6]]
        assert np.isfinite(dataset.read()).all()


def test_files_with_their_own_nodata_and_type_are_stacked(tmp_path):
    scene = make_scene(tmp_path, bands=1, dtype="uint8", waves=Waves(amplitude=5.0, mean=100.0))
    other = scene.ms_image.astype(np.uint16) * 100
    other[0, 3, 3], other[0, 9, 9] = 9999, 255  # the first is nodata here, the second in the other file
    write(scene.ms, scene.ms_image, scene.ms_transform, nodata=255)
    second = write(tmp_path / "ms2.tif", other, scene.ms_transform, nodata=9999)
    degrade_pair(str(scene.pan), [str(scene.ms), str(second)], tmp_path / "low")
    with rasterio.open(tmp_path / "low" / "reference.tif") as dataset:
        assert dataset.dtypes == ("uint16", "uint16")
        assert dataset.nodata is None
        mask = dataset.dataset_mask() > 0
        assert np.argwhere(~mask).tolist() == [[3, 3]]
        np.testing.assert_array_equal(dataset.read(2)[mask], other[0][mask])


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_whole_numbers_of_64_bits_are_kept(tmp_path, dtype):
    scene = make_scene(tmp_path)
    write(scene.ms, scene.ms_image.astype(dtype), scene.ms_transform)
    run(scene, tmp_path / "low")
    with rasterio.open(tmp_path / "low" / "reference.tif") as dataset:
        assert dataset.dtypes[0] == dtype
        np.testing.assert_array_equal(dataset.read(), scene.ms_image)


def test_a_type_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("pancli.degrading.product.DTYPES", ("uint16",))  # half floats need a newer GDAL
    scene = make_scene(tmp_path)
    write(scene.ms, scene.ms_image.astype(np.int64), scene.ms_transform)
    with pytest.raises(PairError, match=r"ms\.tif: holds int64, which cannot be written"):
        run(scene, tmp_path / "low")


def test_files_say_what_the_inputs_said_and_how_they_were_made(tmp_path):
    scene = make_scene(tmp_path, dtype="int16", names=("blue", "green", "red", "nir"), tags={"PLACE": "here"})
    for path, kind in ((scene.ms, ColorInterp.red), (scene.pan, ColorInterp.gray)):
        with rasterio.open(path, "r+") as dataset:
            dataset.scales = (0.5,) * dataset.count
            dataset.offsets = (-3.0,) * dataset.count
            dataset.colorinterp = [kind] + [ColorInterp.undefined] * (dataset.count - 1)
            dataset.update_tags(1, wavelength="480")
    run(scene, tmp_path / "low", sensor="ikonos")
    for name, kind in zip(PAIR_FILES, (ColorInterp.gray, ColorInterp.red, ColorInterp.red), strict=True):
        with rasterio.open(tmp_path / "low" / name) as dataset:
            assert set(dataset.dtypes) == {"int16"}
            assert set(dataset.scales) == {0.5}
            assert set(dataset.offsets) == {-3.0}
            assert dataset.colorinterp[0] == kind
            assert dataset.tags(1)["wavelength"] == "480"
            told = json.loads(dataset.tags()["PANCLI_DEGRADED"])
            assert told["ms_gains"] == [0.26, 0.28, 0.29, 0.28]
            assert (told["pan"], told["ms"], told["pan_gain"]) == ("pan.tif", ["ms.tif"], 0.17)
            if name != "pan.tif":
                assert dataset.descriptions == ("blue", "green", "red", "nir")
                assert dataset.tags()["PLACE"] == "here"


def test_all_files_tell_their_corner_as_ms_does(tmp_path):
    scene = make_scene(tmp_path)
    write(scene.ms, scene.ms_image, scene.ms_transform, tags={"AREA_OR_POINT": "Point"})
    run(scene, tmp_path / "low")
    for name in PAIR_FILES:
        with rasterio.open(tmp_path / "low" / name) as dataset:
            assert dataset.tags()["AREA_OR_POINT"] == "Point"


def test_bands_named_as_the_sensors_get_their_own_gains(tmp_path):
    scene = make_scene(tmp_path, names=("nir", "red", "green", "blue"))
    assert run(scene, tmp_path / "a", sensor="quickbird").ms_gains == (0.22, 0.30, 0.32, 0.34)
    chosen = run(scene, tmp_path / "b", sensor="worldview3", pair=PairOptions(bidx=(4, 1)))
    assert (chosen.ms_gains, chosen.warnings) == ((0.355, 0.335), ())


def test_a_sensor_that_does_not_fit_is_warned_of(tmp_path):
    scene = make_scene(tmp_path, bands=3)
    (bands,) = run(scene, tmp_path / "a", sensor="quickbird").warnings
    assert bands.startswith("quickbird has 4 bands but MS has 3")
    (ratio,) = run(make_scene(tmp_path), tmp_path / "b", sensor="landsat8").warnings
    assert ratio.startswith("landsat8 has 2 PAN pixels per MS pixel but this pair has 4")
    assert run(make_scene(tmp_path), tmp_path / "c", sensor="quickbird").warnings == ()


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"ratio": 41.0}, PairError, "40 MS pixels lie on PAN along one side, too few for one of 41"),
        ({"pair": PairOptions(bidx=(9,))}, UsageError, "--bidx 9"),
        ({"pair": PairOptions(nodata=-1.0)}, UsageError, "--nodata -1 does not fit the images' type uint16"),
    ],
)
def test_what_cannot_be_reduced_leaves_nothing(tmp_path, options, error, words):
    scene = make_scene(tmp_path)
    with pytest.raises(error, match=words):
        run(scene, tmp_path / "low", **options)
    assert not (tmp_path / "low").exists()


@pytest.mark.parametrize(
    "options", [{"ratio": 1.0}, {"ratio": float("nan")}, {"tile": 8}, {"sensor": "sputnik"}]
)
def test_impossible_options_are_refused(options):
    with pytest.raises(UsageError):
        DegradeOptions(**options)


def test_an_input_is_never_replaced(tmp_path):
    scene = make_scene(tmp_path)
    before = scene.ms.read_bytes()
    with pytest.raises(OutputError, match=r"pan\.tif: is an input; name another output"):
        run(scene, tmp_path / "." / "x" / "..", overwrite=True)
    assert scene.ms.read_bytes() == before


def test_what_exists_is_kept_unless_told_otherwise(tmp_path):
    scene, low = make_scene(tmp_path), tmp_path / "low"
    low.mkdir()
    (low / "reference.tif").write_text("mine")
    with pytest.raises(OutputError, match=r"reference\.tif: exists already"):
        run(scene, low)
    assert [path.name for path in low.iterdir()] == ["reference.tif"]
    run(scene, low, overwrite=True)
    assert sorted(path.name for path in low.iterdir()) == sorted(PAIR_FILES)


def test_a_file_that_appears_meanwhile_is_kept(tmp_path):
    scene, low = make_scene(tmp_path), tmp_path / "low"

    def intrude(stage, done, total):
        assert stage == "reduce"
        if done == total:
            (low / "ms.tif").write_text("mine")

    with pytest.raises(OutputError, match=r"ms\.tif: appeared while it was being made"):
        degrade_pair(str(scene.pan), [str(scene.ms)], low, progress=intrude)
    assert (low / "ms.tif").read_text() == "mine"


def test_all_appear_or_none(tmp_path, monkeypatch):
    written = []

    def fail(self, window, values, valid):
        written.append(window)
        if len(written) == 3:
            raise InputError("the disk went away")

    monkeypatch.setattr(Output, "write", fail)
    with pytest.raises(InputError, match="went away"):
        run(make_scene(tmp_path), tmp_path / "low")
    assert list((tmp_path / "low").iterdir()) == []


def test_gains_of_bands_that_cannot_be_told_are_doubted(tmp_path):
    scene = make_scene(tmp_path / "a", bands=8)
    report = run(scene, tmp_path / "low", sensor="quickbird", pair=PairOptions(bidx=(7, 5, 3, 2)))
    assert report.ms_gains == pytest.approx((0.295,) * 4)
    assert any("quickbird has 4 bands but MS has 8, not named as its own" in told for told in report.warnings)


def test_a_pair_that_lies_apart_is_refused_as_such(tmp_path):
    scene = make_scene(tmp_path / "a")
    write(scene.ms, scene.ms_image, scene.ms_transform * Affine.translation(5000, 0))
    with pytest.raises(PairError, match="PAN and MS do not overlap"):
        run(scene, tmp_path / "low")


def test_what_is_known_of_the_acquisition_is_carried_over(tmp_path):
    scene = make_scene(tmp_path / "a")
    with rasterio.open(scene.ms, "r+") as dataset:
        dataset.update_tags(ns="IMAGERY", CLOUDCOVER="7")
    run(scene, tmp_path / "low")
    for name in PAIR_FILES:
        with rasterio.open(tmp_path / "low" / name) as dataset:
            assert dataset.tags(ns="IMAGERY")["CLOUDCOVER"] == "7"


def told(folder, *names, **options):
    """By what a sensor knows the bands of a reduced pair."""
    ms = [f"{folder / 'ms.tif'}{name}" for name in names or ("",)]
    with open_pair(str(folder / "pan.tif"), ms, PairOptions(**options)) as pair:
        return pair.taken[1:]


@pytest.mark.parametrize(
    ("named", "bidx", "taken"),
    [
        ([""], (), (1, 2, 3, 4)),
        ([""], (4, 1), (4, 1)),
        ([",band=4,band=1"], (), (4, 1)),
        ([",band=3", ",band=4,band=1"], (2, 1), (4, 3)),
    ],
)
def test_bands_of_a_reduced_pair_are_known_by_what_they_were(tmp_path, named, bidx, taken):
    scene, low = make_scene(tmp_path), tmp_path / "low"
    ms = [f"{scene.ms}{name}" for name in named]
    degrade_pair(str(scene.pan), ms, low, DegradeOptions(pair=PairOptions(bidx=bidx)))
    assert told(low) == (taken, 4)
    assert (
        told(low, bidx=(2,))
        == told(low, ",band=2")
        == told(low, ",band=1,band=2", bidx=(2,))
        == (taken[1:2], 4)
    )
    degrade_pair(str(low / "pan.tif"), [f"{low / 'ms.tif'},band=2"], tmp_path / "lower")
    assert told(tmp_path / "lower") == (taken[1:2], 4)
    with rasterio.open(low / "reference.tif") as dataset:
        assert [dataset.tags(index)["PANCLI_BAND"] for index in dataset.indexes] == [f"{n}/4" for n in taken]


def test_bands_that_were_reduced_one_by_one_are_counted_as_they_are_stacked(tmp_path):
    scene = make_scene(tmp_path)
    for number, band in enumerate(scene.ms_image):
        one = write(tmp_path / f"{number}.tif", band, scene.ms_transform)
        degrade_pair(str(scene.pan), [str(one)], tmp_path / f"low{number}")
    lows = [str(tmp_path / f"low{number}" / "ms.tif") for number in range(4)]
    with open_pair(str(tmp_path / "low0" / "pan.tif"), lows) as pair:
        assert pair.taken[1:] == ((1, 2, 3, 4), 4)
    together = put_together(lows, tmp_path / "together.tif")
    with open_pair(str(tmp_path / "low0" / "pan.tif"), [str(together)]) as pair:
        assert pair.taken[1:] == ((1, 2, 3, 4), 4)


def put_together(files, path):
    """Files of one band as one file of many, with all that each band says of itself."""
    write(path, np.concatenate([read(file) for file in files]), grid(files[0])[1])
    with rasterio.open(path, "r+") as dataset:
        for index, file in enumerate(files, start=1):
            with rasterio.open(file) as one:
                dataset.update_tags(index, **one.tags(1))
    return path


def test_what_a_band_was_is_said_of_what_is_fused_of_it_too(tmp_path):
    low = tmp_path / "low"
    run(make_scene(tmp_path), low, pair=PairOptions(bidx=(4, 1)))
    sharpen(str(low / "pan.tif"), [str(low / "ms.tif")], tmp_path / "f.tif", SharpenOptions(method="exp"))
    with rasterio.open(tmp_path / "f.tif") as fused, rasterio.open(low / "pan.tif") as pan:
        assert [fused.tags(band)["PANCLI_BAND"] for band in (1, 2)] == ["4/4", "1/4"]
        assert "PANCLI_BAND" not in pan.tags(1)


def test_fill_that_nobody_speaks_of_is_told_as_it_is_blurred_with_the_rest(scene, tmp_path):
    scene.ms_image[:, :4] = 0
    write(scene.ms, scene.ms_image, scene.ms_transform)
    (told,) = run(scene, tmp_path / "a").warnings
    assert told.startswith("MS is exactly zero on ")
    assert run(scene, tmp_path / "b", pair=PairOptions(nodata=0.0)).warnings == ()


@COUNTED
def test_files_in_strips_are_not_decoded_anew_for_every_block(tmp_path, monkeypatch):
    monkeypatch.setattr(env, "GDAL_CACHE_BYTES", 2**20)
    scene, read = in_strips(tmp_path, 128, 8192), []
    size = scene.pan.stat().st_size + scene.ms.stat().st_size
    for most in (2**30, 0):
        monkeypatch.setattr(env, "MOST_STRIPS", most)
        before = bytes_read()
        run(scene, tmp_path / f"{most}")
        read.append((bytes_read() - before) / size)
    assert read[0] < 2 < 4 < read[1]

"""Images of one's own: found by pattern, placed by their georeferencing, never trained on where invalid."""

import math

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine

from pancli.errors import RecipeError, TrainingError
from pancli.methods.agreement import Agreement
from pancli.methods.alignment import aligned
from pancli.methods.back_projection import lacking
from pancli.methods.registry import METHODS
from pancli.metrics.hypercomplex import q2n_blocks
from pancli.networks.bandset import BandSet
from pancli.placement import AxisMap, Placement
from pancli.raster.env import without_georeferencing
from pancli.resampling import degrade
from pancli.scene import fuse_scene
from pancli.simulating import SimulateOptions, simulate_files
from pancli.tiling import Window
from pancli.training.images import Room, crop, middle_window, pan_under
from pancli.training.loop import train
from pancli.training.objectives import Supervised
from pancli.training.patches import cut_patch, turned_agreement
from pancli.training.reading import read_recipe
from pancli.training.recipe import Source, Validation
from pancli.training.regions import choose_window, observe, reduced_pan, referenced_parts, shown_region
from pancli.training.sampling import Sampler
from pancli.training.sources import find_names, load_images, load_pair, load_referenced
from pancli.training.validation import Figures, compare_images, load_cases, score
from tests.scenes import SAME, Waves, make_scene, write
from tests.training.made import EXACT, generator, make_data, make_recipe, smooth

OWN = """
name = "mine"
sources = [{kind = "pairs", names = ["*"]}]
schedule = {steps = 2, regions = 2, region = 32, patches = 2, patch = 16}
"""


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


def test_patterns_find_folders_and_arrays_in_order_and_once(tmp_path):
    for name in ("b/pan.tif", "a/pan.tif", "a/ms.tif", "c-pan.npy", "d/other.tif", "e.tif"):
        touch(tmp_path / name)
    assert find_names(tmp_path, ["*"], "pairs") == ("a", "b", "c")
    assert find_names(tmp_path, ["b", "*"], "pairs") == ("b", "a", "c")
    assert find_names(tmp_path, ["[ab]"], "pairs") == ("a", "b")
    assert find_names(tmp_path, ["*"], "truth") == ("e",)


def test_what_is_validated_on_is_left_out_of_patterns(tmp_path):
    for name in "abc":
        make_scene(tmp_path / name, size=(64, 64))
    images = load_images(Source("pairs", names=("*",)), tmp_path, Validation(names=("b",)))
    assert [image.name for image in images] == [str(tmp_path / "a"), str(tmp_path / "c")]
    elsewhere = load_images(Source("pairs", names=("*",)), tmp_path, Validation(folder="x", names=("b",)))
    assert len(elsewhere) == 3


def test_what_is_validated_on_cannot_be_named_for_training(tmp_path):
    with pytest.raises(RecipeError, match="b is validated on"):
        load_images(Source("pairs", names=("a", "b")), tmp_path, Validation(names=("b",)))


@pytest.mark.parametrize(
    ("source", "left"),
    [
        (Source("pairs", folder="data", names=("./b",)), None),
        (Source("pairs", names=("data/b",)), None),
        (Source("pairs", names=("data/*",)), 2),
        (Source("truth", folder="data", names=("b/ms",)), None),
        (Source("truth", folder="data", names=("*/ms",)), 2),
    ],
)
def test_what_is_validated_on_is_known_by_its_files_however_it_is_named(tmp_path, source, left):
    for name in "abc":
        make_scene(tmp_path / "data" / name, size=(64, 64))
    validation = Validation(folder="x/../data", names=("b",))
    (tmp_path / "x").mkdir()
    if left is None:
        with pytest.raises(RecipeError, match="is validated on"):
            load_images(source, tmp_path, validation)
    else:
        assert len(load_images(source, tmp_path, validation)) == left


@pytest.mark.parametrize("pattern", ["a**", "/etc/*"])
def test_a_pattern_that_is_none_is_refused(tmp_path, pattern):
    with pytest.raises(RecipeError, match="cannot be looked for"):
        find_names(tmp_path, [pattern], "truth")


def test_a_folder_without_pairs_is_refused(tmp_path):
    with pytest.raises(RecipeError, match=r"nothing matches '\*'; .*pan.tif and ms.tif"):
        load_images(Source("pairs", names=("*",)), tmp_path)
    make_scene(tmp_path / "a", size=(64, 64))
    with pytest.raises(RecipeError, match="or all are validated on"):
        load_images(Source("pairs", names=("*",)), tmp_path, Validation(names=("a",)))


@pytest.mark.parametrize("offset", [(0.0, 0.0), (1.0, 2.0), (0.5, 0.5), (-2.0, -6.0)])
def test_pan_is_reduced_where_the_georeferencing_puts_it(tmp_path, offset):
    """Reduced to the ms grid, pan shows the ground under each ms pixel."""
    slow = Waves(wavelengths=(37.0, 61.0, 43.0, 90.0))
    make_scene(
        tmp_path / "a", size=(160, 160), ms_offset=offset, mixes=[SAME], waves=slow, bands=1, dtype="float32"
    )
    image = load_pair(tmp_path, "a")
    whole = Window(0, 0, *image.bands.shape[1:])
    pan = reduced_pan(image, whole, 0.3)[0]
    inner = (slice(4, -4), slice(4, -4))
    ms = torch.from_numpy(image.bands[0])
    error = (pan - ms)[inner].abs().mean()
    moved = (pan.roll(1, 0) - ms)[inner].abs().mean()
    assert float(error) < 0.15 * float(moved)


@pytest.mark.parametrize("offset", [(0.0, 0.0), (1.0, 2.0), (-2.0, -6.0), (3.5, 0.0)])
def test_ms_pixels_that_reach_beyond_pan_are_left_out(tmp_path, offset):
    make_scene(tmp_path / "a", size=(64, 80), ms_offset=offset, ms_size=(18, 22))
    image = load_pair(tmp_path, "a")
    rows, cols = (
        [i for i in range(n) if shift + 4 * i >= 0 and shift + 4 * (i + 1) <= side]
        for shift, n, side in zip(offset, (18, 22), (64, 80), strict=True)
    )
    with rasterio.open(tmp_path / "a" / "ms.tif") as file:
        expected = file.read()[:, rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    np.testing.assert_array_equal(image.bands, expected)
    under, _ = pan_under(image.placement, Window(0, 0, *image.bands.shape[1:]))
    assert under.row >= 0 and under.col >= 0
    assert under.row_stop <= 64 and under.col_stop <= 80


def test_images_keep_their_own_type(tmp_path):
    make_scene(tmp_path / "a", size=(64, 64), dtype="uint16")
    image = load_pair(tmp_path, "a")
    assert image.bands.dtype == np.asarray(image.pan).dtype == np.uint16


@pytest.mark.parametrize("side", ["pan", "ms"])
def test_nodata_is_never_in_a_region(tmp_path, side):
    scene = make_scene(tmp_path / "a", size=(160, 160), nodata=0)
    with rasterio.open(getattr(scene, side), "r+") as file:
        image = file.read()
        step = image.shape[1] // 40
        image[:, 18 * step : 19 * step, 5 * step : 7 * step] = 0
        file.write(image)
    image = load_pair(tmp_path, "a")
    bad = np.zeros((40, 40), bool)
    bad[18, 5:7] = True
    np.testing.assert_array_equal(~image.valid, bad)
    room = Room.of(image, 12)
    seen = {choose_window(room, torch.Generator().manual_seed(seed)) for seed in range(200)}
    assert all(not bad[window.slices_in(Window(0, 0, 40, 40))].any() for window in seen)
    assert min(w.row for w in seen) < 5 and max(w.row_stop for w in seen) > 35
    clean = [
        (row, col) for row in range(29) for col in range(29) if not bad[row : row + 12, col : col + 12].any()
    ]
    assert np.asarray(room.free).tolist() == [29 * row + col for row, col in clean]
    nearest = min(((r - 14) ** 2 + (c - 14) ** 2) for r, c in clean)
    middle = middle_window(room)
    assert (middle.row - 14) ** 2 + (middle.col - 14) ** 2 == nearest


def test_nodata_may_be_named_where_no_tag_does(tmp_path):
    scene = make_scene(tmp_path / "a", size=(64, 64))
    with rasterio.open(scene.ms, "r+") as file:
        image = file.read()
        image[2, 3, 5] = 7
        file.write(image)
    assert bool(load_pair(tmp_path, "a").valid.all())
    np.save(tmp_path / "b-ms.npy", image)
    np.save(tmp_path / "b-pan.npy", np.ones((64, 64), np.uint16))
    for name in "ab":
        invalid = ~load_pair(tmp_path, name, 7.0).valid
        assert np.argwhere(invalid).tolist() == [[3, 5]]


def test_what_is_invalid_in_the_reference_alone_is_not_trained_on(tmp_path):
    scene = make_scene(tmp_path / "a", size=(160, 160))
    scene.truth[:, 40:44, 60:64] = -1
    write(tmp_path / "a" / "reference.tif", scene.truth, scene.pan_transform)
    invalid = ~load_referenced(tmp_path, "a", nodata=-1.0).valid
    assert np.argwhere(invalid).tolist() == [[10, 15]]


@pytest.mark.parametrize("kind", ["pairs", "referenced"])
def test_what_is_measured_is_not_cut_where_nodata_is_named(tmp_path, kind):
    scene = make_scene(tmp_path / "a", size=(160, 160))
    scene.ms_image[:, 18:22, 18:22] = 0
    write(scene.ms, scene.ms_image, scene.ms_transform)
    write(tmp_path / "a" / "reference.tif", scene.truth, scene.pan_transform)
    crop = 16 if kind == "pairs" else 64
    (case,) = load_cases(Validation(kind=kind, names=("a",), nodata=0.0, ratios=(4.0,), crop=crop), tmp_path)
    whole = Window(0, 0, *case.scene.info.placement.ms_shape)
    assert min(case.truth.min(), case.scene.reader.read_ms(whole)[0].min()) > 0


def test_a_case_is_cropped_to_whole_ms_pixels_and_measured_in_the_bits_of_the_recipe(tmp_path):
    held = Validation(folder="real", names=("v",), ratios=(4.0,), crop=30, bits=11)
    (case,) = load_cases(held, make_data(tmp_path))
    assert case.truth.shape == (4, 28, 28)
    assert case.scene.info.placement.ratio == 4
    assert case.peak == 2047


@pytest.mark.parametrize(
    ("scale", "bits", "told"),
    [
        (1.0, 8, ""),
        (8.0, 11, ""),
        (8.0, 8, "goes up to 2032, beyond the peak of 255"),
        (1 / 255, 8, "goes up to 0.996078, less than a hundredth of the peak of 255"),
        (1 / 255, 1, ""),
    ],
)
def test_bits_that_are_not_those_of_the_numbers_are_told_once(tmp_path, scale, bits, told):
    folder = make_data(tmp_path) / "real"
    for role in ("pan", "ms"):
        numbers = np.load(folder / f"v-{role}.npy")
        np.save(folder / f"v-{role}.npy", (scale * numbers).astype(np.float32))
    cases = load_cases(Validation(folder="real", names=("v",), bits=bits, ratios=(2.0, 3.0)), tmp_path)
    said = [warning for case in cases for warning in case.warnings if "validation.bits" in warning]
    assert len(cases) == 2
    assert len(said) == bool(told)
    assert told in " ".join(said)


@pytest.mark.parametrize("ratio", [1.5, 2.5, 5.3])
def test_a_case_of_a_ratio_that_is_not_whole_has_its_ms_in_place(tmp_path, ratio):
    """A straight slope is interpolated to itself, but at the rim."""
    slope = np.add.outer(3 * np.arange(82), np.arange(82)).astype(np.uint16)
    np.save(tmp_path / "a-ms.npy", slope[None])
    np.save(tmp_path / "a-pan.npy", np.kron(slope, np.ones((2, 2), np.uint16)))
    (case,) = load_cases(Validation(names=("a",), ratios=(ratio,), crop=82), tmp_path)
    fused = fuse_scene(METHODS["exp"], case.scene, None)
    rim = slice(math.ceil(4 * ratio), -math.ceil(4 * ratio))
    torch.testing.assert_close(fused[:, rim, rim], case.truth[:, rim, rim], rtol=0, atol=0.01)


def test_the_score_is_the_mean_of_groups_and_q2n_that_of_the_truth():
    assert score({"a": Figures(30.0, 1, 1, 1), "b": Figures(20.0, 1, 1, 1)}) == 25
    rng = np.random.default_rng(0)
    truth = torch.from_numpy(100 + 20 * rng.random((4, 64, 64)))
    fused = 1.5 * truth + torch.from_numpy(rng.random((4, 64, 64)))
    expected = float(q2n_blocks(truth, fused, 32).mean())
    assert compare_images(fused, truth, 255, 4).q2n == pytest.approx(expected)


def test_a_recipe_may_name_nodata(tmp_path):
    recipe = read_recipe(make_recipe(tmp_path, OWN.replace("names", "nodata = 0, names")))
    assert recipe.sources[0].nodata == 0.0


def test_an_image_with_too_much_nodata_is_refused(tmp_path):
    scene = make_scene(tmp_path / "a", size=(64, 64), nodata=0)
    with rasterio.open(scene.pan, "r+") as file:
        image = file.read()
        image[:, ::16] = 0
        file.write(image)
    with pytest.raises(TrainingError, match="a: no 16 x 16 pixels .* without nodata; lower schedule.region"):
        Sampler.load(read_recipe(make_recipe(tmp_path, OWN)), tmp_path)


def test_a_pair_in_two_places_is_refused_by_name(tmp_path):
    make_scene(tmp_path / "a", size=(64, 64), ms_offset=(900.0, 0.0))
    with pytest.raises(RecipeError, match="a: no ms pixel lies within pan"):
        load_pair(tmp_path, "a")


def test_a_pair_that_does_not_fit_is_refused_by_name(tmp_path):
    scene = make_scene(tmp_path / "a", size=(64, 64))
    write(scene.ms, scene.ms_image, scene.ms_transform, crs="EPSG:4326")
    with pytest.raises(RecipeError, match="a: PAN is in EPSG:32633 but MS is in EPSG:4326"):
        load_pair(tmp_path, "a")


def test_pairs_without_georeferencing_share_their_corners_and_say_so(tmp_path):
    scene = make_scene(tmp_path / "a", size=(64, 64))
    for path, image in ((scene.pan, scene.pan_image), (scene.ms, scene.ms_image)):
        with without_georeferencing():
            write(path, image, None, crs=None)
    image = load_pair(tmp_path, "a")
    assert image.placement.rows.offset == 0
    assert image.placement.ratio == 4
    assert any("common corners" in warning for warning in image.warnings)


def test_a_truth_tagged_alpha_keeps_all_its_bands(tmp_path):
    image = np.arange(4 * 30 * 30, dtype=np.uint16).reshape(4, 30, 30) + 1
    write(tmp_path / "t.tif", image, Affine.scale(2, -2), alpha="YES", nodata=0)
    (truth,) = load_images(Source("truth", names=("*",)), tmp_path)
    np.testing.assert_array_equal(truth.bands, image)
    assert bool(truth.valid.all())


def test_a_placement_of_another_shape_is_refused(tmp_path):
    for name, shape in (("pan", (1, 32, 32)), ("ms", (2, 16, 16)), ("placement", (2, 3))):
        np.save(tmp_path / f"a-{name}.npy", np.ones(shape))
    with pytest.raises(RecipeError, match=r"a-placement.npy has the shape \(2, 3\); expected \(2, 2\)"):
        load_pair(tmp_path, "a")
    for wrong in ([[0, 0], [0.5, 0]], [[0.5, 0], [0.5, np.nan]]):
        np.save(tmp_path / "a-placement.npy", np.array(wrong))
        with pytest.raises(RecipeError, match="a-placement.npy: scales and offsets must be finite"):
            load_pair(tmp_path, "a")


def test_a_coarser_truth_is_what_a_camera_further_away_sees(tmp_path):
    rows, cols = np.mgrid[:60, :90]
    wave = 1000 + 300 * np.sin(2 * np.pi * cols / 18) * np.cos(2 * np.pi * rows / 24)
    image = np.stack([wave, 2 * wave]).astype(np.float32)
    image[:, 40:44, 10:14] = -1
    write(tmp_path / "t.tif", image, Affine.scale(2, -2), nodata=-1)
    fine, coarse = (
        load_images(Source("truth", names=("t",), coarser=factor), tmp_path)[0] for factor in (1.0, 1.5)
    )
    assert (fine.bands.shape, coarse.bands.shape) == ((2, 60, 90), (2, 40, 60))
    assert (coarse.ratio, coarse.placement.ms_shape) == (1.0, (40, 60))
    # Its pixels 26 to 29 and 6 to 9 touch what is not valid.
    assert np.argwhere(~coarse.valid).min(0).tolist() == [26, 6]
    assert np.argwhere(~coarse.valid).max(0).tolist() == [29, 9]
    rows, cols = (1.5 * (index + 0.5) - 0.5 for index in np.mgrid[:40, :60])
    expected = 300 * np.sin(2 * np.pi * cols / 18) * np.cos(2 * np.pi * rows / 24)
    # A Gaussian of 0.3 at the Nyquist frequency of the coarse grid leaves so much of waves so long.
    left = 0.3 ** ((3 / 18) ** 2 + (3 / 24) ** 2)
    inner = (slice(5, 20), slice(15, 55))
    np.testing.assert_allclose(coarse.bands[0][inner], 1000 + left * expected[inner], atol=6)
    np.testing.assert_allclose(coarse.bands[1], 2 * coarse.bands[0], rtol=1e-5)


def test_a_spectrum_of_few_bands_is_refused(tmp_path):
    write(tmp_path / "b.tif", np.ones((4, 48, 48), np.uint16), Affine.scale(2, -2))
    recipe = read_recipe(make_recipe(tmp_path, OWN.replace('"pairs"', '"spectrum"')))
    with pytest.raises(RecipeError, match="has 4 bands; a spectrum has 8 or more"):
        Sampler.load(recipe, tmp_path)


def test_simulated_files_come_with_their_truth(tmp_path):
    (made,) = simulate_files(tmp_path / "s", SimulateOptions(size=96, ratio=3.0, sensor="random"))
    image = load_referenced(tmp_path, "s")
    window = Window(4, 6, 20, 18)
    pan, ms, reference, placement = referenced_parts(image, window)
    under, _ = pan_under(image.placement, window)
    torch.testing.assert_close(
        reference, made.pair.reference[:, *under.slices_in(Window(0, 0, 96, 96))].round()
    )
    assert pan.shape[1:] == reference.shape[1:]
    assert ms.shape == (4, 20, 18)
    torch.testing.assert_close(ms, crop(image.bands, window))
    assert placement.rows.ratio == pytest.approx(image.placement.rows.ratio)


def test_a_reference_of_another_size_is_refused(tmp_path):
    scene = make_scene(tmp_path / "a", size=(64, 64))
    write(tmp_path / "a" / "reference.tif", scene.truth[:, :60], scene.pan_transform)
    with pytest.raises(RecipeError, match="a: the reference is .*60"):
        load_referenced(tmp_path, "a")


def test_referenced_pairs_make_patches_of_one_place(tmp_path):
    list(simulate_files(tmp_path / "s", SimulateOptions(size=96, ratio=4.0)))
    text = OWN.replace('"pairs"', '"referenced"').replace("region = 32", "region = 64")
    sampler = Sampler.load(read_recipe(make_recipe(tmp_path, text)), tmp_path)
    for step in range(3):
        batch = sampler.batch(step)
        assert batch.target.shape == (4, 4, 16, 16)
        near = (batch.inputs.bms - batch.target).square().mean()
        turned = (batch.inputs.bms.rot90(2, (2, 3)) - batch.target).square().mean()
        assert float(near) < float(turned)


@pytest.mark.parametrize("ratio", [2.2, 3.0, 5.0])
def test_whole_regions_of_referenced_pairs_are_whole_at_any_ratio(tmp_path, ratio):
    list(simulate_files(tmp_path / "s", SimulateOptions(size=96, ratio=ratio)))
    text = OWN.replace('"pairs"', '"referenced"').replace(
        "region = 32, patches = 2, patch = 16", "region = 64, patches = 1, patch = 64"
    )
    recipe = read_recipe(make_recipe(tmp_path, f'network = "bandset"\nback_projections = 1\n{text}'))
    sampler = Sampler.load(recipe, tmp_path)
    for step in range(3):
        batch = sampler.batch(step)
        assert batch.target.shape == (2, 4, 64, 64)
        assert len(batch.observed) == 2
        fused = Supervised(BandSet(4, 64**2), recipe.loss, "float32", 1).run(batch)[0]
        assert fused.shape == batch.target.shape
        assert float((batch.inputs.bms - batch.target).square().mean()) < 0.9 * float(batch.target.var())


def test_rounds_on_referenced_pairs_take_the_blur_that_these_show(tmp_path):
    """Told another, they would take from a truth what it has, and a network would learn not to trust them."""
    list(simulate_files(tmp_path / "s", SimulateOptions(size=96, ratio=2.0, sensor="landsat8")))
    text = OWN.replace('"pairs"', '"referenced"').replace("32, patches = 2, patch = 16", "64, patch = 64")
    recipe = read_recipe(make_recipe(tmp_path, text.replace("regions = 2", "regions = 1, patches = 1")))
    batch = Sampler.load(recipe, tmp_path).batch(0)
    (truth,), (seen,) = batch.target, batch.observed
    windows = Window(0, 0, *truth.shape[1:]), Window(0, 0, *seen.ms.shape[1:])

    def taken(gain):
        return float(lacking(truth, seen.ms, seen.placement, windows, (gain,) * 4)[:, 8:-8, 8:-8].std())

    assert taken(seen.gain) < 0.7 * taken(0.3)


def test_a_pair_that_patches_do_not_fit_onto_is_refused(tmp_path):
    """Pan has 72 pixels a side, but ms lies under 56 of them alone."""
    scene = make_scene(tmp_path / "a", size=(72, 72))
    write(tmp_path / "a" / "reference.tif", scene.truth, scene.pan_transform)
    path = tmp_path / "a" / "ms.tif"
    with rasterio.open(path) as ms:
        part, transform = ms.read()[:, :14, :14], ms.transform
    write(path, part, transform)
    text = OWN.replace('"pairs"', '"referenced"').replace("32, patches = 2, patch = 16", "64, patch = 64")
    with pytest.raises(TrainingError, match=r"no patch of 64 pixels fits into .*a of .56, 56."):
        Sampler.load(read_recipe(make_recipe(tmp_path, text)), tmp_path)


@pytest.mark.parametrize(("kind", "side"), [("pairs", 9), ("truth", 9), ("referenced", 1)])
def test_an_image_that_ms_would_have_one_pixel_of_is_refused(tmp_path, kind, side):
    """At ratio 4, or at its own of 16."""
    image = np.ones((4, side, 40))
    np.save(tmp_path / "a-truth.npy", image)
    np.save(tmp_path / "a-ms.npy", image)
    np.save(tmp_path / "a-pan.npy", np.ones((side * 16, 640)))
    np.save(tmp_path / "a-reference.npy", np.ones((4, side * 16, 640)))
    text = OWN.replace('"pairs"', f'"{kind}"').replace("patch = 16", "patch = 8")
    with pytest.raises(TrainingError, match="a: a region would have fewer than 2 ms pixels a side; raise"):
        Sampler.load(read_recipe(make_recipe(tmp_path, text)), tmp_path)


def test_a_shift_turns_with_its_batch():
    """What is measured of a turned pair is what was measured, turned."""
    truth = smooth()
    pan = aligned(truth[:1], (0.6, -0.3))
    for turns in range(4):
        for mirror in (False, True):
            plain = agreement_of_pair(pan, truth)
            turned = agreement_of_pair(*(turned_image(image, turns, mirror=mirror) for image in (pan, truth)))
            found = turned_agreement(plain, turns, mirror=mirror)
            torch.testing.assert_close(found, turned, rtol=0, atol=2e-3)
            assert float(turned[:, 2:4].abs().max()) > 0.1


def turned_image(image, turns, *, mirror):
    image = image.rot90(turns, (1, 2))
    return image.flip(2) if mirror else image


def agreement_of_pair(pan, truth):
    side = truth.shape[1] // 2
    placement = Placement(AxisMap(0.5, 0.0, side), AxisMap(0.5, 0.0, side))
    windows = Window(0, 0, *truth.shape[1:]), Window(0, 0, side, side)
    ms, low = (degrade(image, placement, *windows, 0.3) for image in (truth, pan))
    return Agreement.empty(len(truth), placement).seen(ms, low).numbers()


def test_turning_a_batch_turns_what_its_network_is_told(tmp_path):
    region = observe(smooth()[:1], smooth(), EXACT, generator())
    shown = shown_region(region, BandSet.TRAITS)
    batch = cut_patch(shown, (0, 1, 2, 3), Window(0, 0, 32, 32), BandSet.TRAITS)
    assert batch.inputs.physics is not None
    told = batch.inputs.physics.agreement
    after = batch.turned(1, mirror=True).inputs.physics
    assert after is not None
    turned = after.agreement
    assert torch.equal(turned, turned_agreement(told, 1, mirror=True))
    assert torch.equal(turned[..., 4:], told[..., 4:])


def test_a_batch_is_turned_as_one(tmp_path):
    batch = Sampler.load(read_recipe(make_recipe(tmp_path)), make_data(tmp_path / "data")).batch(0)
    batch = batch._replace(inputs=batch.inputs._replace(lrms=batch.inputs.bms[..., ::4, ::4]))
    turned = batch.turned(1, mirror=True)
    for one, two in zip((*batch.inputs[:3], batch.target), (*turned.inputs[:3], turned.target), strict=True):
        np.testing.assert_array_equal(two, np.flip(np.rot90(np.asarray(one), 1, (2, 3)), 3))
    assert turned.weight is batch.weight


def test_a_recipe_of_three_lines_trains_on_a_folder(tmp_path):
    for name in "ab":
        make_scene(tmp_path / name, size=(160, 160), ms_offset=(0.5, 0.5))
    batch = Sampler.load(read_recipe(make_recipe(tmp_path, OWN)), tmp_path).batch(0)
    assert batch.target.shape == (4, 4, 16, 16)
    assert bool(batch.target.isfinite().all())


@pytest.fixture
def of_ratio_4(tmp_path):
    """A recipe for a network of ratio 4 alone, with folders of that ratio and of ratio 2."""
    for folder, size, ratio in (("four", 128, 4.0), ("two", 64, 2.0)):
        list(simulate_files(tmp_path / folder / "s", SimulateOptions(size=size, ratio=ratio)))

    def make(trained, validated):
        text = OWN.replace('"pairs"', f'"referenced", folder = "{trained}"').replace(
            "region = 32", "region = 64"
        )
        held = f'{{kind = "referenced", folder = "{validated}", names = ["*"], ratios = [4.0]}}'
        text = text.replace('"mine"', '"mine"\nnetwork = "pnn"') + "degradation = {ratios = [4.0]}\n"
        return read_recipe(make_recipe(tmp_path, f"{text}validation = {held}\n"))

    return make


def test_a_pair_of_a_ratio_the_network_does_not_take_is_not_trained_on(tmp_path, of_ratio_4):
    with pytest.raises(RecipeError, match=r"s.* has ratio 2, but the network takes 4 alone"):
        Sampler.load(of_ratio_4("two", "four"), tmp_path)


def test_nor_validated_on(tmp_path, of_ratio_4):
    with pytest.raises(RecipeError, match="pnn takes ratio 4 alone, but would be validated on 'two ratio 2'"):
        train(of_ratio_4("four", "two"), tmp_path, tmp_path / "run")

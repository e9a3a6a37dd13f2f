from __future__ import annotations

import numpy as np
import pytest

from pancli.comparing import survey
from pancli.comparing.survey import cell_means, cell_sums, choose_places, open_views, shrink
from pancli.raster.pair import PairOptions
from pancli.tiling import Window
from tests.scenes import make_scene, write


def reader(values, valid):
    def read(window):
        rows, cols = slice(window.row, window.row_stop), slice(window.col, window.col_stop)
        return values[:, rows, cols], valid[rows, cols]

    return read


@pytest.mark.parametrize("tile", [4, 7, 256])
def test_cells_add_up_valid_pixels_whatever_is_read_at_once(monkeypatch, tile):
    monkeypatch.setattr(survey, "_TILE", tile)
    generator = np.random.default_rng(1)
    values, valid = generator.normal(size=(2, 25, 31)), generator.random((25, 31)) > 0.3
    valid[6:9, 5:8] = False
    area, side = Window(3, 2, 20, 28), 3
    sums, counts = cell_sums(reader(values, valid), area, side)
    assert sums.shape == (2, 7, 10)
    for i in range(7):
        for j in range(10):
            inside = [
                (r, c)
                for r in range(3 + 3 * i, min(6 + 3 * i, 23))
                for c in range(2 + 3 * j, min(5 + 3 * j, 30))
                if valid[r, c]
            ]
            assert counts[i, j] == len(inside)
            assert sums[:, i, j] == pytest.approx(sum((values[:, r, c] for r, c in inside), np.zeros(2)))
    means = cell_means(reader(values, valid), area, side)
    assert np.isnan(means[0, 1, 1])
    assert means[1, 0, 0] == pytest.approx(sums[1, 0, 0] / counts[0, 0])


def test_a_large_map_shrinks_to_means():
    image = np.arange(20.0).reshape(4, 5)
    image[0, 0] = image[2:, 2:4] = np.nan
    small = shrink(image, 3)
    assert small[0].tolist() == [np.mean([1, 5, 6]), np.mean([2, 3, 7, 8]), np.mean([4, 9])]
    assert np.isnan(small[1, 1])
    assert np.array_equal(shrink(image, 5), image, equal_nan=True)


@pytest.fixture
def views(tmp_path):
    """Two methods and a baseline on an ms grid that starts off pan's corner."""
    scene = make_scene(tmp_path, ms_offset=(-2, 6), ms_size=(41, 45), dtype="float32")
    rng = np.random.default_rng(0)
    images = {
        "exp": scene.truth.copy(),
        "a": scene.truth + rng.normal(0, 1, scene.truth.shape),
        "b": scene.truth + rng.normal(0, 1, scene.truth.shape),
    }
    images["b"][:, 100:130, 20:50] += 80  # here they disagree
    images["exp"][:, 120:150, 150:180] += 3000  # but the baseline has no say
    scene.pan_image[10:40, 110:140] += rng.normal(0, 400, (30, 30))  # here is detail
    scene.pan_image[60:90, 60:90] += rng.normal(0, 700, (30, 30))  # here is more, but with holes
    scene.pan_image[60:90:8, 60:90:8] = np.nan
    write(scene.pan, scene.pan_image, scene.pan_transform)
    paths = {
        name: write(tmp_path / f"{name}.tif", image.astype("float32"), scene.pan_transform)
        for name, image in images.items()
    }
    truth = write(tmp_path / "truth.tif", scene.truth.astype("float32"), scene.pan_transform)
    with open_views(str(scene.pan), [str(scene.ms)], str(truth), paths, PairOptions()) as opened:
        yield scene, opened


def test_each_pan_pixel_shows_the_ms_pixel_it_lies_in(views):
    scene, opened = views
    window = Window(21, 30, 11, 13)
    values, valid = opened.ms(window)
    assert valid.all()
    for r in range(11):
        for c in range(13):
            row, col = (21 + r + 2) // 4, (30 + c - 6) // 4
            assert (values[:, r, c] == scene.ms_image[:, row, col]).all()


def test_errors_are_in_units_of_each_bands_deviation(views):
    scene, opened = views
    area = opened.area
    assert area == Window(0, 6, 160, 180)
    truth = scene.truth.astype("float32").astype(float)[:, :, 6:186]
    assert opened.spread == pytest.approx([band.std() for band in truth], rel=1e-9)
    values, valid = opened.error("b", Window(100, 20, 4, 5))
    fused = opened.fused["b"].read(Window(100, 20, 4, 5))[0].astype(float)
    for r in range(4):
        for c in range(5):
            off = [abs(fused[b, r, c] - truth[b, 100 + r, 14 + c]) / truth[b].std() for b in range(4)]
            assert values[0, r, c] == pytest.approx(np.mean(off), rel=1e-6)
    assert valid.all()


def test_places_are_where_detail_and_disagreement_are_and_never_meet(views):
    scene, opened = views
    places = choose_places(opened, 32)
    assert [p.why.split()[-1] for p in places] == ["detail", "most", "place"]
    for place, planted in zip(places, (Window(10, 110, 30, 30), Window(100, 20, 30, 30)), strict=False):
        assert place.window.intersect(planted).size > 0.5 * planted.size
    for place in places:
        assert place.window.shape == (32, 32)
        assert place.window.intersect(opened.area) == place.window
        rows, cols = place.window.slices_in(Window(0, 0, 160, 192))
        assert np.isfinite(scene.pan_image[rows, cols]).all()
    for i, one in enumerate(places):
        for other in places[i + 1 :]:
            assert one.window.intersect(other.window).size == 0


def test_a_small_image_is_one_place_and_one_method_disagrees_with_nobody(tmp_path):
    scene = make_scene(tmp_path, size=(40, 48))
    fused = {"a": write(tmp_path / "a.tif", scene.truth.astype("float32"), scene.pan_transform)}
    with open_views(str(scene.pan), [str(scene.ms)], None, fused, PairOptions()) as opened:
        (place,) = choose_places(opened, 96)
        assert place.window.shape == (40, 40)
        assert (opened.truth(place.window)[0] == opened.ms(place.window)[0]).all()

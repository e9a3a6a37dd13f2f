"""Images written together appear together or not at all."""

import numpy as np
import pytest
import rasterio
from affine import Affine

from pancli.errors import OutputError
from pancli.raster import output
from pancli.raster.together import PlacedImage, write_together


def image_at(path, value, size=8, pixel=0.5):
    values = np.full((2, size, size), value, np.uint16)
    return PlacedImage(path, values, pixel, ("red", "nir"), {"MADE": "here"}, ({"w": "1"}, {"w": "2"}))


def test_images_share_their_corner_whatever_their_pixels(tmp_path):
    images = [image_at(tmp_path / "a.tif", 5), image_at(tmp_path / "b.tif", 7, 2, 2.0)]
    write_together(images)
    for image in images:
        with rasterio.open(image.path) as dataset:
            assert dataset.crs.to_epsg() == 32633
            assert dataset.transform == Affine(image.pixel, 0, 500000, 0, -image.pixel, 5000000)
            np.testing.assert_array_equal(dataset.read(), image.values)
            assert dataset.descriptions == ("red", "nir")
            assert [c.name for c in dataset.colorinterp] == ["red", "undefined"]
            assert dataset.tags()["MADE"] == "here"
            assert dataset.tags(2)["w"] == "2"


@pytest.mark.parametrize("failing", ["a.tif", "b.tif"])
@pytest.mark.parametrize("existing", [None, "a.tif", "b.tif"])
def test_when_one_cannot_be_completed_none_appears_and_none_is_removed(
    tmp_path, monkeypatch, failing, existing
):
    def fail(tiff, spec, output):
        if spec.path.name == failing:
            raise OutputError("the disk may be full")

    if existing:
        (tmp_path / existing).write_text("mine")
    monkeypatch.setattr(output, "_verify", fail)
    with pytest.raises(OutputError, match="the disk may be full"):
        write_together([image_at(tmp_path / "a.tif", 5), image_at(tmp_path / "b.tif", 7)], overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ([existing] if existing else [])
    if existing:
        assert (tmp_path / existing).read_text() == "mine"


@pytest.mark.parametrize("existing", ["a.tif", "b.tif"])
def test_one_that_exists_refuses_all(tmp_path, existing):
    (tmp_path / existing).write_text("mine")
    images = [image_at(tmp_path / "a.tif", 5), image_at(tmp_path / "b.tif", 7)]
    with pytest.raises(OutputError, match="exists already"):
        write_together(images)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(existing, "mine")]
    write_together(images, overwrite=True)
    assert len(list(tmp_path.iterdir())) == 2

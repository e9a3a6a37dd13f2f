"""Hashes of what is in a raster, wherever it lies, and of nothing else."""

import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil

from pancli.errors import InputError
from pancli.raster.env import without_georeferencing
from pancli.raster.fingerprint import content_sha256, opens_whole, read_tag
from pancli.raster.names import files_read
from tests.scenes import write
from tests.sharpening.test_carried import RPC


@pytest.fixture
def image(tmp_path, scene):
    noise = np.random.default_rng(0).integers(1, 4000, (2, 300, 200)).astype("uint16")
    return write(tmp_path / "image.tif", noise, scene.pan_transform, tiled=True, compress="deflate")


def test_the_same_delivery_is_the_same_in_another_folder_and_later(image, tmp_path):
    (tmp_path / "other").mkdir()
    copy = shutil.copy(image, tmp_path / "other" / image.name)
    os.utime(copy, (0, 0))
    assert content_sha256(str(copy)) == content_sha256(str(image))


def test_another_name_other_bands_or_other_bytes_are_another(image, tmp_path):
    renamed = shutil.copy(image, tmp_path / "renamed.tif")
    seen = {content_sha256(str(p)) for p in (image, renamed, f"{image},band=1", f"{image},band=2,band=1")}
    with rasterio.open(image, "r+") as dataset:
        dataset.write(dataset.read(1, window=((0, 1), (0, 1))) + 1, 1, window=((0, 1), (0, 1)))
    seen.add(content_sha256(str(image)))
    assert len(seen) == 5


def test_what_lies_beside_a_file_counts(image):
    before = content_sha256(str(image))
    with rasterio.open(image) as dataset:
        mask = np.zeros(dataset.shape, "uint8")
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(image, "r+") as dataset:
        dataset.write_mask(mask)
    assert image.with_name("image.tif.msk").exists()
    assert content_sha256(str(image)) != before


def test_overviews_beside_a_file_are_no_other_pixels(image, scene):
    """A viewer makes them, and a batch that is resumed must not begin anew for that."""
    before = content_sha256(str(image))
    overviews = image.with_name("image.tif.ovr")
    write(overviews, np.ones((2, 150, 100), "uint16"), scene.pan_transform)
    with rasterio.open(image) as dataset:
        assert str(overviews) in dataset.files
    assert content_sha256(str(image)) == before
    assert content_sha256(str(overviews)) != before  # as an image of its own they count


def test_statistics_beside_a_file_are_no_other_pixels(image, tmp_path, scene):
    """gdalinfo -stats and QGIS leave them; what else they say there is said by the file, too."""
    mosaic = tmp_path / "mosaic.vrt"
    rasterio.shutil.copy(image, mosaic, driver="VRT")
    names = [str(image), str(mosaic), f"GTIFF_DIR:1:{image}"]
    before = [content_sha256(name) for name in names]
    with rasterio.open(image, "r+") as dataset:
        dataset.set_band_description(1, "blue")
    beside = image.with_name("image.tif.aux.xml")

    def tell(more="", described="blue", mean=5):
        statistics = f'<Metadata><MDI key="STATISTICS_MEAN">{mean}</MDI></Metadata><Histograms />'
        band = f'<PAMRasterBand band="1"><Description>{described}</Description>{statistics}</PAMRasterBand>'
        beside.write_text(f"<PAMDataset>{band}{more}</PAMDataset>")
        return [content_sha256(name) for name in names]

    named = [content_sha256(name) for name in names]
    assert not set(named) & set(before)
    assert tell() == named
    tagged = '<Metadata><MDI key="NODATA_VALUES">7 7</MDI></Metadata>'
    told = tell(tagged)
    assert told[0] != named[0]
    assert tell(tagged, mean=6) == told
    assert tell(described="red")[0] not in (named[0], told[0])


def test_in_an_archive_pixels_and_header_count(image, scene, tmp_path):
    def packed(name, **tags):
        noise = np.random.default_rng(0).integers(1, 4000, (2, 300, 200)).astype("uint16")
        write(image, noise + tags.pop("more", 0), scene.pan_transform, tags=tags)
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.write(image, "image.tif")
        return content_sha256(f"zip+file://{tmp_path / name}!image.tif")

    first = packed("a.zip", K="v")
    assert packed("b.zip", K="v") == first
    assert packed("c.zip", K="w") != first
    assert packed("d.zip", K="v", more=np.uint16(1)) != first


def add_mask(image, mask):
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(image, "r+") as dataset:
        dataset.write_mask(mask)


def test_in_an_archive_the_mask_counts(image, tmp_path):
    mask, seen = np.full((300, 200), 255, "uint8"), set()
    for hidden in (0, 9):
        mask[:hidden] = 0
        add_mask(image, mask)
        with zipfile.ZipFile(tmp_path / f"{hidden}.zip", "w") as archive:
            archive.write(image, "image.tif")
        seen.add(content_sha256(f"/vsizip/{tmp_path}/{hidden}.zip/image.tif"))
    assert len(seen) == 2


def test_what_a_vrt_is_made_of_counts_with_what_lies_beside_it(image, tmp_path):
    rasterio.shutil.copy(image, tmp_path / "inner.vrt", driver="VRT")
    rasterio.shutil.copy(tmp_path / "inner.vrt", tmp_path / "outer.vrt", driver="VRT")
    seen = {content_sha256(str(tmp_path / "outer.vrt"))}
    with rasterio.open(image, "r+") as dataset:
        dataset.write(dataset.read(1, window=((0, 1), (0, 1))) + 1, 1, window=((0, 1), (0, 1)))
    seen.add(content_sha256(str(tmp_path / "outer.vrt")))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(image, "r+") as dataset:
        dataset.write_mask(np.zeros(dataset.shape, "uint8"))
    seen.add(content_sha256(str(tmp_path / "outer.vrt")))
    assert len(seen) == 3


def test_neighbours_of_a_tile_are_not_read_for_it(image, monkeypatch):
    """Of tiles, GDAL lists the product's metadata, which opens as all of them."""
    (image.parent / "other.tif").write_bytes(image.read_bytes())
    rasterio.shutil.copy(image.parent / "other.tif", f"{image}.aux.xml", driver="VRT")
    with rasterio.open(image) as dataset:
        assert len(dataset.files) == 2
    assert set(files_read([str(image)]).values()) == {image, Path(f"{image}.aux.xml")}


@pytest.mark.parametrize("name", ["/vsicurl/http://h/a.tif", "s3://b/a.tif", "vrt:///vsicurl/http://h/a.tif"])
def test_what_lies_elsewhere_is_not_opened_to_know_what_is_read(monkeypatch, name):
    monkeypatch.setattr(rasterio, "open", None)
    assert [str(path) for path in files_read([name]).values()] == [str(Path(name))]


def test_parts_of_a_file_are_not_each_other(image, scene, tmp_path):
    names = [f"vrt://{image}?bands={band}" for band in (1, 2)]
    assert len({content_sha256(name) for name in names}) == 2
    pages = tmp_path / "pages.tif"
    for append in ("NO", "YES"):
        with rasterio.open(image) as dataset:
            values = dataset.read() + np.uint16(append == "YES")
        write(pages, values, scene.pan_transform, APPEND_SUBDATASET=append)
    assert len({content_sha256(f"GTIFF_DIR:{page}:{pages}") for page in (1, 2)}) == 2


def test_in_an_archive_what_places_the_image_counts(image, tmp_path):
    seen = set()
    for corner in ("80", "81"):
        with rasterio.open(image, "r+") as dataset:
            dataset.update_tags(ns="RPC", **RPC | {"LINE_OFF": corner})
        with zipfile.ZipFile(tmp_path / f"{corner}.zip", "w") as archive:
            archive.write(image, "image.tif")
        seen.add(content_sha256(f"/vsizip/{tmp_path}/{corner}.zip/image.tif"))
    assert len(seen) == 2


def test_a_jpeg_that_lost_bytes_does_not_open_whole(scene, tmp_path):
    path = tmp_path / "jpeg.tif"
    noise = np.random.default_rng(0).integers(0, 255, (3, 256, 256)).astype("uint8")
    write(path, noise, scene.pan_transform, compress="JPEG", tiled=True, photometric="RGB")
    assert opens_whole(path)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 200] = bytes(200)
    path.write_bytes(data)
    assert not opens_whole(path)


def test_an_image_whose_mask_lost_bytes_does_not_open_whole(image):
    add_mask(image, np.random.default_rng(1).integers(0, 2, (300, 200)).astype("uint8") * 255)
    assert opens_whole(image)
    with without_georeferencing(), rasterio.open(f"GTIFF_DIR:2:{image}") as dataset:
        offset = int(dataset.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1))
    data = bytearray(image.read_bytes())
    data[offset : offset + 500] = bytes(500)
    image.write_bytes(data)
    assert not opens_whole(image)


def test_what_is_not_there_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=r"none\.tif: no such file"):
        content_sha256(str(tmp_path / "none.tif"))


@pytest.mark.parametrize(
    "profile", [{}, {"compress": "deflate"}, {"compress": "deflate", "interleave": "band"}]
)
def test_only_a_file_that_can_be_read_to_its_end_opens_whole(image, scene, profile):
    noise = np.random.default_rng(0).integers(1, 4000, (2, 300, 200)).astype("uint16")
    write(image, noise, scene.pan_transform, tiled=True, **profile)
    data = image.read_bytes()
    assert opens_whole(image)
    for damaged in (data[:-200], data[: len(data) // 2], b""):
        image.write_bytes(damaged)
        assert not opens_whole(image)


def test_a_flipped_byte_in_any_block_is_noticed(image):
    data = image.read_bytes()
    for position in np.random.default_rng(0).integers(1000, len(data), 50):
        image.write_bytes(data[:position] + bytes([data[position] ^ 16]) + data[position + 1 :])
        assert not opens_whole(image)


def test_blocks_never_written_are_no_damage(image, scene):
    write(
        image,
        np.zeros((2, 600, 600), "uint16"),
        scene.pan_transform,
        tiled=True,
        compress="deflate",
        sparse_ok=True,
    )
    assert opens_whole(image)


def test_a_tag_is_read_where_there_is_one(image, tmp_path):
    with rasterio.open(image, "r+") as dataset:
        dataset.update_tags(PANCLI_X="y")
    (tmp_path / "text.tif").write_text("no raster")
    assert read_tag(image, "PANCLI_X") == "y"
    assert read_tag(image, "PANCLI_Y") is None
    assert read_tag(tmp_path / "text.tif", "PANCLI_X") is None

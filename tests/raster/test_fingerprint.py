"""Hashes of what is in a raster, wherever it lies, and of nothing else."""

import os
import shutil
import zipfile

import numpy as np
import pytest
import rasterio

from pancli.errors import InputError
from pancli.raster.fingerprint import content_sha256, opens_whole, read_tag
from tests.scenes import write


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

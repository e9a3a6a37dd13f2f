"""Damaged inputs: sharpen makes a file of them or refuses, and never takes a broken strip for pixels.

``python -m tests.benchmarks.faults mutants`` does the same some thousand times more.
"""

from __future__ import annotations

import faulthandler
import logging
import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil

from pancli.errors import InputError, PancliError
from pancli.raster.pair import PairOptions
from pancli.sharpening import SharpenOptions, sharpen
from tests.scenes import make_scene, write
from tests.sharpening.mutations import KINDS, Mutant, lzw_length, mutate, originals, undecodable

METHODS = ("exp", "gsa")
HANG = 60  # seconds


def outcome(folder: Path, files: dict[str, bytes], method: str) -> str:
    """``"fused"`` or the class of the refusal; anything else that is raised is a fault of ours."""
    for role, content in files.items():
        (folder / f"{role}.tif").write_bytes(content)
    out = folder / "out.tif"
    out.unlink(missing_ok=True)
    faulthandler.dump_traceback_later(HANG, exit=True)  # GDAL cannot be interrupted: end the process
    try:
        sharpen(
            str(folder / "pan.tif"), [str(folder / "ms.tif")], out, SharpenOptions(method=method, threads=1)
        )
    except PancliError as error:
        refused = error
    else:
        return "fused"
    finally:
        faulthandler.cancel_dump_traceback_later()
    assert not out.exists()
    assert "\n" not in str(refused)
    return type(refused).__name__


def damaged_pairs(
    folder: Path, kind: str, count: int, seed: int
) -> Iterator[tuple[str, Mutant, dict[str, bytes]]]:
    """Mutants of a kind, of pan and ms in turn, each named and with the pair that it makes."""
    whole = originals(folder, kind)
    generator = np.random.default_rng(seed)
    for number in range(count):
        role = ("pan", "ms")[number % 2]
        mutant = mutate(whole[role], generator)
        files = {name: original.content for name, original in whole.items()} | {role: mutant.content}
        yield f"{kind}, {role} {number} of seed {seed}, {mutant.way}", mutant, files


def bombard(folder: Path, kind: str, count: int, seed: int = 0) -> Counter[tuple[str, bool]]:
    """How ``count`` mutants of a kind ended, every one with every method, by outcome and undecodability."""
    ends: Counter[tuple[str, bool]] = Counter()
    for name, mutant, files in damaged_pairs(folder, kind, count, seed):
        for method in METHODS:
            end = outcome(folder, files, method)
            assert not (end == "fused" and mutant.undecodable), name
            ends[end, mutant.undecodable] += 1
    return ends


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_refused_or_does_no_harm(tmp_path, kind):
    ends = bombard(tmp_path, kind, 30)
    assert sum(ends.values()) == 60
    assert any(broken for _, broken in ends)  # else nothing was tested


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_much_damage_is_refused_or_does_no_harm(tmp_path, kind):
    assert sum(bombard(tmp_path, kind, 400, seed=1).values()) == 800


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("role", ["pan", "ms"])
def test_a_file_that_ends_early_is_refused(tmp_path, kind, role):
    whole = originals(tmp_path, kind)
    files = {name: original.content for name, original in whole.items()}
    assert outcome(tmp_path, files, "exp") == "fused"
    assert outcome(tmp_path, files | {role: files[role][:-40]}, "exp") == "InputError"


@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize(
    ("reproject", "corner"), [(False, 0.0), (True, 0.0), (True, -160.0)], ids=["plain", "warped", "apart"]
)
def test_a_stream_that_runs_past_its_block_is_refused(tmp_path, interleave, reproject, corner):
    """GDAL stops when the block is full, and is content with pixels that nobody wrote.

    Through a warp, what is read of a corner of ms may be taken from anywhere.
    """
    size = (256, 256) if corner == 0 else (96, 96)
    scene = make_scene(tmp_path, size=size, bands=3, ms_offset=(corner, corner), ms_size=(64, 64))
    with rasterio.open(scene.ms) as dataset:
        image, profile = dataset.read(), dataset.profile
    profile |= {"compress": "DEFLATE", "predictor": 1, "tiled": True, "blockxsize": 32, "blockysize": 32}
    with rasterio.open(scene.ms, "w", **profile | {"interleave": interleave}) as dataset:
        dataset.write(image)
    if reproject:
        with rasterio.open(scene.pan, "r+") as dataset:
            dataset.crs = "EPSG:25833"
    options = SharpenOptions(method="exp", pair=PairOptions(reproject=reproject), overwrite=True)
    paths = str(scene.pan), [str(scene.ms)], tmp_path / "out.tif", options
    sharpen(*paths)
    content = bytearray(scene.ms.read_bytes())
    with rasterio.open(scene.ms) as dataset:
        last = dataset.count if interleave == "band" else 1
        start = int(dataset.get_tag_item("BLOCK_OFFSET_1_1", "TIFF", bidx=last))
    longer = zlib.compress(bytes([7]) * 32 * 32 * 2 * 4)
    content[start : start + len(longer)] = longer
    scene.ms.write_bytes(content)
    with rasterio.open(scene.ms) as dataset:
        dataset.read(last)  # GDAL says nothing
    with pytest.raises(InputError, match=r"ms\.tif.*block 1, 1"):
        sharpen(*paths)


def test_a_stream_that_runs_past_its_block_is_refused_in_what_a_mosaic_is_made_of(tmp_path):
    """Only where it is read, as a mosaic may be large; VRTs of VRTs as well."""
    scene = make_scene(tmp_path, size=(256, 256), bands=1, ms_size=(64, 64))
    profile = {"compress": "DEFLATE", "predictor": 1, "tiled": True, "blockxsize": 16, "blockysize": 16}
    write(scene.ms, scene.ms_image, scene.ms_transform, **profile)
    for source, target in (("ms.tif", "a.vrt"), ("a.vrt", "b.vrt")):
        rasterio.shutil.copy(tmp_path / source, tmp_path / target, driver="VRT")
    with rasterio.open(scene.ms) as dataset:
        start = int(dataset.get_tag_item("BLOCK_OFFSET_0_3", "TIFF", bidx=1))
    content, longer = bytearray(scene.ms.read_bytes()), zlib.compress(bytes([7]) * 16 * 16 * 2 * 4)
    content[start : start + len(longer)] = longer
    scene.ms.write_bytes(content)
    west, north = scene.pan_transform * (0, 0)
    mosaic, low, high = [str(tmp_path / "b.vrt")], scene.pan_transform.e * 256, scene.pan_transform.e * 64
    apart = (west, north + high, west + 32, north)
    sharpen(str(scene.pan), mosaic, tmp_path / "apart.tif", SharpenOptions(method="brovey", bbox=apart))
    for bbox in (None, (west, north + low, west + 32, north + low / 2)):
        with pytest.raises(InputError, match=r"ms\.tif.*block 3, 0"):
            sharpen(str(scene.pan), mosaic, tmp_path / "out.tif", SharpenOptions(method="brovey", bbox=bbox))


def test_a_header_that_speaks_of_thousands_of_bands_is_refused_at_once(tmp_path):
    scene = make_scene(tmp_path, size=(64, 64), bands=1)
    path = tmp_path / "many.tif"
    with rasterio.open(scene.ms) as dataset:
        profile = dataset.profile | {"count": 1025, "interleave": "pixel", "sparse_ok": True}
    with rasterio.open(path, "w", **profile):
        pass
    with pytest.raises(InputError, match="has 1025 bands"):
        sharpen(str(scene.pan), [str(path)], tmp_path / "out.tif", SharpenOptions(method="exp"))


def test_a_header_that_breaks_only_when_it_is_asked_is_refused(tmp_path):
    """GDAL looks for masks late, and rasterio raises what goes wrong then from a tree of its own."""
    scene = make_scene(tmp_path, size=(64, 64))
    content = bytearray(scene.pan.read_bytes())
    (first,) = struct.unpack_from("<I", content, 4)
    (entries,) = struct.unpack_from("<H", content, first)
    struct.pack_into("<I", content, first + 2 + 12 * entries, 27)  # where the next directory is to be found
    scene.pan.write_bytes(content)
    with pytest.raises(InputError, match=r"pan\.tif: cannot be opened \(TIFFReadDirectory"):
        sharpen(str(scene.pan), [str(scene.ms)], tmp_path / "out.tif", SharpenOptions(method="exp"))


@pytest.mark.parametrize(
    ("name", "says"), [(b"somewh\xa5re", "not UTF-8"), (b"some{here", "CRS cannot be understood")]
)
def test_a_crs_whose_name_is_broken_is_refused(tmp_path, name, says):
    scene = make_scene(tmp_path, size=(64, 64), crs='LOCAL_CS["somewhere",UNIT["metre",1]]')
    content = scene.ms.read_bytes()
    assert b"somewhere" in content
    scene.ms.write_bytes(content.replace(b"somewhere", name))
    with pytest.raises(InputError, match=says):
        sharpen(str(scene.pan), [str(scene.ms)], tmp_path / "out.tif", SharpenOptions(method="exp"))


def test_the_judges_decode_what_is_whole_and_see_what_is_not(tmp_path):
    for kind in KINDS:
        for original in originals(tmp_path, kind).values():
            assert not undecodable(original, original.content)
            assert undecodable(original, original.content[:-1])
    lzw = originals(tmp_path, "lzw")["pan"]
    offset, length, size = lzw.blocks[0]
    strip = lzw.content[offset : offset + length]
    assert lzw_length(strip, size + 1) == size
    assert lzw_length(strip[: length // 2], size) < size
    assert lzw_length(b"\xff" * length, size) == -1


@pytest.mark.parametrize("silence", ["level", "root", "disabled"])
def test_a_program_that_silences_rasterio_is_told_of_a_broken_jpeg_all_the_same(
    tmp_path, monkeypatch, caplog, silence
):
    scene = make_scene(tmp_path, dtype="uint8")
    pan = scene.pan.with_name("jpeg.tif")
    rasterio.shutil.copy(scene.pan, pan, driver="GTiff", COMPRESS="JPEG", TILED="YES")
    with rasterio.open(pan) as dataset:
        offset, size = (
            int(dataset.get_tag_item(f"BLOCK_{key}_0_0", "TIFF", bidx=1)) for key in ("OFFSET", "SIZE")
        )
    data = pan.read_bytes()
    middle = offset + size // 2
    pan.write_bytes(data[:middle] + b"\xff\xd9" + data[middle + 2 :])
    theirs = [logging.getLogger(f"rasterio.{name}") for name in ("_env", "_err")]
    if silence == "disabled":  # as logging.config.dictConfig has it
        for logger in theirs:
            monkeypatch.setattr(logger, "disabled", True)
    else:
        caplog.set_level(logging.ERROR, "rasterio" if silence == "level" else None)
    before = [(logger.level, logger.disabled, list(logger.filters)) for logger in theirs]
    with pytest.raises(InputError, match="Corrupt JPEG data"):
        sharpen(str(pan), [str(scene.ms)], tmp_path / "out.tif", SharpenOptions(method="exp", threads=1))
    assert [(logger.level, logger.disabled, logger.filters) for logger in theirs] == before
    assert not caplog.records

"""Creating GeoTIFFs: profile, creation options, and what the file says of itself and of its bands."""

from __future__ import annotations

import itertools
import math
import mmap
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.env import Env
from rasterio.io import DatasetWriter, MemoryFile

from pancli.errors import OutputError
from pancli.raster.carried import IMAGERY
from pancli.raster.commit import FAILURES, write_error
from pancli.raster.env import gdal_env, without_georeferencing
from pancli.raster.grid import Grid, crs_name, same_crs
from pancli.raster.hearing import hearing
from pancli.raster.spec import DTYPES, OutputBand, OutputSpec, truth

BLOCK = 512
_RGB = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
_OF_BYTES = ("JPEG", "WEBP")
_FILES_BESIDE = {"tfw", "worldfile", "rpb", "rpctxt"}
_OWN = {"driver", "dtype", "count", "height", "width", "crs", "transform", "nodata", "gcps", "rpcs", "mode"}
_OWN |= {"fp", "sharing", "opener"}  # what rasterio would take for its own arguments
_OF_OTHER_GRIDS = {"tiling_scheme", "target_srs", "res", "extent", "zoom_level"}
_LEAST_BLOCK = 128  # pixels, of a COG
_TRIED = 5  # bands that tell whether a file can be created; more would take memory
_SIDES = (1, 513)  # of what is tried: the least of which a COG has overviews, to which options apply, too
_COUNTS = (3, 1, 4)  # of bands: most options suit any, colour spaces one of them
_LENT = "PANCLI_TAGS"  # domain of bands' tags on their way into a COG
_NEAR = 1e-3  # pixels
_BITS = {  # that GDAL keeps
    "uint8": (range(1, 9), "from 1 to 8"),
    "uint16": (range(9, 17), "from 9 to 16"),
    "uint32": (range(17, 33), "from 17 to 32"),
    "float32": ((16, 32), "16 or 32"),
}


def create(tiff: Path, spec: OutputSpec) -> DatasetWriter:
    """Create a GeoTIFF, tiled and compressed unless the user's creation options say otherwise.

    Raises:
        OutputError: A creation option that GDAL does not know, or that asks for more than one file.
        OSError: It cannot be created, or what else :data:`pancli.raster.commit.FAILURES` holds.
        ValueError: A creation option has a value it cannot have.
    """
    _check_options(spec)
    with _options_understood(spec):
        return rasterio.open(tiff, "w", **_profile(spec))


def check_creation(spec: OutputSpec) -> None:
    """Refuse early what the file could not be created with or hold: a small one is made in memory.

    Raises:
        OutputError: As creating or completing the file itself would raise it.
    """
    small = replace(spec, grid=replace(spec.grid, shape=_SIDES), bands=spec.bands[:_TRIED], threads="1")
    with gdal_env(), without_georeferencing(), MemoryFile(ext=".tif") as one, MemoryFile(ext=".tif") as other:
        tiff, cog = Path(one.name), Path(other.name)
        try:
            with create(tiff, small) as dataset:
                describe(dataset, small)
            check_place(tiff, small)
            if spec.driver == "COG":
                _copy_as_cog(tiff, cog, small)
        except (*FAILURES, ValueError) as error:
            raise write_error(spec.path, error) from error


def check_choice(path: Path, driver: str, creation: Mapping[str, str], dtype: str | None) -> None:
    """Refuse creation options that no output can have, when nothing is known of it but, at most, its type.

    Raises:
        OutputError: They are refused for all types, or for that given, however many bands there are.
    """
    refused = None
    for count, kind in itertools.product(_COUNTS, DTYPES if dtype is None else (dtype,)):
        grid = Grid(None, Affine.identity(), (1, 1))
        try:
            check_creation(
                OutputSpec(path, grid, (OutputBand(),) * count, kind, driver=driver, creation=creation)
            )
        except OutputError as error:
            refused = refused or error
        else:
            return
    if refused is not None:
        raise refused


def _check_options(spec: OutputSpec) -> None:
    """Refuse creation options by which the output would not be what it is to be.

    Raises:
        OutputError: One moves a COG to another grid, or keeps fewer bits than the type or nodata needs.
    """
    options = spec.options
    moved = _OF_OTHER_GRIDS & options.keys() if spec.driver == "COG" else set()
    for name in moved:
        if (name, options[name].upper()) != ("tiling_scheme", "CUSTOM"):
            raise OutputError(
                f"--co {name.upper()}: the output lies on PAN's grid ({spec.path}); have gdalwarp move it"
            )
    side = options.get("blocksize", "512")
    if spec.driver == "COG" and not (side.isdecimal() and int(side) >= _LEAST_BLOCK and int(side) % 16 == 0):
        # GDAL would end the process on zero.
        raise OutputError(f"--co BLOCKSIZE={side}: must be a multiple of 16 from {_LEAST_BLOCK}")
    bits, must = options.get("nbits"), _BITS.get(spec.dtype, (range(0), "left out"))
    if bits is not None and not (bits.isdecimal() and int(bits) in must[0]):
        raise OutputError(f"--co NBITS={bits}: for {spec.dtype} must be {must[1]}")
    if spec.dtype.startswith("uint") and spec.bits is not None and (spec.nodata or 0) >= 2**spec.bits:
        raise OutputError(f"--co NBITS={spec.bits}: cannot hold nodata {spec.nodata:g}; use another --nodata")
    if spec.rounds and spec.nodata is not None:
        raise OutputError(
            f"--co {spec.rounds}: does not keep nodata {spec.nodata:g} as it is; use --nodata none for a mask"
        )


@contextmanager
def _options_understood(spec: OutputSpec) -> Iterator[None]:
    """GDAL only warns of creation options it ignores, through rasterio's log: here that is a refusal."""
    with hearing() as heard:
        yield
    for message in heard:
        if "creation option" in message:
            text = message.partition(" in ")[2] or message
            raise OutputError(f"--co: {text.strip().rstrip('.')} (writing {spec.path})")


def _profile(spec: OutputSpec) -> dict[str, Any]:
    height, width = spec.grid.shape
    first = tuple(band.colorinterp for band in spec.bands[:3])
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "dtype": spec.dtype,
        "count": len(spec.bands),
        "height": height,
        "width": width,
        "crs": spec.grid.crs,
        "nodata": spec.nodata,
        "tiled": True,
        "blockxsize": BLOCK,
        "blockysize": BLOCK,
        "interleave": "pixel",
        "bigtiff": "IF_SAFER",
        "sparse_ok": True,
        "photometric": "RGB" if first == _RGB else "MINISBLACK",
        "alpha": "UNSPECIFIED",
        "num_threads": spec.threads,
    }
    if spec.grid.georeferenced and not spec.ground.points:  # a GeoTIFF holds one or the other
        profile["transform"] = spec.grid.transform
    if spec.driver == "GTiff":
        profile |= {"compress": "DEFLATE", "predictor": 3 if spec.dtype.startswith("float") else 2}
        _choose(profile, spec)
    if spec.needs_mask and len(spec.bands) > 1:
        # Writing a mask, GDAL frees what its threads still read of a header with extra samples.
        profile["num_threads"] = "1"
    return profile


def _choose(profile: dict[str, Any], spec: OutputSpec) -> None:
    """The user's creation options, and defaults that go with them.

    Raises:
        OutputError: One is none of GDAL's, asks for a file beside the output, for a file that cannot say what
            it shows, or for a compression that does not take its type.
    """
    options = spec.options
    for name in _OWN & options.keys():
        raise OutputError(f"--co {name.upper()}: is no creation option of GTiff (writing {spec.path})")
    for name in _FILES_BESIDE & options.keys():
        if truth(options[name]):
            raise OutputError(
                f"--co {name.upper()}={options[name]}: the output is one file ({spec.path}); have "
                "gdal_translate make the other"
            )
    if options.get("profile", "GDALGeoTIFF").upper() != "GDALGEOTIFF":
        raise OutputError(
            f"--co PROFILE={options['profile']}: {spec.path} could not hold what is known of its bands; "
            "leave it out"
        )
    compress = options.get("compress", "").upper()
    if compress in _OF_BYTES and spec.dtype != "uint8":
        raise OutputError(f"--co COMPRESS={compress}: is for uint8, and {spec.path} is {spec.dtype}")
    if compress not in ("", "DEFLATE", "LZW", "ZSTD") or "nbits" in options:
        options.setdefault("predictor", "1")
    if not truth(options.get("tiled", "YES")):
        del profile["blockxsize"], profile["blockysize"]  # strips as GDAL has them
    profile |= options


def describe(dataset: DatasetWriter, spec: OutputSpec) -> None:
    """Write into an open GeoTIFF what it says of itself and of its bands."""
    dataset.update_tags(**spec.tags)
    if spec.imagery:
        dataset.update_tags(ns=IMAGERY, **spec.imagery)
    if spec.ground.rpc:
        dataset.update_tags(ns="RPC", **spec.ground.rpc)
    if spec.ground.points:
        dataset.gcps = (_points_to_write(spec), spec.ground.crs)
    dataset.colorinterp = [band.colorinterp for band in spec.bands]
    dataset.scales = [band.scale for band in spec.bands]
    dataset.offsets = [band.offset for band in spec.bands]
    for index, band in enumerate(spec.bands, start=1):
        if band.description:
            dataset.set_band_description(index, band.description)
        if band.units:
            dataset.set_band_unit(index, band.units)
        if band.tags:
            dataset.update_tags(index, ns=_LENT if _copies_domains(spec) else None, **band.tags)
        if band.imagery:
            dataset.update_tags(index, ns=IMAGERY, **band.imagery)


def _copies_domains(spec: OutputSpec) -> bool:
    """Whether GDAL must be asked to copy more than the default domain into a COG."""
    return spec.driver == "COG" and bool(spec.imagery or any(band.imagery for band in spec.bands))


def _give_back_tags(cog: Path) -> None:
    """Move bands' tags into the default domain, in place: updated by GDAL, a COG would not be one any more.

    Asked for other domains, GDAL leaves out bands' default one. So tags come in a domain of their own, whose
    name is blanked in the file's XML, where a quotation mark inside of a tag would be written as an entity.
    """
    name = f' domain="{_LENT}"'.encode()
    with cog.open("r+b") as file, mmap.mmap(file.fileno(), 0) as content:
        start, end = content.find(b"<GDALMetadata>"), content.find(b"</GDALMetadata>")
        if 0 <= start < end:
            content[start:end] = content[start:end].replace(name, b" " * len(name))


def _points_to_write(spec: OutputSpec) -> list[GroundControlPoint]:
    """Control points such that GDAL reads those asked for.

    In a file tagged Point it adds half a pixel both when it creates the file and when it reads it, where one
    should take back the other. A release that does better is found out by trying.
    """
    points = list(spec.ground.points)
    if spec.tags.get("AREA_OR_POINT") != "Point":
        return points
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", count=1, height=1, width=1, dtype="uint8") as dataset:
            dataset.update_tags(AREA_OR_POINT="Point")
            dataset.gcps = (points, spec.ground.crs)
        with memory.open() as dataset:
            read = dataset.gcps[0]
    return [
        GroundControlPoint(2 * p.row - r.row, 2 * p.col - r.col, p.x, p.y, p.z, p.id, p.info)
        for p, r in zip(points, read, strict=True)
    ]


def check_place(tiff: Path, spec: OutputSpec) -> None:
    """Refuse a file that does not say where it lies.

    What a GeoTIFF cannot hold, GDAL writes beside it (.aux.xml), where it is neither promised nor kept.

    Raises:
        OutputError: Its CRS, its geotransform or its control points are not those asked for.
    """
    grid, points = spec.grid, spec.ground.points
    with Env(GDAL_PAM_ENABLED=False), rasterio.open(tiff) as dataset:
        found, crs = dataset.gcps if points else ([], dataset.crs)
        transform = dataset.transform
    asked = spec.ground.crs if points else grid.crs
    if asked is not None and not same_crs(asked, crs):
        raise OutputError(
            f"{spec.path}: a GeoTIFF cannot hold PAN's CRS ({crs_name(asked)}); have gdalwarp move PAN and "
            "MS to another"
        )
    off: list[float] = [math.inf]
    if len(found) == len(points):
        off = [abs(p.row - q.row) + abs(p.col - q.col) for p, q in zip(points, found, strict=True)]
    if grid.georeferenced and not points:
        to = ~grid.transform * transform
        height, width = grid.shape
        off = [math.dist(to * corner, corner) for corner in ((0, 0), (width, 0), (0, height))]
    if any(pixels > _NEAR for pixels in off):
        raise OutputError(f"{spec.path}: what was written lies elsewhere than PAN; this is a bug")


def make_cog(tiff: Path, cog: Path, spec: OutputSpec) -> None:
    """Rewrite as a cloud-optimised GeoTIFF: overviews come first in it, so it takes a second pass.

    Raises:
        OutputError: It cannot be written, or does not read back.
    """
    try:
        _copy_as_cog(tiff, cog, spec)
        if _copies_domains(spec):
            _give_back_tags(cog)
        with rasterio.open(cog) as dataset:
            if dataset.shape != spec.grid.shape:
                raise OutputError(f"{spec.path}: the COG has another size; the disk may be failing")
            dataset.read(1, window=dataset.block_window(1, 0, 0))
        with cog.open("rb") as file:
            os.fsync(file.fileno())
    except FAILURES as error:
        raise write_error(spec.path, error) from error


def _copy_as_cog(tiff: Path, cog: Path, spec: OutputSpec) -> None:
    options = {"COMPRESS": "DEFLATE", "PREDICTOR": "YES", "BIGTIFF": "IF_SAFER", "NUM_THREADS": spec.threads}
    options |= {"COPY_SRC_MDD": "YES"} if _copies_domains(spec) else {}
    options |= {"PREDICTOR": "NO"} if spec.bits is not None else {}
    options |= {key.upper(): value for key, value in spec.creation.items()}
    if spec.grid.shape == (1, 1):
        options.pop("OVERVIEW_COUNT", None)  # GDAL has no overview of one pixel, and fails without a word
    with _options_understood(spec):
        rasterio.shutil.copy(tiff, cog, driver="COG", **options)

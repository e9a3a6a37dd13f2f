"""A GeoTIFF that exists under its name only when it is complete.

Pixels go to a temporary file in the same folder. When all are written it is closed, flushed to disk,
reopened and verified, and only then given its name; a file that had that name survives every failure.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
import rasterio.shutil
from rasterio.enums import ColorInterp
from rasterio.io import DatasetWriter
from rasterio.windows import Window as RasterioWindow

from pancli.errors import OutputError
from pancli.raster.carried import IMAGERY, GroundModel
from pancli.raster.commit import (
    FAILURES,
    check_output,
    commit_all,
    hidden_name,
    remove_beginning,
    write_error,
)
from pancli.raster.grid import Grid
from pancli.raster.source import gdal_env, without_georeferencing
from pancli.tiling import Window

FORMATS = ("GTiff", "COG")
DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
BLOCK = 512
_RGB = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
_NO = ("NO", "FALSE", "OFF", "0")
_FILES_BESIDE = {"tfw", "worldfile", "rpb", "rpctxt"}


@dataclass(frozen=True)
class OutputBand:
    """What an output band says of itself."""

    description: str | None = None
    scale: float = 1.0
    offset: float = 0.0
    units: str | None = None
    colorinterp: ColorInterp = ColorInterp.undefined
    tags: Mapping[str, str] = field(default_factory=dict)
    imagery: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Companion:
    """A small file that is made of the output when it is complete, and appears with it or not at all.

    Attributes:
        path: Its name.
        make: Called with the complete output, under a temporary name still, and with where to write.
    """

    path: Path
    make: Callable[[Path, Path], None]


@dataclass(frozen=True)
class OutputSpec:
    """The file to be written.

    Attributes:
        path: Its name; the folder must exist.
        grid: CRS, transform, size.
        bands: One per band.
        dtype: One of :data:`DTYPES`.
        nodata: Value of invalid pixels, or None.
        masked: Whether invalid pixels may occur; without a nodata value they go to an internal mask.
        tags: Dataset tags.
        imagery: What is known of the acquisition.
        ground: RPCs, and control points instead of a geotransform.
        driver: One of :data:`FORMATS`.
        creation: GDAL creation options over the defaults.
        overwrite: Whether an existing file may be replaced.
        threads: Compression threads: a number, or ALL_CPUS.
        companions: What is to appear beside it.
    """

    path: Path
    grid: Grid
    bands: tuple[OutputBand, ...]
    dtype: str
    nodata: float | None = None
    masked: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    imagery: Mapping[str, str] = field(default_factory=dict)
    ground: GroundModel = field(default_factory=GroundModel)
    driver: str = "GTiff"
    creation: Mapping[str, str] = field(default_factory=dict)
    overwrite: bool = False
    threads: str = "ALL_CPUS"
    companions: tuple[Companion, ...] = ()

    @property
    def needs_mask(self) -> bool:
        """Whether validity goes to an internal mask."""
        return self.masked and self.nodata is None


class Output:
    """An open output: cores are written once each, in any order; pixels never written are invalid."""

    def __init__(self, spec: OutputSpec, dataset: DatasetWriter) -> None:
        self._spec = spec
        self._dataset = dataset
        blocks = [-(-n // b) for n, b in zip(spec.grid.shape, dataset.block_shapes[0], strict=True)]
        self.touched = np.zeros(blocks, np.bool_)

    def write(self, window: Window, values: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> None:
        """Write a window of the output grid.

        Args:
            window: Where, on the output grid.
            values: (B, h, w), already of the output's dtype, invalid pixels already set to nodata.
            valid: (h, w).

        Raises:
            OutputError: The disk is full or the write fails.
        """
        if not self._spec.masked and not valid.all():
            raise OutputError(f"{self._spec.path}: has invalid pixels and nowhere to say so; this is a bug")
        target = RasterioWindow(window.col, window.row, window.width, window.height)
        try:
            self._dataset.write(values, window=target)
            if self._spec.needs_mask:
                self._dataset.write_mask(valid, window=target)
        except FAILURES as error:
            raise write_error(self._spec.path, error) from error
        self._touch(window, values)

    def _touch(self, window: Window, values: npt.NDArray[Any]) -> None:
        """Note the blocks that must be in the file: those given anything but zero or nodata."""
        given = values != 0
        if self._spec.nodata is not None:
            nodata = values.dtype.type(self._spec.nodata)
            given &= ~np.isnan(values) if np.isnan(nodata) else values != nodata
        height, width = self._dataset.block_shapes[0]
        for row in range(window.row // height, (window.row_stop - 1) // height + 1):
            for col in range(window.col // width, (window.col_stop - 1) // width + 1):
                part = Window(row * height, col * width, height, width).intersect(window)
                self.touched[row, col] |= given[:, *part.slices_in(window)].any()


@contextmanager
def atomic_output(spec: OutputSpec) -> Iterator[Output]:
    """Open an output for writing; on a clean exit it is complete, verified, and has its name.

    Raises:
        OutputError: It exists already, its folder is missing or not writable, the disk is full, or what was
            written does not read back.
    """
    for path in (spec.path, *(companion.path for companion in spec.companions)):
        check_output(path, overwrite=spec.overwrite)
    temporary = hidden_name(spec.path)
    tiff = temporary.with_name(temporary.name + ".tif")
    try:
        with gdal_env(), without_georeferencing():
            touched = yield from _fill(spec, tiff)
            _verify(tiff, spec, touched)
            finished = tiff
            if spec.driver == "COG":
                finished = temporary.with_name(temporary.name + ".cog.tif")
                _make_cog(tiff, finished, spec)
            with _made_beside(spec.companions, finished) as named:
                commit_all([*named, (finished, spec.path)], overwrite=spec.overwrite)
    finally:
        remove_beginning(temporary.parent, temporary.name)


def write_companions(companions: Sequence[Companion], finished: Path, *, overwrite: bool) -> None:
    """Write what is to stand beside a file that is there already: all of it, or none.

    Raises:
        OutputError: One is there already and is not to be overwritten, or cannot be written.
    """
    for companion in companions:
        check_output(companion.path, overwrite=overwrite)
    with gdal_env(), _made_beside(companions, finished) as named:
        commit_all(named, overwrite=overwrite)


@contextmanager
def _made_beside(companions: Sequence[Companion], finished: Path) -> Iterator[list[tuple[Path, Path]]]:
    """Companions of a finished file, under temporary names, with those they are to be given."""
    named = [(hidden_name(companion.path), companion.path) for companion in companions]
    try:
        for companion, (target, _) in zip(companions, named, strict=True):
            _make_companion(companion, finished, target)
        yield named
    finally:
        for hidden, _ in named:
            remove_beginning(hidden.parent, hidden.name)


def _fill(spec: OutputSpec, tiff: Path) -> Generator[Output, None, npt.NDArray[np.bool_]]:
    """Create the temporary GeoTIFF, lend it to the caller, close it; returns the touched blocks."""
    try:
        with _options_understood(spec):
            dataset = rasterio.open(tiff, "w", **_profile(spec))
    except (*FAILURES, ValueError) as error:
        raise write_error(spec.path, error) from error
    output = Output(spec, dataset)
    try:
        try:
            _describe(dataset, spec)
        except FAILURES as error:
            raise write_error(spec.path, error) from error
        yield output
    except BaseException:
        # The pixels are lost anyway: closing may fail as well, and must not hide why.
        with suppress(*FAILURES):
            dataset.close()
        raise
    try:
        dataset.close()
    except FAILURES as error:
        raise write_error(spec.path, error) from error
    return output.touched


@contextmanager
def _options_understood(spec: OutputSpec) -> Iterator[None]:
    """GDAL only warns of creation options it ignores, through rasterio's log: here that is a refusal."""
    heard = _Listener()
    logger = logging.getLogger("rasterio._env")
    logger.addHandler(heard)
    try:
        yield
    finally:
        logger.removeHandler(heard)
    for message in heard.messages:
        if "creation option" in message:
            text = message.partition(" in ")[2] or message
            raise OutputError(f"--co: {text.strip().rstrip('.')} (writing {spec.path})")


class _Listener(logging.Handler):
    """Keeps what is logged at WARNING and above."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


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
    return profile


def _choose(profile: dict[str, Any], spec: OutputSpec) -> None:
    """The user's creation options, and defaults that go with them.

    Raises:
        OutputError: One asks for a file beside the output, or for a file that cannot say what it shows.
    """
    options: dict[str, str] = {key.lower(): value for key, value in spec.creation.items()}
    for name in _FILES_BESIDE & options.keys():
        if options[name].upper() not in _NO:
            raise OutputError(
                f"--co {name.upper()}={options[name]}: the output is one file ({spec.path}); have "
                "gdal_translate make the other"
            )
    if options.get("profile", "GDALGeoTIFF").upper() != "GDALGEOTIFF":
        raise OutputError(
            f"--co PROFILE={options['profile']}: {spec.path} could not hold what is known of its bands; "
            "leave it out"
        )
    if options.get("compress", "").upper() not in ("", "DEFLATE", "LZW", "ZSTD"):
        options.setdefault("predictor", "1")
    if options.get("tiled", "").upper() in _NO:
        del profile["blockxsize"], profile["blockysize"]  # strips as GDAL has them
    profile |= options


def _describe(dataset: DatasetWriter, spec: OutputSpec) -> None:
    dataset.update_tags(**spec.tags)
    if spec.imagery:
        dataset.update_tags(ns=IMAGERY, **spec.imagery)
    if spec.ground.rpc:
        dataset.update_tags(ns="RPC", **spec.ground.rpc)
    if spec.ground.points:
        dataset.gcps = (list(spec.ground.points), spec.ground.crs)
    dataset.colorinterp = [band.colorinterp for band in spec.bands]
    dataset.scales = [band.scale for band in spec.bands]
    dataset.offsets = [band.offset for band in spec.bands]
    for index, band in enumerate(spec.bands, start=1):
        if band.description:
            dataset.set_band_description(index, band.description)
        if band.units:
            dataset.set_band_unit(index, band.units)
        if band.tags:
            dataset.update_tags(index, **band.tags)
        if band.imagery:
            dataset.update_tags(index, ns=IMAGERY, **band.imagery)


def _verify(tiff: Path, spec: OutputSpec, touched: npt.NDArray[np.bool_]) -> None:
    """Reopen: the header is what was asked for, and every block that was given pixels is in the file."""
    try:
        with tiff.open("rb") as file:
            os.fsync(file.fileno())
        size = tiff.stat().st_size
        with rasterio.open(tiff) as dataset:
            if dataset.shape != spec.grid.shape or dataset.count != len(spec.bands):
                raise OutputError(f"{spec.path}: what was written has another size; the disk may be failing")
            for row, col in np.argwhere(touched):
                if not _block_inside(dataset, int(row), int(col), size):
                    raise OutputError(
                        f"{spec.path}: block {row}, {col} is not in the file; the disk may be full"
                    )
            _read_last_block(dataset, touched)
    except FAILURES as error:
        raise write_error(spec.path, error) from error


def _block_inside(dataset: Any, row: int, col: int, file_size: int) -> bool:
    """Whether the file holds the block; band by band, it is enough that one band has pixels there."""
    ends = []
    for band in range(1, dataset.count + 1):
        offset = dataset.get_tag_item(f"BLOCK_OFFSET_{col}_{row}", "TIFF", bidx=band)
        length = dataset.get_tag_item(f"BLOCK_SIZE_{col}_{row}", "TIFF", bidx=band)
        if offset is not None and length is not None:
            ends.append(int(offset) + int(length))
        if dataset.interleaving.name == "pixel":
            break
    return bool(ends) and max(ends) <= file_size


def _read_last_block(dataset: Any, touched: npt.NDArray[np.bool_]) -> None:
    if touched.any():
        row, col = np.argwhere(touched)[-1]
        dataset.read(window=dataset.block_window(1, int(row), int(col)))


def _make_cog(tiff: Path, cog: Path, spec: OutputSpec) -> None:
    """Rewrite as a cloud-optimised GeoTIFF: overviews come first in it, so it takes a second pass."""
    options = {"COMPRESS": "DEFLATE", "PREDICTOR": "YES", "BIGTIFF": "IF_SAFER", "NUM_THREADS": spec.threads}
    options |= {"COPY_SRC_MDD": "YES"} if spec.imagery or any(band.imagery for band in spec.bands) else {}
    options |= {key.upper(): value for key, value in spec.creation.items()}
    try:
        with _options_understood(spec):
            rasterio.shutil.copy(tiff, cog, driver="COG", **options)
        with rasterio.open(cog) as dataset:
            if dataset.shape != spec.grid.shape:
                raise OutputError(f"{spec.path}: the COG has another size; the disk may be failing")
            dataset.read(1, window=dataset.block_window(1, 0, 0))
        with cog.open("rb") as file:
            os.fsync(file.fileno())
    except FAILURES as error:
        raise write_error(spec.path, error) from error


def _make_companion(companion: Companion, finished: Path, target: Path) -> None:
    """Write a companion of the finished file under a temporary name."""
    try:
        companion.make(finished, target)
        with target.open("rb") as file:
            os.fsync(file.fileno())
    except FAILURES as error:
        raise write_error(companion.path, error) from error

"""Bands of open rasters, read by window with everything that can make a pixel invalid."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
from rasterio.enums import MaskFlags
from rasterio.env import Env
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterioWindow

from pancli.errors import InputError
from pancli.raster.checksums import BlockChecks, PartChecks, block_checks
from pancli.raster.grid import rasterio_window
from pancli.raster.names import SourceName
from pancli.raster.source import alpha_band, by_pixel, reading, unwarped
from pancli.tiling import Window

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
Real = TypeVar("Real", np.float32, np.float64)
Nodata = float | Literal["none"] | None
"""What ``--nodata`` says: a value (NaN included), "none" to ignore the tags, None to obey them."""


def json_nodata(value: float | None) -> float | str | None:
    """A nodata value as JSON can have it, and as STAC writes it.

    >>> [json_nodata(value) for value in (0.0, float("-inf"), float("nan"), None)]
    [0.0, '-inf', 'nan', None]
    """
    return value if value is None or math.isfinite(value) else str(value)


class Gate:
    """Lets one thread at a time at the files, and none once they are closed.

    GDAL datasets are not thread-safe, and a thread that reads ahead may outlive whoever asked for it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed = False

    @contextmanager
    def open(self, path: str) -> Iterator[None]:
        """Hold the files while the block runs.

        Raises:
            InputError: They are closed already.
        """
        with self._lock:
            if self._closed:
                raise InputError(f"{path}: is closed already")
            with Env():  # of this thread; the size of the cache is that of whoever opened the files
                yield

    def close(self) -> None:
        """Wait for whoever reads, then let nobody in."""
        with self._lock:
            self._closed = True


_LARGEST = 1e18  # beyond, its square is no float32: such numbers fill what was never measured
_LARGEST_WARPED = 1e12  # the same of a warp, which mixes them into their neighbours


@dataclass(frozen=True)
class Band:
    """One band of an open dataset, and how to tell its valid pixels.

    Attributes:
        dataset: The file.
        index: Which of its bands, from 1.
        path: Of the file, as it was named.
        nodata: What invalid pixels hold, or None.
        alpha: The band that is a mask, or None.
        mask: What there is beside the pixels: nothing, a mask of all bands, or this band's own.
        checks: Of its blocks, where there are checksums.
    """

    dataset: DatasetReader | WarpedVRT
    index: int
    path: str
    nodata: float | None
    alpha: int | None
    mask: Literal["none", "shared", "own"]
    checks: BlockChecks | PartChecks | None

    @property
    def tagged(self) -> bool:
        """Whether anything says which of its pixels are invalid."""
        return self.mask != "none" or self.alpha is not None or self.nodata is not None

    @property
    def masked(self) -> bool:
        """Whether any of its pixels can be invalid."""
        return self.tagged or self.dtype.startswith("float")

    @property
    def dtype(self) -> str:
        """As stored: a warp of 8-bit numbers with a sign has 16."""
        return str(unwarped(self.dataset).dtypes[self.index - 1])


def open_band(dataset: DatasetReader | WarpedVRT, index: int, name: SourceName, override: Nodata) -> Band:
    """One band of an open dataset; its nodata value is the tag's unless overridden."""
    flags = dataset.mask_flag_enums[index - 1]
    nodata = unwarped(dataset).nodatavals[index - 1] if override is None else override
    alpha = alpha_band(dataset, name)
    value = None if nodata == "none" else nodata
    mask = _mask(flags, overridden=override is not None)
    return Band(dataset, index, name.path, value, alpha, mask, block_checks(dataset, index))


def data_by_override(band: Band) -> float | None:
    """The nodata value of a band's tag, where the band takes it for data, as it was given another."""
    own = unwarped(band.dataset).nodatavals[band.index - 1]
    if own is None:
        return None
    valid = np.ones(1, np.bool_)
    _drop_invalid(valid, np.array([own], np.float32), band)
    return float(own) if valid[0] else None


def _mask(flags: Sequence[MaskFlags], *, overridden: bool) -> Literal["none", "shared", "own"]:
    if {MaskFlags.per_dataset, MaskFlags.nodata}.issubset(flags) and not overridden:
        return "shared"  # GDAL made it of the tag NODATA_VALUES: gaps are where all bands hold theirs
    if {MaskFlags.alpha, MaskFlags.all_valid, MaskFlags.nodata}.intersection(flags):
        return "none"
    return "shared" if MaskFlags.per_dataset in flags else "own"


def read_bands(
    bands: Sequence[Band], window: Window, dtype: type[Real]
) -> tuple[npt.NDArray[Real], BoolArray]:
    """(B, h, w) values and (h, w) validity of all bands together.

    Args:
        bands: What to read.
        window: Where, in pixels of the bands.
        dtype: What the values come as; float32 holds whole numbers up to 2 ** 24.

    Raises:
        InputError: A file cannot be read there.
    """
    target = rasterio_window(window)
    values = np.empty((len(bands), *window.shape), dtype)
    valid = np.ones(window.shape, np.bool_)
    for dataset, group in _by_dataset(bands):
        with reading(group[0][1].path):
            raw = dataset.read([band.index for _, band in group], window=target)
            for (position, band), layer in zip(group, raw, strict=True):
                with np.errstate(over="ignore"):  # what is too large for the type is not valid
                    values[position] = layer
                _drop_invalid(valid, layer, band)
                if band.mask == "own":
                    valid &= dataset.read_masks(band.index, window=target) > 0
            _drop_masked(valid, dataset, group[0][1], target)
        _verify([band for _, band in group], window)
    return values, valid


def strip_bytes(bands: Sequence[Band], rows: int) -> int:
    """Bytes of the blocks that so many rows lie on, of files whose blocks are as wide as they are.

    If GDAL cannot hold them, it decodes them anew for every window of a row of windows.
    """
    total = 0
    for dataset, group in _by_dataset(bands):
        height, width = dataset.block_shapes[group[0][1].index - 1]
        if width == dataset.width:
            # What is interleaved by pixel comes as a whole.
            held = dataset.indexes if by_pixel(dataset) else [band.index for _, band in group]
            pixel = sum(np.dtype(dataset.dtypes[index - 1]).itemsize for index in held)
            pixel += any(band.mask != "none" for _, band in group)
            total += min((rows // height + 2) * height, dataset.height) * width * pixel
    return total


def _verify(bands: Sequence[Band], window: Window) -> None:
    """Check what was read; bands that share their blocks are checked by the first."""
    for band in bands:
        if band.checks is not None:
            band.checks.verify(window)
            if band.checks.shared:
                return


def _by_dataset(
    bands: Sequence[Band],
) -> list[tuple[DatasetReader | WarpedVRT, list[tuple[int, Band]]]]:
    groups: dict[int, list[tuple[int, Band]]] = {}
    for position, band in enumerate(bands):
        groups.setdefault(id(band.dataset), []).append((position, band))
    return [(group[0][1].dataset, group) for group in groups.values()]


def _drop_invalid(valid: BoolArray, layer: npt.NDArray[np.generic], band: Band) -> None:
    if band.nodata is not None and not math.isnan(band.nodata):
        valid &= layer != as_stored(band.nodata, layer.dtype)
    if layer.dtype.kind == "f":
        valid &= np.abs(layer) <= (_LARGEST_WARPED if isinstance(band.dataset, WarpedVRT) else _LARGEST)


def as_stored(nodata: float, dtype: np.dtype[np.generic]) -> np.generic:
    """A nodata value as pixels have it: what was given in decimal is seldom a float32."""
    if dtype != np.float32:
        return np.float64(nodata)
    largest = np.finfo(np.float32).max
    return np.float32(np.clip(nodata, -largest, largest) if math.isfinite(nodata) else nodata)


def _drop_masked(
    valid: BoolArray, dataset: DatasetReader | WarpedVRT, band: Band, target: RasterioWindow
) -> None:
    """Leave out what the dataset's mask or alpha band hides, which is the same for all its bands."""
    if band.mask == "shared":
        valid &= dataset.read_masks(band.index, window=target) > 0
    if band.alpha is not None:  # GDAL itself takes alpha for a mask in 8 and 16 bits only
        valid &= dataset.read(band.alpha, window=target) > 0

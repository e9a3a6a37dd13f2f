"""GDAL's own pansharpener, a weighted Brovey, through a virtual raster that GDAL computes as it is read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio._path import _parse_path, _vsi_path
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader

from pancli.errors import MethodError
from pancli.raster.env import gdal_env
from pancli.raster.grid import rasterio_window
from pancli.raster.names import SourceName
from pancli.raster.pair import Pair
from pancli.raster.source import reading
from pancli.tiling import Window, probes

_ALIGNED = 0.01  # pan pixels
_BLOCK = 512
_BLOCKS_KEPT = 8
_LITTLE_LOST = 0.01  # of what MS's numbers add up to: rounding those of bright images takes less


class GdalBrovey:
    """An open pansharpened VRT, read on the pan grid."""

    def __init__(self, dataset: DatasetReader, row: int, col: int) -> None:
        self._dataset = dataset
        self._row = row
        self._col = col
        self._block = lru_cache(maxsize=_BLOCKS_KEPT)(self._read_block)

    def read(self, window: Window) -> npt.NDArray[np.float32]:
        """(B, h, w) float32 of a window of the pan grid; zero where GDAL's own extent ends.

        GDAL is always asked for the same blocks: what it computes depends a little on the window asked for.
        """
        target = Window(window.row - self._row, window.col - self._col, *window.shape)
        out = np.zeros((self._dataset.count, *window.shape), np.float32)
        for block in Window(0, 0, *self._dataset.shape).blocks_under(target, _BLOCK):
            part = block.intersect(target)
            out[:, *part.slices_in(target)] = self._block(block)[:, *part.slices_in(block)]
        return out

    def _read_block(self, block: Window) -> npt.NDArray[np.float32]:
        with reading("GDAL's pansharpened VRT"):
            return np.asarray(self._dataset.read(window=rasterio_window(block)), np.float32)


@contextmanager
def open_gdal_brovey(pair: Pair) -> Iterator[GdalBrovey]:
    """Open GDAL's pansharpening of a pair.

    Raises:
        MethodError: GDAL cannot pansharpen this pair, or not on the pan grid, or not all of it, or would take
            invalid pixels for valid ones.
    """
    if any(grid.georeferenced and grid.transform.e > 0 for grid in (pair.pan_grid, pair.ms_grid)):
        raise MethodError("GDAL cannot pansharpen images whose rows run northwards; use --method brovey")
    if "mask" in pair.masked_by or len(pair.masked_by) > 1:
        raise MethodError(
            "GDAL's pansharpener tells invalid pixels by one number for all files, and these tell them by "
            f"{', '.join(sorted(pair.masked_by))}; use --method brovey"
        )
    try:
        with gdal_env(), rasterio.open(_vrt(pair)) as dataset:
            offset = ~pair.pan_grid.transform * dataset.transform
            row, col = round(offset.f), round(offset.c)
            if abs(offset.f - row) > _ALIGNED or abs(offset.c - col) > _ALIGNED:
                raise MethodError(
                    f"GDAL puts the result {offset.f - row:.2f} rows and {offset.c - col:.2f} columns "
                    "off the PAN grid for this pair; use --method brovey"
                )
            there, wanted = Window(row, col, *dataset.shape), pair.overlap()
            if there.intersect(wanted) != wanted:
                raise MethodError(
                    f"GDAL's result has {there.width} x {there.height} pixels where PAN and MS have "
                    f"{wanted.width} x {wanted.height} in common, the rest would be empty; "
                    "use --method brovey"
                )
            yield GdalBrovey(dataset, row, col)
    except RasterioError as error:
        raise MethodError(f"GDAL cannot pansharpen this pair ({error}); use --method brovey") from error


def gdal_warnings(pair: Pair) -> list[str]:
    """Warnings where GDAL's result is useless, by what a few windows hold: it says nothing itself.

    GDAL reads ms as numbers of pan's type, and divides pan by the mean of ms's bands, whatever its sign is.
    What comes of it is about as large as pan, and stored as numbers of ms's type.

    Raises:
        InputError: A file cannot be read.
    """
    types = [np.dtype(dtype) for dtype in (pair.pan_dtype, *(band.dtype for band in pair.bands))]
    if types[0].kind == "u" and len(set(types)) == 1:
        return []
    told, sampled = [], [_sampled(pair, window) for window in probes(pair.overlap())]
    means = [each for pan, ms in sampled for each in (pan, ms.mean(0)) if each.size]
    if _lost([ms for _, ms in sampled], types[0]):
        told.append(
            f"--method gdal: GDAL takes MS's numbers for {types[0]}, the type of PAN, which does not hold "
            "them; convert PAN (gdal_translate -ot Float32), or use --method brovey"
        )
    for dtype in dict.fromkeys(types[1:]):
        if _lost([pan for pan, _ in sampled], dtype):
            told.append(
                f"--method gdal: GDAL's result has PAN's numbers and is of MS's type, {dtype}, which does "
                "not hold them; convert MS (gdal_translate -ot Float32), or use --method brovey"
            )
    if means and min(each.min() for each in means) < 0 < max(each.max() for each in means):
        told.append(
            "--method gdal: PAN, or the mean of MS's bands, is negative in places, where GDAL makes zeros or "
            "numbers of any size of it; use --method brovey"
        )
    return told


def _sampled(pair: Pair, window: Window) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """(N,) valid pixels of pan in a window, and (B, n) of ms under it."""
    pan, pan_valid = pair.read_pan(window)
    ms, ms_valid = pair.read_ms(pair.placement.ms_window(window, 0))
    return pan[pan_valid], ms[:, ms_valid]


def _lost(images: list[npt.NDArray[np.float32]], dtype: np.dtype[Any]) -> bool:
    """Whether much of what images hold is rounded or clipped away in a type."""
    if dtype.kind == "f":
        return False
    limits = np.iinfo(dtype)
    lost = sum(float(np.abs(each.round().clip(limits.min, limits.max) - each).sum()) for each in images)
    return lost > _LITTLE_LOST * sum(float(np.abs(each).sum()) for each in images)


def _vrt(pair: Pair) -> str:
    nodata = pair.bands[0].nodata if pair.pan_nodata is None else pair.pan_nodata
    told = "" if nodata is None else f"<NoData>{nodata:.17g}</NoData>"
    weight = 1.0 / len(pair.bands)
    weights = ",".join(f"{weight:.17g}" for _ in pair.bands)
    pan = SourceName.parse(pair.pan_path)
    bands = "".join(
        f'<SpectralBand dstBand="{i}">{_source(band.source, band.index)}</SpectralBand>'
        for i, band in enumerate(pair.bands, start=1)
    )
    declared = "".join(
        f'<VRTRasterBand dataType="{_gdal_type(band.dtype)}" band="{i}" '
        'subClass="VRTPansharpenedRasterBand"/>'
        for i, band in enumerate(pair.bands, start=1)
    )
    return (
        f'<VRTDataset subClass="VRTPansharpenedDataset">{declared}<PansharpeningOptions>'
        f"<AlgorithmOptions><Weights>{weights}</Weights></AlgorithmOptions>"
        f"<Resampling>Cubic</Resampling>{told}<SpatialExtentAdjustment>Intersection</SpatialExtentAdjustment>"
        f"<PanchroBand>{_source(pan.path, (pan.bands or (1,))[0])}</PanchroBand>{bands}"
        "</PansharpeningOptions></VRTDataset>"
    )


def _source(path: str, band: int) -> str:
    # What is no file is a URI as rasterio reads it, or a name of GDAL's own.
    absolute = str(Path(path).resolve()) if os.access(path, os.F_OK) else _vsi_path(_parse_path(path))
    name = f'<SourceFilename relativeToVRT="0">{escape(absolute)}</SourceFilename>'
    return f"{name}<SourceBand>{band}</SourceBand>"


def _gdal_type(dtype: str) -> str:
    names = {"uint8": "Byte", "uint16": "UInt16", "int16": "Int16", "uint32": "UInt32", "int32": "Int32"}
    return names.get(dtype, {"float32": "Float32", "float64": "Float64"}.get(dtype, "Float32"))

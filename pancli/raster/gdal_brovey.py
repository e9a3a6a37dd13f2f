"""GDAL's own pansharpener, a weighted Brovey, through a virtual raster that GDAL computes as it is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterioWindow

from pancli.errors import MethodError
from pancli.raster.pair import Pair
from pancli.raster.source import SourceName, gdal_env, reading
from pancli.tiling import Window

_ALIGNED = 0.01  # pan pixels


class GdalBrovey:
    """An open pansharpened VRT, read on the pan grid."""

    def __init__(self, dataset: DatasetReader, row: int, col: int) -> None:
        self._dataset = dataset
        self._row = row
        self._col = col

    def read(self, window: Window) -> npt.NDArray[np.float32]:
        """(B, h, w) float32 of a window of the pan grid; zero where GDAL's own extent ends."""
        rows, cols = self._dataset.shape
        target = Window(window.row - self._row, window.col - self._col, *window.shape)
        inside = target.intersect(Window(0, 0, rows, cols))
        out = np.zeros((self._dataset.count, *window.shape), np.float32)
        if inside.size:
            where = RasterioWindow(inside.col, inside.row, inside.width, inside.height)
            with reading("GDAL's pansharpened VRT"):
                out[:, *inside.slices_in(target)] = self._dataset.read(window=where)
        return out


@contextmanager
def open_gdal_brovey(pair: Pair) -> Iterator[GdalBrovey]:
    """Open GDAL's pansharpening of a pair.

    Raises:
        MethodError: GDAL cannot pansharpen this pair, or not on the pan grid.
    """
    try:
        with gdal_env(), rasterio.open(_vrt(pair)) as dataset:
            offset = ~pair.pan_grid.transform * dataset.transform
            row, col = round(offset.f), round(offset.c)
            if abs(offset.f - row) > _ALIGNED or abs(offset.c - col) > _ALIGNED:
                raise MethodError(
                    f"GDAL puts the result {offset.f - row:.2f} rows and {offset.c - col:.2f} columns "
                    "off the PAN grid for this pair; use --method brovey"
                )
            yield GdalBrovey(dataset, row, col)
    except RasterioError as error:
        raise MethodError(f"GDAL cannot pansharpen this pair ({error}); use --method brovey") from error


def _vrt(pair: Pair) -> str:
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
        "<Resampling>Cubic</Resampling><SpatialExtentAdjustment>Intersection</SpatialExtentAdjustment>"
        f"<PanchroBand>{_source(pan.path, (pan.bands or (1,))[0])}</PanchroBand>{bands}"
        "</PansharpeningOptions></VRTDataset>"
    )


def _source(path: str, band: int) -> str:
    absolute = path if "://" in path or path.startswith("/vsi") else str(Path(path).resolve())
    name = f'<SourceFilename relativeToVRT="0">{escape(absolute)}</SourceFilename>'
    return f"{name}<SourceBand>{band}</SourceBand>"


def _gdal_type(dtype: str) -> str:
    names = {"uint8": "Byte", "uint16": "UInt16", "int16": "Int16", "uint32": "UInt32", "int32": "Int32"}
    return names.get(dtype, {"float32": "Float32", "float64": "Float64"}.get(dtype, "Float32"))

"""An image whose pixels are those of another grid: a fused image or a reference on the pan grid."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pancli.errors import PairError
from pancli.raster.bands import Band, BoolArray, Gate, Nodata, open_band, read_bands, strip_bytes
from pancli.raster.env import gdal_env
from pancli.raster.grid import Grid, crs_name, same_crs
from pancli.raster.names import Name, SourceName
from pancli.raster.source import image_bands, open_source
from pancli.tiling import Window

_ALIGNED = 0.01  # pixels that two grids may be off each other anywhere and still count as one


@dataclass(frozen=True)
class AlignedImage:
    """An open image, read by windows of the grid it is aligned with.

    Attributes:
        path: As given.
        window: Where it lies on that grid; may reach beyond it.
        dtype: As stored, of its first band.
    """

    path: str
    window: Window
    dtype: str
    _bands: tuple[Band, ...]
    _gate: Gate

    @property
    def bands(self) -> int:
        """How many it has, masks not counted."""
        return len(self._bands)

    def strip_bytes(self, rows: int) -> int:
        """What so many rows lie on, of a file in strips; see :func:`pancli.raster.bands.strip_bytes`."""
        return strip_bytes(self._bands, rows)

    def read(self, window: Window) -> tuple[npt.NDArray[np.float64], BoolArray]:
        """(B, h, w) values and (h, w) validity of a window of the grid, which must lie inside the image.

        The values are the file's own to the last digit: what is measured by rounding (Q2n of the toolbox)
        jumps where a digit is lost.

        Raises:
            InputError: The file cannot be read there.
        """
        with self._gate.open(self.path):
            return read_bands(self._bands, window.relative_to(self.window), np.float64)


@contextmanager
def open_aligned(path: Name, role: str, grid: Grid, nodata: Nodata) -> Iterator[AlignedImage]:
    """Open an image that shares its pixels with ``grid``, or with a part of it.

    Args:
        path: Path, URI, or ``path,band=N``.
        role: What to call it in messages.
        grid: The pan grid.
        nodata: Overrides the file's tag.

    Raises:
        InputError: It cannot be opened.
        PairError: Its pixels are not the grid's.
    """
    name = SourceName.parse(path)
    with gdal_env(), open_source(name) as dataset:
        window = _locate(Grid.of(dataset), grid, f"{role} {name.path}")
        bands = tuple(open_band(dataset, index, name, nodata) for index in image_bands(dataset, name))
        gate = Gate()
        try:
            yield AlignedImage(name.path, window, bands[0].dtype, bands, gate)
        finally:
            gate.close()


def _locate(image: Grid, grid: Grid, what: str) -> Window:
    """The window of ``grid`` that an image is."""
    if not same_crs(image.crs, grid.crs):
        raise PairError(
            f"{what} is in {crs_name(image.crs)} but PAN is in {crs_name(grid.crs)}; "
            "both must share one grid (gdalwarp, or gdal_edit -a_srs)"
        )
    # What sharpen makes of a part of an image without georeferencing has the pixels' own numbers.
    numbered = not grid.georeferenced and image.pixel_size == (1.0, 1.0)
    if image.georeferenced != grid.georeferenced and not numbered:
        raise PairError(
            f"{what} {'has' if image.georeferenced else 'lacks'} a geotransform and PAN "
            f"{'has' if grid.georeferenced else 'lacks'} one; georeference both (gdal_edit -a_ullr) or none"
        )
    if not image.georeferenced:
        if image.shape != grid.shape:
            raise PairError(
                f"{what} is {image.shape[1]} x {image.shape[0]} but PAN is {grid.shape[1]} x "
                f"{grid.shape[0]}, and without a geotransform only equal sizes can be placed"
            )
        return grid.window
    to_grid = ~grid.transform * image.transform
    row, col = round(to_grid.f), round(to_grid.c)
    ends = np.array([to_grid * end for end in ((0, 0), (image.shape[1], 0), (0, image.shape[0]))])
    expected = np.array([(col, row), (col + image.shape[1], row), (col, row + image.shape[0])])
    off = float(np.abs(ends - expected).max())
    if off > _ALIGNED:
        ours, theirs = (f"{g.pixel_size[0]:.9g} x {g.pixel_size[1]:.9g}" for g in (image, grid))
        how = f"and they come {off:.3g} pixels apart"
        if ours != theirs:
            how = f"its pixels are {ours} in ground units and PAN's {theirs}: is it the fused image?"
        raise PairError(
            f"{what} does not lie on PAN's pixels: it is at {image.describe()}, PAN at {grid.describe()}, "
            f"{how}; resample it onto PAN's grid (gdalwarp -tap)"
        )
    return Window(row, col, *image.shape)

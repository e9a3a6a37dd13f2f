"""Whether DEFLATE blocks are what was written: GDAL's TIFF reader stops where a block is full.

Damage that makes a stream longer than its block would so come out as pixels, since the checksum stands at the
stream's end.
"""

from __future__ import annotations

import math
import os
import zlib
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT

from pancli.errors import InputError
from pancli.raster.env import without_georeferencing
from pancli.raster.grid import Grid, same_crs
from pancli.raster.names import files_read
from pancli.raster.source import by_pixel, unwarped
from pancli.tiling import Window

_MOSAICS = ("VRT", "TIL", "GTI")  # drivers of what is made of other rasters
_BESIDE = 8  # pixels: more than a kernel takes beside what it makes


class BlockChecks:
    """The blocks of one band of a local GeoTIFF, each looked at once, when it is first read.

    A band that is interleaved by pixel shares its blocks with the others: one of them stands for all.
    """

    def __init__(
        self, dataset: DatasetReader, index: int, *, whole: bool, seen: npt.NDArray[np.bool_] | None = None
    ) -> None:
        self._dataset = dataset
        self._index = index
        self._whole = whole
        self._file = Path(dataset.files[0])
        self.shared = by_pixel(dataset)
        height, width = self._block = dataset.block_shapes[index - 1]
        bands = dataset.count if self.shared else 1
        self._bytes = height * width * bands * np.dtype(dataset.dtypes[index - 1]).itemsize
        blocks = -(-dataset.height // height), -(-dataset.width // width)
        self.seen = np.zeros(blocks, np.bool_) if seen is None else seen

    def verify(self, window: Window) -> None:
        """Look at the blocks of a window, or at all of the file where it is read through a warp.

        Raises:
            InputError: One is not what was written.
        """
        height, width = self._block
        if self._whole:
            window = Window(0, 0, *self._dataset.shape)
        rows = slice(window.row // height, -(-window.row_stop // height))
        cols = slice(window.col // width, -(-window.col_stop // width))
        fresh = np.argwhere(~self.seen[rows, cols]) + np.array([rows.start, cols.start])
        if len(fresh) == 0:
            return
        with self._file.open("rb") as file:
            for row, col in fresh.tolist():
                if not self._sound(file.fileno(), row, col):
                    raise InputError(
                        f"{self._file}: cannot be read (block {row}, {col} does not match its checksum); "
                        "the file may be truncated or corrupt"
                    )
        self.seen[rows, cols] = True

    def _sound(self, file: int, row: int, col: int) -> bool:
        held = block_bytes(self._dataset, self._index, row, col)
        if held is None:
            return True
        stream = zlib.decompressobj()
        try:
            made = stream.decompress(os.pread(file, len(held), held.start), self._bytes + 1)
        except zlib.error:
            return False
        return stream.eof and len(made) <= self._bytes


class PartChecks:
    """The same of the GeoTIFFs that a mosaic is made of, where a window meets them.

    They are opened as they are met: there may be more of them than files that may be open.
    """

    shared = True

    def __init__(self, dataset: DatasetReader, *, whole: bool) -> None:
        self._dataset = dataset
        self._whole = whole
        self._seen: dict[tuple[Path, int], npt.NDArray[np.bool_]] = {}

    def verify(self, window: Window) -> None:
        """Look at what of its parts a window may be read from.

        Raises:
            InputError: One is not what was written.
        """
        ground = Grid.of(self._dataset).crop(window)
        for path, grid, placed in self._parts:
            meeting = _meeting(ground, grid) if placed and not self._whole else grid.window
            if meeting.size:
                with without_georeferencing(), rasterio.open(path) as part:
                    self._verify_part(path, part, meeting)

    def _verify_part(self, path: Path, part: DatasetReader, window: Window) -> None:
        for index in part.indexes:
            checks = BlockChecks(part, index, whole=False, seen=self._seen.get((path, index)))
            self._seen[path, index] = checks.seen
            checks.verify(window)
            if checks.shared:
                return

    @cached_property
    def _parts(self) -> list[tuple[Path, Grid, bool]]:
        """Those that can be checked, their grids, and whether these tell where they lie in the mosaic."""
        found = []
        for path in files_read([self._dataset.name]).values():
            if path.suffix.lower() not in (".tif", ".tiff") or not path.is_file():
                continue
            with suppress(RasterioError), without_georeferencing(), rasterio.open(path) as part:
                if _is_checked(part):
                    grid = Grid.of(part)
                    placed = grid.transform.determinant != 0 and grid.georeferenced
                    placed = placed and same_crs(grid.crs, self._dataset.crs)
                    found.append((path, grid, placed))
        return found


def _meeting(ground: Grid, grid: Grid) -> Window:
    """The pixels of a grid under another, and those beside them, which resampling may take."""
    to_grid, (height, width) = ~grid.transform * ground.transform, ground.shape
    corners = [to_grid * corner for corner in ((0, 0), (width, 0), (0, height), (width, height))]
    cols, rows = np.nan_to_num(np.array(corners).T)
    left, top, right, bottom = (math.floor(v) for v in (cols.min(), rows.min(), cols.max(), rows.max()))
    return Window.from_bounds(top - _BESIDE, bottom + _BESIDE, left - _BESIDE, right + _BESIDE).intersect(
        grid.window
    )


def block_bytes(dataset: DatasetReader, index: int, row: int, col: int) -> range | None:
    """Where in a GeoTIFF a band's block lies; None where it was never written."""
    offset, length = (
        dataset.get_tag_item(f"BLOCK_{what}_{col}_{row}", "TIFF", bidx=index) for what in ("OFFSET", "SIZE")
    )
    return None if offset is None or length is None else range(int(offset), int(offset) + int(length))


def _is_checked(dataset: DatasetReader) -> bool:
    deflated = dataset.tags(ns="IMAGE_STRUCTURE").get("COMPRESSION") == "DEFLATE"
    return deflated and str(dataset.driver) == "GTiff"


def block_checks(dataset: DatasetReader | WarpedVRT, index: int) -> BlockChecks | PartChecks | None:
    """What checks a band's blocks; None where it is neither a local GeoTIFF with DEFLATE nor made of such."""
    whole, source = isinstance(dataset, WarpedVRT), unwarped(dataset)
    if source.driver in _MOSAICS:
        return PartChecks(source, whole=whole)
    if not _is_checked(source) or not source.files or not Path(source.files[0]).is_file():
        return None
    return BlockChecks(source, min(index, source.count), whole=whole)

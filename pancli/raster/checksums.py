"""Whether DEFLATE blocks are what was written: GDAL's TIFF reader stops where a block is full.

Damage that makes a stream longer than its block would so come out as pixels, since the checksum stands at the
stream's end.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import numpy as np
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT

from pancli.errors import InputError
from pancli.tiling import Window


class BlockChecks:
    """The blocks of one band of a local GeoTIFF, each looked at once, when it is first read.

    A band that is interleaved by pixel shares its blocks with the others: one of them stands for all.
    """

    def __init__(self, dataset: DatasetReader, index: int, *, whole: bool) -> None:
        self._dataset = dataset
        self._index = index
        self._whole = whole
        self._file = Path(dataset.files[0])
        self.shared = dataset.tags(ns="IMAGE_STRUCTURE").get("INTERLEAVE") == "PIXEL"
        height, width = self._block = dataset.block_shapes[index - 1]
        bands = dataset.count if self.shared else 1
        self._bytes = height * width * bands * np.dtype(dataset.dtypes[index - 1]).itemsize
        self._seen = np.zeros((-(-dataset.height // height), -(-dataset.width // width)), np.bool_)

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
        fresh = np.argwhere(~self._seen[rows, cols]) + np.array([rows.start, cols.start])
        if len(fresh) == 0:
            return
        with self._file.open("rb") as file:
            for row, col in fresh.tolist():
                if not self._sound(file.fileno(), row, col):
                    raise InputError(
                        f"{self._file}: cannot be read (block {row}, {col} does not match its checksum); "
                        "the file may be truncated or corrupt"
                    )
        self._seen[rows, cols] = True

    def _sound(self, file: int, row: int, col: int) -> bool:
        offset, length = (
            self._dataset.get_tag_item(f"BLOCK_{what}_{col}_{row}", "TIFF", bidx=self._index)
            for what in ("OFFSET", "SIZE")
        )
        if offset is None or length is None:  # a block that was never written
            return True
        stream = zlib.decompressobj()
        try:
            made = stream.decompress(os.pread(file, int(length), int(offset)), self._bytes + 1)
        except zlib.error:
            return False
        return stream.eof and len(made) <= self._bytes


def block_checks(dataset: DatasetReader | WarpedVRT, index: int) -> BlockChecks | None:
    """What checks a band's blocks, or None where it is not a local GeoTIFF with DEFLATE."""
    whole = isinstance(dataset, WarpedVRT)
    source = dataset.src_dataset if whole else dataset
    if source.driver != "GTiff" or source.tags(ns="IMAGE_STRUCTURE").get("COMPRESSION") != "DEFLATE":
        return None
    if not source.files or not Path(source.files[0]).is_file():
        return None
    return BlockChecks(source, min(index, source.count), whole=whole)

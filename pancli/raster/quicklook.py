"""Small pictures of large files, as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.enums import Resampling
from rasterio.errors import RasterioError

from pancli import __version__
from pancli.raster.carried import told_place
from pancli.raster.env import without_georeferencing
from pancli.raster.grid import Grid


@dataclass(frozen=True)
class SmallImage:
    """Some bands of a file, made small.

    Attributes:
        values: (B, h, w) float32: means of the pixels that fall together.
        valid: (h, w).
    """

    values: npt.NDArray[np.float32]
    valid: npt.NDArray[np.bool_]


def band_names(path: Path) -> list[str | None]:
    """What the bands of a file are called: by colour where there are red, green and blue, else as told."""
    with without_georeferencing(), rasterio.open(path) as dataset:
        colours = [colour.name for colour in dataset.colorinterp]
        return colours if {"red", "green", "blue"} <= set(colours) else list(dataset.descriptions)


def band_numbers(path: Path) -> list[int]:
    """Which of ms's bands a file's are, from 1: as its tags tell, else as they are counted."""
    with without_georeferencing(), rasterio.open(path) as dataset:
        told = [told_place(dataset, index) for index in dataset.indexes]
        return [index if place is None else place[0] for index, place in enumerate(told, start=1)]


def read_small(path: Path, bands: Sequence[int], most: int) -> SmallImage:
    """Bands, from 1, of a file, shrunk to at most ``most`` pixels a side, north up and east right.

    GDAL reads overviews where there are any, else block by block: memory does not grow with the file.
    """
    with without_georeferencing(), rasterio.open(path) as dataset:
        factor = max(1.0, max(dataset.shape) / most)
        height, width = (max(1, int(side / factor)) for side in dataset.shape)
        values = dataset.read(
            list(bands), out_shape=(len(bands), height, width), resampling=Resampling.average
        )
        valid = dataset.dataset_mask(out_shape=(height, width)) > 0
        turned = Grid.of(dataset).upright
    small, valid = np.asarray(values[:, *turned], np.float32), valid[turned]
    return SmallImage(small, valid & np.isfinite(small).all(axis=0))


def write_png(path: Path, picture: npt.NDArray[Any]) -> None:
    """Write (h, w, 4) of red, green, blue and opacity, and who made it."""
    height, width, _ = picture.shape
    profile = {"driver": "PNG", "height": height, "width": width, "count": 4, "dtype": "uint8"}
    profile["WRITE_METADATA_AS_TEXT"] = "YES"  # else it would go to a file beside it
    with without_georeferencing(), rasterio.open(path, "w", **profile) as dataset:
        dataset.update_tags(Software=f"pancli {__version__}")
        dataset.write(np.moveaxis(picture, -1, 0))


def is_own_png(path: Path) -> bool:
    """Whether a picture is one that :func:`write_png` wrote."""
    try:
        with without_georeferencing(), rasterio.open(path, driver="PNG") as dataset:
            return str(dataset.tags().get("Software", "")).startswith("pancli ")
    except (RasterioError, CPLE_BaseError):
        return False

"""Several images of one place, written together: all appear, or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp

from pancli.raster.grid import Grid
from pancli.raster.output import outputs_together
from pancli.raster.spec import OutputBand, OutputSpec
from pancli.tiling import Window

_ZONE = 32633  # UTM 33 north
_CORNER = 500_000.0, 5_000_000.0
_COLOURS = {"pan": ColorInterp.gray} | {
    c.name: c for c in (ColorInterp.blue, ColorInterp.green, ColorInterp.red)
}


@dataclass(frozen=True)
class PlacedImage:
    """An image of a place on paper: its upper left corner lies at a round coordinate of UTM zone 33 north.

    Attributes:
        path: Its name; the folder must exist.
        values: (B, H, W), of the type to be written.
        pixel: Side of a pixel, metres.
        names: One per band; "pan", "blue", "green" and "red" also get their colour interpretation.
        tags: Dataset tags.
        band_tags: One mapping per band, or none at all.
    """

    path: Path
    values: npt.NDArray[Any]
    pixel: float
    names: Sequence[str]
    tags: Mapping[str, str] = field(default_factory=dict)
    band_tags: Sequence[Mapping[str, str]] = ()


def write_together(images: Sequence[PlacedImage], *, overwrite: bool = False) -> None:
    """Write images; when one cannot be completed, none appears that was not there before.

    Raises:
        OutputError: One exists already and is not to be overwritten, or cannot be written.
    """
    with outputs_together([_spec(image, overwrite=overwrite) for image in images]) as outputs:
        for image, output in zip(images, outputs, strict=True):
            whole = Window(0, 0, *image.values.shape[1:])
            output.write(whole, image.values, np.ones(whole.shape, np.bool_))


def _spec(image: PlacedImage, *, overwrite: bool) -> OutputSpec:
    west, north = _CORNER
    transform = Affine(image.pixel, 0.0, west, 0.0, -image.pixel, north)
    tags = image.band_tags or ({},) * len(image.names)
    return OutputSpec(
        path=image.path,
        grid=Grid(CRS.from_epsg(_ZONE), transform, image.values.shape[1:]),
        bands=tuple(
            OutputBand(name, colorinterp=_COLOURS.get(name, ColorInterp.undefined), tags=own)
            for name, own in zip(image.names, tags, strict=True)
        ),
        dtype=image.values.dtype.name,
        tags=image.tags,
        overwrite=overwrite,
    )

"""What the output file is and says of itself: grid, type, nodata, band names, tags."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pancli import __version__
from pancli.encoding import fits
from pancli.errors import UsageError
from pancli.methods.protocol import Method
from pancli.raster.grid import Grid
from pancli.raster.pair import Pair
from pancli.raster.spec import OutputSpec
from pancli.sharpening.options import SharpenOptions
from pancli.tiling import Window

INPUTS_TAG = "PANCLI_INPUTS_SHA256"


def describe_output(
    pair: Pair, path: Path, window: Window, options: SharpenOptions, *, partial: bool
) -> OutputSpec:
    """The output of a sharpening, before it is known how ms is moved.

    Args:
        pair: What goes in.
        path: The output's name.
        window: The output on the pan grid.
        options: What was asked for.
        partial: Whether part of the window is outside what will be computed.

    Raises:
        UsageError: The nodata value asked for does not fit the output's type.
    """
    dtype = options.dtype or np.result_type(*(band.dtype for band in pair.bands)).name
    return OutputSpec(
        path=path,
        grid=_output_grid(pair, window),
        bands=tuple(band.output for band in pair.bands),
        dtype=dtype,
        nodata=_output_nodata(pair, options, dtype),
        masked=partial or pair.masked,
        imagery=pair.imagery,
        ground=pair.ground.of_window(window),
        driver=options.driver,
        creation=options.creation,
        overwrite=options.overwrite,
        threads="ALL_CPUS" if options.threads is None else str(options.threads),
    )


def _output_grid(pair: Pair, window: Window) -> Grid:
    """A part of pan's grid; where only RPCs place pan, without a geotransform that contradicts them."""
    grid = pair.pan_grid.crop(window)
    placed = pair.pan_grid.georeferenced or not pair.ground.rpc
    return grid if placed else replace(grid, transform=pair.pan_grid.transform)


def _output_nodata(pair: Pair, options: SharpenOptions, dtype: str) -> float | None:
    """What was asked for, else what ms or pan has, where the output's type can hold it."""
    asked = options.pair.nodata
    if asked == "none":
        return None
    if asked is not None:
        if not fits(asked, dtype):
            raise UsageError(f"--nodata {asked:g} does not fit the output's type {dtype}; use --dtype")
        return asked
    for value in (pair.bands[0].nodata, pair.pan_nodata):
        if value is not None and fits(value, dtype):
            return value
    return None


def tag_output(
    spec: OutputSpec, pair: Pair, method: Method, options: SharpenOptions, shift: str
) -> OutputSpec:
    """The output with its tags: those of ms, and how it was made."""
    kept = {k: v for k, v in pair.tags.items() if k != "AREA_OR_POINT" and not k.startswith("PANCLI_")}
    made = {
        "AREA_OR_POINT": "Point" if pair.point else "Area",
        "PANCLI_VERSION": __version__,
        "PANCLI_METHOD": method.name,
        "PANCLI_PAN": Path(pair.pan_path).name,
        "PANCLI_MS": ", ".join(Path(name).name for name in pair.ms_paths),
        "PANCLI_OPTIONS": json.dumps(_told(options), sort_keys=True),
        "PANCLI_SHIFT": shift,
    }
    weights = getattr(method, "weights_sha256", None)
    if weights:
        made["PANCLI_WEIGHTS_SHA256"] = weights
    if options.inputs_sha256:
        made[INPUTS_TAG] = options.inputs_sha256
    return replace(spec, tags=kept | made)


def _told(options: SharpenOptions) -> dict[str, Any]:
    """The options that change pixels, as JSON can hold them."""
    return {
        "precision": options.precision,
        "nodata": str(options.pair.nodata) if options.pair.nodata is not None else None,
        "bidx": list(options.pair.bidx),
        "reproject": options.pair.reproject,
        "aoi": None if options.aoi is None else options.aoi.name,
        "bbox": options.bbox,
        "dtype": options.dtype,
        "sensor": options.sensor,
        "coregister": options.coregister,
        "crisp_pan": options.crisp_pan,
        "back_project": options.back_project,
        "adapt": options.adapt,
        "adapt_loss": options.adapt_loss,
        "extent": options.extent,
    }

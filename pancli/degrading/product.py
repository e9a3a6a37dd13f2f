"""What the three files are and say of themselves: grids, types, nodata, band names, tags."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from affine import Affine

from pancli import __version__
from pancli.degrading.job import Job
from pancli.degrading.options import DegradeOptions
from pancli.encoding import fits
from pancli.errors import PairError, UsageError
from pancli.raster.grid import Grid
from pancli.raster.pair import BandInfo, Pair
from pancli.raster.spec import DTYPES, PAIR_FILES, OutputSpec


def describe_outputs(
    job: Job, folder: Path, options: DegradeOptions
) -> tuple[OutputSpec, OutputSpec, OutputSpec]:
    """What the three files are and say of themselves."""
    pair, reduction = job.pair, job.reduction
    fine = pair.ms_grid.crop(reduction.reference)
    rows, cols = reduction.cells.axes
    transform = fine.transform
    if fine.georeferenced:
        transform = transform * Affine.scale(cols.ratio, rows.ratio)
    coarse = Grid(fine.crs, transform, reduction.cells.ms_shape)
    made = _tags(job, options)
    kept = {k: v for k, v in pair.tags.items() if not k.startswith("PANCLI_")} | made
    layers = (
        (fine, (pair.pan_band,), made),
        (coarse, pair.bands, kept),
        (fine, pair.bands, kept),
    )
    pan, ms, reference = (
        _spec(folder / name, grid, bands, tags, options, pair)
        for name, (grid, bands, tags) in zip(PAIR_FILES, layers, strict=True)
    )
    return pan, ms, reference


def _spec(
    path: Path,
    grid: Grid,
    bands: Sequence[BandInfo],
    tags: dict[str, str],
    options: DegradeOptions,
    pair: Pair,
) -> OutputSpec:
    dtype = np.result_type(*(band.dtype for band in bands)).name
    if dtype not in DTYPES:
        raise PairError(
            f"{bands[0].source}: holds {dtype}, which cannot be written; convert it (gdal_translate)"
        )
    return OutputSpec(
        path=path,
        grid=grid,
        bands=tuple(band.output for band in bands),
        dtype=dtype,
        nodata=_nodata([band.nodata for band in bands], dtype, asked=options.pair.nodata is not None),
        masked=pair.masked,
        tags=tags,
        imagery=pair.imagery,
        overwrite=options.overwrite,
    )


def _nodata(values: Sequence[float | None], dtype: str, *, asked: bool) -> float | None:
    """The nodata value of all bands; where they differ, the file gets a mask instead."""
    distinct = {str(value): value for value in values}  # NaN is not equal to itself
    value = distinct.popitem()[1]
    if distinct:
        return None
    if value is None or fits(value, dtype):
        return value
    if asked:
        raise UsageError(f"--nodata {value:g} does not fit the images' type {dtype}")
    return None


def _tags(job: Job, options: DegradeOptions) -> dict[str, str]:
    """How the files were made; pan and ms lie on ms's grid, so they share how ms tells its corner."""
    pair, cells = job.pair, job.reduction.cells
    told = {
        "pan": Path(pair.pan_path).name,
        "ms": list(dict.fromkeys(Path(band.source).name for band in pair.bands)),
        "ratio": [cells.rows.ratio, cells.cols.ratio],
        "pan_ratio": [pair.placement.rows.ratio, pair.placement.cols.ratio],
        "sensor": options.sensor,
        "ms_gains": job.ms_gains,
        "pan_gain": job.pan_gain,
        "bidx": options.pair.bidx,
        "nodata": None if options.pair.nodata is None else str(options.pair.nodata),
        "reproject": options.pair.reproject,
    }
    return {
        "AREA_OR_POINT": pair.tags.get("AREA_OR_POINT", "Area"),
        "PANCLI_VERSION": __version__,
        "PANCLI_DEGRADED": json.dumps(told, sort_keys=True),
    }

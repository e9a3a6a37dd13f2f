"""Reducing a pair: tiles are read, blurred, sampled and written one after the other."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pancli.degrading.job import Job, choose_gains
from pancli.degrading.options import MIN_TILE, DegradeOptions
from pancli.degrading.product import describe_outputs
from pancli.degrading.reduction import plan_reduction
from pancli.encoding import Encoding
from pancli.fill import untold_fill
from pancli.progress import Progress
from pancli.raster.commit import prepare_folder
from pancli.raster.creation import BLOCK
from pancli.raster.env import strips_env
from pancli.raster.grid import Grid
from pancli.raster.names import Name, spare_inputs
from pancli.raster.output import Output, outputs_together
from pancli.raster.pair import open_pair
from pancli.raster.spec import PAIR_FILES, OutputSpec
from pancli.sensors import find_sensor
from pancli.tiling import Window

_MAX_TILE = 1024
_TILE_BYTES = 64 * 2**20


@dataclass(frozen=True)
class DegradeReport:
    """What a degradation did.

    Attributes:
        folder: Where the three files are.
        reference: (height, width) of reference.tif and pan.tif.
        ms: (height, width) of ms.tif.
        bands: Number of ms bands.
        ratio: Reference pixels per new ms pixel, (down, across).
        pan_ratio: Old pan pixels per new one, (down, across).
        sensor: Its name.
        ms_gains: MTF at Nyquist each band was blurred to.
        pan_gain: The same of pan.
        seconds: Wall time.
        warnings: What the user should know.
    """

    folder: str
    reference: tuple[int, int]
    ms: tuple[int, int]
    bands: int
    ratio: tuple[float, float]
    pan_ratio: tuple[float, float]
    sensor: str
    ms_gains: tuple[float, ...]
    pan_gain: float
    seconds: float
    warnings: tuple[str, ...] = ()


def degrade_pair(
    pan: Name,
    ms: Sequence[Name],
    folder: str | Path,
    options: DegradeOptions | None = None,
    progress: Progress | None = None,
) -> DegradeReport:
    """Reduce a pair to one whose answer is known.

    Args:
        pan: Path, URI, or ``path,band=N``.
        ms: One or more of the same, stacked in this order.
        folder: Gets pan.tif, ms.tif and reference.tif, all or none; created where it does not exist.
        options: What is asked for.
        progress: Called as tiles are done.

    Raises:
        UsageError: No such band, or a nodata value that the type of an image cannot hold.
        InputError: A file cannot be opened or read.
        PairError: The images do not fit each other, or are too small to be reduced.
        OutputError: A file exists already, is an input, or cannot be written.
    """
    options, folder = options or DegradeOptions(), Path(folder)
    start = time.perf_counter()
    spare_inputs([folder / name for name in PAIR_FILES], [pan, *ms])
    with open_pair(pan, ms, options.pair) as pair:
        sensor = find_sensor(options.sensor)
        gains, warnings = choose_gains(sensor, pair)
        job = Job(pair, plan_reduction(pair, options.ratio), gains, sensor.pan_gain)
        specs = describe_outputs(job, folder, options)
        prepare_folder(folder, PAIR_FILES, overwrite=options.overwrite)
        warnings += untold_fill(pair, pair.untagged, pair.placement, pair.overlap())
        _run(job, specs, options.tile, progress or (lambda *_: None))
    cells, placement = job.reduction.cells, pair.placement
    return DegradeReport(
        folder=str(folder),
        reference=job.reduction.reference.shape,
        ms=cells.ms_shape,
        bands=len(pair.bands),
        ratio=(cells.rows.ratio, cells.cols.ratio),
        pan_ratio=(placement.rows.ratio, placement.cols.ratio),
        sensor=sensor.name,
        ms_gains=gains,
        pan_gain=sensor.pan_gain,
        seconds=time.perf_counter() - start,
        warnings=(*pair.warnings, *warnings),
    )


def _run(job: Job, specs: Sequence[OutputSpec], tile: int | None, progress: Progress) -> None:
    bands, (pan, ms, reference) = len(job.pair.bands), specs
    fine = _blocks(pan.grid, job.pair.placement.ratio, tile or _choose_tile(1))
    same = _blocks(reference.grid, 1.0, tile or _choose_tile(bands))
    coarse = _blocks(ms.grid, job.reduction.cells.ratio, tile or _choose_tile(bands))
    done, total = 0, len(fine) + len(same) + len(coarse)
    held = strips_env(job.strip_bytes(BLOCK))
    with held, outputs_together(specs) as outputs, torch.inference_mode():
        steps = zip((job.pan, job.ms, job.reference), outputs, specs, (fine, coarse, same), strict=True)
        for make, output, spec, windows in steps:
            for window in windows:
                _write(output, spec, window, make(window))
                done += 1
                progress("reduce", done, total)


def _write(output: Output, spec: OutputSpec, window: Window, made: tuple[Tensor, Tensor]) -> None:
    values, valid = made
    output.write(window, Encoding(spec.dtype, spec.nodata)(values, valid), valid.numpy())


def _choose_tile(bands: int) -> int:
    """The largest power of two at which what is read at once stays within a few times 64 MB."""
    side = _MAX_TILE
    while side > MIN_TILE and 4 * bands * side * side > _TILE_BYTES:
        side //= 2
    return side


def _blocks(grid: Grid, ratio: float, tile: int) -> list[Window]:
    """Windows of the output whose input is about a tile; each of the file's blocks is finished in one go."""
    side = max(1, int(tile / ratio))
    return [window for block in grid.window.blocks(BLOCK) for window in block.blocks(side)]

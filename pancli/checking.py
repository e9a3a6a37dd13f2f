"""Can this pair be sharpened, and what should one know before: ``pancli check`` as a library call."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pancli.errors import InputError, PairError, PancliError
from pancli.fill import SAMPLE_GRID, SAMPLE_SIDE, Read, fill_warnings
from pancli.methods.alignment import UNASKED
from pancli.methods.protocol import PairInfo
from pancli.methods.statistics import ms_grid_margin, ms_grid_samples, no_valid_pixel
from pancli.placement import Placement
from pancli.raster.bands import json_nodata
from pancli.raster.env import gdal_env
from pancli.raster.grid import Grid, crs_name
from pancli.raster.names import Name, SourceName, as_texts
from pancli.raster.pair import Pair, PairOptions, open_pair
from pancli.raster.source import open_source
from pancli.registration import REACH, ShiftReport, measure_shift
from pancli.scene import TiledScene, open_scene
from pancli.sensors import Sensor, find_sensor
from pancli.tiling import Tile, Window, sample_starts

NOTICEABLE_SHIFT = 0.5
"""Pan pixels between pan and ms from which a fused image shows it."""

_SATURATED = 0.005  # share of a band's pixels at full scale that is worth a warning
_WHOLE = SAMPLE_SIDE * SAMPLE_GRID  # pixels: the side up to which all of an image is read
_FITTED = 128  # pan pixels: the side of what is interpolated at once
_FULL_SCALES = tuple(2.0**bits - 1 for bits in (8, 10, 11, 12, 14, 15, 16))


@dataclass(frozen=True, slots=True)
class FileReport:
    """Where one file's pixels lie.

    Attributes:
        role: ``pan`` or ``ms``.
        path: As given.
        crs: Its name, or ``none``.
        transform: (a, b, c, d, e, f) from pixel edges (column, row) to ground.
        width: Columns.
        height: Rows.
        pixel_size: (down a column, along a row), in ground units.
    """

    role: str
    path: str
    crs: str
    transform: tuple[float, ...]
    width: int
    height: int
    pixel_size: tuple[float, float]


@dataclass(frozen=True, slots=True)
class BandReport:
    """What one band holds, by its valid pixels; None where there are none.

    Of an image of more than 512 pixels a side, a sample is read: 16 windows of 32 pixels along that side.

    Attributes:
        name: ``pan``, the band's description, or its number in its file.
        dtype: As stored.
        nodata: The value that means invalid (a text where it is no finite number), or None.
        minimum: Smallest value.
        low: 1st percentile.
        high: 99th percentile.
        maximum: Largest value.
        saturated: Share of pixels at the largest value, where that is the full scale of 8 to 16 bits.
    """

    name: str
    dtype: str
    nodata: float | str | None
    minimum: float | None = None
    low: float | None = None
    high: float | None = None
    maximum: float | None = None
    saturated: float = 0.0


@dataclass(frozen=True, slots=True)
class Coverage:
    """What the two images have in common, and how much of each is valid.

    Attributes:
        width: Columns of pan inside ms.
        height: Rows of pan inside ms.
        pan: Share of pan that ms covers, in [0, 1].
        ms: Share of ms that pan covers.
        pan_valid: Share of valid pan pixels.
        ms_valid: Share of ms pixels that are valid in every band.
        pan_sampled: Whether that and what is said of the band is of a sample: above 512 pixels a side.
        ms_sampled: The same of ms.
    """

    width: int
    height: int
    pan: float
    ms: float
    pan_valid: float
    ms_valid: float
    pan_sampled: bool
    ms_sampled: bool


@dataclass(frozen=True)
class PairReport:
    """What :func:`check_pair` found.

    Attributes:
        files: Pan, then every ms file, as far as they can be opened.
        refusal: What ``sharpen`` would say instead of sharpening, or None. Then the rest is missing, unless
            it is what masks leave of the pixels that is refused: by every method but ``exp``.
        ratio: Pan pixels per ms pixel, (down, across).
        bands: Pan, then the ms bands in the order they are stacked.
        coverage: Overlap and masks.
        shift: How far the images are apart.
        warnings: What the user should know, one sentence each.
    """

    files: tuple[FileReport, ...]
    refusal: str | None = None
    ratio: tuple[float, float] | None = None
    bands: tuple[BandReport, ...] = ()
    coverage: Coverage | None = None
    shift: ShiftReport | None = None
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``; no NaN in it."""
        plain = asdict(self)
        if self.shift is not None:
            plain["shift"]["used"] = self.shift.used
        return {"can_sharpen": self.refusal is None, **plain}


def check_pair(
    pan: Name, ms: Sequence[Name], options: PairOptions | None = None, sensor: str = "generic"
) -> PairReport:
    """Look at a pair as ``sharpen`` would, without sharpening it.

    Reads a bounded sample, always the same, so time and memory do not grow with the scene.

    Args:
        pan: Path, URI, or ``path,band=N``.
        ms: One or more of the same, stacked in this order.
        options: Nodata, bands, reprojection.
        sensor: Whose MTF to assume when the shift is measured.

    Returns:
        The report; a pair that ``sharpen`` refuses gives one with a refusal.

    Raises:
        UsageError: No such sensor or band.
    """
    options, instrument = options or PairOptions(), find_sensor(sensor)
    files = tuple(
        report
        for role, path in (("pan", pan), *(("ms", path) for path in as_texts(ms)))
        if (report := _describe_file(role, path)) is not None
    )
    try:
        with open_pair(pan, ms, options) as pair:
            return _examine(pair, files, instrument)
    except (InputError, PairError) as error:
        return PairReport(files, refusal=str(error))


def _describe_file(role: str, path: Name) -> FileReport | None:
    """None where it cannot be opened: opening the pair says why."""
    try:
        with gdal_env(), open_source(SourceName.parse(path)) as dataset:
            grid = Grid.of(dataset)
    except PancliError:
        return None
    height, width = grid.shape
    transform = tuple(grid.transform)[:6]
    return FileReport(role, os.fspath(path), crs_name(grid.crs), transform, width, height, grid.pixel_size)


def _examine(pair: Pair, files: tuple[FileReport, ...], sensor: Sensor) -> PairReport:
    placement = pair.placement
    overlap = pair.overlap()
    pan_sample = _sample(pair.read_pan, pair.pan_grid.shape, 1)
    ms_sample = _sample(pair.read_ms, pair.ms_grid.shape, len(pair.bands))
    info = PairInfo(len(pair.bands), placement, sensor.of_bands(*pair.taken))
    scene = open_scene(pair, info, overlap, overlap)
    shift = measure_shift(scene)
    bands = _describe_bands(pair, pan_sample, ms_sample)
    return PairReport(
        files=files,
        refusal=_refusal(scene, pan_sample, ms_sample),
        ratio=(placement.rows.ratio, placement.cols.ratio),
        bands=bands,
        coverage=_coverage(pair, overlap, pan_sample, ms_sample),
        shift=shift,
        warnings=(
            *pair.warnings,
            *_shift_warnings(shift, placement),
            *_mask_warnings("PAN", pan_sample, pair.read_pan, pair.pan_grid),
            *_mask_warnings("MS", ms_sample, pair.read_ms, pair.ms_grid),
            *_apart_warnings(scene, pan_sample, ms_sample),
            *_saturation_warnings(bands),
        ),
    )


def _coverage(pair: Pair, overlap: Window, pan: _Sample, ms: _Sample) -> Coverage:
    shared = pair.placement.ms_inside(pair.pan_grid.window)
    return Coverage(
        width=overlap.width,
        height=overlap.height,
        pan=overlap.size / pair.pan_grid.window.size,
        ms=shared.size / pair.ms_grid.window.size,
        pan_valid=pan.valid,
        ms_valid=ms.valid,
        pan_sampled=not pan.whole,
        ms_sampled=not ms.whole,
    )


@dataclass(frozen=True)
class _Sample:
    """Pixels of one image.

    Attributes:
        values: (B, N) where all bands are valid.
        valid: Share of valid pixels.
        whole: Whether these are all of the image.
    """

    values: npt.NDArray[np.float32]
    valid: float
    whole: bool


def _sample(read: Read, shape: tuple[int, int], bands: int) -> _Sample:
    image = Window(0, 0, *shape)
    values, total, known = [np.zeros((bands, 0), np.float32)], 0, 0
    for window in _windows(image):
        pixels, valid = read(window)
        values.append(pixels.reshape(bands, *valid.shape)[:, valid])
        total, known = total + window.size, known + int(valid.sum())
    return _Sample(np.concatenate(values, axis=1), known / total, total == image.size)


def _windows(part: Window) -> Iterator[Window]:
    """What is looked at of an image: all of it up to ``_WHOLE`` pixels a side, else windows all over it."""
    rows, cols = (sample_starts(size, SAMPLE_SIDE, SAMPLE_GRID) for size in part.shape)
    for row in rows:
        for col in cols:
            yield Window(part.row + row, part.col + col, SAMPLE_SIDE, SAMPLE_SIDE).intersect(part)


def _refusal(scene: TiledScene, pan: _Sample, ms: _Sample) -> str | None:
    """What fitting would say of what masks leave, where all of it can be looked at."""
    empty = any(sample.whole and sample.valid == 0 for sample in (pan, ms))
    if not empty and max(scene.area.shape) > _WHOLE:
        return None
    return str(no_valid_pixel()) if empty or not _can_fit(scene) else None


def _can_fit(scene: TiledScene) -> bool:
    """Whether there is an ms pixel that methods can learn from, as networks do in their first pass."""
    margin = ms_grid_margin(scene.info, scene.info.mean_gain)
    tiles = replace(scene, fit_tile=_FITTED).tiles(margin)
    return any(ms_grid_samples(image).numel() for image in tiles)


def _apart_warnings(scene: TiledScene, pan: _Sample, ms: _Sample) -> list[str]:
    """A warning where both images have valid pixels, but nowhere the same; of a small overlap, a refusal."""
    if 0 in (pan.valid, ms.valid) or max(scene.area.shape) <= _WHOLE:
        return []
    if any(scene.load(Tile(window, window)) is not None for window in _windows(scene.area)):
        return []
    return ["no pixel that is valid in PAN and in MS was found in a sample of them; check nodata and masks"]


def _describe_bands(pair: Pair, pan: _Sample, ms: _Sample) -> tuple[BandReport, ...]:
    reports = [_describe_band("pan", pair.pan_dtype, pair.pan_nodata, pan.values[0])]
    several = len({band.source for band in pair.bands}) > 1
    for band, values in zip(pair.bands, ms.values, strict=True):
        unnamed = f"{Path(band.source).name}, band {band.index}" if several else f"band {band.index}"
        reports.append(_describe_band(band.description or unnamed, band.dtype, band.nodata, values))
    return tuple(reports)


def _describe_band(
    name: str, dtype: str, nodata: float | None, values: npt.NDArray[np.float32]
) -> BandReport:
    written = json_nodata(nodata)
    if values.size == 0:
        return BandReport(name, dtype, written)
    top = float(values.max())
    full = "int" in dtype and top in _FULL_SCALES
    low, high = (float(v) for v in np.percentile(values, (1, 99), method="nearest"))
    saturated = float((values == top).mean()) if full else 0.0
    return BandReport(name, dtype, written, float(values.min()), low, high, top, saturated)


def _shift_warnings(shift: ShiftReport, placement: Placement) -> list[str]:
    if not shift.windows:
        return ["the shift between PAN and MS cannot be measured: the images are too small, flat or masked"]
    if not shift.confident:
        return [
            "the shift between PAN and MS could not be measured with confidence "
            f"({shift.confidence:.2f}); more than {REACH} MS pixels apart, or not the same ground?"
        ]
    if shift.distance <= NOTICEABLE_SHIFT:
        return []
    if shift.distance < UNASKED:
        way_out = "bandset lays PAN on MS itself; for other methods use --coregister auto or pan"
    else:
        way_out = "use --coregister auto"
    return [
        f"PAN and MS are {shift.distance:.1f} PAN pixels ({shift.distance / placement.ratio:.2f} MS pixels) "
        f"apart: MS fits when moved by {shift.down:z.2f},{shift.right:z.2f} (down,right); {way_out}"
    ]


def _mask_warnings(which: str, sample: _Sample, read: Read, grid: Grid) -> list[str]:
    if sample.valid == 0:
        return [f"no valid pixel of {which} was found in a sample of it; is --nodata right?"]
    return fill_warnings(which, read, grid.window)


def _saturation_warnings(bands: tuple[BandReport, ...]) -> list[str]:
    return [
        f"{band.name}: {100 * band.saturated:.1f} % of its valid pixels are saturated at {band.maximum:g}"
        for band in bands
        if band.saturated >= _SATURATED
    ]

"""Pan and ms opened as one thing that is read by window, with their masks combined."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader

from pancli.errors import PairError, UsageError
from pancli.placement import Placement
from pancli.raster.bands import (
    Band,
    BoolArray,
    FloatArray,
    Gate,
    Nodata,
    data_by_override,
    open_band,
    read_bands,
    strip_bytes,
)
from pancli.raster.carried import (
    PLACE_TAG,
    GroundModel,
    band_imagery,
    band_tags,
    ground_model,
    names_by_file,
    scene_imagery,
    scene_tags,
    told_place,
)
from pancli.raster.env import gdal_env
from pancli.raster.grid import Grid, crs_name, place, same_crs
from pancli.raster.names import Name, SourceName, as_texts
from pancli.raster.source import alpha_band, image_bands, open_source, unwarped
from pancli.raster.spec import OutputBand
from pancli.raster.warping import Source, warp_all
from pancli.tiling import Window


@dataclass(frozen=True)
class PairOptions:
    """How to open a pair.

    Attributes:
        nodata: Overrides the files' nodata tags on both sides.
        bidx: 1-based ms bands to take, in order, after stacking; empty for all.
        reproject: Warp ms to pan's CRS and axes where they differ.
    """

    nodata: Nodata = None
    bidx: tuple[int, ...] = ()
    reproject: bool = False


@dataclass(frozen=True)
class BandInfo:
    """What one band says of itself, and must keep saying when fused or reduced."""

    source: str
    index: int
    dtype: str
    nodata: float | None
    description: str | None
    scale: float
    offset: float
    units: str | None
    colorinterp: ColorInterp
    tags: dict[str, str]
    imagery: dict[str, str]

    @property
    def output(self) -> OutputBand:
        """The same of a band that is made of it."""
        told = self.description, self.scale, self.offset, self.units
        return OutputBand(*told, self.colorinterp, self.tags, self.imagery)


@dataclass(frozen=True)
class Pair:
    """An open pan and ms. Pixels come out as float32 in the files' digital numbers.

    Attributes:
        pan_grid: Where pan lies.
        ms_grid: Where ms lies (after warping, if it was).
        placement: How the ms grid lies on the pan grid.
        bands: What the ms bands say of themselves, in order.
        numbers: Which of ms's bands they are, from 1; where ms was reduced, of those it had before.
        available: How many bands ms has, or had.
        pan_nodata: Nodata value of pan as read, or None.
        point: Whether pan's tags say AREA_OR_POINT=Point.
        tags: Dataset tags that all ms files share; pan's date, where they have none.
        imagery: What they say of the acquisition, and pan where they do not.
        ground: How pan's pixels were seen: RPCs, control points.
        warnings: How the images were placed, where that was a guess.
        untagged: Of which images, "PAN" and "MS", neither files nor options say which pixels are invalid.
        pan_path: As it was named.
        ms_paths: The same.
        pan_dtype: As stored.
    """

    pan_grid: Grid
    ms_grid: Grid
    placement: Placement
    bands: tuple[BandInfo, ...]
    numbers: tuple[int, ...]
    available: int
    pan_path: str
    ms_paths: tuple[str, ...]
    pan_dtype: str
    point: bool
    tags: dict[str, str]
    imagery: dict[str, str]
    ground: GroundModel
    warnings: tuple[str, ...]
    untagged: tuple[str, ...]
    _pan: Band
    _ms: tuple[Band, ...]
    _gate: Gate

    @property
    def masked(self) -> bool:
        """Whether any pixel can be invalid."""
        return self._pan.masked or any(band.masked for band in self._ms)

    @property
    def taken(self) -> tuple[list[str | None], tuple[int, ...], int]:
        """By what a sensor knows its bands: their names, their places in ms, and how many ms has."""
        return [band.description for band in self.bands], self.numbers, self.available

    @property
    def pan_nodata(self) -> float | None:
        """Nodata value of pan as it is read, or None."""
        return self._pan.nodata

    @property
    def pan_band(self) -> BandInfo:
        """What pan says of itself."""
        return _band_info(self._pan)

    @property
    def masked_by(self) -> set[str]:
        """How the bands of both images tell invalid pixels: by which numbers, or by a "mask" beside them."""
        bands = [band for band in (self._pan, *self._ms) if band.tagged]
        beside = {"mask" for band in bands if band.mask != "none" or band.alpha is not None}
        return beside | {f"{band.nodata:g}" for band in bands if band.nodata is not None}

    def overlap(self) -> Window:
        """The pan pixels whose centres lie inside ms.

        Raises:
            PairError: There is none.
        """
        window = self.placement.pan_inside(self.pan_grid.shape)
        if window.size == 0:
            raise PairError(
                f"PAN and MS do not overlap: PAN is at {self.pan_grid.describe()}, "
                f"MS at {self.ms_grid.describe()}"
            )
        return window

    def strip_bytes(self, pan: int, ms: int | None = None) -> int:
        """What rows of windows lie on, of files in strips; see :func:`pancli.raster.bands.strip_bytes`.

        Args:
            pan: Pan pixels that a window is high.
            ms: The same in ms pixels; None where it is the same window.
        """
        below = math.ceil(pan / self.placement.rows.ratio) if ms is None else ms
        return strip_bytes([self._pan], pan) + strip_bytes(self._ms, below)

    def read_pan(self, window: Window) -> tuple[FloatArray, BoolArray]:
        """(H, W) values and validity of a window that lies inside pan.

        Raises:
            InputError: The file cannot be read there.
        """
        with self._gate.open(self.pan_path):
            values, valid = read_bands([self._pan], window, np.float32)
        return values[0], valid

    def read_ms(self, window: Window) -> tuple[FloatArray, BoolArray]:
        """(B, h, w) values and (h, w) validity of a window that lies inside ms.

        Raises:
            InputError: A file cannot be read there.
        """
        with self._gate.open(self.bands[0].source):
            return read_bands(self._ms, window, np.float32)


@contextmanager
def open_pair(pan: Name, ms: Sequence[Name], options: PairOptions | None = None) -> Iterator[Pair]:
    """Open a pair for reading by window.

    Args:
        pan: Path, URI, or ``path,band=N``.
        ms: One or more of the same; their bands are stacked in this order.
        options: Nodata, bands, reprojection.

    Raises:
        UsageError: ``ms`` is one name, whose letters would be taken for names.
        InputError: A file cannot be opened.
        PairError: The images do not fit each other.
    """
    ms_names = as_texts(ms)
    options = options or PairOptions()
    with gdal_env(), ExitStack() as stack:
        pan_name = SourceName.parse(pan)
        pan_data = stack.enter_context(open_source(pan_name))
        pan_band = open_band(pan_data, _only_band(pan_data, pan_name), pan_name, options.nodata)
        pan_grid = Grid.of(pan_data)
        sources = [(name, stack.enter_context(open_source(name))) for name in map(SourceName.parse, ms_names)]
        if options.reproject:
            sources = warp_all(stack, sources, pan_grid, options.nodata)
        ms_grid = _common_grid(sources)
        placement, warnings = place(pan_grid, ms_grid)
        bands = _stack(sources, options)
        numbers, available = _places(sources, bands, options.bidx)
        datasets = [dataset for _, dataset in sources]
        alone = [name.path for name, dataset in sources if len(image_bands(dataset, name)) == 1]
        called = names_by_file(alone)
        places = [f"{number}/{available}" for number in numbers]
        ground, lost = ground_model(pan_data, pan_name.path)
        gate = Gate()
        stack.callback(gate.close)
        yield Pair(
            pan_grid=pan_grid,
            ms_grid=ms_grid,
            placement=placement,
            bands=tuple(
                _band_info(band, called.get(band.path), {PLACE_TAG: place})
                for band, place in zip(bands, places, strict=True)
            ),
            numbers=tuple(numbers),
            available=available,
            pan_path=os.fspath(pan),
            ms_paths=tuple(ms_names),
            pan_dtype=pan_band.dtype,
            point=pan_data.tags().get("AREA_OR_POINT") == "Point",
            tags=scene_tags(pan_data, datasets),
            imagery=scene_imagery(pan_data, datasets),
            ground=ground,
            warnings=(
                *warnings,
                *lost,
                *_alpha_warnings(sources),
                *_nodata_warnings([pan_band, *bands], options.nodata),
            ),
            untagged=_untagged(pan_band, bands) if options.nodata is None else (),
            _pan=pan_band,
            _ms=tuple(bands),
            _gate=gate,
        )


def _only_band(dataset: DatasetReader, name: SourceName) -> int:
    bands = image_bands(dataset, name)
    if len(bands) != 1:
        raise PairError(
            f"PAN {name.path} has {len(bands)} bands but must have 1; name one as {name.path},band=1, "
            "or swap PAN and MS"
        )
    return bands[0]


def _stack(sources: Sequence[Source], options: PairOptions) -> list[Band]:
    bands = [
        open_band(dataset, index, name, options.nodata)
        for name, dataset in sources
        for index in image_bands(dataset, name)
    ]
    for number in options.bidx:
        if not 1 <= number <= len(bands):
            raise UsageError(f"--bidx {number}: MS has bands 1 to {len(bands)}")
    return [bands[number - 1] for number in options.bidx] if options.bidx else bands


def _places(sources: Sequence[Source], bands: Sequence[Band], bidx: Sequence[int]) -> tuple[list[int], int]:
    """Which of ms's bands were taken, from 1, and how many there are: in its file, or in all of them.

    A reduced ms may hold some of the bands that were delivered, in any order; its tags tell.
    """
    if len({name.path for name, _ in sources}) > 1:
        available = sum(len(image_bands(dataset, name)) for name, dataset in sources)
        return list(bidx or range(1, available + 1)), available
    told = [place for band in bands if (place := told_place(band.dataset, band.index))]
    if len(told) == len(bands) and len({count for _, count in told}) == 1:
        return [number for number, _ in told], told[0][1]
    name, dataset = sources[0]
    every = image_bands(dataset, SourceName(name.path))
    if any(band.index not in every for band in bands):  # one is tagged alpha, and was named as an image band
        every = tuple(dataset.indexes)
    return [every.index(band.index) + 1 for band in bands], len(every)


def _alpha_warnings(sources: Sequence[Source]) -> list[str]:
    """8-bit files of four bands are often tagged alpha on the fourth without meaning it."""
    found = []
    for name, dataset in sources:
        source = unwarped(dataset)
        alpha = alpha_band(source, name)
        if alpha is not None and source.dtypes == ("uint8",) * 4:
            named = SourceName(name.path, tuple(source.indexes))
            found.append(
                f"band {alpha} of {name.path} is tagged alpha and was taken for a mask; "
                f"if it is an image band, name it: {named}"
            )
    return found


def _untagged(pan: Band, ms: Sequence[Band]) -> tuple[str, ...]:
    told = {"PAN": pan.tagged, "MS": any(band.tagged for band in ms)}
    return tuple(which for which, tagged in told.items() if not tagged)


def _nodata_warnings(bands: Sequence[Band], override: Nodata) -> list[str]:
    """Who wants another nodata value in the output may not know that fill is data then."""
    if override is None or override == "none":
        return []
    found = {own: band.path for band in reversed(bands) if (own := data_by_override(band)) is not None}
    return [
        f"--nodata {override:g} is over the tags: {own:g}, the nodata value of {path}, is taken for data; "
        "where it fills pixels, leave --nodata out"
        for own, path in found.items()
    ]


def _common_grid(sources: Sequence[Source]) -> Grid:
    grids = [(name.path, Grid.of(dataset)) for name, dataset in sources]
    first_path, first = grids[0]
    for path, grid in grids[1:]:
        same_place = grid.transform.almost_equals(first.transform, precision=1e-6 * min(first.pixel_size))
        if grid.shape != first.shape or not same_place or not same_crs(grid.crs, first.crs):
            raise PairError(
                f"MS files must share one grid, but {first_path} is {first.shape[1]} x {first.shape[0]} at "
                f"{first.describe()} in {crs_name(first.crs)}, and {path} is {grid.shape[1]} x "
                f"{grid.shape[0]} at {grid.describe()} in {crs_name(grid.crs)}; "
                "resample one onto the other (gdalwarp) or sharpen them apart"
            )
    return first


def _colour(told: ColorInterp) -> ColorInterp:
    """What is told of a band that is an image: without its colour table, which is one of greys; no alpha."""
    return {ColorInterp.palette: ColorInterp.gray, ColorInterp.alpha: ColorInterp.undefined}.get(told, told)


def _band_info(band: Band, called: str | None = None, placed: Mapping[str, str] | None = None) -> BandInfo:
    """What a band says of itself, and which it is: sensors know what is made of it by that, or by name."""
    dataset, i = band.dataset, band.index - 1
    return BandInfo(
        source=band.path,
        index=band.index,
        dtype=band.dtype,
        nodata=band.nodata,
        description=dataset.descriptions[i] or called,
        scale=dataset.scales[i],
        offset=dataset.offsets[i],
        units=dataset.units[i],
        colorinterp=_colour(dataset.colorinterp[i]),
        tags={**band_tags(dataset, band.index), **(placed or {})},
        imagery=band_imagery(dataset, band.index),
    )

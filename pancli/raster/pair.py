"""Pan and ms opened as one thing that is read by window, with their masks combined."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.warp import calculate_default_transform
from rasterio.windows import Window as RasterioWindow

from pancli.errors import InputError, PairError, UsageError
from pancli.placement import Placement
from pancli.raster.grid import Grid, place, same_crs
from pancli.raster.source import SourceName, alpha_band, gdal_env, image_bands, open_source, reading
from pancli.tiling import Window

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
Nodata = float | Literal["none"] | None
"""What ``--nodata`` says: a value (NaN included), "none" to ignore the tags, None to obey them."""


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
    """What one ms band says of itself, and must keep saying when fused."""

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


class _Gate:
    """Lets one thread at a time at the files, and none once they are closed.

    GDAL datasets are not thread-safe, and a thread that reads ahead may outlive whoever asked for it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed = False

    @contextmanager
    def open(self, path: str) -> Iterator[None]:
        with self._lock:
            if self._closed:
                raise InputError(f"{path}: is closed already")
            with gdal_env():
                yield

    def close(self) -> None:
        with self._lock:
            self._closed = True


@dataclass(frozen=True)
class _Band:
    """One band of an open dataset, and how to tell its valid pixels."""

    dataset: DatasetReader | WarpedVRT
    index: int
    path: str
    nodata: float | None
    alpha: int | None
    has_mask: bool

    @property
    def masked(self) -> bool:
        tagged = self.has_mask or self.alpha is not None or self.nodata is not None
        return tagged or self.dtype.startswith("float")

    @property
    def dtype(self) -> str:
        return str(self.dataset.dtypes[self.index - 1])


def _open_band(dataset: DatasetReader | WarpedVRT, index: int, name: SourceName, override: Nodata) -> _Band:
    flags = dataset.mask_flag_enums[index - 1]
    nodata = dataset.nodatavals[index - 1] if override is None else override
    has_mask = MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags
    alpha = alpha_band(dataset, name)
    return _Band(dataset, index, name.path, None if nodata == "none" else nodata, alpha, has_mask)


def _read(bands: Sequence[_Band], window: Window) -> tuple[FloatArray, BoolArray]:
    """(B, h, w) values and (h, w) validity of all bands together."""
    target = RasterioWindow(window.col, window.row, window.width, window.height)
    values = np.empty((len(bands), *window.shape), np.float32)
    valid = np.ones(window.shape, np.bool_)
    for dataset, group in _by_dataset(bands):
        with reading(group[0][1].path):
            raw = dataset.read([band.index for _, band in group], window=target)
            for (position, band), layer in zip(group, raw, strict=True):
                values[position] = layer
                _drop_invalid(valid, layer, band)
            _drop_masked(valid, dataset, group[0][1], target)
    return values, valid


def _by_dataset(
    bands: Sequence[_Band],
) -> list[tuple[DatasetReader | WarpedVRT, list[tuple[int, _Band]]]]:
    groups: dict[int, list[tuple[int, _Band]]] = {}
    for position, band in enumerate(bands):
        groups.setdefault(id(band.dataset), []).append((position, band))
    return [(group[0][1].dataset, group) for group in groups.values()]


def _drop_invalid(valid: BoolArray, layer: npt.NDArray[np.generic], band: _Band) -> None:
    if band.nodata is not None and not math.isnan(band.nodata):
        valid &= layer != np.float64(band.nodata)
    if layer.dtype.kind == "f":
        valid &= np.isfinite(layer)


def _drop_masked(
    valid: BoolArray, dataset: DatasetReader | WarpedVRT, band: _Band, target: RasterioWindow
) -> None:
    """Leave out what the dataset's mask or alpha band hides, which is the same for all its bands."""
    if band.has_mask:
        valid &= dataset.read_masks(band.index, window=target) > 0
    if band.alpha is not None:  # GDAL itself takes alpha for a mask in 8 and 16 bits only
        valid &= dataset.read(band.alpha, window=target) > 0


@dataclass(frozen=True)
class Pair:
    """An open pan and ms. Pixels come out as float32 in the files' digital numbers.

    Attributes:
        pan_grid: Where pan lies.
        ms_grid: Where ms lies (after warping, if it was).
        placement: How the ms grid lies on the pan grid.
        bands: What the ms bands say of themselves, in order.
        pan_nodata: Nodata value of pan as read, or None.
        point: Whether pan's tags say AREA_OR_POINT=Point.
        tags: Dataset tags of the (first) ms file.
        warnings: How the images were placed, where that was a guess.
    """

    pan_grid: Grid
    ms_grid: Grid
    placement: Placement
    bands: tuple[BandInfo, ...]
    pan_path: str
    pan_dtype: str
    point: bool
    tags: dict[str, str]
    warnings: tuple[str, ...]
    _pan: _Band
    _ms: tuple[_Band, ...]
    _gate: _Gate

    @property
    def masked(self) -> bool:
        """Whether any pixel can be invalid."""
        return self._pan.masked or any(band.masked for band in self._ms)

    @property
    def pan_nodata(self) -> float | None:
        """Nodata value of pan as it is read, or None."""
        return self._pan.nodata

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

    def read_pan(self, window: Window) -> tuple[FloatArray, BoolArray]:
        """(H, W) values and validity of a window that lies inside pan.

        Raises:
            InputError: The file cannot be read there.
        """
        with self._gate.open(self.pan_path):
            values, valid = _read([self._pan], window)
        return values[0], valid

    def read_ms(self, window: Window) -> tuple[FloatArray, BoolArray]:
        """(B, h, w) values and (h, w) validity of a window that lies inside ms.

        Raises:
            InputError: A file cannot be read there.
        """
        with self._gate.open(self.bands[0].source):
            return _read(self._ms, window)


@contextmanager
def open_pair(pan: str, ms: Sequence[str], options: PairOptions | None = None) -> Iterator[Pair]:
    """Open a pair for reading by window.

    Args:
        pan: Path, URI, or ``path,band=N``.
        ms: One or more of the same; their bands are stacked in this order.
        options: Nodata, bands, reprojection.

    Raises:
        InputError: A file cannot be opened.
        PairError: The images do not fit each other.
    """
    options = options or PairOptions()
    with gdal_env(), ExitStack() as stack:
        pan_name = SourceName.parse(pan)
        pan_data = stack.enter_context(open_source(pan_name))
        pan_band = _open_band(pan_data, _only_band(pan_data, pan_name), pan_name, options.nodata)
        pan_grid = Grid.of(pan_data)
        sources = [(name, stack.enter_context(open_source(name))) for name in map(SourceName.parse, ms)]
        if options.reproject:
            sources = _warp_all(stack, sources, pan_grid, options.nodata)
        ms_grid = _common_grid(sources)
        placement, warnings = place(pan_grid, ms_grid)
        bands = _stack(sources, options)
        first = sources[0][1]
        gate = _Gate()
        stack.callback(gate.close)
        yield Pair(
            pan_grid=pan_grid,
            ms_grid=ms_grid,
            placement=placement,
            bands=tuple(_band_info(band) for band in bands),
            pan_path=pan,
            pan_dtype=pan_band.dtype,
            point=pan_data.tags().get("AREA_OR_POINT") == "Point",
            tags=first.tags(),
            warnings=(*warnings, *_alpha_warnings(sources)),
            _pan=pan_band,
            _ms=tuple(bands),
            _gate=gate,
        )


_Source = tuple[SourceName, "DatasetReader | WarpedVRT"]


def _only_band(dataset: DatasetReader, name: SourceName) -> int:
    bands = image_bands(dataset, name)
    if len(bands) != 1:
        raise PairError(
            f"PAN {name.path} has {len(bands)} bands but must have 1; name one as {name.path},band=1, "
            "or swap PAN and MS"
        )
    return bands[0]


def _stack(sources: Sequence[_Source], options: PairOptions) -> list[_Band]:
    bands = [
        _open_band(dataset, index, name, options.nodata)
        for name, dataset in sources
        for index in image_bands(dataset, name)
    ]
    for number in options.bidx:
        if not 1 <= number <= len(bands):
            raise UsageError(f"--bidx {number}: MS has bands 1 to {len(bands)}")
    return [bands[number - 1] for number in options.bidx] if options.bidx else bands


def _alpha_warnings(sources: Sequence[_Source]) -> list[str]:
    """8-bit files of four bands are often tagged alpha on the fourth without meaning it."""
    found = []
    for name, dataset in sources:
        alpha = None if isinstance(dataset, WarpedVRT) else alpha_band(dataset, name)
        if alpha is not None:
            bands = "".join(f",band={i}" for i in dataset.indexes)
            found.append(
                f"band {alpha} of {name.path} is tagged alpha and was taken for a mask; "
                f"if it is an image band, name it: {name.path}{bands}"
            )
    return found


def _common_grid(sources: Sequence[_Source]) -> Grid:
    grids = [(name.path, Grid.of(dataset)) for name, dataset in sources]
    first_path, first = grids[0]
    for path, grid in grids[1:]:
        same_place = grid.transform.almost_equals(first.transform, precision=1e-6 * min(first.pixel_size))
        if grid.shape != first.shape or not same_place or not same_crs(grid.crs, first.crs):
            raise PairError(
                f"MS files must share one grid, but {first_path} is {first.shape[1]} x {first.shape[0]} at "
                f"{first.describe()} and {path} is {grid.shape[1]} x {grid.shape[0]} at {grid.describe()}; "
                "resample one onto the other (gdalwarp) or sharpen them apart"
            )
    return first


def _warp_all(stack: ExitStack, sources: list[_Source], pan: Grid, nodata: Nodata) -> list[_Source]:
    """The ms files as virtual warps onto pan's CRS and axes, near their own resolution."""
    first = Grid.of(sources[0][1])
    if same_crs(first.crs, pan.crs) and _aligned(pan, first):
        return sources
    if first.crs is None or pan.crs is None:
        raise PairError("--reproject needs a CRS on both images; assign the missing one (gdal_edit -a_srs)")
    transform, shape = _warp_target(first, pan)
    value = None if nodata in (None, "none") else nodata
    warped = []
    for name, dataset in sources:
        options = {} if value is None else {"src_nodata": value, "nodata": value}
        vrt = WarpedVRT(
            dataset,
            crs=pan.crs,
            transform=transform,
            height=shape[0],
            width=shape[1],
            resampling=Resampling.cubic,
            add_alpha=value is None and dataset.nodata is None and not _has_alpha(dataset),
            **options,
        )
        warped.append((name, stack.enter_context(vrt)))
    return warped


def _has_alpha(dataset: DatasetReader | WarpedVRT) -> bool:
    return ColorInterp.alpha in dataset.colorinterp


def _aligned(pan: Grid, ms: Grid) -> bool:
    to_ms = ~ms.transform * pan.transform
    return bool(abs(to_ms.b) * pan.shape[0] < 1e-3 and abs(to_ms.d) * pan.shape[1] < 1e-3)


def _warp_target(ms: Grid, pan: Grid) -> tuple[Affine, tuple[int, int]]:
    """A grid along pan's axes with about ms's own pixel size, covering ms where it lies on pan."""
    west, south, east, north = ms.bounds
    native, _, _ = calculate_default_transform(
        ms.crs, pan.crs, ms.shape[1], ms.shape[0], left=west, bottom=south, right=east, top=north
    )
    ratio = max(math.sqrt(abs(native.determinant / pan.transform.determinant)), 1e-9)
    height, width = (max(1, math.ceil(n / ratio)) for n in pan.shape)
    return pan.transform * Affine.scale(ratio), (height, width)


def _band_info(band: _Band) -> BandInfo:
    dataset, i = band.dataset, band.index - 1
    return BandInfo(
        source=band.path,
        index=band.index,
        dtype=band.dtype,
        nodata=band.nodata,
        description=dataset.descriptions[i],
        scale=dataset.scales[i],
        offset=dataset.offsets[i],
        units=dataset.units[i],
        colorinterp=dataset.colorinterp[i],
        tags={k: v for k, v in dataset.tags(band.index).items() if not k.startswith("STATISTICS_")},
    )

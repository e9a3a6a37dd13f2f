"""Where an image's pixels lie on the ground, and how an ms grid lies on a pan grid."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pyproj
from affine import Affine
from rasterio.crs import CRS
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterioWindow

from pancli.errors import PairError
from pancli.placement import AxisMap, Placement
from pancli.tiling import Window

MIN_RATIO = 1.5
RATIO_SLACK = 1e-6  # of a ratio: 22.5 m over 15 m come out of two geotransforms as a little less than 1.5
_BEYOND = 1e15  # pixels: no two images lie so far apart, nor differ so much in size
_MAX_DRIFT = 0.05  # ms pixels that two grids may turn against each other from one end to the other


@dataclass(frozen=True)
class Grid:
    """A raster's CRS, affine transform (pixel edges to ground) and (height, width)."""

    crs: CRS | None
    transform: Affine
    shape: tuple[int, int]

    @classmethod
    def of(cls, dataset: DatasetReader | WarpedVRT) -> Grid:
        """The grid of an open raster."""
        return cls(dataset.crs, dataset.transform, dataset.shape)

    @property
    def georeferenced(self) -> bool:
        """Whether it has a geotransform at all."""
        return bool(self.transform != Affine.identity())

    @property
    def upright(self) -> tuple[slice, slice]:
        """How to step through rows and columns so that a picture is no mirror image of the ground."""
        steps = (self.transform.e <= 0, self.transform.a >= 0) if self.georeferenced else (True, True)
        down, across = (slice(None, None, 1 if ahead else -1) for ahead in steps)
        return down, across

    @property
    def window(self) -> Window:
        """All of it."""
        return Window(0, 0, *self.shape)

    @property
    def pixel_size(self) -> tuple[float, float]:
        """(down a column, along a row), in ground units, positive."""
        t = self.transform
        return math.hypot(t.b, t.e), math.hypot(t.a, t.d)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(west, south, east, north) of the box around the four corners."""
        height, width = self.shape
        corners = [self.transform * corner for corner in ((0, 0), (width, 0), (0, height), (width, height))]
        xs, ys = zip(*corners, strict=True)
        return min(xs), min(ys), max(xs), max(ys)

    def crop(self, window: Window) -> Grid:
        """The grid of a window of this one; the transform is untouched where the corner is."""
        transform = self.transform
        if (window.row, window.col) != (0, 0):
            transform = transform * Affine.translation(window.col, window.row)
        return Grid(self.crs, transform, window.shape)

    def describe(self) -> str:
        """Bounds, for messages."""
        return "[" + ", ".join(f"{v:.10g}" for v in self.bounds) + "]"


def rasterio_window(window: Window) -> RasterioWindow:
    """A window as rasterio counts it: columns before rows."""
    return RasterioWindow(window.col, window.row, window.width, window.height)


def same_crs(a: CRS | None, b: CRS | None) -> bool:
    """Whether two CRS mean the same, however they are written."""
    if a is None or b is None:
        return a is b
    if a == b:
        return True
    first, second = (pyproj.CRS.from_wkt(crs.to_wkt()) for crs in (a, b))
    return bool(first.equals(second, ignore_axis_order=True))


def crs_name(crs: CRS | None) -> str:
    """A short name for messages: ``EPSG:32631``, or the CRS's own name."""
    if crs is None:
        return "none"
    epsg = crs.to_epsg()
    return f"EPSG:{epsg}" if epsg else pyproj.CRS.from_wkt(crs.to_wkt()).name


def place(pan: Grid, ms: Grid) -> tuple[Placement, list[str]]:
    """How the ms grid lies on the pan grid, and warnings about how that was decided.

    Raises:
        PairError: One side lacks its CRS or geotransform, the CRS differ, one grid is turned against the
            other, or the ratio is below 1.5.
    """
    _check_crs(pan, ms)
    warnings = []
    if pan.georeferenced != ms.georeferenced:
        lacking, other = ("PAN", "MS") if ms.georeferenced else ("MS", "PAN")
        raise PairError(
            f"{lacking} has no geotransform but {other} has; georeference it (gdal_edit -a_ullr), "
            "or strip both"
        )
    if pan.georeferenced:
        placement = _place_by_transform(pan, ms)
        if pan.crs is None:
            warnings.append("neither PAN nor MS has a CRS; placed by their geotransforms alone")
    else:
        axes = (AxisMap(n / m, 0.0, n) for n, m in zip(ms.shape, pan.shape, strict=True))
        placement = Placement(*axes)
        warnings.append(
            f"neither PAN nor MS is georeferenced; placed by their common corners{_stretched(pan, ms)}"
        )
    _check_ratio(placement)
    return placement, warnings


def _stretched(pan: Grid, ms: Grid) -> str:
    """What to add where no ratio makes these sizes of one ground, up to an ms pixel on each axis."""
    sides = list(zip(pan.shape, ms.shape, strict=True))
    if max((m - 1) / p for p, m in sides) <= min((m + 1) / p for p, m in sides):
        return ""
    down, across = (p / m for p, m in sides)
    return (
        f", which takes MS {down:.4g} times as high and {across:.4g} as wide; do they show the same ground?"
    )


def _check_crs(pan: Grid, ms: Grid) -> None:
    if same_crs(pan.crs, ms.crs):
        return
    if pan.crs is None or ms.crs is None:
        lacking, known = ("PAN", ms.crs) if pan.crs is None else ("MS", pan.crs)
        raise PairError(
            f"{lacking} has no CRS but the other image has {crs_name(known)}; "
            f"assign it first (gdal_edit -a_srs {crs_name(known)})"
        )
    raise PairError(
        f"PAN is in {crs_name(pan.crs)} but MS is in {crs_name(ms.crs)}; "
        "use --reproject to warp MS to PAN's CRS"
    )


def _place_by_transform(pan: Grid, ms: Grid) -> Placement:
    if pan.transform.determinant == 0 or ms.transform.determinant == 0:
        raise PairError("PAN or MS has a degenerate geotransform (pixels without area)")
    to_ms = ~ms.transform * pan.transform
    if to_ms.determinant == 0 or not all(abs(v) < _BEYOND for v in (*to_ms, *~to_ms)):
        raise PairError(
            f"PAN at {pan.describe()} and MS at {ms.describe()} cannot be pixels of one place; "
            "is a geotransform corrupt?"
        )
    drift = max(abs(to_ms.b) * pan.shape[0], abs(to_ms.d) * pan.shape[1])
    if drift > _MAX_DRIFT:
        angle = math.degrees(math.atan2(to_ms.d, to_ms.a))
        raise PairError(
            f"the MS grid is turned by {angle:.3g} degrees against the PAN grid "
            f"({drift:.3g} MS pixels over the image); use --reproject to warp MS along PAN's axes"
        )
    rows = AxisMap(to_ms.e, to_ms.f, ms.shape[0])
    cols = AxisMap(to_ms.a, to_ms.c, ms.shape[1])
    return Placement(rows, cols)


def _check_ratio(placement: Placement) -> None:
    rows, cols = (axis.ratio for axis in placement.axes)
    if min(rows, cols) >= MIN_RATIO * (1 - RATIO_SLACK):
        return
    hint = "are PAN and MS swapped?" if max(rows, cols) < 1 else "there is nothing to sharpen"
    raise PairError(
        f"PAN has {rows:.3g} x {cols:.3g} pixels per MS pixel, but pancli needs at least {MIN_RATIO}; {hint}"
    )

"""Areas of interest: a box or polygons, in any CRS, as pixels of the pan grid."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj
import rasterio.features
import shapely
from affine import Affine
from pyproj.exceptions import CRSError, ProjError
from shapely import affinity
from shapely.errors import ShapelyError
from shapely.geometry import box, mapping, shape
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union
from shapely.validation import make_valid

from pancli.errors import InputError, PairError, UsageError
from pancli.raster.grid import Grid
from pancli.tiling import Window

_SNAP = 1e-6  # pan pixels: a side that lies on a pixel edge up to rounding lies on it
_SEGMENTS = 100  # pieces a long side is cut into before it is reprojected, so that it may bend
_BESIDE = 0.01  # of an image's longer side: so much of what lies beside it is reprojected, too
_BLOCK = 512  # pixels: side of the blocks that are looked through for one that is inside
_LEAP = 0.25  # of the same: its rim, cut so finely, goes farther in one step only over a pole or a seam


@dataclass(frozen=True)
class Area:
    """Part of a grid.

    Attributes:
        window: The pixels it touches.
        outline: The area itself, in (column, row) edge coordinates of the grid; None where the window is all.
    """

    window: Window
    outline: BaseGeometry | None = None

    def touches(self, window: Window) -> bool:
        """Whether any of a window lies in the area; quick, however many vertices the outline has."""
        if self.outline is None:
            return True
        shapely.prepare(self.outline)  # once; then it does nothing
        return bool(self.outline.intersects(_rectangle(window)))

    def inside(self, window: Window) -> npt.NDArray[np.bool_]:
        """(h, w): which pixels of a window have their centre in the area; quick where all have."""
        if self.outline is None:
            return np.ones(window.shape, np.bool_)
        shapely.prepare(self.outline)
        if self.outline.contains_properly(_rectangle(window)):
            # To be drawn, all of the outline is handed to GDAL: a third of a second at 100,000 vertices.
            return np.ones(window.shape, np.bool_)
        transform = Affine.translation(window.col, window.row)
        return np.asarray(
            rasterio.features.geometry_mask([mapping(self.outline)], window.shape, transform, invert=True)
        )

    def holds_any(self, window: Window) -> bool:
        """Whether any pixel of a window has its centre in the area."""
        blocks = window.blocks(_BLOCK)
        return any(self.touches(block) and bool(self.inside(block).any()) for block in blocks)


def _rectangle(window: Window) -> BaseGeometry:
    return box(window.col, window.row, window.col_stop, window.row_stop)


def box_area(bounds: tuple[float, float, float, float], grid: Grid) -> Area:
    """The area of ``(west, south, east, north)`` in the grid's CRS.

    Raises:
        UsageError: The box is empty.
        PairError: It does not meet the image, or no pixel's centre.
    """
    west, south, east, north = bounds
    if not all(map(math.isfinite, bounds)):
        raise UsageError(f"--bbox {west} {south} {east} {north}: must be four finite numbers")
    if not (west < east and south < north):
        raise UsageError(f"--bbox {west} {south} {east} {north} is empty; the order is west south east north")
    outline = _to_pixels(box(*bounds), grid)
    window = _window(outline, grid, f"--bbox [{west}, {south}, {east}, {north}]")
    along_axes = grid.transform.b == 0 and grid.transform.d == 0
    return Area(window) if along_axes else _with_pixels(Area(window, outline), "--bbox")


def polygon_area(path: Path, grid: Grid) -> Area:
    """The area of the polygons in a GeoJSON file: WGS 84, or the CRS its ``crs`` member names.

    Raises:
        InputError: The file is missing, is not GeoJSON, or holds no polygon.
        PairError: The polygons do not meet the image, or no pixel's centre, or the image has no CRS.
    """
    document = _read_json(path)
    polygons = _polygons(document, path)
    if grid.crs is None:
        raise PairError(f"--aoi {path}: the image has no CRS, so the area cannot be placed; use --bbox")
    try:
        crs = pyproj.CRS.from_user_input(_crs_name(document))
        to_grid = pyproj.Transformer.from_crs(crs, pyproj.CRS.from_wkt(grid.crs.to_wkt()), always_xy=True)
    except CRSError as error:
        raise InputError(f"--aoi {path}: its CRS is not known ({error})") from error
    except ProjError as error:
        raise PairError(f"--aoi {path}: cannot be placed in the image's CRS; use --bbox ({error})") from error
    around = _surroundings(grid, to_grid, crs)
    near = polygons if around is None else polygons.intersection(around)
    if near.area == 0:
        raise _elsewhere(f"--aoi {path}", grid, f"its coordinates were taken for {crs.name}")
    longest = max(near.bounds[2] - near.bounds[0], near.bounds[3] - near.bounds[1])
    pieces = near.segmentize(max(longest, 1e-12) / _SEGMENTS)
    ground = shapely.transform(pieces, lambda xy: np.column_stack(to_grid.transform(xy[:, 0], xy[:, 1])))
    if not all(map(math.isfinite, ground.bounds)):
        raise PairError(
            f"--aoi {path}: lies outside what the image's CRS can show; its coordinates were taken for "
            f"{crs.name}"
        )
    outline = _to_pixels(ground, grid)
    return _with_pixels(Area(_window(outline, grid, f"--aoi {path}"), outline), f"--aoi {path}")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InputError(f"--aoi {path}: no such file") from None
    except OSError as error:
        raise InputError(f"--aoi {path}: cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise InputError(
            f"--aoi {path}: is not GeoJSON ({error}); ogr2ogr -f GeoJSON makes it of GPKG, Shapefile and KML"
        ) from error
    if not isinstance(document, dict) or "type" not in document:
        raise InputError(f"--aoi {path}: is not GeoJSON (no type member)")
    return document


def _polygons(document: dict[str, Any], path: Path) -> BaseGeometry:
    members = document.get("features", document.get("geometries", [document]))
    try:
        shapes = [
            shape(member.get("geometry", member)) for member in members if member.get("geometry", member)
        ]
        union = unary_union([make_valid(s) for s in shapes])
    except (ShapelyError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"--aoi {path}: is not GeoJSON ({error})") from error
    if union.is_empty or union.area == 0:
        raise InputError(f"--aoi {path}: holds no polygon")
    return union


def _crs_name(document: dict[str, Any]) -> str:
    """What the ``crs`` member says, which GeoJSON had before RFC 7946 and GDAL still writes; else WGS 84."""
    member = document.get("crs")
    told = member.get("properties") if isinstance(member, dict) else None
    return str(told.get("name", "OGC:CRS84")) if isinstance(told, dict) else "OGC:CRS84"


def _surroundings(grid: Grid, to_grid: pyproj.Transformer, crs: pyproj.CRS) -> BaseGeometry | None:
    """A box around the image, in another CRS; None where it has none: over a pole, or a seam of that CRS.

    What lies farther off must not be projected: it may fold over onto the image, and sides that are cut into
    pieces of a continent run beside where they should.
    """
    height, width = grid.shape
    rim = box(0, 0, width, height).segmentize(max(width, height) / _SEGMENTS).exterior.coords[:-1]
    across, down = np.array(rim).T
    x, y = to_grid.transform(*(grid.transform * (across, down)), direction="INVERSE")
    if not np.isfinite((x, y)).all():
        return None
    turn = 2 * math.pi / crs.axis_info[0].unit_conversion_factor if crs.is_geographic else None
    ring = np.column_stack((x if turn is None else np.unwrap(x, period=turn), y))
    longer = float(np.ptp(ring, axis=0).max())
    if np.abs(ring - np.roll(ring, 1, axis=0)).max() > _LEAP * longer:
        return None
    bounds = *(ring.min(axis=0) - _BESIDE * longer), *(ring.max(axis=0) + _BESIDE * longer)
    turns = (0.0,) if turn is None else (-turn, 0.0, turn)  # 181 degrees east are 179 west
    return unary_union([affinity.translate(box(*bounds), by) for by in turns])


def _to_pixels(ground: BaseGeometry, grid: Grid) -> BaseGeometry:
    t = ~grid.transform
    return affinity.affine_transform(ground, [t.a, t.b, t.d, t.e, t.c, t.f])


def _window(outline: BaseGeometry, grid: Grid, what: str) -> Window:
    left, top, right, bottom = outline.bounds
    window = Window.from_bounds(
        math.floor(top + _SNAP), math.ceil(bottom - _SNAP), math.floor(left + _SNAP), math.ceil(right - _SNAP)
    ).intersect(grid.window)
    if window.size == 0:
        raise _elsewhere(what, grid, "are its coordinates in its CRS?")
    return window


def _with_pixels(area: Area, what: str) -> Area:
    if not area.holds_any(area.window):
        raise PairError(f"{what} lies between the centres of PAN's pixels and holds none; make it larger")
    return area


def _elsewhere(what: str, grid: Grid, hint: str) -> PairError:
    return PairError(f"{what} does not meet the PAN image at {grid.describe()}; {hint}")

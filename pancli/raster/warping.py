"""``--reproject``: ms in another CRS or at another angle, which GDAL warps onto pan's axes as it is read."""

from __future__ import annotations

import math
from contextlib import ExitStack
from typing import Literal

import numpy as np
from affine import Affine
from rasterio import warp
from rasterio.dtypes import can_cast_dtype
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import CRSError
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from shapely.geometry import Polygon, box

from pancli.errors import PairError
from pancli.raster.bands import Nodata, as_stored
from pancli.raster.commit import FAILURES
from pancli.raster.grid import Grid, crs_name, same_crs
from pancli.raster.names import SourceName
from pancli.raster.source import image_bands

Source = tuple[SourceName, "DatasetReader | WarpedVRT"]
"""An open file, and as what it was named."""

_PIECES = 32  # into which a long side is cut before it is reprojected, so that it may bend
_SNAP = 1e-6  # of an ms pixel


def warp_all(stack: ExitStack, sources: list[Source], pan: Grid, nodata: Nodata) -> list[Source]:
    """The ms files as virtual warps onto pan's CRS and axes, near their own resolution.

    Args:
        stack: Closes the warps.
        sources: The files, on one grid.
        pan: Its grid.
        nodata: Overrides the files' tags.

    Returns:
        The files as they are where they lie along pan's axes already.

    Raises:
        PairError: They cannot be brought there.
    """
    grids = [Grid.of(dataset) for _, dataset in sources]
    first = grids[0]
    if all(same_crs(grid.crs, pan.crs) and _aligned(pan, grid) for grid in grids):
        return sources
    if first.crs is None or pan.crs is None:
        raise PairError("--reproject needs a CRS on both images; assign the missing one (gdal_edit -a_srs)")
    for name, dataset in sources:
        if any(dataset.colorinterp[band - 1] == ColorInterp.alpha for band in name.bands):
            raise PairError(
                f"--reproject: {name.path} has a band tagged alpha, which GDAL would take for a mask; "
                "tag it as what it is (gdal_edit -colorinterp_4 undefined)"
            )
    try:
        transform, shape = _warp_target(first, pan)
        return [
            (name, stack.enter_context(_warped(data, pan, transform, shape, _gaps(name, data, nodata))))
            for name, data in sources
        ]
    except (CRSError, *FAILURES) as error:
        raise PairError(
            f"--reproject: MS cannot be brought from {first.describe()} to {pan.describe()} ({error})"
        ) from error


def _gaps(name: SourceName, dataset: DatasetReader | WarpedVRT, nodata: Nodata) -> float | None:
    """What pixels hold that are missing; None where a mask says it, or nothing does.

    Raises:
        PairError: Each band has a nodata value of its own, and a warp takes one.
    """
    own = [dataset.nodatavals[band - 1] for band in image_bands(dataset, name)]
    if nodata is None and len(set(map(str, own))) > 1:
        raise PairError(
            f"--reproject: bands of {name.path} have nodata values that differ; give one for all "
            "(--nodata), or a file for each band (gdal_translate -b)"
        )
    known = own[0] if nodata is None else _known(nodata, dataset.dtypes[0])
    # Floating-point pixels that are no numbers are gaps without a tag, too, and would widen by the kernel.
    if known is None and all(dtype.startswith("float") for dtype in dataset.dtypes):
        return math.nan
    return known


def _warped(
    dataset: DatasetReader | WarpedVRT,
    pan: Grid,
    transform: Affine,
    shape: tuple[int, int],
    gaps: float | None,
) -> WarpedVRT:
    return WarpedVRT(
        dataset,
        crs=pan.crs,
        transform=transform,
        height=shape[0],
        width=shape[1],
        resampling=Resampling.cubic,
        src_nodata=gaps,
        nodata=gaps,
        add_alpha=gaps is None and ColorInterp.alpha not in dataset.colorinterp,
        UNIFIED_SRC_NODATA="PARTIAL",  # or only what is missing in all bands would be a gap, in any
        SRC_ALPHA_MAX="1",  # or little alpha would count for little: as a mask it is there or not
    )


def _known(nodata: float | Literal["none"], dtype: str) -> float | None:
    """What of ``--nodata`` GDAL may be told: it compares every digit, and would widen a type too narrow."""
    if nodata == "none" or not can_cast_dtype([nodata], dtype):
        return None
    return float(as_stored(nodata, np.dtype(dtype)))


def _aligned(pan: Grid, ms: Grid) -> bool:
    to_ms = ~ms.transform * pan.transform
    return bool(abs(to_ms.b) * pan.shape[0] < 1e-3 and abs(to_ms.d) * pan.shape[1] < 1e-3)


def _warp_target(ms: Grid, pan: Grid) -> tuple[Affine, tuple[int, int]]:
    """A grid along pan's axes with pixels as large as ms's are there, covering ms where it lies on pan.

    Everything is measured where pan lies: of an ms image of half the globe only that can be placed.

    Raises:
        PairError: They do not meet.
    """
    under = _outline(box(0, 0, *pan.shape[::-1]), pan, ms)
    if under is None:
        raise PairError(f"--reproject: PAN at {pan.describe()} lies outside what MS's CRS can show")
    ratio = math.sqrt(math.prod(pan.shape) / under.area)
    seen = under.intersection(box(0, 0, *ms.shape[::-1]))
    covered = None if seen.area == 0 else _outline(seen.convex_hull, ms, pan)
    if covered is None:
        raise PairError(
            f"PAN and MS do not overlap: PAN is at {pan.describe()} in {crs_name(pan.crs)}, "
            f"MS at {ms.describe()} in {crs_name(ms.crs)}"
        )
    first, last = covered.bounds[:2], covered.bounds[2:]
    left, top = (math.floor(max(edge, 0) / ratio + _SNAP) for edge in first)
    right, bottom = (
        math.ceil(min(edge, side) / ratio - _SNAP) for edge, side in zip(last, pan.shape[::-1], strict=True)
    )
    shifted = Affine.translation(left * ratio, top * ratio)
    shape = max(bottom - top, 1), max(right - left, 1)
    return pan.transform * shifted * Affine.scale(ratio), shape


def _outline(pixels: Polygon, grid: Grid, other: Grid) -> Polygon | None:
    """An outline in one grid's pixels, as it lies in another's; None where that cannot be told."""
    longest = max(pixels.bounds[2] - pixels.bounds[0], pixels.bounds[3] - pixels.bounds[1])
    corners = np.asarray(pixels.segmentize(longest / _PIECES).exterior.coords)
    ground = np.asarray(warp.transform(grid.crs, other.crs, *(grid.transform * corners.T)))
    edges = np.column_stack(~other.transform * ground)
    outline = Polygon(edges) if np.isfinite(edges).all() else None
    return outline if outline is not None and outline.is_valid and outline.area > 0 else None

"""Everything that is decided before a pixel is fused: pair, method, area, tiles, output."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from pancli.device import find_device
from pancli.errors import MethodError, OutputError, PairError
from pancli.methods.alignment import Shift, scene_shift
from pancli.methods.back_projection import with_rounds
from pancli.methods.crispness import MOST_CRISP
from pancli.methods.protocol import Method, PairInfo
from pancli.placement import Placement
from pancli.raster.area import Area, box_area, polygon_area
from pancli.raster.bands import json_nodata
from pancli.raster.commit import check_output, check_tiff_name, names_folder
from pancli.raster.creation import check_creation
from pancli.raster.env import gdal_env
from pancli.raster.grid import RATIO_SLACK
from pancli.raster.names import Name, spare_inputs
from pancli.raster.pair import Pair, open_pair
from pancli.raster.spec import OutputSpec
from pancli.registration import ShiftReport, measure_shift
from pancli.scene import FIT_TILE, TiledScene, crisp_for, open_scene
from pancli.sensors import find_sensor
from pancli.sharpening.beside import companions, what_is_not_known, with_those_there
from pancli.sharpening.catalog import method_warnings, open_method
from pancli.sharpening.options import SharpenOptions
from pancli.sharpening.product import describe_output, tag_output
from pancli.sharpening.sizing import fitting_side, memory_for
from pancli.tiling import Tile, Window, plan_tiles

UNTOLD = (
    "where PAN lies on MS could not be measured: more than an MS pixel apart, flat, or not the same ground? "
    "pancli check looks farther"
)
"""What is said where nothing can be told of how PAN lies on MS."""

_SOMEWHERE: Shift = (1.0, 1.0)  # of a pan whose shift is not measured: margins are the same for all there are
_OVERHANG = 1  # ms pixels by which ms may be replicated past its border where it was moved


@dataclass(frozen=True)
class MsShift:
    """How ms was moved onto pan, in pan pixels; how it was measured, where it was."""

    down: float = 0.0
    right: float = 0.0
    measured: ShiftReport | None = None

    @property
    def applied(self) -> bool:
        """Whether ms is moved at all."""
        return (self.down, self.right) != (0.0, 0.0)

    def as_dict(self) -> dict[str, Any]:
        """For reports."""
        confidence = None if self.measured is None else round(self.measured.confidence, 4)
        return {"down": self.down, "right": self.right, "applied": self.applied, "confidence": confidence}


@dataclass(frozen=True)
class Plan:
    """A sharpening, ready to run.

    Attributes:
        scene: Where tiles come from; its area is what will be computed.
        method: What fuses.
        tiles: What to read and what to write, on the pan grid.
        window: The output on the pan grid; may reach beyond it.
        area: Limits which pixels are valid, inside the scene's area.
        spec: The output file.
        tile_size: Side of a core.
        memory_mb: The least ``--max-memory`` for that.
        shift: How ms is moved.
        options: What was asked for.
        untagged: Of which images, "PAN" and "MS", neither files nor options say which pixels are invalid.
        rounded: Whether ms holds floating-point numbers, and the output is to hold whole ones.
        warnings: What the user should know.
    """

    scene: TiledScene
    method: Method
    tiles: tuple[Tile, ...]
    window: Window
    area: Area
    spec: OutputSpec
    tile_size: int
    memory_mb: int
    shift: MsShift
    options: SharpenOptions
    untagged: tuple[str, ...]
    rounded: bool
    warnings: tuple[str, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        """The plan as ``--dry-run`` prints it."""
        grid, spec = self.spec.grid, self.spec
        info = self.scene.info
        return {
            "output": str(spec.path),
            "method": self.method.name,
            "device": str(self.scene.device),
            "grid": {
                "crs": None if grid.crs is None else grid.crs.to_string(),
                "transform": list(grid.transform)[:6],
                "width": grid.shape[1],
                "height": grid.shape[0],
                "bounds": list(grid.bounds),
            },
            "bands": [band.description for band in spec.bands],
            "dtype": spec.dtype,
            "nodata": json_nodata(spec.nodata),
            "ratio": [info.placement.rows.ratio, info.placement.cols.ratio],
            "tiles": {
                "count": len(self.tiles),
                "size": self.tile_size,
                "margin": self.scene.margin(self.method.radius(info)),
            },
            "memory_mb": self.memory_mb,
            "output_bytes_uncompressed": math.prod(grid.shape)
            * len(spec.bands)
            * np.dtype(spec.dtype).itemsize,
            "shift": self.shift.as_dict(),
            "pan_shift": list(self.scene.pan_shift),
            "warnings": list(self.warnings),
        }


@contextmanager
def plan_sharpening(
    pan: Name,
    ms: Sequence[Name],
    out: str | Path,
    options: SharpenOptions | None = None,
    *,
    measure: bool = True,
) -> Iterator[Plan]:
    """Open a pair and plan its sharpening; the plan is good while the context lasts.

    Args:
        pan: Path, URI, or ``path,band=N``.
        ms: One or more of the same, stacked in this order.
        out: The output file.
        options: What is asked for.
        measure: Whether what takes a look at pixels is measured: how far ms is to be moved, where pan lies,
            how crisp it is. Else ms stays where ``auto`` would move it, and tiles and memory are for a pan
            that is laid elsewhere, and made crisp, as far as that is asked for.

    Raises:
        PancliError: Anything that would stop the sharpening and can be known before.
    """
    options = options or SharpenOptions()
    sensor, device, path = find_sensor(options.sensor), find_device(options.device), Path(out)
    if isinstance(out, str) and names_folder(out) and not path.is_dir():
        raise OutputError(f"{out}: names a folder; name a file in it")
    check_tiff_name(path)
    check_output(path, overwrite=options.overwrite)
    if options.overwrite and os.path.lexists(path):
        options = with_those_there(path, options)
    with open_pair(pan, ms, options.pair) as pair, open_method(options, pair, device) as named:
        method = with_rounds(named, options.back_project)
        info = PairInfo(len(pair.bands), pair.placement, sensor.of_bands(*pair.taken))
        beside = companions(path, options, sensor)
        for companion in beside:
            check_output(companion.path, overwrite=options.overwrite)
        read: list[Name] = [pan, *ms, options.method, *([] if options.aoi is None else [str(options.aoi)])]
        spare_inputs([path, *(companion.path for companion in beside)], read)
        _check_contract(method, info)
        area, window = _areas(pair, options)
        partial = window != area.window or area.outline is not None
        spec = replace(describe_output(pair, path, window, options, partial=partial), companions=beside)
        spec, masked = _mask_for_nodata(spec)
        check_creation(spec)
        bounds = pair.overlap()
        scene = open_scene(pair, info, area.window, bounds, device)
        if area.outline is not None:
            scene = replace(scene, touches=area.touches)
        shift, unmoved = _find_shift(scene, options) if measure else (_given_shift(options), [])
        scene = _registered(scene, shift, options, area)
        scene, untold = _with_pan(scene, method, options, measure=measure)
        if scene.area != area.window:
            area, spec = replace(area, window=scene.area), replace(spec, masked=True)
        spec = tag_output(spec, pair, method, options, f"{shift.down:g},{shift.right:g}")
        fitting = fitting_side(pair, scene, method, options)
        scene = replace(scene, fit_tile=min(fitting, FIT_TILE))
        size = options.tile or fitting
        memory = memory_for(pair, scene, method, size, options)
        tiles = plan_tiles(area.window, size, scene.margin(method.radius(scene.info)), bounds)
        tiles = [tile for tile in tiles if area.touches(tile.core)]
        with gdal_env(memory.cache):
            yield Plan(
                scene=scene,
                method=method,
                tiles=tuple(tiles),
                window=window,
                area=area,
                spec=spec,
                tile_size=size,
                memory_mb=memory.megabytes,
                shift=shift,
                options=options,
                untagged=pair.untagged,
                rounded=not spec.dtype.startswith("float")
                and any(band.dtype.startswith("float") for band in pair.bands),
                warnings=(
                    *pair.warnings,
                    *sensor.doubts(*pair.taken),
                    *unmoved,
                    *untold,
                    *method_warnings(options, pair),
                    *masked,
                    *what_is_not_known(pair, options),
                ),
            )


def _registered(scene: TiledScene, shift: MsShift, options: SharpenOptions, area: Area) -> TiledScene:
    """The scene with ms moved.

    Raises:
        PairError: No ms pixel would lie on what is asked for.
    """
    scene = _shifted(scene, shift)
    if shift.applied and not area.holds_any(_covered(scene.info.placement, scene.area)):
        part = "" if options.aoi is None and options.bbox is None else ", or off the part of it asked for"
        moved = f"{shift.down:g},{shift.right:g}"
        raise PairError(f"--coregister {moved} moves MS off PAN{part}; it is PAN pixels down, right")
    return scene


def _with_pan(
    scene: TiledScene, method: Method, options: SharpenOptions, *, measure: bool
) -> tuple[TiledScene, list[str]]:
    """The scene with pan laid on ms, and then made crisp, as far as that is asked for."""
    warnings = []
    if options.coregister == "pan" and measure:
        found = scene_shift(scene)
        scene = replace(scene, pan_shift=found.shift)
        warnings = [] if found.told else [f"--coregister pan moves nothing: {UNTOLD}"]
    elif options.coregister == "pan":
        scene = replace(scene, pan_shift=_SOMEWHERE)
    if options.crisp_pan:
        scene = crisp_for(method, scene, None if measure else MOST_CRISP)
    return scene, warnings


def _mask_for_nodata(spec: OutputSpec) -> tuple[OutputSpec, list[str]]:
    """The output with a mask where its format would not keep nodata as it is, and a warning of that.

    A valid pixel could come out as nodata, too, so that the value goes even where all pixels are valid.
    """
    if spec.rounds is None or spec.nodata is None:
        return spec, []
    told = f"--co {spec.rounds} rounds numbers: what is invalid is in a mask, not nodata {spec.nodata:g}"
    return replace(spec, nodata=None), [told]


def _check_contract(method: Method, info: PairInfo) -> None:
    low, high = method.contract.ratios
    ratios = (info.placement.rows.ratio, info.placement.cols.ratio)
    if not (low * (1 - RATIO_SLACK) <= min(ratios) and max(ratios) <= high * (1 + RATIO_SLACK)):
        raise MethodError(
            f"{method.name} takes ratios {low:g} to {high:g}, but this pair has "
            f"{ratios[0]:.3g} x {ratios[1]:.3g}; choose another --method (pancli methods lists them)"
        )


def _areas(pair: Pair, options: SharpenOptions) -> tuple[Area, Window]:
    """What to compute, and the output's window, both on the pan grid."""
    pan, placement = pair.pan_grid, pair.placement
    window = overlap = pair.overlap()
    if options.extent != "intersection":
        window = pan.window
    if options.extent == "union":
        window = _union(window, placement.footprint())
    if options.aoi is None and options.bbox is None:
        return Area(overlap), window
    area = polygon_area(options.aoi, pan) if options.aoi else box_area(options.bbox or (0, 0, 0, 0), pan)
    inner = area.window.intersect(overlap)
    if not area.holds_any(inner):
        raise PairError(
            f"the area asked for lies where PAN and MS do not overlap (MS is at {pair.ms_grid.describe()})"
        )
    return Area(inner, area.outline), (inner if options.extent == "intersection" else area.window)


def _union(a: Window, b: Window) -> Window:
    return Window.from_bounds(
        min(a.row, b.row), max(a.row_stop, b.row_stop), min(a.col, b.col), max(a.col_stop, b.col_stop)
    )


def _given_shift(options: SharpenOptions) -> MsShift:
    return MsShift(*options.coregister) if isinstance(options.coregister, tuple) else MsShift()


def _find_shift(scene: TiledScene, options: SharpenOptions) -> tuple[MsShift, list[str]]:
    if options.coregister != "auto":
        return _given_shift(options), []
    measured = measure_shift(scene)
    if measured.confident:
        return MsShift(round(measured.down, 4), round(measured.right, 4), measured), []
    part = options.aoi is not None or options.bbox is not None
    way_out = "; pancli check measures the whole scene, for --coregister DY,DX" if part else ""
    return MsShift(measured=measured), [
        "--coregister auto: the shift could not be measured with confidence "
        f"({measured.confidence:.2f}); none applied{way_out}"
    ]


def _shifted(scene: TiledScene, shift: MsShift) -> TiledScene:
    """The scene with ms moved; its area is what ms lies on then, replicated past its border by a pixel.

    So a shift that is measured, hardly ever more than that, takes nothing away.
    """
    if not shift.applied:
        return scene
    placement = scene.info.placement.shifted(shift.down, shift.right)
    area = _covered(placement.padded(_OVERHANG), scene.area)
    return replace(scene, info=replace(scene.info, placement=placement), area=area, overhang=_OVERHANG)


def _covered(placement: Placement, area: Window) -> Window:
    """The pan pixels of an area whose centres lie in ms."""
    return placement.pan_inside((area.row_stop, area.col_stop)).intersect(area)

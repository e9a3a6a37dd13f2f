"""A STAC item (version 1.1.0) that tells catalogues of an output, from what the file says of itself.

An item is a small JSON object, so it is written without a library. The fields follow the specification of
STAC 1.1.0 and of its extensions projection 2.0.0, eo 2.0.0, raster 2.0.0 and processing 1.2.0.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import rasterio
import shapely
from pyproj.exceptions import ProjError
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader
from shapely import affinity
from shapely.geometry import box, mapping, polygon
from shapely.geometry.base import BaseGeometry

from pancli.raster.bands import json_nodata
from pancli.raster.carried import IMAGERY
from pancli.raster.env import without_georeferencing
from pancli.raster.grid import Grid

_EXTENSIONS = {"proj": "projection/v2.0.0", "eo": "eo/v2.0.0", "raster": "raster/v2.0.0"} | {
    "processing": "processing/v1.2.0"
}
_COMMON = {name: name for name in ("coastal", "blue", "green", "yellow", "red", "rededge", "nir", "pan")} | {
    "red edge": "rededge",
    "nir1": "nir",
    "nir2": "nir09",
    "swir1": "swir16",
    "swir2": "swir22",
}
_EARLIEST = "1900-01-01T00:00:00Z"  # before any image a machine can read
_PIECES = 16  # that a side is cut into before it is bent onto the globe
_DIGITS = 7  # of a degree: a centimetre


def acquired(imagery: Mapping[str, str]) -> datetime | None:
    """When an image was taken, in UTC, if GDAL's domain IMAGERY says so in a way that can be read.

    >>> acquired({"ACQUISITIONDATETIME": "2020-05-01 10:00:00"})
    datetime.datetime(2020, 5, 1, 10, 0, tzinfo=datetime.timezone.utc)
    """
    try:
        found = datetime.fromisoformat(imagery.get("ACQUISITIONDATETIME", ""))
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def stac_item(source: Path, output: Path, quicklook: Path | None, made: datetime) -> dict[str, Any]:
    """The item of an output.

    Args:
        source: The complete file, under whatever name.
        output: The name it will have; the item lies beside it.
        quicklook: Its picture, if there is one.
        made: Now.
    """
    with without_georeferencing(), rasterio.open(source) as dataset:
        grid = Grid.of(dataset)
        outline = footprint(grid)
        assets = {"image": {"href": f"./{output.name}", **_image(dataset)}}
        item: dict[str, Any] = {
            "type": "Feature",
            "stac_version": "1.1.0",
            "stac_extensions": [],
            "id": output.stem,
            "geometry": None if outline is None else mapping(outline),
            "properties": _when(dataset, made) | _what(dataset) | _where(grid),
            "links": [],
            "assets": assets,
        }
    if outline is not None:
        item["bbox"] = _bounds(outline)
    if quicklook is not None:
        href = Path(os.path.relpath(quicklook.absolute(), output.absolute().parent)).as_posix()
        assets["quicklook"] = {"href": f"./{href}", "type": "image/png", "roles": ["overview"]}
    used = {key.partition(":")[0] for key in _keys(item) if ":" in key}
    item["stac_extensions"] = [
        f"https://stac-extensions.github.io/{_EXTENSIONS[prefix]}/schema.json" for prefix in sorted(used)
    ]
    return item


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _keys(part)


def _when(dataset: DatasetReader, made: datetime) -> dict[str, Any]:
    """The time; where it is not known the specification asks for a null and an interval."""
    now, taken = _text(made), acquired(dataset.tags(ns=IMAGERY))
    if taken is not None:
        return {"datetime": _text(taken), "created": now}
    return {"datetime": None, "start_datetime": _EARLIEST, "end_datetime": now, "created": now}


def _text(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _what(dataset: DatasetReader) -> dict[str, Any]:
    """Who saw it, through how many clouds, and how it was made."""
    imagery, tags = dataset.tags(ns=IMAGERY), dataset.tags()
    told: dict[str, Any] = {}
    if imagery.get("SATELLITEID"):
        told["platform"] = imagery["SATELLITEID"]
    clouds = _number(imagery.get("CLOUDCOVER"))
    if clouds is not None and 0 <= clouds <= 100:  # 999 stands for "not known"
        told["eo:cloud_cover"] = clouds
    lineage = f"{tags['PANCLI_METHOD']} fused {tags['PANCLI_PAN']} with {tags['PANCLI_MS']}"
    if "PANCLI_WEIGHTS_SHA256" in tags:
        lineage += f", weights of SHA-256 {tags['PANCLI_WEIGHTS_SHA256']}"
    return told | {
        "processing:software": {"pancli": tags["PANCLI_VERSION"]},
        "processing:lineage": f"{lineage}, options {tags['PANCLI_OPTIONS']}, shift {tags['PANCLI_SHIFT']}",
    }


def _where(grid: Grid) -> dict[str, Any]:
    told: dict[str, Any] = {"proj:shape": list(grid.shape)}
    if grid.georeferenced:
        told |= {"proj:transform": list(grid.transform)[:6], "proj:bbox": list(grid.bounds)}
    if grid.crs is None:
        return told | {"proj:code": None}
    authority = grid.crs.to_authority()
    told["proj:code"] = None if authority is None else ":".join(authority)
    if authority is None:
        told["proj:wkt2"] = pyproj.CRS.from_wkt(grid.crs.to_wkt()).to_wkt()
    if grid.crs.is_projected:
        told["gsd"] = max(grid.pixel_size) * grid.crs.linear_units_factor[1]
    return told


def _image(dataset: DatasetReader) -> dict[str, Any]:
    cloud_optimised = dataset.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") == "COG"
    return {
        "type": "image/tiff; application=geotiff" + "; profile=cloud-optimized" * cloud_optimised,
        "roles": ["data"],
        "bands": [_band(dataset, index) for index in dataset.indexes],
    }


def _band(dataset: DatasetReader, index: int) -> dict[str, Any]:
    name, imagery = dataset.descriptions[index - 1], dataset.tags(index, ns=IMAGERY)
    told: dict[str, Any] = {"name": name or str(index), "data_type": dataset.dtypes[index - 1]}
    nodata, unit = dataset.nodatavals[index - 1], dataset.units[index - 1]
    if nodata is not None:
        told["nodata"] = json_nodata(nodata)
    if unit:
        told["unit"] = unit
    scale, offset = dataset.scales[index - 1], dataset.offsets[index - 1]
    if (scale, offset) != (1.0, 0.0):
        told |= {"raster:scale": scale, "raster:offset": offset}
    colour = dataset.colorinterp[index - 1]
    coloured = colour.name if colour in (ColorInterp.red, ColorInterp.green, ColorInterp.blue) else ""
    common = _COMMON.get(coloured or (name or "").strip().lower())
    if common:
        told["eo:common_name"] = common
    for key, field in (
        ("CENTRAL_WAVELENGTH_UM", "eo:center_wavelength"),
        ("FWHM_UM", "eo:full_width_half_max"),
    ):
        micrometres = _number(imagery.get(key))
        if micrometres is not None and micrometres > 0:
            told[field] = micrometres
    return told


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def footprint(grid: Grid) -> BaseGeometry | None:
    """The outline of a grid in longitude and latitude of WGS 84; None where it cannot be told.

    What crosses the antimeridian comes in two parts (RFC 7946, section 3.1.9); what holds a pole goes round.
    """
    if grid.crs is None or not grid.georeferenced:
        return None
    height, width = grid.shape
    crs = pyproj.CRS.from_wkt(grid.crs.to_wkt())
    t = grid.transform
    edges = box(0, 0, width, height).segmentize(max(height, width) / _PIECES)
    ground = affinity.affine_transform(edges, [t.a, t.b, t.d, t.e, t.c, t.f])
    try:
        to_globe = pyproj.Transformer.from_crs(crs, "OGC:CRS84", always_xy=True)
    except ProjError:  # a plan of a building site
        return None
    ring = shapely.get_coordinates(shapely.transform(ground, to_globe.transform, interleaved=False))
    if not np.isfinite(ring).all():
        return None
    for pole in (90.0, -90.0):
        col, row = ~t * to_globe.transform(0.0, pole, direction="INVERSE")
        if 0 < col < width and 0 < row < height:
            south, north = sorted((pole, ring[:, 1].min() if pole > 0 else ring[:, 1].max()))
            return polygon.orient(box(-180, south, 180, north))
    if not crs.is_geographic:  # longitudes of a ring must not jump
        ring[:, 0] = ring[0, 0] + np.mod(ring[:, 0] - ring[0, 0] + 180, 360) - 180
    ring[:, 0] -= 360 * np.floor((ring[:, 0].min() + 180) / 360)
    whole = shapely.Polygon(ring)
    if whole.bounds[2] <= 180:
        return _tidy(whole)
    beyond = whole.intersection(box(180, -90, 540, 90))
    parts = whole.intersection(box(-180, -90, 180, 90)), affinity.translate(beyond, -360)
    return shapely.MultiPolygon([_tidy(part) for part in parts])


def _tidy(outline: BaseGeometry) -> BaseGeometry:
    rounded = shapely.transform(outline.simplify(1e-6), lambda xy: np.round(xy, _DIGITS))
    return polygon.orient(rounded)


def _bounds(outline: BaseGeometry) -> list[float]:
    """West, south, east, north; west is the larger where the outline crosses the antimeridian."""
    west, south, east, north = outline.bounds
    if isinstance(outline, shapely.MultiPolygon):
        west, east = outline.geoms[0].bounds[0], outline.geoms[1].bounds[2]
    return [west, south, east, north]


def is_own_item(path: Path) -> bool:
    """Whether a file is an item that :func:`stac_item` made."""
    try:
        item = json.loads(path.read_bytes())
        return "pancli" in item["properties"]["processing:software"]
    except (OSError, ValueError, LookupError, TypeError):
        return False

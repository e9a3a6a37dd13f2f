"""What images say of themselves beside pixels and grid, and what of it is true of an image made of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from itertools import takewhile
from pathlib import PurePath

from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT

from pancli.raster.source import unwarped
from pancli.tiling import Window

IMAGERY = "IMAGERY"
"""GDAL's domain for what a delivery says of satellite, time, clouds and wavelengths."""

STATISTICS = "STATISTICS_"
"""How tags begin that sum pixels up: untrue of a band made of them, and nothing new of themselves."""

PLACE_TAG = "PANCLI_BAND"
"""Of a band made of one of ms, reduced or fused: which of how many that was as delivered, such as 4/8."""

_DATE = "TIFFTAG_DATETIME"
# What is said of other pixels than ours: their range, how large they were to be printed, what gaps hold.
_OF_PIXELS = (
    "TIFFTAG_MINSAMPLEVALUE",
    "TIFFTAG_MAXSAMPLEVALUE",
    "TIFFTAG_XRESOLUTION",
    "TIFFTAG_YRESOLUTION",
    "TIFFTAG_RESOLUTIONUNIT",
    "NODATA_VALUES",
)
_OFFSETS = ("LINE_OFF", "SAMP_OFF")


@dataclass(frozen=True)
class GroundModel:
    """How pixels were seen from where they were taken: what an image may have beside, or for, a geotransform.

    Attributes:
        rpc: Rational polynomial coefficients, as GDAL's domain RPC has them; empty for none.
        points: Ground control points.
        crs: Of the points.
    """

    rpc: Mapping[str, str] = field(default_factory=dict)
    points: tuple[GroundControlPoint, ...] = ()
    crs: CRS | None = None

    def of_window(self, window: Window) -> GroundModel:
        """The model of a window, which may reach beyond the image; rows and columns count from its corner.

        An RPC is line = LINE_OFF + LINE_SCALE * p(lat, long, height), and the same along the row, so that
        a window asks for other offsets and nothing else.
        """
        rpc = dict(self.rpc)
        for key, start in zip(_OFFSETS, (window.row, window.col), strict=True):
            if rpc and start:
                rpc[key] = repr(float(rpc[key]) - start)
        points = tuple(
            GroundControlPoint(p.row - window.row, p.col - window.col, p.x, p.y, p.z, p.id, p.info)
            for p in self.points
        )
        return replace(self, rpc=rpc, points=points)


def ground_model(dataset: DatasetReader, path: str) -> tuple[GroundModel, list[str]]:
    """The model of an open image, and warnings about what of it cannot be used.

    Where there is a geotransform it is what places the image, and control points are left out.
    """
    points, crs = dataset.gcps if dataset.transform == Affine.identity() else ([], None)
    rpc, warnings = dataset.tags(ns="RPC"), []
    try:
        for key in _OFFSETS:
            float(rpc.get(key, "0" if not rpc else ""))
    except ValueError:
        warnings.append(f"{path}: its RPCs lack a number for LINE_OFF or SAMP_OFF and are left out")
        rpc = {}
    return GroundModel(rpc, tuple(points), crs), warnings


def scene_tags(pan: DatasetReader, ms: Sequence[DatasetReader | WarpedVRT]) -> dict[str, str]:
    """The dataset tags of a pair: what all ms files say alike; of pan the date, where ms has none."""
    tags = _alike([dataset.tags() for dataset in ms])
    tags = {key: value for key, value in tags.items() if key not in _OF_PIXELS}
    date = pan.tags().get(_DATE)
    return tags if date is None else {_DATE: date} | tags


def scene_imagery(pan: DatasetReader, ms: Sequence[DatasetReader | WarpedVRT]) -> dict[str, str]:
    """The acquisition of a pair: what all ms files say alike, filled up from pan."""
    return dict(pan.tags(ns=IMAGERY)) | _alike([unwarped(dataset).tags(ns=IMAGERY) for dataset in ms])


def band_imagery(dataset: DatasetReader | WarpedVRT, index: int) -> dict[str, str]:
    """What one band's own metadata say of its wavelengths and calibration."""
    return dict(unwarped(dataset).tags(index, ns=IMAGERY))


def band_tags(dataset: DatasetReader | WarpedVRT, index: int) -> dict[str, str]:
    """What one band's tags say that is true of a band made of it, too."""
    tags = dataset.tags(index).items()
    return {key: value for key, value in tags if key != PLACE_TAG and not key.startswith(STATISTICS)}


def told_place(dataset: DatasetReader | WarpedVRT, index: int) -> tuple[int, int] | None:
    """Which band of how many a band was of ms as delivered, or None where nothing says so.

    The one band of a file of its own says nothing: of how many it is, is seen where files are stacked.
    """
    told = re.fullmatch(r"([1-9]\d{0,4})/([1-9]\d{0,4})", dataset.tags(index).get(PLACE_TAG, ""))
    if told is None:
        return None
    number, count = int(told[1]), int(told[2])
    return (number, count) if number <= count > 1 else None


def _alike(said: Sequence[dict[str, str]]) -> dict[str, str]:
    return reduce(lambda a, b: {key: value for key, value in a.items() if b.get(key) == value}, said)


def names_by_file(files: Sequence[str]) -> dict[str, str]:
    """What bands are called that come in a file each and have no names: what the files' names do not share.

    Nothing where that is not one name for each.

    >>> names_by_file(["s3://scenes/LC08_T1_B2.TIF", "s3://scenes/LC08_T1_B10.TIF"])
    {'s3://scenes/LC08_T1_B2.TIF': 'B2', 's3://scenes/LC08_T1_B10.TIF': 'B10'}
    >>> names_by_file(["red/ms.tif", "green/ms.tif"]), names_by_file(["red-10m.tif", "red_edge-10m.tif"])
    ({}, {'red-10m.tif': 'red', 'red_edge-10m.tif': 'red_edge'})
    """
    names = [PurePath(file).stem for file in files]
    before = _shared(names)
    after = _shared([name[before:][::-1] for name in names])
    own = [name[before : len(name) - after] for name in names]
    told = len(set(own)) == len(own) > 1 and all(re.fullmatch(r"[\w .-]+", name) for name in own)
    return dict(zip(files, own, strict=True)) if told else {}


def _shared(names: Sequence[str]) -> int:
    """How many letters names begin with in common, up to a separator."""
    # Only what all names have at a place can be shared there.
    parts = zip(*(re.split(r"(?<=[_. -])", name) for name in names), strict=False)
    return sum(len(alike[0]) for alike in takewhile(lambda part: len(set(part)) == 1, parts))

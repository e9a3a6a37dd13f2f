"""What is written beside the output: a picture of it, and a STAC item."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from pancli.errors import UsageError
from pancli.pictures import coloured, limits, true_colour
from pancli.raster.output import write_companions
from pancli.raster.pair import Pair
from pancli.raster.quicklook import band_names, band_numbers, is_own_png, read_small, write_png
from pancli.raster.spec import Companion
from pancli.raster.stac import acquired, footprint, is_own_item, stac_item
from pancli.sensors import Sensor, find_sensor
from pancli.sharpening.options import SharpenOptions

_QUICKLOOK = 1024  # at most so many pixels along the longer side


def companions(path: Path, options: SharpenOptions, sensor: Sensor) -> tuple[Companion, ...]:
    """The files asked for beside the output ``path``.

    Args:
        path: The output's name.
        options: What was asked for.
        sensor: Whose bands are fused.

    Raises:
        UsageError: Two of them have one name.
    """
    picture, item = names_beside(path, options)
    made = []
    if picture is not None:
        made.append(Companion(picture, partial(draw_quicklook, sensor)))
    if item is not None:
        made.append(Companion(item, partial(write_stac_item, path, picture)))
    names = [path.absolute(), *(one.path.absolute() for one in made)]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{name}: two files cannot have one name; name one otherwise")
    return tuple(made)


def names_beside(path: Path, options: SharpenOptions) -> tuple[Path | None, Path | None]:
    """What the picture and the STAC item of an output are called, where they are asked for."""
    picture = path.with_suffix(".png") if options.quicklook is True else options.quicklook or None
    return picture, path.with_suffix(".json") if options.stac else None


def own_beside(path: Path, options: SharpenOptions) -> bool:
    """Whether what is asked for beside an output would replace nothing but what pancli itself has written."""
    picture, item = names_beside(path, options)
    return _free(picture, is_own_png) and _free(item, is_own_item)


def _free(name: Path | None, is_own: Callable[[Path], bool]) -> bool:
    return name is None or not os.path.lexists(name) or is_own(name)


def with_those_there(path: Path, options: SharpenOptions) -> SharpenOptions:
    """The options, and all that pancli wrote beside the output before: it would be of another image."""
    picture, item = path.with_suffix(".png"), path.with_suffix(".json")
    return replace(
        options,
        quicklook=options.quicklook or (picture.is_file() and is_own_png(picture)),
        stac=options.stac or is_own_item(item),
    )


def complete(path: Path, options: SharpenOptions) -> None:
    """Make what is asked for beside an output that is there already, where it has not got it yet.

    An item names the picture: whichever of them was asked for first, it is made after the picture, or anew.

    Raises:
        OutputError: It cannot be written; or what is there is older than the output, so not of it, was not
            written by pancli, and is not to be overwritten.
        UsageError: Two files have one name.
    """
    options = with_those_there(path, options)
    latest: float = path.stat().st_mtime_ns
    old = []
    for one in companions(path, options, find_sensor(options.sensor)):
        written = one.path.stat().st_mtime_ns if one.path.exists() else -math.inf
        if written < latest:
            old.append(one)
        latest = math.inf if old else written
    write_companions(old, path, overwrite=options.overwrite or own_beside(path, options))


def what_is_not_known(pair: Pair, options: SharpenOptions) -> list[str]:
    """Warnings about what a STAC item will have to leave open."""
    warnings = []
    if options.stac and acquired(pair.imagery) is None:
        warnings.append(
            "--stac: neither PAN nor MS says when it was taken (ACQUISITIONDATETIME in GDAL's domain "
            "IMAGERY); the item's datetime is null, between 1900 and now"
        )
    if options.stac and footprint(pair.pan_grid) is None:
        warnings.append("--stac: where on the globe PAN lies cannot be told; the item's geometry is null")
    return warnings


def write_stac_item(output: Path, quicklook: Path | None, source: Path, target: Path) -> None:
    """Write the STAC item of a complete file that is to be called ``output``."""
    item = stac_item(source, output, quicklook, datetime.now(UTC))
    target.write_text(json.dumps(item, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def draw_quicklook(sensor: Sensor, source: Path, target: Path) -> None:
    """Draw a picture of a file in the stretch of ``pancli compare``: darkest and brightest 2 % of each band.

    Args:
        sensor: Whose bands they are, where neither their colours nor their names tell.
        source: The file.
        target: The PNG.
    """
    bands = true_colour(sensor, band_names(source), band_numbers(source))
    image = read_small(source, [band + 1 for band in bands], _QUICKLOOK)
    black_white = limits(image.values, image.valid)
    write_png(target, coloured(image.values, image.valid, black_white, range(len(bands))))

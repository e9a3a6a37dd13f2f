"""What is written beside the output: a picture of it, and a STAC item."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pancli.errors import UsageError
from pancli.pictures import coloured, limits, true_colour
from pancli.raster.output import Companion
from pancli.raster.quicklook import band_names, read_small, write_png
from pancli.sensors import Sensor
from pancli.sharpening.options import SharpenOptions

_QUICKLOOK = 1024  # at most so many pixels along the longer side


def companions(path: Path, options: SharpenOptions, sensor: Sensor, bands: int) -> tuple[Companion, ...]:
    """The files asked for beside the output ``path`` of ``bands`` bands.

    Raises:
        UsageError: Two of them have one name.
    """
    numbers = options.pair.bidx or range(1, bands + 1)
    made = []
    if options.quicklook is not None:
        made.append(Companion(options.quicklook, partial(draw_quicklook, sensor, numbers)))
    names = [path.absolute(), *(one.path.absolute() for one in made)]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(
                f"{name}: two files cannot have one name; name the output or the picture otherwise"
            )
    return tuple(made)


def draw_quicklook(sensor: Sensor, numbers: Sequence[int], source: Path, target: Path) -> None:
    """Draw a picture of a file in the stretch of ``pancli compare``: darkest and brightest 2 % of each band.

    Args:
        sensor: Whose bands they are, where neither their colours nor their names tell.
        numbers: Which of the sensor's bands they are, from 1.
        source: The file.
        target: The PNG.
    """
    bands = true_colour(sensor, band_names(source), numbers)
    image = read_small(source, [band + 1 for band in bands], _QUICKLOOK)
    black_white = limits(image.values, image.valid)
    write_png(target, coloured(image.values, image.valid, black_white, range(len(bands))))

"""What can be asked of a degradation, as one frozen value."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from pancli.errors import UsageError
from pancli.raster.grid import MIN_RATIO
from pancli.raster.pair import PairOptions
from pancli.sensors import find_sensor

MIN_TILE = 64


@dataclass(frozen=True)
class DegradeOptions:
    """What can be asked of a degradation; the defaults are the program's.

    Attributes:
        ratio: Reference pixels per new ms pixel, whole or not, at least 1.5; None for the pair's own.
        sensor: Whose MTF to blur by: a name of :mod:`pancli.sensors`.
        pair: Nodata, bands, reprojection.
        tile: Side of what is read at once, in pixels; None chooses by the number of bands.
        overwrite: Replace files that exist.
    """

    ratio: float | None = None
    sensor: str = "generic"
    pair: PairOptions = field(default_factory=PairOptions)
    tile: int | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be done.

        Raises:
            UsageError: An option is out of range.
        """
        if self.ratio is not None and not MIN_RATIO <= self.ratio < math.inf:
            raise UsageError(f"--ratio {self.ratio:g}: must be a number from {MIN_RATIO}")
        if self.tile is not None and self.tile < MIN_TILE:
            raise UsageError(f"--tile {self.tile}: the smallest tile is {MIN_TILE}")
        find_sensor(self.sensor)

"""Where it is bad: local distortions, one pixel per block, as a georeferenced image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from affine import Affine

from pancli import __version__
from pancli.evaluation.measure import Blocks
from pancli.metrics.no_reference import local_distortions
from pancli.raster.grid import Grid
from pancli.raster.output import atomic_output
from pancli.raster.spec import OutputBand, OutputSpec
from pancli.tiling import Window

_NAMES = ("D_lambda", "D_S", "QNR")


class DistortionMap:
    """Fills with the blocks of one tile after the other; NaN where no block is whole and valid.

    Args:
        area: What is evaluated, on the pan grid.
        block: Side of a block.
    """

    def __init__(self, area: Window, block: int) -> None:
        self._area, self._block = area, block
        self._values = np.full((3, area.height // block, area.width // block), np.nan, np.float32)

    def add(self, core: Window, blocks: Blocks) -> None:
        """Put in the blocks of a tile's core."""
        where = core.relative_to(self._area)
        row, col = where.row // self._block, where.col // self._block
        values = local_distortions(blocks.high, blocks.low).float().cpu().numpy()
        values[:, ~blocks.valid.cpu().numpy()] = np.nan
        height, width = values.shape[1:]
        self._values[:, row : row + height, col : col + width] = values

    def write(self, path: Path, pan: Grid, *, overwrite: bool) -> None:
        """Write three bands: D_lambda, D_S, QNR of each block.

        Raises:
            OutputError: It exists already and is not to be overwritten, or cannot be written.
        """
        height, width = self._values.shape[1:]
        corner = pan.crop(Window(self._area.row, self._area.col, height, width))
        grid = corner
        if pan.georeferenced:
            grid = replace(corner, transform=corner.transform * Affine.scale(self._block))
        spec = OutputSpec(
            path=path,
            grid=grid,
            bands=tuple(OutputBand(name) for name in _NAMES),
            dtype="float32",
            nodata=np.nan,
            masked=True,
            tags={"TIFFTAG_SOFTWARE": f"pancli {__version__}", "PANCLI_BLOCK": str(self._block)},
            overwrite=overwrite,
        )
        with atomic_output(spec) as output:
            output.write(Window(0, 0, height, width), self._values, np.isfinite(self._values[0]))

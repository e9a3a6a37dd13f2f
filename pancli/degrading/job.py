"""An open pair, and the pixels of what is to be made of it, by window."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pancli.degrading.reduction import Reduction, reach
from pancli.raster.pair import Pair
from pancli.resampling import reduce_masked
from pancli.sensors import Sensor
from pancli.tiling import Window


@dataclass(frozen=True)
class Job:
    """An open pair and what is to be made of it."""

    pair: Pair
    reduction: Reduction
    ms_gains: tuple[float, ...]
    pan_gain: float

    def strip_bytes(self, rows: int) -> int:
        """What is read for so many rows of new images, of files in strips."""
        target, pair = Window(0, 0, rows, 1), self.pair
        fine = reach(pair.placement, target, self.pan_gain, pair.pan_grid.window)
        same = reach(self.reduction.cells, target, min(self.ms_gains), pair.ms_grid.window)
        return pair.strip_bytes(fine.height, same.height)

    def pan(self, window: Window) -> tuple[Tensor, Tensor]:
        """New pan, (1, h, w), and its validity, over a window of the reference."""
        corner = self.reduction.reference
        target = Window(window.row + corner.row, window.col + corner.col, *window.shape)
        placement = self.pair.placement
        source = reach(placement, target, self.pan_gain, self.pair.pan_grid.window)
        values, valid = map(torch.from_numpy, self.pair.read_pan(source))
        return reduce_masked(values[None], valid, placement, (source, target), (self.pan_gain,))

    def ms(self, window: Window) -> tuple[Tensor, Tensor]:
        """New ms, (B, h, w), and its validity, over a window of it."""
        cells = self.reduction.cells
        source = reach(cells, window, min(self.ms_gains), self.pair.ms_grid.window)
        values, valid = map(torch.from_numpy, self.pair.read_ms(source))
        return reduce_masked(values, valid, cells, (source, window), self.ms_gains)

    def reference(self, window: Window) -> tuple[Tensor, Tensor]:
        """Old ms, (B, h, w), and its validity, over a window of the reference."""
        corner = self.reduction.reference
        values, valid = self.pair.read_ms(
            Window(window.row + corner.row, window.col + corner.col, *window.shape)
        )
        return torch.from_numpy(values), torch.from_numpy(valid)


def choose_gains(sensor: Sensor, pair: Pair) -> tuple[tuple[float, ...], list[str]]:
    """One gain per band, by name where the bands are named as the sensor's; and what is doubtful."""
    gains, warnings = sensor.of_bands(*pair.taken).gains(len(pair.bands)), sensor.doubts(*pair.taken)
    own, ratio = sensor.ratio, pair.placement.ratio
    if own is not None and abs(ratio / own - 1) > 0.1:
        warnings.append(
            f"{sensor.name} has {own:.3g} PAN pixels per MS pixel but this pair has {ratio:.3g}; "
            "is it the right --sensor?"
        )
    return gains, warnings

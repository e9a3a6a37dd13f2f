"""The canvas that ground is painted on, the later over the earlier, on any device.

Strokes are kept until what lies on the canvas is asked for. Then all of them are painted in one pass: cut
into the small tiles they touch, the pixels of many touches are computed at once, and laid on their tiles in
rounds, in the order they were painted in. So thousands of strokes take hundreds of operations, not tens of
thousands, which devices are slow to begin; and nothing is asked back from the device.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pancli.simulation.painting import SIDE, PlacedStrokes
from pancli.simulation.strokes import Stroke, Table, Vector
from pancli.simulation.touches import Touches

_TOUCHES = {"cpu": 2048}  # computed at once: what fits the cache of a CPU,
_MOST_TOUCHES = 65_536  # or keeps a device busy


class Canvas:
    """(C, H, W) apparent reflectance per channel, and strokes to be painted on it.

    Args:
        channels: C.
        shape: (H, W).
        textures: (fields, h, w) that strokes take their textures from, on the device to paint on.
    """

    def __init__(self, channels: int, shape: tuple[int, int], textures: Tensor) -> None:
        self.shape = shape
        self._textures = textures
        self._grid = -(-shape[0] // SIDE), -(-shape[1] // SIDE)
        sides = self._grid[0] * SIDE, self._grid[1] * SIDE
        self._pixels = torch.zeros((channels, *sides), device=textures.device)
        self._strokes: list[Stroke] = []

    @property
    def device(self) -> torch.device:
        """Where it is painted."""
        return self._pixels.device

    @property
    def pixels(self) -> Tensor:
        """(C, H, W) what is painted so far; changing it changes the canvas."""
        if self._strokes:
            strokes, self._strokes = self._strokes, []
            self._paint(Table.of(strokes))
        return self._pixels[:, : self.shape[0], : self.shape[1]]

    def lay(self, stroke: Stroke) -> None:
        """Paint a stroke over what is there."""
        self._strokes.append(stroke)

    def wash(
        self, cover: Tensor, colour: Vector, shade: Tensor | float = 1.0, stain: Tensor | float = 0.0
    ) -> None:
        """Paint all of the canvas at once.

        Args:
            cover: (H, W) in [0, 1].
            colour: (C,) reflectance per channel.
            shade: (H, W) or one number, brightness relative to ``colour``.
            stain: (C, H, W) or one number, reflectance added.
        """
        pixels = self.pixels
        pixels += cover * (self.channels(colour) * shade + stain - pixels)

    def channels(self, colour: Vector) -> Tensor:
        """(C, 1, 1) of (C,), on the device."""
        return torch.from_numpy(colour).to(self.device)[:, None, None]

    def _paint(self, table: Table) -> None:
        touches = Touches.of(table, self._grid, SIDE)
        pixels = self._pixels
        view = pixels.view(-1, self._grid[0], SIDE, self._grid[1], SIDE).permute(1, 3, 0, 2, 4)
        tiles = view.flatten(0, 1).flatten(2)
        where = torch.from_numpy(touches.tiles).to(pixels.device)
        painted, strokes = tiles[where], PlacedStrokes(table, self._textures)
        corners = np.stack(np.divmod(touches.tiles[touches.ranks()], self._grid[1])) * SIDE
        most = _TOUCHES.get(pixels.device.type, _MOST_TOUCHES)
        for start in range(0, len(touches.strokes), most):
            chunk = slice(start, start + most)
            layer = strokes.layer(touches.strokes[chunk], corners[:, chunk])
            for ranks, part in touches.rounds_of(start, start + len(layer.cover)):
                layer.lay(painted[ranks], part)
        tiles[where] = painted
        view.copy_(tiles.view(view.shape))

"""Tiles fused one after the other: what they share goes through a network once.

Rounds of back-projection look far beyond a tile, so that what a network must go through for two neighbours
overlaps: with three rounds at ratio 4 and tiles of 1024 that is a quarter of all it does. What it makes of a
pixel is the same in every tile, to a rounding, and is kept until the tiles to the right and below are done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from pancli.methods.back_projection import BackProjected, BackProjectedState
from pancli.methods.network import NetworkMethod
from pancli.methods.protocol import Method, TileImage
from pancli.tiling import Tile, Window

_MOST = 64 * 2**20  # bytes kept for the tiles below: of a wider scene, what is shared upwards is fused twice


def in_turn(method: Method, state: Any) -> Callable[[TileImage], Tensor]:
    """:meth:`pancli.methods.protocol.Method.fuse` for the tiles of one scene, row by row and left to right.

    Tiles may be left out, and become smaller: what is not known is fused.
    """
    if isinstance(method, BackProjected) and isinstance(method.method, NetworkMethod):
        return Turns(method, state)
    return partial(method.fuse, state=state)


@dataclass(frozen=True, slots=True)
class Known:
    """What a network has made of a window.

    Attributes:
        window: Of pan pixels.
        fused: (B, H, W), before rounds.
        trust: The same, in rounds; None where it says nothing of them.
    """

    window: Window
    fused: Tensor
    trust: Tensor | None

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(image.nbytes for image in (self.fused, self.trust) if image is not None)

    def part(self, window: Window) -> Known:
        """A part that lies within, none of whose pixels are copied."""
        rows, cols = window.slices_in(self.window)
        trust = None if self.trust is None else self.trust[:, rows, cols]
        return Known(window, self.fused[:, rows, cols], trust)

    def copy(self) -> Known:
        """With memory of its own, so that the rest can be let go."""
        return Known(self.window, self.fused.clone(), None if self.trust is None else self.trust.clone())


def unknown(wanted: Window, known: Sequence[Window]) -> tuple[Window, list[tuple[int, Window]]]:
    """What is left of a window when what is known is cut off, where it reaches from side to side.

    Args:
        wanted: The window.
        known: What is known, what is to be cut off at the top before what is at the left.

    Returns:
        The rest, empty where all is known; and which of the known parts were cut off, and where.

    >>> unknown(Window(0, 0, 8, 8), [Window(-9, -2, 12, 10), Window(0, -5, 8, 7), Window(6, 6, 2, 2)])
    (Window(row=3, col=2, height=5, width=6), [(0, Window(row=0, col=0, height=3, width=8)), \
(1, Window(row=3, col=0, height=5, width=2))])
    >>> unknown(Window(0, 0, 8, 8), [Window(0, 6, 8, 9), Window(6, 0, 9, 8)])
    (Window(row=0, col=0, height=8, width=8), [])
    """
    rest, used = wanted, []
    for index, window in enumerate(known):
        part = window.intersect(rest)
        (top, bottom), (left, right) = part.spans
        if part.size and part.width == rest.width and top == rest.row:
            rest = Window.from_bounds(bottom, rest.row_stop, left, right)
        elif part.size and part.height == rest.height and left == rest.col:
            rest = Window.from_bounds(top, bottom, right, rest.col_stop)
        else:
            continue
        used.append((index, part))
    return rest, used


class Turns:
    """A network that is followed by rounds, from tile to tile of one scene; see the module."""

    def __init__(self, method: BackProjected, state: BackProjectedState) -> None:
        self._method, self._state = method, state
        self._left: list[Known] = []
        self._above: list[Known] = []

    def __call__(self, image: TileImage) -> Tensor:
        """(B, H, W) over the tile's window, exact on its core."""
        wide = self._method.widened(image, self._state)
        made = self._made(wide)
        self._keep(made.part(wide.tile.core), image)
        return self._method.finish(image, self._state, made.fused, made.trust)

    def _made(self, wide: TileImage) -> Known:
        """What the network makes of a tile, over its window; exact on its core."""
        window, known = wide.tile.window, (*self._above, *self._left)
        rest, used = unknown(wide.tile.core, [part.window for part in known])
        if rest.size:
            fused, trust = self._method.begin(replace(wide, tile=Tile(rest, window)), self._state)
        else:
            fused, trust = wide.upsampled.clone(), None
        for index, where in used:
            part, there = known[index].part(where), where.slices_in(window)
            fused[:, *there] = part.fused
            if part.trust is not None:
                trust = torch.zeros_like(fused) if trust is None else trust
                trust[:, *there] = part.trust
        return Known(window, fused, trust)

    def _keep(self, made: Known, image: TileImage) -> None:
        """Keep what the tiles to the right and below share with one that is done."""
        rows, cols = made.window.spans
        reach = self._method.reach(image.info, self._state)
        row, col = image.tile.core.row_stop - reach, image.tile.core.col_stop - reach
        right = made.window.intersect(Window.from_bounds(*rows, col, cols[1]))
        below = made.window.intersect(Window.from_bounds(row, rows[1], *cols))
        self._left = [made.part(right).copy()]
        # What lies above the tiles to come is needed once more; what lay above this one is not.
        self._above = [k for k in self._above if k.window.row_stop > rows[0] and k.window.spans[1] != cols]
        shared = made.part(below)
        if sum(known.size for known in (*self._above, shared)) <= _MOST:
            self._above.append(shared.copy())

"""Which strokes touch which tiles of a canvas, and the order in which many can be laid at once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pancli.simulation.shapes import Outline
from pancli.simulation.strokes import Floats, Integers, Table


@dataclass(frozen=True, slots=True)
class Touches:
    """Which stroke touches which tile, in rounds: the n-th holds the n-th stroke of every tile that has one.

    Within each round tiles come in the order of ``tiles``, so that a round is a run of touches that meets the
    first tiles, each once.

    Attributes:
        strokes: (P,) index of the stroke.
        tiles: (T,) index of the tiles that are touched, those of most strokes first.
        rounds: Where each round begins, and P.
    """

    strokes: Integers
    tiles: Integers
    rounds: Integers

    @classmethod
    def of(cls, table: Table, grid: tuple[int, int], side: int) -> Touches:
        """Find them.

        Args:
            table: The strokes.
            grid: Tiles (down, right).
            side: Of a tile, pixels.
        """
        strokes, tiles = _near(table, grid, side)
        order = np.argsort(tiles, kind="stable")  # strokes of a tile stay in their order
        strokes, tiles = strokes[order], tiles[order]
        touched, first, counts = np.unique(tiles, return_index=True, return_counts=True)
        rank = np.empty(len(touched), np.int64)
        rank[np.argsort(-counts, kind="stable")] = np.arange(len(touched))
        depth = np.arange(len(tiles)) - np.repeat(first, counts)
        order = np.lexsort((np.repeat(rank, counts), depth))
        ranked = np.empty_like(touched)
        ranked[rank] = touched
        rounds = np.concatenate(([0], np.cumsum(np.bincount(depth))))
        return cls(strokes[order], ranked, rounds)

    def ranks(self) -> Integers:
        """(P,) the place in ``tiles`` of every touch."""
        return np.arange(len(self.strokes)) - np.repeat(self.rounds[:-1], np.diff(self.rounds))

    def rounds_of(self, start: int, stop: int) -> Iterator[tuple[slice, slice]]:
        """Touches ``start`` to ``stop`` by their rounds: which of the tiles, which of these touches."""
        number, at = int(np.searchsorted(self.rounds, start, "right")) - 1, start
        while at < stop:
            first, end = int(self.rounds[number]), min(int(self.rounds[number + 1]), stop)
            yield slice(at - first, end - first), slice(at - start, end - start)
            number, at = number + 1, end


def _near(table: Table, grid: tuple[int, int], side: int) -> tuple[Integers, Integers]:
    """(P,) strokes and (P,) tiles that may touch, by boxes on the canvas, then by boxes along the shapes."""
    of = {name: table.column(name) for name in Outline._fields}
    along, across = 0.5 * of["drag_along"], 0.5 * of["drag_across"]
    length, breadth = of["length"] + np.abs(along), of["breadth"] + np.abs(across)
    row = of["row"] + of["cos"] * along - of["sin"] * across
    col = of["col"] + of["sin"] * along + of["cos"] * across
    bent = breadth + np.abs(of["bend"]) * length**2
    cos, sin = np.abs(of["cos"]), np.abs(of["sin"])
    rows, row_counts = _span(row, cos * length + sin * bent + 1.0, grid[0], side)
    cols, col_counts = _span(col, sin * length + cos * bent + 1.0, grid[1], side)
    counts = row_counts * col_counts
    strokes = np.repeat(np.arange(len(counts)), counts)
    place = np.arange(len(strokes)) - np.repeat(np.cumsum(counts) - counts, counts)
    down, right = np.divmod(place, col_counts[strokes])
    down, right = down + rows[strokes], right + cols[strokes]
    middle = 0.5 * (side - 1)
    y, x = side * down + middle - row[strokes], side * right + middle - col[strokes]
    cos, sin = of["cos"][strokes], of["sin"][strokes]
    near_along, near_across = np.abs(cos * y + sin * x), cos * x - sin * y
    around = math.sqrt(0.5) * side + 1.0
    bend = of["bend"][strokes]
    steepest = 1.0 + 2.0 * np.abs(bend) * (near_along + around)
    off = np.abs(near_across - bend * near_along**2)
    touching = (near_along <= length[strokes] + around) & (off <= (breadth[strokes] + around) * steepest)
    return strokes[touching], (down * grid[1] + right)[touching]


def _span(centre: Floats, reach: Floats, tiles: int, side: int) -> tuple[Integers, Integers]:
    """The first tile along one axis that each shape may lie on, and how many."""
    first = np.floor((centre - reach) / side).clip(0, tiles).astype(np.int64)
    stop = (np.floor((centre + reach) / side) + 1).clip(0, tiles).astype(np.int64)
    return first, np.maximum(stop - first, 0)

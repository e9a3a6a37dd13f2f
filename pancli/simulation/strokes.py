"""Strokes: shapes of one colour each, told in numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pancli.simulation.shapes import MOST_EDGES, Kind, Outline, Shape

Vector = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Cut(NamedTuple):
    """Where a stroke takes its texture from: ``1 + strength * field[row + y, col + x]``.

    Attributes:
        field: Index in :class:`pancli.simulation.textures.TextureBank`.
        strength: 0 for no texture.
        row: Of the field, at the canvas' row 0.
        col: Likewise.
    """

    field: float = 0.0
    strength: float = 0.0
    row: float = 0.0
    col: float = 0.0


class Shade(NamedTuple):
    """Brightness from place to place relative to a stroke's colour, the same in every channel.

    Attributes:
        lean_along: Brighter by this per pixel along the axis,
        lean_across: by this per pixel to the right of it,
        darkest: by no less than this,
        brightest: and by no more than this.
        furrows: Strength of rows along the axis, as of crops; 0 for none.
        frequency: Of the rows, radians per pixel.
    """

    lean_along: float = 0.0
    lean_across: float = 0.0
    darkest: float = -math.inf
    brightest: float = math.inf
    furrows: float = 0.0
    frequency: float = 0.0


class Stroke(NamedTuple):
    """A shape painted or darkened.

    Attributes:
        shape: Where.
        colour: (C,) what is painted; zeros for a shadow.
        hides: (C,) how much of what lies under it goes where it covers; None for all of it, as under paint.
        shade: Brightness relative to the colour.
        grain: Texture, likewise.
        phase: Texture that bends the rows of ``shade``.
        wear: Texture of which the high parts show ``under``.
        under: (C,) another colour.
    """

    shape: Shape
    colour: Vector
    hides: Vector | None = None
    shade: Shade = Shade()
    grain: Cut = Cut()
    phase: Cut = Cut()
    wear: Cut = Cut()
    under: Vector | None = None


COLUMNS = {
    name: index
    for index, name in enumerate(
        (
            *Outline._fields,
            *Shade._fields,
            *(f"{texture}.{name}" for texture in ("grain", "phase", "wear") for name in Cut._fields),
        )
    )
}
"""Where in :attr:`Table.numbers` a number stands, by its name; of textures "grain.row" and so on."""


class Style(NamedTuple):
    """What there is to compute of a stroke: its kind of shape, and which of its numbers mean anything."""

    kind: Kind
    drawn_out: bool
    dashed: bool
    leans: bool
    grained: bool
    furrowed: bool
    wears: bool


@dataclass(frozen=True, slots=True)
class Table:
    """Strokes in arrays, in the order they are painted in.

    Attributes:
        numbers: (S, columns), by :data:`COLUMNS`.
        kinds: (S,) of :class:`Kind`.
        edges: (S, MOST_EDGES, 3) of polygons, else zeros: cosine and sine of each edge's turn, its offset.
        colours: (S, C).
        hides: (S, C).
        under: (S, C).
    """

    numbers: Vector
    kinds: Integers
    edges: Vector
    colours: Vector
    hides: Vector
    under: Vector

    @classmethod
    def of(cls, strokes: Sequence[Stroke]) -> Table:
        """The same strokes."""
        numbers = [(*s.shape.outline, *s.shade, *s.grain, *s.phase, *s.wear) for s in strokes]
        edges = np.zeros((len(strokes), MOST_EDGES, 3), np.float32)
        under = np.zeros((len(strokes), len(strokes[0].colour)), np.float32)
        hides = np.ones_like(under)
        for index, stroke in enumerate(strokes):
            if stroke.shape.edges:
                edges[index] = _edges(stroke.shape)
            if stroke.hides is not None:
                hides[index] = stroke.hides
            if stroke.under is not None:
                under[index] = stroke.under
        return cls(
            numbers=np.array(numbers, np.float32),
            kinds=np.array([stroke.shape.kind for stroke in strokes]),
            edges=edges,
            colours=np.stack([stroke.colour for stroke in strokes]),
            hides=hides,
            under=under,
        )

    def column(self, name: str) -> Floats:
        """(S,) the number of that name of every stroke."""
        return self.numbers[:, COLUMNS[name]].astype(np.float64)

    def styles(self) -> tuple[list[Style], Integers]:
        """The styles there are, and (S,) which of them each stroke has."""
        used = [
            self.column("copies") > 0,
            self.column("dash") > 0,
            (self.column("lean_along") != 0) | (self.column("lean_across") != 0),
            self.column("grain.strength") > 0,
            self.column("furrows") > 0,
            self.column("wear.strength") > 0,
        ]
        rows, style_of = np.unique(np.stack((self.kinds, *used), 1), axis=0, return_inverse=True)
        return [Style(Kind(kind), *map(bool, rest)) for kind, *rest in rows.tolist()], style_of.ravel()


def _edges(shape: Shape) -> Vector:
    """(MOST_EDGES, 3): the last edge fills what is left."""
    turns, offsets = np.array([*shape.edges, *[shape.edges[-1]] * (MOST_EDGES - len(shape.edges))]).T
    return np.stack((np.cos(turns), np.sin(turns), offsets), 1).astype(np.float32)

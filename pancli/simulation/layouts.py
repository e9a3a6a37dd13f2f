"""What lies where: random scenes from forest to factory, painted back to front."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from pancli.simulation.instruments import Instrument
from pancli.simulation.palette import Palette
from pancli.simulation.shapes import Canvas, box_distance, coverage, ellipse_distance, patch_at
from pancli.simulation.spectra import MATERIALS
from pancli.simulation.textures import TextureBank

Field = npt.NDArray[np.float32]


def draw_ground(rng: np.random.Generator, instrument: Instrument, shape: tuple[int, int]) -> Field:
    """A random ground as every channel of an instrument sees it from just above.

    Returns:
        (1 + bands, H, W) apparent reflectance, pan first.
    """
    palette = Palette.of(instrument, float(rng.uniform(0.15, 0.45)))
    angle = rng.uniform(0, 2 * math.pi)
    sun = math.cos(angle), math.sin(angle)
    bank = TextureBank.random(rng, shape, sun)
    canvas = Canvas(np.empty((instrument.bands + 1, *shape), np.float32))
    canvas.pixels[:] = palette.pick(rng, tuple(MATERIALS))[:, None, None] * (1 + 0.2 * bank.rough)
    names = tuple(MATERIALS)
    fields = ("fine", "rough", "smooth", "crowns")
    for _ in range(math.ceil(shape[0] * shape[1] / 150)):
        size = 2.0 * rng.random() ** -0.7
        half = (min(size * rng.uniform(1, 2), max(shape)), min(size, max(shape)))
        centre = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        patch = patch_at(shape, centre, half, rng.uniform(0, math.pi))
        if patch is None:
            continue
        distance = (box_distance if rng.random() < 0.7 else ellipse_distance)(patch, half)
        corner = patch.rows.start, patch.cols.start
        texture = bank.cut(fields[int(rng.integers(4))], corner, patch.shape)
        shade = 1 + np.float32(rng.uniform(0.02, 0.2)) * texture
        canvas.paint(patch, coverage(distance), palette.pick(rng, names), shade)
    np.maximum(canvas.pixels, 0.001, out=canvas.pixels)
    return canvas.pixels

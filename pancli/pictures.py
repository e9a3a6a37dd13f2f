"""Pixels as colours to look at: which bands are red, green and blue, and what is black and white."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pancli.sensors import Sensor

_LOW, _HIGH = 2, 98  # percent of the pixels a stretch is taken from that are darkest and brightest


def limits(values: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """(C, 2): what is to be black and white of each band of (C, h, w), for every picture of the place."""
    known = values[:, valid]
    if known.size == 0:
        return np.tile([0.0, 1.0], (len(values), 1))
    low, high = np.percentile(known, (_LOW, _HIGH), axis=1)
    return np.stack([low, np.where(high > low, high, low + 1)], axis=1)


def coloured(
    values: npt.NDArray[Any],
    valid: npt.NDArray[np.bool_],
    black_white: npt.NDArray[np.float64],
    bands: Sequence[int],
) -> npt.NDArray[np.uint8]:
    """(h, w, 4): one band as grey, or three as red, green and blue; transparent where invalid.

    Args:
        values: (C, h, w).
        valid: (h, w).
        black_white: (C, 2).
        bands: Indices into C.
    """
    chosen = list(bands) * (3 if len(bands) == 1 else 1)
    low, high = black_white[chosen].T[:, :, None, None]
    shown = np.clip((values[chosen] - low) / (high - low), 0, 1)
    colours = np.moveaxis(np.rint(255 * np.where(valid, shown, 0)), 0, -1)
    return np.dstack([colours, 255 * valid]).astype(np.uint8)


def true_colour(sensor: Sensor, names: Sequence[str | None], numbers: Sequence[int]) -> tuple[int, ...]:
    """Indices of red, green and blue: by the bands' names, by the sensor's, else the first three reversed.

    Args:
        sensor: Whose bands they are.
        names: What the file calls them.
        numbers: Which of the sensor's they are, from 1.

    >>> from pancli.sensors import find_sensor
    >>> true_colour(find_sensor("worldview2"), [None] * 8, range(1, 9))
    (4, 2, 1)
    """
    found = _by_role(sensor, names, numbers, ("red", "green", "blue"))
    return found or ((2, 1, 0) if len(names) >= 3 else (0,))


def false_colour(sensor: Sensor, names: Sequence[str | None], numbers: Sequence[int]) -> tuple[int, ...]:
    """Indices of near infrared, red and green, as in :func:`true_colour`; empty below four bands."""
    if len(names) < 4:
        return ()
    return _by_role(sensor, names, numbers, ("nir", "red", "green")) or (3, 2, 1)


def _by_role(
    sensor: Sensor, names: Sequence[str | None], numbers: Sequence[int], roles: Sequence[str]
) -> tuple[int, ...]:
    own = [sensor.band_name(name) for name in names]
    for known in (own, _sensor_names(sensor, numbers)):
        aliases = [_ALIASES.get(name, name) for name in known]
        if all(role in aliases for role in roles):
            return tuple(aliases.index(role) for role in roles)
    return ()


_ALIASES = {"nir1": "nir", "near infrared": "nir", "near-infrared": "nir", "infrared": "nir"}


def _sensor_names(sensor: Sensor, numbers: Sequence[int]) -> list[str]:
    if max(numbers) > len(sensor.bands):
        return []
    return [sensor.bands[number - 1].name for number in numbers]

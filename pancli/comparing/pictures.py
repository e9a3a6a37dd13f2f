"""Pixels as PNG pictures inside a page: stretched colours, and numbers as colours of one scale."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.image import imsave

from pancli.sensors import Sensor

_LOW, _HIGH = 2, 98  # percent of the pixels a stretch is taken from that are darkest and brightest
_SCALE = "inferno"
_STEPS = 63  # more than an eye tells apart, few enough to compress well


def encode(rgba: npt.NDArray[np.uint8]) -> str:
    """A PNG of (h, w, 4) as a data URI."""
    buffer = io.BytesIO()
    imsave(buffer, np.ascontiguousarray(rgba), format="png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def limits(values: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """(C, 2): what is to be black and white of each band of (C, h, w), for every picture of the place."""
    known = values[:, valid]
    if known.size == 0:
        return np.tile([0.0, 1.0], (len(values), 1))
    low, high = np.percentile(known, (_LOW, _HIGH), axis=1)
    return np.stack([low, np.where(high > low, high, low + 1)], axis=1)


def stretch(
    values: npt.NDArray[Any],
    valid: npt.NDArray[np.bool_],
    black_white: npt.NDArray[np.float64],
    bands: Sequence[int],
) -> str:
    """A picture of one band, or of three as red, green and blue; transparent where invalid.

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
    return encode(np.dstack([colours, 255 * valid]).astype(np.uint8))


def heat(values: npt.NDArray[Any], valid: npt.NDArray[np.bool_], top: float) -> str:
    """A picture of (h, w) numbers from 0, dark, to ``top``, bright; transparent where invalid."""
    steps = np.rint(np.clip(np.where(valid, values, 0) / top, 0, 1) * _STEPS) / _STEPS
    colours = mpl.colormaps[_SCALE](steps, bytes=True)
    colours[..., 3] = 255 * valid
    return encode(colours)


def heat_bar() -> str:
    """The colours of :func:`heat` from 0 to its top."""
    ramp = np.linspace(0, 1, 256)[None]
    return heat(ramp, np.ones(ramp.shape, np.bool_), 1.0)


def round_up(value: float) -> float:
    """To two digits, for the top of a scale.

    >>> round_up(0.4123)
    0.42
    """
    if not value > 0:
        return 1.0
    unit = 10.0 ** (np.floor(np.log10(value)) - 1)
    return float(f"{np.ceil(value / unit - 1e-9) * unit:.6g}")


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
    own = [(name or "").strip().lower() for name in names]
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

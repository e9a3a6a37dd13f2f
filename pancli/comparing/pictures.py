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

from pancli.pictures import coloured

_SCALE = "inferno"
_STEPS = 63  # more than an eye tells apart, few enough to compress well


def encode(rgba: npt.NDArray[np.uint8]) -> str:
    """A PNG of (h, w, 4) as a data URI."""
    buffer = io.BytesIO()
    imsave(buffer, np.ascontiguousarray(rgba), format="png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def stretch(
    values: npt.NDArray[Any],
    valid: npt.NDArray[np.bool_],
    black_white: npt.NDArray[np.float64],
    bands: Sequence[int],
) -> str:
    """The PNG of :func:`pancli.pictures.coloured`."""
    return encode(coloured(values, valid, black_white, bands))


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

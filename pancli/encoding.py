"""Computed numbers as an output stores them: rounded, clipped, valid pixels never on the nodata value."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pancli.errors import MethodError

_EXACT_IN_FLOAT32 = ("uint8", "int8", "uint16", "int16")
_MOST_IN_HALF = 65504


def fits(value: float, dtype: str) -> bool:
    """Whether a nodata value can be stored in a dtype."""
    if not math.isfinite(value):
        return dtype.startswith("float")
    kind = getattr(torch, dtype)
    if dtype.startswith("float"):
        return bool(torch.tensor(value, dtype=torch.float64).to(kind).isfinite())
    info = torch.iinfo(kind)
    # Fifteen digits are what GeoTIFF files get of it.
    return value == int(value) and info.min <= value <= info.max and float(f"{value:.15g}") == value


@dataclass(frozen=True, slots=True)
class Encoding:
    """How to store computed pixels.

    Attributes:
        dtype: Name of the output's type.
        nodata: Value of invalid pixels, or None: then they are zero and a mask says so.
        bits: How many of the type's are kept, of an unsigned one or of float32 (16: half precision); None
            for all.
    """

    dtype: str
    nodata: float | None
    bits: int | None = None

    def __call__(self, fused: Tensor, valid: Tensor) -> npt.NDArray[Any]:
        """(B, h, w) in the output's dtype.

        Integers are rounded to nearest (ties to even) and clipped; half precision is clipped. A valid pixel
        that would land on the nodata value takes the nearest other one.

        Args:
            fused: (B, h, w) float32 or float64.
            valid: (h, w) bool, on the same device.

        Raises:
            MethodError: A valid pixel is not a finite number.
        """
        # Minimum and maximum are NaN where any pixel is, and take a twentieth of the time of isfinite.
        low, high = torch.aminmax(fused)
        finite = bool(torch.isfinite(low) & torch.isfinite(high))
        if not finite and not bool(torch.isfinite(fused[:, valid]).all()):
            raise MethodError(
                "the method made a pixel that is not a number from valid input; with a network, try "
                "--precision float32 or other weights; with any other method this is a bug"
            )
        if self.dtype.startswith("float"):
            # A copy, whatever the type: invalid pixels are set in it.
            values = fused.to("cpu", getattr(torch, self.dtype), copy=True).numpy()
            if self.bits is not None:
                np.clip(values, *self._range, out=values)
        else:
            values = self._integers(fused)
        return self._set_invalid(values, valid.cpu().numpy())

    def beyond(self, fused: Tensor, valid: Tensor) -> int:
        """How many numbers of valid pixels are too small or too large for the type, and are clipped.

        What only rounding takes to the type's smallest or largest number is not.
        """
        if self.dtype.startswith("float") and self.bits is None:
            return 0
        first, last = self._range
        least, most = first - 0.5, last + 0.5
        low, high = torch.aminmax(fused)
        if float(low) >= least and float(high) <= most:
            return 0
        fused = self._exact(fused)
        return int((((fused < least) | (fused > most)) & valid).sum())

    @property
    def _range(self) -> tuple[int, int]:
        if self.dtype.startswith("float"):
            return -_MOST_IN_HALF, _MOST_IN_HALF
        info = torch.iinfo(getattr(torch, self.dtype))
        return info.min, info.max if self.bits is None else min(info.max, 2**self.bits - 1)

    def _exact(self, fused: Tensor) -> Tensor:
        """Numbers of a type in which the output's limits are exact."""
        return fused if self.dtype in _EXACT_IN_FLOAT32 else fused.double()

    def _integers(self, fused: Tensor) -> npt.NDArray[Any]:
        fused = self._exact(fused)
        first, last = self._range
        largest = float(last)
        if largest > last:  # of 64 bits, which floats round up to what would be stored as 0
            largest = math.nextafter(largest, 0)
        rounded = torch.nan_to_num(fused).round_().clamp_(first, largest)
        return rounded.to(getattr(torch, self.dtype)).cpu().numpy()

    def _set_invalid(self, values: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
        if self.nodata is None:
            values[:, ~valid] = 0
            return values
        if self.nodata == self.nodata:  # not NaN, which no valid pixel can be
            collides = values == values.dtype.type(self.nodata)
            if collides.any():
                values[collides & valid] = self._neighbour(values.dtype)
        values[:, ~valid] = self.nodata
        return values

    def _neighbour(self, dtype: np.dtype[Any]) -> Any:
        """The value next to nodata, upwards where there is one."""
        value = dtype.type(self.nodata)
        if dtype.kind == "f":
            return np.nextafter(value, dtype.type(np.inf))
        return value + 1 if value < self._range[1] else value - 1

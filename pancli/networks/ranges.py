"""The fixed affine map between the units networks are given and [0, 1], for layers that need such values.

Four units below and above the mean, which nearly all pixels lie between, become 0 and 1; values beyond
go on outside.
"""

from __future__ import annotations

from torch import Tensor

_SPAN = 8.0  # units that [0, 1] stands for


def to_unit_range(values: Tensor) -> Tensor:
    """Values near zero mean and unit deviation, brought near [0, 1]; nothing is clipped."""
    return 0.5 + values / _SPAN


def from_unit_range(values: Tensor) -> Tensor:
    """The inverse of :func:`to_unit_range`."""
    return (values - 0.5) * _SPAN

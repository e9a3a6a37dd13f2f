"""Means that add up over windows."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Mean:
    """Sum and number of what has been seen, float64 on the CPU.

    Attributes:
        total: Any shape.
        count: How many values went into each element.
    """

    total: Tensor
    count: int

    @classmethod
    def of(cls, values: Tensor, keep: Tensor) -> Mean:
        """The kept values of a map.

        Args:
            values: (..., n, m).
            keep: (n, m) bool.
        """
        return cls(values[..., keep].sum(-1).cpu(), int(keep.sum()))

    def __add__(self, other: Mean) -> Mean:
        return Mean(self.total + other.total, self.count + other.count)

    @property
    def value(self) -> Tensor | None:
        """The mean, of ``total``'s shape; None of nothing."""
        return self.total / self.count if self.count else None

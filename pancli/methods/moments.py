"""Means and covariances that add up over tiles: what a streaming fit pass gathers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

ROUNDING = 1e-6
"""Relative spread that float32 arithmetic alone gives to a constant."""

_PART = 2**15  # samples centred at a time: the whole would be fresh memory, tile after tile


@dataclass(frozen=True, slots=True)
class Moments:
    """Count, mean and co-moment of K variables, float64 on the CPU.

    Attributes:
        count: Samples seen.
        mean: (K,).
        scatter: (K, K), the sum of centred outer products.
    """

    count: int
    mean: Tensor
    scatter: Tensor

    @classmethod
    def empty(cls, variables: int) -> Moments:
        """No sample yet."""
        zeros = torch.zeros(variables, variables, dtype=torch.float64)
        return cls(0, zeros.diagonal().clone(), zeros)

    @classmethod
    def of(cls, samples: Tensor) -> Moments:
        """Moments of samples (K, N), centred before they are squared."""
        count = samples.shape[1]
        if count == 0:
            return cls.empty(samples.shape[0])
        samples = samples.double()
        mean = samples.mean(1)
        scatter = samples.new_zeros(len(samples), len(samples))
        for part in torch.split(samples, _PART, 1):
            centred = part - mean[:, None]
            scatter += centred @ centred.T
        return cls(count, mean.cpu(), scatter.cpu())

    def merge(self, other: Moments) -> Moments:
        """Moments of both sets of samples.

        Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample
        variances", 1979, eq. 2.1.
        """
        count = self.count + other.count
        if count == 0:
            return self
        delta = other.mean - self.mean
        mean = self.mean + delta * (other.count / count)
        cross = torch.outer(delta, delta) * (self.count * other.count / count)
        return Moments(count, mean, self.scatter + other.scatter + cross)

    def without_rounding(self, share: float) -> Moments:
        """The same, where a variable that deviates by no more than so much of its mean does not vary."""
        varies = (self.std > share * self.mean.abs()).double()
        return Moments(self.count, self.mean, self.scatter * torch.outer(varies, varies))

    def select(self, variables: Sequence[int]) -> Moments:
        """Of some variables, in this order."""
        chosen = list(variables)
        return Moments(self.count, self.mean[chosen], self.scatter[chosen][:, chosen])

    @property
    def covariance(self) -> Tensor:
        """(K, K), unbiased."""
        return self.scatter / max(self.count - 1, 1)

    @property
    def std(self) -> Tensor:
        """(K,), unbiased."""
        return self.covariance.diagonal().clamp_min(0).sqrt()

    def regress(self, target: int, on: list[int]) -> tuple[Tensor, float]:
        """Least-squares weights and intercept of one variable on others, as :func:`least_squares`.

        What varies by no more than float32 rounding has no weight, and none is given to explain it.
        """
        scatter = self.without_rounding(ROUNDING).scatter
        weights = least_squares(scatter[on][:, on], scatter[on, target])
        return weights, float(self.mean[target] - weights @ self.mean[on])

    def unexplained(self) -> float | None:
        """Share of the last variable's variance that no linear function of the others explains.

        Returns:
            In [0, 1]; None where the last variable is constant.
        """
        variance = float(self.scatter[-1, -1])
        if variance <= 0:
            return None
        cross = self.scatter[:-1, -1]
        explained = float(least_squares(self.scatter[:-1, :-1], cross) @ cross)
        return min(max(1 - explained / variance, 0.0), 1.0)


def least_squares(gram: Tensor, cross: Tensor) -> Tensor:
    """Weights of variables that come nearest to others, whatever the units of each.

    Solved on variables of unit deviation. Directions with less than 1e-10 of the variance of all are left
    out, so that a constant or repeated variable costs nothing but its weight.

    Args:
        gram: (K, K), products of the centred variables with each other.
        cross: (K,) or (K, T), their products with what is to be explained.

    Returns:
        Of cross's shape.
    """
    deviation = gram.diagonal().clamp_min(0).sqrt()
    scale = torch.where(deviation > 0, 1 / deviation, 0.0)
    to_unit = torch.outer(scale, scale)
    inverse: Tensor = to_unit * torch.linalg.pinv(gram * to_unit, hermitian=True, rtol=1e-10)
    return inverse @ cross

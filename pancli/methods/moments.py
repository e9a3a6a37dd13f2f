"""Means and covariances that add up over tiles: what a streaming fit pass gathers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

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
        """Least-squares weights and intercept of one variable on others.

        Directions that carry less than 1e-10 of the regressors' variance are left out, so that a
        constant or repeated band costs nothing but its weight.
        """
        gram = self.scatter[on][:, on]
        weights = torch.linalg.pinv(gram, hermitian=True, rtol=1e-10) @ self.scatter[on, target]
        return weights, float(self.mean[target] - weights @ self.mean[on])

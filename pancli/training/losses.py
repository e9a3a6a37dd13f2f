"""What training makes small; errors are weighted to standard deviations of a band, everything in float32."""

from __future__ import annotations

from torch import Tensor

from pancli.training.patches import Batch
from pancli.training.recipe import Loss

_COSINE = 1 - 1e-6  # the angle has no finite slope where it is zero


def supervised_terms(loss: Loss, fused: Tensor, batch: Batch) -> dict[str, Tensor]:
    """The weighted terms of a loss that have a weight, by name.

    Args:
        loss: Their weights.
        fused: (N, K, H, W), in the network's units.
        batch: With the truth.
    """
    error = weighted_error(fused, batch)
    terms: dict[str, Tensor] = {}
    for kind in ("l1", "mse"):
        if weight := getattr(loss, kind):
            terms[kind] = weight * distance(kind, error, loss.reduction)
    if loss.sam:
        terms["sam"] = loss.sam * spectral_angle(fused, batch.target, batch).mean()
    if loss.gradient:
        terms["gradient"] = loss.gradient * gradient_distance(error)
    return terms


def weighted_error(fused: Tensor, batch: Batch) -> Tensor:
    """How far an image (N, K, H, W) is from the truth, in standard deviations of a band."""
    return (fused.float() - batch.target) * batch.weight


def distance(kind: str, error: Tensor, reduction: str) -> Tensor:
    """One number from errors (N, ...).

    "sum" is over each sample, and a mean over samples; squares are then halved: Yan, Zhou et al., IEEE TGRS
    2022, where (2 N_b)^-1 and N_b^-1 stand before the sums.

    Args:
        kind: "l1" or "mse".
        error: Differences.
        reduction: "mean" or "sum".
    """
    values = error.abs() if kind == "l1" else error.square()
    if reduction == "mean":
        return values.mean()
    return values.sum() / (error.shape[0] * (1 if kind == "l1" else 2))


def spectral_angle(fused: Tensor, reference: Tensor, batch: Batch) -> Tensor:
    """(N, H, W), angles between spectra in digital numbers, radians.

    Yuhas, Goetz, Boardman, "Discrimination among semi-arid landscape endmembers using the spectral angle
    mapper (SAM) algorithm", 1992.

    Args:
        fused: (N, K, H, W), in the network's units.
        reference: The same.
        batch: Whose units they are.
    """
    one, two = (image.float() * batch.scale + batch.mean for image in (fused, reference))
    cosine = (one * two).sum(1) / (one.norm(dim=1) * two.norm(dim=1) + 1e-8)
    angle: Tensor = cosine.clamp(-_COSINE, _COSINE).acos()
    return angle


def gradient_distance(error: Tensor) -> Tensor:
    """Mean absolute difference of neighbours, along rows and along columns, of errors (..., H, W)."""
    return error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()

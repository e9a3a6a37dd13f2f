"""What training makes small; errors are weighted to standard deviations of a band, everything in float32."""

from __future__ import annotations

import torch
from torch import Tensor

from pancli.methods.moments import Moments
from pancli.placement import AxisMap, Placement
from pancli.resampling import degrade, mtf_radius
from pancli.sensors import GENERIC
from pancli.tiling import Window
from pancli.training.patches import Batch
from pancli.training.recipe import Loss

_GAIN = GENERIC.ms_gains[0]  # of a sensor that is not known
_FITTED = 4  # ms pixels along a side that pan's mixture is fitted on, at least
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
    if loss.ms or loss.pan:
        terms |= _consistency_terms(loss, fused.float(), batch)
    return terms


def least_patch(ratio: int) -> int:
    """Side of the smallest patch that can be asked to be consistent with its ms and pan."""
    return 2 * mtf_radius(ratio, _GAIN) + _FITTED * ratio


def _consistency_terms(loss: Loss, fused: Tensor, batch: Batch) -> dict[str, Tensor]:
    """How far a fused image is from the ms and the pan it was made of: mean absolute errors.

    Of the refinement that Zhou et al., IEEE TGRS 2022 (MSINN) train last it is openly known that it follows
    the imaging model: ms is the image blurred and reduced, pan a mixture of its bands. That these are its
    losses is our reconstruction, and so are the blur, a Gaussian of the MTF gain that is assumed of unknown
    sensors, and the mixture, fitted to each patch where both are known, on the ms grid. Pixels whose blur
    would reach beyond the patch do not count.
    """
    lrms = batch.inputs.lrms
    if lrms is None:
        raise ValueError("consistency needs ms at its own resolution")
    whole = Window(0, 0, *fused.shape[2:])
    ratio = whole.height // lrms.shape[2]
    axes = (AxisMap(1.0 / ratio, 0.0, side) for side in lrms.shape[2:])
    placement = Placement(*axes)
    inner = placement.ms_inside(whole.grow(-mtf_radius(ratio, _GAIN)))
    rows, cols = inner.slices_in(Window(0, 0, *lrms.shape[2:]))
    known = lrms[:, :, rows, cols]
    terms: dict[str, Tensor] = {}
    if loss.ms:
        apart = (degrade(fused, placement, whole, inner, _GAIN) - known) * batch.weight
        terms["ms"] = loss.ms * apart.abs().mean()
    if loss.pan:
        pan = batch.inputs.pan
        weights, level = _mixtures(known, degrade(pan, placement, whole, inner, _GAIN))
        mixed = (weights * fused).sum(1, keepdim=True) + level
        terms["pan"] = loss.pan * (mixed - pan).abs().mean()
    return terms


def _mixtures(bands: Tensor, pan: Tensor) -> tuple[Tensor, Tensor]:
    """What mixture of bands (N, K, h, w) pan (N, 1, h, w) is nearest to, by least squares, image by image.

    Returns:
        Weights (N, K, 1, 1) and a level (N, 1, 1, 1).
    """
    count = bands.shape[1]
    fits = [
        Moments.of(samples).regress(count, list(range(count)))
        for samples in torch.cat((bands, pan), 1).flatten(2)
    ]
    weights = torch.stack([weight for weight, _ in fits])
    level = torch.tensor([level for _, level in fits])
    return weights.to(bands)[:, :, None, None], level.to(bands)[:, None, None, None]


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

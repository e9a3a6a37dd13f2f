"""What the profiles of published codes share: whole images without masks, and QNR from any index Q."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pancli.errors import PairError, UsageError
from pancli.evaluation.figures import Figure, joint_figure
from pancli.evaluation.images import EvaluationTile, Images
from pancli.methods.moments import Moments
from pancli.metrics.correlation import mean_correlation
from pancli.metrics.no_reference import spatial_distortion, spectral_distortion

MAX_SIDE = 4096
"""Pixels: these profiles hold whole images."""

ONE_BAND = "it takes two bands"
"""Why a figure between bands is not defined."""

_CORNER = 1e-3  # ms pixels that corners may be apart


def check_whole(images: Images, profile: str, smallest: int = 1) -> int:
    """The ratio, once the images are what published codes take.

    Args:
        images: What is evaluated.
        profile: Its name, for messages.
        smallest: Pixels a side that the code needs.

    Raises:
        PairError: They are of different size, or their corners differ, or they are too small.
        UsageError: They are too large to be held.
    """
    placement, pan = images.info.placement, images.pair.pan_grid
    ratio = round(placement.ratio)
    height, width = images.area.shape
    ms_height, ms_width = placement.ms_shape
    if images.area != pan.window or (height, width) != (ratio * ms_height, ratio * ms_width):
        raise PairError(
            f"--profile {profile} compares whole images: FUSED and PAN of one size, MS {ratio} times "
            f"smaller; they have {width} x {height} pixels in common, PAN is {pan.shape[1]} x {pan.shape[0]} "
            f"and MS {ms_width} x {ms_height}; crop them, or use --profile pancli"
        )
    sides = zip(placement.axes, (height, width), strict=True)
    apart = max(
        max(abs(axis.offset), abs(axis.scale * length + axis.offset - axis.size)) for axis, length in sides
    )
    if apart > _CORNER:
        raise PairError(
            f"--profile {profile} needs corners in common, but PAN's and MS's are {apart:.3g} MS pixels "
            "apart; use --profile pancli"
        )
    if min(height, width) < smallest:
        raise PairError(
            f"--profile {profile} needs at least {smallest} pixels a side, but the images are {width} x "
            f"{height}; use --profile pancli"
        )
    if max(height, width) > MAX_SIDE:
        raise UsageError(
            f"--profile {profile} holds whole images and stops at {MAX_SIDE} pixels a side, but they are "
            f"{width} x {height}; use --profile pancli"
        )
    return ratio


def read_whole(images: Images, profile: str) -> EvaluationTile:
    """All pixels of all images.

    Raises:
        InputError: A file cannot be read.
        PairError: A pixel is invalid.
    """
    image = next((image for _, _, image in images.tiles(MAX_SIDE, 0)), None)
    if image is None or not bool(image.valid.all()):
        raise PairError(
            f"--profile {profile} knows no masks, but there are invalid pixels; use --profile pancli"
        )
    return image


def relations(images: Tensor, quality: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """(C, C) float64: the mean quality index of every two of C images, one on the diagonal.

    Two at a time, so that no more than their windows are held at once.

    Args:
        images: (C, H, W).
        quality: Of two (1, H, W) images, as a map or a number.
    """
    count = len(images)
    found = torch.eye(count, dtype=torch.float64)
    for i in range(count):
        for j in range(i):
            found[i, j] = found[j, i] = quality(images[i : i + 1], images[j : j + 1]).mean().cpu()
    return found


def qnr_figures(
    high: Tensor, low: Tensor, variants: tuple[str, str, str], note: str = ""
) -> dict[str, Figure]:
    """QNR and its two distortions.

    Args:
        high: (B + 1, B + 1), Q between the fused bands, then pan.
        low: The same at ms's resolution; NaN where no window fits.
        variants: Of QNR, D_lambda, D_S.
        note: Why they are not defined where no window fits.
    """
    joint, spectral, spatial = variants
    if bool(low.isnan().any()):
        return {
            key: Figure(None, v, note) for key, v in zip(("qnr", "d_lambda", "d_s"), variants, strict=True)
        }
    first = Figure(None, spectral, ONE_BAND)
    if len(high) > 2:
        first = Figure(spectral_distortion(high, low), spectral)
    second = Figure(spatial_distortion(high, low), spatial)
    return {"qnr": joint_figure(first, second, joint), "d_lambda": first, "d_s": second}


def correlation_figure(fused: Tensor, reference: Tensor, variant: str) -> Figure:
    """Pearson's correlation over all pixels, the mean of bands; not defined where a band is constant."""
    samples = torch.cat([fused, reference]).flatten(1)
    return Figure(mean_correlation(Moments.of(samples).covariance), variant, "a band is constant")

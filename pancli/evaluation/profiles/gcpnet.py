"""The ``gcpnet`` profile: what the code published with GCPNet prints for the same arrays.

``py-tra/metrics.py`` of github.com/manman1995/Awaresome-pansharpening, after IQA_pansharpening_python. Its
scripts cut all images to 8 bits before; here they stay as they are, and the peak stands for its 255.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from pancli.evaluation.figures import Figure, ergas_figure, psnr_figure, ssim_figure
from pancli.evaluation.images import EvaluationTile, Images
from pancli.evaluation.options import EvaluateOptions
from pancli.evaluation.profiles.toolbox_filters import mtf_filter, mtf_kernel
from pancli.evaluation.profiles.whole import (
    ONE_BAND,
    check_whole,
    correlation_figure,
    qnr_figures,
    read_whole,
    relations,
)
from pancli.metrics.quality_index import sliding_moments
from pancli.metrics.reference import ReferenceSums
from pancli.metrics.structure import SSIM_SIZE, ssim_map

_PAN_GAIN = 0.15  # QuickBird's, which the code takes for every sensor
_WINDOW = 8
_FLAT = 1e-8  # in squared digital numbers, whatever their scale
_EPS = torch.finfo(torch.float64).eps


def gcpnet_figures(images: Images, options: EvaluateOptions, peak: float | None) -> dict[str, Figure]:
    """Figures of images that are read whole.

    Args:
        images: What is evaluated.
        options: Side of the windows of D_lambda and D_S.
        peak: The largest digital number there can be; without it there is no PSNR and no SSIM.

    Raises:
        InputError: A file cannot be read.
        PairError: The code does not take these images.
        UsageError: They are too large to be held.
    """
    ratio = check_whole(images, "gcpnet", SSIM_SIZE)
    image = read_whole(images, "gcpnet")
    figures = _no_reference(image, ratio, options.block)
    if image.reference is not None:
        figures |= _against_reference(image.fused, image.reference, ratio, peak)
    return figures


def _no_reference(image: EvaluationTile, ratio: int, block: int) -> dict[str, Figure]:
    # The window method without the toolbox's loss of brightness, and every ratio-th pixel from the first:
    # (ratio - 1) / 2 pan pixels off where ms lies.
    low_pan = (
        mtf_filter(image.pan[0], _PAN_GAIN, ratio)[::ratio, ::ratio] / mtf_kernel(_PAN_GAIN, ratio).sum()
    )
    quality = partial(_quality, size=block)
    high = relations(torch.cat([image.fused, image.pan]), quality)
    low = relations(torch.cat([image.ms, low_pan[None]]), quality)
    where = f"gcpnet, sliding windows of {block}"
    return qnr_figures(
        high,
        low,
        (
            "gcpnet, (1 - d_lambda)(1 - d_s)",
            f"{where}, fused on its own grid, ms on its own",
            f"{where}, pan through QuickBird's MTF for any sensor, one pixel in {ratio} from the first",
        ),
        f"no window of {block} x {block} pixels fits into MS",
    )


def _against_reference(fused: Tensor, reference: Tensor, ratio: int, peak: float | None) -> dict[str, Figure]:
    sums = ReferenceSums.of(fused, reference)
    similarity = None if peak is None else float(ssim_map(fused, reference, peak).mean())
    q = torch.stack(
        [_quality(x[None], y[None], _WINDOW).mean() for x, y in zip(fused, reference, strict=True)]
    )
    return {
        "psnr": psnr_figure(sums, peak, "gcpnet, errors pooled over pixels and bands, not cut to 8 bits"),
        "ssim": ssim_figure(similarity, peak, "gcpnet, Gaussian 11 x 11, whole windows, mean of bands"),
        "sam": _sam(fused, reference),
        "ergas": ergas_figure(sums, ratio, f"gcpnet, 100 / {ratio}"),
        "scc": correlation_figure(
            fused, reference, "gcpnet, no edges: the plain correlation (cc), mean of bands"
        ),
        "q": Figure(float(q.mean()), f"gcpnet, sliding windows of {_WINDOW}, mean of bands"),
    }


def _sam(fused: Tensor, reference: Tensor) -> Figure:
    variant = "gcpnet, radians, cosine cut to [0, 1], a spectrum of zeros is at a right angle"
    if len(fused) < 2:
        return Figure(None, variant, ONE_BAND)
    lengths = fused.norm(dim=0) * reference.norm(dim=0)
    cosine = (fused * reference).sum(0) / (lengths + _EPS)
    return Figure(float(cosine.clamp(0, 1).acos().mean()), variant)


def _quality(x: Tensor, y: Tensor, size: int) -> Tensor:
    """Q in every window inside two images; a factor whose denominator is next to nothing is one."""
    (mx, my), spread, covariance, _ = sliding_moments(x, y, size)
    power = mx.square() + my.square()
    luminance = torch.where(power > _FLAT, 2 * mx * my / power, 1.0)
    structure = torch.where(spread > _FLAT, 2 * covariance / spread, 1.0)
    return luminance * structure

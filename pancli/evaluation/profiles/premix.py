"""The ``premix`` profile: what the code published with PreMix prints for the same arrays.

``src/metric.py`` of github.com/yc-cui/PreMix for CC and for what needs no reference; torchmetrics 1.3.2 for
the rest. It divides images by their peak, cuts them to [0, 1] and measures in float32. So does this: D_lambda
and D_S are small differences of large float32 means, and only float32 gives the same. torch adds up large
images in an order that follows the threads: expect the last digits of those two to move.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from pancli.errors import UsageError
from pancli.evaluation.figures import Figure, ergas_figure, exact, psnr_figure, ssim_figure
from pancli.evaluation.images import EvaluationTile, Images
from pancli.evaluation.options import EvaluateOptions
from pancli.evaluation.profiles.torchmetrics import (
    angle_figure,
    gaussian_quality,
    mean_of_bands,
    sliding_error,
)
from pancli.evaluation.profiles.whole import (
    check_whole,
    correlation_figure,
    qnr_figures,
    read_whole,
    relations,
)
from pancli.metrics.reference import ReferenceSums
from pancli.metrics.structure import SSIM_SIZE, ssim_map

_EPS = 1e-8
_FLOAT32_EPS = torch.finfo(torch.float32).eps


def premix_figures(images: Images, _options: EvaluateOptions, peak: float | None) -> dict[str, Figure]:
    """Figures of images that are read whole.

    Args:
        images: What is evaluated.
        peak: The largest digital number there can be.

    Raises:
        InputError: A file cannot be read.
        PairError: The code does not take these images.
        UsageError: They are too large to be held, or no peak is known.
    """
    ratio = check_whole(images, "premix", SSIM_SIZE)
    if peak is None:
        raise UsageError(
            "--profile premix divides images by the largest digital number, which is not known; "
            "give --peak, or --sensor"
        )
    image = read_whole(images, "premix")
    highest = max(float(part.max()) for part in (image.pan, image.ms, image.reference) if part is not None)
    if highest > peak:
        raise UsageError(
            f"--profile premix cuts images at the largest digital number, {exact(peak)}, and these go up to "
            f"{highest:g}; give --peak"
        )
    figures = _no_reference(image, peak)
    if image.reference is not None:
        fused, reference = _unit(image.fused, peak), _unit(image.reference, peak)
        figures |= _against_reference(
            fused, reference, ratio, f"premix, of numbers / {exact(peak)} in [0, 1]"
        )
    return figures


def _unit(image: Tensor, peak: float) -> Tensor:
    return (image / peak).clamp(0, 1).float()


def _no_reference(image: EvaluationTile, peak: float) -> dict[str, Figure]:
    fused, pan, ms = (_unit(v, peak) for v in (image.fused, image.pan, image.ms))
    low_pan = interpolate(pan[None], ms.shape[1:], mode="bicubic", align_corners=True)[0]
    high = relations(torch.cat([fused, pan]), _global_quality)
    low = relations(torch.cat([ms, low_pan]), _global_quality)
    where = f"premix, one Q of whole images / {exact(peak)}, float32"
    return qnr_figures(
        high,
        low,
        (
            "premix, (1 - d_lambda)(1 - d_s)",
            f"{where}: blind to missing detail",
            f"{where}, pan sampled by bicubic with corners aligned, not smoothed",
        ),
    )


def _global_quality(x: Tensor, y: Tensor) -> Tensor:
    """(1,) float64: Q of two (1, H, W) images, from differences of means in their own precision."""
    mx, my, xx, yy, xy = (v.mean((1, 2)) for v in (x, y, x * x, y * y, x * y))
    cross = 4 * (xy - mx * my)
    power = ((xx - mx * mx) + (yy - my * my)) * (mx * mx + my * my) + _EPS
    # The code takes every pair in both orders, which float32 rounds differently.
    return ((cross * mx * my / power).double() + (cross * my * mx / power).double()) / 2


def _against_reference(fused: Tensor, reference: Tensor, ratio: int, code: str) -> dict[str, Figure]:
    x, y = fused.double(), reference.double()
    sums = ReferenceSums.of(x, y)
    quality = partial(gaussian_quality, eps=_FLOAT32_EPS)
    ergas = ergas_figure(sums, 1 / ratio, f"{code}, 100 * {ratio}: {ratio**2} times 100 / {ratio}")
    return {
        "psnr": psnr_figure(sums, 1.0, f"{code}, errors pooled over pixels and bands"),
        "ssim": ssim_figure(
            float(ssim_map(x, y, 1.0).mean()), 1.0, f"{code}, Gaussian 11 x 11, whole windows"
        ),
        "sam": angle_figure(fused, reference, f"{code}, radians"),
        "ergas": ergas,
        "q": Figure(mean_of_bands(x, y, quality), f"{code}, Gaussian windows of 11, epsilon of float32"),
        "rmse": Figure(mean_of_bands(x, y, sliding_error), f"{code}, mean over windows of 8"),
        "cc": correlation_figure(x, y, f"{code}, mean of bands"),
    }

"""The ``torchmetrics`` profile: what torchmetrics 1.9 gives for the same arrays in float64.

``torchmetrics.functional.image`` with each function's defaults, but the pair's ratio and the peak given. In
float32, and on images divided by their peak, its constants weigh more: see README.md one folder up.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from pancli.evaluation.figures import Figure, ergas_figure, psnr_figure, ssim_figure
from pancli.evaluation.images import EvaluationTile, Images
from pancli.evaluation.options import EvaluateOptions
from pancli.evaluation.profiles.whole import ONE_BAND, check_whole, qnr_figures, read_whole, relations
from pancli.metrics.reference import ReferenceSums
from pancli.metrics.structure import SSIM_SIZE, ssim_map
from pancli.metrics.windows import gaussian, weighted_means, window_sums
from pancli.resampling import mirrored

NO_WINDOW = f"no window of {SSIM_SIZE} x {SSIM_SIZE} pixels fits into MS"
"""Why a figure of Gaussian windows on the ms grid is not defined."""

_SIGMA = 1.5
_WINDOW = 8
_BOX = 7
_FLAT = 1e-13  # variance over mean square below which a window is flat but for rounding
_FLAT_EDGES = 1e-12  # the same, over the mean square of all windows: in flat ones a Laplacian is all rounding


def torchmetrics_figures(images: Images, _options: EvaluateOptions, peak: float | None) -> dict[str, Figure]:
    """Figures of images that are read whole.

    Args:
        images: What is evaluated.
        peak: The largest digital number there can be; without it there is no PSNR and no SSIM.

    Raises:
        InputError: A file cannot be read.
        PairError: The library does not take these images.
        UsageError: They are too large to be held.
    """
    ratio = check_whole(images, "torchmetrics", SSIM_SIZE)
    image = read_whole(images, "torchmetrics")
    figures = _no_reference(image, ratio)
    if image.reference is not None:
        figures |= _against_reference(image.fused, image.reference, ratio, peak)
    return figures


def _no_reference(image: EvaluationTile, ratio: int) -> dict[str, Figure]:
    quality = partial(gaussian_quality, eps=torch.finfo(torch.float64).eps)
    high = relations(torch.cat([image.fused, image.pan]), quality)
    low = relations(torch.cat([image.ms, _reduce(image.pan, ratio)]), quality)
    where = "torchmetrics, Q in Gaussian windows of 11"
    return qnr_figures(
        high,
        low,
        (
            "torchmetrics, (1 - d_lambda)(1 - d_s)",
            f"{where}, fused on its own grid, ms on its own",
            f"{where}, pan through a 7 x 7 mean and bilinear interpolation",
        ),
        NO_WINDOW,
    )


def _reduce(pan: Tensor, ratio: int) -> Tensor:
    """(1, h, w): a box mean with mirrored borders, then bilinear interpolation at the ms pixels' centres."""
    half = _BOX // 2
    rows, cols = (
        mirrored(torch.arange(-half, length + half, device=pan.device), length) for length in pan.shape[1:]
    )
    smooth = window_sums(pan[:, rows][:, :, cols], _BOX, _BOX) / _BOX**2
    size = [length // ratio for length in smooth.shape[1:]]
    return interpolate(smooth[None], size, mode="bilinear", align_corners=False)[0]


def _against_reference(fused: Tensor, reference: Tensor, ratio: int, peak: float | None) -> dict[str, Figure]:
    sums = ReferenceSums.of(fused, reference)
    similarity = None if peak is None else _similarity(fused, reference, peak)
    eps = torch.finfo(torch.float64).eps
    return {
        "psnr": psnr_figure(sums, peak, "torchmetrics, errors pooled over pixels and bands"),
        "ssim": ssim_figure(similarity, peak, "torchmetrics, Gaussian 11 x 11, mirrored borders counted"),
        "sam": angle_figure(fused, reference, "torchmetrics, radians"),
        "ergas": ergas_figure(sums, ratio, f"torchmetrics, 100 / {ratio}"),
        "scc": Figure(
            mean_of_bands(fused, reference, _local_correlation),
            f"torchmetrics, correlation of Laplacians in windows of {_WINDOW}, zeros around",
        ),
        "q": Figure(
            mean_of_bands(fused, reference, partial(gaussian_quality, eps=eps)),
            "torchmetrics, Gaussian windows of 11, mean of bands",
        ),
        "rmse": Figure(
            mean_of_bands(fused, reference, sliding_error), f"torchmetrics, mean over windows of {_WINDOW}"
        ),
    }


def _similarity(fused: Tensor, reference: Tensor, peak: float) -> float:
    half = SSIM_SIZE // 2
    x, y = (pad(image[None], (half,) * 4, mode="reflect")[0] for image in (fused, reference))
    return float(ssim_map(x, y, peak).mean())


def angle_figure(fused: Tensor, reference: Tensor, variant: str) -> Figure:
    """The mean spectral angle in radians by arccos; a spectrum of zeros spoils it, as in the library.

    Args:
        fused: (B, H, W), in the precision that the angles are to have.
        reference: The same.
        variant: Which definition.
    """
    if len(fused) < 2:
        return Figure(None, variant, ONE_BAND)
    cosine = (fused * reference).sum(0) / (fused.norm(dim=0) * reference.norm(dim=0))
    angle = float(cosine.clamp(-1, 1).acos().mean())
    # A mean with one NaN in it is NaN, which is what the library returns.
    return Figure(
        None if angle != angle else angle, variant, "a spectrum is zero, and one makes the mean NaN"
    )


def mean_of_bands(fused: Tensor, reference: Tensor, index: Callable[[Tensor, Tensor], Tensor]) -> float:
    """The mean of a map of two (1, H, W) images, over bands; one band at a time to save memory."""
    maps = (index(x[None], y[None]).mean() for x, y in zip(fused, reference, strict=True))
    return float(torch.stack(list(maps)).mean())


def gaussian_quality(x: Tensor, y: Tensor, eps: float) -> Tensor:
    """Q in every Gaussian window of 11 x 11 inside two images.

    Args:
        x: (1, H, W).
        y: The same.
        eps: Added to the denominator. It is there for flat windows, which it makes zero; where it is too
            small for the images' numbers, what the library returns for them is rounding, but here is zero.

    Returns:
        (1, H - 10, W - 10); empty where no window fits.
    """
    weights = gaussian(SSIM_SIZE, _SIGMA)
    mx, my, xx, yy, xy = (weighted_means(v, weights) for v in (x, y, x * x, y * y, x * y))
    spread = (xx - mx.square()).clamp_min(0) + (yy - my.square()).clamp_min(0)
    found = 4 * mx * my * (xy - mx * my) / ((mx.square() + my.square()) * spread + eps)
    return torch.where(spread > _FLAT * (xx + yy), found, 0.0)


def sliding_error(x: Tensor, y: Tensor) -> Tensor:
    """Root mean square error in windows of 8 x 8; the library leaves out the last row and column of them.

    Args:
        x: (1, H, W).
        y: The same.

    Returns:
        (1, H - 8, W - 8).
    """
    errors = window_sums((x - y).square(), _WINDOW, _WINDOW)[:, :-1, :-1]
    return (errors / _WINDOW**2).clamp_min(0).sqrt()


def _local_correlation(x: Tensor, y: Tensor) -> Tensor:
    """Correlation of two images' Laplacians around each pixel; zero where one of them is flat."""
    before, after = _WINDOW // 2, _WINDOW - 1 - _WINDOW // 2
    a, b = (pad(_laplacian(image), (before, after, before, after)) for image in (x, y))
    count = _WINDOW**2
    ma, mb, aa, bb, ab = (window_sums(v, _WINDOW, _WINDOW) / count for v in (a, b, a * a, b * b, a * b))
    va, vb = ((square - mean.square()).clamp_min(0) for square, mean in ((aa, ma), (bb, mb)))
    lengths = va.sqrt() * vb.sqrt()
    flat = (va <= _FLAT_EDGES * aa.mean()) | (vb <= _FLAT_EDGES * bb.mean())
    return torch.where(flat, 0.0, (ab - ma * mb) / torch.where(flat, 1.0, lengths))


def _laplacian(image: Tensor) -> Tensor:
    """Eight times each pixel less its eight neighbours, those beyond the border mirrored."""
    around = pad(image[None], (1,) * 4, mode="replicate")[0]
    return 9 * image - window_sums(around, 3, 3)

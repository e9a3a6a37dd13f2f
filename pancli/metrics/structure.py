"""Structure in small neighbourhoods: SSIM, the correlation of edges, local correlation with pan."""

from __future__ import annotations

import torch
from torch import Tensor

from pancli.metrics.windows import gaussian, weighted_means, window_sums

SSIM_SIZE = 11
_SSIM_SIGMA = 1.5
_K1, _K2 = 0.01, 0.03
_FLAT = 1e-12  # of a local mean: deviations as small are of float64 arithmetic


def ssim_map(x: Tensor, y: Tensor, peak: float) -> Tensor:
    """Structural similarity in every window inside two images.

    Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural
    similarity", IEEE TIP 2004, eq. 13, with their 11 x 11 Gaussian window.

    Args:
        x: (B, H, W) float64.
        y: The same.
        peak: The largest digital number there can be.

    Returns:
        (B, H - 10, W - 10), at the window's upper left pixel.
    """
    weights = gaussian(SSIM_SIZE, _SSIM_SIGMA)
    mx, my, xx, yy, xy = (weighted_means(v, weights) for v in (x, y, x * x, y * y, x * y))
    c1, c2 = (_K1 * peak) ** 2, (_K2 * peak) ** 2
    luminance = (2 * mx * my + c1) / (mx.square() + my.square() + c1)
    spread = xx - mx.square() + yy - my.square()
    return luminance * (2 * (xy - mx * my) + c2) / (spread + c2)


def edge_strength(image: Tensor) -> Tensor:
    """Length of the Sobel gradient.

    Args:
        image: (B, H, W) float64.

    Returns:
        (B, H - 2, W - 2): the frame has no gradient.
    """
    smooth_cols = image[..., :-2] + 2 * image[..., 1:-1] + image[..., 2:]
    smooth_rows = image[..., :-2, :] + 2 * image[..., 1:-1, :] + image[..., 2:, :]
    down = smooth_cols[..., 2:, :] - smooth_cols[..., :-2, :]
    right = smooth_rows[..., 2:] - smooth_rows[..., :-2]
    return (down.square() + right.square()).sqrt()


def local_correlation(images: Tensor, pan: Tensor, half: int) -> Tensor:
    """Correlation of each band with pan around each pixel, less the local mean of each pixel.

    Scarpa and Ciotola, "Full-resolution quality assessment for pansharpening", Remote Sensing 2022: the
    correlation field of D_rho. A window has ``2 half`` rows from ``half - 1`` above a pixel to ``half``
    below it, and as many columns.

    Args:
        images: (B, H, W) float64.
        pan: (1, H, W).
        half: Half the window's side.

    Returns:
        (B, H - 4 half + 2, W - 4 half + 2), in [-1, 1]: pixels whose windows' windows lie inside the image;
        the first one is pixel ``2 half - 2``. Zero where either image is flat but for rounding.
    """
    size = 2 * half
    (x, x_flat), (y, y_flat) = (_less_mean(image, half) for image in (images, pan))
    xy, xx, yy = (window_sums(v, size, size) for v in (x * y, x * x, y * y))
    known = (xx > x_flat) & (yy > y_flat)
    # Two roots: the product of two small sums may be none.
    power = torch.where(known, xx, 1.0).sqrt() * torch.where(known, yy, 1.0).sqrt()
    return torch.where(known, xy / power, 0.0).clamp(-1, 1)


def _less_mean(image: Tensor, half: int) -> tuple[Tensor, Tensor]:
    """Each pixel less the mean around it; and up to which sum of its squares a window of that is flat."""
    size, first = 2 * half, half - 1
    means = window_sums(image, size, size) / size**2
    rows, cols = (slice(first, first + side) for side in means.shape[-2:])
    down, right = (slice(first, max(side - half, first)) for side in means.shape[-2:])
    return image[..., rows, cols] - means, (size * _FLAT * means[..., down, right]).square()

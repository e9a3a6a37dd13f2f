"""Filters as the MATLAB toolbox of Vivone et al. has them, for whole images, borders and offsets included.

Vivone et al., "A new benchmark based on recent advances in multispectral pansharpening", IEEE GRSM 2021. What
pancli itself uses is in ``resampling``; these are here so that numbers published with the toolbox can be had
again. They place ms pixel i on pan pixel ``ratio * i + ratio / 2``, half a pixel off where shared corners
put it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from pancli.resampling import cubic_kernel, mirrored

_TAPS = (
    (1, 0.305334091185),
    (3, -0.072698593239),
    (5, 0.021809577942),
    (7, -0.005192756653),
    (9, 0.000807762146),
    (11, -0.000060081482),
)
_KERNEL_SIZE = 41
_KAISER_BETA = 0.5


def interpolate_23_taps(image: Tensor, ratio: int) -> Tensor:
    """Interpolation by a half-band filter of 23 taps, once per factor of two; borders wrap around.

    Aiazzi, Alparone, Baronti, Garzelli, "Context-driven fusion of high spatial and spectral resolution
    images based on oversampled multiresolution analysis", IEEE TGRS 2002.

    Args:
        image: (..., h, w) float64.
        ratio: A power of two.

    Returns:
        (..., ratio h, ratio w).
    """
    rows, cols = (_interpolation(n, ratio).to(image) for n in image.shape[-2:])
    return rows @ image @ cols.T


def _interpolation(size: int, ratio: int) -> Tensor:
    """(ratio size, size): what interpolation does along one axis."""
    matrix = torch.eye(size, dtype=torch.float64)
    for step in range(ratio.bit_length() - 1):
        spread = torch.zeros(2 * matrix.shape[0], size, dtype=torch.float64)
        spread[(1 if step == 0 else 0) :: 2] = matrix
        matrix = spread.clone()
        for offset, weight in _TAPS:
            matrix += 2 * weight * (spread.roll(offset, 0) + spread.roll(-offset, 0))
    return matrix


def shrink_bicubic(image: Tensor, ratio: int) -> Tensor:
    """MATLAB's ``imresize(image, 1 / ratio)``: cubic convolution stretched, mirrored at borders.

    Args:
        image: (..., H, W) float64.
        ratio: At least two.

    Returns:
        (..., H / ratio, W / ratio), rounded up.
    """
    rows, cols = (_shrinking(n, ratio).to(image) for n in image.shape[-2:])
    shrunk: Tensor = rows @ image @ cols.T
    return shrunk


def _shrinking(size: int, ratio: int) -> Tensor:
    count = math.ceil(size / ratio)
    centres = ratio * torch.arange(count, dtype=torch.float64) + (ratio - 1) / 2
    taps = torch.arange(4 * ratio + 2)
    sources = (centres - 2 * ratio).floor().long()[:, None] + taps[None]
    weights = cubic_kernel((centres[:, None] - sources) / ratio)
    weights = weights / weights.sum(1, keepdim=True)
    return torch.zeros(count, size, dtype=torch.float64).scatter_add_(1, mirrored(sources, size), weights)


def mtf_kernel(gain: float, ratio: int) -> Tensor:
    """(41, 41): the low-pass made for an MTF at the ms Nyquist. It sums to a little less than one.

    Aiazzi et al., "MTF-tailored multiscale fusion of high-resolution MS and Pan imagery", PE&RS 2006; a
    Gaussian response turned into a filter by a Kaiser window over the distance from the centre.
    """
    half = (_KERNEL_SIZE - 1) // 2
    alpha = (_KERNEL_SIZE - 1) / (2 * ratio) / math.sqrt(-2 * math.log(gain))
    offsets = torch.arange(-half, half + 1, dtype=torch.float64)
    distance = (offsets[:, None].square() + offsets[None].square()).sqrt()
    response = torch.exp(-distance.square() / (2 * alpha**2))
    kernel: Tensor = torch.fft.fftshift(torch.fft.ifft2(torch.fft.ifftshift(response)).real)
    return kernel * _kaiser(distance, half)


def _kaiser(distance: Tensor, half: int) -> Tensor:
    """The Kaiser window's 41 samples, interpolated linearly over the distance; zero beyond them."""
    window = torch.kaiser_window(_KERNEL_SIZE, periodic=False, beta=_KAISER_BETA, dtype=torch.float64)[half:]
    low = distance.floor().long().clamp(0, half)
    high = (low + 1).clamp_max(half)
    share = distance - low
    values = window[low] * (1 - share) + window[high] * share
    return torch.where(distance <= half, values, torch.zeros_like(values))


def mtf_filter(image: Tensor, gain: float, ratio: int) -> Tensor:
    """(H, W) float64 through :func:`mtf_kernel`, borders replicated."""
    half = (_KERNEL_SIZE - 1) // 2
    padded = pad(image[None, None], (half,) * 4, mode="replicate")[0, 0]
    # By Fourier transforms: torch's convolution in float64 copies all 41 x 41 neighbours of every pixel.
    kernel = torch.fft.rfft2(mtf_kernel(gain, ratio).to(image), s=padded.shape)
    filtered: Tensor = torch.fft.irfft2(torch.fft.rfft2(padded) * kernel, s=padded.shape)
    return filtered[2 * half :, 2 * half :]  # before that, the image's end wraps around

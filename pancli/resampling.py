"""Moving images between the pan and the ms grid: interpolation up, MTF-matched degradation down.

Both are separable and linear, so each axis is a small matrix built from an :class:`AxisMap`: any ratio,
any offset, any direction, and a tile sees exactly the numbers the whole image would. ``R @ image @ C.T``
applies it; on CPUs only where it is not zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from pancli.placement import AxisMap, Placement
from pancli.tiling import Window

CUBIC_TAPS = 2
"""ms pixels on each side that cubic interpolation reads."""

SINC_TAPS = 12
"""Pixels on each side that :func:`displace` reads.

Half a pixel away 0.97 is left of what repeats every 2.2 pixels, where 4 would leave 0.45."""

VALID_WEIGHT = 0.99
"""A reduced pixel is valid where at least this share of its blur's weight lies on valid pixels."""

_BAND = 64  # pan pixels that one product makes or takes: more have more zeros, fewer need more calls
_SMALL = 192  # pan pixels: the side up to which leaving out zeros takes longer than multiplying them
_KEPT = 64  # weights along an axis, without their zeros, that are kept: some 50 kB each
_KEPT_WHOLE = 16  # the same with them, on a GPU: some MB each

_TRUNCATION = 4.0  # standard deviations of the Gaussian kept on each side: 6e-5 of its mass is dropped
# Pan pixels: the narrowest Gaussian. Truncated, it still reaches the pixels on both sides of a centre between
# them, whatever rounding does to it; a pixel that a centre lies on has all of the weight.
_NARROWEST = 0.500001 / _TRUNCATION


def cubic_kernel(x: Tensor) -> Tensor:
    """Cubic convolution kernel with a = -0.5.

    Keys, "Cubic convolution interpolation for digital image processing", IEEE TASSP 1981, eq. 15.
    """
    x = x.abs()
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def sinc_kernel(x: Tensor) -> Tensor:
    """Sinc, windowed by the middle lobe of a wider one, so that little fine detail is lost.

    Lanczos, "Applied analysis", 1956; Duchon, "Lanczos filtering in one and two dimensions", J. Appl.
    Meteorology 1979, eq. 9.
    """
    return torch.where(x.abs() < SINC_TAPS, torch.sinc(x) * torch.sinc(x / SINC_TAPS), torch.zeros_like(x))


def mirrored(positions: Tensor, size: int) -> Tensor:
    """Which of ``size`` pixels lie at whole positions along an axis that goes on as its own mirror image.

    >>> mirrored(torch.arange(-2, 5), 3).tolist()
    [1, 0, 0, 1, 2, 2, 1]
    """
    turned = positions.remainder(2 * size)
    return torch.where(turned < size, turned, 2 * size - 1 - turned)


def mtf_sigma(ratio: float, gain: float) -> float:
    """Standard deviation, in pan pixels, of the Gaussian blur whose MTF is ``gain`` at the ms Nyquist.

    Aiazzi et al., "MTF-tailored multiscale fusion of high-resolution MS and Pan imagery", PE&RS 2006.
    Gains near 1 have that of the narrowest blur that finds a pixel everywhere, an eighth of one.
    """
    return max(ratio * math.sqrt(-2.0 * math.log(gain)) / math.pi, _NARROWEST)


def mtf_radius(ratio: float, gain: float) -> int:
    """How far, in pan pixels, the truncated kernel of :func:`degradation_matrix` looks."""
    return math.ceil(_TRUNCATION * mtf_sigma(ratio, gain))


def low_pass_radius(ratio: float, gain: float) -> int:
    """How far :func:`low_pass` looks, in pan pixels: degradation, then cubic interpolation."""
    return mtf_radius(ratio, gain) + math.ceil((CUBIC_TAPS + 0.5) * ratio)


def interpolation_matrix(axis: AxisMap, pan: tuple[int, int], ms: tuple[int, int]) -> Tensor:
    """Cubic interpolation of ms pixels ``ms`` to pan pixels ``pan`` along one axis.

    Taps beyond the span ``ms`` are taken from its nearest end: replication at the image's border. A span
    from :meth:`AxisMap.ms_span` with margin :data:`CUBIC_TAPS` never clips elsewhere.

    Returns:
        (n_pan, n_ms) float64; rows sum to one.
    """
    index = torch.arange(pan[0], pan[1], dtype=torch.float64)
    position = axis.scale * (index + 0.5) + axis.offset - 0.5
    return _kernel_matrix(position, ms, cubic_kernel, CUBIC_TAPS)


def _kernel_matrix(
    position: Tensor, span: tuple[int, int], kernel: Callable[[Tensor], Tensor], taps: int
) -> Tensor:
    """Weights (positions, pixels of the span) of a kernel; what lies beyond the span is its nearest end."""
    source = position.floor()[:, None] + torch.arange(1 - taps, taps + 1)
    index = (source.clamp(span[0], span[1] - 1) - span[0]).long()
    matrix = torch.zeros(len(position), span[1] - span[0], dtype=torch.float64)
    matrix.scatter_add_(1, index, kernel(position[:, None] - source))
    return matrix


def degradation_matrix(axis: AxisMap, ms: tuple[int, int], pan: tuple[int, int], gain: float) -> Tensor:
    """MTF-matched Gaussian low-pass of pan pixels ``pan``, sampled at the centres of ms pixels ``ms``.

    Weights are renormalised over the pan pixels there are, so a constant stays constant.

    Returns:
        (n_ms, n_pan) float64; rows sum to one, or to zero where no pan pixel is in reach.
    """
    centres = (torch.arange(*ms, dtype=torch.float64) + 0.5 - axis.offset) / axis.scale - 0.5
    reach = _TRUNCATION * mtf_sigma(axis.ratio, gain)
    taps = torch.arange(math.floor(-reach), math.ceil(reach) + 1)
    source = centres.floor()[:, None] + taps
    distance = source - centres[:, None]
    weight = torch.exp(-0.5 * (distance / mtf_sigma(axis.ratio, gain)) ** 2)
    inside = (distance.abs() <= reach) & (source >= pan[0]) & (source < pan[1])
    matrix = torch.zeros(len(centres), pan[1] - pan[0], dtype=torch.float64)
    index = (source.clamp(pan[0], pan[1] - 1) - pan[0]).long()
    matrix.scatter_add_(1, index, torch.where(inside, weight, 0.0))
    return matrix / matrix.sum(1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)


@dataclass(frozen=True, slots=True)
class _Weights:
    """Weights along one axis, by what makes their matrix.

    Attributes:
        make: Makes it.
        of: From these.
    """

    make: Callable[..., Tensor]
    of: tuple[Any, ...]


def _weighed(rows: _Weights, image: Tensor, cols: _Weights, pan_shape: tuple[int, ...]) -> Tensor:
    """An image (..., H, W) through weights of which every row has few, all near the diagonal.

    The zeros are left out, and the rest is kept for the next tile or band, where it is often the same. A GPU
    multiplies faster than it starts, gradients would cost what is saved, and a small image saves nothing:
    there, all are taken. A GPU would wait for them longer than it multiplies: for it they are kept.
    """
    if image.device.type != "cpu" or image.requires_grad or max(pan_shape) <= _SMALL:
        # What was made in inference mode must not be kept for a product that has a gradient.
        make = _whole if image.device.type == "cpu" or image.requires_grad else _whole_kept
        down, across = (make(weights, image.device, image.dtype) for weights in (rows, cols))
        return down @ image @ across.T
    tall = torch.cat([part @ image[..., used, :] for part, used in _parts(rows, image.dtype)], -2)
    return torch.cat([tall[..., used] @ part.T for part, used in _parts(cols, image.dtype)], -1)


def _whole(weights: _Weights, device: torch.device, dtype: torch.dtype) -> Tensor:
    """A matrix where it is needed."""
    return weights.make(*weights.of).to(device, dtype)


_whole_kept = lru_cache(maxsize=_KEPT_WHOLE)(_whole)


@lru_cache(maxsize=_KEPT)
def _parts(weights: _Weights, dtype: torch.dtype) -> tuple[tuple[Tensor, slice], ...]:
    """A matrix by blocks of rows: the columns that hold weights, and which these are."""
    matrix = weights.make(*weights.of).to(dtype)
    count, width = matrix.shape
    parts = []
    for block in torch.split(matrix, max(round(_BAND * min(1.0, count / max(width, 1))), 1)):
        held = block.any(0).nonzero().flatten().tolist() or [-1]
        used = slice(max(held[0], 0), held[-1] + 1)
        parts.append((block[:, used].clone(), used))
    return tuple(parts)


def upsample(ms: Tensor, placement: Placement, ms_window: Window, pan_window: Window) -> Tensor:
    """Interpolate ms to the pan grid (cubic convolution, placed by geotransform).

    Args:
        ms: (..., h, w), covering ``ms_window``.
        placement: How the ms grid lies on the pan grid.
        ms_window: Where ``ms`` lies; ``placement.ms_window(pan_window, CUBIC_TAPS)`` or larger.
        pan_window: The pan pixels wanted.

    Returns:
        (..., H, W) of the same dtype and on the same device.
    """
    rows, cols = (
        _Weights(interpolation_matrix, (axis, pan, low))
        for axis, pan, low in zip(placement.axes, pan_window.spans, ms_window.spans, strict=True)
    )
    return _weighed(rows, ms, cols, pan_window.shape)


def displace(image: Tensor, shift: tuple[float, float]) -> Tensor:
    """What lies so many pixels (down, right) of every pixel of an image (..., H, W); its rim is repeated."""
    rows, cols = (_Weights(_displacement, asked) for asked in zip(image.shape[-2:], shift, strict=True))
    return _weighed(rows, image, cols, image.shape[-2:])


def _displacement(size: int, away: float) -> Tensor:
    position = torch.arange(size, dtype=torch.float64) + away
    matrix = _kernel_matrix(position, (0, size), sinc_kernel, SINC_TAPS)
    return matrix / matrix.sum(1, keepdim=True)


def degrade(
    image: Tensor, placement: Placement, pan_window: Window, ms_window: Window, gain: float
) -> Tensor:
    """Reduce an image on the pan grid to the ms grid through a sensor's MTF.

    Args:
        image: (..., H, W), covering ``pan_window``.
        placement: How the ms grid lies on the pan grid.
        pan_window: Where ``image`` lies.
        ms_window: The ms pixels wanted. Exact where :func:`mtf_radius` pan pixels around them lie in
            ``pan_window`` or beyond the scene.
        gain: MTF at the ms Nyquist frequency, in (0, 1).

    Returns:
        (..., h, w) of the same dtype and on the same device.
    """
    rows, cols = (
        _Weights(degradation_matrix, (axis, low, pan, gain))
        for axis, low, pan in zip(placement.axes, ms_window.spans, pan_window.spans, strict=True)
    )
    return _weighed(rows, image, cols, pan_window.shape)


def degrade_bands(
    image: Tensor, placement: Placement, windows: tuple[Window, Window], gains: Sequence[float]
) -> Tensor:
    """:func:`degrade`, each band through its own MTF.

    Args:
        image: (..., B, H, W), covering the first window.
        placement: How the ms grid lies on the pan grid.
        windows: Where ``image`` lies on the pan grid, and what is wanted of the ms grid.
        gains: MTF at the ms Nyquist frequency, one per band.

    Returns:
        (..., B, h, w) of the same dtype and on the same device.
    """
    bands = image.unbind(-3)
    if len(bands) == len(gains) and len(set(gains)) == 1:
        return degrade(image, placement, *windows, gains[0])
    reduced = [degrade(band, placement, *windows, gain) for band, gain in zip(bands, gains, strict=True)]
    return torch.stack(reduced, -3)


def reduce_masked(
    image: Tensor, valid: Tensor, placement: Placement, windows: tuple[Window, Window], gains: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """Blur and sample an image of which some pixels are invalid: these have no weight.

    Normalized convolution: Knutsson & Westin, "Normalized and differential convolution", CVPR 1993. What lies
    beyond the image has no weight either, and does not make a pixel invalid.

    Args:
        image: (B, H, W), or (1, H, W) to go through every gain; values of invalid pixels may be anything, NaN
            included.
        valid: (H, W) bool.
        placement: How the coarse grid lies on the fine one.
        windows: Where ``image`` lies on the fine grid, and what is wanted of the coarse one: pixels whose
            centres lie on the image, or within reach of the blur.
        gains: MTF at the coarse Nyquist frequency, B of them.

    Returns:
        (B, h, w) float64, and (h, w) bool: at least :data:`VALID_WEIGHT` of every band's weight is valid.
    """
    source, target = windows
    whole = bool(valid.all())
    known = (image if whole else torch.where(valid, image, 0.0)).double()
    reduced = degrade_bands(known.expand(len(gains), -1, -1), placement, windows, gains)
    if whole:
        return reduced, torch.ones(target.shape, dtype=torch.bool, device=valid.device)
    shares = {gain: degrade(valid.double(), placement, source, target, gain) for gain in set(gains)}
    share = torch.stack([shares[gain] for gain in gains])
    return reduced / share.clamp_min(torch.finfo(share.dtype).tiny), (share >= VALID_WEIGHT).all(0)


def blur(image: Tensor, sigmas: tuple[float, float]) -> Tensor:
    """Gaussian blur whose taps are integrals over a pixel each; edges are repeated.

    So it is a little wider than asked for, by a pixel's own variance of 1 / 12, but for sigmas far below a
    pixel, of which nothing is left: networks were trained with it as it is.

    Args:
        image: (C, H, W). Exact four ``sigmas`` inside its edges.
        sigmas: Standard deviations down and across, pixels, above 0.
    """
    rows, cols = (_Weights(_blurring, asked) for asked in zip(image.shape[-2:], sigmas, strict=True))
    return _weighed(rows, image, cols, image.shape[-2:])


def _blurring(size: int, sigma: float) -> Tensor:
    radius = math.ceil(4 * sigma)
    edges = (torch.arange(2 * radius + 2, dtype=torch.float64) - radius - 0.5) / (sigma * math.sqrt(2))
    kernel = torch.diff(torch.erf(edges))
    source = torch.arange(size)[:, None] + torch.arange(-radius, radius + 1)
    matrix = torch.zeros(size, size, dtype=torch.float64)
    matrix.scatter_add_(1, source.clamp(0, size - 1), (kernel / kernel.sum()).expand(size, -1))
    return matrix


def low_pass(image: Tensor, placement: Placement, pan_window: Window, gain: float) -> Tensor:
    """Degrade to the ms grid and interpolate back: what ms resolution can show of ``image``.

    Args:
        image: (..., H, W), covering ``pan_window``. Exact :func:`low_pass_radius` pixels inside it.
        placement: How the ms grid lies on the pan grid.
        pan_window: Where ``image`` lies.
        gain: MTF at the ms Nyquist frequency, in (0, 1).

    Returns:
        (..., H, W).
    """
    # Only ms pixels centred on the window: one further out may have no pan pixel in reach.
    ms_window = placement.ms_inside(pan_window)
    if ms_window.size == 0:
        ms_window = placement.ms_window(pan_window, 0)
    reduced = degrade(image, placement, pan_window, ms_window, gain)
    return upsample(reduced, placement, ms_window, pan_window)

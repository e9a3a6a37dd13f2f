"""The ``dlpan`` profile: what the MATLAB toolbox of Vivone et al. 2021 prints for the same arrays.

It takes whole images without masks, of corners in common and sides that are multiples of the block, and
cuts 20 rows and columns at the start and 21 at the end before it compares with a reference.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from pancli.errors import PairError, UsageError
from pancli.evaluation.figures import Figure, ergas_figure, sam_figure
from pancli.evaluation.images import EvaluationTile, Images
from pancli.evaluation.toolbox_filters import interpolate_23_taps, mtf_filter, shrink_bicubic
from pancli.metrics.correlation import cosine
from pancli.metrics.hypercomplex import q2n_blocks
from pancli.metrics.no_reference import spatial_distortion, spectral_distortion
from pancli.metrics.quality_index import block_quality, sliding_quality
from pancli.metrics.reference import ReferenceSums
from pancli.metrics.structure import edge_strength

MAX_SIDE = 4096
"""Pixels: the profile holds whole images."""

_CUT = slice(20, -21)
_CORNER = 1e-3  # ms pixels that corners may be apart


def dlpan_figures(images: Images, block: int, *, radians: bool = False) -> dict[str, Figure]:
    """Figures of images that are read whole.

    Args:
        images: What is evaluated.
        block: Side of blocks and windows.
        radians: Of SAM, instead of degrees.

    Raises:
        InputError: A file cannot be read.
        PairError: The toolbox does not take these images.
        UsageError: They are too large to be held.
    """
    ratio = _check_shapes(images, block)
    image = next((image for _, _, image in images.tiles(MAX_SIDE, 0)), None)
    if image is None or not bool(image.valid.all()):
        raise PairError("--profile dlpan knows no masks, but there are invalid pixels; use --profile pancli")
    figures = _no_reference(image, images.info.gains, ratio, block)
    if image.reference is not None:
        figures |= _against_reference(image.fused, image.reference, ratio, block, radians=radians)
    return figures


def _check_shapes(images: Images, block: int) -> int:
    """The ratio, once the toolbox takes the images."""
    placement, pan = images.info.placement, images.pair.pan_grid
    ratio = round(placement.ratio)
    height, width = images.area.shape
    ms_height, ms_width = placement.ms_shape
    if images.area != pan.window or (height, width) != (ratio * ms_height, ratio * ms_width):
        raise PairError(
            f"--profile dlpan compares whole images: FUSED and PAN of one size, MS {ratio} times smaller; "
            f"they have {width} x {height} pixels in common, PAN is {pan.shape[1]} x {pan.shape[0]} and MS "
            f"{ms_width} x {ms_height}; crop them, or use --profile pancli"
        )
    apart = max(abs(axis.offset) for axis in (placement.rows, placement.cols))
    if ratio & (ratio - 1) or apart > _CORNER:
        raise PairError(
            f"--profile dlpan needs a ratio that is a power of two and corners in common, but the ratio is "
            f"{placement.ratio:.4g} and the corners are {apart:.3g} MS pixels apart; use --profile pancli"
        )
    if height % block or width % block:
        raise PairError(
            f"--profile dlpan needs sides that are multiples of {block}, but the images are {width} x "
            f"{height}; crop them, or use --profile pancli"
        )
    if max(height, width) > MAX_SIDE:
        raise UsageError(
            f"--profile dlpan holds whole images and stops at {MAX_SIDE} pixels a side, but they are "
            f"{width} x {height}; use --profile pancli"
        )
    return ratio


def _no_reference(
    image: EvaluationTile, gains: tuple[float, ...], ratio: int, block: int
) -> dict[str, Figure]:
    upsampled = interpolate_23_taps(image.ms, ratio)
    low_pan = interpolate_23_taps(shrink_bicubic(image.pan, ratio), ratio)
    high = block_quality(torch.cat([image.fused, image.pan]), block).mean((0, 1))
    low = block_quality(torch.cat([upsampled, low_pan]), block).mean((0, 1))
    filtered = torch.stack([mtf_filter(b, g, ratio) for b, g in zip(image.fused, gains, strict=True)])
    khan = 1 - float(q2n_blocks(_as_stored(upsampled), _as_stored(filtered), block, 0.0).mean())
    spatial = spatial_distortion(high, low)
    spectral = spectral_distortion(high, low) if len(gains) > 1 else None
    qnr = None if spectral is None else (1 - spectral) * (1 - spatial)
    one = "it takes two bands"
    where = f"toolbox, blocks of {block}"
    return {
        "qnr": Figure(qnr, "toolbox, (1 - d_lambda)(1 - d_s)", one),
        "d_lambda": Figure(spectral, f"{where}, ms by 23 taps", one),
        "d_s": Figure(spatial, f"{where}, pan by imresize and 23 taps"),
        "hqnr": Figure((1 - khan) * (1 - spatial), "toolbox, (1 - d_lambda_k)(1 - d_s)"),
        "d_lambda_k": Figure(khan, f"{where}, 1 - Q2n of ms by 23 taps and of fused by 41 x 41 MTF filters"),
    }


def _against_reference(
    fused: Tensor, reference: Tensor, ratio: int, block: int, *, radians: bool
) -> dict[str, Figure]:
    x, y = (image[:, _CUT, _CUT] for image in (fused, reference))
    if min(x.shape[1:]) < block:
        raise PairError(
            f"--profile dlpan cuts 41 pixels off each side, which leaves {x.shape[2]} x {x.shape[1]}: less "
            f"than a block of {block}; use --profile pancli"
        )
    sums = ReferenceSums.of(x, y)
    cut = "toolbox, 21 pixels cut"
    q2n = q2n_blocks(_mirrored(_as_stored(y), block), _mirrored(_as_stored(x), block), block, 0.0)
    a, b = (edge_strength(pad(image[:, 1:-1, 1:-1], (1, 1, 1, 1))) for image in (x, y))
    edges = torch.stack([(a * b).sum(), a.square().sum(), b.square().sum()])
    unit = "radians" if radians else "degrees"
    return {
        "sam": sam_figure(sums, f"{cut}, {unit}", radians=radians),
        "ergas": ergas_figure(sums, ratio, f"{cut}, 100 / {ratio}"),
        "scc": Figure(cosine(edges), f"{cut}, cosine of Sobel edge strengths", "no edges"),
        "q": Figure(float(sliding_quality(x, y, block).mean()), f"{cut}, sliding windows of {block}"),
        "q2n": Figure(float(q2n.mean()), f"{cut}, blocks of {block}, rounded"),
    }


def _as_stored(image: Tensor) -> Tensor:
    """Rounded half up and clipped to 16 bits, as the toolbox does before Q2n."""
    return (image + 0.5).floor().clamp(0, 65535)


def _mirrored(image: Tensor, block: int) -> Tensor:
    """Grown downwards and to the right to whole blocks, by its own mirror image."""
    for axis in (1, 2):
        size = image.shape[axis]
        extra = math.ceil(size / block) * block - size
        image = torch.cat([image, image.narrow(axis, size - extra, extra).flip(axis)], axis)
    return image

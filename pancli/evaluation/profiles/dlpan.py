"""The ``dlpan`` profile: what the MATLAB toolbox of Vivone et al. 2021 prints for the same arrays.

It takes whole images without masks, of corners in common and sides that are multiples of the block, and
cuts 20 rows and columns at the start and 21 at the end before it compares with a reference.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from pancli.errors import PairError
from pancli.evaluation.figures import Figure, ergas_figure, joint_figure, sam_figure
from pancli.evaluation.images import EvaluationTile, Images
from pancli.evaluation.options import EvaluateOptions
from pancli.evaluation.profiles.toolbox_filters import interpolate_23_taps, mtf_filter, shrink_bicubic
from pancli.evaluation.profiles.whole import check_whole, qnr_figures, read_whole
from pancli.metrics.correlation import cosine
from pancli.metrics.hypercomplex import q2n_blocks
from pancli.metrics.quality_index import block_quality, sliding_quality
from pancli.metrics.reference import ReferenceSums
from pancli.metrics.structure import edge_strength
from pancli.resampling import mirrored

_CUT = slice(20, -21)


def dlpan_figures(images: Images, options: EvaluateOptions, _peak: float | None) -> dict[str, Figure]:
    """Figures of images that are read whole.

    Args:
        images: What is evaluated.
        options: Side of blocks and windows, and the unit of SAM.

    Raises:
        InputError: A file cannot be read.
        PairError: The toolbox does not take these images.
        UsageError: They are too large to be held.
    """
    block = options.block
    ratio = check_whole(images, "dlpan")
    _check_sides(images, ratio, block)
    image = read_whole(images, "dlpan")
    figures = _no_reference(image, images.info.gains, ratio, block)
    if image.reference is not None:
        figures |= _against_reference(image.fused, image.reference, ratio, block, radians=options.radians)
    return figures


def _check_sides(images: Images, ratio: int, block: int) -> None:
    height, width = images.area.shape
    if ratio & (ratio - 1):
        raise PairError(
            f"--profile dlpan needs a ratio that is a power of two, but it is {ratio}; use --profile pancli"
        )
    if height % block or width % block:
        raise PairError(
            f"--profile dlpan needs sides that are multiples of {block}, but the images are {width} x "
            f"{height}; crop them, or use --profile pancli"
        )


def _no_reference(
    image: EvaluationTile, gains: tuple[float, ...], ratio: int, block: int
) -> dict[str, Figure]:
    upsampled = interpolate_23_taps(image.ms, ratio)
    low_pan = interpolate_23_taps(shrink_bicubic(image.pan, ratio), ratio)
    high = block_quality(torch.cat([image.fused, image.pan]), block).mean((0, 1))
    low = block_quality(torch.cat([upsampled, low_pan]), block).mean((0, 1))
    filtered = torch.stack([mtf_filter(b, g, ratio) for b, g in zip(image.fused, gains, strict=True)])
    khan = 1 - float(q2n_blocks(_as_stored(upsampled), _as_stored(filtered), block, 0.0).mean())
    where = f"toolbox, blocks of {block}"
    figures = qnr_figures(
        high,
        low,
        (
            "toolbox, (1 - d_lambda)(1 - d_s)",
            f"{where}, ms by 23 taps",
            f"{where}, pan by imresize and 23 taps",
        ),
    )
    spectral = Figure(khan, f"{where}, 1 - Q2n of ms by 23 taps and of fused by 41 x 41 MTF filters")
    joint = joint_figure(spectral, figures["d_s"], "toolbox, (1 - d_lambda_k)(1 - d_s)")
    return {**figures, "hqnr": joint, "d_lambda_k": spectral}


def _against_reference(
    fused: Tensor, reference: Tensor, ratio: int, block: int, *, radians: bool
) -> dict[str, Figure]:
    x, y = (image[:, _CUT, _CUT] for image in (fused, reference))
    if min(x.shape[1:]) < block:
        raise PairError(
            f"--profile dlpan cuts 41 pixels off each axis, which leaves {x.shape[2]} x {x.shape[1]}: less "
            f"than a block of {block}; use --profile pancli"
        )
    sums = ReferenceSums.of(x, y)
    cut = "toolbox, 21 pixels cut"
    q2n = q2n_blocks(_whole_blocks(_as_stored(y), block), _whole_blocks(_as_stored(x), block), block, 0.0)
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


def _whole_blocks(image: Tensor, block: int) -> Tensor:
    """Grown downwards and to the right to whole blocks, by its own mirror image."""
    rows, cols = (
        mirrored(torch.arange(math.ceil(size / block) * block, device=image.device), size)
        for size in image.shape[1:]
    )
    return image[:, rows][:, :, cols]

"""One tile in, sums out: everything the ``pancli`` profile needs, each pixel, window and block once.

A block, or the window of a sliding measure, counts when all its pixels are valid; a window belongs to the
tile whose core holds its upper left pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pancli.evaluation.images import EvaluationTile
from pancli.methods.moments import Moments
from pancli.methods.protocol import PairInfo
from pancli.methods.statistics import coarsest_ratio
from pancli.metrics.hypercomplex import q2n_blocks
from pancli.metrics.quality_index import block_quality, cut_blocks, sliding_quality
from pancli.metrics.reference import ReferenceSums
from pancli.metrics.structure import SSIM_SIZE, edge_strength, local_correlation, ssim_map
from pancli.metrics.sums import Mean
from pancli.metrics.windows import whole_windows
from pancli.resampling import low_pass, low_pass_radius, mtf_radius, reduce_masked
from pancli.tiling import Window


@dataclass(frozen=True, slots=True)
class Blocks:
    """Quality indices per whole block of one tile.

    Attributes:
        high: (n, m, B + 1, B + 1), Q between the fused bands, then pan.
        low: The same of ms and of pan at its resolution, both on the pan grid.
        khan: (n, m), Q2n of ms and of the fused image at its resolution.
        valid: (n, m) bool: every pixel is valid.
    """

    high: Tensor
    low: Tensor
    khan: Tensor
    valid: Tensor


@dataclass(frozen=True, slots=True)
class NoReferenceSums:
    """What is measured without a reference.

    Attributes:
        high: Of :class:`Blocks`.
        low: The same.
        khan: The same.
        correlation: (B,), local correlation with pan.
        moments: Of the fused bands, then pan.
        consistency: The fused image reduced to the ms grid, against ms.
        negative: Valid pixels with a negative fused value.
    """

    high: Mean
    low: Mean
    khan: Mean
    correlation: Mean
    moments: Moments
    consistency: ReferenceSums
    negative: int

    def __add__(self, other: NoReferenceSums) -> NoReferenceSums:
        return NoReferenceSums(
            self.high + other.high,
            self.low + other.low,
            self.khan + other.khan,
            self.correlation + other.correlation,
            self.moments.merge(other.moments),
            self.consistency + other.consistency,
            self.negative + other.negative,
        )


@dataclass(frozen=True, slots=True)
class AgainstReferenceSums:
    """What is measured against a reference.

    Attributes:
        errors: Squared errors and angles.
        q: (B,), Q of sliding windows.
        q2n: Q2n of blocks.
        ssim: (B,), or None where the peak is not known.
        edges: (3,), products of edge strengths: with each other, of the fused image, of the reference.
        moments: Of the fused bands, then the reference's.
        highest: Number of the reference.
    """

    errors: ReferenceSums
    q: Mean
    q2n: Mean
    ssim: Mean | None
    edges: Tensor
    moments: Moments
    highest: float

    def __add__(self, other: AgainstReferenceSums) -> AgainstReferenceSums:
        return AgainstReferenceSums(
            self.errors + other.errors,
            self.q + other.q,
            self.q2n + other.q2n,
            None if self.ssim is None or other.ssim is None else self.ssim + other.ssim,
            self.edges + other.edges,
            self.moments.merge(other.moments),
            max(self.highest, other.highest),
        )


def margin(info: PairInfo, block: int) -> int:
    """How far, in pan pixels, the measures look beyond a core."""
    filters = max(low_pass_radius(coarsest_ratio(info.placement), gain) for gain in info.gains)
    return max(filters, block, SSIM_SIZE, 4 * half_window(info))


def half_window(info: PairInfo) -> int:
    """Half the side of D_rho's window: half an ms pixel, rounded up."""
    return math.ceil(info.placement.ratio / 2)


def measure_blocks(image: EvaluationTile, info: PairInfo, size: int) -> Blocks:
    """Quality indices of the blocks of a core, which starts on the grid of blocks."""
    rows, cols = image.tile.inner
    low_pan = low_pass(image.pan, info.placement, image.tile.window, info.mean_gain)
    low_fused = torch.cat(
        [
            low_pass(band[None], info.placement, image.tile.window, gain)
            for band, gain in zip(image.fused, info.gains, strict=True)
        ]
    )
    high = torch.cat([image.fused, image.pan])[:, rows, cols]
    low = torch.cat([image.upsampled, low_pan])[:, rows, cols]
    return Blocks(
        block_quality(high, size),
        block_quality(low, size),
        q2n_blocks(low[:-1], low_fused[:, rows, cols], size),
        _whole_blocks(image, size),
    )


def _whole_blocks(image: EvaluationTile, size: int) -> Tensor:
    core = image.valid[image.tile.inner]
    return cut_blocks(core[None].double(), size)[:, :, 0].min(-1).values > 0


def measure_no_reference(
    image: EvaluationTile, blocks: Blocks, info: PairInfo, area: Window
) -> NoReferenceSums:
    """Sums of one tile.

    Args:
        image: Its pixels.
        blocks: Of its core.
        info: The pair.
        area: All that is evaluated: what a filter sees beyond it does not count as seen.
    """
    rows, cols = image.tile.inner
    inside = image.valid[rows, cols]
    fused = image.fused[:, rows, cols][:, inside]
    pan = image.pan[:, rows, cols][:, inside]
    half = half_window(info)
    rho = local_correlation(image.fused, image.pan, half)
    reduced, ms = _reduced(image, info, area)
    return NoReferenceSums(
        Mean.of(blocks.high.movedim((2, 3), (0, 1)), blocks.valid),
        Mean.of(blocks.low.movedim((2, 3), (0, 1)), blocks.valid),
        Mean.of(blocks.khan, blocks.valid),
        Mean.of(*_owned(image, rho, 4 * half - 1)),
        Moments.of(torch.cat([fused, pan])),
        ReferenceSums.of(reduced[:, None], ms[:, None]),
        int((fused < 0).any(0).sum()),
    )


def measure_against_reference(
    image: EvaluationTile, reference: Tensor, size: int, peak: float | None
) -> AgainstReferenceSums:
    """Sums of one tile.

    Args:
        image: Its pixels.
        reference: (B, H, W) over its window.
        size: Side of blocks and of the windows of Q.
        peak: The largest digital number there can be; without it there is no SSIM.
    """
    rows, cols = image.tile.inner
    inside = image.valid[rows, cols]
    x, y = image.fused[:, rows, cols], reference[:, rows, cols]
    q = Mean.of(*_owned(image, sliding_quality(image.fused, reference, size), size))
    ssim = None
    if peak is not None:
        similarity = ssim_map(image.fused, reference, peak)
        ssim = Mean.of(*_owned(image, similarity, SSIM_SIZE))
    return AgainstReferenceSums(
        ReferenceSums.of(x, y, inside),
        q,
        Mean.of(q2n_blocks(y, x, size), _whole_blocks(image, size)),
        ssim,
        _edges(image, reference),
        Moments.of(torch.cat([x, y])[:, inside]),
        float(y[:, inside].max()),
    )


def _edges(image: EvaluationTile, reference: Tensor) -> Tensor:
    a, whole = _owned(image, edge_strength(image.fused), 3)
    b, _ = _owned(image, edge_strength(reference), 3)
    a, b = a[:, whole], b[:, whole]
    return torch.stack([(a * b).sum(), a.square().sum(), b.square().sum()]).cpu()


def _owned(image: EvaluationTile, values: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The windows of a map whose upper left pixel lies in the core, and which are valid as a whole."""
    whole = whole_windows(image.valid, size, size)
    rows, cols = image.tile.inner
    return values[..., rows, cols], whole[rows, cols]


def _reduced(image: EvaluationTile, info: PairInfo, area: Window) -> tuple[Tensor, Tensor]:
    """The core's fused pixels through the MTF, and the ms pixels they should be: (B, N) each.

    An ms pixel counts when it is valid, the MTF's footprint lies in the area, and enough of its weight is on
    valid pixels; the others have none.
    """
    placement, where = info.placement, image.tile.window
    footprint = max(mtf_radius(coarsest_ratio(placement), gain) for gain in info.gains)
    window = placement.ms_inside(image.tile.core.intersect(area.grow(-footprint))).intersect(image.ms_window)
    reduced, whole = reduce_masked(image.fused, image.valid, placement, (where, window), info.gains)
    rows, cols = window.slices_in(image.ms_window)
    keep = image.ms_valid[rows, cols] & whole
    return reduced[:, keep], image.ms[:, rows, cols][:, keep]

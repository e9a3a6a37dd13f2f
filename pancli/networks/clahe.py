"""Contrast-limited adaptive histogram equalisation, in square cells of one size: a local function.

Zuiderveld, "Contrast limited adaptive histogram equalization", Graphics Gems IV, 1994. Binning, clip limit
and blending weights are those PreMix is published with; there the cells are an eighth of the image.
"""

from __future__ import annotations

import torch
from torch import Tensor

CELL = 32
"""Side of a cell, pixels. A value depends on the pixels of the four cells whose centres are next to it."""

REACH = CELL // 2 - 1
"""Pixels around the wanted ones that, rounded outwards to whole cells, are all that is looked at."""

_BINS = 256
_CLIP = 40  # times what each bin would hold if all held the same


def equalise(image: Tensor, valid: Tensor | None = None) -> Tensor:
    """Equalise every channel by itself.

    Args:
        image: (N, C, H, W), clipped to [0, 1]; H and W are multiples of :data:`CELL`.
        valid: (N, 1, H, W), 1 for pixels that count, else 0; None where all do. Cells without such pixels
            take no part.

    Returns:
        (N, C, H, W) float32 in [0, 1], 256 levels blended; where no cell takes part, the clipped image.
    """
    image = image.float().clamp(0, 1)
    if valid is None:
        valid = torch.ones_like(image[:, :1])
    counts = _in_cells(valid > 0).sum(-1)  # (N, 1, rows of cells, columns of cells)
    tables = _tables(image, valid > 0, counts)
    levels = (image * (_BINS - 1)).long()
    total = torch.zeros_like(levels, dtype=torch.int32)
    weights = torch.zeros_like(levels[:, :1], dtype=torch.int32)
    for row_cells, row_weights in _neighbours(image.shape[2], image.device):
        for col_cells, col_weights in _neighbours(image.shape[3], image.device):
            there = counts[:, :, row_cells][..., col_cells] > 0
            weight = row_weights[:, None] * col_weights * there
            cells = row_cells[:, None] * tables.shape[3] + col_cells
            total += weight * tables.flatten(2).gather(2, (cells * _BINS + levels).flatten(2)).view_as(levels)
            weights += weight
    # Below 2^24 all integers are float32 numbers, so this is rounded only once.
    blended = total / (weights * (_BINS - 1)).clamp_min(1)
    return torch.where(weights > 0, blended, image)


def _in_cells(image: Tensor) -> Tensor:
    """(N, C, H, W) to (N, C, rows of cells, columns of cells, pixels of a cell)."""
    samples, channels, height, width = image.shape
    cells = image.reshape(samples, channels, height // CELL, CELL, width // CELL, CELL)
    return cells.transpose(3, 4).flatten(4)


def _tables(image: Tensor, valid: Tensor, counts: Tensor) -> Tensor:
    """What each level becomes in each cell, int32 (N, C, rows of cells, columns of cells, levels)."""
    bins = _in_cells((image * _BINS).long().clamp_max(_BINS - 1))
    counted = _in_cells(valid).expand_as(bins).long()
    histogram = torch.zeros(*bins.shape[:4], _BINS, dtype=torch.int64, device=bins.device)
    histogram = histogram.scatter_add(4, bins, counted)
    pixels = counts[..., None]
    histogram = torch.minimum(histogram, (_CLIP * pixels // _BINS).clamp_min(1))
    excess = pixels - histogram.sum(-1, keepdim=True)
    each = torch.arange(_BINS, device=bins.device)
    histogram = histogram + excess // _BINS + (each < excess % _BINS)
    return ((_BINS - 1) * histogram.cumsum(-1) // pixels.clamp_min(1)).int()


def _neighbours(size: int, device: torch.device) -> list[tuple[Tensor, Tensor]]:
    """Along an axis: for every pixel, the cell whose centre lies before it and the one after, with weights.

    Weights run from CELL - 1 to 0 in whole numbers. Beyond the image lie the cells at its rim once more.
    """
    pixel = torch.arange(size, device=device) - CELL // 2
    before, step = pixel.div(CELL, rounding_mode="floor"), pixel.remainder(CELL)
    last = size // CELL - 1
    pairs = (before, CELL - 1 - step), (before + 1, step)
    return [(cell.clamp(0, last), weight.int()) for cell, weight in pairs]

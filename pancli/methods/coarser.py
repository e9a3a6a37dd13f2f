"""A pair one ratio coarser, by Wald's protocol: pan on the ms grid, ms reduced once more, ms as the truth.

Wald, Ranchin, Mangolini, "Fusion of satellite images of different spatial resolutions", PE&RS 1997. What is
learnt of a scene there is taken for true at its own resolution.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from pancli.methods.colours import Colours
from pancli.methods.protocol import PairInfo, Sample, Scene, TileImage
from pancli.methods.statistics import coarsest_ratio
from pancli.placement import AxisMap, Placement
from pancli.resampling import degrade_bands, mtf_radius, upsample
from pancli.tiling import Tile, Window

_SIDE = 128  # ms pixels, of a part of a scene
_MOST = 64  # parts times bands: all are held at once
_COUNTS = (2, 16)  # between which the number of parts is


class Coarser(NamedTuple):
    """A window of ms as the pair that it is at reduced resolution.

    Attributes:
        image: Whose pan lies on the ms grid, counted from the window's first pixel; all of it is core.
        truth: (B, H, W), what is to be made of it.
    """

    image: TileImage
    truth: Tensor


@dataclass(frozen=True)
class CoarserScene:
    """Parts of a scene a ratio coarser; see :class:`pancli.methods.protocol.Scene`.

    Attributes:
        scene: The scene.
        pairs: At most 16, of 128 x 128 pixels of its ms, evenly spread; fewer where there are many bands.
            They do not depend on the tiles that there is memory for.
    """

    scene: Scene
    pairs: tuple[Coarser, ...]

    @classmethod
    def of(cls, scene: Scene, gains: Sequence[float]) -> CoarserScene:
        """Look at parts of a scene.

        Args:
            scene: The scene.
            gains: MTF at the Nyquist frequency of the new ms grid, one per band.
        """
        info = scene.info
        count = min(max(_MOST // info.bands, _COUNTS[0]), _COUNTS[1])
        sample = Sample(count, math.ceil(_SIDE * coarsest_ratio(info.placement)))
        parts: dict[tuple[int, int], list[_Piece]] = defaultdict(list)
        origin = info.placement.ms_inside(scene.area)
        for image in scene.tiles(coarser_margin(info), sample):
            for part, piece in _cut(image.ms_core(), origin):
                parts[part].append(_on_ms_grid(image, piece))
        found = (_observed(_joined(pieces), info, gains) for pieces in parts.values())
        return cls(scene, tuple(pair for pair in found if pair is not None))

    @property
    def info(self) -> PairInfo:
        """Bands, placement, sensor; every part has a grid of its own, as large as itself."""
        return self.pairs[0].image.info if self.pairs else self.scene.info

    @property
    def area(self) -> Window:
        """The scene's own: what its parts are of."""
        return self.scene.area

    @cached_property
    def samples(self) -> int:
        """How many pixels of the new ms can be learnt from."""
        return sum(pair.image.ms_core_samples(self.info.mean_gain)[1].shape[1] for pair in self.pairs)

    def learn(self, fuse: Callable[[TileImage], Tensor]) -> Colours:
        """What a method adds to interpolated ms, as it should be to come nearest to the truth.

        Masked pixels do not count.
        """
        images = [
            torch.stack((image.upsampled, fuse(image), truth))[..., image.valid]
            for image, truth in self.pairs
        ]
        upsampled, fused, truths = torch.cat(images, 2)
        return Colours.learn(upsampled, fused - upsampled, truths, self.samples)

    def tiles(self, margin: int, sample: Sample | None = None) -> Iterator[TileImage]:
        """All parts, whatever is asked for: they are few, and beyond them nothing is known."""
        return (pair.image for pair in self.pairs)


def coarser_margin(info: PairInfo) -> int:
    """Pan pixels that :func:`coarser` needs around what a window of the ms grid covers."""
    return mtf_radius(coarsest_ratio(info.placement), info.sensor.pan_gain)


def coarser(image: TileImage, window: Window, gains: Sequence[float]) -> Coarser | None:
    """What a camera a ratio coarser would have made of a window of the ms grid.

    Args:
        image: A tile that reaches :func:`coarser_margin` beyond the window.
        window: Within ``image.ms_window``.
        gains: MTF at the Nyquist frequency of the new ms grid, one per band.

    Returns:
        None where no pixel is valid, or the new ms would have none at all.
    """
    return _observed(_on_ms_grid(image, window), image.info, gains)


class _Piece(NamedTuple):
    """Both images on a window of the ms grid: (1, h, w) and (B, h, w), and where they are valid."""

    window: Window
    pan: Tensor
    pan_valid: Tensor
    ms: Tensor
    valid: Tensor


def _on_ms_grid(image: TileImage, window: Window) -> _Piece:
    pan, whole = image.pan_on_ms(window, (image.info.sensor.pan_gain,))
    inside = window.slices_in(image.ms_window)
    return _Piece(window, pan.float(), whole, image.ms[:, *inside], image.ms_valid[inside] & whole)


def _cut(window: Window, origin: Window) -> Iterator[tuple[tuple[int, int], Window]]:
    """The parts that a window of the ms grid belongs to, counted from an origin, and what lies in each."""
    spans = []
    for (start, stop), (zero, _) in zip(window.spans, origin.spans, strict=True):
        parts = range((start - zero) // _SIDE, (stop - zero - 1) // _SIDE + 1)
        edges = [(part, zero + part * _SIDE) for part in parts]
        spans.append([(part, max(edge, start), min(edge + _SIDE, stop)) for part, edge in edges])
    for row, top, bottom in spans[0]:
        for col, left, right in spans[1]:
            yield (row, col), Window.from_bounds(top, bottom, left, right)


def _joined(pieces: Sequence[_Piece]) -> _Piece:
    """Pieces that share no pixel as one; what none of them covers is not valid."""
    first, *others = pieces
    if not others:
        return first
    spans = [piece.window.spans for piece in pieces]
    bounds = [side for axis in zip(*spans, strict=True) for side in (min(axis)[0], max(s[1] for s in axis))]
    whole = Window.from_bounds(*bounds)
    joined = _Piece(whole, *(_blank(image, whole.shape) for image in first[1:]))
    for piece in pieces:
        for image, part in zip(joined[1:], piece[1:], strict=True):
            image[..., *piece.window.slices_in(whole)] = part
    return joined


def _blank(image: Tensor, shape: tuple[int, int]) -> Tensor:
    """A larger image of one's mean, or a mask without a valid pixel."""
    if image.dtype == torch.bool:
        return image.new_zeros(shape)
    return image.mean((-2, -1), keepdim=True).repeat(1, *shape)


def _as_pan_lies(piece: _Piece, placement: Placement) -> _Piece:
    """A piece with its rows and columns in pan's order: to a network, mirror images are others."""
    turned = [side for side, axis in zip((-2, -1), placement.axes, strict=True) if axis.scale < 0]
    return _Piece(piece.window, *(image.flip(turned) for image in piece[1:])) if turned else piece


def _observed(piece: _Piece, info: PairInfo, gains: Sequence[float]) -> Coarser | None:
    piece = _as_pan_lies(piece, info.placement)
    fine = Window(0, 0, *piece.window.shape)
    axes = (
        AxisMap(1 / axis.ratio, 0.0, math.floor(size / axis.ratio))
        for axis, size in zip(info.placement.axes, fine.shape, strict=True)
    )
    placement = Placement(*axes)
    coarse = Window(0, 0, *placement.ms_shape)
    if coarse.size == 0 or not bool(piece.valid.any()):
        return None
    ms = degrade_bands(piece.ms, placement, (fine, coarse), gains)
    image = TileImage(
        tile=Tile(fine, fine),
        pan=piece.pan,
        pan_valid=piece.pan_valid,
        upsampled=upsample(ms, placement, coarse, fine),
        ms=ms,
        valid=piece.valid,
        ms_valid=torch.ones(coarse.shape, dtype=torch.bool, device=ms.device),
        ms_window=coarse,
        info=PairInfo(info.bands, placement, info.sensor),
    )
    return Coarser(image, piece.ms)

"""The images of an evaluation, opened together: which of their pixels meet, and tiles of all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from pancli.device import find_device
from pancli.errors import PairError
from pancli.evaluation.options import EvaluateOptions
from pancli.methods.protocol import PairInfo, TileImage
from pancli.raster.aligned import AlignedImage, open_aligned
from pancli.raster.names import Name
from pancli.raster.pair import Pair, open_pair
from pancli.resampling import upsample
from pancli.scene import TiledScene, open_scene
from pancli.tiling import Tile, Window, plan_tiles


@dataclass(frozen=True)
class EvaluationTile:
    """Pixels of all images over one tile, float64, on the device that computes.

    Attributes:
        tile: Core and window on the pan grid.
        fused: (B, H, W), covering ``tile.window``; where masked, and beyond the image, ms interpolated.
        pan: (1, H, W); where masked, filled from around.
        upsampled: (B, H, W), ms interpolated to the pan grid.
        reference: (B, H, W), or None.
        valid: (H, W) bool, of all images together.
        ms: (B, h, w), covering ``ms_window``.
        ms_valid: (h, w) bool.
        ms_window: Where ``ms`` lies on the ms grid.
    """

    tile: Tile
    fused: Tensor
    pan: Tensor
    upsampled: Tensor
    reference: Tensor | None
    valid: Tensor
    ms: Tensor
    ms_valid: Tensor
    ms_window: Window


@dataclass(frozen=True)
class Images:
    """What is evaluated, open.

    Attributes:
        pair: Pan and ms.
        fused: On the pan grid.
        reference: The same, or None.
        scene: Pan and ms over the area.
        area: The pan pixels that every image has.
    """

    pair: Pair
    fused: AlignedImage
    reference: AlignedImage | None
    scene: TiledScene
    area: Window

    @property
    def info(self) -> PairInfo:
        """Bands, placement, sensor."""
        return self.scene.info

    def tiles(self, size: int, margin: int) -> Iterator[tuple[int, int, EvaluationTile]]:
        """Tiles whose cores cover the area once, those without a valid pixel left out.

        With each come its number, from one, and how many there are.

        Args:
            size: Side of a core.
            margin: How far measures look beyond it.

        Raises:
            InputError: A file cannot be read.
        """
        plan = plan_tiles(self.area, size, self.scene.margin(margin), self.scene.bounds)
        with closing(self.scene.stream(plan)) as stream:
            for number, (tile, image) in enumerate(stream, start=1):
                complete = None if image is None else self._complete(tile, image)
                if complete is not None:
                    yield number, len(plan), complete

    def strip_bytes(self, rows: int) -> int:
        """What so many rows of pan's grid lie on, of files in strips."""
        aligned = [self.fused] if self.reference is None else [self.fused, self.reference]
        return self.pair.strip_bytes(rows) + sum(image.strip_bytes(rows) for image in aligned)

    def _complete(self, tile: Tile, image: TileImage) -> EvaluationTile | None:
        """Add the fused image and the reference; None where no core pixel is valid in all."""
        ms = image.ms.double()
        upsampled = upsample(ms, self.info.placement, image.ms_window, tile.window)
        fused, known = self._read(self.fused, tile.window)
        fused, valid = torch.where(known, fused, upsampled), known & image.valid
        reference = None
        if self.reference is not None:
            reference, known = self._read(self.reference, tile.window)
            reference, valid = torch.where(known, reference, upsampled), valid & known
        if not bool(valid[tile.inner].any()):
            return None
        return EvaluationTile(
            tile=tile,
            fused=fused,
            pan=image.pan.double(),
            upsampled=upsampled,
            reference=reference,
            valid=valid,
            ms=ms,
            ms_valid=image.ms_valid,
            ms_window=image.ms_window,
        )

    def _read(self, image: AlignedImage, window: Window) -> tuple[Tensor, Tensor]:
        """Values and validity of a window, which may reach beyond the image: nothing is valid there."""
        there = window.intersect(image.window)
        read, known = (torch.from_numpy(array).to(self.scene.device) for array in image.read(there))
        if there == window:
            return read, known
        rows, cols = there.slices_in(window)
        values = read.new_zeros((image.bands, *window.shape))
        valid = known.new_zeros(window.shape)
        values[:, rows, cols], valid[rows, cols] = read, known
        return values, valid


@contextmanager
def open_images(
    fused: Name, pan: Name, ms: Sequence[Name], reference: Name | None, options: EvaluateOptions
) -> Iterator[Images]:
    """Open everything and find the pixels that meet.

    Raises:
        InputError: A file cannot be opened.
        PairError: The images do not fit each other.
        UsageError: An option does not fit them.
    """
    device = find_device(options.device)
    with ExitStack() as stack:
        pair, nodata = stack.enter_context(open_pair(pan, ms, options.pair)), options.pair.nodata
        opened = stack.enter_context(open_aligned(fused, "FUSED", pair.pan_grid, nodata))
        truth = None
        if reference is not None:
            truth = stack.enter_context(open_aligned(reference, "the reference", pair.pan_grid, nodata))
        sensor = options.find_sensor(pair)
        area = _common_area(pair, opened, truth)
        info = PairInfo(len(pair.bands), pair.placement, sensor)
        # Of a part of pan, filters see pan beyond it, as they see ms: its rim is no worse than its middle.
        scene = open_scene(pair, info, area, pair.pan_grid.window, device)
        yield Images(pair, opened, truth, scene, area)


def _common_area(pair: Pair, fused: AlignedImage, reference: AlignedImage | None) -> Window:
    area = pair.overlap()
    roles = [("FUSED", fused)] + ([] if reference is None else [("the reference", reference)])
    for role, image in roles:
        area = meeting(role, image, len(pair.bands), area)
    return area


def meeting(role: str, image: AlignedImage, bands: int, area: Window) -> Window:
    """Where an image covers an area of pan's grid.

    Args:
        role: What to call it in messages.
        image: What is measured, or measured against.
        bands: How many it must have: as many as ms.
        area: Of pan's grid.

    Raises:
        PairError: It has another number of bands, or does not meet the area.
    """
    if image.bands != bands:
        raise PairError(
            f"{role} {image.path} has {image.bands} bands but MS has {bands}; "
            "pick MS bands with --bidx, or name the image's as FILE,band=N"
        )
    met = area.intersect(image.window)
    if met.size == 0:
        raise PairError(
            f"{role} {image.path} does not meet PAN and MS: it covers rows {image.window.row} to "
            f"{image.window.row_stop} and columns {image.window.col} to {image.window.col_stop} of PAN's "
            f"grid, they rows {area.row} to {area.row_stop} and columns {area.col} to {area.col_stop}"
        )
    return met

"""The one abstraction: a Method states its contract, gathers what is global, then fuses tile by tile."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from pancli.device import AT_ONCE
from pancli.placement import Placement
from pancli.resampling import reduce_masked
from pancli.sensors import GENERIC, Sensor
from pancli.tiling import Tile, Window

_PIECE_BYTES = 160 * 2**20
_SMALLEST_PIECE = 256  # pan pixels: smaller ones would be mostly halo
_WHOLE = 6  # float32 values per pixel and band of a window that is gone through in pieces: images, and rounds


@dataclass(frozen=True, slots=True)
class Contract:
    """What a method takes and how it behaves.

    Attributes:
        bands: ms bands it takes at once, or None for any. Networks fuse other numbers by groups.
        ratios: Smallest and largest ratio it takes.
        whole_scene: Whether ``fit`` must see the scene before a tile can be fused.
        summary: One line: what it is good for.
        source: The paper.
        workspace: float32 values per pixel of the window and band that ``fuse`` holds at once; the tile
            size is chosen by it.
        workspace_fixed: The same per pixel, however many bands there are.
        piece_halo: Where ``fuse`` goes through a window piece by piece: how far a piece looks beyond itself,
            in pan pixels. ``workspace`` is then of a piece. None where it takes the window as a whole.
        back_projections: Rounds of back-projection that follow unless others are asked for.
        makes_crisp: Whether it makes pan crisp by itself (:mod:`pancli.methods.crispness`).
    """

    summary: str
    source: str
    bands: int | None = None
    ratios: tuple[float, float] = (1.5, float("inf"))
    whole_scene: bool = True
    workspace: int = 8
    workspace_fixed: int = 0
    piece_halo: int | None = None
    back_projections: int = 0
    makes_crisp: bool = False

    def piece(self, bands: int) -> int | None:
        """Side of the pieces that a window is gone through in, what they look beyond left out."""
        if self.piece_halo is None:
            return None
        side = math.isqrt(_PIECE_BYTES // (4 * self._held(bands)))
        return max(side - 2 * self.piece_halo, _SMALLEST_PIECE)

    def piece_shape(self, shape: tuple[int, int], bands: int) -> tuple[int, int] | None:
        """Height and width of the pieces that a window of some shape is gone through in; None for the whole.

        They are of one size, to a pixel, and oblong where that makes them fewer.
        """
        side = self.piece(bands)
        if side is None or self.piece_halo is None:
            return None
        beside = 2 * self.piece_halo
        down, across = (math.ceil(length / side) for length in shape)
        higher, width = math.ceil(shape[0] / max(down - 1, 1)), math.ceil(shape[1] / across)
        fewer = (higher + beside) * (width + beside) <= (side + beside) ** 2
        return higher if fewer else math.ceil(shape[0] / down), width

    def working_bytes(self, side: int, bands: int, threads: int) -> int:
        """What ``fuse`` holds at once of a window of that side, where so many threads compute."""
        piece = self.piece(bands)
        if piece is None or self.piece_halo is None:
            return 4 * side**2 * self._held(bands)
        seen = min(side**2, min(threads, AT_ONCE) * (piece + 2 * self.piece_halo) ** 2)
        return 4 * (seen * self._held(bands) + (side**2 - seen) * bands * _WHOLE)

    def _held(self, bands: int) -> int:
        """float32 values per pixel."""
        return bands * self.workspace + self.workspace_fixed


@dataclass(frozen=True, slots=True)
class PairInfo:
    """What is known of a pair before a pixel is read.

    Attributes:
        bands: Number of ms bands to fuse.
        placement: How the ms grid lies on the pan grid.
        sensor: Whose MTF to assume.
    """

    bands: int
    placement: Placement
    sensor: Sensor = GENERIC

    @property
    def gains(self) -> tuple[float, ...]:
        """MTF at the ms Nyquist, one per band."""
        return self.sensor.gains(self.bands)

    @property
    def mean_gain(self) -> float:
        """MTF at the ms Nyquist for what stands for all bands, as an intensity does."""
        return sum(self.gains) / self.bands


@dataclass(frozen=True, slots=True)
class TileImage:
    """The pixels of one tile, float32 in the files' digital numbers, on the device that computes.

    Masked pixels hold a local fill, never nodata values: arithmetic may run over them, statistics must
    leave them out with ``valid``.

    Attributes:
        tile: Core and window on the pan grid.
        pan: (1, H, W), covering ``tile.window``.
        pan_valid: (H, W) bool: what ``pan`` shows there is no fill.
        upsampled: (B, H, W), ms interpolated to the pan grid over ``tile.window``.
        ms: (B, h, w), covering ``ms_window``.
        valid: (H, W) bool: pan and every ms band are valid; where pan was moved, in both its places.
        ms_valid: (h, w) bool: every ms band is valid.
        ms_window: Where ``ms`` lies on the ms grid; covers at least what lies under ``tile.window``.
        info: The pair.
    """

    tile: Tile
    pan: Tensor
    pan_valid: Tensor
    upsampled: Tensor
    ms: Tensor
    valid: Tensor
    ms_valid: Tensor
    ms_window: Window
    info: PairInfo

    def part(self, tile: Tile) -> TileImage:
        """A tile within this one, none of whose pixels are copied."""
        rows, cols = tile.window.slices_in(self.tile.window)
        pan, upsampled = (image[:, rows, cols] for image in (self.pan, self.upsampled))
        pan_valid, valid = (mask[rows, cols] for mask in (self.pan_valid, self.valid))
        return replace(self, tile=tile, pan=pan, pan_valid=pan_valid, upsampled=upsampled, valid=valid)

    def core_samples(self, *images: Tensor) -> Tensor:
        """(C, N) float64: the valid core pixels of (C_i, H, W) images over the window, image after image."""
        rows, cols = self.tile.inner
        valid = self.valid[rows, cols]
        if not bool(valid.all()):
            return torch.cat([image[:, rows, cols][:, valid] for image in images]).double()
        samples = valid.new_empty(sum(map(len, images)), *valid.shape, dtype=torch.float64)
        for part, image in zip(torch.split(samples, [len(image) for image in images]), images, strict=True):
            part.copy_(image[:, rows, cols])
        return samples.flatten(1)

    def ms_core(self) -> Window:
        """The ms pixels whose centres lie on the core: over all tiles, each exactly once."""
        return self.info.placement.ms_inside(self.tile.core).intersect(self.ms_window)

    def pan_on_ms(self, window: Window, gains: Sequence[float]) -> tuple[Tensor, Tensor]:
        """Pan reduced to a window of the ms grid, as :func:`pancli.resampling.reduce_masked` does it.

        Args:
            window: Which ms pixels.
            gains: MTF at the ms Nyquist, one per image that is made.

        Returns:
            (gains, h, w) float64, and (h, w) bool: what has enough of its weight on valid pixels.
        """
        return reduce_masked(self.pan, self.valid, self.info.placement, (self.tile.window, window), gains)

    def ms_core_samples(self, gain: float) -> tuple[Tensor, Tensor]:
        """Valid ms pixels of the core, and pan reduced to them through an MTF.

        An ms pixel counts when it and at least 99 % of the pan weight that makes its counterpart are
        valid; masked pan pixels do not contribute to it.

        Args:
            gain: MTF at the ms Nyquist. The window must reach ``mtf_radius`` beyond the core.

        Returns:
            ms (B, N) and reduced pan (1, N), float64.
        """
        window = self.ms_core()
        rows, cols = window.slices_in(self.ms_window)
        reduced, whole = self.pan_on_ms(window, (gain,))
        keep = self.ms_valid[rows, cols] & whole
        return self.ms[:, rows, cols][:, keep].double(), reduced[:, keep]


@dataclass(frozen=True, slots=True)
class Sample:
    """The part of a scene that statistics are gathered on: blocks, evenly spread and always the same.

    Attributes:
        count: How many blocks; a scene that has no more is taken whole.
        side: Of a block, pan pixels.
    """

    count: int
    side: int


class Scene(Protocol):
    """A pair of images as ``fit`` sees it."""

    @property
    def info(self) -> PairInfo:
        """Bands, placement, sensor."""
        ...

    @property
    def area(self) -> Window:
        """What is to be fused, on the pan grid."""
        ...

    def tiles(self, margin: int, sample: Sample | None = None) -> Iterator[TileImage]:
        """Tiles whose cores cover the scene exactly once, each with ``margin`` pan pixels around it.

        Cores and their order do not depend on the tile size that writes the output, only on memory.

        Args:
            margin: Pan pixels read around each core, where they exist.
            sample: Which part of the scene to cover; None for all.
        """
        ...


@dataclass(frozen=True)
class Changed:
    """A scene of which every tile is changed.

    Attributes:
        scene: Which.
        change: What it makes of a tile, exact ``reach`` pixels inside its window.
        reach: Pan pixels.
    """

    scene: Scene
    change: Callable[[TileImage], TileImage]
    reach: int

    @property
    def info(self) -> PairInfo:
        """Bands, placement, sensor."""
        return self.scene.info

    @property
    def area(self) -> Window:
        """The scene's own."""
        return self.scene.area

    def tiles(self, margin: int, sample: Sample | None = None) -> Iterator[TileImage]:
        """Tiles of the scene, changed."""
        return map(self.change, self.scene.tiles(margin + self.reach, sample))


class Method(Protocol):
    """Anything that fuses. Implementations are frozen dataclasses; the state is what fit returns."""

    @property
    def name(self) -> str:
        """As given to ``--method``."""
        ...

    @property
    def contract(self) -> Contract:
        """What the method takes."""
        ...

    def radius(self, info: PairInfo) -> int:
        """How far, in pan pixels, one output pixel looks."""
        ...

    def fit(self, scene: Scene) -> Any:
        """Gather what is global from the scene; a frozen value that ``fuse`` takes (None if nothing is).

        Raises:
            MethodError: The scene cannot be fitted (no valid pixel, for instance).
        """
        ...

    def fuse(self, image: TileImage, state: Any) -> Tensor:
        """(B, H, W) float32 over the tile's window; exact on its core. Pure: depends on nothing else."""
        ...

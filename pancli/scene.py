"""A pair of images as methods see it: tiles with masks filled and ms interpolated, on the device.

``Reader`` is anything that yields windows of pan and ms as arrays: files (``raster.pair``) or memory
(``ArrayReader``). Everything here is the same for both, so what holds for arrays holds for files.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from pancli.device import CPU, workers_of
from pancli.methods.alignment import NOWHERE, Shift, aligned, aligned_mask, alignment_radius
from pancli.methods.crispness import CRISP_RADIUS, crisp, scene_crispness
from pancli.methods.protocol import Method, PairInfo, Sample, TileImage
from pancli.methods.turns import in_turn
from pancli.placement import AxisMap, Placement
from pancli.resampling import CUBIC_TAPS, upsample
from pancli.sensors import GENERIC, Sensor
from pancli.tiling import Tile, Window, plan_tiles, probes, spread

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

FIT_TILE = 512
_PAN_FILL_RADIUS = 16
_MS_FILL_RADIUS = 4
READ_AHEAD = 2
"""Tiles read before they are needed."""


class Reader(Protocol):
    """Windows of a pair as arrays, in the files' digital numbers."""

    @property
    def masked(self) -> bool:
        """Whether any pixel can be invalid."""
        ...

    def read_pan(self, window: Window) -> tuple[FloatArray, BoolArray]:
        """(H, W) values and validity; values of invalid pixels are arbitrary."""
        ...

    def read_ms(self, window: Window) -> tuple[FloatArray, BoolArray]:
        """(B, h, w) values and (h, w) validity of all bands together."""
        ...


@dataclass(frozen=True)
class ArrayReader:
    """Pan (H, W) and ms (B, h, w) in memory; NaN is invalid."""

    pan: FloatArray
    ms: FloatArray
    masked: bool = field(init=False)

    def __post_init__(self) -> None:
        masked = not (np.isfinite(self.pan).all() and np.isfinite(self.ms).all())
        object.__setattr__(self, "masked", masked)

    def read_pan(self, window: Window) -> tuple[FloatArray, BoolArray]:
        """See :class:`Reader`."""
        values = self.pan[window.row : window.row_stop, window.col : window.col_stop]
        return values, np.asarray(np.isfinite(values))

    def read_ms(self, window: Window) -> tuple[FloatArray, BoolArray]:
        """See :class:`Reader`."""
        values = self.ms[:, window.row : window.row_stop, window.col : window.col_stop]
        return values, np.asarray(np.isfinite(values).all(0))


def _box_sum(image: Tensor, radius: int) -> Tensor:
    size = 2 * radius + 1
    rows = avg_pool2d(image, (size, 1), 1, (radius, 0), divisor_override=1)
    return avg_pool2d(rows, (1, size), 1, (0, radius), divisor_override=1)


def fill_invalid(image: Tensor, valid: Tensor, radius: int, constant: Tensor) -> Tensor:
    """Replace invalid pixels by the mean of the valid ones around them, so that no filter sees an edge.

    Args:
        image: (C, H, W); values where ``valid`` is False may be anything, NaN included.
        valid: (H, W) bool.
        radius: Half the side of the square the mean is taken over.
        constant: (C,), for pixels with no valid one in reach.
    """
    if bool(valid.all()):
        return image
    known = torch.where(valid, image, torch.zeros_like(image))
    count = _box_sum(valid[None].to(image.dtype), radius)
    mean = _box_sum(known, radius) / count.clamp_min(1)
    fill = torch.where(count > 0, mean, constant.to(image)[:, None, None])
    return torch.where(valid, image, fill)


@dataclass(frozen=True)
class TiledScene:
    """The :class:`pancli.methods.protocol.Scene` over a reader.

    Attributes:
        reader: Where pixels come from.
        info: Bands, placement, sensor.
        area: What is to be fused, on the pan grid; statistics are of this area.
        bounds: Where pan pixels may be read as context; contains ``area``.
        pan_fill: Fills masked pan pixels far from valid ones.
        ms_fill: The same per ms band.
        fit_tile: Side of the tiles that statistics are gathered on.
        pan_shift: How far pan lies from ms, to be laid on it.
        pan_crisper: By how much pan is made crisp before that; see :func:`pancli.methods.crispness.crisp`.
        touches: Whether what is asked for lies on a window, where that is less than ``area``: polygons.
            Statistics are of blocks that it lies on.
        overhang: ms pixels by which the ms image may be replicated past its border, as a shift needs; the
            area lies within that.
        device: Where tiles go.
    """

    reader: Reader
    info: PairInfo
    area: Window
    bounds: Window
    pan_fill: float = 0.0
    ms_fill: tuple[float, ...] = ()
    fit_tile: int = FIT_TILE
    pan_shift: Shift = NOWHERE
    pan_crisper: float = 1.0
    touches: Callable[[Window], bool] | None = None
    overhang: int = 0
    device: torch.device = CPU

    def margin(self, radius: int) -> int:
        """Pan pixels to read around a core so that a method of that radius is exact on it."""
        reach = radius + (0 if self.pan_shift == NOWHERE else alignment_radius(self.info))
        reach += 0 if self.pan_crisper == 1.0 else CRISP_RADIUS
        return reach + (_PAN_FILL_RADIUS if self.reader.masked and reach else 0)

    def tiles(self, margin: int, sample: Sample | None = None) -> Iterator[TileImage]:
        """See :class:`pancli.methods.protocol.Scene`."""
        # What is sampled does not depend on the tiles that there is memory for.
        parts = self._whole() if sample is None else self._sampled(sample)
        beside = self.margin(margin)
        plan = [tile for part in parts for tile in plan_tiles(part, self.fit_tile, beside, self.bounds)]
        for _, image in self.stream(plan):
            if image is not None:
                yield image

    def _whole(self) -> list[Window]:
        return [self.area] if self.touches is None else self._blocks(FIT_TILE)

    def _blocks(self, side: int) -> list[Window]:
        return [block for block in self.area.blocks(side) if self.touches is None or self.touches(block)]

    def _sampled(self, sample: Sample) -> list[Window]:
        """Blocks, evenly spread; the next one with valid pixels stands in for one without.

        They are always the same, and looked for once: a fit asks for them many times.
        """
        if sample not in self._found:
            self._found[sample] = self._looked_for(sample)
        return self._found[sample]

    @cached_property
    def _found(self) -> dict[Sample, list[Window]]:
        return {}

    def _looked_for(self, sample: Sample) -> list[Window]:
        count, blocks = sample.count, self._blocks(sample.side)
        if len(blocks) <= count:
            return self._whole()
        stretches = spread(blocks, count)
        return [next(filter(self._has_valid, stretch), stretch[0]) for stretch in stretches]

    def _has_valid(self, window: Window) -> bool:
        if not self.reader.masked:
            return True
        _, pan_valid = self.reader.read_pan(window)
        ms_window = self.info.placement.ms_window(window, 1)
        _, ms_valid = self.reader.read_ms(ms_window)
        return bool((pan_valid & self._on_pan_grid(ms_valid, ms_window, window)).any())

    def stream(self, plan: Sequence[Tile]) -> Generator[tuple[Tile, TileImage | None], None, None]:
        """Load tiles in order, one thread reading ahead of whoever takes them.

        Raises:
            InputError: The files cannot be read.
        """
        waiting: deque[tuple[Tile, Future[TileImage | None]]] = deque()
        with workers_of(1, "pancli-read", threads=1) as reader:
            for tile in plan:
                waiting.append((tile, reader.submit(self.load, tile)))
                if len(waiting) > READ_AHEAD:
                    ready, image = waiting.popleft()
                    yield ready, image.result()
            for ready, image in waiting:
                yield ready, image.result()

    def load(self, tile: Tile) -> TileImage | None:
        """Read one tile; None where its core has no valid pixel.

        Raises:
            InputError: The files cannot be read there.
        """
        pan, pan_valid = self.reader.read_pan(tile.window)
        if not pan_valid[tile.inner].any():
            return None
        placement = self.info.placement
        reach = CUBIC_TAPS + (_MS_FILL_RADIUS if self.reader.masked else 0)
        ms_window = placement.ms_window(tile.window, reach)
        ms, ms_valid = self.reader.read_ms(ms_window)
        valid = pan_valid & self._on_pan_grid(ms_valid, ms_window, tile.window)
        if not valid[tile.inner].any():
            return None
        return self._assemble(tile, (pan, pan_valid), (ms, ms_valid), valid, ms_window)

    def _on_pan_grid(self, ms_valid: BoolArray, ms_window: Window, window: Window) -> BoolArray:
        """Validity of the ms pixel each pan pixel's centre lies in; outside the ms image, False."""
        indices, inside = [], []
        padded = self.info.placement.padded(self.overhang)
        for axis, span, ms_span in zip(padded.axes, window.spans, ms_window.spans, strict=True):
            nearest = axis.nearest(*span)
            inside.append((nearest >= 0) & (nearest < axis.size))
            indices.append(nearest - self.overhang - ms_span[0])
        rows, cols = (np.clip(i, 0, n - 1) for i, n in zip(indices, ms_valid.shape, strict=True))
        return ms_valid[rows][:, cols] & inside[0][:, None] & inside[1][None, :]

    def _assemble(
        self,
        tile: Tile,
        pan: tuple[FloatArray, BoolArray],
        ms: tuple[FloatArray, BoolArray],
        valid: BoolArray,
        ms_window: Window,
    ) -> TileImage:
        pan_t, pan_valid, ms_t, ms_valid, valid_t = (
            torch.from_numpy(np.ascontiguousarray(a)).to(self.device) for a in (*pan, *ms, valid)
        )
        pan_t = fill_invalid(pan_t[None], pan_valid, _PAN_FILL_RADIUS, torch.tensor([self.pan_fill]))
        pan_t = aligned(crisp(pan_t, self.pan_crisper), self.pan_shift)
        pan_valid = aligned_mask(pan_valid, self.pan_shift)
        ms_fill = torch.tensor(self.ms_fill or (0.0,) * self.info.bands)
        ms_t = fill_invalid(ms_t, ms_valid, _MS_FILL_RADIUS, ms_fill)
        upsampled = upsample(ms_t, self.info.placement, ms_window, tile.window)
        valid_t = valid_t & pan_valid
        return TileImage(tile, pan_t, pan_valid, upsampled, ms_t, valid_t, ms_valid, ms_window, self.info)


def open_scene(
    reader: Reader, info: PairInfo, area: Window, bounds: Window, device: torch.device = CPU
) -> TiledScene:
    """A scene over a reader, with typical values measured for pixels that are masked and far from others.

    Raises:
        InputError: The files cannot be read.
    """
    if not reader.masked:
        return TiledScene(reader, info, area, bounds, device=device)
    pan_fill, ms_fill = _typical_values(reader, info, area)
    return TiledScene(reader, info, area, bounds, pan_fill, ms_fill, device=device)


def _typical_values(reader: Reader, info: PairInfo, area: Window) -> tuple[float, tuple[float, ...]]:
    """Mean of the valid pixels of pan, and of each ms band, over a few windows spread over the area."""
    pans: list[FloatArray] = [np.zeros(0, np.float32)]
    mss: list[FloatArray] = [np.zeros((info.bands, 0), np.float32)]
    for window in probes(area):
        pan, valid = reader.read_pan(window)
        pans.append(pan[valid])
        ms, valid = reader.read_ms(info.placement.ms_window(window, 0))
        mss.append(ms[:, valid])
    pan_all, ms_all = np.concatenate(pans), np.concatenate(mss, axis=1)
    pan_mean = float(pan_all.mean(dtype=np.float64)) if pan_all.size else 0.0
    ms_mean = ms_all.mean(axis=1, dtype=np.float64) if ms_all.size else np.zeros(info.bands)
    return pan_mean, tuple(float(v) for v in ms_mean)


def array_scene(
    pan: FloatArray, ms: FloatArray, placement: Placement | None = None, sensor: Sensor = GENERIC
) -> TiledScene:
    """A scene over arrays: pan (H, W) and ms (B, h, w), any number type; NaN is invalid.

    Args:
        pan: Panchromatic image.
        ms: Multispectral image.
        placement: How the grids meet; by default they share their corners.
        sensor: Whose MTF to assume.
    """
    if placement is None:
        axes = (
            AxisMap(small / large, 0.0, small) for small, large in zip(ms.shape[1:], pan.shape, strict=True)
        )
        placement = Placement(*axes)
    whole = Window(0, 0, *pan.shape)
    reader = ArrayReader(np.asarray(pan, np.float32), np.asarray(ms, np.float32))
    return open_scene(reader, PairInfo(ms.shape[0], placement, sensor), whole, whole)


def crisp_for(method: Method, scene: TiledScene, more: float | None = None) -> TiledScene:
    """The scene with its pan made crisp, unless the method does so by itself.

    Args:
        method: What fuses.
        scene: The pair.
        more: By how much, as :func:`pancli.methods.crispness.crisp` takes it; None is by what pan lacks.
    """
    if method.contract.makes_crisp:
        return scene
    return replace(scene, pan_crisper=scene_crispness(scene) if more is None else more)


def fuse_scene(method: Method, scene: TiledScene, state: Any, tile_size: int = 512) -> Tensor:
    """Fuse a whole scene in memory, tile by tile, given what ``method.fit(scene)`` returned.

    Returns:
        (B, H, W) float32 over ``scene.area`` on the CPU; NaN where a pixel is invalid.
    """
    out, fuse = torch.full((scene.info.bands, *scene.area.shape), torch.nan), in_turn(method, state)
    margin = scene.margin(method.radius(scene.info))
    for tile, image in scene.stream(plan_tiles(scene.area, tile_size, margin, scene.bounds)):
        if image is None:
            continue
        fused = fuse(image)[:, *tile.inner]
        core = torch.where(image.valid[tile.inner], fused, torch.nan)
        out[:, *tile.core.slices_in(scene.area)] = core.cpu()
    return out

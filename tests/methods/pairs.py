"""Scenes whose truth is known, made with NumPy alone: any ratio, any offset, any number of bands."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from pancli.methods.protocol import PairInfo, TileImage
from pancli.placement import AxisMap, Placement
from pancli.scene import TiledScene, array_scene
from pancli.sensors import GENERIC, Sensor
from pancli.tiling import Tile, Window


@dataclass(frozen=True)
class Grid:
    """How the grids of a made scene meet: ms edge = pan edge / ratio + offset."""

    ratio: float
    offset: float

    def placement(self, shape: tuple[int, int]) -> Placement:
        axes = []
        for size in shape:
            axes.append(AxisMap(1 / self.ratio, self.offset, math.floor(size / self.ratio + self.offset)))
        return Placement(*axes)


ALIGNED = Grid(4.0, 0.0)
LANDSAT = Grid(29.9 / 14.99, 0.25)
HALF_PIXEL = Grid(3.0, 1 / 6)
GRIDS = {"4": ALIGNED, "29.9/14.99": LANDSAT, "3, half a pan pixel off": HALF_PIXEL}


@dataclass(frozen=True)
class Case:
    """A pair with its truth. pan (H, W), ms (B, h, w), truth (B, H, W), float32."""

    pan: np.ndarray
    ms: np.ndarray
    truth: np.ndarray
    placement: Placement

    def scene(self) -> TiledScene:
        return scene_of(self.pan, self.ms, self.placement)

    def masked(self) -> Case:
        """With holes in pan and in ms, and a collar."""
        pan, ms = self.pan.copy(), self.ms.copy()
        pan[40:52, 70:77] = np.nan
        pan[:, :5] = np.nan
        ms[:, 20:22, 10:13] = np.nan
        ms[0, 5, 5] = np.nan
        return replace(self, pan=pan, ms=ms)


def scene_of(
    pan: np.ndarray, ms: np.ndarray, placement: Placement | None = None, sensor: Sensor = GENERIC
) -> TiledScene:
    """A scene over arrays of any number type."""
    return array_scene(pan.astype(np.float32), ms.astype(np.float32), placement, sensor)


def whole_image(scene: TiledScene) -> TileImage:
    """The scene as one tile."""
    image = scene.load(Tile(scene.area, scene.area))
    assert image is not None
    return image


def reduce_by_mtf(image: np.ndarray, placement: Placement, gain: float = 0.3) -> np.ndarray:
    """What an ms sensor sees: a Gaussian of that gain at the ms Nyquist, cut at 4 sigma, at its pixels."""
    weights = []
    for axis, size in zip(placement.axes, image.shape[-2:], strict=True):
        centres = (np.arange(axis.size) + 0.5 - axis.offset) / axis.scale - 0.5
        sigma = math.sqrt(-2 * math.log(gain)) / (math.pi * axis.scale)
        distance = (np.arange(size)[None, :] - centres[:, None]) / sigma
        weight = np.where(np.abs(distance) <= 4, np.exp(-0.5 * distance**2), 0)
        weights.append(weight / weight.sum(1, keepdims=True))
    return np.asarray(weights[0] @ image @ weights[1].T)


def _field(rng: np.random.Generator, shape: tuple[int, int], slope: float) -> np.ndarray:
    """A random field with a power-law spectrum, mean 0, standard deviation 1."""
    rows, cols = np.fft.fftfreq(shape[0])[:, None], np.fft.fftfreq(shape[1])[None, :]
    frequency = np.hypot(rows, cols)
    frequency[0, 0] = np.inf
    field = np.fft.ifft2(np.fft.fft2(rng.standard_normal(shape)) * frequency**-slope).real
    return np.asarray((field - field.mean()) / field.std())


@cache
def make_case(bands: int = 4, grid: Grid = ALIGNED, shape: tuple[int, int] = (168, 140)) -> Case:
    """Fields, parcels and texture common to all bands, something of its own in each; pan their mixture."""
    rng = np.random.default_rng(bands)
    common = _field(rng, shape, 1.5)
    for _ in range(25):
        row, col = rng.integers(0, shape[0] - 20), rng.integers(0, shape[1] - 20)
        common[row : row + rng.integers(5, 20), col : col + rng.integers(5, 20)] += rng.normal()
    truth = np.stack(
        [300 + 60 * b + (40 + 5 * b) * common + 15 * _field(rng, shape, 1.3) for b in range(bands)]
    )
    weights = np.linspace(1.0, 2.0, bands)
    pan = np.tensordot(weights / weights.sum(), truth, 1) * 1.1 + 20
    placement = grid.placement(shape)
    ms = reduce_by_mtf(truth, placement)
    return Case(pan.astype(np.float32), ms.astype(np.float32), truth.astype(np.float32), placement)


@dataclass(frozen=True)
class MaskedReader:
    """Values and masks apart, so that a test can put anything under the mask."""

    pan: np.ndarray
    pan_valid: np.ndarray
    ms: np.ndarray
    ms_valid: np.ndarray
    masked: bool = True

    def read_pan(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        cut = slice(window.row, window.row_stop), slice(window.col, window.col_stop)
        return self.pan[cut], self.pan_valid[cut]

    def read_ms(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        cut = slice(window.row, window.row_stop), slice(window.col, window.col_stop)
        return self.ms[:, cut[0], cut[1]], self.ms_valid[cut]


def hide(case: Case, hidden: float) -> TiledScene:
    """A scene over a pair with NaN holes, with a given value under its mask instead."""
    pan_valid, ms_valid = np.isfinite(case.pan), np.isfinite(case.ms).all(0)
    pan = np.where(pan_valid, case.pan, np.float32(hidden))
    ms = np.where(ms_valid, case.ms, np.float32(hidden))
    whole = Window(0, 0, *pan.shape)
    info = PairInfo(len(ms), case.placement)
    return TiledScene(MaskedReader(pan, pan_valid, ms, ms_valid), info, whole, whole, 0.0, (0.0,) * len(ms))

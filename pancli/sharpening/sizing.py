"""How large tiles may be, and how much of a pair in strips GDAL may hold, by the memory there is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from pancli.device import CPU
from pancli.errors import UsageError
from pancli.methods.protocol import Method
from pancli.raster.env import cache_for
from pancli.raster.pair import Pair
from pancli.scene import READ_AHEAD, TiledScene
from pancli.sharpening.options import MIN_TILE, SharpenOptions

_BEST = {"cpu": 512, "cuda": 1024}  # larger ones are hardly faster where margins are narrow
_MEGABYTE = 2**20


@dataclass(frozen=True, slots=True)
class Memory:
    """What tiles of one side take.

    Attributes:
        megabytes: The least ``--max-memory`` for them, GDAL's cache with them.
        cache: Of GDAL, bytes.
    """

    megabytes: int
    cache: int


def fitting_side(pair: Pair, scene: TiledScene, method: Method, options: SharpenOptions) -> int:
    """The best side of a tile's core that there is memory for: for strips, too, if that leaves any.

    Args:
        pair: What is read.
        scene: The same, as the method sees it.
        method: What fuses.
        options: How much memory there is, and how many threads compute.

    Raises:
        UsageError: Not even the smallest fit.
    """
    sides = list(_sides(scene, method))
    most, threads = options.max_memory, options.cpu_threads
    for strips in (_strips(pair, scene, method, side) for side in sides), (0 for _ in sides):
        for side, held in zip(sides, strips, strict=True):
            if _memory(scene, method, side, held, threads).megabytes <= most:
                return side
    need = _memory(scene, method, sides[-1], 0, threads).megabytes
    raise UsageError(f"--max-memory {most}: {method.name} needs at least {need} MB for this pair")


def memory_for(pair: Pair, scene: TiledScene, method: Method, side: int, options: SharpenOptions) -> Memory:
    """What tiles of a side take; where strips do not fit beside them, they are left to be read again.

    Args:
        pair: As :func:`fitting_side` takes it.
        scene: The same.
        method: The same.
        side: Of a tile's core.
        options: The same.
    """
    strips, threads = _strips(pair, scene, method, side), options.cpu_threads
    memory = _memory(scene, method, side, strips, threads)
    return memory if memory.megabytes <= options.max_memory else _memory(scene, method, side, 0, threads)


def _sides(scene: TiledScene, method: Method) -> Iterator[int]:
    """Sides of cores, the best first."""
    side = _BEST[scene.device.type]
    if scene.margin(method.radius(scene.info)) > side // 8:  # more than half as many pixels around as in it
        side *= 2
    while side >= MIN_TILE:
        yield side
        side //= 2


def _strips(pair: Pair, scene: TiledScene, method: Method, side: int) -> int:
    """Bytes of strips that a row of tiles lies on."""
    return pair.strip_bytes(side + 2 * scene.margin(method.radius(scene.info)))


def _memory(scene: TiledScene, method: Method, side: int, strips: int, threads: int) -> Memory:
    """What one tile being fused takes, with those read ahead and waiting to be written."""
    window = side + 2 * scene.margin(method.radius(scene.info))
    beside = 2 * (READ_AHEAD + 1) + 2
    bands = scene.info.bands
    working = method.contract.working_bytes(window, bands, threads if scene.device == CPU else 1)
    tiles = 4 * window * window * bands * beside + working
    cache = cache_for(strips)
    return Memory(math.ceil((tiles + cache) / _MEGABYTE), cache)

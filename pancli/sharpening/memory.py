"""When a tile does not fit into the memory of the device: it and all after it are cut into smaller ones.

A tile has the margin that its method needs, whatever its side, so the image is that of a run which began with
the smaller tiles, to a rounding.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import torch

from pancli.errors import DeviceError
from pancli.methods.protocol import Method, TileImage
from pancli.scene import TiledScene
from pancli.sharpening.options import MIN_TILE
from pancli.sharpening.plan import Plan
from pancli.tiling import Tile, plan_tiles

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Step(Generic[T]):
    """A tile that is done.

    Attributes:
        result: What came of it; None where its core has no valid pixel.
        side: Of the cores of tiles, by now.
        left: How many tiles are still to be done.
    """

    result: T | None
    side: int
    left: int


def fit_in_memory(method: Method, scene: TiledScene) -> tuple[Any, TiledScene]:
    """``method.fit``, begun again on tiles of half the side as often as they do not fit.

    Returns:
        The state, and the scene with the ``fit_tile`` it was found with.

    Raises:
        DeviceError: The smallest tiles do not fit either.
        PancliError: What ``fit`` raises.
    """
    while True:
        try:
            return method.fit(scene), scene
        except torch.OutOfMemoryError:
            pass  # what the failed attempt holds of the device is free only when its exception is gone
        scene = replace(scene, fit_tile=_smaller(scene.fit_tile, method, scene))


def each_tile(
    plan: Plan, work: Callable[[TileImage], T], waiting: Callable[[], AbstractContextManager[None]]
) -> Generator[Step[T], None, None]:
    """Do something with every tile of a plan, in order.

    Where one does not fit, it and all after it are cut into tiles of half the side, as often as it takes.

    Args:
        plan: What to read and what to keep.
        work: Called with each tile that has a valid pixel. Where memory does not suffice it is called again
            with parts of the same tile, and must then give what it would have given at first.
        waiting: A context that is entered while tiles are waited for.

    Raises:
        DeviceError: The smallest tiles do not fit either.
        PancliError: The files cannot be read; what ``work`` raises.
    """
    scene, side, left = plan.scene, plan.tile_size, deque(plan.tiles)
    margin = scene.margin(plan.method.radius(scene.info))
    while left:
        try:
            with closing(scene.stream(tuple(left))) as stream:
                while left:
                    result = _next(stream, work, waiting)
                    left.popleft()
                    yield Step(result, side, len(left))
        except torch.OutOfMemoryError:
            pass
        if left:
            side = _smaller(side, plan.method, scene)
            cut = (plan_tiles(tile.core, side, margin, scene.bounds) for tile in left)
            left = deque(part for parts in cut for part in parts)


def _next(
    stream: Iterator[tuple[Tile, TileImage | None]],
    work: Callable[[TileImage], T],
    waiting: Callable[[], AbstractContextManager[None]],
) -> T | None:
    """A function of its own, so that a tile that fails is not held by the caller's variables."""
    with waiting():
        _, image = next(stream)
    return None if image is None else work(image)


def _smaller(side: int, method: Method, scene: TiledScene) -> int:
    """The next side to be tried; what the device keeps for later is given back first."""
    if side <= MIN_TILE:
        raise DeviceError(
            f"{scene.device}: not enough memory for {method.name} with tiles of {side} pixels, the smallest; "
            "end what else runs there, or use --device cpu"
        )
    gc.collect()  # an exception that comes from a thread is held by its own traceback, and with it the tiles
    torch.cuda.empty_cache()  # does nothing where CUDA was not used
    return max(side // 2, MIN_TILE)

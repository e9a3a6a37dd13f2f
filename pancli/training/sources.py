"""Images with a known truth, held in memory as delivered: small integers stay small.

An image NAME in a folder is found as arrays (``NAME-pan.npy``, ``NAME-ms.npy``, ``NAME-truth.npy``), which
machines without GDAL can read, or as rasters (``NAME/pan.tif`` and ``NAME/ms.tif``; ``NAME.tif`` for a
truth).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pancli.errors import InputError, RecipeError
from pancli.training.recipe import Source

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Images:
    """One image per name: ms or truth (B, h, w), and pan (H, W) for pairs.

    Attributes:
        bands: Per image, the multiband array.
        pans: Per image, its pan; empty where pan is made from the bands.
    """

    bands: tuple[Array, ...]
    pans: tuple[Array, ...] = ()


def load_images(source: Source, data: Path) -> Images:
    """Read the images of a source.

    Raises:
        RecipeError: One is missing, cannot be read, or pan and ms do not fit.
    """
    if source.kind == "simulated":
        return Images(())
    folder = data / source.folder
    if source.kind == "truth":
        return Images(tuple(load_image(folder, name, "truth") for name in source.names))
    pairs = [load_pair(folder, name) for name in source.names]
    return Images(tuple(ms for _, ms in pairs), tuple(pan for pan, _ in pairs))


def load_pair(folder: Path, name: str) -> tuple[Array, Array]:
    """Pan (H, W) and ms (B, h, w) of one pair; they share their corners at a whole ratio.

    Raises:
        RecipeError: One is missing, cannot be read, or they do not fit.
    """
    pan, ms = load_image(folder, name, "pan")[0], load_image(folder, name, "ms")
    ratio = round(pan.shape[0] / ms.shape[1])
    if ratio < 2 or pan.shape != (ratio * ms.shape[1], ratio * ms.shape[2]):
        raise RecipeError(
            f"{folder / name}: pan of {pan.shape} and ms of {ms.shape[1:]} pixels are not at a whole ratio; "
            "train on pairs whose pan has exactly 2, 3, 4 ... pixels per ms pixel"
        )
    return pan, ms


def load_image(folder: Path, name: str, role: str) -> Array:
    """One image (B, H, W) as an array of its own type.

    Args:
        folder: Where it is.
        name: Its name.
        role: "pan", "ms" or "truth".

    Raises:
        RecipeError: It is missing or cannot be read.
    """
    array = folder / f"{name}-{role}.npy"
    raster = folder / f"{name}.tif" if role == "truth" else folder / name / f"{role}.tif"
    if array.is_file():
        return _from_array(array)
    if not raster.is_file():
        raise RecipeError(f"neither {raster} nor {array} exists; is --data the folder the recipe speaks of?")
    from pancli.raster.image import read_image

    try:
        return read_image(raster)
    except InputError as error:
        raise RecipeError(str(error)) from error


def _from_array(path: Path) -> Array:
    try:
        array: Array = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise RecipeError(f"{path} is not a plain .npy array: {error}") from error
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3:
        raise RecipeError(f"{path} has {array.ndim} dimensions; expected 2 or 3")
    return array


def crop(array: Array, row: int, col: int, height: int, width: int) -> Tensor:
    """A window of the last two axes as float32."""
    window = array[..., row : row + height, col : col + width]
    return torch.from_numpy(np.ascontiguousarray(window, dtype=np.float32))

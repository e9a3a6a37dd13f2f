"""Measuring methods on held-back scenes: what a run is chosen by, and what goes on the card."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path

import torch
from torch import Tensor

from pancli.errors import RecipeError
from pancli.methods.protocol import Method
from pancli.metrics.hypercomplex import q2n_blocks
from pancli.metrics.reference import ReferenceSums
from pancli.placement import AxisMap, Placement
from pancli.resampling import degrade
from pancli.scene import TiledScene, array_scene, fuse_scene
from pancli.sensors import GENERIC
from pancli.simulation.scenes import random_pair
from pancli.tiling import Window
from pancli.training.images import Image, Room, crop, middle_window
from pancli.training.patches import reduced_pan, referenced_parts
from pancli.training.recipe import Validation
from pancli.training.sources import find_names, load_pair, load_referenced

_SIMULATED_SEED = 900_000_000  # far from the seeds of training steps
_SIMULATED_SIZE = 256
_Q_BLOCK = 32  # pixels, as evaluation's


@dataclass(frozen=True)
class Case:
    """One scene with its truth.

    Attributes:
        group: What it is reported under: the kind of scene and its ratio.
        scene: Pan and ms.
        truth: (B, H, W).
        peak: The sensor's largest number.
    """

    group: str
    scene: TiledScene
    truth: Tensor
    peak: float


@dataclass(frozen=True)
class Figures:
    """Means over the cases of one group: PSNR in dB, SAM in degrees, ERGAS, Q2n."""

    psnr: float
    sam: float
    ergas: float
    q2n: float


def load_cases(validation: Validation, data: Path) -> list[Case]:
    """The scenes a recipe names, and simulated ones.

    Raises:
        RecipeError: A scene is missing or does not fit.
        TrainingError: A scene has no place without nodata.
    """
    cases: list[Case] = []
    folder = data / validation.folder
    for name in find_names(folder, validation.names, validation.kind):
        if validation.kind == "referenced":
            cases.append(_referenced(load_referenced(folder, name, validation.nodata), validation))
        else:
            image = load_pair(folder, name, validation.nodata)
            cases += [_reduced(image, ratio, validation) for ratio in validation.ratios]
    ratios = validation.ratios
    return cases + [_simulated(n, ratios[n % len(ratios)]) for n in range(validation.simulated)]


def _reduced(image: Image, ratio: float, validation: Validation) -> Case:
    """Pan reduced to the ms grid, ms by ``ratio`` more; the middle of the ms is the truth."""
    side = min(validation.crop, *image.bands.shape[1:])
    side -= side % round(ratio)
    if side < 2 * round(ratio):
        raise RecipeError(f"{image.name} is too small to be reduced by {ratio:g}; validate on a larger one")
    window = middle_window(Room.of(image, side))
    truth = _chosen(crop(image.bands, window), image, validation)
    gain = GENERIC.ms_gains[0]
    reduced = reduced_pan(image, window, gain)[0]
    small = round(side / ratio)
    axis = AxisMap(1.0 / ratio, 0.0, small)
    squares = Window(0, 0, side, side), Window(0, 0, small, small)
    lower = degrade(truth, Placement(axis, axis), *squares, gain)
    scene = array_scene(reduced.numpy(), lower.numpy())
    return Case(_group(validation, ratio), scene, truth, 2.0**validation.bits - 1)


def _referenced(image: Image, validation: Validation) -> Case:
    """The middle of a pair that came with its truth."""
    side = max(math.floor(validation.crop / image.ratio), 1)
    pan, ms, reference, placement = referenced_parts(image, middle_window(Room.of(image, side)))
    truth, bands = (_chosen(part, image, validation) for part in (reference, ms))
    scene = array_scene(pan[0].numpy(), bands.numpy(), placement)
    return Case(_group(validation, image.ratio), scene, truth, 2.0**validation.bits - 1)


def _group(validation: Validation, ratio: float) -> str:
    return f"{Path(validation.folder).name or 'scenes'} ratio {ratio:.4g}"


def _chosen(bands: Tensor, image: Image, validation: Validation) -> Tensor:
    """The bands that are measured.

    Raises:
        RecipeError: The image has fewer.
    """
    if validation.bands and max(validation.bands) >= bands.shape[0]:
        raise RecipeError(
            f"{image.name} has {bands.shape[0]} bands, but validation.bands asks for number "
            f"{max(validation.bands)}, counting from 0"
        )
    return bands[list(validation.bands)] if validation.bands else bands


def _simulated(index: int, ratio: float) -> Case:
    generator = torch.Generator().manual_seed(_SIMULATED_SEED + index)
    pair = random_pair(generator, _SIMULATED_SIZE, 4, ratio)
    scene = array_scene(pair.pan[0].numpy(), pair.ms.numpy(), pair.placement)
    return Case(f"simulated ratio {ratio:g}", scene, pair.reference, pair.peak)


def measure(method: Method, cases: Iterable[Case]) -> dict[str, Figures]:
    """Fuse every case and compare with its truth: means per group.

    Args:
        method: On the CPU.
        cases: What :func:`load_cases` returned.
    """
    found: dict[str, list[Figures]] = {}
    with torch.inference_mode():
        for case in cases:
            fused = fuse_scene(method, case.scene, method.fit(case.scene))
            sums = ReferenceSums.of(fused, case.truth)
            ratio = case.scene.info.placement.ratio
            figures = Figures(sums.psnr(case.peak), sums.sam(), sums.ergas(ratio), _q2n(fused, case.truth))
            found.setdefault(case.group, []).append(figures)
    return {group: _mean(values) for group, values in found.items()}


def _q2n(fused: Tensor, truth: Tensor) -> float:
    """Mean over whole blocks."""
    block = min(_Q_BLOCK, *truth.shape[1:])
    return float(q2n_blocks(truth.double(), fused.double(), block).mean())


def _mean(values: list[Figures]) -> Figures:
    return Figures(*(sum(column) / len(values) for column in zip(*map(astuple, values), strict=True)))


def score(figures: dict[str, Figures]) -> float:
    """What the best checkpoint is chosen by: PSNR in dB, the mean over groups."""
    return sum(f.psnr for f in figures.values()) / len(figures)

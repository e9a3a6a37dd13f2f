"""Measuring methods on held-back scenes: what a run is chosen by, and what goes on the card."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from pancli.methods.protocol import Method
from pancli.metrics.reference import ReferenceSums
from pancli.placement import AxisMap, Placement
from pancli.resampling import degrade
from pancli.scene import TiledScene, array_scene, fuse_scene
from pancli.sensors import GENERIC
from pancli.simulation.scenes import random_pair
from pancli.tiling import Window
from pancli.training.recipe import Validation
from pancli.training.sources import crop, load_pair

_SIMULATED_SEED = 900_000_000  # far from the seeds of training steps
_SIMULATED_SIZE = 256


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
    truth: torch.Tensor
    peak: float


@dataclass(frozen=True)
class Figures:
    """Means over the cases of one group."""

    psnr: float
    sam: float
    ergas: float


def load_cases(validation: Validation, data: Path) -> list[Case]:
    """The scenes a recipe names, reduced by Wald's protocol, and simulated ones.

    Raises:
        RecipeError: A scene is missing or does not fit.
    """
    cases = []
    for name in validation.names:
        pan, ms = load_pair(data / validation.folder, name)
        for ratio in validation.ratios:
            cases.append(_reduced(pan, ms, ratio, validation))
    return cases + [_simulated(index) for index in range(validation.simulated)]


def _reduced(pan: object, ms: object, ratio: float, validation: Validation) -> Case:
    """Pan reduced to the ms grid, ms by ``ratio`` more; the middle of the ms is the truth."""
    pan_all, ms_all = torch.as_tensor(pan), torch.as_tensor(ms)
    factor = round(pan_all.shape[0] / ms_all.shape[1])
    side = min(validation.crop, *ms_all.shape[1:])
    side -= side % round(ratio)
    row, col = ((n - side) // 2 for n in ms_all.shape[1:])
    truth = crop(ms_all.numpy(), row, col, side, side)
    if validation.bands:
        truth = truth[list(validation.bands)]
    fine = crop(pan_all.numpy(), factor * row, factor * col, factor * side, factor * side)[None]
    gain = GENERIC.ms_gains[0]
    reduced = degrade(fine, _corners(side, factor), _square(factor * side), _square(side), gain)[0]
    small = round(side / ratio)
    lower = degrade(truth, _corners(small, ratio), _square(side), _square(small), gain)
    group = f"landsat7 ratio {ratio:g}"
    return Case(group, array_scene(reduced.numpy(), lower.numpy()), truth, 2.0**validation.bits - 1)


def _corners(size: int, ratio: float) -> Placement:
    axis = AxisMap(1.0 / ratio, 0.0, size)
    return Placement(axis, axis)


def _square(side: int) -> Window:
    return Window(0, 0, side, side)


def _simulated(index: int) -> Case:
    generator = torch.Generator().manual_seed(_SIMULATED_SEED + index)
    ratio = (2.0, 4.0)[index % 2]
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
            figures = Figures(sums.psnr(case.peak), sums.sam(), sums.ergas(ratio))
            found.setdefault(case.group, []).append(figures)
    return {group: _mean(values) for group, values in found.items()}


def _mean(values: list[Figures]) -> Figures:
    count = len(values)
    return Figures(
        sum(v.psnr for v in values) / count,
        sum(v.sam for v in values) / count,
        sum(v.ergas for v in values) / count,
    )


def score(figures: dict[str, Figures]) -> float:
    """What the best checkpoint is chosen by: PSNR in dB, the mean over groups."""
    return sum(f.psnr for f in figures.values()) / len(figures)

"""Measuring methods on held-back scenes: what a run is chosen by, and what goes on the card."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from pancli.errors import RecipeError
from pancli.methods.alignment import aligned
from pancli.methods.protocol import Method
from pancli.methods.units import scene_groups
from pancli.metrics.hypercomplex import q2n_blocks
from pancli.metrics.reference import ReferenceSums, peak_in_doubt
from pancli.networks.protocol import Traits
from pancli.networks.registry import find_network
from pancli.placement import AxisMap, Placement
from pancli.resampling import degrade
from pancli.scene import TiledScene, array_scene, fuse_scene
from pancli.sensors import GENERIC
from pancli.simulation.scenes import random_pair
from pancli.tiling import Window
from pancli.training.images import Image, Room, crop, middle_window
from pancli.training.patches import cut_patch
from pancli.training.recipe import Recipe, Validation
from pancli.training.regions import (
    Region,
    apart,
    reduced_pan,
    referenced_parts,
    shown_region,
    whole_region,
)
from pancli.training.sampling import CARD_SLACK
from pancli.training.sources import find_names, load_pair, load_referenced
from pancli.training.teachers import Teacher

_SIMULATED_SEED = 900_000_000  # far from the seeds of training steps
_SIMULATED_SIZE = 256
_APART = 0.5  # pixels along each axis by which the pan of a simulated scene lies elsewhere, at most
_Q_BLOCK = 32  # pixels, as evaluation's


@dataclass(frozen=True)
class Case:
    """One scene with its truth.

    Attributes:
        group: What it is reported under: the kind of scene and its ratio.
        scene: Pan and ms.
        truth: (B, H, W).
        peak: The sensor's largest number.
        warnings: How it was placed, where that was a guess, and of a peak that cannot be its own; with its
            name.
    """

    group: str
    scene: TiledScene
    truth: Tensor
    peak: float
    warnings: tuple[str, ...] = ()


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
            made = [_referenced(load_referenced(folder, name, validation.nodata), validation)]
        else:
            image = load_pair(folder, name, validation.nodata)
            made = [_reduced(image, ratio, validation) for ratio in validation.ratios]
        cases += _doubting(made, f"{folder / name}")
    ratios = validation.ratios
    return cases + [_simulated(n, ratios[n % len(ratios)]) for n in range(validation.simulated)]


def _doubting(cases: list[Case], name: str) -> list[Case]:
    """The cases made of one image, of which the first says so where its bits cannot be the recipe's."""
    highest, peak = max(float(case.truth.max()) for case in cases), cases[0].peak
    where = peak_in_doubt(highest, peak)
    if where is None:
        return cases
    told = (
        f"{name}: the truth goes up to {highest:g}, {where} the peak of {peak:.0f} that PSNR is told; set "
        "validation.bits (1 for reflectance, whose peak is 1)"
    )
    return [replace(cases[0], warnings=(*cases[0].warnings, told)), *cases[1:]]


def check_cases(cases: Iterable[Case], network: str) -> None:
    """Refuse scenes that a network is not made for, whose figures would say nothing of it.

    Raises:
        RecipeError: One has another ratio than the network takes.
    """
    taken = find_network(network).TRAITS.ratio
    for case in cases:
        if taken is not None and abs(case.scene.info.placement.ratio - taken) > CARD_SLACK:
            raise RecipeError(
                f"{network} takes ratio {taken} alone, but would be validated on '{case.group}'; name other "
                "scenes in validation.names"
            )


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
    small = math.ceil(side / ratio - 1e-6)
    axis = AxisMap(1.0 / ratio, 0.0, small)
    placement = Placement(axis, axis)
    lower = degrade(truth, placement, Window(0, 0, side, side), Window(0, 0, small, small), gain)
    scene = array_scene(reduced.numpy(), lower.numpy(), placement)
    return Case(_group(validation, ratio), scene, truth, 2.0**validation.bits - 1, image.told)


def _referenced(image: Image, validation: Validation) -> Case:
    """The middle of a pair that came with its truth."""
    side = max(math.floor(validation.crop / image.ratio), 1)
    pan, ms, reference, placement = referenced_parts(image, middle_window(Room.of(image, side)))
    truth, bands = (_chosen(part, image, validation) for part in (reference, ms))
    scene = array_scene(pan[0].numpy(), bands.numpy(), placement)
    return Case(_group(validation, image.ratio), scene, truth, 2.0**validation.bits - 1, image.told)


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
    pair = random_pair(generator, _SIMULATED_SIZE, 4, ratio, registered=True)
    pan = aligned(pair.pan, apart(_APART, generator))
    scene = array_scene(pan[0].numpy(), pair.ms.numpy(), pair.placement)
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
            found.setdefault(case.group, []).append(_compare(fused, case.truth, case))
    return {group: _mean(values) for group, values in found.items()}


def measure_teacher(teacher: Teacher, recipe: Recipe, cases: Iterable[Case]) -> dict[str, Figures]:
    """What a teacher, who is shown the truth, makes of every case: means per group.

    It says whether there is something to be learnt from it, not how well it would do without the truth.
    Each image is one batch; of networks that see windows of one size, the first window alone.

    Args:
        teacher: On any device; left in eval mode.
        recipe: Whose network it teaches.
        cases: What :func:`load_cases` returned. Those smaller than a network's window are left out.
    """
    found: dict[str, list[Figures]] = {}
    traits, device = find_network(recipe.network).TRAITS, next(teacher.parameters()).device
    teacher.eval()
    with torch.no_grad():
        for case in cases:
            window = _seen(traits, case.scene.area)
            if window.size == 0:
                continue
            region, fused = shown_region(_region(case), traits), torch.full_like(case.truth, torch.nan)
            for group in scene_groups(region.units, len(fused), recipe.bands):
                batch = cut_patch(region, group, window, traits)
                image = teacher(batch.to(device)).fused.float().cpu() * batch.scale + batch.mean
                fused[list(group), *window.slices_in(case.scene.area)] = image[0]
            rows, cols = window.slices_in(case.scene.area)
            figures = _compare(fused[:, rows, cols], case.truth[:, rows, cols], case)
            found.setdefault(case.group, []).append(figures)
    return {group: _mean(values) for group, values in found.items()}


def _seen(traits: Traits, area: Window) -> Window:
    """What a network can be shown of an image at once; empty where that is too small."""
    if traits.window is not None:
        side = traits.window if min(area.shape) >= traits.window else 0
        return Window(0, 0, side, side)
    height, width = (side // traits.align * traits.align for side in area.shape)
    return Window(0, 0, height, width)


def _region(case: Case) -> Region:
    """All of a case."""
    scene, placement = case.scene, case.scene.info.placement
    ms_whole = Window(0, 0, *placement.ms_shape)
    pan, ms = (
        torch.from_numpy(values)
        for values, _ in (scene.reader.read_pan(scene.area), scene.reader.read_ms(ms_whole))
    )
    return whole_region(pan[None], ms, case.truth, placement, scene.info.mean_gain)


def _compare(fused: Tensor, truth: Tensor, case: Case) -> Figures:
    return compare_images(fused, truth, case.peak, case.scene.info.placement.ratio)


def compare_images(fused: Tensor, truth: Tensor, peak: float, ratio: float) -> Figures:
    """How far a fused image (B, H, W) is from the truth.

    Args:
        fused: The image.
        truth: The same shape.
        peak: The largest digital number.
        ratio: Pan pixels per ms pixel.
    """
    sums = ReferenceSums.of(fused, truth)
    return Figures(sums.psnr(peak), sums.sam(), sums.ergas(ratio), _q2n(fused, truth))


def _q2n(fused: Tensor, truth: Tensor) -> float:
    """Mean over whole blocks."""
    block = min(_Q_BLOCK, *truth.shape[1:])
    return float(q2n_blocks(truth.double(), fused.double(), block).mean())


def _mean(values: list[Figures]) -> Figures:
    return Figures(*(sum(column) / len(values) for column in zip(*map(astuple, values), strict=True)))


def score(figures: dict[str, Figures]) -> float:
    """What the best checkpoint is chosen by: PSNR in dB, the mean over groups."""
    return sum(f.psnr for f in figures.values()) / len(figures)

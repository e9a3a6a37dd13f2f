"""What comes of a run: the best weights so far, measured, with a card that says what they are."""

from __future__ import annotations

import datetime
import math
import platform
from collections.abc import Mapping
from dataclasses import replace

from pancli.errors import TrainingError
from pancli.methods.back_projection import with_rounds
from pancli.methods.network import NetworkMethod
from pancli.methods.statistics import FEATURES
from pancli.networks.protocol import Network, Traits
from pancli.networks.registry import NETWORKS
from pancli.networks.weights import NOT_STATED, Card, save_weights
from pancli.training.notes import Board, Row
from pancli.training.recipe import Recipe, Schedule
from pancli.training.run import Run
from pancli.training.sampling import CARD_SLACK
from pancli.training.teachers import Teacher
from pancli.training.validation import Figures, measure, measure_teacher, score

_METRICS = (("psnr", "PSNR dB"), ("sam", "SAM degrees"), ("ergas", "ERGAS"), ("q2n", "Q2n"))
_SAME = 1e-3  # dB: what is measured anew may differ by so much on another machine

FiguresByGroup = Mapping[str, Figures]


def validate(run: Run, loss: float, board: Board | None) -> None:
    """Measure, note it, and export what is the best so far; a teacher is measured alone."""
    progress = run.progress
    row = Row(run.stage.name, progress.step, progress.seconds, loss)
    for part in run.stage.parts.values():
        if isinstance(part.module, Teacher):
            _note(run, replace(row, figures=measure_teacher(part.module, run.recipe, run.cases)), board)
    for stem in run.stage.networks:
        network = run.stage.released(stem, run.recipe.kept)
        figures = _measure(run, stem, network)
        _note(run, replace(row, weights=stem, figures=figures), board)
        if figures and not score(figures) > progress.best.get(stem, -math.inf):
            continue
        if figures:
            run.progress = replace(run.progress, best={**run.progress.best, stem: score(figures)})
        _export(run, stem, network, figures)


def _note(run: Run, row: Row, board: Board | None) -> None:
    run.metrics.note(row)
    if board is not None:
        figures = (row.figures or {}).items()
        told = {f"{group}/{k}": v for group, found in figures for k, v in vars(found).items()}
        board.note(row.stage, row.step, told)


def _measure(run: Run, stem: str, network: Network) -> dict[str, Figures]:
    """What a network reaches on the validation scenes, on the CPU."""
    if not run.cases:
        return {}
    method = NetworkMethod(network, make_card(run, stem, network, {}))
    return measure(with_rounds(method, None), run.cases)


def export_unmeasured(run: Run) -> None:
    """Export what was never validated, so that a run stopped early leaves something to look at.

    It does not count as the best, so that the run goes on as if it had not stopped.
    """
    if run.terms.ranks.first:
        for stem in run.stage.networks:
            if stem not in run.progress.best:
                _export(run, stem, run.stage.released(stem, run.recipe.kept), {})


def export_missing(run: Run) -> list[str]:
    """Export anew what a resumed run had exported and somebody has taken away, if the checkpoint holds it.

    Where there are steps left, it need not: the best is then looked for among what is to come.

    Returns:
        Warnings of weights that are lost.

    Raises:
        TrainingError: Weights of a finished run are lost.
    """
    lost, over = [], run.progress.step == run.stage.schedule.steps
    for stem in run.stage.networks:
        path, best = run.weights(stem), run.progress.best.get(stem)
        if path.exists() or (best is None and not over):
            continue
        network = run.stage.released(stem, run.recipe.kept)
        figures = _measure(run, stem, network)
        if best is None or (figures and score(figures) > best - _SAME):
            _export(run, stem, network, figures)
        elif over:
            raise TrainingError(
                f"{path} is missing, and the checkpoint holds other weights than these, the best of the run; "
                "put the file back, or use --fresh to train again"
            )
        else:
            others = {name: value for name, value in run.progress.best.items() if name != stem}
            run.progress = replace(run.progress, best=others)
            lost.append(f"{path}, the best so far, is missing; the best from here on takes its place")
    return lost


def _export(run: Run, stem: str, network: Network, figures: FiguresByGroup) -> None:
    save_weights(network, make_card(run, stem, network, figures), run.weights(stem))


def make_card(run: Run, name: str, network: Network, figures: FiguresByGroup) -> Card:
    """The card of a network.

    Args:
        run: That trained it.
        name: Of the weights.
        network: With them.
        figures: What it reaches on the validation scenes.
    """
    recipe = run.recipe
    own = name == recipe.name  # a peer began from random weights, beside a network that may not have
    origins = run.origins if own else [f"taught by what {origin}" for origin in run.origins]
    return Card(
        name=name,
        network=next(key for key, kind in NETWORKS.items() if type(network) is kind),
        version=recipe.version,
        bands=recipe.bands,
        ratios=_ratios(run),
        nominal_pixels=network.nominal_pixels,
        parameters=sum(p.numel() for p in network.parameters()),
        normalisation="detail units of the scene, so any dynamic range: band = (ms - mean) / (r std) with r "
        "its correlation with pan on the ms grid, pan = (pan - mean) / std",
        groups=_groups(recipe.bands, network.TRAITS),
        statistics=_statistics(network.TRAITS),
        paper=network.TRAITS.paper,
        reconstruction=network.TRAITS.reconstruction,
        data=recipe.data or _sources(recipe),
        recipe_sha256=recipe.sha256,
        budget=_budget(run),
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        figures=_measured({**run.baselines, name: figures}),
        limits=recipe.limits,
        licence=recipe.licence or "; ".join((NOT_STATED, *origins)),
        teacher=_teacher(recipe, run.progress.taught_by),
        began_from=run.progress.began_from if own else "",
        back_projections=recipe.back_projections,
    )


def _ratios(run: Run) -> tuple[float, float]:
    """From the smallest to the largest trained with, or measured, and a little beyond."""
    recipe = run.recipe
    ratios: list[float] = []
    for source, images in zip(recipe.sources, run.sampler.images, strict=True):
        referenced = source.kind == "referenced"
        ratios += [image.ratio for image in images] if referenced else recipe.degradation.ratios
    low, high = min(ratios), max(*ratios, recipe.largest_ratio)
    return round(low - CARD_SLACK, 3), round(high + CARD_SLACK, 3)


def _groups(bands: int, traits: Traits) -> str:
    if traits.any_bands:
        return "any number of bands at once, in any order"
    return (
        f"{bands} at a time as they are delivered, the last group takes the last {bands}; fewer are "
        "repeated, those first that follow pan best; inside a group by falling correlation with pan"
    )


def _sources(recipe: Recipe) -> str:
    """What was trained on, where the recipe does not say it in words."""
    told = [f"{source.kind} {', '.join(source.names)} {source.folder}" for source in recipe.sources]
    return "; ".join(" ".join(text.split()) for text in told)


def _measured(methods: Mapping[str, FiguresByGroup]) -> dict[str, dict[str, float]]:
    """Measurement -> method -> value; what is no number is left out, as ERGAS where the truth is zero."""
    measured: dict[str, dict[str, float]] = {}
    for method, found in methods.items():
        for group, values in found.items():
            for metric, unit in _METRICS:
                value = round(getattr(values, metric), 3)
                if math.isfinite(value):
                    measured.setdefault(f"{group}, {unit}", {})[method] = value
    return measured


def _budget(run: Run) -> str:
    progress, ranks, schedule = run.progress, run.terms.ranks, run.recipe.schedule
    kind = "CUDA" if ranks.device.type == "cuda" else f"CPU ({platform.machine()})"
    several = f", {ranks.count} processes" if ranks.count > 1 else ""
    return f"{progress.step} of {_steps(schedule)}, {progress.seconds / 60:.0f} minutes, {kind}{several}"


def _steps(schedule: Schedule) -> str:
    patches = schedule.regions * schedule.patches
    return f"{schedule.steps} steps of {patches} patches of {schedule.patch} pixels"


def _teacher(recipe: Recipe, taught_by: str) -> str:
    """What teacher or peer there was, and what was taken from it."""
    if recipe.mutual is not None:
        return (
            f"mutual learning of {recipe.network} and {recipe.mutual.peer}, weight {recipe.mutual.weight:g}"
        )
    teacher, plan = recipe.teacher, recipe.distillation
    if plan is None:
        return ""
    taken = ["its first weights"] if plan.initialise else []
    if plan.features:
        weights = ", ".join(f"{weight:g}" for weight in plan.features)
        adapted = " through adapters" if plan.adapters else ""
        taken.append(f"features{adapted} (weights {weights})")
    if plan.output:
        taken.append(f"output (weight {plan.output:g})")
    who = taught_by if teacher is None else f"{teacher.kind} of {_steps(teacher.schedule)}"
    return f"{who}; taken from it: {', '.join(taken)}"


def _statistics(traits: Traits) -> str:
    units = "units over all valid ms pixels"
    if traits.window is not None:
        return f"{units}; of each window of {traits.window} pixels, blended half a window apart"
    if traits.stages:
        part = f"{FEATURES.count} blocks of {FEATURES.side} pixels"
        return f"{units}; {len(traits.stages)} stages over at most {part}"
    return f"{units}; nothing else is global"

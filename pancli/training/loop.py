"""The run itself: stage after stage, saved every few minutes, measured now and then, the best exported."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from pancli.device import CPU, shortage_told
from pancli.errors import RecipeError, TrainingError
from pancli.methods.registry import METHODS
from pancli.networks.weights import read_card
from pancli.training.checkpoint import Progress, load_parts, read_progress, save_checkpoint
from pancli.training.export import export_missing, export_unmeasured, validate
from pancli.training.initial import given_teacher, load_initial, told_file, told_licence
from pancli.training.notes import Board, require_tensorboard
from pancli.training.recipe import Recipe
from pancli.training.run import CHECKPOINT, Clock, Run, Terms, Told
from pancli.training.sampling import Sampler
from pancli.training.stages import Workshop, stage_names
from pancli.training.standstill import standstill
from pancli.training.steps import Waiting, make_batches, take_step
from pancli.training.validation import check_cases, load_cases, measure

BASELINES = ("exp", "gsa", "mtf-glp-hpm")
_BOARD_EVERY = 10  # steps

StepCallback = Callable[[Told], None]
WarningCallback = Callable[[str], None]


def train(
    recipe: Recipe,
    data: Path,
    folder: Path,
    terms: Terms | None = None,
    on_step: StepCallback | None = None,
    on_warning: WarningCallback | None = None,
) -> Run:
    """Train, or go on training, until the recipe's steps are done or the time is up.

    Args:
        recipe: What to do.
        data: Folder that the recipe's folders are relative to.
        folder: Where checkpoint.safetensors, metrics.csv and NAME.safetensors go; made if missing.
        terms: Device, time, whether to start again.
        on_step: Called after every step.
        on_warning: Told what is odd while there is time to stop.

    Raises:
        UsageError: TensorBoard is asked for and not installed.
        RecipeError: The data are missing, or the checkpoint is of another recipe.
        WeightsError: The weights to begin from cannot be used.
        TrainingError: The loss is not a number, the checkpoint is damaged, or a process that makes batches
            ended; what was saved stays. Or the best weights of a finished run are gone.
        DeviceError: The device has too little memory; what was saved stays.
    """
    terms = terms or Terms()
    started = time.monotonic()
    if terms.tensorboard:
        require_tensorboard()
    if recipe.schedule.threads:
        torch.set_num_threads(recipe.schedule.threads)
    initial = None if terms.init is None else load_initial(terms.init, recipe)
    workshop = Workshop(recipe, terms.ranks.device, folder, initial)
    run = _start(workshop, data, terms)
    lost = export_missing(run) if terms.ranks.first else []
    if on_warning is not None:
        for warning in (*run.warnings, *lost):
            on_warning(warning)
    clock = Clock.start(started, run.progress.seconds, terms.max_minutes)
    names = stage_names(recipe)
    with shortage_told(terms.ranks.device), _board(run) as board:
        for name in names[names.index(run.stage.name) :]:
            if name != run.stage.name:
                run.stage = workshop.stage(name)
                run.progress = replace(run.progress, stage=name, step=0)
            if not _run_stage(run, clock, board, on_step, on_warning):
                return run
            if terms.ranks.first:
                workshop.finish(run.stage)
            terms.ranks.wait()
    run.done = True
    return run


def _start(workshop: Workshop, data: Path, terms: Terms) -> Run:
    """The run at its beginning, or where it was saved."""
    recipe, folder = workshop.recipe, workshop.folder
    for plan in (recipe.schedule, *([] if recipe.teacher is None else [recipe.teacher.schedule])):
        if plan.regions % terms.ranks.count:
            raise RecipeError(
                f"{terms.ranks.count} processes cannot share the {plan.regions} regions of a step; "
                "set schedule.regions to a multiple"
            )
    sampler = Sampler.load(recipe, data)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(
            f"cannot make the folder {folder}: {error.strerror}; give another --out"
        ) from error
    began = "" if workshop.initial is None else workshop.initial.told
    teacher = given_teacher(recipe)
    taught = "" if teacher is None else told_file(teacher)
    _spare(folder, recipe, {"--init": terms.init, "distillation.weights": teacher})
    progress = Progress(recipe.sha256, stage_names(recipe)[0], began_from=began, taught_by=taught)
    checkpoint = folder / CHECKPOINT
    resumed = checkpoint.exists() and not terms.fresh
    if resumed:
        progress = _agreed(read_progress(checkpoint), progress, checkpoint)
    stage = workshop.stage(progress.stage)
    if resumed:
        load_parts(checkpoint, stage.parts, stage.averages)
    for module in (*(part.module for part in stage.parts.values()), *stage.averages.values()):
        terms.ranks.share(list(module.state_dict().values()))
    cases = load_cases(recipe.validation, data) if terms.ranks.first else []
    check_cases(cases, recipe.network)
    baselines = {name: measure(METHODS[name], cases) for name in BASELINES} if cases else {}
    origins = _origins(workshop, teacher)
    run = Run(recipe, folder, terms, sampler, cases, baselines, stage, progress, origins=origins)
    if terms.ranks.first:
        if checkpoint.exists() and not resumed:  # else a run killed early would go on from the one before
            save_checkpoint(checkpoint, stage.parts, stage.averages, progress)
        names = stage_names(recipe)
        run.metrics.keep(names[: names.index(progress.stage)], progress.stage, progress.step)
    return run


def _origins(workshop: Workshop, teacher: Path | None) -> tuple[str, ...]:
    """What weights go in, with their licences."""
    began = [] if workshop.initial is None else [f"began from {workshop.initial.licence}"]
    taught = [] if teacher is None else [f"taught by {told_licence(read_card(teacher))}"]
    return (*began, *taught)


def _agreed(saved: Progress, asked: Progress, path: Path) -> Progress:
    """What was saved, if it is of the run that is asked for."""
    if saved.recipe_sha256 != asked.recipe_sha256:
        raise RecipeError(f"{path} is of another recipe; use --fresh, or another --out")
    if saved.began_from != asked.began_from:
        raise RecipeError(
            f"{path} began from {saved.began_from or 'random weights'}, not from "
            f"{asked.began_from or 'random weights'}; give the same --init, use --fresh, or another --out"
        )
    if saved.taught_by != asked.taught_by:
        raise RecipeError(
            f"{path} was taught by {saved.taught_by or 'no given weights'}, not by "
            f"{asked.taught_by or 'any'}; give the same distillation.weights, use --fresh, or another --out"
        )
    return saved


def _spare(folder: Path, recipe: Recipe, given: Mapping[str, str | Path | None]) -> None:
    """Refuse weights to begin from, or to be taught by, that the run would write over."""
    own = {(folder / f"{stem}.safetensors").resolve() for stem in recipe.stems}
    for asked, weights in given.items():
        if weights is not None and Path(weights).resolve() in own:
            raise RecipeError(f"{asked} {weights} is what this run writes; give another --out")


@contextmanager
def _board(run: Run) -> Iterator[Board | None]:
    if not (run.terms.tensorboard and run.terms.ranks.first):
        yield None
        return
    board = Board(run.folder / "tensorboard")
    try:
        yield board
    finally:
        board.close()


def _run_stage(
    run: Run,
    clock: Clock,
    board: Board | None,
    on_step: StepCallback | None,
    on_warning: WarningCallback | None,
) -> bool:
    """Take the steps of a stage that are left; false where the time was up before the last."""
    schedule, ranks = run.stage.schedule, run.terms.ranks
    left, ahead = range(run.progress.step, schedule.steps), max(run.recipe.schedule.prefetch, 1)
    waiting = Waiting()
    for step, batch in waiting.over(make_batches(_stage_sampler(run), left, ahead, run.terms.workers)):
        taken = take_step(run, step, batch, late=clock.late)
        run.progress = replace(run.progress, step=step + 1, seconds=clock.spent)
        last = step + 1 == schedule.steps
        if on_step is not None:
            best = max(run.progress.best.values(), default=None)
            on_step(Told(run.stage.name, step + 1, schedule.steps, taken.loss, best, waiting.share))
        if ranks.first:
            if board is not None and step % _BOARD_EVERY == 0:
                board.note(run.stage.name, step, taken.numbers())
            validated = last or (step + 1) % schedule.validate_every == 0
            if validated:
                validate(run, taken.loss, board)
                if on_warning is not None and (odd := standstill(run)):
                    on_warning(odd)
            if clock.save_is_due(schedule.checkpoint_minutes) or validated or taken.late:
                save_checkpoint(run.checkpoint, run.stage.parts, run.stage.averages, run.progress)
        if taken.late and not last:
            export_unmeasured(run)
            return False
    return True


def _stage_sampler(run: Run) -> Sampler:
    """The sampler of a stage: the student's is the same with and without a teacher before it.

    It draws on the device that trains, or, in processes of their own, on CPUs.
    """
    stream = len(stage_names(run.recipe)) - 1 - stage_names(run.recipe).index(run.stage.name)
    share = run.terms.ranks.rank, run.terms.ranks.count
    device = run.terms.ranks.device if run.terms.workers is None else CPU
    return replace(run.sampler, schedule=run.stage.schedule, stream=stream, share=share, device=device)

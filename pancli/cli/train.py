"""``pancli train``: a recipe in, weights out."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pancli.cli.options import Device, Quiet
from pancli.cli.showing import is_terminal, plain_console, warn

if TYPE_CHECKING:
    from pancli.training.run import Told

_PLAIN_EVERY = 100


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("train")(_command)


def _command(  # noqa: PLR0913 - one parameter per option is Typer's way
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE.toml", help="What to train, on what, for how long.")
    ],
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="Where the recipe's folders are; default: beside it."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="For checkpoint and weights; default: runs/NAME."),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start again instead of resuming.")] = False,
    max_minutes: Annotated[
        float | None, typer.Option("--max-minutes", metavar="M", help="Stop, saved, after so long.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            metavar="N",
            min=1,
            help="CPU processes that make batches; default: none, threads of this process do.",
        ),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            "--init", metavar="WEIGHTS", help="Begin from a weights file, or from weights that ship, by name."
        ),
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write TensorBoard's files into the --out folder.")
    ] = False,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Train a network, or go on training it: a run that was stopped resumes where it was saved.

    Several processes train as one under torchrun: torchrun --nproc-per-node 2 -m pancli train RECIPE.toml
    """
    from pancli.device import find_device
    from pancli.training.loop import train
    from pancli.training.ranks import joined
    from pancli.training.reading import read_recipe
    from pancli.training.run import Terms

    plan = read_recipe(recipe)
    folder = out or Path("runs") / plan.name
    with joined(find_device(device)) as ranks:
        quiet = quiet or not ranks.first
        terms = Terms(ranks, fresh, max_minutes, workers, init, tensorboard)
        on_warning = _warn_now if ranks.first else None
        with _progress(plan.name, quiet=quiet) as on_step:
            run = train(plan, data or recipe.parent, folder, terms, on_step, on_warning)
    if quiet:
        return
    state = "done"
    if not run.done:
        step, steps = run.progress.step, run.stage.schedule.steps
        stage = "" if run.recipe.teacher is None else f" of the {run.stage.name}"
        state = f"stopped at step {step} of {steps}{stage}; the same command goes on"
    for made in run.stage.networks:
        best = run.progress.best.get(made)
        reached = "" if best is None else f", best validation PSNR {best:.2f} dB"
        typer.echo(f"{run.weights(made)}: {state}{reached}")
    if not run.stage.networks:
        typer.echo(f"{run.checkpoint}: {state}")


def _warn_now(warning: str) -> None:
    warn((warning,))


@contextmanager
def _progress(name: str, *, quiet: bool) -> Iterator[Callable[[Told], None] | None]:
    if quiet:
        yield None
    elif is_terminal(sys.stderr):
        with _bar(name) as update:
            yield update
    else:
        yield _Plain()


def _describe(told: Told) -> str:
    best = "" if told.best is None else f", best PSNR {told.best:.2f} dB"
    return f"loss {told.loss:.4f}{best}, {told.waiting:.0%} waiting for data"


@contextmanager
def _bar(name: str) -> Iterator[Callable[[Told], None]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    pace = _Pace()
    with Progress(*columns, console=plain_console(stderr=True), transient=True) as progress:
        task, stage = progress.add_task(name, total=None, rate=""), ""

        def update(told: Told) -> None:
            nonlocal stage
            if told.stage != stage:
                stage = told.stage
                progress.reset(task)  # else the time left would be reckoned from the stage before
            text = f"{name}, {told.stage}: {_describe(told)}"
            rate = pace.rate(told)
            shown = f"{rate:.2f} steps/s" if rate else ""
            progress.update(task, description=text, completed=told.step, total=told.steps, rate=shown)

        yield update


class _Plain:
    """A line now and then, where no terminal shows a bar."""

    def __init__(self) -> None:
        self._pace = _Pace()

    def __call__(self, told: Told) -> None:
        rate = self._pace.rate(told)
        if told.step % _PLAIN_EVERY == 0 or told.step == told.steps:
            pace = (
                f", {rate:.2f} steps/s, {(told.steps - told.step) / rate / 60:.0f} min left" if rate else ""
            )
            typer.echo(f"{told.stage}: step {told.step} of {told.steps}, {_describe(told)}{pace}", err=True)


class _Pace:
    """Steps per second since a stage was entered here."""

    def __init__(self) -> None:
        self._stage = ""
        self._begun = (0, 0.0)

    def rate(self, told: Told) -> float | None:
        """The rate so far; None at a stage's first step here."""
        now = time.monotonic()
        if told.stage != self._stage:
            self._stage, self._begun = told.stage, (told.step, now)
            return None
        step, since = self._begun
        return (told.step - step) / max(now - since, 1e-9)

"""``pancli train``: a recipe in, weights out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from pancli.cli.options import Device, Quiet

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
        typer.Option("--workers", metavar="N", min=1, help="Threads that make batches."),
    ] = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Train a network, or go on training it: a run that was stopped resumes where it was saved."""
    from pancli.device import find_device
    from pancli.training.loop import Terms, train
    from pancli.training.recipe import read_recipe

    plan = read_recipe(recipe)
    folder = out or Path("runs") / plan.name
    terms = Terms(find_device(device), fresh, max_minutes, workers)
    with _progress(plan.name, quiet=quiet) as on_step:
        run = train(plan, data or recipe.parent, folder, terms, on_step)
    done, steps = run.progress.step, plan.schedule.steps
    if not quiet:
        state = "done" if done >= steps else f"stopped at step {done} of {steps}; the same command goes on"
        best = "" if run.progress.best is None else f", best validation PSNR {run.progress.best:.2f} dB"
        typer.echo(f"{run.weights}: {state}{best}")


@contextmanager
def _progress(name: str, *, quiet: bool) -> Iterator[Callable[[int, int, float], None] | None]:
    if quiet:
        yield None
    elif sys.stderr.isatty():
        with _bar(name) as update:
            yield update
    else:
        yield _plain


@contextmanager
def _bar(name: str) -> Iterator[Callable[[int, int, float], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(name, total=None)

        def update(done: int, steps: int, loss: float) -> None:
            progress.update(task, description=f"{name}: loss {loss:.4f}", completed=done, total=steps)

        yield update


def _plain(done: int, steps: int, loss: float) -> None:
    if done % _PLAIN_EVERY == 0 or done == steps:
        typer.echo(f"step {done} of {steps}, loss {loss:.4f}", err=True)

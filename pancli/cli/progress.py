"""Progress on stderr: a Rich bar on a terminal, one plain line every 10 % elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from pancli.cli.showing import is_terminal, plain_console
from pancli.progress import Progress


@contextmanager
def tile_progress(label: str, *, quiet: bool) -> Iterator[Progress | None]:
    """A callback ``(stage, done, total)`` for the library; None where nothing is to be shown."""
    if quiet:
        yield None
    elif is_terminal(sys.stderr):
        with _bar(label) as callback:
            yield callback
    else:
        yield _plain(label)


@contextmanager
def _bar(label: str) -> Iterator[Progress]:
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=plain_console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)

        def update(stage: str, done: int, total: int) -> None:
            bar.update(task, description=f"{label}: {stage}", completed=done, total=total or None)

        yield update


def _plain(label: str) -> Progress:
    printed: dict[str, int] = {}

    def update(stage: str, done: int, total: int) -> None:
        tenth = 10 * done // total if total else -1
        if total and tenth > printed.get(stage, -1):
            printed[stage] = tenth
            typer.echo(f"{label}: {stage} {10 * tenth} %", err=True)

    return update

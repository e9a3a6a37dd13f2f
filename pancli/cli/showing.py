"""What more than one command shows: warnings on stderr, tables on stdout."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, TextIO

import typer

if TYPE_CHECKING:
    from rich.console import Console

_WIDTH = 100


def warn(warnings: Iterable[str]) -> None:
    """One line each, on stderr."""
    for warning in warnings:
        typer.echo(f"pancli: warning: {warning}", err=True)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether somebody looks; a stream that was closed before the program began is None."""
    return stream is not None and stream.isatty()


def plain_console(*, stderr: bool = False, width: int | None = None) -> Console:
    """Where text is shown as it is: names of files may look like markup, or like codes of emoji."""
    from rich.console import Console

    return Console(stderr=stderr, markup=False, emoji=False, highlight=False, width=width)


def wide_console(width: int = _WIDTH) -> Console:
    """Where tables go, so many columns wide where nobody looks.

    Into a pipe or a file Rich takes 80 and would cut numbers off.
    """
    return plain_console(width=None if is_terminal(sys.stdout) else width)

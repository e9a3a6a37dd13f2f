"""What more than one command shows: warnings on stderr, tables on stdout."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.console import Console

_WIDTH = 100


def warn(warnings: Iterable[str]) -> None:
    """One line each, on stderr."""
    for warning in warnings:
        typer.echo(f"pancli: warning: {warning}", err=True)


def wide_console(width: int = _WIDTH) -> Console:
    """Where tables go, so many columns wide where nobody looks.

    Into a pipe or a file Rich takes 80 and would cut numbers off.
    """
    from rich.console import Console

    return Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else width)

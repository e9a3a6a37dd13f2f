"""``pancli methods``: everything ``--method`` takes, and what each needs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import typer

from pancli.cli.options import Json
from pancli.cli.showing import wide_console

if TYPE_CHECKING:
    from rich.table import Table

_NAME, _PURPOSE = "method", "good for"
_FACTS = (_NAME, "kind", "bands", "ratio", "radius", "whole scene")
_WIDTH = 220  # where nobody looks: a method is one line
_FITTING = 120  # columns; on a narrower terminal what methods are good for is a table of its own


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("methods")(_command)


def _command(as_json: Json = False) -> None:
    """List every method and network: what it takes, how far it looks, what it is good for."""
    from pancli.sharpening.catalog import describe_methods

    rows = describe_methods()
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    else:
        _print_table(rows)


def _print_table(rows: list[dict[str, Any]]) -> None:
    console = wide_console(_WIDTH)
    if console.width >= _FITTING:
        console.print(_table(rows, (*_FACTS, _PURPOSE)))
    else:
        console.print(_table(rows, _FACTS), "", _table(rows, (_NAME, _PURPOSE)), sep="\n")


def _table(rows: list[dict[str, Any]], titles: tuple[str, ...]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in rows:
        low, high = row["ratios"]
        cells = {
            _NAME: row["name"],
            "kind": row["kind"],
            "bands": row["bands"],
            "ratio": f"{low:g} up" if high is None else f"{low:g} to {high:g}",
            "radius": str(row["radius"]),
            "whole scene": "yes" if row["whole_scene"] else "no",
            _PURPOSE: row["summary"],
        }
        table.add_row(*(cells[title] for title in titles))
    return table

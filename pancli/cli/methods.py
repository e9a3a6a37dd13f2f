"""``pancli methods``: everything ``--method`` takes, and what each needs."""

from __future__ import annotations

import json
from typing import Any

import typer

from pancli.cli.options import Json


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
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("method", "kind", "bands", "ratio", "radius", "whole scene", "good for"):
        table.add_column(title, no_wrap=title != "good for")
    for row in rows:
        low, high = row["ratios"]
        table.add_row(
            row["name"],
            row["kind"],
            row["bands"],
            f"{low:g} up" if high is None else f"{low:g} to {high:g}",
            str(row["radius"]),
            "yes" if row["whole_scene"] else "no",
            row["summary"],
        )
    Console().print(table)

"""``pancli networks``: every network, what it costs, and the cards of weights."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from pancli.cli.options import Json
from pancli.cli.showing import plain_console, wide_console


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("networks")(_command)


def _command(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME|FILE ...]", help="Tell all of these networks or weights."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the networks, and which of them ship with weights; with names, all there is to say of these."""
    from pancli.networks.listing import describe_networks
    from pancli.networks.registry import NETWORKS
    from pancli.networks.weights import SUFFIX

    for name in names or ():
        if name not in NETWORKS and not name.endswith(SUFFIX):
            known = ", ".join(NETWORKS)
            raise typer.BadParameter(f"'{name}' is not a network; known are {known}, or FILE{SUFFIX}")
    rows = describe_networks(tuple(names or ()))
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    elif names:
        for row in rows:
            _print_one(row)
    else:
        _print_table(rows)


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("network", "parameters", "MACs/pixel", "ratio", "margin", "statistics", "weights"):
        table.add_column(title, justify="left" if title in ("network", "weights") else "right", no_wrap=True)
    for row in rows:
        table.add_row(
            row["name"],
            f"{row['parameters']:,}",
            f"{row['macs_per_pixel']:,}",
            "any" if row["ratio"] is None else str(row["ratio"]),
            str(row["margin"]),
            f"windows of {row['window']}" if row["window"] else str(len(row["statistics"]) or "-"),
            ", ".join(f"{card['name']} {card['version']} ({card['licence']})" for card in row["weights"]),
        )
    wide_console().print(table)


def _print_one(row: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    any_bands = {"bands": "any"} if row["bands"] is None else {}
    for values in ({k: v for k, v in row.items() if k != "weights"}, *row["weights"]):
        for key, value in {**values, **any_bands}.items():
            for label, text in _lines(key, value):
                table.add_row(label, text)
        table.add_row("", "")
    plain_console().print(table)


def _lines(key: str, value: Any) -> list[tuple[str, str]]:
    if key == "figures":
        return [
            (what, ", ".join(f"{name} {figure:g}" for name, figure in methods.items()))
            for what, methods in value.items()
        ]
    if value is None or value in ("", []):
        return []
    if isinstance(value, list):
        return [(key, ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in value))]
    return [(key, f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value))]

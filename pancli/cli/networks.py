"""``pancli networks``: the cards of the networks that ship."""

from __future__ import annotations

import json

import typer

from pancli.cli.options import Json


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("networks")(_command)


def _command(as_json: Json = False) -> None:
    """Show what the networks that ship with pancli are, were trained on, and reached."""
    from pancli.networks.weights import file_sha256, read_card, shipped

    cards = []
    for path in shipped().values():
        told = read_card(path).as_dict()
        cards.append({**told, "weights": str(path), "sha256": file_sha256(path)})
    if as_json:
        typer.echo(json.dumps(cards, indent=2))
        return
    for card in cards:
        _print_card(card)


def _print_card(card: dict[str, object]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for key, value in card.items():
        if key == "figures" and isinstance(value, dict):
            for what, methods in value.items():
                table.add_row(what, ", ".join(f"{name} {figure:g}" for name, figure in methods.items()))
        elif isinstance(value, list):
            table.add_row(key, " to ".join(f"{v:g}" for v in value))
        elif value != "":
            table.add_row(key, str(value))
    Console().print(table)

"""``pancli compare``: several methods on one pair, side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pancli.cli.options import (
    BidxTexts,
    Block,
    Coregister,
    CrispPan,
    Device,
    Json,
    NodataText,
    NoProgress,
    Overwrite,
    Peak,
    Reproject,
    SensorName,
    pair_options,
    parse_coregister,
)
from pancli.cli.progress import tile_progress
from pancli.cli.showing import warn, wide_console

if TYPE_CHECKING:
    from pancli.comparing import CompareReport


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("compare")(_command)


def _command(  # noqa: PLR0913 - one parameter per option is Typer's way
    files: Annotated[
        list[str], typer.Argument(metavar="PAN MS [MS ...]", help="Inputs; FILE,band=N picks a band.")
    ],
    methods: Annotated[
        str,
        typer.Option(
            "--methods",
            metavar="A,B|all|classical|networks",
            help="Which; see 'pancli methods' for names; FILE.safetensors is one, too.",
        ),
    ] = "all",
    reduced: Annotated[
        bool, typer.Option("--reduced", help="Reduce the pair first (Wald's protocol): MS is the answer.")
    ] = False,
    reference: Annotated[
        str | None, typer.Option("--reference", metavar="FILE", help="The answer, on PAN's pixels.")
    ] = None,
    ratio: Annotated[
        float | None,
        typer.Option(
            "--ratio", metavar="R", help="Of --reduced: old MS pixels per new; default: the pair's."
        ),
    ] = None,
    back_project: Annotated[
        int | None,
        typer.Option(
            "--back-project",
            metavar="N",
            help="Every method as it comes, and with N rounds of it, as NAME+bpN.",
        ),
    ] = None,
    sensor: SensorName = "generic",
    coregister: Coregister = "none",
    crisp_pan: CrispPan = False,
    bidx: BidxTexts = None,
    nodata: NodataText = None,
    reproject: Reproject = False,
    block: Block = 32,
    peak: Peak = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="DIR", help="Write DIR/index.html: tables, pictures, maps."),
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(
            "--keep", metavar="DIR", help="Keep each fused image as DIR/METHOD.tif, and the reduced pair."
        ),
    ] = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Append one row per method to this file.")
    ] = None,
    overwrite: Overwrite = False,
    device: Device = "auto",
    as_json: Json = False,
    quiet: NoProgress = False,
) -> None:
    """Sharpen one pair with several methods and measure each, best first.

    Rows are ordered by Q2n where there is a reference (--reduced, --reference), else by RQNR. The best of
    each figure is marked; interpolation (exp) is the baseline and takes no mark. A method that fails is a
    row that says why; the exit code is 1 only if all fail.
    """
    if len(files) < 2:
        raise typer.BadParameter("MS is missing; the order is PAN MS [MS ...]")
    pan, *ms = files
    pair, shift = pair_options(nodata, bidx, reproject), parse_coregister(coregister)

    from pancli.comparing import CompareOptions, compare
    from pancli.comparing.report import csv_columns
    from pancli.evaluation.report import append_row, check_csv

    options = CompareOptions(
        methods=[name.strip() for name in methods.split(",")],
        reduced=reduced,
        reference=reference,
        ratio=ratio,
        back_project=back_project,
        sensor=sensor,
        block=block,
        peak=peak,
        pair=pair,
        coregister=shift,
        crisp_pan=crisp_pan,
        device=device,
        keep=keep,
        report=report,
        overwrite=overwrite,
    )
    if csv is not None:
        check_csv(csv, csv_columns(options.mode))
    with tile_progress("compare", quiet=quiet or as_json) as progress:
        found = compare(pan, ms, options, progress)
    _show(found, as_json=as_json)
    if csv is not None:
        for row in found.as_rows():
            append_row(csv, row)
    if not found.succeeded:
        typer.echo("pancli: every method failed", err=True)
        raise typer.Exit(1)


def _show(report: CompareReport, *, as_json: bool) -> None:
    warn(report.warnings)
    if as_json:
        typer.echo(json.dumps(report.as_dict(), indent=2, allow_nan=False))
    else:
        _print_table(report)
    for row in report.rows:
        if row.error is not None:
            typer.echo(f"pancli: {row.method} failed: {row.error}", err=True)


def _print_table(report: CompareReport) -> None:
    from rich.table import Table

    from pancli.comparing.report import HIGHER_IS_BETTER, TITLES

    table = Table(box=None, pad_edge=False)
    table.add_column("method", no_wrap=True)
    for key in report.shown:
        table.add_column(TITLES[key], justify="right", no_wrap=True)
    table.add_column("s", justify="right", no_wrap=True)
    best = report.best
    for row in report.rows:
        if row.error is not None:
            table.add_row(row.method, *("failed" for _ in report.shown), "-")
            continue
        cells = [_cell(row.figures.get(key), best.get(key) == row.method) for key in report.shown]
        table.add_row(row.method, *cells, f"{row.seconds['total']:.1f}")
    console = wide_console()
    console.print(table)
    higher = [TITLES[key] for key in report.shown if HIGHER_IS_BETTER[key]]
    console.print(
        f"\n* best, exp aside; higher is better for {', '.join(higher)}, lower for the rest; "
        f"sensor {report.sensor}",
        soft_wrap=True,
    )


def _cell(value: float | None, best: bool) -> str:
    """Marked or blank at the end, so that the points of a column stay in line."""
    return "- " if value is None else f"{value:.4f}{'*' if best else ' '}"

"""``pancli eval``: how good is a fused image, with or without a reference."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pancli.cli.options import (
    BidxTexts,
    Block,
    Device,
    Json,
    NodataText,
    NoProgress,
    Overwrite,
    Peak,
    Reproject,
    SensorName,
    pair_options,
)
from pancli.cli.progress import tile_progress
from pancli.cli.showing import warn, wide_console
from pancli.metrics.profiles import PROFILES

if TYPE_CHECKING:
    from pancli.evaluation import EvaluationReport


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("eval")(_command)


def _command(  # noqa: PLR0913 - one parameter per option is Typer's way
    fused: Annotated[str, typer.Argument(metavar="FUSED", help="The fused image, on PAN's pixels.")],
    pan: Annotated[str, typer.Option("--pan", metavar="FILE", help="PAN it was made of.")],
    ms: Annotated[list[str], typer.Option("--ms", metavar="FILE", help="MS; repeat to stack.")],
    reference: Annotated[
        str | None, typer.Option("--reference", metavar="FILE", help="What it should be, on the same pixels.")
    ] = None,
    sensor: SensorName = "generic",
    mtf_gain: Annotated[
        str | None,
        typer.Option("--mtf-gain", metavar="G[,G...]", help="MTF at the MS Nyquist, over the sensor's."),
    ] = None,
    block: Block = 32,
    profile: Annotated[
        str,
        typer.Option(
            "--profile",
            metavar="|".join(PROFILES),
            help="Whose definitions: " + ", ".join(profile.whose for profile in PROFILES.values()) + ".",
        ),
    ] = next(iter(PROFILES)),
    peak: Peak = None,
    radians: Annotated[bool, typer.Option("--radians", help="SAM in radians, not degrees.")] = False,
    map_path: Annotated[
        Path | None,
        typer.Option("--map", metavar="FILE", help="Write D_lambda, D_S and QNR of each block as a GeoTIFF."),
    ] = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Append a row to this file.")
    ] = None,
    bidx: BidxTexts = None,
    nodata: NodataText = None,
    reproject: Reproject = False,
    overwrite: Overwrite = False,
    device: Device = "auto",
    as_json: Json = False,
    quiet: NoProgress = False,
) -> None:
    """Measure a fused image: QNR and its family, consistency with MS, and errors against a reference."""
    gains, pair = _parse_gains(mtf_gain), pair_options(nodata, bidx, reproject)

    from pancli.evaluation import EvaluateOptions, evaluate
    from pancli.evaluation.report import append_row, check_csv, csv_columns

    options = EvaluateOptions(
        sensor=sensor,
        mtf_gain=gains,
        block=block,
        profile=profile,
        peak=peak,
        pair=pair,
        map_path=map_path,
        overwrite=overwrite,
        radians=radians,
        device=device,
    )
    if csv is not None:
        check_csv(csv, csv_columns(profile, reference=reference is not None))
    with tile_progress("eval", quiet=quiet or as_json) as progress:
        report = evaluate(fused, pan, ms, reference, options, progress)
    if map_path is not None and report.bands == 1:
        alone = "--map: D_lambda and QNR take two bands, so that the map of one shows D_S alone"
        report = replace(report, warnings=(*report.warnings, alone))
    _show(report, as_json=as_json)
    if csv is not None:
        append_row(csv, report.as_row())


def _parse_gains(text: str | None) -> tuple[float, ...]:
    if text is None:
        return ()
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"'{text}' is not a number or a list such as 0.34,0.32,0.30,0.22", param_hint="--mtf-gain"
        ) from None


def _show(report: EvaluationReport, *, as_json: bool) -> None:
    warn(report.warnings)
    if as_json:
        typer.echo(json.dumps(report.as_dict(), indent=2, allow_nan=False))
    else:
        _print_table(report)


def _print_table(report: EvaluationReport) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("figure", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("definition", overflow="fold")
    for key, figure in report.figures.items():
        table.add_row(key, "-" if figure.value is None else f"{figure.value:.5f}", figure.variant)
    console = wide_console()
    console.print(table)
    height, width = report.shapes["evaluated"]
    console.print(
        f"\n{report.valid_pixels} valid of {width} x {height} pixels, {report.blocks[0]} of "
        f"{report.blocks[1]} blocks; sensor {report.sensor}, profile {report.profile}",
        soft_wrap=True,
    )

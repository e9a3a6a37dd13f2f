"""``pancli degrade``: a reduced pair with a known answer."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pancli.cli.options import (
    BidxTexts,
    Json,
    NodataText,
    Overwrite,
    Quiet,
    Reproject,
    SensorName,
    pair_options,
)
from pancli.cli.progress import tile_progress
from pancli.cli.showing import warn

if TYPE_CHECKING:
    from pancli.degrading import DegradeReport


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("degrade")(_command)


def _command(  # noqa: PLR0913 - one parameter per option is Typer's way
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="PAN MS [MS ...] OUTDIR",
            help="Inputs, FILE,band=N picks a band; OUTDIR gets pan.tif, ms.tif and reference.tif.",
        ),
    ],
    ratio: Annotated[
        float | None,
        typer.Option(
            "--ratio", metavar="R", help="Old MS pixels per new one, whole or not; default: the pair's own."
        ),
    ] = None,
    sensor: SensorName = "generic",
    bidx: BidxTexts = None,
    nodata: NodataText = None,
    reproject: Reproject = False,
    tile: Annotated[
        int | None, typer.Option("--tile", metavar="N", help="Side of what is read at once, in pixels.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Reduce a pair by Wald's protocol: MS becomes the reference that sharpening should give back.

    PAN is reduced to MS's grid and MS by the ratio. Each MS band is blurred to its MTF gain at the Nyquist
    frequency of the new grid, PAN to the PAN gain, so that the new images are as sharp for their pixels as
    the old ones. A new pixel is valid where 99 % of what it is blurred from is.
    """
    if len(files) < 3:
        raise typer.BadParameter("a file or OUTDIR is missing; the order is PAN MS [MS ...] OUTDIR")
    pan, *ms, folder = files
    read_as = pair_options(nodata, bidx, reproject)

    from pancli.degrading import DegradeOptions, degrade_pair

    options = DegradeOptions(ratio, sensor, read_as, tile, overwrite)
    with tile_progress("degrade", quiet=quiet) as progress:
        report = degrade_pair(pan, ms, Path(folder), options, progress)
    warn(report.warnings)
    if as_json:
        typer.echo(json.dumps(asdict(report), allow_nan=False))
    elif not quiet:
        typer.echo(_summary(report))


def _summary(report: DegradeReport) -> str:
    (height, width), (low_height, low_width) = report.reference, report.ms
    gains = ", ".join(f"{gain:.3g}" for gain in dict.fromkeys(report.ms_gains))
    return (
        f"{report.folder}: PAN and reference {width} x {height}, MS {low_width} x {low_height}, "
        f"{report.bands} bands, gains {gains} and {report.pan_gain:.3g} for PAN, {report.seconds:.1f} s"
    )

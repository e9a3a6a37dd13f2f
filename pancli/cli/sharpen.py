"""``pancli sharpen``: one pair in, one GeoTIFF out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pancli.cli.options import Json, MsFiles, PanFile, Quiet
from pancli.cli.progress import tile_progress
from pancli.cli.sharpening import takes_sharpening_options
from pancli.cli.showing import warn

if TYPE_CHECKING:
    from pancli.sharpening import SharpenOptions, SharpenReport

_GDALS = {"f": "--of", "t": "--dtype", "verwrite": "--overwrite"}
"""What -o takes for its file of GDAL's -of, -ot and -overwrite, and how these are called here."""


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("sharpen")(takes_sharpening_options(_command))


def _command(  # noqa: PLR0913 - one parameter per option is Typer's way
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="PAN MS [MS ...] OUT", help="Inputs and output; FILE,band=N picks a band."),
    ] = None,
    pan: PanFile = None,
    ms: MsFiles = None,
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="FILE", help="Output, instead of the last FILE.")
    ] = None,
    quicklook: Annotated[
        Path | None,
        typer.Option("--quicklook", metavar="PNG", help="Write a picture of the output, too."),
    ] = None,
    stac: Annotated[
        bool, typer.Option("--stac", help="Write a STAC item, too: OUT with the ending .json.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan as JSON and stop.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    *,
    options: SharpenOptions,
) -> None:
    """Fuse a panchromatic and a multispectral image into one GeoTIFF on the PAN grid."""
    if output in _GDALS:
        raise typer.BadParameter(f"-o{output} is {_GDALS[output]} here; a file of that name is ./{output}")
    pan, ms, output = split_files(files or [], pan, ms or [], output)
    options = replace(options, quicklook=quicklook or False, stac=stac)
    if dry_run:
        _print_plan(pan, ms, output, options)
    else:
        _run(pan, ms, output, options, as_json=as_json, quiet=quiet)


def _print_plan(pan: str, ms: list[str], output: str, options: SharpenOptions) -> None:
    from pancli.sharpening import plan_sharpening

    with plan_sharpening(pan, ms, output, options) as plan:
        typer.echo(json.dumps(plan.as_dict(), indent=2, allow_nan=False))


def _run(
    pan: str, ms: list[str], output: str, options: SharpenOptions, *, as_json: bool, quiet: bool
) -> None:
    from pancli.sharpening import sharpen

    with tile_progress(options.method, quiet=quiet) as progress:
        report = sharpen(pan, ms, output, options, progress)
    warn(report.warnings)
    if as_json:
        typer.echo(json.dumps(report.as_dict(), allow_nan=False))
    elif not quiet:
        typer.echo(_summary(report))


def _summary(report: SharpenReport) -> str:
    shift, (down, right) = report.shift, report.pan_shift or (0.0, 0.0)
    laid = f", PAN moved by {-down:zg},{-right:zg} PAN pixels" if (down, right) != (0.0, 0.0) else ""
    moved = f", MS moved by {shift['down']:g},{shift['right']:g} PAN pixels" if shift["applied"] else ""
    learnt = "" if report.adaptation is None else f"\nadapted: {report.adaptation.describe()}"
    return (
        f"{report.output}: {report.method}, {report.width} x {report.height}, "
        f"{report.bands} bands {report.dtype}, {report.seconds['total']:.1f} s, "
        f"{report.megapixels_per_second:.2f} MPix/s on {report.device}{moved}{laid}{learnt}"
    )


def split_files(
    files: list[str], pan: str | None, ms: list[str], output: str | None
) -> tuple[str, list[str], str]:
    """PAN, MS files and OUT from positions and options; an option takes its file out of the positions.

    Raises:
        typer.BadParameter: Too few or too many files.
    """
    rest = list(files)
    if pan is None and rest:
        pan = rest.pop(0)
    if output is None and rest:
        output = rest.pop()
    if not ms:
        ms, rest = rest, []
    if rest:
        raise typer.BadParameter(f"one file too many: {rest[0]} (PAN, MS and OUT are all named)")
    if pan is None or output is None or not ms:
        lacking = "PAN" if pan is None else "OUT" if output is None else "MS"
        raise typer.BadParameter(f"{lacking} is missing; the order is PAN MS [MS ...] OUT")
    return pan, ms, output

"""``pancli check``: can this pair be sharpened, and what should one know before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pancli.cli.options import (
    BidxTexts,
    Json,
    MsFiles,
    NodataText,
    PanFile,
    Reproject,
    SensorName,
    pair_options,
)
from pancli.cli.showing import warn, wide_console

if TYPE_CHECKING:
    from rich.table import Table

    from pancli.checking import BandReport, FileReport, PairReport


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("check")(_command)


def _command(  # noqa: PLR0913 - one parameter per option is Typer's way
    files: Annotated[
        list[str] | None, typer.Argument(metavar="PAN MS [MS ...]", help="Inputs; FILE,band=N picks a band.")
    ] = None,
    pan: PanFile = None,
    ms: MsFiles = None,
    bidx: BidxTexts = None,
    nodata: NodataText = None,
    sensor: SensorName = "generic",
    reproject: Reproject = False,
    as_json: Json = False,
) -> None:
    """Say whether a pair can be sharpened: grids, ratio, overlap, masks, range, measured shift."""
    pan, ms = _split_files(files or [], pan, ms or [])
    options = pair_options(nodata, bidx, reproject)

    from pancli.checking import check_pair

    report = check_pair(pan, ms, options, sensor)
    if as_json:
        typer.echo(json.dumps(report.as_dict(), indent=2, allow_nan=False))
    else:
        _print(report)
    warn(report.warnings)
    if report.refusal is not None:
        typer.echo(f"pancli: {report.refusal}", err=True)
        raise typer.Exit(1)


def _split_files(files: list[str], pan: str | None, ms: list[str]) -> tuple[str, list[str]]:
    """PAN and MS files from positions and options; an option takes its file out of the positions."""
    rest = list(files)
    if pan is None and rest:
        pan = rest.pop(0)
    if not ms:
        ms, rest = rest, []
    if rest:
        raise typer.BadParameter(f"one file too many: {rest[0]} (PAN and MS are both named)")
    if pan is None or not ms:
        raise typer.BadParameter(f"{'PAN' if pan is None else 'MS'} is missing; the order is PAN MS [MS ...]")
    return pan, ms


def _print(report: PairReport) -> None:
    console = wide_console()
    if report.files:
        console.print(_files_table(report.files))
    if report.bands:
        console.print()
        console.print(_bands_table(report.bands))
    if lines := _summary(report):
        console.print()
        console.print("\n".join(lines), soft_wrap=True)


def _files_table(files: tuple[FileReport, ...]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("", "file", "columns x rows", "pixel", "CRS"):
        table.add_column(title, overflow="fold", no_wrap=title in ("columns x rows", "pixel"))
    for file in files:
        down, across = file.pixel_size
        table.add_row(
            file.role.upper(),
            Path(file.path).name,
            f"{file.width} x {file.height}",
            f"{across:.6g} x {down:.6g}",
            file.crs,
        )
    return table


def _bands_table(bands: tuple[BandReport, ...]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("band", overflow="fold")
    for title in ("type", "nodata"):
        table.add_column(title, no_wrap=True)
    for title in ("min", "1 %", "99 %", "max"):
        table.add_column(title, justify="right", no_wrap=True)
    for band in bands:
        numbers = (band.nodata, band.minimum, band.low, band.high, band.maximum)
        table.add_row(band.name, band.dtype, *map(_number, numbers))
    return table


def _number(value: float | str | None) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else f"{value:.6g}"


def _summary(report: PairReport) -> list[str]:
    lines = []
    if report.ratio is not None:
        lines.append(f"ratio    {report.ratio[0]:.5g} x {report.ratio[1]:.5g}")
    if (part := report.coverage) is not None:
        lines.append(
            f"overlap  {part.width} x {part.height} PAN pixels: "
            f"{100 * part.pan:.3g} % of PAN, {100 * part.ms:.3g} % of MS"
        )
        pan, ms = _share(part.pan_valid, part.pan_sampled), _share(part.ms_valid, part.ms_sampled)
        sampled = "; this and the range are of a sample" if part.pan_sampled or part.ms_sampled else ""
        lines.append(f"valid    {pan} of PAN, {ms} of MS{sampled}")
    if (shift := report.shift) is not None:
        found = f"MS fits PAN when moved {shift.down:z.2f} down, {shift.right:z.2f} right (PAN pixels)"
        lines.append(
            f"shift    {found if shift.confident else 'not known'}; "
            f"confidence {shift.confidence:.2f}, {shift.used} of {len(shift.windows)} windows"
        )
    if report.refusal is None:
        lines.append("This pair can be sharpened.")
    return lines


def _share(part: float, sampled: bool) -> str:
    if not sampled or part in (0, 1):
        return f"{100 * part:.3g} %"
    return f"about {100 * part:.2g} %" if part < 0.095 else f"about {min(100 * part, 99):.0f} %"

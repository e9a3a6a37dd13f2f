"""``pancli sharpen``: one pair in, one GeoTIFF out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pancli.cli.options import (
    BidxText,
    Coregister,
    Device,
    Json,
    MsFiles,
    NodataText,
    Overwrite,
    PanFile,
    Quiet,
    Reproject,
    SensorName,
    pair_options,
    parse_coregister,
)
from pancli.cli.progress import tile_progress
from pancli.cli.showing import warn

if TYPE_CHECKING:
    from pancli.sharpening import SharpenOptions, SharpenReport


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("sharpen")(_command)


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
    method: Annotated[
        str | None,
        typer.Option(
            "--method", metavar="NAME|FILE", help="See 'pancli methods', or weights; default: the network."
        ),
    ] = None,
    device: Device = "auto",
    precision: Annotated[
        str, typer.Option("--precision", metavar="auto|float32|bfloat16|float16", help="Of a network.")
    ] = "auto",
    tile: Annotated[
        int | None, typer.Option("--tile", metavar="N", help="Side of a tile, in PAN pixels.")
    ] = None,
    max_memory: Annotated[
        int, typer.Option("--max-memory", metavar="MB", help="For pixels and caches.")
    ] = 1024,
    num_threads: Annotated[
        str, typer.Option("-j", "--num-threads", metavar="N|ALL_CPUS", help="CPU threads.")
    ] = "ALL_CPUS",
    bidx: BidxText = None,
    aoi: Annotated[
        Path | None,
        typer.Option("--aoi", metavar="FILE", help="Sharpen only these polygons (GeoJSON, any CRS)."),
    ] = None,
    bbox: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option("--bbox", metavar="W S E N", help="Sharpen only this box, in PAN's CRS."),
    ] = None,
    nodata: NodataText = None,
    dtype: Annotated[
        str | None, typer.Option("-t", "--dtype", metavar="TYPE", help="Output type; default: that of MS.")
    ] = None,
    driver: Annotated[str, typer.Option("-f", "--of", metavar="GTiff|COG", help="Output format.")] = "GTiff",
    creation: Annotated[
        list[str] | None, typer.Option("--co", metavar="K=V", help="GDAL creation option; repeatable.")
    ] = None,
    overwrite: Overwrite = False,
    sensor: SensorName = "generic",
    coregister: Coregister = "none",
    reproject: Reproject = False,
    back_project: Annotated[
        int | None,
        typer.Option(
            "--back-project",
            metavar="N",
            help="Rounds of adding what MS has and the result lacks, 0 to 5; default: the method's own.",
        ),
    ] = None,
    adapt: Annotated[
        float | None,
        typer.Option("--adapt", metavar="SECONDS", help="Fine-tune the network on this scene first."),
    ] = None,
    adapt_loss: Annotated[
        str,
        typer.Option(
            "--adapt-loss", metavar="reduced|full", help="Learn from MS a ratio coarser, or from consistency."
        ),
    ] = "reduced",
    quicklook: Annotated[
        Path | None,
        typer.Option("--quicklook", metavar="PNG", help="Write a picture of the output, too."),
    ] = None,
    stac: Annotated[
        bool, typer.Option("--stac", help="Write a STAC item, too: OUT with the ending .json.")
    ] = False,
    extent: Annotated[
        str,
        typer.Option(
            "--spatial-extent-adjustment",
            metavar="intersection|union|none",
            help="Output: PAN where MS is, PAN and MS together, or all of PAN.",
        ),
    ] = "intersection",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan as JSON and stop.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Fuse a panchromatic and a multispectral image into one GeoTIFF on the PAN grid."""
    pan, ms, output = split_files(files or [], pan, ms or [], output)
    pair, shift = pair_options(nodata, bidx, reproject), parse_coregister(coregister)
    threads, creating = _threads(num_threads), _creation(creation or [])

    from pancli.sharpening import SharpenOptions
    from pancli.sharpening.options import DEFAULT_METHOD

    options = SharpenOptions(
        method=method or DEFAULT_METHOD,
        device=device,
        precision=precision,
        tile=tile,
        max_memory=max_memory,
        threads=threads,
        pair=pair,
        aoi=aoi,
        bbox=bbox,
        dtype=dtype,
        driver=driver,
        creation=creating,
        overwrite=overwrite,
        sensor=sensor,
        coregister=shift,
        back_project=back_project,
        adapt=adapt,
        adapt_loss=adapt_loss,
        quicklook=quicklook,
        stac=stac,
        extent=extent,
    )
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
    shift = report.shift
    moved = f", MS moved by {shift['down']:g},{shift['right']:g} PAN pixels" if shift["applied"] else ""
    learnt = "" if report.adaptation is None else f"\nadapted: {report.adaptation.describe()}"
    return (
        f"{report.output}: {report.method}, {report.width} x {report.height}, "
        f"{report.bands} bands {report.dtype}, {report.seconds['total']:.1f} s, "
        f"{report.megapixels_per_second:.2f} MPix/s on {report.device}{moved}{learnt}"
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


def _threads(text: str) -> int | None:
    if text.upper() == "ALL_CPUS":
        return None
    if not text.isdigit() or int(text) < 1:
        raise typer.BadParameter(
            f"'{text}' is neither a number from 1 nor ALL_CPUS", param_hint="--num-threads"
        )
    return int(text)


def _creation(texts: list[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"'{text}' is not KEY=VALUE", param_hint="--co")
        pairs[key] = value
    return pairs

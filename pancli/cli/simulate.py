"""``pancli simulate``: scenes with exact ground truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pancli.cli.options import Device, Overwrite, Quiet
from pancli.sensors import SENSORS

if TYPE_CHECKING:
    from pancli.simulating import SimulatedFiles


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("simulate")(_command)


def _command(  # noqa: PLR0913 - one parameter per option is Typer's way
    folder: Annotated[Path, typer.Argument(metavar="OUTDIR", help="Gets pan.tif, ms.tif and reference.tif.")],
    size: Annotated[
        int, typer.Option("--size", metavar="N", help="PAN pixels along each side; 4096 takes 6 GB.")
    ] = 512,
    bands: Annotated[int, typer.Option("--bands", metavar="B", help="Number of MS bands.")] = 4,
    ratio: Annotated[
        float, typer.Option("--ratio", metavar="R", help="PAN pixels per MS pixel, whole or not.")
    ] = 4.0,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", help="Number of the scene: the same gives the same one.")
    ] = 0,
    sensor: Annotated[
        str,
        typer.Option(
            "--sensor",
            metavar="NAME",
            help="Sharpness and bits of a sensor, PAN and MS aligned; 'random' for any, misaligned. "
            f"Known: {', '.join(SENSORS)}.",
        ),
    ] = "generic",
    dtype: Annotated[
        str,
        typer.Option(
            "--dtype", metavar="TYPE", help="uint16 or uint8 digital numbers, or float32 reflectance."
        ),
    ] = "uint16",
    count: Annotated[
        int,
        typer.Option("--count", metavar="N", help="Scenes; several go to OUTDIR/seed-N each, seeds rising."),
    ] = 1,
    device: Device = "cpu",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Simulate scenes with exact ground truth: a random ground seen by a PAN and an MS camera."""
    from pancli.simulating import SimulateOptions, simulate_files

    options = SimulateOptions(size, bands, ratio, seed, sensor, dtype, overwrite, device)
    for scene in simulate_files(folder, options, count):
        if not quiet:
            typer.echo(_summary(scene, dtype))


def _summary(scene: SimulatedFiles, dtype: str) -> str:
    pair = scene.pair
    (height, width), (low_height, low_width) = pair.pan.shape[1:], pair.ms.shape[1:]
    names = ", ".join(pair.instrument.band_names)
    bits = f"{pair.instrument.bits} bits"
    numbers = f"reflectance in {dtype}, counted in {bits}" if dtype == "float32" else f"{bits} in {dtype}"
    return (
        f"{scene.folder}: seed {scene.seed}, PAN {width} x {height}, MS {low_width} x {low_height}, "
        f"{numbers}, {names}"
    )

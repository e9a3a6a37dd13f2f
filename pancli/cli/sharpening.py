"""The options of a sharpening, for every command that sharpens."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from pancli.cli.options import (
    BidxTexts,
    Coregister,
    CrispPan,
    Device,
    NodataText,
    Overwrite,
    Reproject,
    SensorName,
    pair_options,
    parse_coregister,
)

if TYPE_CHECKING:
    from pancli.sharpening import SharpenOptions


def takes_sharpening_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command with the options of a sharpening, which it is given as one value, ``options``.

    Typer makes options of a function's parameters. The result has the command's own but for ``options``,
    then those of :func:`sharpening_options`, so that no command lists them anew.
    """
    own, shared = _parameters(command), _parameters(sharpening_options)
    del own["options"]

    @wraps(command)
    def told(**given: Any) -> None:
        options = sharpening_options(**{name: given.pop(name) for name in shared})
        command(**given, options=options)

    parameters = own | shared
    told.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
    told.__annotations__ = {name: parameter.annotation for name, parameter in parameters.items()}
    return told


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Parameters with their annotations evaluated; SharpenOptions is a stand-in: it would import torch."""
    hints = get_type_hints(function, localns={"SharpenOptions": object}, include_extras=True)
    parameters = inspect.signature(function).parameters
    return {
        name: parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in parameters.items()
    }


def sharpening_options(  # noqa: PLR0913 - one parameter per option is Typer's way
    method: Annotated[
        str | None,
        typer.Option(
            "--method", metavar="NAME|FILE", help="See 'pancli methods', or weights; default: bandset."
        ),
    ] = None,
    device: Device = "auto",
    precision: Annotated[
        str, typer.Option("--precision", metavar="auto|float32|bfloat16|float16", help="Of a network.")
    ] = "auto",
    tile: Annotated[
        int | None,
        typer.Option(
            "--tile", metavar="N", help="Side of a tile, in PAN pixels; default: by method and memory."
        ),
    ] = None,
    max_memory: Annotated[
        int, typer.Option("--max-memory", metavar="MB", help="For pixels and caches.")
    ] = 1024,
    num_threads: Annotated[
        str, typer.Option("-j", "--num-threads", metavar="N|ALL_CPUS", help="CPU threads.")
    ] = "ALL_CPUS",
    bidx: BidxTexts = None,
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
        str | None,
        typer.Option(
            "-t",
            "--dtype",
            metavar="TYPE",
            help="Output type: uint8 (Byte), int8, uint16, int16, uint32, int32, uint64, int64, float32 or "
            "float64, in any case; default: that of MS.",
        ),
    ] = None,
    driver: Annotated[str, typer.Option("-f", "--of", metavar="GTiff|COG", help="Output format.")] = "GTiff",
    creation: Annotated[
        list[str] | None, typer.Option("--co", metavar="K=V", help="GDAL creation option; repeatable.")
    ] = None,
    overwrite: Overwrite = False,
    sensor: SensorName = "generic",
    coregister: Coregister = "none",
    crisp_pan: CrispPan = False,
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
    extent: Annotated[
        str,
        typer.Option(
            "--spatial-extent-adjustment",
            metavar="intersection|union|none",
            help="Output: PAN where MS is, PAN and MS together, or all of PAN.",
        ),
    ] = "intersection",
) -> SharpenOptions:
    """The options as the library takes them.

    Raises:
        typer.BadParameter: A text cannot be understood.
        UsageError: A value is not allowed.
    """
    pair, shift = pair_options(nodata, bidx, reproject), parse_coregister(coregister)
    threads, creating = _threads(num_threads), _creation(creation or [])

    from pancli.sharpening import SharpenOptions
    from pancli.sharpening.options import DEFAULT_METHOD

    return SharpenOptions(
        method=method or DEFAULT_METHOD,
        device=device,
        precision=precision,
        tile=tile,
        max_memory=max_memory,
        threads=threads,
        pair=pair,
        aoi=aoi,
        bbox=bbox,
        dtype=_dtype(dtype),
        driver=driver,
        creation=creating,
        overwrite=overwrite,
        sensor=sensor,
        coregister=shift,
        crisp_pan=crisp_pan,
        back_project=back_project,
        adapt=adapt,
        adapt_loss=adapt_loss,
        extent=extent,
    )


def _dtype(text: str | None) -> str | None:
    """NumPy's name of a type, of which GDAL's differs in its letters, and for one byte."""
    return None if text is None else {"byte": "uint8"}.get(text.lower(), text.lower())


def _threads(text: str) -> int | None:
    if text.upper() == "ALL_CPUS":
        return None
    if not text.isdecimal() or len(text) > 9 or int(text) < 1:
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

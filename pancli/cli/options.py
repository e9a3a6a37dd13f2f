"""Options that more than one command takes, and how their texts become values."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pancli.sensors import SENSORS

if TYPE_CHECKING:
    from pancli.raster.pair import PairOptions

PanFile = Annotated[str | None, typer.Option("--pan", metavar="FILE", help="PAN, instead of the first FILE.")]
MsFiles = Annotated[list[str] | None, typer.Option("--ms", metavar="FILE", help="MS; repeat to stack.")]
NodataText = Annotated[
    str | None,
    typer.Option(
        "--nodata",
        metavar="V|nan|none",
        help="Nodata value of the inputs and the output, over their tags; 'none' ignores the tags.",
    ),
]
BidxTexts = Annotated[
    list[str] | None,
    typer.Option(
        "-b", "--bidx", metavar="1,2,3", help="MS bands to take, in this order (after stacking); repeatable."
    ),
]
SensorName = Annotated[
    str, typer.Option("--sensor", metavar="NAME", help=f"Whose MTF to assume: {', '.join(SENSORS)}.")
]
Reproject = Annotated[
    bool, typer.Option("--reproject", help="Warp MS to PAN's CRS and axes where they differ.")
]
Block = Annotated[int, typer.Option("--block", metavar="N", help="Side of the blocks of quality indices.")]
Peak = Annotated[
    float | None, typer.Option("--peak", metavar="V", help="Largest digital number, for PSNR and SSIM.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="No progress and no summary.")]
NoProgress = Annotated[bool, typer.Option("-q", "--quiet", help="No progress.")]
Coregister = Annotated[
    str,
    typer.Option(
        "--coregister",
        metavar="none|auto|DY,DX|pan",
        help="Move MS onto PAN, by PAN pixels (down,right); or PAN onto MS.",
    ),
]
CrispPan = Annotated[
    bool,
    typer.Option(
        "--crisp-pan",
        help="Undo the blur that PAN's spectrum shows (MTF compensation); bandset does by itself.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")]
Device = Annotated[
    str, typer.Option("--device", metavar="auto|cpu|cuda[:N]", help="Where to compute.", show_default=True)
]


def pair_options(nodata: str | None, bidx: list[str] | None, reproject: bool) -> PairOptions:
    """How a pair is read, from the texts of --nodata and --bidx.

    Raises:
        typer.BadParameter: One of them cannot be understood.
    """
    value, numbers = parse_nodata(nodata), parse_bidx(bidx)

    from pancli.raster.pair import PairOptions

    return PairOptions(nodata=value, bidx=numbers, reproject=reproject)


def parse_nodata(text: str | None) -> float | Literal["none"] | None:
    """``None`` as given, ``"none"``, or a number (NaN included).

    Raises:
        typer.BadParameter: Anything else.
    """
    if text is None:
        return None
    word = text.strip().lower()
    if word in ("none", "null"):
        return "none"
    try:
        value = float(word)
    except ValueError:
        raise typer.BadParameter(
            f"'{text}' is neither a number, nor nan, nor none", param_hint="--nodata"
        ) from None
    if math.isinf(value):
        raise typer.BadParameter("infinity is not a nodata value", param_hint="--nodata")
    return value


def parse_bidx(texts: list[str] | None) -> tuple[int, ...]:
    """``["3,2,1"]`` as (3, 2, 1), as GDAL's ``-b 3 -b 2 -b 1`` is; empty where nothing was given.

    Raises:
        typer.BadParameter: Not a comma-separated list of whole numbers from 1.
    """
    if not texts:
        return ()
    text = ",".join(texts)
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 1:
        raise typer.BadParameter(f"'{text}' is not a list of bands such as 3,2,1", param_hint="--bidx")
    return numbers


def parse_coregister(text: str) -> Literal["none", "auto", "pan"] | tuple[float, float]:
    """``"none"``, ``"auto"``, ``"pan"``, or ``"2.5,-1"`` as (2.5, -1.0).

    Raises:
        typer.BadParameter: Anything else.
    """
    if text == "none":
        return "none"
    if text == "auto":
        return "auto"
    if text == "pan":
        return "pan"
    try:
        down, right = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"'{text}' is neither none, nor auto, nor DY,DX, nor pan", param_hint="--coregister"
        ) from None
    if not (abs(down) < 1e4 and abs(right) < 1e4):
        raise typer.BadParameter(f"'{text}' is not a shift in PAN pixels", param_hint="--coregister")
    return down, right

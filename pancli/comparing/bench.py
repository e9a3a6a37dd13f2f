"""What is sharpened and measured, and where the results lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pancli.raster.names import SourceName
from pancli.raster.pair import PairOptions


def every_band(path: Path, bands: int) -> str:
    """A file with all its bands named, because one may be tagged alpha and would be taken for a mask.

    Sharpened and reduced images say of their bands what ms says; who named an alpha band as an image band
    of ms means that one too.

    >>> every_band(Path("gsa.tif"), 2)
    'gsa.tif,band=1,band=2'
    """
    return str(SourceName(str(path), tuple(range(1, bands + 1))))


@dataclass(frozen=True)
class Bench:
    """What is sharpened and measured.

    Attributes:
        pan: Of the pair, or of the reduced one.
        ms: The same.
        reference: Or None.
        pair: How these are opened.
        fused: Folder of the fused images, LABEL.tif.
        maps: Folder of the maps of local distortions, LABEL.tif; None where nobody looks at them.
        cleared: Whether a fused image goes once it is measured.
    """

    pan: str
    ms: tuple[str, ...]
    reference: str | None
    pair: PairOptions
    fused: Path
    maps: Path | None
    cleared: bool

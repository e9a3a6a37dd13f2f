"""What is sharpened and measured, and where the results lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pancli.raster.pair import PairOptions


@dataclass(frozen=True)
class Bench:
    """What is sharpened and measured.

    Attributes:
        pan: Of the pair, or of the reduced one.
        ms: The same.
        reference: Or None.
        pair: How these are opened.
        fused: Folder of the fused images, METHOD.tif.
        maps: Folder of the maps of local distortions, METHOD.tif; None where nobody looks at them.
        cleared: Whether a fused image goes once it is measured.
    """

    pan: str
    ms: tuple[str, ...]
    reference: str | None
    pair: PairOptions
    fused: Path
    maps: Path | None
    cleared: bool

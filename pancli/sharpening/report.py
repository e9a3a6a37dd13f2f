"""What a sharpening did, for whoever asked for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pancli.adaptation import Adaptation
from pancli.methods.alignment import Shift
from pancli.sharpening.plan import Plan


@dataclass(frozen=True)
class SharpenReport:
    """What a sharpening did.

    Attributes:
        output: The file.
        method: Its name.
        width: Columns of the output.
        height: Rows of the output.
        bands: Number of bands.
        dtype: Of the output.
        device: Where it was computed.
        seconds: Wall time per stage: ``plan``, ``adapt``, ``fit``, ``fuse`` (with reading and writing, which
            overlap), ``wait_read`` and ``wait_write`` (what of it was spent waiting for them), ``finish``,
            ``total``.
        megapixels_per_second: Output pixels (not bands) over the total.
        shift: How ms was moved, in pan pixels.
        pan_shift: By how much (down, right) pan's detail lay from ms and was laid on it, in pan pixels; None
            where nobody looked.
        tile: Side of a tile's core; where memory did not suffice for what was planned, of the last ones.
        adaptation: What came of adapting the network; None where that was not asked for.
        warnings: What the user should know.
    """

    output: str
    method: str
    width: int
    height: int
    bands: int
    dtype: str
    device: str
    seconds: dict[str, float]
    megapixels_per_second: float
    shift: dict[str, Any]
    pan_shift: Shift | None
    tile: int
    adaptation: Adaptation | None = None
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "output": self.output,
            "method": self.method,
            "width": self.width,
            "height": self.height,
            "bands": self.bands,
            "dtype": self.dtype,
            "device": self.device,
            "seconds": {stage: round(value, 3) for stage, value in self.seconds.items()},
            "mpix_per_s": round(self.megapixels_per_second, 3),
            "shift": self.shift,
            "pan_shift": None if self.pan_shift is None else list(self.pan_shift),
            "tile": self.tile,
            "adaptation": None if self.adaptation is None else self.adaptation.as_dict(),
            "warnings": list(self.warnings),
        }


def report_of(
    plan: Plan, seconds: dict[str, float], adaptation: Adaptation | None, pan_shift: Shift | None
) -> SharpenReport:
    """What a plan came to, once it was carried out."""
    height, width = plan.spec.grid.shape
    return SharpenReport(
        output=str(plan.spec.path),
        method=plan.method.name,
        width=width,
        height=height,
        bands=len(plan.spec.bands),
        dtype=plan.spec.dtype,
        device=str(plan.scene.device),
        seconds=seconds,
        megapixels_per_second=height * width / 1e6 / seconds["total"],
        shift=plan.shift.as_dict(),
        pan_shift=pan_shift,
        tile=plan.tile_size,
        adaptation=adaptation,
        warnings=plan.warnings,
    )

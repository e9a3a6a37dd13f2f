"""What a comparison found: rows, best first, as one object for JSON and as rows of a CSV file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pancli.checking import PairReport
from pancli.comparing.options import Mode, is_baseline

_NO_REFERENCE = {
    "qnr": True,
    "d_lambda": False,
    "d_s": False,
    "hqnr": True,
    "d_lambda_k": False,
    "rqnr": True,
    "d_s_r": False,
    "d_rho": False,
    "consistency_ergas": False,
    "consistency_sam": False,
}
_AGAINST_REFERENCE = {
    "psnr": True,
    "ssim": True,
    "sam": False,
    "ergas": False,
    "scc": True,
    "q": True,
    "q2n": True,
    "rmse": False,
    "cc": True,
}
HIGHER_IS_BETTER = _NO_REFERENCE | _AGAINST_REFERENCE
"""Which way each figure points."""

TITLES = {
    "psnr": "PSNR",
    "ssim": "SSIM",
    "sam": "SAM",
    "ergas": "ERGAS",
    "scc": "SCC",
    "q": "Q",
    "q2n": "Q2n",
    "rmse": "RMSE",
    "cc": "CC",
    "qnr": "QNR",
    "d_lambda": "D_lambda",
    "d_s": "D_S",
    "hqnr": "HQNR",
    "d_lambda_k": "D_lambda_K",
    "rqnr": "RQNR",
    "d_s_r": "D_S_R",
    "d_rho": "D_rho",
    "consistency_ergas": "ERGAS to MS",
    "consistency_sam": "SAM to MS",
}
"""How each figure is called where people read it."""

_SHOWN = ("qnr", "d_lambda", "d_s", "hqnr", "rqnr", "d_rho", "consistency_sam")
_SHOWN_AGAINST_REFERENCE = ("psnr", "sam", "ergas", "ssim", "scc", "q2n")
# Q2n judges all bands at once and knows no unit. Without a reference RQNR: of the three products of a
# spectral and a spatial figure it alone charges interpolation for the detail it lacks.
_RANKED_BY = ("rqnr", "qnr")
_RANKED_BY_AGAINST_REFERENCE = ("q2n", "ergas")


@dataclass(frozen=True)
class MethodResult:
    """One method's row.

    Attributes:
        method: Its name.
        seconds: Wall time of ``fit``, ``fuse`` and ``total``; empty where it failed.
        megapixels_per_second: Output pixels over the total, or None.
        device: Where it was computed.
        figures: By key; None where one is not defined.
        error: Why it failed, or None.
    """

    method: str
    seconds: dict[str, float] = field(default_factory=dict)
    megapixels_per_second: float | None = None
    device: str | None = None
    figures: dict[str, float | None] = field(default_factory=dict)
    error: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        speed = self.megapixels_per_second
        return {
            "method": self.method,
            "error": self.error,
            "seconds": {stage: round(value, 3) for stage, value in self.seconds.items()},
            "mpix_per_s": None if speed is None else round(speed, 3),
            "device": self.device,
            "figures": self.figures,
        }


@dataclass(frozen=True)
class CompareReport:
    """What :func:`pancli.comparing.compare` returns.

    Attributes:
        mode: ``full`` (no reference), ``reduced`` (ms is the reference) or ``reference`` (one was given).
        pan: As given.
        ms: The same, in the order they were stacked.
        reference: The same, or None: a reduced pair makes its own.
        shape: (height, width) of the fused images.
        rows: Best first by ``ranked_by``, then what has no such figure, then what failed.
        ranked_by: Key of the figure that orders the rows, or None where no row has one.
        variants: Each figure's definition, in words.
        check: What ``pancli check`` says of the pair.
        sensor: Whose MTF was assumed.
        block: Side of the blocks of quality indices.
        peak: The largest digital number, as PSNR and SSIM were told.
        coregister: How PAN and MS were laid on each other for every method.
        crisp_pan: Whether every method was given a crisp PAN.
        warnings: What the user should know, one sentence each, with the methods it is of where not of all.
    """

    mode: Mode
    pan: str
    ms: tuple[str, ...]
    reference: str | None
    shape: tuple[int, int] | None
    rows: tuple[MethodResult, ...]
    ranked_by: str | None
    variants: dict[str, str]
    check: PairReport
    sensor: str
    block: int
    peak: float | None
    coregister: str
    crisp_pan: bool
    warnings: tuple[str, ...]

    @property
    def succeeded(self) -> tuple[MethodResult, ...]:
        """The rows that hold figures."""
        return tuple(row for row in self.rows if row.error is None)

    @property
    def shown(self) -> tuple[str, ...]:
        """Keys of the figures that matter most, for a table that has little room."""
        return _SHOWN if self.mode == "full" else _SHOWN_AGAINST_REFERENCE

    @property
    def best(self) -> dict[str, str]:
        """Figure to method. The baseline never wins, nor with back-projection: it sees nothing of pan."""
        found = {}
        for key, higher in HIGHER_IS_BETTER.items():
            values = {
                row.method: value
                for row in self.succeeded
                if not is_baseline(row.method) and (value := row.figures.get(key)) is not None
            }
            if values:
                found[key] = (max if higher else min)(values, key=lambda method: values[method])
        return found

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``; no NaN in it."""
        return {
            "mode": self.mode,
            "files": {"pan": self.pan, "ms": list(self.ms), "reference": self.reference},
            "shape": None if self.shape is None else list(self.shape),
            "sensor": self.sensor,
            "block": self.block,
            "peak": self.peak,
            "coregister": self.coregister,
            "crisp_pan": self.crisp_pan,
            "ranked_by": self.ranked_by,
            "methods": [row.as_dict() for row in self.rows],
            "best": self.best,
            "variants": self.variants,
            "check": self.check.as_dict(),
            "warnings": list(self.warnings),
        }

    def as_rows(self) -> list[dict[str, str]]:
        """For ``--csv``: :func:`csv_columns` for every method, whether it failed or not."""
        columns = csv_columns(self.mode)
        rows = [
            {
                "pan": self.pan,
                "ms": " ".join(self.ms),
                "reference": self.reference or "",
                "mode": self.mode,
                "sensor": self.sensor,
                "block": str(self.block),
                "peak": _text(self.peak),
                "coregister": self.coregister,
                "crisp_pan": str(self.crisp_pan).lower(),
                "method": row.method,
                **{f"seconds_{stage}": _text(row.seconds.get(stage)) for stage in ("fit", "fuse", "total")},
                "mpix_per_s": _text(row.megapixels_per_second),
                **{key: _text(row.figures.get(key)) for key in HIGHER_IS_BETTER},
                "error": row.error or "",
            }
            for row in self.rows
        ]
        return [{column: row[column] for column in columns} for row in rows]


def csv_columns(mode: Mode) -> list[str]:
    """Of the rows of a comparison."""
    figures = _NO_REFERENCE if mode == "full" else HIGHER_IS_BETTER
    asked = ("mode", "sensor", "block", "peak", "coregister", "crisp_pan")
    before = ("pan", "ms", "reference", *asked, "method")
    return [*before, "seconds_fit", "seconds_fuse", "seconds_total", "mpix_per_s", *figures, "error"]


def rank(rows: list[MethodResult], mode: Mode) -> tuple[tuple[MethodResult, ...], str | None]:
    """Rows best first, and the figure that says so; rows that lack it keep their order at the end."""
    for key in _RANKED_BY if mode == "full" else _RANKED_BY_AGAINST_REFERENCE:
        if any(row.figures.get(key) is not None for row in rows):
            sign = -1.0 if HIGHER_IS_BETTER[key] else 1.0
            return tuple(sorted(rows, key=lambda row: _order(row, key, sign))), key
    return tuple(sorted(rows, key=lambda row: row.error is not None)), None


def _order(row: MethodResult, key: str, sign: float) -> tuple[bool, bool, float]:
    value = row.figures.get(key)
    return row.error is not None, value is None, 0.0 if value is None else sign * value


def _text(value: float | None) -> str:
    return "" if value is None else repr(value)

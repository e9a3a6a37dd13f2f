"""What an evaluation found: as one object for JSON, and as a row of a CSV file."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Any

from pancli.errors import OutputError
from pancli.evaluation.figures import Figure, exact

_ROLES = ("fused", "pan", "ms", "reference")
_QNR = ("qnr", "d_lambda", "d_s")
_FAMILY = (*_QNR, "hqnr", "d_lambda_k")
_CONSISTENCY = ("consistency_ergas", "consistency_sam")
_FIGURES = {
    "pancli": (
        (*_FAMILY, "rqnr", "d_s_r", "d_rho", *_CONSISTENCY),
        ("psnr", "ssim", "sam", "ergas", "scc", "q", "q2n", "rmse", "cc"),
    ),
    "dlpan": (_FAMILY, ("sam", "ergas", "scc", "q", "q2n")),
    "gcpnet": (_QNR, ("psnr", "ssim", "sam", "ergas", "scc", "q")),
    "premix": (_QNR, ("psnr", "ssim", "sam", "ergas", "q", "rmse", "cc")),
    "torchmetrics": (_QNR, ("psnr", "ssim", "sam", "ergas", "scc", "q", "rmse")),
}
"""By profile, what it measures without a reference, and what beside that with one."""


@dataclass(frozen=True)
class EvaluationReport:
    """What :func:`pancli.evaluation.evaluate` returns.

    Attributes:
        figures: By key, in the order they are shown.
        shapes: (height, width) of each image, and of what was evaluated.
        bands: Of the fused image.
        valid_pixels: Pan pixels that are valid in every image.
        blocks: Whole blocks that are valid, of all that fit.
        sensor: Whose MTF was assumed.
        mtf_gains: MTF at the ms Nyquist, one per band.
        profile: Whose definitions.
        block: Side of the blocks.
        peak: The largest digital number, as PSNR and SSIM were told; None where nothing says it.
        radians: Whether SAM was asked for in radians; by default it is in degrees, or as the profile has it.
        files: Paths by role, as given.
        warnings: What the user should know, one sentence each.
    """

    figures: dict[str, Figure]
    shapes: dict[str, tuple[int, int]]
    bands: int
    valid_pixels: int
    blocks: tuple[int, int]
    sensor: str
    mtf_gains: tuple[float, ...]
    profile: str
    block: int
    peak: float | None
    radians: bool
    files: dict[str, str]
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``: figures first; None where one is not defined, no NaN."""
        return {
            **{key: figure.value for key, figure in self.figures.items()},
            "variants": {key: figure.variant for key, figure in self.figures.items()},
            "profile": self.profile,
            "sensor": self.sensor,
            "mtf_gains": list(self.mtf_gains),
            "block": self.block,
            "peak": self.peak,
            "radians": self.radians,
            "blocks": {"valid": self.blocks[0], "all": self.blocks[1]},
            "shapes": {role: list(shape) for role, shape in self.shapes.items()},
            "bands": self.bands,
            "valid_pixels": self.valid_pixels,
            "files": self.files,
            "warnings": list(self.warnings),
        }

    def as_row(self) -> dict[str, str]:
        """For ``--csv``: :func:`csv_columns`, for every image evaluated with the same options."""
        return {
            **{role: self.files.get(role, "") for role in _ROLES},
            "profile": self.profile,
            "sensor": self.sensor,
            "block": str(self.block),
            "mtf_gains": " ".join(f"{gain:g}" for gain in self.mtf_gains),
            "peak": "" if self.peak is None else exact(self.peak),
            "radians": str(self.radians).lower(),
            "valid_pixels": str(self.valid_pixels),
            **{k: "" if f.value is None else repr(f.value) for k, f in self.figures.items()},
        }


def csv_columns(profile: str, *, reference: bool) -> list[str]:
    """Of the row of an evaluation, as :meth:`EvaluationReport.as_row` has them, before anything is measured.

    Args:
        profile: Whose definitions.
        reference: Whether there is one.
    """
    alone, against = _FIGURES[profile]
    by_what = ("profile", "sensor", "block", "mtf_gains", "peak", "radians", "valid_pixels")
    return [*_ROLES, *by_what, *alone, *(against if reference else ())]


def append_row(path: Path, row: dict[str, str]) -> None:
    """Append to a CSV file; a new one gets a header. Processes that append to the same file take turns.

    Raises:
        OutputError: It has other columns, or cannot be read or written.
    """
    try:
        with path.open("a+", newline="", encoding="utf-8") as file:
            with suppress(OSError):  # some file systems have no locks: then as without
                flock(file, LOCK_EX)
            file.seek(0)
            columns = next(csv.reader(file), [])
            if columns and columns != list(row):
                raise OutputError(
                    f"--csv {path}: has the columns {', '.join(columns)} but this row {', '.join(row)}; "
                    "name another file"
                )
            writer = csv.DictWriter(file, list(row), lineterminator="\n")
            if columns and not _ends_in_a_line(path):
                file.write("\n")
            if not columns:
                writer.writeheader()
            writer.writerow(row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise OutputError(f"--csv {path}: cannot be written ({_why(error)})") from error


def _why(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _ends_in_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"


def check_csv(path: Path, columns: Sequence[str]) -> None:
    """Refuse early what could not be appended to at the end.

    Args:
        path: Of the file, which need not exist.
        columns: Those that rows will have.

    Raises:
        OutputError: A directory, in a folder that does not exist, or a file with other columns.
    """
    if path.is_dir():
        raise OutputError(f"--csv {path}: is a directory; name a file in it")
    if not path.parent.is_dir():
        raise OutputError(f"--csv {path}: its folder {path.parent} does not exist; create it first")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise OutputError(f"--csv {path}: cannot be written; its owner does not let you")
    if path.is_file():
        try:
            with path.open(newline="", encoding="utf-8") as file:
                there = next(csv.reader(file), [])
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise OutputError(f"--csv {path}: cannot be read ({_why(error)})") from error
        if there and there != list(columns):
            raise OutputError(
                f"--csv {path}: has the columns {', '.join(there)}, not {', '.join(columns)}; "
                "name another file"
            )

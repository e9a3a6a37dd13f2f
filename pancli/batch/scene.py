"""One scene of a batch: made, skipped or failed, never an exception."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from pancli.batch.entries import Entry
from pancli.batch.record import is_done, record_of, recorded
from pancli.errors import OutputError, refusal
from pancli.progress import Progress
from pancli.raster.commit import check_output
from pancli.sharpening import SharpenOptions, plan_sharpening, sharpen
from pancli.sharpening.beside import complete, names_beside, own_beside

_Made = tuple[str, dict[str, Any] | None]
"""A status, and what there is to report."""


@dataclass(frozen=True)
class SceneResult:
    """What came of an entry.

    Attributes:
        entry: What was asked for.
        status: ``done``, ``skipped`` (resuming: it was done before, of the same inputs and options),
            ``planned`` (a dry run) or ``failed``.
        seconds: Wall time of all of it.
        report: What :class:`pancli.sharpening.SharpenReport` or, in a dry run, the plan says; else empty.
        error: Why it failed.
        trace: Where, if that is a bug.
    """

    entry: Entry
    status: str
    seconds: float
    report: dict[str, Any] | None = None
    error: str | None = None
    trace: str | None = None

    @property
    def failed(self) -> bool:
        """Whether there is no good output."""
        return self.status == "failed"

    def as_dict(self) -> dict[str, Any]:
        """One line of JSON; ``seconds.total`` has more in it than the report's: the hashes of the inputs."""
        report = self.report or {}
        found = {
            "status": self.status,
            "line": self.entry.line,
            "pan": self.entry.pan,
            "ms": list(self.entry.ms),
            **report,
            "output": self.entry.output,
            "seconds": {**report.get("seconds", {}), "total": round(self.seconds, 3)},
        }
        if self.error is not None:
            found["error"] = self.error
        if self.trace is not None:
            found["trace"] = self.trace
        return found


def make_scene(
    entry: Entry, options: SharpenOptions, *, resume: bool, progress: Progress | None = None
) -> SceneResult:
    """Sharpen one scene; whatever goes wrong with it is in the result.

    Args:
        entry: What to make.
        options: What is asked for.
        resume: Whether what is done already is left as it is, and what a batch made of other inputs or
            options, or is damaged, is replaced, with the picture and the item that pancli wrote beside it.
            Files that no batch made are replaced with ``options.overwrite`` only.
        progress: As :func:`pancli.sharpening.sharpen` calls it.
    """
    options = _of_entry(entry, options)
    return _caught(entry, partial(_make, entry, options, resume, progress))


def plan_scene(
    entry: Entry, options: SharpenOptions, *, resume: bool, made: Path | None = None
) -> SceneResult:
    """What :func:`make_scene` would do, without reading pixels.

    Neither is a shift measured, which is None then, nor how crisp pan is, nor an old output compared;
    ``exists`` says whether there is one. What is said of tiles and memory holds for whatever would be found.

    Args:
        entry: What would be made.
        options: What is asked for.
        resume: As there.
        made: A folder that would be made first.
    """
    options = _of_entry(entry, options)

    def plan() -> _Made:
        exists = os.path.lexists(entry.output)
        # With --resume an output that exists is no refusal yet: whether it may stay is found when it is read.
        asked = replace(options, overwrite=options.overwrite or resume)
        unknown = {"auto": "shift", "pan": "pan_shift"}.get(str(options.coregister))
        output = _stand_in(Path(entry.output), made)
        with plan_sharpening(entry.pan, entry.ms, output, asked, measure=False) as found:
            return "planned", found.as_dict() | {"exists": exists} | ({unknown: None} if unknown else {})

    return _caught(entry, plan)


def _of_entry(entry: Entry, options: SharpenOptions) -> SharpenOptions:
    """The options, with the sensor that the entry is known to be of where none is asked for."""
    if entry.sensor is None or options.sensor != SharpenOptions.sensor:
        return options
    return replace(options, sensor=entry.sensor)


def _stand_in(output: Path, made: Path | None) -> Path:
    """An output as near as there is a folder: one that would be made can be where that one can be written."""
    if made is None or output.parent != made or made.exists():
        return output
    return next(folder for folder in made.absolute().parents if folder.exists()) / f".{output.name}.planned"


def _make(entry: Entry, options: SharpenOptions, resume: bool, progress: Progress | None) -> _Made:
    output = Path(entry.output)
    if not resume:
        check_output(output, overwrite=options.overwrite)
    record = record_of(entry, options)
    if resume and is_done(output, record):
        return _skip(output, options)
    # What was killed may have left a picture without its image; what is replaced must not leave an old one.
    mine = resume and own_beside(output, options)
    beside = [name for name in names_beside(output, options) if name is not None]
    for name in beside:
        check_output(name, overwrite=options.overwrite or mine)
    ours = resume and recorded(output) is not None
    free = mine and not os.path.lexists(output) and any(map(os.path.lexists, beside))
    asked = replace(options, inputs_sha256=record, overwrite=options.overwrite or ours or free)
    try:
        return "done", sharpen(entry.pan, entry.ms, output, asked, progress).as_dict()
    except OutputError:
        if resume and is_done(output, record):  # another process was faster
            return _skip(output, options)
        raise


def _skip(output: Path, options: SharpenOptions) -> tuple[str, None]:
    """Leave an output as it is; a picture or a STAC item that it has not got yet is made of it."""
    complete(output, options)
    return "skipped", None


def _caught(entry: Entry, work: Callable[[], _Made]) -> SceneResult:
    start = time.perf_counter()
    report, error, trace = None, None, None
    try:
        status, report = work()
    except Exception as failure:  # noqa: BLE001 - one scene's bug must not take the others with it; it is told
        status, error = "failed", refusal(failure)
        if error is None:
            error, trace = f"unexpected {type(failure).__name__}: {failure}", traceback.format_exc()
    return SceneResult(entry, status, time.perf_counter() - start, report, error, trace)

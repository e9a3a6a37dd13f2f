"""Running a batch: everything is checked that can be, then scenes are made, here or by several processes."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pancli.batch.entries import Entry, check_outputs
from pancli.batch.processes import run_processes
from pancli.batch.scene import SceneResult, make_scene, plan_scene
from pancli.device import find_device
from pancli.errors import InputError, OutputError, UsageError
from pancli.sensors import find_sensor
from pancli.sharpening import SharpenOptions
from pancli.sharpening.catalog import check_method
from pancli.sharpening.run import Progress


@dataclass(frozen=True)
class BatchTerms:
    """How a batch is run.

    Attributes:
        jobs: Processes; with one, scenes are made in this one.
        keep_going: Whether scenes are begun after one has failed; those being made are finished either way.
        resume: Whether what is done already is skipped.
        folder: Is made before the first scene if it is not there.
    """

    jobs: int = 1
    keep_going: bool = True
    resume: bool = False
    folder: Path | None = None

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise UsageError(f"--jobs {self.jobs}: must be at least 1")


def check_batch(entries: Sequence[Entry], options: SharpenOptions) -> None:
    """Refuse what is wrong with all scenes, or between them, before anything runs.

    Raises:
        UsageError: The method, the sensor or the device is not known; outputs clash.
        WeightsError: There is no such weights file, or it has no card.
        InputError: The area of interest is not there.
    """
    check_method(options)
    find_sensor(options.sensor)
    find_device(options.device)
    if options.aoi is not None and not options.aoi.is_file():
        raise InputError(f"{options.aoi}: no such file")
    check_outputs(entries)


def run_batch(
    entries: Sequence[Entry],
    options: SharpenOptions,
    terms: BatchTerms | None = None,
    progress: Progress | None = None,
) -> Generator[SceneResult, None, None]:
    """Make every scene; results come as scenes end, in any order where there are several processes.

    Closing the iterator, or an exception in it, ends what is being made, and leaves nothing of it.

    Args:
        entries: What to make; see :func:`check_batch`.
        options: What is asked for, of all scenes alike.
        terms: How to run.
        progress: As :func:`pancli.sharpening.sharpen` calls it, of the scene being made; not called where
            there are several processes.

    Raises:
        OutputError: The folder cannot be made.
    """
    terms = terms or BatchTerms()
    if terms.folder is not None:
        _make_folder(terms.folder)
    if terms.jobs > 1:
        yield from run_processes(
            entries, options, jobs=terms.jobs, keep_going=terms.keep_going, resume=terms.resume
        )
        return
    for entry in entries:
        result = make_scene(entry, options, resume=terms.resume, progress=progress)
        yield result
        if result.failed and not terms.keep_going:
            return


def plan_batch(
    entries: Sequence[Entry], options: SharpenOptions, terms: BatchTerms | None = None
) -> Generator[SceneResult, None, None]:
    """What :func:`run_batch` would do with every scene, without reading pixels."""
    terms = terms or BatchTerms()
    for entry in entries:
        yield plan_scene(entry, options, resume=terms.resume, made=terms.folder)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror})") from error

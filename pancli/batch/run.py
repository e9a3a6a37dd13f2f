"""Running a batch: all is checked that can be, then scenes are made: here, by processes, or on a cluster."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pancli.batch.cluster import check_cluster, run_cluster
from pancli.batch.entries import Entry, check_outputs
from pancli.batch.processes import run_processes
from pancli.batch.scene import SceneResult, make_scene, plan_scene
from pancli.device import find_device
from pancli.errors import InputError, UsageError
from pancli.progress import Progress
from pancli.raster.commit import prepare_folder
from pancli.raster.creation import check_choice
from pancli.sensors import find_sensor
from pancli.sharpening import SharpenOptions
from pancli.sharpening.catalog import check_method

ENGINES = ("local", "ray")


@dataclass(frozen=True)
class BatchTerms:
    """How a batch is run.

    Attributes:
        jobs: Processes; with one, scenes are made in this one. On a cluster: actors. None is one, or as many
            as the cluster has room for.
        keep_going: Whether scenes are begun after one has failed; those being made are finished either way.
        resume: Whether what is done already is skipped.
        folder: Is made before the first scene if it is not there.
        engine: One of :data:`ENGINES`.
        address: Of a Ray cluster; None starts one on this machine. See :mod:`pancli.batch.cluster`.
    """

    jobs: int | None = None
    keep_going: bool = True
    resume: bool = False
    folder: Path | None = None
    engine: str = "local"
    address: str | None = None

    def __post_init__(self) -> None:
        if self.jobs is not None and self.jobs < 1:
            raise UsageError(f"--jobs {self.jobs}: must be at least 1")
        if self.engine not in ENGINES:
            raise UsageError(f"--engine {self.engine}: must be one of {', '.join(ENGINES)}")
        if self.address is not None and self.engine != "ray":
            raise UsageError(f"--address {self.address} is for --engine ray")


def check_batch(entries: Sequence[Entry], options: SharpenOptions, terms: BatchTerms | None = None) -> None:
    """Refuse what is wrong with all scenes, or between them, before anything runs.

    Raises:
        UsageError: The method, the sensor or the device is not known; outputs clash; Ray is not installed.
        WeightsError: There is no such weights file, or it has no card.
        InputError: The area of interest is not there.
        OutputError: A creation option is none, or none for the type asked for.
    """
    check_method(options)
    find_sensor(options.sensor)
    if terms is not None and terms.engine == "ray":
        check_cluster(options, terms.address)
    else:
        find_device(options.device)
    if options.aoi is not None and not options.aoi.is_file():
        raise InputError(f"{options.aoi}: no such file")
    check_outputs(entries, options)
    if entries and options.creation:
        check_choice(Path(entries[0].output), options.driver, options.creation, options.dtype)


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
        ClusterError: The cluster cannot be reached, or cannot do what is asked.
    """
    terms = terms or BatchTerms()
    if terms.folder is not None:
        prepare_folder(terms.folder, (), overwrite=False)
    if terms.engine == "ray":
        yield from run_cluster(
            entries,
            options,
            address=terms.address,
            jobs=terms.jobs,
            keep_going=terms.keep_going,
            resume=terms.resume,
        )
        return
    if terms.jobs is not None and terms.jobs > 1:
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

"""A training run as a value: what is asked for, where it is, how long it has taken."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pancli.errors import UsageError
from pancli.training.checkpoint import Progress
from pancli.training.notes import Metrics
from pancli.training.ranks import Ranks
from pancli.training.recipe import Recipe
from pancli.training.sampling import Sampler
from pancli.training.stages import Stage
from pancli.training.validation import Case, Figures

CHECKPOINT = "checkpoint.safetensors"


class Told(NamedTuple):
    """What is told after every step.

    Attributes:
        stage: Of the run.
        step: Steps of it that are done.
        steps: Steps of it in all.
        loss: Of the step, in standard deviations of a band.
        best: Best validation PSNR so far; None before the first.
        waiting: Share of the stage's time, in this process, that was spent waiting for batches.
    """

    stage: str
    step: int
    steps: int
    loss: float
    best: float | None
    waiting: float = 0.0


@dataclass(frozen=True)
class Terms:
    """How a run is carried out, which changes nothing of what it learns, but for ``init``.

    Attributes:
        ranks: The processes that train as one, and where this one computes.
        fresh: Start again even where a checkpoint is.
        max_minutes: Stop, saved, after so long, 0 after one step; None for never.
        workers: Processes that make batches; None for the recipe's ``prefetch``, in threads.
        init: Weights to begin from: a file, or the name of weights that ship; None for random ones.
        tensorboard: Write TensorBoard's files.
    """

    ranks: Ranks = field(default_factory=Ranks)
    fresh: bool = False
    max_minutes: float | None = None
    workers: int | None = None
    init: str | None = None
    tensorboard: bool = False

    def __post_init__(self) -> None:
        if self.max_minutes is not None and not self.max_minutes >= 0:
            raise UsageError(f"--max-minutes {self.max_minutes:g}: must be a number of minutes, 0 or more")


@dataclass
class Run:
    """A training run and where it is.

    Attributes:
        recipe: What to do.
        folder: Where checkpoint, metrics and weights go.
        terms: How it is carried out.
        sampler: Makes what it is trained on.
        cases: What it is measured on.
        baselines: What classical methods reach on them.
        stage: The stage it is in.
        progress: Where it is.
        done: Whether all stages are done.
        origins: What weights went in, and under which licences, for the card.
    """

    recipe: Recipe
    folder: Path
    terms: Terms
    sampler: Sampler = field(repr=False)
    cases: list[Case] = field(repr=False)
    baselines: dict[str, dict[str, Figures]] = field(repr=False)
    stage: Stage
    progress: Progress
    done: bool = False
    origins: tuple[str, ...] = ()

    @property
    def checkpoint(self) -> Path:
        """Where the run is saved."""
        return self.folder / CHECKPOINT

    @property
    def metrics(self) -> Metrics:
        """What is noted at validations."""
        return Metrics(self.folder / "metrics.csv", tuple(dict.fromkeys(case.group for case in self.cases)))

    @property
    def warnings(self) -> tuple[str, ...]:
        """Where images were placed by a guess, or measured with bits that are not theirs; each once."""
        trained = [warning for images in self.sampler.images for image in images for warning in image.told]
        measured = [warning for case in self.cases for warning in case.warnings]
        return tuple(dict.fromkeys(trained + measured))

    def weights(self, stem: str) -> Path:
        """The best weights of that name so far."""
        return self.folder / f"{stem}.safetensors"


@dataclass
class Clock:
    """What time it is in a run, in seconds.

    Attributes:
        origin: When it would have begun, had it never stopped.
        deadline: When it must stop.
        saved: When it was saved last.
    """

    origin: float
    deadline: float
    saved: float

    @classmethod
    def start(cls, now: float, spent: float, max_minutes: float | None) -> Clock:
        """A clock that starts at ``now``, with so many seconds spent before."""
        minutes = math.inf if max_minutes is None else max_minutes
        return cls(now - spent, now + 60 * minutes, now)

    @property
    def spent(self) -> float:
        """Seconds spent on the run."""
        return time.monotonic() - self.origin

    @property
    def late(self) -> bool:
        """Whether it must stop."""
        return time.monotonic() > self.deadline

    def save_is_due(self, minutes: float) -> bool:
        """Whether so many minutes have gone since it was last true."""
        due = time.monotonic() - self.saved > 60 * minutes
        if due:
            self.saved = time.monotonic()
        return due

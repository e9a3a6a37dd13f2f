"""What a run notes of itself: metrics.csv, and TensorBoard's files where they are asked for."""

from __future__ import annotations

import csv
import importlib.util
import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pancli.errors import OutputError, UsageError
from pancli.training.validation import Figures

_FIRST = ("step", "stage", "weights", "seconds", "loss")


@dataclass(frozen=True)
class Row:
    """What is noted at a validation.

    Attributes:
        stage: Of the run.
        step: Of the stage.
        seconds: Spent on the run.
        loss: Of that step.
        weights: Stem of the weights file; empty for a teacher.
        figures: By group of scenes; a teacher's are of one who is shown the truth.
    """

    stage: str
    step: int
    seconds: float
    loss: float
    weights: str = ""
    figures: Mapping[str, Figures] | None = None


@dataclass(frozen=True)
class Metrics:
    """metrics.csv: one row per validation.

    Attributes:
        path: The file.
        groups: Groups of scenes that are measured.
    """

    path: Path
    groups: tuple[str, ...]

    def note(self, row: Row) -> None:
        """Append a row.

        Raises:
            OutputError: It cannot be written.
        """
        values: dict[str, Any] = {
            "step": row.step,
            "stage": row.stage,
            "weights": row.weights,
            "seconds": round(row.seconds, 1),
            "loss": round(row.loss, 6),
        }
        for group, found in (row.figures or {}).items():
            for field in fields(found):
                values[f"{group} {field.name}"] = round(getattr(found, field.name), 4)
        text = io.StringIO()
        writer = csv.DictWriter(text, self._columns(), restval="", lineterminator="\n")
        with self._writing():
            if not self.path.exists():
                writer.writeheader()
            writer.writerow(values)
            with self.path.open("a") as file:
                file.write(text.getvalue())

    def psnrs(self, stage: str, weights: str) -> list[tuple[int, tuple[float, ...]]]:
        """The step of every validation of a stage's weights that told all, and the PSNR of each group."""
        if not self.path.exists():
            return []
        with self.path.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if (row["stage"], row["weights"]) == (stage, weights)]
        names = [f"{group} psnr" for group in self.groups]
        told = [(row["step"], [row[name] for name in names]) for row in rows]
        return [(int(step), tuple(map(float, values))) for step, values in told if all(values)]

    def keep(self, stages: Iterable[str], stage: str, step: int) -> None:
        """Drop what is told of steps that a resumed run takes again, and a row that was cut off.

        Args:
            stages: Those that are over.
            stage: The one the run is in.
            step: Its steps that are done.

        Raises:
            OutputError: It cannot be written.
        """
        over = set(stages)
        with self._writing():
            if not self.path.exists():
                return
            head, *rows = self.path.read_text().splitlines(keepends=True) or [""]
            # Another recipe's columns may be others, and a header may have been cut off.
            told = next(csv.reader([head]), [])
            if (not over and step == 0) or not head.endswith("\n") or told != self._columns():
                self.path.unlink()
                return
            self._replace([head, *self._kept(rows, over, stage, step)])

    def _kept(self, rows: Iterable[str], over: set[str], stage: str, step: int) -> list[str]:
        kept = []
        for row in rows:
            told = row.split(",")
            whole = row.endswith("\n") and len(told) >= len(_FIRST)
            if whole and (told[1] in over or (told[1] == stage and int(told[0]) <= step)):
                kept.append(row)
        return kept

    def _replace(self, lines: Iterable[str]) -> None:
        temporary = self.path.with_name(self.path.name + ".tmp")
        temporary.write_text("".join(lines))
        temporary.replace(self.path)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written ({error.strerror})") from error

    def _columns(self) -> list[str]:
        return [*_FIRST, *(f"{group} {field.name}" for group in self.groups for field in fields(Figures))]


class Board:
    """TensorBoard's files in a folder.

    Raises:
        UsageError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        require_tensorboard()
        self._folder = folder
        self._writers: dict[str, Any] = {}

    def note(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        """Numbers of a step of a stage; what an earlier run told of later steps is forgotten."""
        if stage not in self._writers:
            from torch.utils.tensorboard import SummaryWriter

            writer = SummaryWriter(str(self._folder / stage), purge_step=step)
            self._writers[stage] = writer
        for name, value in values.items():
            self._writers[stage].add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is left."""
        for writer in self._writers.values():
            writer.close()


def require_tensorboard() -> None:
    """Refuse early what would fail late.

    Raises:
        UsageError: TensorBoard is not installed.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise UsageError("--tensorboard needs TensorBoard, which is not installed; pip install tensorboard")

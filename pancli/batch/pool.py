"""Scenes given to workers that may die: no more at a time than there are workers, results as they end."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pancli.batch.entries import Entry
from pancli.batch.scene import SceneResult


@dataclass(frozen=True)
class Task:
    """A scene being made by a worker.

    Attributes:
        entry: What is made.
        attempt: From 1; above that, a worker died over it before.
        begun: When it was given away.
    """

    entry: Entry
    attempt: int
    begun: float = field(default_factory=time.perf_counter)

    @property
    def again(self) -> bool:
        """Whether a worker that died may have finished it: then it is found done."""
        return self.attempt > 1

    def death(self, how: str) -> SceneResult:
        """What to say where workers died over it once too often."""
        error = f"{how}, {self.attempt} times; is there enough memory for {self.entry.output}?"
        return SceneResult(self.entry, "failed", time.perf_counter() - self.begun, error=error)


class Pool(Protocol):
    """Workers, each of which makes one scene at a time."""

    @property
    def busy(self) -> bool:
        """Whether a scene is being made."""

    @property
    def has_room(self) -> bool:
        """Whether a worker can take a scene now."""

    def give(self, task: Task) -> None:
        """Have a scene made."""

    def take(self) -> Iterable[tuple[Task, SceneResult | str]]:
        """Wait until something happened; the scenes that ended, or how the worker died over them."""

    def end(self) -> None:
        """End all workers; what they were making is cleaned up."""


def run_pool(
    entries: Sequence[Entry], pool: Pool, *, keep_going: bool, attempts: int
) -> Generator[SceneResult, None, None]:
    """Have every scene made; see :func:`pancli.batch.run.run_batch`.

    Args:
        entries: What to make.
        pool: Who makes it; is ended with this.
        keep_going: Whether scenes are begun after one has failed.
        attempts: How often a scene is made whose worker dies before it has failed.
    """
    waiting = deque((entry, 1) for entry in entries)
    ended: list[SceneResult] = []
    try:
        while waiting or pool.busy or ended:
            # Before results are told: no worker is to wait for whoever hears of them.
            while waiting and pool.has_room:
                pool.give(Task(*waiting.popleft()))
            yield from ended
            ended = []
            for task, result in pool.take() if waiting or pool.busy else ():
                if isinstance(result, str) and task.attempt < attempts:
                    waiting.appendleft((task.entry, task.attempt + 1))
                    continue
                ended.append(task.death(result) if isinstance(result, str) else result)
                if ended[-1].failed and not keep_going:
                    waiting = deque(left for left in waiting if left[1] > 1)  # begun, by workers that died
    finally:
        pool.end()

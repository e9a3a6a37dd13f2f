"""Scenes spread over processes, each of which keeps its network; one may be killed."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import FrameType

from pancli.batch.entries import Entry
from pancli.batch.pool import Task, run_pool
from pancli.batch.scene import SceneResult, make_scene
from pancli.device import device_count
from pancli.raster.commit import remove_leftovers
from pancli.sharpening import SharpenOptions

_ATTEMPTS = 2
_PATIENCE = 30.0  # seconds that a process has to clean up before it is killed


def run_processes(
    entries: Sequence[Entry], options: SharpenOptions, *, jobs: int, keep_going: bool, resume: bool
) -> Generator[SceneResult, None, None]:
    """Make scenes in ``jobs`` processes; see :func:`pancli.batch.run.run_batch`.

    A scene whose process dies (killed, out of memory) is made once more by a new one, then it has failed.
    """
    jobs = min(jobs, len(entries))
    pool = _Pool([share(options, number, jobs, device_count()) for number in range(jobs)], resume)
    return run_pool(entries, pool, keep_going=keep_going, attempts=_ATTEMPTS)


def share(options: SharpenOptions, number: int, jobs: int, devices: int) -> SharpenOptions:
    """One process's part: of the threads, and of the CUDA devices unless one is named.

    Args:
        options: What is asked for, of all.
        number: Of the process, from 0.
        jobs: How many there are.
        devices: CUDA devices of this machine.
    """
    threads = max(1, options.cpu_threads // jobs)
    spread = devices > 0 and options.device in ("auto", "cuda")
    return replace(options, threads=threads, device=f"cuda:{number % devices}" if spread else options.device)


class _Pool:
    """Processes, started when there is something for them to do."""

    def __init__(self, shares: Sequence[SharpenOptions], resume: bool) -> None:
        self._free = list(shares)
        self._resume = resume
        self._idle: list[_Worker] = []
        self._busy: dict[Connection, tuple[_Worker, Task]] = {}

    @property
    def busy(self) -> bool:
        return bool(self._busy)

    @property
    def has_room(self) -> bool:
        return bool(self._idle or self._free)

    def give(self, task: Task) -> None:
        worker = self._idle.pop() if self._idle else _Worker(self._free.pop(0), resume=self._resume)
        self._busy[worker.connection] = worker, task
        worker.give(task)

    def take(self) -> Iterator[tuple[Task, SceneResult | str]]:
        for ready in wait(list(self._busy)):
            assert isinstance(ready, Connection)  # for mypy: nothing else was waited for
            worker, task = self._busy.pop(ready)
            result = worker.take()
            if isinstance(result, str):
                worker.end(task.entry)
                self._free.append(worker.options)
            else:
                self._idle.append(worker)
            yield task, result

    def end(self) -> None:
        for worker, _ in self._busy.values():
            worker.process.terminate()
        for worker, task in self._busy.values():
            worker.end(task.entry)
        for worker in self._idle:
            worker.end()


class _Worker:
    """A process, as its parent sees it."""

    def __init__(self, options: SharpenOptions, *, resume: bool) -> None:
        context = get_context(
            "spawn"
        )  # a fork would inherit the threads of torch and GDAL, half of them locked
        self.options = options
        self.connection, far = context.Pipe()
        self.process = context.Process(target=_serve, args=(far, options, resume), daemon=True)
        # A terminal sends Ctrl-C, and that it was closed, to the whole group. A worker is told by its parent
        # instead, once it can clean up after itself; what is blocked here stays so in it.
        resource_tracker.ensure_running()  # would be started by the first process, and lift the block
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        far.close()

    def give(self, task: Task) -> None:
        """Have it make a scene. One that died meanwhile is noticed when it is waited for."""
        with suppress(OSError):
            self.connection.send((task.entry, task.again))

    def take(self) -> SceneResult | str:
        """What it made, or how it died."""
        try:
            result = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            code = self.process.exitcode or 0
            how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            return f"its process {how}"
        assert isinstance(result, SceneResult)
        return result

    def end(self, making: Entry | None = None) -> None:
        """Let it end, or kill it, and remove what it left of a scene."""
        self.connection.close()
        self.process.join(_PATIENCE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        if making is not None and self.process.pid is not None:
            remove_leftovers(Path(making.output), self.process.pid)


def _serve(connection: Connection, options: SharpenOptions, resume: bool) -> None:
    """Make scenes until there are no more, or until told to stop."""
    with suppress(EOFError, OSError, KeyboardInterrupt):
        signal.signal(signal.SIGTERM, _stop)
        threading.Thread(target=_stop_with_parent, daemon=True).start()
        while True:
            entry, again = connection.recv()
            connection.send(make_scene(entry, options, resume=resume or again))


def _stop(_signal: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: what cleans up is not to be interrupted
    raise KeyboardInterrupt


def _stop_with_parent() -> None:
    """A parent that was killed cannot tell: its scenes are stopped as if it had."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

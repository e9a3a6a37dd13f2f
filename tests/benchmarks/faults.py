"""Faults by the hundred, and how pancli survived them; prints Markdown tables.

    python -m tests.benchmarks.faults mutants [--count 2000]    # damaged TIFFs of each kind
    python -m tests.benchmarks.faults sharpen [--count 200]     # kill -9 at random moments
    python -m tests.benchmarks.faults batch [--count 200]

What should not have happened is told on stderr as it happens, counted in the tables, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from itertools import count as count_from
from pathlib import Path
from typing import Protocol

import pancli.batch
import pancli.sharpening  # noqa: F401 - for forks to have them loaded
from pancli.cli.app import main as pancli_main
from pancli.hashing import file_sha256
from tests.scenes import make_scene
from tests.sharpening.mutations import KINDS
from tests.sharpening.test_faults import METHODS, damaged_pairs, outcome

SHARE = 100  # mutants that one worker makes at a time
PARTS = {"sharpen": (9, 9, 2), "batch": (10, 9, 1)}  # of the kills, one for each case
ENDS = ("absent", "some", "all")
KILLS = 10  # kills of one case by one worker


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the three."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("mutants", "sharpen", "batch"))
    parser.add_argument("--count", type=int, help="kills, or mutants of each kind")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1, help="processes")
    told = parser.parse_args(arguments)
    if told.what == "mutants":
        return show_mutants(told.count or 2000, told.seed, told.workers)
    return show_kills(told.what, told.count or 200, told.seed, told.workers)


# Damaged files


@dataclass
class Ends:
    """How runs with mutants ended, by outcome and undecodability, and those that ended as none may."""

    counts: Counter[tuple[str, bool]] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    slowest: float = 0.0

    def add(self, other: Ends) -> None:
        """Count what another worker saw."""
        self.counts.update(other.counts)
        self.faults += other.faults
        self.slowest = max(self.slowest, other.slowest)


def show_mutants(count: int, seed: int, workers: int) -> int:
    """Print how mutants of every kind ended."""
    print("| kind | mutants | undecodable | of these refused | others refused | others fused | faults |")
    print("|---|---|---|---|---|---|---|", flush=True)
    slowest, faults = 0.0, 0
    with ProcessPoolExecutor(workers) as pool:
        asked: dict[str, list[Future[Ends]]] = {kind: [] for kind in KINDS}
        for number, start in enumerate(range(0, count, SHARE)):  # all kinds at once: each has something early
            for kind, futures in asked.items():
                futures.append(pool.submit(bombard, kind, min(SHARE, count - start), 1000 * seed + number))
        for kind, futures in asked.items():
            ends = Ends()
            for future in futures:
                ends.add(_taken(future))
            print(_row(kind, count, ends), flush=True)
            for fault in ends.faults:
                print(fault, file=sys.stderr, flush=True)
            slowest, faults = max(slowest, ends.slowest), faults + len(ends.faults)
    print(f"\nThe slowest took {slowest:.1f} s.")
    return int(faults > 0)


def _taken(future: Future[Ends]) -> Ends:
    """What a worker saw. One that hangs is ended by its own watchdog, and all that it saw is lost."""
    try:
        return future.result()
    except BrokenProcessPool as error:
        return Ends(faults=[f"a worker died (a hang of a minute, or a crash): {error}"])


def bombard(kind: str, count: int, seed: int) -> Ends:
    """Sharpen with every mutant, by the methods in turn."""
    ends = Ends()
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, mutant, files) in enumerate(damaged_pairs(Path(folder), kind, count, seed)):
            method = METHODS[number // 2 % len(METHODS)]  # the role changes with every number
            begun = time.perf_counter()
            try:
                end = outcome(Path(folder), files, method)
            except Exception:  # noqa: BLE001 - to be found is what they are here for
                end = "fault"
                ends.faults.append(f"{name}, {method}:\n{traceback.format_exc()}")
            if end == "fused" and mutant.undecodable:
                ends.faults.append(f"{name}, {method}: fused, though a strip cannot be decoded")
            ends.counts[end, mutant.undecodable] += 1
            ends.slowest = max(ends.slowest, time.perf_counter() - begun)
    print(f"{kind}, {count} mutants of seed {seed}: {dict(ends.counts)}", file=sys.stderr, flush=True)
    return ends


def _row(kind: str, count: int, ends: Ends) -> str:
    broken = sum(n for (_, undecodable), n in ends.counts.items() if undecodable)
    fused, failed = ends.counts["fused", False], ends.counts["fault", False]
    refused = broken - ends.counts["fused", True] - ends.counts["fault", True]
    others = sum(ends.counts.values()) - broken - fused - failed
    cells = (count, broken, refused, others, fused, len(ends.faults))
    return f"| {kind} | " + " | ".join(map(str, cells)) + " |"


# Kills


class Run(Protocol):
    """A process that runs ``pancli``."""

    def kill(self) -> None:
        """Send it SIGKILL."""

    def end(self) -> int:
        """Wait for its end; the exit code, or the negated number of the signal that ended it."""


class Started:
    """The program, as a shell starts it."""

    def __init__(self, arguments: Sequence[str]) -> None:
        command = [sys.executable, "-m", "pancli", *arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        """See :class:`Run`."""
        self._process.kill()

    def end(self) -> int:
        """See :class:`Run`."""
        return self._process.wait()


class Forked:
    """The same from a fork of this process, which never ran any of it and has one thread."""

    def __init__(self, arguments: Sequence[str]) -> None:
        assert threading.active_count() == 1
        sys.stdout.flush()
        sys.stderr.flush()
        self._process = os.fork()
        if self._process == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(1, 2)
            sys.argv = ["pancli", *arguments]
            code = 1
            try:
                pancli_main()
            except SystemExit as ended:
                code = int(ended.code or 0)
            finally:
                os._exit(code)  # nothing of what the parent does at its end

    def kill(self) -> None:
        """See :class:`Run`."""
        os.kill(self._process, signal.SIGKILL)

    def end(self) -> int:
        """See :class:`Run`."""
        return os.waitstatus_to_exitcode(os.waitpid(self._process, 0)[1])


@dataclass
class Case:
    """A command that makes files, and what they are when nobody disturbs it."""

    name: str
    arguments: tuple[str, ...]
    outputs: tuple[Path, ...]
    forked: bool = True
    whole: tuple[str, ...] = ()
    times: deque[float] = field(default_factory=lambda: deque(maxlen=5))

    def start(self, *more: str) -> Run:
        """Begin it in a process of its own; forked from this one, it has torch loaded and begins at once."""
        arguments = [*self.arguments, "-q", *more]
        return Forked(arguments) if self.forked else Started(arguments)

    def run(self, *more: str) -> None:
        """Run it to its end."""
        begun = time.perf_counter()
        code = self.start(*more).end()
        if code != 0:
            raise RuntimeError(f"{self.name} {' '.join(more)}: exit code {code}")
        self.times.append(time.perf_counter() - begun)

    def seen(self) -> tuple[str, ...]:
        """Hashes of the outputs; empty for one that is not there."""
        return tuple(file_sha256(path) if path.exists() else "" for path in self.outputs)

    def clear(self) -> None:
        """Remove outputs and whatever lies beside them."""
        folder = self.outputs[0].parent
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(exist_ok=True)


@dataclass
class Kills:
    """How kills of a case ended, and how long it takes where it is let be."""

    name: str
    ends: Counter[str]
    seconds: list[float]


def show_kills(what: str, count: int, seed: int, workers: int) -> int:
    """Print how kills of every case ended."""
    print("| command | kills | while writing | all absent | some whole | all whole | faults |")
    print("|---|---|---|---|---|---|---|", flush=True)
    faults, left = 0, count
    parts = PARTS[what]
    with ProcessPoolExecutor(workers) as pool:
        asked = []
        for case, part in enumerate(parts):
            mine = round(left * part / sum(parts[case:]))
            left -= mine
            shares = [min(KILLS, mine - start) for start in range(0, mine, KILLS)]
            seeds = range(1000 * seed + 100 * case, 1000 * seed + 100 * case + len(shares))
            asked.append([pool.submit(kills, what, case, *each) for each in zip(shares, seeds, strict=True)])
        for futures in asked:
            found = [future.result() for future in futures]
            ends = sum((each.ends for each in found), Counter[str]())
            seconds = statistics.median(second for each in found for second in each.seconds)
            killed = sum(ends[key] for key in ENDS)
            cells = (killed, *(ends[key] for key in ("writing", *ENDS, "fault")))
            print(f"| {found[0].name} | " + " | ".join(map(str, cells)) + " |", flush=True)
            aside = f"{found[0].name}: {seconds:.1f} s undisturbed; {ends['late']} more had ended before"
            print(aside, file=sys.stderr, flush=True)
            faults += ends["fault"]
    return int(faults > 0)


def kills(what: str, number: int, count: int, seed: int) -> Kills:
    """Kill one of the cases so many times."""
    with tempfile.TemporaryDirectory() as folder:
        case = list((sharpen_cases if what == "sharpen" else batch_cases)(Path(folder)))[number]
        ends = kill(case, count, random.Random(seed))
        print(f"{case.name}, {count} kills of seed {seed}: {dict(ends)}", file=sys.stderr, flush=True)
        return Kills(case.name, ends, list(case.times))


def sharpen_cases(folder: Path) -> Iterator[Case]:
    """A classical method and the default network, and the program from its very beginning."""
    for name, side, options in (
        ("sharpen --method gsa", 640, ("--method", "gsa", "--tile", "128")),
        ("sharpen, default network", 128, ("--tile", "64")),
        ("sharpen --method brovey, loading included", 640, ("--method", "brovey", "--tile", "128")),
    ):
        scene = make_scene(folder / name, size=(side, side))
        out = folder / f"{name} out" / "fused.tif"
        arguments = ("sharpen", *scene.args(), str(out), *options)
        yield Case(name, arguments, (out,), forked="loading" not in name)


def batch_cases(folder: Path) -> Iterator[Case]:
    """The same of three scenes, with one process and with two."""
    for name, side, options in (
        ("batch --method gsa", 384, ("--method", "gsa", "--tile", "128")),
        ("batch, default network", 96, ("--tile", "64")),
        ("batch --method gsa --jobs 2", 384, ("--method", "gsa", "--tile", "128", "--jobs", "2")),
    ):
        rows, outputs = [], []
        for number in range(3):
            where = (500000.0 + 1000 * number, 4000000.0)
            scene = make_scene(folder / name / str(number), size=(side, side), origin=where)
            outputs.append(folder / f"{name} out" / f"{number}.tif")
            rows.append("\t".join((*scene.args(), str(outputs[-1]))))
        listed = folder / name / "list.txt"
        listed.write_text("\n".join(rows))
        yield Case(name, ("batch", str(listed), *options), tuple(outputs), forked="jobs" not in name)


def kill(case: Case, count: int, moments: random.Random) -> Counter[str]:
    """Kill a case so many times; how it ended."""
    ends: Counter[str] = Counter()
    resumable = case.arguments[0] == "batch"
    for _ in range(2):
        case.clear()
        case.run()
        case.whole = case.whole or case.seen()
        if case.seen() != case.whole:
            raise RuntimeError(f"{case.name}: two undisturbed runs differ; nothing can be told of it")
    for number in count_from():
        if sum(ends[key] for key in ENDS) == count:
            break
        case.clear()
        if not killed(case, moments):
            ends["late"] += 1
            continue
        # Those that a killed batch leaves see that it is gone, and end; one may be finishing a scene.
        ends[judged(case)] += 1
        ends["writing"] += any(path.name.startswith(".") for path in case.outputs[0].parent.iterdir())
        faulty = not sound(case)
        if resumable or number % 10 == 0:  # how long a run takes depends on what else the machine does
            case.run("--resume" if resumable else "--overwrite")
            faulty |= case.seen() != case.whole
        if faulty:
            ends["fault"] += 1
            print(f"{case.name}: kill {number} left {case.seen()}", file=sys.stderr, flush=True)
    return ends


def killed(case: Case, moments: random.Random) -> bool:
    """Start a case and kill it at a moment between its beginning and its usual end; whether it was alive."""
    process = case.start()
    time.sleep(moments.uniform(0, max(case.times)))
    process.kill()
    return process.end() == -signal.SIGKILL


def sound(case: Case) -> bool:
    """Whether every output is absent, or whole and right."""
    return all(seen in ("", whole) for seen, whole in zip(case.seen(), case.whole, strict=True))


def judged(case: Case) -> str:
    """How many outputs are there."""
    there = sum(map(bool, case.seen()))
    return "absent" if there == 0 else "all" if there == len(case.outputs) else "some"


if __name__ == "__main__":
    sys.exit(main())

"""Scenes in processes: the same files, whoever is killed."""

import os
import signal
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import active_children, forkserver
from pathlib import Path

import pytest

from pancli.batch import BatchTerms, Entry, processes, run_batch
from pancli.batch.processes import share
from pancli.sharpening import SharpenOptions
from tests.programs import FORKS
from tests.scenes import make_scene

GSA = SharpenOptions(method="gsa", device="cpu", threads=1)
SLOW = replace(GSA, method="gfpca", tile=64)


def make_entries(folder, count, **scene):
    files = make_scene(folder / "scene", **scene)
    (folder / "out").mkdir()
    outs = {n: str(folder / "out" / f"{n}.tif") for n in range(1, count + 1)}
    return [Entry(str(files.pan), (str(files.ms),), out, n) for n, out in outs.items()]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def wait_for(happened):
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def killing(folder, times):
    """Kills whatever process is writing into a folder, so many times; its number is in the file's name."""
    killed: set[int] = set()

    def kill():
        while len(killed) < times and not stop.wait(0.001):
            for path in folder.glob(".*.tmp.tif"):
                process = int(path.name.split(".")[-3].partition("-")[0])
                if process not in killed:
                    os.kill(process, signal.SIGKILL)
                    killed.add(process)

    stop = threading.Event()
    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert len(killed) == times


def test_threads_and_devices_are_shared():
    options = SharpenOptions(threads=8)
    assert [share(options, n, 3, 0).threads for n in range(3)] == [2, 2, 2]
    assert share(replace(options, threads=1), 0, 3, 0).threads == 1
    assert [share(options, n, 3, 2).device for n in range(3)] == ["cuda:0", "cuda:1", "cuda:0"]
    assert share(options, 1, 3, 0).device == "auto"
    for named in ("cpu", "cuda:1"):
        assert share(replace(options, device=named), 2, 3, 2).device == named


@pytest.mark.slow
def test_processes_make_the_files_that_one_makes(tmp_path):
    entries = make_entries(tmp_path, 4, size=(64, 64))
    bad = replace(entries[2], pan="none.tif")
    alone = list(run_batch(entries, GSA))
    before = {name: (tmp_path / "out" / name).read_bytes() for name in names(tmp_path / "out")}
    results = list(
        run_batch([*entries[:2], bad, entries[3]], replace(GSA, overwrite=True), BatchTerms(jobs=2))
    )
    assert sorted((r.entry.line or 0, r.status) for r in results) == [
        (1, "done"), (2, "done"), (3, "failed"), (4, "done"),
    ]  # fmt: skip
    assert [r.status for r in alone] == ["done"] * 4
    assert {name: (tmp_path / "out" / name).read_bytes() for name in names(tmp_path / "out")} == before
    assert not active_children()


@pytest.fixture
def forked(monkeypatch):
    """Workers begin at once where their ends are tested; that they may import all anew is shown above."""
    forkserver.ensure_running()  # while no signal is blocked, as they are when workers begin
    monkeypatch.setattr(processes, "get_context", lambda _: FORKS)


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_a_process_killed_once_costs_nothing_and_leaves_nothing(tmp_path):
    entries = make_entries(tmp_path, 2, size=(512, 512))
    with killing(tmp_path / "out", 1):
        results = list(run_batch(entries, SLOW, BatchTerms(jobs=2)))
    assert [r.status for r in results] == ["done"] * 2
    assert names(tmp_path / "out") == ["1.tif", "2.tif"]


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_a_scene_that_kills_its_process_twice_has_failed_and_the_others_go_on(tmp_path):
    entries = make_entries(tmp_path, 2, size=(512, 512))
    deadly = replace(entries[0], output=str(tmp_path / "deadly" / "x.tif"), line=3)
    (tmp_path / "deadly").mkdir()
    with killing(tmp_path / "deadly", 2):
        results = list(run_batch([deadly, *entries], SLOW, BatchTerms(jobs=2)))
    assert sorted((r.entry.line or 0, r.status) for r in results) == [(1, "done"), (2, "done"), (3, "failed")]
    error = next(r.error for r in results if r.failed) or ""
    assert error.startswith("its process was killed by signal 9, 2 times")
    assert names(tmp_path / "out") == ["1.tif", "2.tif"]
    assert names(tmp_path / "deadly") == []


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_closing_the_results_ends_the_processes_and_cleans_up(tmp_path):
    entries = make_entries(tmp_path, 3, size=(1024, 1024))
    quick = make_scene(tmp_path / "quick", size=(64, 64))
    entries[0] = replace(entries[0], pan=str(quick.pan), ms=(str(quick.ms),))
    results = run_batch(entries, SLOW, BatchTerms(jobs=2))
    assert next(results).entry.line == 1
    wait_for(lambda: len(names(tmp_path / "out")) > 1)
    results.close()
    assert names(tmp_path / "out") == ["1.tif"]
    assert not active_children()


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_after_a_failure_fail_fast_begins_nothing(tmp_path):
    # Slow enough that the other process cannot make all before the first has begun.
    entries = make_entries(tmp_path, 6, size=(512, 512))
    entries[0] = replace(entries[0], pan="none.tif")
    results = list(run_batch(entries, SLOW, BatchTerms(jobs=2, keep_going=False)))
    assert 1 <= len(results) <= 4 and sum(r.failed for r in results) == 1
    assert len(names(tmp_path / "out")) == len(results) - 1
    assert Path(entries[5].output).exists() is False

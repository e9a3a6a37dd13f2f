"""Scenes on a Ray cluster: the same files, whoever is lost."""

import importlib.util
import os
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace

import pytest

from pancli import __version__
from pancli.batch import BatchTerms, Entry, check_batch, cluster, run_batch
from pancli.batch.cluster import _Actors, _Place
from pancli.errors import ClusterError, UsageError
from pancli.sharpening import SharpenOptions
from tests.batch.test_processes import GSA, SLOW, killing, make_entries, names, wait_for
from tests.scenes import make_scene

RAY = BatchTerms(engine="ray", jobs=2)


@pytest.fixture(scope="module")
def ray():
    """One cluster of two workers for all; what is connected already is used."""
    ray = pytest.importorskip("ray")
    with cluster._connection(None, 2):
        yield ray


@pytest.mark.slow
def test_a_cluster_makes_the_files_that_one_process_makes(tmp_path, monkeypatch, ray):
    entries = make_entries(tmp_path, 4, size=(64, 64))
    monkeypatch.chdir(tmp_path)
    entries[0] = replace(entries[0], pan="scene/pan.tif", output="out/1.tif")  # means the same over there
    assert [r.status for r in run_batch(entries, GSA)] == ["done"] * 4
    before = {name: (tmp_path / "out" / name).read_bytes() for name in names(tmp_path / "out")}
    bad = replace(entries[2], pan="none.tif")
    results = list(run_batch([*entries[:2], bad, entries[3]], replace(GSA, overwrite=True), RAY))
    assert sorted((r.entry.line or 0, r.status, r.error) for r in results) == [
        (1, "done", None), (2, "done", None), (3, "failed", "none.tif: no such file"), (4, "done", None),
    ]  # fmt: skip
    assert {name: (tmp_path / "out" / name).read_bytes() for name in names(tmp_path / "out")} == before
    resumed = run_batch(entries, GSA, replace(RAY, resume=True))
    assert {r.status for r in resumed} == {"skipped"}
    assert ray.is_initialized()  # the connection was there before


@pytest.mark.parametrize(("threads", "cpus"), [(None, 5), (2, 4), (7, 7)])
def test_a_cluster_started_here_has_the_cpus_that_this_process_may_use(tmp_path, monkeypatch, threads, cpus):
    def connection(address, cpus):
        raise ClusterError(f"{cpus} CPUs")

    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(5)), raising=False)
    monkeypatch.setattr(cluster, "_connection", connection)
    entries, options = [Entry("pan.tif", ("ms.tif",), "out.tif")], replace(GSA, threads=threads)
    asked = {"keep_going": True, "resume": False}
    with pytest.raises(ClusterError, match=f"^{cpus} CPUs"):
        list(cluster.run_cluster(entries, options, address=None, jobs=None, **asked))


@pytest.mark.slow
def test_a_worker_killed_once_costs_nothing_and_one_killed_always_its_scene_alone(tmp_path, ray):
    entries = make_entries(tmp_path, 2, size=(512, 512))
    deadly = replace(entries[0], output=str(tmp_path / "deadly" / "x.tif"), line=3)
    (tmp_path / "deadly").mkdir()
    with killing(tmp_path / "deadly", 3), killing(tmp_path / "out", 1):
        results = list(run_batch([deadly, *entries], SLOW, RAY))
    assert sorted((r.entry.line or 0, r.status) for r in results) == [(1, "done"), (2, "done"), (3, "failed")]
    error = next(r.error for r in results if r.failed) or ""
    assert error.startswith("its worker on ") and "was lost (" in error and "), 3 times; is there" in error
    assert "\n" not in error
    assert names(tmp_path / "out") == ["1.tif", "2.tif"]
    assert names(tmp_path / "deadly") == []


@pytest.mark.slow
def test_closing_the_results_stops_the_workers_and_cleans_up(tmp_path, ray):
    entries = make_entries(tmp_path, 3, size=(1024, 1024))
    quick = make_scene(tmp_path / "quick", size=(64, 64))
    entries[0] = replace(entries[0], pan=str(quick.pan), ms=(str(quick.ms),))
    results = run_batch(entries, SLOW, RAY)
    assert next(results).entry.line == 1
    wait_for(lambda: len(names(tmp_path / "out")) > 1)
    results.close()
    assert names(tmp_path / "out") == ["1.tif"]
    wait_for(lambda: ray.available_resources().get("CPU", 0) == 2)


@pytest.mark.slow
def test_what_does_not_fit_together_is_refused(tmp_path, monkeypatch, ray):
    entries = make_entries(tmp_path, 1, size=(64, 64))
    monkeypatch.setattr(cluster, "__version__", "0.0.0")
    with pytest.raises(ClusterError, match=rf"has pancli {__version__}, this machine 0\.0\.0"):
        list(run_batch(entries, GSA, RAY))
    monkeypatch.setattr(cluster, "_STARTING", 0.5)
    with pytest.raises(ClusterError, match=r"no worker started in 0\.5 s; each asks for 64 CPUs of one node"):
        list(run_batch(entries, replace(GSA, threads=64), RAY))
    assert names(tmp_path / "out") == []


def test_a_node_without_the_folder_is_refused(monkeypatch):
    far = _Place("far", "id", 1, __version__, in_folder=False)
    monkeypatch.setattr(pytest.importorskip("ray"), "get", lambda _: far)
    actors = _Actors(GSA, 0, resume=False)
    actors._starting["ref"] = None
    with pytest.raises(ClusterError, match="far has no folder .*; start in one that all nodes share"):
        actors._welcome("ref")


@pytest.mark.slow
def test_a_worker_that_never_starts_is_not_waited_for_forever(tmp_path, monkeypatch, ray):
    class Broken:
        def __init__(self, *_args, **_kwargs):
            raise OSError("no torch here")

        def settle(self, _folder):
            pass

    monkeypatch.setattr(cluster, "_Maker", Broken)
    with pytest.raises(ClusterError, match="no worker starts: .*no torch here"):
        list(run_batch(make_entries(tmp_path, 1, size=(64, 64)), GSA, RAY))


@pytest.mark.parametrize(
    ("options", "address", "says"),
    [
        (GSA, "10.0.0.1:6379", "--address 10.0.0.1:6379: must be auto or ray://HOST:PORT"),
        (replace(GSA, device="cuda:1"), "auto", "--device cuda:1: with --engine ray auto, cpu or cuda"),
        (replace(GSA, device="abacus"), None, "--device abacus: with --engine ray auto, cpu or cuda"),
    ],
)
def test_what_a_cluster_cannot_do_is_refused_before_anything(options, address, says):
    pytest.importorskip("ray")
    with pytest.raises(UsageError) as refusal:
        check_batch([], options, BatchTerms(engine="ray", address=address))
    assert str(refusal.value).startswith(says)


def test_without_ray_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(UsageError, match=r"--engine ray needs Ray.*pip install 'ray\[client\]'"):
        check_batch([], GSA, RAY)


def test_engines_and_addresses_that_do_not_go_together_are_refused():
    with pytest.raises(UsageError, match="--engine dask: must be one of local, ray"):
        BatchTerms(engine="dask")
    with pytest.raises(UsageError, match="--address auto is for --engine ray"):
        BatchTerms(address="auto")


def test_no_scenes_need_no_cluster(monkeypatch):
    monkeypatch.setattr(cluster, "_connection", None)
    assert list(run_batch([], GSA, RAY)) == []


@pytest.mark.slow
def test_ray_is_imported_when_it_is_asked_for_alone():
    code = "import sys, pancli.batch, pancli.cli.batch; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=os.environ, check=False).returncode == 0


def test_the_environment_is_as_it_was(monkeypatch):
    monkeypatch.setenv("PANCLI_A", "1")
    with cluster._environment({"PANCLI_A": "2", "PANCLI_B": "3"}):
        assert (os.environ["PANCLI_A"], os.environ["PANCLI_B"]) == ("2", "3")
    assert os.environ["PANCLI_A"] == "1" and "PANCLI_B" not in os.environ


@pytest.mark.parametrize(
    ("cpus", "gpus", "room"), [(1, 0, 7), (2, 0, 3), (4, 0, 1), (8, 0, 0), (1, 1, 2), (4, 1, 1)]
)
def test_room_is_counted_by_node(monkeypatch, cpus, gpus, room):
    ray = pytest.importorskip("ray")
    nodes = [
        {"Alive": True, "Resources": {"CPU": 4.0, "GPU": 2.0}},
        {"Alive": True, "Resources": {"CPU": 3.0, "memory": 1e9}},
        {"Alive": False, "Resources": {"CPU": 64.0}},
        {"Alive": True, "Resources": {}},
    ]
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    assert cluster._room(cpus=cpus, gpus=gpus) == room


def test_workers_take_a_gpu_where_there_is_one_and_threads_as_given(monkeypatch):
    pytest.importorskip("ray")
    asked = []

    def stop(options, count, *, resume):
        asked.append((options.device, options.threads, count, resume))
        raise ClusterError("enough")

    monkeypatch.setattr(cluster, "_connection", lambda *_: nullcontext())
    monkeypatch.setattr(cluster, "_Actors", stop)
    entries = [Entry("pan", ("ms",), str(n)) for n in range(5)]
    for gpus in (0, 2):
        monkeypatch.setattr(
            cluster, "_room", lambda *, cpus, gpus, has=gpus: min(4 // cpus, has if gpus else 9)
        )
        for options in (SharpenOptions(), SharpenOptions(threads=2, device="cpu")):
            with pytest.raises(ClusterError):
                list(run_batch(entries, options, replace(RAY, jobs=None)))
    assert asked == [("cpu", 1, 4, False), ("cpu", 2, 2, False), ("cuda", 1, 2, False), ("cpu", 2, 2, False)]

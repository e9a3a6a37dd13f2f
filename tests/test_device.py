"""Where to compute, on how many threads and with which memory."""

import os
import platform
import subprocess
import sys
import threading
from itertools import count

import numpy as np
import pytest
import torch

from pancli.device import AT_ONCE, CPU, cpu_count, find_device, in_parallel, using_threads
from pancli.errors import UsageError
from pancli.methods import network
from pancli.networks.weights import shipped
from pancli.scene import array_scene
from pancli.sharpening import SharpenOptions, sharpen
from tests.scenes import make_scene

FAULTS = """
import resource, torch
from pancli.device import reuse_memory
if {reuse}:
    assert reuse_memory()
for _ in range(8):
    torch.ones(12, 2**20).sum()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(12, 2**20).sum()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(*, reuse):
    """Pages that the system had to bring while a tensor of 48 MB was made and dropped ten times."""
    done = subprocess.run(
        [sys.executable, "-c", FAULTS.format(reuse=reuse)], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.fixture(params=[2, 5])
def threads(request):
    with using_threads(request.param):
        yield request.param


def threads_to_come():
    """How many of torch's threads a thread has that begins now."""
    found = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return found[0]


def test_several_items_are_worked_on_at_once_and_share_the_threads(threads):
    met, seen = threading.Barrier(AT_ONCE, timeout=60), []

    def work(item):
        seen.append(torch.get_num_threads())
        met.wait()
        return item, torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    with torch.no_grad():
        assert list(in_parallel(work, range(4))) == [(item, False, False) for item in range(4)]
    with torch.inference_mode():
        assert list(in_parallel(work, range(2))) == [(0, True, False), (1, True, False)]
    assert set(seen) == {threads // AT_ONCE}
    assert torch.get_num_threads() == threads_to_come() == threads


def test_reading_ahead_leaves_threads_to_come_what_they_had(threads):
    noise = np.random.default_rng(1).random((64, 64), np.float32)
    list(array_scene(noise, noise[None, ::4, ::4]).tiles(0))
    assert threads_to_come() == threads


def test_items_are_taken_when_there_is_a_thread_for_them(threads):
    taken = count()
    results = in_parallel(lambda item: item, taken)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    results.close()
    assert next(taken) <= 5 + AT_ONCE
    assert torch.get_num_threads() == threads


def test_what_fails_ends_the_work_on_items_after_it(threads):
    seen = []

    def work(item):
        seen.append(item)
        if item == 1:
            raise torch.OutOfMemoryError("no")
        return item

    results = in_parallel(work, range(50))
    assert next(results) == 0
    with pytest.raises(torch.OutOfMemoryError):
        next(results)
    assert len(seen) <= 2 + 2 * AT_ONCE
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(("threads", "items", "device"), [(1, 3, "cpu"), (2, 3, "meta"), (2, 1, "cpu")])
def test_one_thread_or_item_and_other_devices_need_no_more(threads, items, device):
    seen = []

    def work(item):
        seen.append(threading.current_thread())
        return item

    with using_threads(threads):
        for item in in_parallel(work, range(items), torch.device(device)):
            assert len(seen) == item + 1
    assert set(seen) == {threading.main_thread()}


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="memory is kept with glibc alone")
def test_memory_of_features_is_kept_for_the_next_ones():
    assert faults(reuse=True) < 0.1 * faults(reuse=False)


@pytest.mark.parametrize(("device", "kept"), [("cpu", True), ("meta", False)])
def test_memory_is_kept_where_a_network_is_loaded_onto_a_cpu(monkeypatch, device, kept):
    asked = []
    monkeypatch.setattr(network, "reuse_memory", lambda: asked.append(True))
    network.NetworkMethod.load(shipped()["bandset"], torch.device(device))
    assert bool(asked) == kept


def test_methods_without_a_network_leave_memory_as_it_is(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(network, "reuse_memory", lambda: asked.append(True))
    scene = make_scene(tmp_path)
    for method, expected in (("gsa", 0), ("pannet", 1)):
        options = SharpenOptions(method=method, device="cpu", overwrite=True)
        sharpen(str(scene.pan), [str(scene.ms)], tmp_path / "out.tif", options)
        assert len(asked) == expected


def test_devices_are_found_by_name():
    assert find_device("cpu") == CPU
    assert find_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(UsageError, match="must be auto, cpu, cuda or cuda:N"):
        find_device("gpu")
    with pytest.raises(UsageError, match="must be auto, cpu, cuda or cuda:N"):
        find_device("cuda:" + "9" * 5000)


def test_cpus_that_the_process_may_not_use_are_not_counted(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {1, 5, 6}, raising=False)
    assert cpu_count() == SharpenOptions().cpu_threads == 3
    assert SharpenOptions(threads=5).cpu_threads == 5
    monkeypatch.delattr(os, "sched_getaffinity")
    assert cpu_count() == SharpenOptions().cpu_threads == 8
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cpu_count() == 1


def test_what_runs_on_a_gpu_needs_no_gdal():
    """The machine that has one may not have it."""
    code = """
import sys
for name in ("rasterio", "affine", "shapely", "pyproj"):
    sys.modules[name] = None
import pytest
import pancli.cli.train, pancli.training.loop, tests.benchmarks.examples, tests.benchmarks.networks
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-n0", "tests/test_gpu.py"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

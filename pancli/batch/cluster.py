"""Scenes spread over a Ray cluster, by actors that each keep their network; any of them may be lost.

What waits, waits here: an actor is given a scene only when it runs and has nothing to do, and only names and
options go over the wire. Actors read and write files themselves, so all nodes must see them under the same
names, and must have this version of pancli. ray is imported when it is asked for.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import threading
import warnings
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pancli import __version__
from pancli.batch.entries import Entry
from pancli.batch.pool import Task, run_pool
from pancli.batch.scene import SceneResult, make_scene
from pancli.device import cpu_count, find_device
from pancli.errors import ClusterError, UsageError
from pancli.raster.commit import remove_leftovers
from pancli.sharpening import SharpenOptions

_ATTEMPTS = 3  # one more than of processes: nodes are taken away for reasons that are none of the scene's
_PATIENCE = 30.0  # seconds that an actor has to clean up before it is killed
_STARTING = 600.0  # seconds without any actor, for a cluster that has to start a machine first
_STARTS = 3  # actors in a row that may die before they run
_STORE = 100 * 2**20  # bytes; no pixel passes through Ray's store
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0"}
# Of a cluster that is started here: it listens on the loopback device alone, and its workers have the
# priority that this process has (by Ray's default, 15 below, other work on the machine would starve them).
_HERE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_worker_niceness": "0"}


def check_cluster(options: SharpenOptions, address: str | None) -> None:
    """Refuse what a cluster could not do, before anything runs.

    Raises:
        UsageError: Ray is not installed; the address or the device is none for a cluster.
    """
    if importlib.util.find_spec("ray") is None:
        raise UsageError("--engine ray needs Ray, which is not installed; pip install 'ray[client]'")
    if address is not None and address != "auto" and not address.startswith("ray://"):
        raise UsageError(f"--address {address}: must be auto or ray://HOST:PORT")
    if options.device not in ("auto", "cpu", "cuda"):
        raise UsageError(
            f"--device {options.device}: with --engine ray auto, cpu or cuda; workers have a GPU each"
        )
    if address is None:
        find_device(options.device)


def run_cluster(
    entries: Sequence[Entry],
    options: SharpenOptions,
    *,
    address: str | None,
    jobs: int | None,
    keep_going: bool,
    resume: bool,
) -> Generator[SceneResult, None, None]:
    """Make scenes on a cluster; see :func:`pancli.batch.run.run_batch`.

    Every actor computes with ``options.threads`` threads (None: one) and asks Ray for as many CPUs; and for a
    GPU, where the device is ``cuda``, or ``auto`` and the cluster has any. A scene whose actor is lost is
    made by another, twice at most, then it has failed. A connection to Ray that is there already is used.

    Args:
        entries: What to make.
        options: What is asked for.
        address: ``auto`` (the cluster that this machine is in), ``ray://HOST:PORT``, or None: a cluster that
            is started on this machine and ends with the run.
        jobs: Actors; None for as many as there is room for.
        keep_going: Whether scenes are begun after one has failed.
        resume: Whether what is done already is skipped.

    Raises:
        ClusterError: The cluster cannot be reached, starts no actor, or has other versions or folders.
    """
    if not entries:
        return
    threads = options.threads or 1
    with _connection(address, threads * (jobs or max(1, cpu_count() // threads))):
        gpu = options.device == "cuda" or (options.device == "auto" and _room(cpus=threads, gpus=1) > 0)
        asked = replace(options, threads=threads, device="cuda" if gpu else "cpu")
        count = min(jobs or max(1, _room(cpus=threads, gpus=int(gpu))), len(entries))
        yield from run_pool(
            entries, _Actors(asked, count, resume=resume), keep_going=keep_going, attempts=_ATTEMPTS
        )


@contextmanager
def _connection(address: str | None, cpus: int) -> Iterator[None]:
    """Be connected to a cluster; one that is started here has so many CPUs, whatever the machine has."""
    with ExitStack() as stack:
        with _environment(_QUIET if address is not None else _QUIET | _HERE):
            import ray

            if not ray.is_initialized():
                how: dict[str, Any] = {"address": address}
                if address is None:
                    # In /tmp: names of sockets are short. "local": None would ask RAY_ADDRESS first.
                    folder = TemporaryDirectory(prefix="pancli-ray-", dir="/tmp", ignore_cleanup_errors=True)
                    how = {"address": "local", "num_cpus": cpus, "include_dashboard": False}
                    how |= {"object_store_memory": _STORE, "_temp_dir": stack.enter_context(folder)}
                stack.callback(ray.shutdown)
                _connect(how)
        yield


def _connect(how: Mapping[str, Any]) -> None:
    import ray

    before = signal.getsignal(signal.SIGTERM)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Ray warns of here it raises as well
            ray.init(**how, log_to_driver=False, logging_level="ERROR")
    except SystemExit:  # what Ray's own handler makes of SIGTERM
        raise KeyboardInterrupt from None
    except Exception as error:  # no class is promised for it
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ClusterError(f"--engine ray: no cluster at {how['address']} ({reason})") from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set what Ray reads when it is imported and when it starts, and what it starts inherits."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _room(*, cpus: int, gpus: int) -> int:
    """How many actors of that size the nodes hold."""
    import ray

    count = 0
    for node in ray.nodes():
        if node["Alive"]:
            has = node["Resources"]
            count += int(min(has.get(what, 0) // n for what, n in (("CPU", cpus), ("GPU", gpus)) if n))
    return count


@dataclass(frozen=True)
class _Place:
    """Where an actor runs."""

    host: str
    node: str
    process: int
    version: str
    in_folder: bool


class _Maker:
    """What an actor is: its process keeps the network from one scene to the next.

    At SIGTERM, Ray ends an actor's process as ``sys.exit`` would, so that what was being written is removed.
    """

    def __init__(self, options: SharpenOptions, *, resume: bool) -> None:
        self._options = options
        self._resume = resume

    def settle(self, folder: str) -> _Place:
        """Work in a folder from now on, for names may be relative to it; tells of itself."""
        import ray

        with suppress(OSError):
            os.chdir(folder)
        node = ray.get_runtime_context().get_node_id()
        return _Place(socket.gethostname(), node, os.getpid(), __version__, os.getcwd() == folder)  # noqa: PTH109

    def make(self, entry: Entry, *, again: bool) -> SceneResult:
        """Make a scene."""
        return make_scene(entry, self._options, resume=self._resume or again)


@dataclass(frozen=True)
class _Actor:
    """An actor that runs: Ray's handle, and where."""

    handle: Any
    place: _Place


class _Actors:
    """Actors; those that are lost are replaced."""

    def __init__(self, options: SharpenOptions, count: int, *, resume: bool) -> None:
        self._options = options
        self._resume = resume
        self._starting: dict[Any, Any] = {}
        self._idle: list[_Actor] = []
        self._busy: dict[Any, tuple[_Actor, Task]] = {}
        self._died_starting = 0
        for _ in range(count):
            self._start()

    @property
    def busy(self) -> bool:
        return bool(self._busy)

    @property
    def has_room(self) -> bool:
        return bool(self._idle)

    def give(self, task: Task) -> None:
        actor = self._idle.pop()
        self._busy[actor.handle.make.remote(task.entry, again=task.again)] = actor, task

    def take(self) -> Iterator[tuple[Task, SceneResult | str]]:
        import ray

        running = self._busy or self._idle
        happened, _ = ray.wait([*self._busy, *self._starting], timeout=None if running else _STARTING)
        if not happened:
            raise ClusterError(self._nothing_started())
        for ref in happened:
            if ref in self._starting:
                self._welcome(ref)
            else:
                yield self._finish(ref)

    def end(self) -> None:
        import ray

        with suppress(ray.exceptions.RayError, ConnectionError):
            for actor, _ in self._busy.values():
                _interrupt(actor.place)
            if self._busy:
                ray.wait(list(self._busy), num_returns=len(self._busy), timeout=_PATIENCE)
            running = [*self._idle, *(actor for actor, _ in self._busy.values())]
            for handle in [*self._starting.values(), *(actor.handle for actor in running)]:
                ray.kill(handle)
        for actor, task in self._busy.values():
            remove_leftovers(Path(task.entry.output), actor.place.process)

    def _start(self) -> None:
        """Ask for an actor; the cluster may take its time."""
        import ray

        size = {"num_cpus": self._options.threads, "num_gpus": int(self._options.device == "cuda")}
        handle = ray.remote(**size)(_Maker).remote(self._options, resume=self._resume)
        self._starting[handle.settle.remote(str(Path.cwd()))] = handle

    def _welcome(self, ref: Any) -> None:
        """Take an actor on that runs now; one that died instead is replaced."""
        import ray

        handle = self._starting.pop(ref)
        try:
            place = ray.get(ref)
        except ray.exceptions.RayError as error:
            self._died_starting += 1
            if self._died_starting == _STARTS:
                raise ClusterError(f"no worker starts: {_reason(error)}") from error
            self._start()
            return
        self._died_starting = 0
        self._idle.append(_Actor(handle, place))
        if place.version != __version__:
            raise ClusterError(
                f"{place.host} has pancli {place.version}, this machine {__version__}; use one"
            )
        if not place.in_folder:
            raise ClusterError(f"{place.host} has no folder {Path.cwd()}; start in one that all nodes share")

    def _finish(self, ref: Any) -> tuple[Task, SceneResult | str]:
        """What came of a scene; an actor that is lost is replaced."""
        import ray

        actor, task = self._busy.pop(ref)
        try:
            result: SceneResult = ray.get(ref)
        except ray.exceptions.RayTaskError:  # a bug: what goes wrong with a scene is in its result
            raise
        except ray.exceptions.RayError as error:
            remove_leftovers(Path(task.entry.output), actor.place.process)
            self._start()
            return task, f"its worker on {actor.place.host} was lost ({_reason(error)})"
        self._idle.append(actor)
        return task, result

    def _nothing_started(self) -> str:
        import ray

        has, threads = ray.cluster_resources(), self._options.threads
        gpu = " and a GPU" if self._options.device == "cuda" else ""
        return (
            f"no worker started in {_STARTING:g} s; each asks for {threads} CPUs{gpu} of one node, and the "
            f"cluster has {has.get('CPU', 0):g} CPUs and {has.get('GPU', 0):g} GPUs; see ray status"
        )


def _interrupt(place: _Place) -> None:
    """Have an actor's process end; Ray's own ways to cancel do not reach what an actor is busy with."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # Behind ray://, "here" is the cluster's head.
    here = not ray.util.client.ray.is_connected() and ray.get_runtime_context().get_node_id() == place.node
    if here:
        with suppress(ProcessLookupError):
            _terminate(place.process)
    else:
        there = NodeAffinitySchedulingStrategy(place.node, soft=False)
        task = ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=there)(_terminate)
        task.remote(place.process)


def _terminate(process: int) -> None:
    os.kill(process, signal.SIGTERM)


def _reason(error: Exception) -> str:
    """The last line of what Ray says, which is what happened; the others are numbers."""
    return str(error).strip().splitlines()[-1].strip().rstrip(".")

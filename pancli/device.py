"""Where to compute, and on how many threads."""

from __future__ import annotations

import ctypes
import os
import re
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import chain, islice
from typing import TypeVar

import torch

from pancli.errors import DeviceError, UsageError

CPU = torch.device("cpu")

AT_ONCE = 2
"""Items that :func:`in_parallel` works on at once, at most: each takes memory of its own."""

_HEAP = ((-8, 1), (-3, 2**30), (-1, 2**28))  # of mallopt: one arena, for blocks of up to 1 GB, 256 MB kept

T = TypeVar("T")
R = TypeVar("R")


def find_device(name: str) -> torch.device:
    """The device of that name: ``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        UsageError: Not a device pancli knows, or CUDA where there is none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cpu":
        return CPU
    if not re.fullmatch(r"cuda(:\d{1,9})?", name):
        raise UsageError(f"--device {name}: must be auto, cpu, cuda or cuda:N")
    count = device_count()
    number = int(name.partition(":")[2] or 0)
    if number >= count:
        raise UsageError(f"--device {name}: this machine has {count} CUDA devices; use --device cpu or auto")
    return torch.device("cuda", number)


def device_count() -> int:
    """CUDA devices of this machine."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def cpu_count() -> int:
    """CPUs that this process may use: taskset, or a cluster's scheduler, may have kept some from it."""
    if hasattr(os, "sched_getaffinity"):  # not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def reuse_memory() -> bool:
    """Have this process keep the memory of one tile's features for the next tile's, where a CPU computes.

    glibc hands blocks of more than 32 MB back to the system and fetches new ones, which the system fills with
    zeros: that took a fifth of bandset's time. Now it keeps up to 256 MB, in one place for all
    threads. Of other C libraries nothing is asked.

    Returns:
        Whether it does.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        return all(mallopt(*option) == 1 for option in _HEAP)
    return False


@contextmanager
def using_threads(count: int) -> Iterator[None]:
    """Have torch compute on so many threads inside; afterwards on as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def workers_of(count: int, name: str, threads: int) -> Iterator[ThreadPoolExecutor]:
    """Some workers, each with so many of torch's threads; what they have not begun at the end is left."""
    # torch takes the number that any thread sets for what threads to come begin with: that is put back.
    with using_threads(torch.get_num_threads()):
        pool = ThreadPoolExecutor(count, name, torch.set_num_threads, (threads,))
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)


def in_parallel(
    work: Callable[[T], R], items: Iterable[T], device: torch.device = CPU
) -> Generator[R, None, None]:
    """``map``, where a CPU computes on several items at once, at most :data:`AT_ONCE`.

    The threads that torch has here are divided among them. Most of what a network does to a piece of an image
    are operations so small that two threads are slower at each of them than one.

    Args:
        work: Called with every item; what several calls do at once must not be in each other's way.
        items: Taken one after the other, when there is a thread for them.
        device: What computes. Anything but a CPU is given one item after the other, and one has all threads.

    Returns:
        What the calls return, in the order of the items. Where one fails, no more are begun.
    """
    threads, rest = torch.get_num_threads(), iter(items)
    first = list(islice(rest, 2))
    items = chain(first, rest)
    if device != CPU or threads == 1 or len(first) < 2:
        yield from map(work, items)
        return
    workers = min(threads, AT_ONCE)
    inference, gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    def one(item: T) -> R:
        with torch.inference_mode(inference), torch.set_grad_enabled(gradients):
            return work(item)

    begun: deque[Future[R]] = deque()
    with workers_of(workers, "pancli-compute", threads // workers) as pool:
        for item in items:
            begun.append(pool.submit(one, item))
            if len(begun) > workers:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()


@contextmanager
def shortage_told(device: torch.device) -> Iterator[None]:
    """Turn a lack of memory that smaller tiles are no help against into a refusal.

    Raises:
        DeviceError: The device has not enough memory for what is done inside.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        reason = str(error).partition(" GPU ")[0].strip().splitlines() or ["out of memory"]
        raise DeviceError(
            f"{device}: not enough memory ({reason[0]}); end what else runs there, or use --device cpu"
        ) from error
